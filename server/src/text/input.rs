//! Opens what `import` reads: a file or standard input, plain, gzip or Zstandard,
//! recognised by its first bytes and never by its name, without a byte-order mark.
//! A home of `std::fs` on the command line's side, beside `output.rs`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Size of the buffer between a file and its decoder, in bytes.
pub const RAW_BUFFER_BYTES: usize = 128 << 10;

/// The argument that stands for standard input.
pub const STDIN_ARGUMENT: &str = "-";

/// What a message calls standard input.
pub const STDIN_NAME: &str = "standard input";

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const UTF8_BOM: &[u8] = &[0xef, 0xbb, 0xbf];
/// Bytes looked at before the kind of file is known.
const MAGIC_BYTES: usize = 4;

/// Why an input cannot be read; each names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The file is absent or may not be opened.
    #[error("cannot open {name}: {source}")]
    Open {
        /// The file as it was given.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A directory where a file was expected.
    #[error("{name} is a directory, not a file")]
    Directory {
        /// The path as it was given.
        name: String,
    },
    /// The compressed data ends in the middle.
    #[error(
        "{name} is truncated: its {format} data ends in the middle, after {raw_bytes} bytes; \
         fetch it again"
    )]
    Truncated {
        /// The file as it was given.
        name: String,
        /// `gzip` or `Zstandard`.
        format: &'static str,
        /// Compressed bytes that were there.
        raw_bytes: u64,
    },
    /// The compressed data is not valid, or its checksum does not match.
    #[error("{name} is damaged: its {format} data is not valid: {source}")]
    Damaged {
        /// The file as it was given.
        name: String,
        /// `gzip` or `Zstandard`.
        format: &'static str,
        /// The decoder's reason.
        source: io::Error,
    },
    /// The text is UTF-16.
    #[error("{name} is UTF-16 text; convert it to UTF-8 first")]
    Utf16 {
        /// The file as it was given.
        name: String,
    },
    /// The system failed to read.
    #[error("cannot read {name}: {source}")]
    Read {
        /// The file as it was given.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
}

impl InputError {
    /// Takes back the typed error that an [`Input`] passed through [`Read`];
    /// any other error becomes [`InputError::Read`] of `name`.
    #[must_use]
    pub fn from_io(name: &str, error: io::Error) -> Self {
        match error.downcast::<InputError>() {
            Ok(typed) => typed,
            Err(source) => Self::Read { name: name.to_owned(), source },
        }
    }
}

/// How a file's bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Text as it is.
    Plain,
    /// gzip (RFC 1952), of any number of members.
    Gzip,
    /// Zstandard (RFC 8878), of any number of frames.
    Zstd,
}

impl Packing {
    /// Recognises the packing from a file's first bytes (4 decide; fewer are plain or gzip).
    #[must_use]
    pub fn of(head: &[u8]) -> Self {
        if head.starts_with(GZIP_MAGIC) {
            Self::Gzip
        } else if head.starts_with(ZSTD_MAGIC) || is_zstd_skippable(head) {
            Self::Zstd
        } else {
            Self::Plain
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "Zstandard",
        }
    }
}

