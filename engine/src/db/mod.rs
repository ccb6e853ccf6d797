//! The handle of a database: the public operations, each a few steps over the layers below.

mod jobs;
mod maintain;
mod open;
mod options;
mod outcome;
mod quarantine;
mod repair;
mod verify;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use self::jobs::Jobs;
use self::maintain::Maintenance;
use self::open::{PassedOver, Purpose};
use crate::budget::{Memory, MemoryBudget};
use crate::catalog::{self, CatalogChange};
use crate::commit::Changes;
pub use crate::commit::{Committed, RefusedRow, Tail, Ticket, WriteOutcome};
use crate::error::{Error, Result};
use crate::manifest::Quarantined;
use crate::model::{
    Batch, FieldType, ImportProgress, Predicate, Sequence, TableId, TableOptions, TableSchema,
    TimeRange,
};
use crate::read::{AggregateRequest, Aggregation, Scan, ScanBatch, ScanRequest, bind_tags};
use crate::snapshot::Snapshot;
use crate::tombstone::Tombstone;
use crate::vfs::LockGuard;
pub use options::{Environment, Options};
pub use outcome::{
    CompactReport, DamagedPart, DeleteOutcome, Loss, MemoryByUser, RecoveryReport, RepairAction,
    RepairReport, RepairStep, Stats, TableStats, VerifyReport, Vitals,
};

/// A column that a table gains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewColumn {
    /// A tag, the last in sort order.
    Tag(String),
    /// A field.
    Field(String, FieldType),
}
/// How often a change of tables, or a deletion, is tried on a full disk.
const CHANGE_TRY_COUNT: usize = 4;

/// An open database. Clones share it; the last one dropped closes it.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    maintenance: Arc<Maintenance>,
    memory: Memory,
    recovery: RecoveryReport,
    jobs: Jobs,
    writable: bool,
    closed: AtomicBool,
    lock: Mutex<Option<Box<dyn LockGuard>>>,
}

impl Db {
    /// Opens a database for writing; one process at a time can.
    ///
    /// # Errors
    /// `Locked` with the holder's name; `NotADatabase`; `UnsupportedVersion`; `Corrupt` for damage in manifest or log; `Io`.
    #[tracing::instrument(level = "info", skip_all, fields(dir = %options.dir.display()))]
    pub fn open(options: Options) -> Result<Self> {
        Self::open_as(options, true)
    }

    /// Opens a database for reading, beside other readers. Writes nothing but its lock. Of a log that is damaged in the middle the rows
    /// before the damage are served, and [`Self::recovery`] tells of it.
    ///
    /// # Errors
    /// As [`Self::open`].
    #[tracing::instrument(level = "info", skip_all, fields(dir = %options.dir.display()))]
    pub fn open_read_only(options: Options) -> Result<Self> {
        Self::open_as(options, false)
    }

    fn open_as(options: Options, writable: bool) -> Result<Self> {
        let purpose = if writable { Purpose::Write } else { Purpose::Read };
        Self::open_for(&options, purpose).map(|(db, _)| db)
    }

    fn open_for(options: &Options, purpose: Purpose) -> Result<(Self, PassedOver)> {
        let opened = open::open(options, purpose)?;
        let writable = purpose == Purpose::Write;
        let executor = &options.environment.executor;
        let background = options.background && writable;
        let jobs = Jobs::start(executor, &opened.maintenance, background);
        let inner = Inner {
            maintenance: opened.maintenance,
            memory: opened.memory,
            recovery: opened.recovery,
            jobs,
            writable,
            closed: AtomicBool::new(false),
            lock: Mutex::new(Some(opened.lock)),
        };
        Ok((Self { inner: Arc::new(inner) }, opened.passed_over))
    }

    /// Reads and checks every byte of the database of `options`, whether it can be opened or not. Takes the lock as a reader does.
    ///
    /// # Errors
    /// `NotADatabase`; `Locked`; `Io`. Damage is in the report.
    #[tracing::instrument(level = "info", skip_all, fields(dir = %options.dir.display()))]
    pub fn verify_at(options: &Options) -> Result<VerifyReport> {
        match Self::open_for(options, Purpose::Inspect) {
            Ok((db, _)) => db.verify(),
            Err(error) => verify::unopened(options, error),
        }
    }

