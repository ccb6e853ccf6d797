//! The leader's work: takes the queue as a group, gives it sequences, appends it to the log, syncs, puts the rows in the memtables,
//! publishes, and tells the tickets. Whoever waits for a ticket may lead; a lone writer never hands over.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::apply;
use super::imports;
use super::pipeline::Pipeline;
use super::queue::{Queued, ROWS, payload_of};
use super::submit::rows_bytes;
use super::ticket::{Cell, Failure, Told, WriteOutcome};
use crate::budget::Grant;
use crate::error::Error;
use crate::limits::LOG_SMALL_GROUP_BYTES;
use crate::manifest::ProducerState;
use crate::model::{Durability, Rows, Sequence};
use crate::planted::{Bug, is_on};
use crate::wal::Record;

impl Pipeline {
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
        self.reserve.make_once();
        let appended = if group.iter().any(Queued::has_rows) {
            let admitted = self.reserve.admit_rows(payload.len() as u64);
            admitted.and_then(|()| log.append(&payload, count))
        } else {
            self.reserve.with(0, || log.append(&payload, count))
        };
        let (first, commit_time_ns) = match appended.map_err(|error| self.reserve.explain(error)) {
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
        // Bulk gains nothing by zeros ahead, and would outrun them.
        let small = fsync && payload.len() <= LOG_SMALL_GROUP_BYTES;
        drop(payload);
        for batch in &mut group {
            batch.encoded = Vec::new();
            let rows = batch.grant.bytes().min(rows_bytes(&batch.record));
            // Giving back is never refused.
            let _ = batch.grant.resize(rows, ROWS);
        }
        let durable =
            if early { fsync.then(|| log.last()) } else { log.is_durable().then(|| log.last()) };
        let low = small && log.ahead().is_some_and(|ahead| ahead.is_low());
        drop(log);
        if low && let Some(job) = self.prepare_job.lock().as_ref() {
            job.wake();
        }
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
        self.tell_durable();
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
        mut grant: Grant,
        producer: Option<ProducerState>,
    ) {
        let rows_bytes = record.rows.iter().map(Rows::memory_bytes).sum();
        let granted = grant.bytes();
        let mut parts = vec![record];
        if is_on(Bug::StraddleMemtables) {
            parts = halves(parts);
        }
        if is_on(Bug::HalfBatch) {
            parts = tables(parts);
        }
        let last = parts.len() - 1;
        for (index, part) in parts.into_iter().enumerate() {
            let kept = producer.clone().filter(|one| !one.id.starts_with(imports::IMPORT_PREFIX));
            self.state.insert(sequence, commit_time_ns, kept, |view| {
                apply::apply(view, part, sequence, &self.budget, Some(&mut grant)).unwrap_or_else(
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
        // With the indexes of new series: they may take more than the rows.
        let held = granted.saturating_sub(grant.bytes()).max(rows_bytes);
        self.unfrozen_bytes.fetch_add(held, Ordering::Relaxed);
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
        let is_left = {
            let mut queue = self.pipeline.queue.lock();
            queue.leading = false;
            queue.batches.iter().any(|batch| !batch.waits)
        };
        self.pipeline.changed.notify();
        // The commit job may have looked in vain while somebody led, and nobody waits for these.
        if is_left {
            self.pipeline.hurry();
        }
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

/// The rows of a record in a record a table, for a planted bug.
fn tables(parts: Vec<Record>) -> Vec<Record> {
    let mut out = Vec::new();
    for mut record in parts {
        let rest = record.rows.split_off(record.rows.len().min(1));
        out.push(record);
        out.extend(rest.into_iter().map(|rows| Record { rows: vec![rows], ..Record::default() }));
    }
    out
}

fn part_of(rows: &Rows, first: bool) -> Rows {
    let middle = rows.row_count() / 2;
    let range = if first { 0..middle } else { middle..rows.row_count() };
    super::convert::keep_rows(rows, &range.collect::<Vec<_>>())
}
