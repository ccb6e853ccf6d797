//! From a batch to the queue: repeats, validation, memory. Nothing here waits for the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::imports;
use super::pipeline::{Changes, Pipeline};
use super::prepare::{self, Prepared};
use super::producers::Verdict;
use super::queue::{How, Queue, Queued, ROWS};
use super::ticket::{Cell, Duty, Ticket, WriteOutcome};
use crate::budget::Grant;
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::limits::BATCH_BYTES_MAX;
use crate::manifest::ProducerState;
use crate::memtable::bytes_at_most;
use crate::model::{Batch, CommitMetadata, Durability, OnPressure, Producer, Rows, Sequence};
use crate::planted::{Bug, is_on};
use crate::wal::Record;

/// Milliseconds for which a write waits for memory before it is refused.
const PRESSURE_WAIT_MS: u64 = 30_000;
/// Milliseconds after which it looks again by itself.
const PRESSURE_SLICE_MS: u64 = 100;

/// Times that a batch's encoded bytes are in memory: in the queue, in the payload of its group, and in the log's buffer.
const LOG_COPIES: usize = 3;
/// Bytes that a record takes in the log beside those of its rows, roughly.
const ENCODED_BYTES_MORE: usize = 256;

impl Pipeline {
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
        let how = How { durability: batch.durability, on_pressure: batch.on_pressure, waits };
        let mut batch = Some(batch);
        loop {
            let catalog = Arc::clone(&self.queue.lock().catalog);
            // Validation may be needed again where another batch changed the schema in between.
            let Some(candidate) = batch.clone() else { break };
            let prepared = prepare::prepare(candidate, &catalog)?;
            if let Some(ticket) = self.enqueue(prepared, &catalog, how)? {
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
            let how =
                How { durability: Durability::Fsync, on_pressure: OnPressure::Wait, waits: true };
            if let Some(ticket) = self.enqueue(prepared, &catalog, how)? {
                return Ok(ticket);
            }
        }
    }

    /// Queues a validated batch; none where the catalog is not `expected` any more.
    fn enqueue(
        self: &Arc<Self>,
        prepared: Prepared,
        expected: &Arc<Catalog>,
        how: How,
    ) -> Result<Option<Ticket>> {
        let bytes: usize = prepared.record.rows.iter().map(Rows::memory_bytes).sum();
        if !prepared.record.rows.is_empty() {
            // Before the queue: what frees space must not fail behind rows.
            self.reserve.admit_rows(bytes as u64)?;
        }
        let rows_bytes = rows_bytes(&prepared.record);
        // A record's bytes are at most its rows' and a few a column.
        let encoded_bytes = bytes + bytes / 8 + ENCODED_BYTES_MORE;
        let mut grant = self.admit(rows_bytes + LOG_COPIES * encoded_bytes, how.on_pressure)?;
        let mut encoded = Vec::with_capacity(encoded_bytes);
        prepared.record.encode(&mut encoded);
        encoded.shrink_to_fit();
        let held = grant.bytes().min(rows_bytes + LOG_COPIES * encoded.len());
        grant.resize(held, ROWS)?;
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
            durability: how.durability,
            waits: how.waits,
            duty: Duty(Arc::clone(&cell)),
            grant,
        });
        drop(queue);
        if !how.waits {
            self.armed.store(true, Ordering::Release);
            self.hurry();
        }
        Ok(Some(self.ticket(cell, false)))
    }

    fn ticket(self: &Arc<Self>, cell: Arc<Cell>, repeats: bool) -> Ticket {
        Ticket { cell, pipeline: Arc::clone(self), repeats, waker: None }
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

    /// Fills in the last number of an import, which only its table knows.
    fn load_import(&self, batch: &Batch) -> Result<()> {
        let Some(producer) = &batch.producer else {
            return Err(Error::invalid("an import's batch needs a producer"));
        };
        if self.queue.lock().producers.is_known(&producer.id) || is_on(Bug::ForgetImportNumber) {
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

    /// Memory for `bytes` more of rows. Waits for it, or refuses at once.
    fn admit(&self, bytes: usize, on_pressure: OnPressure) -> Result<Grant> {
        // A batch larger than all memory for rows passes alone, with what there is.
        let bytes = bytes.min(self.budget.limit_bytes());
        let mut grant = self.budget.grant(bytes, ROWS);
        if grant.is_err() && on_pressure == OnPressure::Refuse {
            self.wake_flush();
        } else if grant.is_err() {
            self.waiting.fetch_add(1, Ordering::AcqRel);
            self.wake_flush();
            let mut ready = || {
                grant = self.budget.grant(bytes, ROWS);
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
}

/// Bytes that the rows of a record take at most in memtables, with what goes along.
pub(super) fn rows_bytes(record: &Record) -> usize {
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
