//! The one path of a write, and who shares it: `submit` validates, admits by bytes and queues; a `leader` commits the queue as a group;
//! `durable` knows how far the log is. Invariant: batches are published in sequence order, and only once their durability class is met
//! (docs/decisions/0015-publication.md).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::log::Log;
use super::producers::Producers;
use super::queue::Queue;
use super::ticket::Listener;
use crate::budget::MemoryBudget;
use crate::catalog::CatalogChange;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::executor::{Executor, JobHandle, Signal};
use crate::model::Sequence;
use crate::planted::{Bug, is_on};
use crate::reserve::Reserve;
use crate::snapshot::{Frozen, StateCell};
use crate::tombstone::Tombstone;

/// What the pipeline works with.
pub struct Parts {
    /// The log.
    pub log: Log,
    /// Space for what frees space.
    pub reserve: Arc<Reserve>,
    /// The state that readers see.
    pub state: Arc<StateCell>,
    /// The part of the memory budget for rows: above it writes wait.
    pub budget: Arc<MemoryBudget>,
    /// Bytes of rows in memory at which a flush is asked for.
    pub flush_bytes: usize,
    /// Bytes of log at which a flush is asked for.
    pub log_bytes_max: u64,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Threads and waits.
    pub executor: Arc<dyn Executor>,
}

/// What a record without rows commits.
#[derive(Debug, Default)]
pub struct Changes {
    /// Changes of tables and columns.
    pub catalog: Vec<CatalogChange>,
    /// Deletions; their sequence is zero here.
    pub deletions: Vec<Tombstone>,
}

/// Commits batches.
pub struct Pipeline {
    pub(super) queue: Mutex<Queue>,
    pub(super) log: Mutex<Log>,
    pub(super) reserve: Arc<Reserve>,
    pub(super) state: Arc<StateCell>,
    pub(super) budget: Arc<MemoryBudget>,
    pub(super) flush_bytes: usize,
    pub(super) log_bytes_max: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) executor: Arc<dyn Executor>,
    /// Notified when tickets are told, when the leader steps down, and when memory was freed.
    pub(super) changed: Signal,
    /// Bytes of rows that came in since the last freeze.
    pub(super) unfrozen_bytes: AtomicUsize,
    /// Groups that were committed; the commit job looks whether the log is idle.
    pub(super) group_count: AtomicU64,
    pub(super) groups_seen: AtomicU64,
    /// Writers that wait for memory.
    pub(super) waiting: AtomicUsize,
    /// Who waits for something durable after a sequence.
    pub(super) durable_listeners: Mutex<Vec<(Sequence, Listener)>>,
    pub(super) poisoned: Mutex<Option<String>>,
    pub(super) closed: AtomicBool,
    /// Whether the commit job will look at the queue without being woken.
    pub(super) armed: AtomicBool,
    pub(super) commit_job: Mutex<Option<Arc<dyn JobHandle>>>,
    pub(super) flush_job: Mutex<Option<Arc<dyn JobHandle>>>,
    pub(super) prepare_job: Mutex<Option<Arc<dyn JobHandle>>>,
}

