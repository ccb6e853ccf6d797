//! Where results go (`-o FILE`): a file appears whole under its name or not at all.
//! A home of `std::fs` on the command line's side, beside `input.rs`.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Names tried for the temporary file, when others of this process's number are there.
const TEMPORARY_NAMES_MAX: u32 = 100;

/// Why an output file cannot be written; each names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// A directory where a file was expected.
    #[error("{name} is a directory, not a file")]
    Directory {
        /// The path as it was given.
        name: String,
    },
    /// The file cannot be made.
    #[error("cannot write {name}: {source}")]
    Create {
        /// The path as it was given.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The file was written but cannot be synced or renamed: under its name stands what was
    /// there before or, when only the directory's sync failed, the whole result.
    #[error("cannot finish {name}: {source}")]
    Finish {
        /// The path as it was given.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
}

/// A file, or a writer such as standard output.
pub struct Output {
    name: String,
    to: To,
}

enum To {
    Writer(Box<dyn Write + Send>),
    File(Pending),
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Output {
    /// Opens `path`, or `standard` when there is none or it is `-`.
    ///
    /// A regular file is written beside its name and takes it in [`Output::finish`]; when
    /// this is dropped before, what was there stays. A link is followed. What is no regular
    /// file (a pipe, `/dev/null`) is written to directly.
    ///
    /// # Errors
    /// [`OutputError::Directory`], [`OutputError::Create`].
    pub fn open(path: Option<&Path>, standard: Box<dyn Write + Send>) -> Result<Self, OutputError> {
        let Some(path) = path.filter(|p| p.as_os_str() != "-") else {
            return Ok(Self { name: "standard output".to_owned(), to: To::Writer(standard) });
        };
        let name = path.display().to_string();
        let create = |source| OutputError::Create { name: name.clone(), source };
        let to = match std::fs::metadata(path) {
            Ok(about) if about.is_dir() => return Err(OutputError::Directory { name }),
            Ok(about) if about.is_file() => {
                let target = path.canonicalize().map_err(create)?;
                let pending = Pending::create(target).map_err(create)?;
                pending.take_permissions(&about).map_err(create)?;
                To::File(pending)
            }
            Ok(_) => {
                let special = OpenOptions::new().write(true).open(path).map_err(create)?;
                To::Writer(Box::new(special))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                To::File(Pending::create(path.to_path_buf()).map_err(create)?)
            }
            Err(e) => return Err(create(e)),
        };
        Ok(Self { name, to })
    }

    /// What messages call this output: the path as it was given, or `standard output`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the result complete: flushes, and syncs and renames a file.
    ///
    /// # Errors
    /// [`OutputError::Finish`].
    pub fn finish(self) -> Result<(), OutputError> {
        let finished = match self.to {
            To::Writer(mut writer) => writer.flush(),
            To::File(pending) => pending.publish(),
        };
        finished.map_err(|source| OutputError::Finish { name: self.name, source })
    }
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            To::Writer(writer) => writer.write(buf),
            To::File(pending) => pending.file.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Writer(writer) => writer.flush(),
            To::File(pending) => pending.file.flush(),
        }
    }
}

/// A file that has not its name yet; removed when dropped before it gets it.
struct Pending {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    is_published: bool,
}

impl Pending {
    fn create(target: PathBuf) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let mut attempt = 0;
        loop {
            let temporary = target.with_file_name(temporary_name(&name, attempt));
            // Another's leftover of the same name is not ours to remove.
            match OpenOptions::new().write(true).create_new(true).open(&temporary) {
                Ok(file) => return Ok(Self { file, temporary, target, is_published: false }),
                Err(e)
                    if e.kind() == io::ErrorKind::AlreadyExists
                        && attempt < TEMPORARY_NAMES_MAX =>
                {
                    attempt += 1;
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn take_permissions(&self, about: &std::fs::Metadata) -> io::Result<()> {
        self.file.set_permissions(about.permissions())
    }

    fn publish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.temporary, &self.target)?;
        self.is_published = true;
        sync_directory_of(&self.target)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_published {
            // The failure that led here matters more than a leftover file.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

fn temporary_name(name: &std::ffi::OsStr, attempt: u32) -> OsString {
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{attempt}.part", std::process::id()));
    temporary
}

/// A rename is durable once its directory is.
fn sync_directory_of(target: &Path) -> io::Result<()> {
    let parent = target.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests;
