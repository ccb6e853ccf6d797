//! The one path of a write: validate, admit by bytes, queue; a leader then takes the queue as a group, gives sequences, appends to the
//! log, syncs, puts the rows in the memtables, publishes, and tells the tickets. Whoever waits for a ticket may lead; a lone writer never
//! hands over. Invariant: batches are published in sequence order, and only once their durability class is met
//! (docs/decisions/0015-publication.md).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::apply;
use super::imports;
use super::log::Log;
use super::prepare::{self, Prepared, RefusedRow};
use super::producers::{Producers, Verdict};
use super::ticket::{Cell, Duty, Failure, Ticket, Told, WriteOutcome};
use crate::budget::{Grant, MemoryBudget};
use crate::catalog::{Catalog, CatalogChange};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::executor::{Executor, JobHandle, Signal};
use crate::limits::{BATCH_BYTES_MAX, LOG_GROUP_BYTES_MAX};
use crate::manifest::ProducerState;
use crate::memtable::bytes_at_most;
use crate::model::{Batch, CommitMetadata, Durability, Producer, Rows, Sequence};
use crate::planted::{Bug, is_on};
use crate::snapshot::{Frozen, StateCell};
use crate::tombstone::Tombstone;
use crate::wal::Record;

/// Milliseconds without a group after which the log counts as idle.
const IDLE_MS: u64 = 20;
/// Milliseconds for which a write waits for memory before it is refused.
const PRESSURE_WAIT_MS: u64 = 30_000;
/// Milliseconds after which it looks again by itself.
const PRESSURE_SLICE_MS: u64 = 100;

/// Times that a batch's encoded bytes are in memory: in the queue, in the payload of its group, and in the log's buffer.
const LOG_COPIES: usize = 3;
/// Bytes that a record takes in the log beside those of its rows, roughly.
const ENCODED_BYTES_MORE: usize = 256;
const WHAT: &str = "rows in memory";

/// What the pipeline works with.
pub struct Parts {
    /// The log.
    pub log: Log,
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
    queue: Mutex<Queue>,
    log: Mutex<Log>,
    state: Arc<StateCell>,
    budget: Arc<MemoryBudget>,
    flush_bytes: usize,
    log_bytes_max: u64,
    clock: Arc<dyn Clock>,
    executor: Arc<dyn Executor>,
    /// Notified when tickets are told, when the leader steps down, and when memory was freed.
    changed: Signal,
    /// Bytes of rows that came in since the last freeze.
    unfrozen_bytes: AtomicUsize,
    /// Groups that were committed; the commit job looks whether the log is idle.
    group_count: AtomicU64,
    groups_seen: AtomicU64,
    /// Writers that wait for memory.
    waiting: AtomicUsize,
    poisoned: Mutex<Option<String>>,
    closed: AtomicBool,
    /// Whether the commit job will look at the queue without being woken.
    armed: AtomicBool,
    commit_job: Mutex<Option<Arc<dyn JobHandle>>>,
    flush_job: Mutex<Option<Arc<dyn JobHandle>>>,
}

struct Queue {
    batches: Vec<Queued>,
    bytes: usize,
    leading: bool,
    /// The catalog after everything queued.
    catalog: Arc<Catalog>,
    producers: Producers,
}

