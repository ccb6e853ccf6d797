//! Disks arrive through [`Vfs`]: the operating system's in a product, a simulated one in tests.
//! Every path is absolute or relative to the process; implementations are thread-safe.

mod os;
pub mod sim;
#[cfg(test)]
mod tests;

pub use os::OsVfs;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::planted::{Bug, is_on};

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; must exist.
    Read,
    /// For reading and writing; must exist.
    Write,
    /// For reading and writing; must not exist.
    Create,
}

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// By many readers.
    Shared,
    /// By one writer.
    Exclusive,
}

/// A held lock; dropping it (or the end of the process, by whatever death) releases it.
pub trait LockGuard: Send + Sync {}

/// The bytes of a whole file, mapped or read.
pub trait Mapped: Send + Sync {
    /// The bytes, as they were when mapped (mapped files never change).
    fn bytes(&self) -> &[u8];
}

/// A disk.
pub trait Vfs: Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// `Io`, with `NotFound` or `AlreadyExists` kept as the cause's kind.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>>;

    /// Renames a file in place of whatever `to` names. Durable after `sync_dir` of the folders.
    ///
    /// # Errors
    /// `Io`.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Gives the file at `from` the name `to` if nothing has that name, and takes `from` away (a hard link, then a removal).
    /// Returns false, with `from` kept, when `to` exists. Durable after `sync_dir`.
    ///
    /// # Errors
    /// `Io`.
    fn publish_new(&self, from: &Path, to: &Path) -> Result<bool>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// `Io`.
    fn remove(&self, path: &Path) -> Result<()>;

    /// Creates a folder and its parents; existing ones are fine. Durable after `sync_dir` of the parent.
    ///
    /// # Errors
    /// `Io`.
    fn create_dir_all(&self, path: &Path) -> Result<()>;

    /// Makes the folder's entries durable.
    ///
    /// # Errors
    /// `Io`.
    fn sync_dir(&self, path: &Path) -> Result<()>;

    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// `Io`.
    fn list(&self, path: &Path) -> Result<Vec<String>>;

    /// Whether a file or folder of this name exists.
    ///
    /// # Errors
    /// `Io` where that cannot be told.
    fn exists(&self, path: &Path) -> Result<bool>;

    /// Locks `path` (created when absent) without waiting. An exclusive holder writes `holder` into the file.
    ///
    /// # Errors
    /// `Locked` with the holder's text where another holds it; `Io`.
    fn lock(&self, path: &Path, mode: LockMode, holder: &str) -> Result<Box<dyn LockGuard>>;

    /// Maps a file that no one writes any more.
    ///
    /// # Errors
    /// `Io`.
    fn map(&self, path: &Path) -> Result<Box<dyn Mapped>>;

    /// Bytes free for this process on the disk that holds `path`.
    ///
    /// # Errors
    /// `Io`.
    fn free_bytes(&self, path: &Path) -> Result<u64>;
}

/// An open file.
pub trait File: Send + Sync {
    /// The path it was opened by, for messages.
    fn path(&self) -> &Path;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// `Io`.
    fn len_bytes(&self) -> Result<u64>;

    /// Fills `buf` from `offset`. Returns how many bytes there were: fewer than `buf.len()` only at the end of the file.
    ///
    /// # Errors
    /// `Io`.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize>;

    /// Writes all of `bytes` at `offset`; the file grows as needed. Readable at once, durable after a sync.
    ///
    /// # Errors
    /// `Io`; some of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()>;

    /// Makes the file exactly `len` bytes long, zeros at the end where it grows, with space reserved on the disk.
    ///
    /// # Errors
    /// `Io`, in particular a full disk; the length is then unchanged.
    fn allocate(&self, len: u64) -> Result<()>;

    /// Makes content and length durable (`fdatasync`).
    ///
    /// # Errors
    /// `Io`: nothing may be assumed of what was written since the last sync, and it must not be retried.
    fn sync_data(&self) -> Result<()>;

    /// Lets go of what memory holds of the file, as far as it counts as clean: where the system can do it, later reads show what the
    /// disk kept, also behind a sync that failed once.
    ///
    /// # Errors
    /// `Io`.
    fn forget_cached(&self) -> Result<()>;
}

/// Reads exactly `len` bytes at `offset`.
///
/// # Errors
/// `Corrupt` when the file ends before; `Io`.
pub fn read_exact(file: &dyn File, offset: u64, len: usize, what: &'static str) -> Result<Vec<u8>> {
    let mut buf = vec![0; len];
    let got = file.read_at(&mut buf, offset)?;
    if got < len {
        return Err(crate::error::Error::corrupt(
            file.path(),
            offset,
            what,
            format!("the file ends after {got} of {len} bytes"),
        ));
    }
    Ok(buf)
}

/// Writes a whole new file, makes it durable, and gives it its final name: file, sync, rename, sync of the folder.
/// Returns false, and leaves nothing behind, when `path` exists already.
///
/// # Errors
/// `Io`.
pub fn publish_file(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> Result<bool> {
    let mut name = path.file_name().map(std::ffi::OsStr::to_os_string).unwrap_or_default();
    name.push(".tmp");
    let temporary: PathBuf = path.with_file_name(name);
    if vfs.exists(&temporary)? {
        vfs.remove(&temporary)?;
    }
    let file = vfs.open(&temporary, OpenMode::Create)?;
    if let Err(error) = file.write_at(bytes, 0) {
        // On a full disk half a file must not take the last space.
        let _ = vfs.remove(&temporary);
        return Err(error);
    }
    if !is_on(Bug::NameBeforeContent) {
        file.sync_data()?;
    }
    let published = vfs.publish_new(&temporary, path)?;
    if !published {
        vfs.remove(&temporary)?;
    }
    if let Some(folder) = path.parent().filter(|_| !is_on(Bug::SkipDirectorySync)) {
        vfs.sync_dir(folder)?;
    }
    Ok(published)
}
