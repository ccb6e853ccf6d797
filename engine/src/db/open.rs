//! Opening: lock, manifest, log, and the state that they give (docs/decisions/0013-opening.md).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::maintain::Maintenance;
use super::options::{Environment, Options};
use super::outcome::RecoveryReport;
use super::quarantine;
use crate::budget::{Memory, MemoryBudget};
use crate::catalog::Catalog;
use crate::commit::{self, IMPORT_PREFIX, Log, LogSizes, Parts, Pipeline};
use crate::error::{Error, Result};
use crate::flush::SegmentTarget;
use crate::format::names;
use crate::limits::LOG_FILL_STEP_BYTES;
use crate::manifest::{CommitTimes, DirState, Manifest, ProducerState, Version};
use crate::memtable::bytes_at_most;
use crate::model::{Rows, Sequence, SeriesKey};
use crate::planted::{Bug, is_on};
use crate::reserve::Reserve;
use crate::segment::SegmentInfo;
use crate::snapshot::{SegmentHandle, StateCell, TableView, View};
use crate::vfs::{LockGuard, LockMode, OpenMode, Vfs};
use crate::wal::{self, LogHole, RawRecord, Record, Recovery};

/// What a database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reading, beside other readers.
    Read,
    /// Writing.
    Write,
    /// Looking for damage, beside readers: damage that a repair can mend does not stop it.
    Inspect,
    /// Mending, as the only one.
    Repair,
}

impl Purpose {
    fn is_writable(self) -> bool {
        matches!(self, Self::Write | Self::Repair)
    }

    fn is_lenient(self) -> bool {
        matches!(self, Self::Inspect | Self::Repair)
    }
}

/// A record of the log that is whole, and cannot be put into the state.
#[derive(Debug, Clone)]
pub(super) struct LostRecord {
    pub(super) path: PathBuf,
    pub(super) sequence: Sequence,
    pub(super) detail: String,
}

/// What a lenient opening passed over.
#[derive(Debug, Default)]
pub(super) struct PassedOver {
    /// Why there are no commit times of before.
    pub(super) times: Option<Error>,
    /// What of the log could not be read.
    pub(super) holes: Vec<LogHole>,
    /// What of the log could be read and does not fit what was read before it.
    pub(super) records: Vec<LostRecord>,
}

/// Everything that an open database consists of.
pub(super) struct Opened {
    pub(super) passed_over: PassedOver,
    pub(super) maintenance: Arc<Maintenance>,
    pub(super) memory: Memory,
    pub(super) recovery: RecoveryReport,
    pub(super) lock: Box<dyn LockGuard>,
}

