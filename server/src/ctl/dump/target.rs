//! The folder of a dump on its way: `FOLDER.partial`, which gets its name when it is whole. A process that writes holds a lock
//! in it, so that what a killed one left is told from what another one writes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::super::{CtlError, CtlResult};

/// The file that says that the folder is not whole. It is locked while somebody writes.
pub(in super::super) const INCOMPLETE: &str = "INCOMPLETE";
const INCOMPLETE_TEXT: &str = "This dump was not finished. The next `chronolith dump` to the same folder begins anew in here; \
    or remove the folder.\n";

/// The folder in which a dump of `folder` is written.
pub(in super::super) fn partial(folder: &Path) -> Option<PathBuf> {
    let mut name = folder.file_name()?.to_owned();
    name.push(".partial");
    Some(folder.with_file_name(name))
}

/// An input or output error, for a path.
pub(in super::super) fn failed(path: &Path) -> impl Fn(io::Error) -> CtlError + use<> {
    let name = path.display().to_string();
    move |source| CtlError::Write { name: name.clone(), source }
}

/// A folder that has not its name yet; its files go when it is dropped before.
pub(super) struct Target {
    folder: PathBuf,
    partial: PathBuf,
    _lock: File,
    is_published: bool,
}

impl Target {
    /// Begins.
    ///
    /// # Errors
    /// `Conflict` where something is there, or another process writes; `Write`.
    pub(super) fn create(folder: &Path) -> CtlResult<Self> {
        let Some(partial) = partial(folder) else {
            let text = format!("{} is no name of a folder that can be made", folder.display());
            return Err(CtlError::Invalid(text));
        };
        check_free(folder)?;
        let lock = match fs::create_dir(&partial) {
            Ok(()) => None,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken_over(&partial)?,
            Err(error) => return Err(failed(&partial)(error)),
        };
        let lock = match lock {
            Some(lock) => lock,
            None => begin(&partial)?,
        };
        Ok(Self { folder: folder.to_path_buf(), partial, _lock: lock, is_published: false })
    }

    /// Where files are written for now.
    pub(super) fn path(&self) -> &Path {
        &self.partial
    }

    /// Writes a small file.
    ///
    /// # Errors
    /// `Write`.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> CtlResult<()> {
        let path = self.partial.join(name);
        let mut file = File::create_new(&path).map_err(failed(&path))?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed(&path))
    }

    /// Gives the folder its name; `folders` are those in it. Its files are synced already.
    ///
    /// # Errors
    /// `Write`.
    pub(super) fn publish(mut self, folders: &[String]) -> CtlResult<()> {
        for folder in folders {
            sync(&self.partial.join(folder))?;
        }
        let marker = self.partial.join(INCOMPLETE);
        fs::remove_file(&marker).map_err(failed(&marker))?;
        sync(&self.partial)?;
        fs::rename(&self.partial, &self.folder).map_err(failed(&self.folder))?;
        self.is_published = true;
        Ok(())
    }
}

/// Makes the name of a folder durable.
///
/// # Errors
/// `Write`.
pub(super) fn sync_parent(folder: &Path) -> CtlResult<()> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync(parent.unwrap_or(Path::new(".")))
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_published {
            // The failure that led here matters more than what is left over, which the next dump takes over.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

fn sync(folder: &Path) -> CtlResult<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))
}

fn check_free(folder: &Path) -> CtlResult<()> {
    let about = match fs::symlink_metadata(folder) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(folder)(error)),
    };
    let name = folder.display();
    if !about.is_dir() {
        return Err(CtlError::Conflict(format!("{name} is there and is no folder")));
    }
    match fs::read_dir(folder).map_err(failed(folder))?.next() {
        None => Ok(()),
        Some(_) => Err(CtlError::Conflict(format!(
            "{name} is not empty: a dump needs a folder of its own, which it makes"
        ))),
    }
}

fn begin(partial: &Path) -> CtlResult<File> {
    let path = partial.join(INCOMPLETE);
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = file.map_err(failed(&path))?;
    lock(&file, partial)?;
    file.write_all(INCOMPLETE_TEXT.as_bytes()).map_err(failed(&path))?;
    Ok(file)
}

fn lock(file: &File, partial: &Path) -> CtlResult<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(CtlError::Conflict(format!(
            "another process writes a dump into {}",
            partial.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed(partial)(error)),
    }
}

/// Empties what a killed dump left, and gives its lock; none where the folder is empty.
fn taken_over(partial: &Path) -> CtlResult<Option<File>> {
    let name = partial.display();
    let foreign = || {
        CtlError::Conflict(format!(
            "{name} is in the way, and is not what an interrupted dump leaves: remove it"
        ))
    };
    if !fs::symlink_metadata(partial).map_err(failed(partial))?.is_dir() {
        return Err(foreign());
    }
    let marker = partial.join(INCOMPLETE);
    let entries = || fs::read_dir(partial).map_err(failed(partial));
    let file = match OpenOptions::new().write(true).open(&marker) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return if entries()?.next().is_none() { Ok(None) } else { Err(foreign()) };
        }
        Err(error) => return Err(failed(&marker)(error)),
    };
    lock(&file, partial)?;
    for entry in entries()? {
        let entry = entry.map_err(failed(partial))?;
        let path = entry.path();
        let is_folder = entry.file_type().map_err(failed(&path))?.is_dir();
        if is_folder {
            fs::remove_dir_all(&path).map_err(failed(&path))?;
        } else if path != marker {
            fs::remove_file(&path).map_err(failed(&path))?;
        }
    }
    Ok(Some(file))
}
