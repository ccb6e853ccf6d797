//! How a database is opened: limits with units, and the environment that it runs in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::executor::{Executor, ThreadExecutor};
use crate::limits::MANIFEST_CHECKPOINT_EDIT_COUNT;
use crate::rng::{Rng, SeededRng};
use crate::vfs::{OsVfs, Vfs};

/// Where disk, time, randomness and threads come from.
#[derive(Clone)]
pub struct Environment {
    /// The disk.
    pub vfs: Arc<dyn Vfs>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Random bits.
    pub rng: Arc<dyn Rng>,
    /// Threads and waits.
    pub executor: Arc<dyn Executor>,
}

impl Environment {
    /// The operating system's.
    #[must_use]
    pub fn system() -> Self {
        Self {
            vfs: Arc::new(OsVfs),
            clock: Arc::new(SystemClock::default()),
            rng: Arc::new(SeededRng::from_system()),
            executor: Arc::new(ThreadExecutor::new()),
        }
    }
}

/// How a database is opened.
#[derive(Clone)]
pub struct Options {
    /// The database's folder.
    pub dir: PathBuf,
    /// Creates a database where the folder is missing or empty. Ignored by read-only opens.
    pub create: bool,
    /// Bytes for everything that grows; none: a quarter of the smaller of memory and cgroup limit.
    pub memory_bytes: Option<usize>,
    /// Bytes of rows in memory at which they are flushed; none: a quarter of the memory.
    pub flush_bytes: Option<usize>,
    /// Bytes at which a log file is closed and the next begun.
    pub log_file_bytes: u64,
    /// Bytes of zeros that a job keeps ahead of small commits in the log, so that their syncs are short.
    pub log_prepare_bytes: u64,
    /// Bytes of disk that are kept for flushes, merges and deletions on a full disk, at most 1/32 of what is free; 0: none.
    pub reserve_bytes: u64,
    /// Bytes of log at which the tables that hold it back are flushed.
    pub log_bytes_max: u64,
    /// Rows that a segment's window should hold at least: the narrowest window that does is chosen.
    pub window_rows_min: u64,
    /// Segments in a window at which they are merged.
    pub compact_segment_count: usize,
    /// Edits of the manifest between two checkpoints of it; at least 1.
    pub checkpoint_edit_count: u64,
    /// Whether flushes and compactions start by themselves.
    pub background: bool,
    /// Where disk, time, randomness and threads come from.
    pub environment: Environment,
}

impl Options {
    /// The database in `dir`, created when it is missing, on the operating system's disk, clock and threads.
    #[must_use]
    pub fn new(dir: impl AsRef<Path>) -> Self {
        Self {
            dir: dir.as_ref().to_path_buf(),
            create: true,
            memory_bytes: None,
            flush_bytes: None,
            log_file_bytes: 64 << 20,
            log_prepare_bytes: 2 << 20,
            reserve_bytes: 64 << 20,
            log_bytes_max: 512 << 20,
            window_rows_min: 1 << 20,
            compact_segment_count: 8,
            checkpoint_edit_count: MANIFEST_CHECKPOINT_EDIT_COUNT,
            background: true,
            environment: Environment::system(),
        }
    }

    /// The same without creating a database.
    #[must_use]
    pub fn existing(mut self) -> Self {
        self.create = false;
        self
    }
}