/// Opens the database of `options`.
pub(super) fn open(options: &Options, purpose: Purpose) -> Result<Opened> {
    let writable = purpose.is_writable();
    let Environment { vfs, rng, .. } = options.environment.clone();
    let dir = options.dir.as_path();
    let state = Manifest::probe(vfs.as_ref(), dir)?;
    let creates = purpose == Purpose::Write && options.create;
    match &state {
        DirState::Foreign { detail } => return Err(not_one(dir, detail)),
        DirState::Missing | DirState::Empty if !creates => {
            let what = if state == DirState::Missing {
                "there is no such directory"
            } else {
                "it is empty"
            };
            return Err(not_one(dir, what));
        }
        DirState::Missing => vfs.create_dir_all(dir)?,
        _ => {}
    }
    let mode = if writable { LockMode::Exclusive } else { LockMode::Shared };
    let holder = format!("process {}", std::process::id());
    let lock = vfs.lock(&dir.join(names::LOCK_FILE), mode, &holder)?;
    let manifest = match Manifest::probe(vfs.as_ref(), dir)? {
        DirState::Database => Manifest::open(Arc::clone(&vfs), Arc::clone(&rng), dir, writable)?,
        _ if creates => Manifest::create(Arc::clone(&vfs), Arc::clone(&rng), dir, rng.next_u128())?,
        _ => return Err(not_one(dir, "it is empty")),
    };
    let manifest = Arc::new(manifest.checkpoint_after(options.checkpoint_edit_count));
    let version = manifest.version();
    let limit_bytes = options.memory_bytes.unwrap_or_else(default_memory_bytes);
    let memory = Memory::new(limit_bytes, options.flush_bytes);
    if writable {
        quarantine::finish(vfs.as_ref(), dir, &version)?;
    }
    let mut passed_over = PassedOver::default();
    let times = load_times(vfs.as_ref(), dir, &version, purpose, &mut passed_over)?;
    let mut replay = Replay::new(&vfs, dir, &version, &memory.rows, times);
    let folder = commit::log_folder(dir);
    if writable && vfs.exists(&folder)? {
        vfs.sync_dir(&folder)?;
        settle_log(vfs.as_ref(), &folder)?;
    }
    let recovered = match purpose.is_lenient() {
        true => replay.whatever_is_left(vfs.as_ref(), &folder, &mut passed_over)?,
        false => wal::recover(
            vfs.as_ref(),
            &folder,
            version.database_id,
            version.log_floor,
            version.log_head,
            !writable,
            &mut |record| replay.record(record),
        )?,
    };
    let mut last = recovered.last.unwrap_or_default().max(version_last(&version));
    if is_on(Bug::ReuseSequence) {
        last = version_last(&version);
    }
    if purpose == Purpose::Write {
        remove_orphans(vfs.as_ref(), dir, &version)?;
    }
    if passed_over.times.is_some() {
        replay.times.pass(last);
    }
    let recovery = report(&recovered, last);
    let reads = Arc::clone(&memory.reads);
    let state = StateCell::new(replay.view, last, replay.producers, replay.times, reads);
    let proven = recovered.durable.unwrap_or_default().max(version_last(&version));
    let durable = if writable { last } else { proven };
    let opened = Opening { options, manifest, version, memory, recovered, last, durable };
    opened.assemble(Arc::new(state), recovery, lock, passed_over)
}

fn not_one(dir: &Path, detail: &str) -> Error {
    Error::NotADatabase { path: dir.to_path_buf(), detail: detail.to_owned() }
}

/// The last sequence that the manifest knows of.
fn version_last(version: &Version) -> Sequence {
    let flushed = version.flushed_through.values().copied().max().unwrap_or_default();
    let lost = version.incarnations.last().map(|(_, last)| *last).unwrap_or_default();
    flushed.max(version.catalog_sequence).max(lost)
}

/// Why rows cannot be put into tables of `catalog`: the table, or a column, is not known there.
fn misfit(catalog: &Catalog, rows: &Rows) -> Option<String> {
    let Some(schema) = catalog.by_id(rows.table) else {
        let is_unknown = !catalog.was_dropped(rows.table);
        return is_unknown.then(|| format!("table {}, which a lost commit made", rows.table.0));
    };
    let tags = |key: &SeriesKey| key.as_bytes().iter().filter(|byte| **byte == 0).count();
    let has_new_tag = rows.keys.iter().any(|key| tags(key) > schema.tags.len());
    let has_new_field = rows.fields.iter().any(|field| field.id.0 >= schema.next_column);
    (has_new_tag || has_new_field)
        .then(|| format!("table {:?} with a column that a lost commit made", schema.name))
}

/// The commit times; where they are damaged and `purpose` goes on without them, those of a database that lost them.
fn load_times(
    vfs: &dyn Vfs,
    dir: &Path,
    version: &Version,
    purpose: Purpose,
    passed_over: &mut PassedOver,
) -> Result<CommitTimes> {
    let Some(found) = &version.commit_times else { return Ok(CommitTimes::new()) };
    match CommitTimes::load(vfs, dir, version.database_id, found) {
        Err(error @ Error::Corrupt(_)) if purpose.is_lenient() => {
            passed_over.times = Some(error);
            Ok(CommitTimes::lost())
        }
        loaded => loaded,
    }
}