/// A batch on its way into the log.
struct Queued {
    record: Record,
    encoded: Vec<u8>,
    refused: Vec<RefusedRow>,
    durability: Durability,
    duty: Duty,
    grant: Grant,
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
            poisoned: Mutex::new(None),
            closed: AtomicBool::new(false),
            armed: AtomicBool::new(false),
            commit_job: Mutex::new(None),
            flush_job: Mutex::new(None),
        })
    }

    /// Names the jobs to wake.
    pub fn attach(&self, commit_job: Arc<dyn JobHandle>, flush_job: Option<Arc<dyn JobHandle>>) {
        *self.commit_job.lock() = Some(commit_job);
        *self.flush_job.lock() = flush_job;
    }

    /// Queues a batch.
    ///
    /// # Errors
    /// Those of validation; `Overloaded` where memory stays full; `SequenceGap`; `Poisoned`; `Closed`.
    pub fn submit(self: &Arc<Self>, batch: Batch, waits: bool) -> Result<Ticket> {
        self.check_open()?;
        refuse_system_tables(&batch)?;
        prepare::check_texts(&batch)?;
        imports::check(&batch)?;
        let mut batch = batch;
        if batch.import.is_some() {
            self.load_import(&batch)?;
        }
        // Before validation and memory: a repeat needs neither.
        if let Some(ticket) = self.repeat(&self.queue.lock(), batch.producer.as_ref())? {
            return Ok(ticket);
        }
        if batch.import.is_some() {
            imports::note(&mut batch, self.clock.wall_ns())?;
        }
        let durability = batch.durability;
        let mut batch = Some(batch);
        loop {
            let catalog = Arc::clone(&self.queue.lock().catalog);
            // Validation may be needed again where another batch changed the schema in between.
            let Some(candidate) = batch.clone() else { break };
            let prepared = prepare::prepare(candidate, &catalog)?;
            if let Some(ticket) = self.enqueue(prepared, &catalog, durability, waits)? {
                batch = None;
                drop(batch);
                return Ok(ticket);
            }
        }
        Err(Error::Internal("a batch was lost before the queue".into()))
    }

    /// Queues changes of the catalog or deletions. `build` gets the catalog that they will meet.
    ///
    /// # Errors
    /// Those of `build`; `Poisoned`; `Closed`.
    pub fn submit_change(
        self: &Arc<Self>,
        build: &dyn Fn(&Catalog) -> Result<Changes>,
    ) -> Result<Ticket> {
        self.check_open()?;
        loop {
            let catalog = Arc::clone(&self.queue.lock().catalog);
            let Changes { catalog: changes, deletions } = build(&catalog)?;
            let after = Arc::new(catalog.apply_system_all(&changes)?);
            let record = Record { catalog: changes, deletions, ..Record::default() };
            let prepared = Prepared { record, catalog: after, refused: Vec::new() };
            if let Some(ticket) = self.enqueue(prepared, &catalog, Durability::Fsync, true)? {
                return Ok(ticket);
            }
        }
    }

    /// Queues a validated batch; none where the catalog is not `expected` any more.
    fn enqueue(
        self: &Arc<Self>,
        prepared: Prepared,
        expected: &Arc<Catalog>,
        durability: Durability,
        waits: bool,
    ) -> Result<Option<Ticket>> {
        let bytes: usize = prepared.record.rows.iter().map(Rows::memory_bytes).sum();
        let rows_bytes = rows_bytes(&prepared.record);
        // A record's bytes are at most its rows' and a few a column.
        let encoded_bytes = bytes + bytes / 8 + ENCODED_BYTES_MORE;
        let mut grant = self.admit(rows_bytes + LOG_COPIES * encoded_bytes)?;
        let mut encoded = Vec::with_capacity(encoded_bytes);
        prepared.record.encode(&mut encoded);
        encoded.shrink_to_fit();
        let held = grant.bytes().min(rows_bytes + LOG_COPIES * encoded.len());
        grant.resize(held, WHAT)?;
        if encoded.len() > BATCH_BYTES_MAX + BATCH_BYTES_MAX / 4 {
            return Err(Error::OverLimit {
                what: "the batch in the log".into(),
                found: encoded.len() as u64,
                limit: BATCH_BYTES_MAX as u64,
                unit: "bytes",
                row: None,
            });
        }
        let cell = Arc::new(Cell::default());
        let mut queue = self.queue.lock();
        // Under the lock: what closing finds in the queue is the last of it.
        self.check_open()?;
        if !Arc::ptr_eq(&queue.catalog, expected) {
            return Ok(None);
        }
        if let Some(ticket) = self.repeat(&queue, prepared.record.producer.as_ref())? {
            return Ok(Some(ticket));
        }
        if let Some(producer) = &prepared.record.producer {
            queue.producers.enqueue(producer, &cell);
        }
        queue.catalog = prepared.catalog;
        queue.bytes += encoded.len();
        queue.batches.push(Queued {
            record: prepared.record,
            encoded,
            refused: prepared.refused,
            durability,
            duty: Duty(Arc::clone(&cell)),
            grant,
        });
        drop(queue);
        if !waits {
            self.armed.store(true, Ordering::Release);
            self.hurry();
        }
        Ok(Some(self.ticket(cell, false)))
    }

    fn ticket(self: &Arc<Self>, cell: Arc<Cell>, repeats: bool) -> Ticket {
        Ticket { cell, pipeline: Arc::clone(self), repeats }
    }

    /// The receipt of a number that was sent before; none for the next one.
    fn repeat(
        self: &Arc<Self>,
        queue: &Queue,
        producer: Option<&Producer>,
    ) -> Result<Option<Ticket>> {
        let Some(producer) = producer else { return Ok(None) };
        Ok(match queue.producers.judge(producer)? {
            Verdict::New => None,
            Verdict::Pending(original) => Some(self.ticket(original, true)),
            Verdict::Applied(state) => {
                let cell = Arc::new(Cell::default());
                cell.tell(Ok(self.applied_before(&state)));
                Some(self.ticket(cell, true))
            }
        })
    }

    fn applied_before(&self, state: &ProducerState) -> WriteOutcome {
        WriteOutcome {
            sequence: state.sequence,
            durable_sequence: self.state.snapshot().durable_sequence(),
            row_count: state.row_count,
            refused: Vec::new(),
            already_applied: true,
        }
    }

    /// Waits until there is memory for `bytes` more of rows.
    fn admit(&self, bytes: usize) -> Result<Grant> {
        // A batch larger than all memory for rows passes alone, with what there is.
        let bytes = bytes.min(self.budget.limit_bytes());
        let mut grant = self.budget.grant(bytes, WHAT);
        if grant.is_err() {
            self.waiting.fetch_add(1, Ordering::AcqRel);
            self.wake_flush();
            let mut ready = || {
                grant = self.budget.grant(bytes, WHAT);
                grant.is_ok() || self.check_open().is_err()
            };
            // In slices: a reader that lets go of a memtable tells nobody.
            for _ in 0..PRESSURE_WAIT_MS / PRESSURE_SLICE_MS {
                if self.executor.wait_until(&self.changed, Some(PRESSURE_SLICE_MS), &mut ready) {
                    break;
                }
            }
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        self.check_open()?;
        grant
    }

    /// Fills in the last number of an import, which only its table knows.
    fn load_import(&self, batch: &Batch) -> Result<()> {
        let Some(producer) = &batch.producer else {
            return Err(Error::invalid("an import's batch needs a producer"));
        };
        if self.queue.lock().producers.is_known(&producer.id) {
            return Ok(());
        }
        if let Some(progress) = imports::progress(&self.state.snapshot(), &producer.id)? {
            let state = ProducerState {
                id: producer.id.clone(),
                number: progress.chunk,
                sequence: Sequence::ZERO,
                row_count: 0,
                time_ns: progress.commit_time_ns,
            };
            self.queue.lock().producers.commit(state);
        }
        Ok(())
    }

    /// Waits for a receipt, leading where nobody does.
    pub(super) fn wait_for(&self, cell: &Cell) -> Told {
        loop {
            if let Some(told) = cell.told() {
                return told;
            }
            if self.lead() {
                continue;
            }
            let mut ready = || cell.told().is_some() || !self.queue.lock().leading;
            self.executor.wait_until(&self.changed, None, &mut ready);
        }
    }

    /// Asks the commit job to look at the queue.
    pub(super) fn hurry(&self) {
        if let Some(job) = self.commit_job.lock().clone() {
            job.wake();
        }
    }

    fn wake_flush(&self) {
        if let Some(job) = self.flush_job.lock().clone() {
            job.wake();
        }
    }

    /// Commits what is queued by now, unless somebody does already. Returns whether it did.
    pub fn lead(&self) -> bool {
        let group = {
            let mut queue = self.queue.lock();
            if queue.leading || queue.batches.is_empty() {
                return false;
            }
            queue.leading = true;
            queue.take_group()
        };
        let mut steps_down = StepDown { pipeline: self, finished: false };
        self.commit_group(group);
        steps_down.finished = true;
        true
    }

    fn commit_group(&self, mut group: Vec<Queued>) {
        let mut log = self.log.lock();
        if let Some(cause) = self.poisoned() {
            drop(log);
            self.fail(group, &Failure::Poisoned(cause));
            return;
        }
        let payload = payload_of(&group);
        let count = u32::try_from(group.len()).unwrap_or(u32::MAX);
        let (first, commit_time_ns) = match log.append(&payload, count) {
            Ok(appended) => appended,
            Err(error) => {
                // Listeners that are told of the failure may ask for the log.
                drop(log);
                match &error {
                    Error::Poisoned { cause } => self.poison(cause),
                    Error::Locked { .. } => {
                        self.poison(&format!("the manifest refused an edit: {error}"));
                    }
                    _ => {}
                }
                tracing::warn!(%error, "a group of batches could not be written");
                let failure =
                    self.poisoned().map_or_else(|| Failure::of(&error), Failure::Poisoned);
                self.fail(group, &failure);
                return;
            }
        };
        let fsync = group.iter().any(|batch| batch.durability == Durability::Fsync);
        let early = is_on(Bug::AcknowledgeBeforeSync);
        let late = is_on(Bug::PublishBeforeDurable);
        if fsync
            && !early
            && !late
            && let Err(error) = log.sync()
        {
            drop(log);
            self.poison(&format!("the log could not be synced: {error}"));
            let failure = Failure::Unknown(error.to_string());
            self.fail(group, &failure);
            return;
        }
        drop(payload);
        for batch in &mut group {
            batch.encoded = Vec::new();
            let rows = batch.grant.bytes().min(rows_bytes(&batch.record));
            // Giving back is never refused.
            let _ = batch.grant.resize(rows, WHAT);
        }
        let durable =
            if early { fsync.then(|| log.last()) } else { log.is_durable().then(|| log.last()) };
        drop(log);
        self.insert(group, first, commit_time_ns, durable);
    }

    /// Puts a group into the memtables, publishes it, and tells its tickets.
    fn insert(
        &self,
        group: Vec<Queued>,
        first: Sequence,
        commit_time_ns: i64,
        durable: Option<Sequence>,
    ) {
        let mut told = Vec::with_capacity(group.len());
        let mut sequence = first;
        for (index, batch) in (0..).zip(group) {
            sequence = Sequence { counter: first.counter + index, ..first };
            let row_count = batch.record.row_count();
            let producer = batch.record.producer.clone().map(|producer| ProducerState {
                id: producer.id,
                number: producer.number,
                sequence,
                row_count,
                time_ns: commit_time_ns,
            });
            self.insert_batch(
                batch.record,
                (sequence, commit_time_ns),
                batch.grant,
                producer.clone(),
            );
            if let Some(state) = producer {
                self.queue.lock().producers.commit(state);
            }
            told.push((batch.duty, sequence, row_count, batch.refused));
        }
        self.state.publish(sequence, durable.unwrap_or(Sequence::ZERO));
        if is_on(Bug::PublishBeforeDurable) {
            let _ = self.sync();
        }
        let durable_sequence = self.state.snapshot().durable_sequence();
        for (duty, sequence, row_count, refused) in told {
            duty.0.tell(Ok(WriteOutcome {
                sequence,
                durable_sequence,
                row_count,
                refused,
                already_applied: false,
            }));
        }
        // Who waits for memory asked for a flush before these rows were there.
        if self.wants_flush() || self.waiting.load(Ordering::Acquire) > 0 {
            self.wake_flush();
        }
        self.group_count.fetch_add(1, Ordering::Relaxed);
        // The job writes a witness once the log is idle, and looks by itself until then.
        if !self.armed.swap(true, Ordering::AcqRel) {
            self.hurry();
        }
    }

    fn insert_batch(
        &self,
        record: Record,
        (sequence, commit_time_ns): (Sequence, i64),
        grant: Grant,
        producer: Option<ProducerState>,
    ) {
        let bytes = record.rows.iter().map(Rows::memory_bytes).sum();
        self.unfrozen_bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut parts = vec![record];
        if is_on(Bug::StraddleMemtables) {
            parts = halves(parts);
        }
        let mut grant = Some(grant);
        let last = parts.len() - 1;
        for (index, part) in parts.into_iter().enumerate() {
            let kept = producer.clone().filter(|one| !one.id.starts_with(imports::IMPORT_PREFIX));
            self.state.insert(sequence, commit_time_ns, kept, |view| {
                apply::apply(view, part, sequence, &self.budget, grant.take()).unwrap_or_else(
                    |error| {
                        // The batch was validated against this very catalog.
                        self.poison(&format!("a committed batch did not apply: {error}"));
                        None
                    },
                )
            });
            if index < last {
                // The planted bug: a flush may come between the halves.
                self.wake_flush();
                self.executor.wait_until(&self.changed, Some(1), &mut || false);
            }
        }
    }

    /// Nothing of the group was kept; what was queued behind it was validated against it, and fails too.
    fn fail(&self, group: Vec<Queued>, failure: &Failure) {
        let behind = {
            let mut queue = self.queue.lock();
            queue.catalog = Arc::clone(self.state.snapshot().catalog());
            queue.producers.forget_pending();
            queue.bytes = 0;
            std::mem::take(&mut queue.batches)
        };
        let retry = match failure {
            Failure::Unknown(cause) => Failure::Poisoned(cause.clone()),
            other => other.clone(),
        };
        for batch in group {
            batch.duty.0.tell(Err(failure.clone()));
        }
        for batch in behind {
            batch.duty.0.tell(Err(retry.clone()));
        }
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

    /// Makes the log durable and publishes that.
    ///
    /// # Errors
    /// `Poisoned` when it fails, or had failed before.
    pub fn sync(&self) -> Result<Sequence> {
        self.check_poison()?;
        let mut log = self.log.lock();
        if let Err(error) = log.sync() {
            drop(log);
            self.poison(&format!("the log could not be synced: {error}"));
            self.check_poison()?;
        } else {
            // Whatever is in the log by now was published, or will be by its leader, which holds this lock until it is.
            let last = log.last();
            drop(log);
            self.state.publish(Sequence::ZERO, last.min(self.state.inserted()));
        }
        Ok(self.state.snapshot().durable_sequence())
    }

    fn check_poison(&self) -> Result<()> {
        self.poisoned().map_or(Ok(()), |cause| Err(Error::Poisoned { cause }))
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

    /// Nanoseconds by which the wall clock lies behind commit times.
    #[must_use]
    pub fn clock_behind_ns(&self) -> i64 {
        self.log.lock().clock_behind_ns()
    }

    /// One step of the commit job: tickets that nobody awaits, then durability and its witness once the log is idle.
    pub fn work(&self) -> crate::executor::JobStatus {
        use crate::executor::JobStatus;
        if self.lead() {
            return JobStatus::More;
        }
        if self.poisoned().is_some() {
            return JobStatus::Idle;
        }
        let groups = self.group_count.load(Ordering::Relaxed);
        if self.groups_seen.swap(groups, Ordering::Relaxed) != groups {
            return JobStatus::After { ms: IDLE_MS };
        }
        self.armed.store(false, Ordering::Release);
        let Some(mut log) = self.log.try_lock() else { return JobStatus::After { ms: 1 } };
        if !log.is_durable() {
            drop(log);
            let _ = self.sync();
            return JobStatus::More;
        }
        // A flush may have synced the log before the group's own leader published it.
        self.state.publish(Sequence::ZERO, log.last().min(self.state.inserted()));
        if log.wants_witness()
            && let Err((error, from_sync)) = log.witness()
        {
            drop(log);
            tracing::warn!(%error, "no witness could be written");
            if from_sync {
                self.poison(&format!("the log could not be synced: {error}"));
            }
        }
        JobStatus::Idle
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
        Ok(())
    }
}

/// Steps down and tells everyone, also where committing panicked.
struct StepDown<'a> {
    pipeline: &'a Pipeline,
    finished: bool,
}

impl Drop for StepDown<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.pipeline.poison("a commit panicked");
        }
        self.pipeline.queue.lock().leading = false;
        self.pipeline.changed.notify();
    }
}

