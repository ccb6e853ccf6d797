//! The files of an import as bytes: hashed as they are stored, unpacked, read ahead.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::super::{CtlError, CtlResult};
use super::format::Format;
use crate::text::input::{Input, InputError, Packing, RawBytes, STDIN_ARGUMENT};

/// Bytes that are hashed at a time.
const HASH_BLOCK_BYTES: usize = 1 << 20;

/// The hash of a file's bytes as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHash(pub(super) [u8; 32]);

/// The hash of what was read so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Hashing(Arc<Mutex<blake3::Hasher>>);

impl Hashing {
    /// The hash, once everything was read.
    pub(super) fn finish(&self) -> FileHash {
        // A hasher is whole even where a thread died that used it.
        let hasher = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        FileHash(*hasher.finalize().as_bytes())
    }
}

struct Hashed {
    file: File,
    hashing: Hashing,
}

impl Read for Hashed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buf)?;
        let mut hasher = self.hashing.0.lock().unwrap_or_else(PoisonError::into_inner);
        hasher.update(buf.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// A regular file.
pub(super) enum Opened {
    /// Read from its beginning to its end, and hashed as it is read.
    Bytes(Input, Hashing),
    /// Read here and there.
    Stored(Stored),
}

/// Opens a regular file of this format.
///
/// # Errors
/// `Input`; `Invalid` for one that is packed and cannot be.
pub(super) fn open(path: &Path, format: Format) -> CtlResult<Opened> {
    let name = path.display().to_string();
    let open = |source| InputError::Open { name: name.clone(), source };
    let file = File::open(path).map_err(open)?;
    let about = file.metadata().map_err(open)?;
    if about.is_dir() {
        return Err(InputError::Directory { name }.into());
    }
    if format == Format::Parquet {
        let stored =
            Stored { file: Arc::new(file), name, len: about.len(), raw: RawBytes::default() };
        if Packing::of(&stored.head()?) != Packing::Plain {
            return Err(CtlError::Invalid(format!(
                "{} is packed, and Parquet is read from its end: unpack it first; its pages are compressed already",
                stored.name
            )));
        }
        return Ok(Opened::Stored(stored));
    }
    let hashing = Hashing::default();
    let hashed = Hashed { file, hashing: hashing.clone() };
    let input = Input::from_reader(&name, Box::new(hashed), Some(about.len()))?;
    Ok(Opened::Bytes(input, hashing))
}

/// A file that is read here and there; clones read the same one.
#[derive(Clone)]
pub(super) struct Stored {
    file: Arc<File>,
    name: String,
    /// Its length when it was opened, in bytes.
    len: u64,
    raw: RawBytes,
}

impl Stored {
    /// What messages call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// How far it was read, for a progress bar.
    pub(super) fn raw_bytes(&self) -> RawBytes {
        self.raw.clone()
    }

    /// Notes that `done` of `of` rows were read.
    pub(super) fn note_progress(&self, done: u64, of: u64) {
        let bytes = u128::from(self.len) * u128::from(done) / u128::from(of.max(1));
        self.raw.set(u64::try_from(bytes).unwrap_or(self.len));
    }

    /// Its first bytes.
    ///
    /// # Errors
    /// `Input`.
    pub(super) fn head(&self) -> Result<Vec<u8>, InputError> {
        self.at(0, self.len.min(16)).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> InputError {
        InputError::Read { name: self.name.clone(), source }
    }

    /// `count` bytes from `start` on, which must be there.
    ///
    /// # Errors
    /// The system's; `UnexpectedEof`.
    pub(super) fn at(&self, start: u64, count: u64) -> io::Result<Vec<u8>> {
        let end = start.checked_add(count).filter(|end| *end <= self.len);
        let count = end.and_then(|_| usize::try_from(count).ok());
        let Some(count) = count else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes)
    }

    /// Reads from `start` on.
    pub(super) fn reader(&self, start: u64) -> StoredReader {
        StoredReader { file: Arc::clone(&self.file), at: start }
    }

    /// The hash of the whole.
    ///
    /// # Errors
    /// `Input`.
    pub(super) fn hash(&self) -> CtlResult<FileHash> {
        let mut hasher = blake3::Hasher::new();
        let mut block = vec![0; HASH_BLOCK_BYTES];
        let mut reader = self.reader(0);
        loop {
            let count = reader.read(&mut block).map_err(|source| self.failed(source))?;
            if count == 0 {
                return Ok(FileHash(*hasher.finalize().as_bytes()));
            }
            hasher.update(block.get(..count).unwrap_or_default());
        }
    }
}

/// A position in a file, independent of others.
pub(super) struct StoredReader {
    file: Arc<File>,
    at: u64,
}

impl Read for StoredReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buf, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// The one file that can be read only once: standard input, or a pipe. None: all are regular files.
///
/// # Errors
/// `Invalid` where others stand beside it; `Input` for a file that is not there.
pub(super) fn the_stream(files: &[PathBuf]) -> CtlResult<Option<&Path>> {
    for path in files {
        if !is_stream(path)? {
            continue;
        }
        if files.len() > 1 {
            return Err(CtlError::Invalid(format!(
                "{} can be read only once, so it must be the only FILE",
                path.display()
            )));
        }
        return Ok(Some(path));
    }
    Ok(None)
}

fn is_stream(path: &Path) -> CtlResult<bool> {
    if path.as_os_str() == STDIN_ARGUMENT {
        return Ok(true);
    }
    match std::fs::metadata(path) {
        Ok(about) => Ok(!about.is_file() && !about.is_dir()),
        Err(source) => Err(InputError::Open { name: path.display().to_string(), source }.into()),
    }
}