struct Opening<'a> {
    options: &'a Options,
    manifest: Arc<Manifest>,
    version: Arc<Version>,
    memory: Memory,
    recovered: Recovery,
    last: Sequence,
    durable: Sequence,
}

impl Opening<'_> {
    fn assemble(
        self,
        state: Arc<StateCell>,
        recovery: RecoveryReport,
        lock: Box<dyn LockGuard>,
        passed_over: PassedOver,
    ) -> Result<Opened> {
        let Environment { vfs, clock, rng, executor } = self.options.environment.clone();
        let dir = self.options.dir.clone();
        state.set_durable(self.durable);
        // On a small disk a small log: a flush needs room beside it, and gives back whole files.
        let free = vfs.free_bytes(&dir).unwrap_or(u64::MAX);
        let log_bytes_max = self.options.log_bytes_max.min((free / 4).max(LOG_FILL_STEP_BYTES));
        let file_bytes = self.options.log_file_bytes.min((free / 16).max(LOG_FILL_STEP_BYTES));
        let sizes = LogSizes { file_bytes, prepare_bytes: self.options.log_prepare_bytes };
        let environment = (Arc::clone(&vfs), Arc::clone(&clock), Arc::clone(&rng));
        let manifest = Arc::clone(&self.manifest);
        let log = Log::new(environment, manifest, dir.clone(), sizes, self.recovered, self.last)?;
        let reserve =
            Arc::new(Reserve::new(Arc::clone(&vfs), dir.clone(), self.options.reserve_bytes));
        let pipeline = Pipeline::new(Parts {
            log,
            reserve: Arc::clone(&reserve),
            state: Arc::clone(&state),
            budget: Arc::clone(&self.memory.rows),
            flush_bytes: self.memory.flush_bytes,
            log_bytes_max,
            clock: Arc::clone(&clock),
            executor,
        });
        let target = SegmentTarget {
            vfs,
            folder: dir.join(names::SEGMENTS_FOLDER),
            rng,
            database_id: self.version.database_id,
            window_rows_min: self.options.window_rows_min,
            memory: self.memory.clone(),
        };
        let maintenance = Maintenance {
            pipeline,
            reserve,
            state,
            manifest: self.manifest,
            target,
            dir,
            clock,
            compact_segment_count: self.options.compact_segment_count,
            flushing: Mutex::new(()),
            merging: Mutex::new(()),
            installing: Mutex::new(()),
            garbage: Mutex::new(Vec::new()),
        };
        let maintenance = Arc::new(maintenance);
        Ok(Opened { passed_over, maintenance, memory: self.memory, recovery, lock })
    }
}

/// The state as manifest and log give it.
struct Replay<'a> {
    version: &'a Version,
    budget: &'a Arc<MemoryBudget>,
    view: View,
    producers: BTreeMap<String, ProducerState>,
    times: CommitTimes,
    dir: &'a Path,
}

impl<'a> Replay<'a> {
    fn new(
        vfs: &Arc<dyn Vfs>,
        dir: &'a Path,
        version: &'a Version,
        budget: &'a Arc<MemoryBudget>,
        times: CommitTimes,
    ) -> Self {
        let folder = dir.join(names::SEGMENTS_FOLDER);
        let mut view = View { catalog: Arc::clone(&version.catalog), tables: BTreeMap::new() };
        for schema in version.catalog.tables() {
            let handle = |info: &Arc<_>| {
                let vfs = Arc::clone(vfs);
                SegmentHandle::new(vfs, folder.clone(), version.database_id, Arc::clone(info))
            };
            let tombstones = version.tombstones_of(schema.id).iter();
            let table = TableView {
                segments: version.segments_of(schema.id).iter().map(handle).collect(),
                tombstones: Arc::new(tombstones.map(|one| one.as_ref().clone()).collect()),
                horizon: version.horizon(schema.id),
                ..TableView::default()
            };
            view.tables.insert(schema.id, Arc::new(table));
        }
        let producers = version.producers.iter().map(|one| (one.id.clone(), one.clone())).collect();
        Self { version, budget, view, producers, times, dir }
    }