impl Queue {
    /// As many batches as a group takes, from the front.
    fn take_group(&mut self) -> Vec<Queued> {
        if self.bytes <= LOG_GROUP_BYTES_MAX / 2 {
            self.bytes = 0;
            return std::mem::take(&mut self.batches);
        }
        let mut bytes = 0;
        let fits = |batch: &&Queued| {
            bytes += batch.encoded.len() + 4;
            bytes <= LOG_GROUP_BYTES_MAX / 2
        };
        let count = self.batches.iter().take_while(fits).count().max(1);
        let rest = self.batches.split_off(count);
        let group = std::mem::replace(&mut self.batches, rest);
        self.bytes = self.batches.iter().map(|batch| batch.encoded.len()).sum();
        group
    }
}

fn payload_of(group: &[Queued]) -> Vec<u8> {
    let bytes = group.iter().map(|batch| batch.encoded.len() + 4).sum();
    let mut payload = Vec::with_capacity(bytes);
    for batch in group {
        let len = u32::try_from(batch.encoded.len()).unwrap_or(u32::MAX);
        payload.extend_from_slice(&len.to_le_bytes());
        payload.extend_from_slice(&batch.encoded);
    }
    payload
}

/// Bytes that the rows of a record take at most in memtables, with what goes along.
fn rows_bytes(record: &Record) -> usize {
    let rows: usize = record.rows.iter().map(bytes_at_most).sum();
    let metadata = record.metadata.len_bytes() + size_of::<(Sequence, CommitMetadata)>();
    rows + record.rows.len() * metadata
}

