//! Zeros ahead of the active log file's end, so that a sync changes neither its length nor its extents. The leader writes groups, a
//! job writes zeros, both into one file: this decides who may write where, and that a failed sync is known to both.
//! Invariant: zeros are written only at or behind `filled_bytes`, groups only below it, or with the lock that zeros are written under.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::limits::{LOG_FILL_BYTES, LOG_FILL_STEP_BYTES, RESERVE_PART_COUNT};
use crate::planted::{Bug, is_on};
use crate::vfs::{File, Vfs};

/// The end of a log file, shared by the leader and the job that prepares it.
pub struct Ahead {
    file: Arc<dyn File>,
    /// The file's folder.
    folder: PathBuf,
    /// Bytes of zeros that there should be behind the groups.
    distance_bytes: u64,
    /// Where the file is full: no zeros go behind it.
    limit_bytes: u64,
    end_bytes: AtomicU64,
    /// Where the next zeros go.
    filled_bytes: AtomicU64,
    /// Held while zeros are written; whether none may be any more.
    fill: Mutex<bool>,
    /// Held while the file is synced; the failure of the first sync that failed.
    failed: Mutex<Option<String>>,
}

/// How a step of preparing failed.
pub enum AheadError {
    /// Zeros could not be written: the log goes on without.
    Write(Error),
    /// The sync failed: the log must be poisoned.
    Sync(Error),
}

impl Ahead {
    pub(super) fn new(
        file: Arc<dyn File>,
        folder: PathBuf,
        (distance_bytes, limit_bytes): (u64, u64),
        (end_bytes, filled_bytes): (u64, u64),
    ) -> Self {
        Self {
            file,
            folder,
            distance_bytes,
            limit_bytes,
            end_bytes: AtomicU64::new(end_bytes),
            filled_bytes: AtomicU64::new(filled_bytes),
            fill: Mutex::new(false),
            failed: Mutex::new(None),
        }
    }

    /// Takes the file up to `end_bytes` for a group. Waits for zeros only where the group would run into them.
    pub(super) fn claim(&self, end_bytes: u64) {
        if end_bytes > self.filled_bytes.load(Ordering::Acquire) {
            let _fill = self.fill.lock();
            self.filled_bytes.fetch_max(end_bytes, Ordering::AcqRel);
        }
        self.end_bytes.fetch_max(end_bytes, Ordering::AcqRel);
    }

    /// Syncs the file.
    ///
    /// # Errors
    /// `Io`, also where the job's sync failed before: what that lost may have been a group, and the system would not tell again.
    pub(super) fn sync(&self) -> Result<()> {
        let mut failed = self.failed.lock();
        self.check_failure(failed.as_deref())?;
        let mut synced = self.file.sync_data();
        if synced.is_err() && is_on(Bug::RetrySync) {
            synced = self.file.sync_data();
        }
        synced.inspect_err(|error| *failed = Some(error.to_string()))
    }

    /// Refuses where a sync failed.
    pub(super) fn check(&self) -> Result<()> {
        self.check_failure(self.failed.lock().as_deref())
    }

    fn check_failure(&self, failed: Option<&str>) -> Result<()> {
        failed.map_or(Ok(()), |text| {
            Err(Error::io("sync", self.file.path(), std::io::Error::other(text.to_owned())))
        })
    }

    /// Ends preparing, after the zeros that are being written.
    pub(super) fn stop(&self) {
        *self.fill.lock() = true;
    }

    /// Bytes that zeros are wanted up to.
    fn target_bytes(&self) -> u64 {
        let wanted = self.end_bytes.load(Ordering::Acquire).saturating_add(self.distance_bytes);
        wanted.min(self.limit_bytes)
    }

    /// Whether less than half of the zeros are left.
    #[must_use]
    pub fn is_low(&self) -> bool {
        let filled = self.filled_bytes.load(Ordering::Acquire);
        filled < self.target_bytes().saturating_sub(self.distance_bytes / 2)
    }

    /// Writes some zeros and syncs them. Returns whether there are more to write.
    ///
    /// # Errors
    /// By what failed.
    pub fn prepare(&self, vfs: &dyn Vfs) -> std::result::Result<bool, AheadError> {
        // A small part of what is free: preparing must not fill the disk.
        let free = vfs.free_bytes(&self.folder).unwrap_or(0);
        if free / RESERVE_PART_COUNT < LOG_FILL_STEP_BYTES.min(self.distance_bytes) {
            return Ok(false);
        }
        let mut written = 0;
        while written < LOG_FILL_STEP_BYTES {
            match self.fill_some().map_err(AheadError::Write)? {
                0 => break,
                more => written += more,
            }
        }
        if written > 0 {
            self.sync().map_err(AheadError::Sync)?;
        }
        Ok(written >= LOG_FILL_STEP_BYTES)
    }

    /// Writes a few zeros, so few that a group which meets them waits for less than a sync takes. Returns their bytes.
    fn fill_some(&self) -> Result<u64> {
        static ZEROS: [u8; LOG_FILL_BYTES] = [0; LOG_FILL_BYTES];
        let stopped = self.fill.lock();
        let from = self.filled_bytes.load(Ordering::Acquire);
        let len = self.target_bytes().saturating_sub(from).min(LOG_FILL_BYTES as u64);
        if *stopped || len == 0 {
            return Ok(0);
        }
        let zeros = ZEROS.get(..usize::try_from(len).unwrap_or(LOG_FILL_BYTES));
        self.file.write_at(zeros.unwrap_or_default(), from)?;
        // Only now: below it groups are written without a look at who else writes.
        self.filled_bytes.store(from + len, Ordering::Release);
        Ok(len)
    }
}