    /// Replays of every record that can be read what fits, and notes what does not.
    fn whatever_is_left(
        &mut self,
        vfs: &dyn Vfs,
        folder: &Path,
        passed_over: &mut PassedOver,
    ) -> Result<Recovery> {
        let version = self.version;
        let (floor, head) = (version.log_floor, version.log_head);
        let mut records: Vec<LostRecord> = Vec::new();
        let salvaged =
            wal::salvage(vfs, folder, version.database_id, floor, head, &mut |path, raw| {
                let sequence = raw.sequence;
                if let Some(detail) = self.what_fits(raw)? {
                    let detail = format!("record {sequence}: {detail}");
                    records.push(LostRecord { path: path.to_path_buf(), sequence, detail });
                }
                Ok(())
            })?;
        let mut recovery = salvaged.recovery;
        // Their files hold what was not kept.
        recovery.files.retain(|file| records.iter().all(|record| record.path != file.path));
        passed_over.holes = salvaged.holes;
        passed_over.records = records;
        Ok(recovery)
    }

    /// Puts into the state what of a record fits. What does not, if anything: a lost commit made its table or column.
    fn what_fits(&mut self, raw: RawRecord<'_>) -> Result<Option<String>> {
        let mut record = match Record::decode(raw.bytes) {
            Ok(record) => record,
            Err(error) => return Ok(Some(error.to_string())),
        };
        let mut lost = Vec::new();
        let mut catalog = Arc::clone(&self.view.catalog);
        if raw.sequence > self.version.catalog_sequence {
            record.catalog.retain(|change| match catalog.apply_system(change) {
                Ok(next) => {
                    catalog = Arc::new(next);
                    true
                }
                Err(error) => {
                    lost.push(format!("a change of tables that does not fit: {error}"));
                    false
                }
            });
            if let Some(change) = commit::imports_table(&catalog, &record.rows) {
                catalog = Arc::new(catalog.apply_system(&change)?);
                record.catalog.push(change);
            }
        }
        record.rows.retain(|rows| match misfit(&catalog, rows) {
            None => true,
            Some(detail) => {
                lost.push(format!("{} rows of {detail}", rows.row_count()));
                false
            }
        });
        self.put(raw, record)?;
        Ok((!lost.is_empty()).then(|| lost.join(", ")))
    }

    fn record(&mut self, raw: RawRecord<'_>) -> Result<()> {
        let record = Record::decode(raw.bytes).map_err(|error| {
            let detail = format!("record {}: {error}", raw.sequence);
            Error::corrupt(commit::log_folder(self.dir), raw.offset, "log record", detail)
        })?;
        self.put(raw, record)
    }