    /// Repairs the database of `options`: what can be read is kept, damaged files are moved to `quarantine/`. Each step is given to `announce`
    /// before it is done; where not `acts`, none is. Takes the lock as a writer does, or as a reader where not `acts`. May be cut short at
    /// any point, and called again.
    ///
    /// # Errors
    /// `Corrupt` where the manifest cannot be read, or lacks edits: that cannot be repaired. `NotADatabase`; `Locked`; `UnsupportedVersion`;
    /// `Io`, in particular a full disk: what was done stays, a retry goes on.
    #[tracing::instrument(level = "info", skip_all, fields(dir = %options.dir.display()))]
    pub fn repair(
        options: &Options,
        acts: bool,
        announce: &mut dyn FnMut(&RepairStep),
    ) -> Result<RepairReport> {
        let purpose = if acts { Purpose::Repair } else { Purpose::Inspect };
        let (db, passed_over) = Self::open_for(options, purpose)?;
        let report = repair::repair(&db.inner.maintenance, &passed_over, acts, announce)?;
        db.close()?;
        Ok(report)
    }

    /// What repairs have set aside, oldest first, with the names of tables that are still there. Data may be missing where it says.
    #[must_use]
    pub fn quarantined(&self) -> Vec<(Option<String>, Arc<Quarantined>)> {
        let version = self.inner.maintenance.manifest.version();
        let view = self.inner.maintenance.state.view();
        let name = |id| view.catalog.by_id(id).map(|schema| schema.name.clone());
        let named = |one: &Arc<Quarantined>| (one.table.and_then(name), Arc::clone(one));
        version.quarantined.iter().map(named).collect()
    }