/// Users write no system table.
fn refuse_system_tables(batch: &Batch) -> Result<()> {
    match batch
        .tables
        .iter()
        .find(|rows| rows.table.starts_with(crate::catalog::SYSTEM_TABLE_PREFIX))
    {
        None => Ok(()),
        Some(rows) => Err(Error::invalid(format!(
            "table {:?} belongs to the system: names that begin with {:?} are reserved",
            rows.table,
            crate::catalog::SYSTEM_TABLE_PREFIX
        ))),
    }
}

/// The rows of a record in two halves, for a planted bug.
fn halves(parts: Vec<Record>) -> Vec<Record> {
    let mut out = Vec::new();
    for mut record in parts {
        let first: Vec<Rows> = record.rows.iter().map(|rows| part_of(rows, true)).collect();
        let second: Vec<Rows> = record.rows.iter().map(|rows| part_of(rows, false)).collect();
        let rest = Record { rows: second, ..Record::default() };
        record.rows = first;
        out.extend([record, rest]);
    }
    out
}

fn part_of(rows: &Rows, first: bool) -> Rows {
    let middle = rows.row_count() / 2;
    let range = if first { 0..middle } else { middle..rows.row_count() };
    super::convert::keep_rows(rows, &range.collect::<Vec<_>>())
}

/// The folder of the log in the database directory `dir`.
#[must_use]
pub fn log_folder(dir: &std::path::Path) -> PathBuf {
    dir.join(crate::format::names::WAL_FOLDER)
}