    fn put(&mut self, raw: RawRecord<'_>, mut record: Record) -> Result<()> {
        let corrupt = |detail: String| {
            Error::corrupt(commit::log_folder(self.dir), raw.offset, "log record", detail)
        };
        self.times.push(raw.sequence, raw.commit_time_ns);
        if raw.sequence <= self.version.catalog_sequence {
            // Schema, deletions and producers up to there are in the manifest.
            if !is_on(Bug::ReplaySchemaTwice) {
                record.catalog.clear();
            }
            record.deletions.clear();
            record.producer = None;
        }
        let catalog = match record.catalog.as_slice() {
            [] => Arc::clone(&self.view.catalog),
            changes => Arc::new(
                self.view
                    .catalog
                    .apply_system_all(changes)
                    .map_err(|error| corrupt(format!("record {}: {error}", raw.sequence)))?,
            ),
        };
        record.rows.retain(|rows| {
            let flushed = self.version.flushed_through(rows.table);
            (raw.sequence > flushed || is_on(Bug::ReplayFlushedRows))
                && catalog.by_id(rows.table).is_some()
        });
        record.deletions.retain(|one| catalog.by_id(one.table).is_some());
        if let Some(producer) = record.producer.take()
            && !producer.id.starts_with(IMPORT_PREFIX)
        {
            let state = ProducerState {
                id: producer.id,
                number: producer.number,
                sequence: raw.sequence,
                row_count: record.row_count(),
                time_ns: raw.commit_time_ns,
            };
            self.producers.insert(state.id.clone(), state);
        }
        // Rows that an earlier opening took in must fit again; where the budget is smaller now, the next flush mends it.
        let bytes = record.rows.iter().map(bytes_at_most).sum();
        let mut grant = self.budget.grant(bytes, "rows of the log").ok();
        if let Some(next) =
            commit::apply(&self.view, record, raw.sequence, self.budget, grant.as_mut())?
        {
            self.view = next;
        }
        Ok(())
    }
}

/// What is read of the log may be in memory alone: nothing is called durable before it is. After a sync that failed, an earlier process
/// left pages that count as clean and are not on the disk: syncing again would say they are, so they are read from the disk.
fn settle_log(vfs: &dyn Vfs, folder: &Path) -> Result<()> {
    for (_, _, path) in wal::list(vfs, folder)? {
        if is_on(Bug::SkipRecoverySync) {
            continue;
        }
        let file = vfs.open(&path, OpenMode::Write)?;
        file.sync_data()?;
        file.forget_cached()?;
    }
    Ok(())
}

/// Removes segments that the manifest does not name: writing them was cut short, or their removal was.
fn remove_orphans(vfs: &dyn Vfs, dir: &Path, version: &Version) -> Result<()> {
    let folder = dir.join(names::SEGMENTS_FOLDER);
    if !vfs.exists(&folder)? {
        vfs.create_dir_all(&folder)?;
        vfs.sync_dir(dir)?;
        return Ok(());
    }
    // The folder's own name may not be durable either, if its making was cut short.
    vfs.sync_dir(dir)?;
    if let Some(missing) = version.all_segments().find(|one| !is_whole(vfs, &folder, one)) {
        // The manifest may have lost its end: what it does not name may be what took the missing one's place.
        tracing::warn!(segment = %missing.file_id, "a segment is missing or cut: unknown segments are kept");
        return Ok(());
    }
    for name in vfs.list(&folder)? {
        let known = names::parse_segment_file(&name)
            .map(|id| version.all_segments().any(|segment| segment.file_id == id));
        let orphan = known == Some(false) || name.ends_with(names::TEMPORARY_SUFFIX);
        if orphan {
            vfs.remove(&folder.join(&name))?;
        }
    }
    Ok(())
}

fn is_whole(vfs: &dyn Vfs, folder: &Path, info: &SegmentInfo) -> bool {
    let path = folder.join(names::segment_file(info.file_id));
    let len = vfs.open(&path, OpenMode::Read).and_then(|file| file.len_bytes());
    matches!(len, Ok(len) if len == info.len_bytes)
}

fn report(recovered: &Recovery, last: Sequence) -> RecoveryReport {
    RecoveryReport {
        record_count: recovered.record_count,
        last,
        torn_tail: recovered
            .torn
            .clone()
            .map(|torn| (torn.path, torn.offset, torn.len_bytes, torn.detail)),
        damage: recovered.damage.as_ref().map(ToString::to_string),
    }
}

/// A quarter of the smaller of the machine's memory and the cgroup's limit; 1 GiB where neither is told.
fn default_memory_bytes() -> usize {
    chronolith_sys::memory::available_bytes().map_or(1 << 30, |bytes| bytes / 4)
}