impl Pipeline {
    /// A pipeline over recovered parts.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let view = parts.state.view();
        let catalog = Arc::clone(&view.catalog);
        let memtables = view.tables.values().flat_map(|table| table.memtables());
        let recovered_bytes = memtables.map(|one| one.stats().memory_bytes).sum();
        let queue = Queue {
            batches: Vec::new(),
            bytes: 0,
            leading: false,
            catalog,
            producers: Producers::new(parts.state.producers()),
        };
        Arc::new(Self {
            queue: Mutex::new(queue),
            log: Mutex::new(parts.log),
            reserve: parts.reserve,
            state: parts.state,
            budget: parts.budget,
            flush_bytes: parts.flush_bytes,
            log_bytes_max: parts.log_bytes_max,
            clock: parts.clock,
            executor: parts.executor,
            changed: Signal::default(),
            unfrozen_bytes: AtomicUsize::new(recovered_bytes),
            group_count: AtomicU64::new(0),
            groups_seen: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            durable_listeners: Mutex::new(Vec::new()),
            poisoned: Mutex::new(None),
            closed: AtomicBool::new(false),
            armed: AtomicBool::new(false),
            commit_job: Mutex::new(None),
            flush_job: Mutex::new(None),
            prepare_job: Mutex::new(None),
        })
    }

    /// Names the jobs to wake.
    pub fn attach(&self, commit_job: Arc<dyn JobHandle>, flush_job: Option<Arc<dyn JobHandle>>) {
        *self.commit_job.lock() = Some(commit_job);
        *self.flush_job.lock() = flush_job;
    }

    /// Names the job that prepares the log, to be woken when small groups have used up half of what is prepared.
    pub fn attach_preparing(&self, job: Arc<dyn JobHandle>) {
        *self.prepare_job.lock() = Some(job);
    }

    /// Asks the commit job to look at the queue.
    pub(super) fn hurry(&self) {
        if let Some(job) = self.commit_job.lock().clone() {
            job.wake();
        }
    }

    pub(super) fn wake_flush(&self) {
        if let Some(job) = self.flush_job.lock().clone() {
            job.wake();
        }
    }

    /// Refuses every write from now on, and what is queued: for when the job is no more that would commit it.
    pub fn abandon(&self, cause: &str) {
        self.poison(cause);
        self.lead();
    }

    /// Refuses every write from now on.
    pub fn poison(&self, cause: &str) {
        let mut poisoned = self.poisoned.lock();
        if poisoned.is_none() {
            tracing::error!(cause, "writes are refused from now on");
            *poisoned = Some(cause.to_owned());
        }
        drop(poisoned);
        self.changed.notify();
        self.tell_durable();
    }

    /// Why writes are refused, if they are.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.poisoned.lock().clone()
    }

    /// Whether writes are taken.
    ///
    /// # Errors
    /// `Closed`, `Poisoned`.
    pub fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        match self.poisoned() {
            None => Ok(()),
            Some(cause) => Err(Error::Poisoned { cause }),
        }
    }

    /// Whether rows in memory or log files have reached the size at which they are flushed.
    pub fn wants_flush(&self) -> bool {
        self.unfrozen_bytes.load(Ordering::Relaxed) >= self.flush_bytes
            || self.log.lock().size().1 >= self.log_bytes_max
    }

    /// Tells those who wait that memory was freed.
    pub fn memory_freed(&self) {
        self.changed.notify();
    }

    /// Freezes the memtables of all tables, and makes the log durable through them.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn freeze(&self) -> Result<Frozen> {
        let frozen = self.state.freeze(&|_| true);
        self.unfrozen_bytes.store(0, Ordering::Relaxed);
        if !is_on(Bug::FlushBeforeLogDurable) {
            self.sync()?;
        }
        self.check_poison()?;
        Ok(frozen)
    }

    /// The number of the first log file that rows after `through` need.
    #[must_use]
    pub fn log_floor(&self, through: Sequence) -> u64 {
        self.log.lock().floor_for(through.next())
    }

    /// Removes log files below `floor`.
    ///
    /// # Errors
    /// `Io`.
    pub fn truncate_log(&self, floor: u64) -> Result<()> {
        self.log.lock().truncate(floor)
    }

    /// Log files and their bytes.
    #[must_use]
    pub fn log_size(&self) -> (u64, u64) {
        self.log.lock().size()
    }

    /// Commits what is queued, makes everything durable with a witness, and takes no more writes.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.changed.notify();
        self.tell_durable();
        // Until the last group is in: nothing may touch the log once the lock is let go.
        let idle = || {
            let queue = self.queue.lock();
            queue.batches.is_empty() && !queue.leading
        };
        while !idle() {
            if !self.lead() {
                let mut ready = || !self.queue.lock().leading;
                self.executor.wait_until(&self.changed, None, &mut ready);
            }
        }
        self.sync()?;
        let mut log = self.log.lock();
        if log.wants_witness()
            && let Err((error, _)) = log.witness()
        {
            tracing::warn!(%error, "no witness could be written at close");
        }
        if let Err(error) = log.trim() {
            tracing::warn!(%error, "the zeros at the end of the log stay");
        }
        Ok(())
    }
}

/// The folder of the log in the database directory `dir`.
#[must_use]
pub fn log_folder(dir: &std::path::Path) -> PathBuf {
    dir.join(crate::format::names::WAL_FOLDER)
}
