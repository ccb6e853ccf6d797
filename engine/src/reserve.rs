//! Space on the disk that is kept for what frees space: flushes, merges, deletions, drops (docs/decisions/0021-disk-reserve.md).
//! Owns the file `RESERVE` and the decision whether batches of rows are taken while the disk is full. The file's bytes mean
//! nothing: it is never synced for its content, and any length of it is sound.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::format::names;
use crate::limits::{RESERVE_PART_COUNT, RESERVE_STEP_BYTES, SPACE_SLACK_BYTES};
use crate::planted::{Bug, is_on};
use crate::vfs::{File, OpenMode, Vfs};

/// The reserve of an open database.
pub struct Reserve {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    /// Bytes that it takes at most; 0: there is none.
    limit_bytes: u64,
    state: Mutex<State>,
    /// Whether this opening has tried to make it.
    tried: AtomicBool,
    /// Whether the disk refused something lately: then batches of rows are taken only after a look at what is free.
    tight: AtomicBool,
    /// How often it was given up.
    given_count: AtomicU64,
}

#[derive(Default)]
struct State {
    held_bytes: u64,
    /// Bytes that were given up and are not back yet.
    given_bytes: u64,
}

impl Reserve {
    /// The reserve of the database in `dir`, as an earlier opening left it. Writes nothing.
    #[must_use]
    pub fn new(vfs: Arc<dyn Vfs>, dir: PathBuf, limit_bytes: u64) -> Self {
        let path = dir.join(names::RESERVE_FILE);
        let held = vfs.open(&path, OpenMode::Read).and_then(|file| file.len_bytes());
        let state = State { held_bytes: held.unwrap_or(0), given_bytes: 0 };
        Self {
            vfs,
            dir,
            limit_bytes,
            state: Mutex::new(state),
            tried: AtomicBool::new(false),
            tight: AtomicBool::new(false),
            given_count: AtomicU64::new(0),
        }
    }

    /// Makes the reserve, once an opening. Where there is no room for it the database works without.
    pub fn make_once(&self) {
        if !self.tried.swap(true, Ordering::AcqRel) {
            self.restore();
        }
    }

    /// Makes the reserve, or makes it again after it was given up, where there is room. Nothing before the first write.
    pub fn restore(&self) {
        if self.tried.load(Ordering::Acquire) {
            self.try_restore(&mut self.state.lock());
        }
    }

    fn try_restore(&self, state: &mut State) {
        let free = self.free_bytes();
        let wanted = if state.given_bytes > 0 {
            // Twice: what takes its place must not find the disk full again at once.
            if free / 2 < state.given_bytes { 0 } else { state.given_bytes }
        } else {
            let share = free.saturating_add(state.held_bytes) / RESERVE_PART_COUNT;
            share / RESERVE_STEP_BYTES * RESERVE_STEP_BYTES
        };
        let wanted = wanted.min(self.limit_bytes);
        let switched_off = self.limit_bytes < state.held_bytes;
        if (wanted <= state.held_bytes || free <= wanted) && !switched_off {
            return;
        }
        let wanted = if switched_off { self.limit_bytes } else { wanted };
        match self.open_or_create().and_then(|file| file.allocate(wanted)) {
            Ok(()) => *state = State { held_bytes: wanted, given_bytes: 0 },
            Err(error) => tracing::warn!(%error, wanted, "no space could be reserved on the disk"),
        }
    }

    fn open_or_create(&self) -> Result<Arc<dyn File>> {
        let path = self.dir.join(names::RESERVE_FILE);
        match self.vfs.open(&path, OpenMode::Write) {
            Err(error) if error.is_not_found() => self.vfs.open(&path, OpenMode::Create),
            opened => opened,
        }
    }

    /// Gives the space back to the disk. Returns whether there was any.
    fn give_up(&self) -> bool {
        let mut state = self.state.lock();
        if state.held_bytes == 0 {
            return false;
        }
        let path = self.dir.join(names::RESERVE_FILE);
        // Cut, not removed: no name changes. File systems with a journal reuse the blocks once the cut is durable.
        let cut = self.vfs.open(&path, OpenMode::Write).and_then(|file| {
            file.allocate(0)?;
            file.sync_data()
        });
        if let Err(error) = cut {
            tracing::warn!(%error, "the reserved space could not be given up");
            return false;
        }
        tracing::warn!(
            bytes = state.held_bytes,
            "the disk is full: the reserved space is given up, and rows are refused until it is back"
        );
        *state = State { held_bytes: 0, given_bytes: state.held_bytes };
        self.tight.store(true, Ordering::Release);
        self.given_count.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Runs `step`, which leaves nothing behind where it fails. Where the disk is too full for it, gives up the reserve and runs it
    /// once more; not where `need_bytes` (0: not known) would be too much for that, too.
    ///
    /// # Errors
    /// Those of `step`.
    pub fn with<T>(&self, need_bytes: u64, mut step: impl FnMut() -> Result<T>) -> Result<T> {
        let given = self.given_count.load(Ordering::Acquire);
        let done = step();
        if !done.as_ref().is_err_and(Error::is_no_space) || is_on(Bug::KeepReserve) {
            return done;
        }
        let there = self.free_bytes().saturating_add(self.state.lock().held_bytes);
        // Another thread may have given it up meanwhile.
        let gave = (there >= need_bytes && self.give_up())
            || given != self.given_count.load(Ordering::Acquire);
        if gave { step() } else { done }
    }

    /// Whether a batch of rows may go to the disk, of about so many bytes: always, until the disk has refused something.
    ///
    /// # Errors
    /// `DiskFull`, at once and as long as there is no room, or the reserve is given up.
    pub fn admit_rows(&self, bytes: u64) -> Result<()> {
        if !self.tight.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut state = self.state.lock();
        if state.held_bytes == 0 {
            self.try_restore(&mut state);
        }
        let wanted = match state.given_bytes {
            0 => bytes.saturating_add(SPACE_SLACK_BYTES),
            given => given.saturating_mul(2),
        };
        let free_bytes = self.free_bytes();
        if free_bytes >= wanted && state.given_bytes == 0 {
            self.tight.store(false, Ordering::Release);
            return Ok(());
        }
        let what = format!("rows are refused until {wanted} bytes are free");
        Err(Error::DiskFull { path: self.dir.clone(), free_bytes, what })
    }

    /// The error as callers get it: of a full disk with the bytes that are free. Notes that the disk is full.
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        if !error.is_no_space() || matches!(error, Error::DiskFull { .. }) {
            return error;
        }
        self.tight.store(true, Ordering::Release);
        let (path, free_bytes) = (self.dir.clone(), self.free_bytes());
        Error::DiskFull { path, free_bytes, what: error.to_string() }
    }

    /// Bytes held, and bytes given up that are not back yet.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.held_bytes, state.given_bytes)
    }

    fn free_bytes(&self) -> u64 {
        self.vfs.free_bytes(&self.dir).unwrap_or(0)
    }
}