    /// What opening found.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.inner.recovery
    }

    fn check_writable(&self, what: &'static str) -> Result<()> {
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        if self.inner.writable { Ok(()) } else { Err(Error::ReadOnly(what)) }
    }

    /// Creates a table.
    ///
    /// # Errors
    /// `TableExists`; `Invalid` and `OverLimit` for names and types; those of writes.
    pub fn create_table(&self, name: &str, options: TableOptions) -> Result<WriteOutcome> {
        self.change(&|catalog| {
            let change = CatalogChange::CreateTable(catalog.plan_table(name, &options));
            catalog.apply(&change)?;
            Ok(Changes { catalog: vec![change], deletions: Vec::new() })
        })
    }

    /// Drops a table with its rows. What was imported into it can be imported anew.
    ///
    /// # Errors
    /// `UnknownTable`; those of writes.
    pub fn drop_table(&self, name: &str) -> Result<WriteOutcome> {
        self.change(&|catalog| {
            let change = CatalogChange::DropTable { table: catalog.get(name)?.id };
            catalog.apply(&change)?;
            Ok(Changes { catalog: vec![change], deletions: Vec::new() })
        })
    }

    /// Adds columns to a table, in this order, behind those it has, in one step.
    ///
    /// # Errors
    /// `UnknownTable`; `Invalid` for bad names and types, and for a column that exists; `OverLimit`; those of writes.
    pub fn add_columns(&self, table: &str, columns: &[NewColumn]) -> Result<WriteOutcome> {
        self.change(&|catalog| {
            let mut next = catalog.clone();
            let mut changes = Vec::with_capacity(columns.len());
            for column in columns {
                let schema = next.get(table)?;
                let change = match column {
                    NewColumn::Tag(name) => CatalogChange::add_tag(schema, name),
                    NewColumn::Field(name, field_type) => {
                        CatalogChange::add_field(schema, name, *field_type)
                    }
                };
                next = next.apply(&change)?;
                changes.push(change);
            }
            Ok(Changes { catalog: changes, deletions: Vec::new() })
        })
    }

    /// Whether the database was opened for writing and is not closed.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.check_writable("write").is_ok()
    }

    fn change(&self, build: &dyn Fn(&catalog::Catalog) -> Result<Changes>) -> Result<WriteOutcome> {
        self.check_writable("change tables")?;
        let pipeline = &self.inner.maintenance.pipeline;
        for _ in 1..CHANGE_TRY_COUNT {
            match pipeline.submit_change(build)?.wait() {
                // It may have stood behind rows, for which there was no room.
                Err(error) if error.is_no_space() => {}
                done => return done,
            }
        }
        pipeline.submit_change(build)?.wait()
    }

    /// Queues a batch; its [`Ticket`] tells when it is committed. While memory is full this waits, at most 30 s, or does not
    /// ([`crate::model::OnPressure`]); it waits for nothing else.
    ///
    /// # Errors
    /// Those of validation; `Overloaded` where memory is full, or stays so; `SequenceGap`; `Poisoned`; `ReadOnly`; `Closed`.
    #[tracing::instrument(level = "trace", skip_all)]
    pub fn submit(&self, batch: Batch) -> Result<Ticket> {
        self.check_writable("write")?;
        self.inner.maintenance.pipeline.submit(batch, false)
    }

    /// Commits a batch and waits for it.
    ///
    /// # Errors
    /// As [`Self::submit`] and [`Ticket::wait`].
    #[tracing::instrument(level = "trace", skip_all)]
    pub fn write(&self, batch: Batch) -> Result<WriteOutcome> {
        self.check_writable("write")?;
        self.inner.maintenance.pipeline.submit(batch, true)?.wait()
    }

    /// Deletes the rows of `table` that the tag conditions and the range select, among those committed before.
    ///
    /// # Errors
    /// `UnknownTable`, `UnknownColumn`; `Invalid` for conditions on fields; those of writes.
    #[tracing::instrument(level = "info", skip_all, fields(table = %table))]
    pub fn delete(
        &self,
        table: &str,
        predicate: &Predicate,
        range: TimeRange,
    ) -> Result<DeleteOutcome> {
        self.check_writable("delete")?;
        if !predicate.fields.is_empty() {
            return Err(Error::invalid("deletes select by tags and time, not by fields"));
        }
        if table.starts_with(catalog::SYSTEM_TABLE_PREFIX) {
            return Err(Error::invalid(format!("table {table:?} belongs to the system")));
        }
        let outcome = self.change(&|catalog| {
            let schema = catalog.get(table)?;
            let tags = bind_tags(schema, predicate)?;
            let tags =
                tags.into_iter().map(|(at, filter)| (u32::try_from(at).unwrap_or(0), filter));
            let tombstone = Tombstone {
                table: schema.id,
                sequence: Sequence::ZERO,
                tags: tags.collect(),
                range,
            };
            tombstone.check()?;
            Ok(Changes { catalog: Vec::new(), deletions: vec![tombstone] })
        })?;
        // What the deletion hides is what the sequence before it shows.
        let sequence = outcome.sequence;
        let before = Sequence { counter: sequence.counter - 1, ..sequence };
        let request =
            ScanRequest::new(table).predicate(predicate.clone()).range(range).columns(&[]);
        let count = || -> Result<u64> {
            let mut scan = self.snapshot().back_to(before).scan(&request)?;
            scan.try_fold(0, |sum, batch| Ok(sum + batch?.row_count() as u64))
        };
        // The deletion is committed: a count that fails is no failure of it.
        let row_count = count().inspect_err(|error| {
            tracing::warn!(%error, "the rows of a deletion could not be counted");
        });
        Ok(DeleteOutcome { sequence, row_count: row_count.ok() })
    }

    /// Everything that is committed by now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.inner.maintenance.state.snapshot()
    }

    /// What was committed up to `sequence`, inclusive.
    ///
    /// # Errors
    /// `SnapshotLost` for a sequence that was lost with an unsynced log, or lies beyond the last. Reads give `SnapshotExpired` where a
    /// table does not keep so old versions.
    pub fn snapshot_at(&self, sequence: Sequence) -> Result<Snapshot> {
        let snapshot = self.snapshot();
        let lost = self.inner.maintenance.manifest.version().lost(sequence);
        let lost = lost.filter(|_| !crate::planted::is_on(crate::planted::Bug::AnswerLostSnapshot));
        let beyond = (sequence > snapshot.sequence()).then_some(snapshot.sequence());
        match lost.or(beyond) {
            Some(recovered) => Err(Error::SnapshotLost { sequence, recovered }),
            None => Ok(snapshot.back_within(sequence, self.horizons(&snapshot))),
        }
    }

    /// For each length of history among the tables, the first sequence that is served.
    fn horizons(&self, snapshot: &Snapshot) -> Vec<(i64, Sequence)> {
        let schemas = snapshot.catalog().tables();
        let histories: BTreeSet<i64> = schemas.map(|schema| schema.history_ns).collect();
        let horizon = |history_ns| (history_ns, self.inner.maintenance.history_horizon(history_ns));
        histories.into_iter().map(horizon).collect()
    }

    /// What was committed at or before `time_ns`, to the commit clock's 100 ms.
    ///
    /// # Errors
    /// `SnapshotExpired` for a moment before what is kept.
    pub fn snapshot_as_of(&self, time_ns: i64) -> Result<Snapshot> {
        let at = self.inner.maintenance.state.with_times(|times| times.sequence_at(time_ns));
        let snapshot = self.snapshot();
        let Some(sequence) = at else {
            return Err(Error::SnapshotExpired {
                sequence: Sequence::ZERO,
                detail: format!("no commit times are kept back to {time_ns} ns"),
            });
        };
        Ok(snapshot.back_within(sequence, self.horizons(&snapshot)))
    }

    /// Scans what is committed by now.
    ///
    /// # Errors
    /// As [`Snapshot::scan`].
    pub fn scan(&self, request: &ScanRequest) -> Result<Scan> {
        self.snapshot().scan(request)
    }

    /// Aggregates what is committed by now.
    ///
    /// # Errors
    /// As [`Snapshot::aggregate`].
    pub fn aggregate(&self, request: &AggregateRequest) -> Result<Aggregation> {
        self.snapshot().aggregate(request)
    }

    /// The last row of each series by now.
    ///
    /// # Errors
    /// As [`Snapshot::latest`].
    pub fn latest(&self, request: &ScanRequest) -> Result<ScanBatch> {
        self.snapshot().latest(request)
    }

    /// The names of the tables that users made, sorted.
    #[must_use]
    pub fn table_names(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let names = snapshot.catalog().names();
        names
            .filter(|name| !name.starts_with(catalog::SYSTEM_TABLE_PREFIX))
            .map(str::to_owned)
            .collect()
    }

    /// The schema of a table.
    ///
    /// # Errors
    /// `UnknownTable`.
    pub fn table_schema(&self, name: &str) -> Result<Arc<TableSchema>> {
        self.snapshot().table(name)
    }

    /// How far the import `producer` has come; none where it has not begun.
    ///
    /// # Errors
    /// As reads.
    pub fn import_progress(&self, producer: &str) -> Result<Option<ImportProgress>> {
        crate::commit::progress(&self.snapshot(), producer)
    }

    /// Follows the log: every durable commit after `from`, in order and once each; first those in the log's files, those of earlier openings
    /// included, then new ones. A flush lets go of log files whether a tail has read them or not.
    ///
    /// # Errors
    /// `LogTruncated` where the log does not reach back to `from`; `SnapshotLost` for a sequence that was lost with an unsynced log, or lies
    /// beyond the last; `Closed`; `Corrupt`; `Io`.
    pub fn tail(&self, from: Sequence) -> Result<Tail> {
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let maintenance = &self.inner.maintenance;
        let version = maintenance.manifest.version();
        let last = maintenance.state.snapshot().sequence();
        let beyond = (from > last).then_some(last);
        if let Some(recovered) = version.lost(from).or(beyond) {
            return Err(Error::SnapshotLost { sequence: from, recovered });
        }
        let (pipeline, vfs) =
            (Arc::clone(&maintenance.pipeline), Arc::clone(&maintenance.target.vfs));
        Tail::new(pipeline, vfs, version.database_id, from)
    }

    /// Calls `listener` once when a commit after `after` is durable, or when none will be any more (the database was closed or is poisoned);
    /// at once where that is so. It may be called with locks held: it must wake somebody and do no more.
    pub fn on_durable(&self, after: Sequence, listener: impl FnOnce() + Send + 'static) {
        self.inner.maintenance.pipeline.on_durable(after, Box::new(listener));
    }

    /// Writes all rows in memory to segments.
    ///
    /// # Errors
    /// `Io`, after which everything is still in memory and log; `Poisoned`; `ReadOnly`.
    pub fn flush(&self) -> Result<()> {
        self.check_writable("flush")?;
        let maintenance = &self.inner.maintenance;
        maintenance.flush().map(|_| ()).map_err(|error| maintenance.reserve.explain(error))
    }

    /// Flushes, then merges segments as far as they can be, encoded as small as they can be.
    ///
    /// # Errors
    /// As [`Self::flush`]; `Corrupt` for a damaged segment, which stays.
    pub fn compact(&self) -> Result<CompactReport> {
        self.check_writable("compact")?;
        let maintenance = &self.inner.maintenance;
        let mut flushed = maintenance.flush();
        if flushed.as_ref().is_err_and(Error::is_no_space) {
            // Merging what is there may give the room.
            let _ = maintenance.compact(true);
            flushed = maintenance.flush();
        }
        let done = flushed.and_then(|_| maintenance.compact(true));
        done.map_err(|error| maintenance.reserve.explain(error))
    }

    /// The database's identity.
    #[must_use]
    pub fn database_id(&self) -> u128 {
        self.inner.maintenance.manifest.version().database_id
    }

    /// The part of the memory budget that is for reads: for whoever computes on what is read.
    #[must_use]
    pub fn reads_budget(&self) -> Arc<MemoryBudget> {
        Arc::clone(&self.inner.memory.reads)
    }

    /// How it is, at once: nothing is read for it.
    #[must_use]
    pub fn vitals(&self) -> Vitals {
        let (memory, maintenance) = (&self.inner.memory.whole, &self.inner.maintenance);
        let committed_ns = maintenance.state.with_times(|times| times.last_time_ns());
        let ahead_ns = |committed: i64| committed.saturating_sub(maintenance.clock.wall_ns());
        Vitals {
            memory_used_bytes: memory.used_bytes() as u64,
            memory_limit_bytes: memory.limit_bytes() as u64,
            poisoned: maintenance.pipeline.poisoned(),
            clock_behind_ns: committed_ns.map_or(0, ahead_ns).max(0),
        }
    }

    /// Figures. Reads the segments' dictionaries, to count series.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.figures(true)
    }

    /// The same without the counts of series, which are none: nothing is read for it.
    #[must_use]
    pub fn stats_at_once(&self) -> Stats {
        self.figures(false)
    }

    fn figures(&self, counts_series: bool) -> Stats {
        let maintenance = &self.inner.maintenance;
        let snapshot = self.snapshot();
        let (log_file_count, log_bytes) = maintenance.pipeline.log_size();
        let schemas = snapshot.catalog().tables();
        let mut tables: Vec<TableStats> = schemas
            .filter(|schema| !schema.name.starts_with(catalog::SYSTEM_TABLE_PREFIX))
            .map(|schema| table_stats(&snapshot, &schema.name, schema.id, counts_series))
            .collect();
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        let memtables = snapshot.view().tables.values();
        let memtables = memtables.flat_map(|table| table.memtables());
        let version = maintenance.manifest.version();
        let memory = &self.inner.memory;
        Stats {
            tables,
            database_id: format!("{:032x}", version.database_id),
            sequence: snapshot.sequence(),
            durable_sequence: snapshot.durable_sequence(),
            log_file_count,
            log_bytes,
            memtable_bytes: memtables.map(|one| one.stats().memory_bytes as u64).sum(),
            memory_used_bytes: memory.whole.used_bytes() as u64,
            memory_peak_bytes: memory.whole.peak_bytes() as u64,
            memory_limit_bytes: memory.whole.limit_bytes() as u64,
            memory_by_user: MemoryByUser {
                rows_bytes: memory.rows.used_bytes() as u64,
                reads_bytes: memory.reads.used_bytes() as u64,
                flush_bytes: memory.flush.used_bytes() as u64,
                merges_bytes: memory.merges.used_bytes() as u64,
            },
            manifest_number: version.number,
            poisoned: maintenance.pipeline.poisoned(),
        }
    }

    /// Reads and checks every byte of the database.
    ///
    /// # Errors
    /// `Io` where a file cannot be read at all for reasons other than damage. Damage is in the report.
    #[tracing::instrument(level = "info", skip_all)]
    pub fn verify(&self) -> Result<VerifyReport> {
        verify::verify(&self.inner.maintenance)
    }

    /// Commits what is queued, makes it durable, ends the background work and lets go of the lock. Later calls do nothing.
    ///
    /// # Errors
    /// `Poisoned` where the last sync failed, now or before.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

