//! Open files, held locks and mapped copies of a simulated disk.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::SimVfs;
use super::disk;
use super::fault::{Fault, IoOp};
use super::state::State;
use crate::error::{Error, Result};
use crate::vfs::{File, LockGuard, Mapped};

/// An open file; its content stays reachable through it when its name is taken away.
pub(super) struct SimFile {
    pub(super) disk: SimVfs,
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) writable: bool,
}

impl SimFile {
    fn check_writable(&self) -> disk::Result<()> {
        if self.writable { Ok(()) } else { Err(Errno::BADF) }
    }

    fn write(&self, state: &mut State, bytes: &[u8], offset: u64, order: u64) -> disk::Result<()> {
        self.check_writable()?;
        state.disk.write(self.number, bytes, offset, order, &state.open)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state().close(self.number);
    }
}

impl File for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len_bytes(&self) -> Result<u64> {
        let state = self.disk.state();
        match state.disk.file(self.number) {
            Ok(file) => Ok(file.volatile_len),
            Err(errno) => Err(Error::io("measure", &self.path, errno.into())),
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.disk.look(IoOp::Read, &self.path, |state, short| {
            let len = short.unwrap_or(usize::MAX).min(buf.len());
            let (buf, _) = buf.split_at_mut(len);
            Ok(state.disk.file(self.number)?.read(buf, offset))
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.disk.mutate_or_fault(IoOp::Write, &self.path, |state, order, fault| match fault {
            None => Ok(self.write(state, bytes, offset, order)?),
            Some(fault) => {
                if let Fault::ShortWrite(len) = fault {
                    let (head, _) = bytes.split_at(len.min(bytes.len()));
                    self.write(state, head, offset, order)?;
                }
                Err(fault.error())
            }
        })
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.disk.mutate(IoOp::Allocate, &self.path, |state, order| {
            self.check_writable()?;
            state.disk.allocate(self.number, len, order, &state.open)
        })
    }

    fn sync_data(&self) -> Result<()> {
        self.disk.mutate_or_fault(IoOp::Sync, &self.path, |state, _, fault| {
            let file = state.disk.file_mut(self.number)?;
            if let Some(fault) = fault {
                file.fail_sync();
                return Err(fault.error());
            }
            file.sync();
            Ok(())
        })
    }

    fn forget_cached(&self) -> Result<()> {
        let mut state = self.disk.state();
        let file = state.disk.file_mut(self.number);
        file.map(super::inode::Inode::forget_lost)
            .map_err(|errno| Error::io("read anew", &self.path, errno.into()))
    }
}

/// A lock on a simulated disk.
pub(super) struct SimLock {
    pub(super) disk: SimVfs,
    pub(super) number: u64,
}

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().unlock(self.number);
    }
}

/// A file's bytes at the time of mapping.
pub(super) struct MappedCopy(pub(super) Vec<u8>);

impl Mapped for MappedCopy {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}