/// RFC 8878, section 3.1.2: a file may begin with a skippable frame, 0x184D2A5?.
fn is_zstd_skippable(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Bytes taken from a file so far, compressed as they are there; cheap to clone and
/// readable while the input is borrowed (for a progress bar).
#[derive(Debug, Clone, Default)]
pub struct RawBytes(Arc<AtomicU64>);

impl RawBytes {
    /// Bytes taken from the file; runs ahead of what was decoded by up to [`RAW_BUFFER_BYTES`].
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Notes how far a file has come that is not read from its beginning to its end.
    pub fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

struct Counted {
    inner: Box<dyn Read + Send>,
    count: RawBytes,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count.0.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// The bytes of one file as text: unpacked, without a byte-order mark.
///
/// [`Read`] fails with an [`io::Error`] that carries an [`InputError`];
/// [`InputError::from_io`] takes it back out.
pub struct Input {
    name: String,
    packing: Packing,
    raw: RawBytes,
    raw_total: Option<u64>,
    /// The first bytes of the text, read ahead to look for a byte-order mark.
    head: io::Cursor<Vec<u8>>,
    body: Box<dyn Read + Send>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("name", &self.name)
            .field("packing", &self.packing)
            .finish_non_exhaustive()
    }
}

impl Input {
    /// Opens `path`, or standard input when it is `-`.
    ///
    /// # Errors
    /// Every [`InputError`]: the first bytes are read and unpacked here.
    pub fn open(path: &Path) -> Result<Self, InputError> {
        if path.as_os_str() == STDIN_ARGUMENT {
            return Self::from_reader(STDIN_NAME, Box::new(io::stdin()), None);
        }
        let name = path.display().to_string();
        let open = |source| InputError::Open { name: name.clone(), source };
        let file = File::open(path).map_err(open)?;
        let about = file.metadata().map_err(open)?;
        if about.is_dir() {
            return Err(InputError::Directory { name });
        }
        // A pipe or a device says 0, which is not its size.
        let raw_total = about.is_file().then_some(about.len());
        Self::from_reader(&name, Box::new(file), raw_total)
    }

    /// Reads from `reader`, which messages call `name`; `raw_total` is its size in bytes if known.
    ///
    /// # Errors
    /// Every [`InputError`] but `Open` and `Directory`.
    pub fn from_reader(
        name: &str,
        reader: Box<dyn Read + Send>,
        raw_total: Option<u64>,
    ) -> Result<Self, InputError> {
        let raw = RawBytes::default();
        let mut counted = Counted { inner: reader, count: raw.clone() };
        let magic = read_head(&mut counted, MAGIC_BYTES)
            .map_err(|source| InputError::Read { name: name.to_owned(), source })?;
        let packing = Packing::of(&magic);
        let whole =
            BufReader::with_capacity(RAW_BUFFER_BYTES, io::Cursor::new(magic).chain(counted));
        let body = unpack(packing, whole)
            .map_err(|source| InputError::Read { name: name.to_owned(), source })?;
        let name = name.to_owned();
        let mut input = Self { name, packing, raw, raw_total, head: io::Cursor::default(), body };
        input.strip_mark()?;
        Ok(input)
    }

    fn strip_mark(&mut self) -> Result<(), InputError> {
        let head = read_head(&mut self.body, UTF8_BOM.len()).map_err(|e| self.typed(e))?;
        if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
            return Err(InputError::Utf16 { name: self.name.clone() });
        }
        if head != UTF8_BOM {
            self.head = io::Cursor::new(head);
        }
        Ok(())
    }

    /// What messages call this input: the path as it was given, or [`STDIN_NAME`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the bytes are packed.
    #[must_use]
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// The counter of bytes taken from the file, compressed as they are there.
    #[must_use]
    pub fn raw_bytes(&self) -> RawBytes {
        self.raw.clone()
    }

    /// The file's size in bytes as it is there; `None` of pipes and standard input.
    #[must_use]
    pub fn raw_total(&self) -> Option<u64> {
        self.raw_total
    }

    fn typed(&self, source: io::Error) -> InputError {
        let name = self.name.clone();
        let format = self.packing.name();
        match (self.packing, source.kind()) {
            (Packing::Plain, _) => InputError::Read { name, source },
            (_, io::ErrorKind::UnexpectedEof) => {
                InputError::Truncated { name, format, raw_bytes: self.raw.get() }
            }
            // The system's own failures carry its number; a decoder's do not.
            _ if source.raw_os_error().is_some() => InputError::Read { name, source },
            _ => InputError::Damaged { name, format, source },
        }
    }
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.head.read(buf)?;
        if n > 0 || buf.is_empty() {
            return Ok(n);
        }
        loop {
            match self.body.read(buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(io::Error::other(self.typed(e))),
                Ok(n) => return Ok(n),
            }
        }
    }
}

fn unpack<R: BufRead + Send + 'static>(
    packing: Packing,
    raw: R,
) -> io::Result<Box<dyn Read + Send>> {
    Ok(match packing {
        Packing::Plain => Box::new(raw),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(raw)?),
    })
}

/// Reads up to `wanted` bytes; fewer only at the end.
fn read_head(reader: &mut dyn Read, wanted: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(wanted);
    reader.take(wanted as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// The endings that say what a file holds, for each format those that are usual.
pub const FORMAT_ENDINGS: [&str; 11] = [
    ".csv", ".parquet", ".arrow", ".arrows", ".feather", ".ipc", ".ndjson", ".jsonl", ".json",
    ".lp", ".line",
];

/// A file's name without a trailing `.gz` or `.zst`.
#[must_use]
pub fn unpacked_name(name: &str) -> &str {
    name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name)
}

/// The tag value that `@filename` stands for: the file's name without a trailing
/// `.gz` or `.zst` and then without one of [`FORMAT_ENDINGS`]; nothing else is taken off,
/// so that `BRK.B` and `BRK.B.csv.gz` both give `BRK.B`.
///
/// `None` when the path has no name (`..`, `-`), when the name is not UTF-8, or when
/// nothing would be left of it.
#[must_use]
pub fn file_tag(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    if path.as_os_str() == STDIN_ARGUMENT {
        return None;
    }
    let unpacked = unpacked_name(name);
    let tag = FORMAT_ENDINGS.iter().find_map(|ending| unpacked.strip_suffix(ending));
    let tag = tag.unwrap_or(unpacked);
    (!tag.is_empty()).then_some(tag)
}

#[cfg(test)]
mod tests;