impl Inner {
    fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let pipeline = &self.maintenance.pipeline;
        let closed = if self.writable { pipeline.close() } else { Ok(()) };
        pipeline.end();
        self.jobs.stop();
        // A flush or merge that another thread asked for ends before the lock is let go, and none begins.
        let _flushing = self.maintenance.flushing.lock();
        let _merging = self.maintenance.merging.lock();
        if self.writable {
            // What is left is collected by the next opening.
            let _ = self.maintenance.collect();
        }
        *self.lock.lock() = None;
        closed
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the database was dropped and could not be closed cleanly");
        }
    }
}

fn table_stats(snapshot: &Snapshot, name: &str, id: TableId, counts_series: bool) -> TableStats {
    let table = snapshot.view().table(id);
    let mut stats = TableStats { name: name.to_owned(), ..TableStats::default() };
    let mut widen = |first: i64, last: i64| {
        let (min, max) = stats.times.unwrap_or((first, last));
        stats.times = Some((min.min(first), max.max(last)));
    };
    for segment in &table.segments {
        let info = segment.info();
        widen(info.min_time, info.max_time);
        stats.row_count += info.row_count;
        stats.segment_count += 1;
        stats.segment_bytes += info.len_bytes;
    }
    for memtable in table.memtables() {
        let found = memtable.stats();
        if let Some((first, last)) = found.times {
            let (min, max) = stats.times.unwrap_or((first, last));
            stats.times = Some((min.min(first), max.max(last)));
        }
        stats.row_count += found.row_count;
        stats.memory_rows += found.row_count;
    }
    stats.tombstone_count = table.tombstones.len() as u64;
    stats.series_count = counts_series.then(|| snapshot.series_count(name).ok()).flatten();
    stats
}
