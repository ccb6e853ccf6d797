//! A simulated disk in use: open files, held locks, armed faults.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::io::Errno;

use super::disk::{self, Disk};
use super::fault::Faults;
use crate::vfs::LockMode;

/// The disk, and what ends with the process or the test.
pub(super) struct State {
    pub(super) disk: Disk,
    /// How often each file is open.
    pub(super) open: BTreeMap<u64, u64>,
    /// Who holds each lock file.
    pub(super) locks: BTreeMap<u64, Held>,
    pub(super) faults: Faults,
}

pub(super) enum Held {
    Shared(u64),
    Exclusive(String),
}

impl State {
    pub(super) fn new(disk: Disk) -> Self {
        Self { disk, open: BTreeMap::new(), locks: BTreeMap::new(), faults: Faults::default() }
    }

    pub(super) fn close(&mut self, number: u64) {
        if let Some(count) = self.open.get_mut(&number) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&number);
            }
        }
    }

    pub(super) fn unlock(&mut self, number: u64) {
        match self.locks.get_mut(&number) {
            Some(Held::Shared(count)) if *count > 1 => *count -= 1,
            _ => {
                self.locks.remove(&number);
            }
        }
    }

    /// Takes a lock. Returns its number, or else who holds it.
    pub(super) fn lock(
        &mut self,
        path: &Path,
        mode: LockMode,
        holder: &str,
        order: u64,
    ) -> disk::Result<std::result::Result<u64, String>> {
        let number = match self.disk.find_file(path) {
            Err(Errno::NOENT) => self.disk.create(path, order)?,
            found => found?,
        };
        let held = match (mode, self.locks.get_mut(&number)) {
            (_, Some(Held::Exclusive(holder))) => return Ok(Err(holder.clone())),
            (LockMode::Exclusive, Some(Held::Shared(_))) => {
                return Ok(Err("readers (shared lock)".to_owned()));
            }
            (LockMode::Shared, Some(Held::Shared(count))) => {
                *count += 1;
                return Ok(Ok(number));
            }
            (LockMode::Shared, None) => Held::Shared(1),
            (LockMode::Exclusive, None) => {
                let file = self.disk.file_mut(number)?;
                file.set_len(0, order);
                file.write(holder.as_bytes(), 0, order);
                Held::Exclusive(holder.to_owned())
            }
        };
        self.locks.insert(number, held);
        Ok(Ok(number))
    }
}
