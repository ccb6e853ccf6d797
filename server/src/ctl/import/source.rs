//! The files of an import as bytes: hashed as they are stored, unpacked, read ahead.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::super::{CtlError, CtlResult};
use crate::text::input::{Input, InputError, STDIN_ARGUMENT};

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

/// Opens a regular file, whose stored bytes are hashed as they are read.
///
/// # Errors
/// `Input`.
pub(super) fn open_hashed(path: &Path) -> CtlResult<(Input, Hashing)> {
    let name = path.display().to_string();
    let open = |source| InputError::Open { name: name.clone(), source };
    let file = File::open(path).map_err(open)?;
    let about = file.metadata().map_err(open)?;
    if about.is_dir() {
        return Err(InputError::Directory { name }.into());
    }
    let hashing = Hashing::default();
    let hashed = Hashed { file, hashing: hashing.clone() };
    let input = Input::from_reader(&name, Box::new(hashed), Some(about.len()))?;
    Ok((input, hashing))
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
