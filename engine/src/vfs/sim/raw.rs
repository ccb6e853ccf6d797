//! Damage done to a simulated disk from outside: it hits what is seen and what is durable alike, and is no call.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::SimVfs;
use super::disk;
use super::inode::Inode;
use super::state::State;
use crate::error::{Error, Result};

impl SimVfs {
    /// The paths of all files, absolute and sorted.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().disk.files_by_path().into_keys().collect()
    }

    /// A file's bytes as seen now. Not counted as a read, and no fault hits it.
    ///
    /// # Errors
    /// `Io` when there is no such file.
    pub fn read_raw(&self, path: &Path) -> Result<Vec<u8>> {
        self.damage("read", path, |state| content(state.disk.file(state.disk.find_file(path)?)?))
    }

    /// Replaces or adds a file, durably, in a folder that exists.
    ///
    /// # Errors
    /// `Io` when the folder does not exist.
    pub fn write_raw(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.damage("write", path, |state| {
            let number = match state.disk.find_file(path) {
                Err(Errno::NOENT) => {
                    let number = state.disk.create(path, 0)?;
                    state.disk.names.settle_last();
                    number
                }
                found => found?,
            };
            state.disk.files.insert(number, Arc::new(Inode::durable_file(bytes)));
            Ok(())
        })
    }

    /// Takes a file's name away, durably.
    ///
    /// # Errors
    /// `Io` when there is no such file.
    pub fn remove_raw(&self, path: &Path) -> Result<()> {
        self.damage("remove", path, |state| {
            state.disk.remove(path, 0)?;
            state.disk.names.settle_last();
            state.disk.collect(&state.open);
            Ok(())
        })
    }

    /// Cuts a file, or lengthens it with zeros, durably.
    ///
    /// # Errors
    /// `Io` when there is no such file.
    pub fn truncate_raw(&self, path: &Path, len: u64) -> Result<()> {
        self.damage("truncate", path, |state| {
            let number = state.disk.find_file(path)?;
            state.disk.file_mut(number)?.damage_len(len);
            Ok(())
        })
    }

    /// Flips bit `bit` (0 to 7, lowest first) of the byte at `offset`.
    ///
    /// # Errors
    /// `Io` when there is no such file, byte or bit.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> Result<()> {
        self.damage("flip a bit of", path, |state| {
            let number = state.disk.find_file(path)?;
            let mask = 1_u8.checked_shl(u32::from(bit)).ok_or(Errno::INVAL)?;
            let file = state.disk.file_mut(number)?;
            if offset >= file.volatile_len {
                return Err(Errno::INVAL);
            }
            file.damage_byte(offset, mask);
            Ok(())
        })
    }

    fn damage<T>(
        &self,
        op: &'static str,
        path: &Path,
        act: impl FnOnce(&mut State) -> disk::Result<T>,
    ) -> Result<T> {
        act(&mut self.state()).map_err(|errno| Error::io(op, path, errno.into()))
    }
}

/// All of a file's bytes as seen now.
pub(super) fn content(file: &Inode) -> disk::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.volatile_len).map_err(|_| Errno::FBIG)?];
    file.read(&mut bytes, 0);
    Ok(bytes)
}
