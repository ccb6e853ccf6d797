//! A disk of one file in memory, as cheap as it gets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronolith_engine::vfs::{File, LockGuard, LockMode, Mapped, OpenMode, Vfs};
use chronolith_engine::{Error, Result};

/// Whatever is opened is this file.
pub(crate) struct OneFile {
    file: Arc<Content>,
    names: Vec<String>,
}

struct Content {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl OneFile {
    /// A disk with `bytes` under `name`.
    pub(crate) fn new(name: String, bytes: &[u8]) -> Self {
        let file = Arc::new(Content { path: PathBuf::from(&name), bytes: bytes.to_vec() });
        Self { file, names: vec![name] }
    }
}

fn refused<T>(path: &Path) -> Result<T> {
    Err(Error::io("write", path, std::io::ErrorKind::ReadOnlyFilesystem.into()))
}

impl Vfs for OneFile {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        if mode != OpenMode::Read {
            return refused(path);
        }
        Ok(Arc::clone(&self.file) as _)
    }

    fn rename(&self, from: &Path, _: &Path) -> Result<()> {
        refused(from)
    }

    fn publish_new(&self, from: &Path, _: &Path) -> Result<bool> {
        refused(from)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        refused(path)
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        refused(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        refused(path)
    }

    fn list(&self, _: &Path) -> Result<Vec<String>> {
        Ok(self.names.clone())
    }

    fn exists(&self, _: &Path) -> Result<bool> {
        Ok(true)
    }

    fn lock(&self, path: &Path, _: LockMode, _: &str) -> Result<Box<dyn LockGuard>> {
        refused(path)
    }

    fn map(&self, path: &Path) -> Result<Box<dyn Mapped>> {
        refused(path)
    }

    fn free_bytes(&self, _: &Path) -> Result<u64> {
        Ok(0)
    }
}

impl File for Content {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len_bytes(&self) -> Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.bytes.get(from..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, _: &[u8], _: u64) -> Result<()> {
        refused(&self.path)
    }

    fn allocate(&self, _: u64) -> Result<()> {
        refused(&self.path)
    }

    fn sync_data(&self) -> Result<()> {
        refused(&self.path)
    }

    fn forget_cached(&self) -> Result<()> {
        refused(&self.path)
    }
}
