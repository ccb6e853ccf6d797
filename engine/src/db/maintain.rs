//! Flushing, merging and collecting: runs the plans, makes them durable in the manifest, and shows the result to readers.
//! Here and in the log's beginnings are the only commits of the manifest.

use std::sync::Arc;

use parking_lot::Mutex;

use super::outcome::CompactReport;
use crate::clock::Clock;
use crate::commit::{IMPORT_PREFIX, Pipeline};
use crate::compaction::{self, MergeInput, Plan};
use crate::error::{Error, Result};
use crate::flush::{self, SegmentTarget};
use crate::format::names;
use crate::manifest::{Change, Manifest, Version};
use crate::model::{FileId, Sequence, TableId, TableSchema};
use crate::planted::{Bug, is_on};
use crate::reserve::Reserve;
use crate::segment::SegmentInfo;
use crate::snapshot::{Frozen, Install, SegmentHandle, StateCell, View};

/// The owner of background work on files.
pub(super) struct Maintenance {
    /// The commit pipeline.
    pub pipeline: Arc<Pipeline>,
    /// Space for what frees space.
    pub reserve: Arc<Reserve>,
    /// What readers see.
    pub state: Arc<StateCell>,
    /// The manifest.
    pub manifest: Arc<Manifest>,
    /// Where segments go.
    pub target: SegmentTarget,
    /// The database's folder.
    pub dir: std::path::PathBuf,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Segments in a window at which they are merged.
    pub compact_segment_count: usize,
    /// One flush at a time; held over its I/O. Only who holds it moves the log's floor.
    pub flushing: Mutex<()>,
    /// One merge at a time; held over its I/O, while flushes go on.
    pub merging: Mutex<()>,
    /// Held while an edit that changes segments is made and shown to readers, and not over the writing of segments
    /// (docs/decisions/0022-flush-beside-merge.md).
    pub installing: Mutex<()>,
    /// Segments that are no longer part of the database, but perhaps of a snapshot.
    pub garbage: Mutex<Vec<Arc<SegmentHandle>>>,
}

impl Maintenance {
    /// Writes all rows in memory to segments, and lets go of the log behind them. Returns whether there was anything to write.
    ///
    /// # Errors
    /// `Io`: the rows stay in memory and log, a retry is safe. `Poisoned`.
    #[tracing::instrument(level = "info", skip_all)]
    pub(super) fn flush(&self) -> Result<bool> {
        let _flushing = self.flushing.lock();
        self.pipeline.check_open()?;
        let frozen = self.pipeline.freeze()?;
        let added = self.write_frozen(&frozen)?;
        // No merge moves the marks that are looked at here.
        let version = self.manifest.version();
        let nothing = added.is_empty() && frozen.through <= version.catalog_sequence;
        if nothing {
            // Log files of earlier openings may have stayed, whose rows are all in segments.
            let floor = self.pipeline.log_floor(frozen.through);
            if floor > version.log_floor {
                self.commit(&[Change::LogFloor(floor)])?;
                self.pipeline.truncate_log(floor)?;
            }
            return Ok(false);
        }
        self.install_flush(frozen, added, Vec::new())?;
        self.reserve.restore();
        self.pipeline.memory_freed();
        Ok(true)
    }

    /// Writes all rows in memory to segments and lets go of the whole log, whatever is left to write; `more` is in the same edit.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub(super) fn settle(&self, more: Vec<Change>) -> Result<()> {
        let _flushing = self.flushing.lock();
        let frozen = self.pipeline.freeze()?;
        let added = self.write_frozen(&frozen)?;
        self.install_flush(frozen, added, more)
    }

    fn write_frozen(&self, frozen: &Frozen) -> Result<Vec<SegmentInfo>> {
        let mut added = Vec::new();
        for (table, memtables) in frozen.tables.iter().filter(|(_, some)| !some.is_empty()) {
            // The rows of a table that was dropped meanwhile go with it.
            let Some(schema) = frozen.catalog.by_id(*table) else { continue };
            let write = || flush::write_segments(&self.target, schema, memtables);
            match self.reserve.with(0, write) {
                Ok(segments) => added.extend(segments),
                Err(error) => {
                    self.target.remove(&added);
                    return Err(error);
                }
            }
        }
        Ok(added)
    }

    fn install_flush(
        &self,
        frozen: Frozen,
        added: Vec<SegmentInfo>,
        more: Vec<Change>,
    ) -> Result<()> {
        let added: Vec<Arc<_>> = added.into_iter().map(Arc::new).collect();
        let times = self.append_times()?;
        let installing = self.installing.lock();
        let version = self.manifest.version();
        let removed: Vec<FileId> = version
            .all_segments()
            .filter(|segment| frozen.catalog.by_id(segment.table).is_none())
            .map(|segment| segment.file_id)
            .collect();
        let floor = self.pipeline.log_floor(frozen.through);
        let late = is_on(Bug::AdvanceFlushedThrough);
        let through = if late { self.state.inserted() } else { frozen.through };
        let mut changes =
            vec![Change::Catalog { catalog: Arc::clone(&frozen.catalog), through: frozen.through }];
        changes.extend(added.iter().cloned().map(Change::SegmentAdded));
        changes.extend(removed.iter().copied().map(Change::SegmentRemoved));
        for (table, memtables) in &frozen.tables {
            if !memtables.is_empty() && frozen.catalog.by_id(*table).is_some() {
                changes.push(Change::FlushedThrough { table: *table, through });
            }
        }
        changes.extend(tombstone_changes(&version, &frozen));
        let producers =
            frozen.producers.iter().filter(|one| !one.id.starts_with(IMPORT_PREFIX)).cloned();
        let producers: Vec<_> = producers.collect();
        if producers != *version.producers && !is_on(Bug::LoseProducers) {
            changes.push(Change::Producers(Arc::new(producers)));
        }
        changes.extend(times.map(Change::CommitTimes));
        changes.extend(more);
        if floor > version.log_floor {
            changes.push(Change::LogFloor(floor));
        }
        self.commit_or_remove(&changes, &added)?;
        let handles: Vec<_> = added.into_iter().map(|info| self.handle(info)).collect();
        let done: Vec<_> = frozen.tables.iter().flat_map(|(_, some)| some.clone()).collect();
        let gone = self.state.install(&Install {
            added: &handles,
            removed: &removed,
            done: &done,
            applied: &|_| false,
            horizon: None,
        });
        drop(installing);
        self.garbage.lock().extend(gone);
        self.pipeline.truncate_log(floor)?;
        self.collect()
    }

    fn append_times(&self) -> Result<Option<crate::manifest::CommitTimesRef>> {
        let target = &self.target;
        // A copy is written, so that commits do not wait for the disk.
        let mut copy = self.state.with_times(|times| times.clone());
        let (vfs, rng) = (target.vfs.as_ref(), target.rng.as_ref());
        let written =
            self.reserve.with(0, || copy.append_to_file(vfs, rng, &self.dir, target.database_id));
        self.state.with_times(|times| times.adopt_file(copy));
        written
    }

    /// Makes an edit durable; doubt about its fate poisons the engine.
    pub(super) fn commit(&self, changes: &[Change]) -> Result<Arc<Version>> {
        if let Some(cause) = self.pipeline.poisoned() {
            return Err(Error::Poisoned { cause });
        }
        self.reserve.with(0, || self.manifest.commit(changes)).inspect_err(|error| {
            if matches!(error, Error::Poisoned { .. } | Error::Locked { .. }) {
                self.pipeline.poison(&format!("the manifest refused an edit: {error}"));
            }
        })
    }

    /// The same; where the edit certainly was not made, the segments that it adds are removed: a retry writes others.
    pub(super) fn commit_or_remove(
        &self,
        changes: &[Change],
        added: &[Arc<SegmentInfo>],
    ) -> Result<Arc<Version>> {
        self.commit(changes).inspect_err(|error| {
            if matches!(error, Error::Io { .. }) {
                let added: Vec<_> = added.iter().map(|info| info.as_ref().clone()).collect();
                self.target.remove(&added);
            }
        })
    }

    fn handle(&self, info: Arc<SegmentInfo>) -> Arc<SegmentHandle> {
        let (vfs, folder) = (Arc::clone(&self.target.vfs), self.target.folder.clone());
        SegmentHandle::new(vfs, folder, self.target.database_id, info)
    }

    /// Merges segments of all tables: with `settle` everything that can be, else what the segment count asks for.
    ///
    /// # Errors
    /// `Corrupt` for a damaged segment: it stays, and so do the others of its window, while all others are merged. `Io`. `Poisoned`.
    #[tracing::instrument(level = "info", skip_all)]
    pub(super) fn compact(&self, settle: bool) -> Result<CompactReport> {
        let mut report = CompactReport::default();
        let mut failed = None;
        let catalog = Arc::clone(&self.state.view().catalog);
        for schema in catalog.tables() {
            for plan in self.plans(schema, settle) {
                let _merging = self.merging.lock();
                self.pipeline.check_open()?;
                if let Err(error) = self.merge(schema.id, &plan, settle, &mut report) {
                    tracing::warn!(%error, table = %schema.name, "segments could not be merged");
                    failed.get_or_insert(error);
                }
            }
        }
        self.collect()?;
        self.reserve.restore();
        failed.map_or(Ok(report), Err)
    }

    fn plans(&self, schema: &TableSchema, settle: bool) -> Vec<Plan> {
        let version = self.manifest.version();
        let tombstones = self.state.view().table(schema.id).tombstones.clone();
        compaction::plan(
            version.segments_of(schema.id),
            &tombstones,
            self.horizon(schema, &version),
            self.compact_segment_count,
            self.target.window_rows_min,
            settle,
        )
    }

    /// Versions up to here need not be told apart any more: `history` of commit time lies behind them, and they are in segments.
    fn horizon(&self, schema: &TableSchema, version: &Version) -> Sequence {
        self.history_horizon(schema.history_ns).min(version.flushed_through(schema.id))
    }

    /// The last published sequence behind which `history_ns` of commit time lies.
    pub(super) fn history_horizon(&self, history_ns: i64) -> Sequence {
        let published = self.state.snapshot().sequence();
        let moment = self.clock.wall_ns().saturating_sub(history_ns);
        let old = self.state.with_times(|times| times.sequence_at(moment)).unwrap_or_default();
        old.min(published)
    }

    /// The manifest's version and the view of one moment: every segment of the one is in the other.
    pub(super) fn present(&self) -> (Arc<Version>, Arc<View>) {
        let _installing = self.installing.lock();
        (self.manifest.version(), self.state.view())
    }

    fn merge(
        &self,
        table: TableId,
        plan: &Plan,
        settle: bool,
        report: &mut CompactReport,
    ) -> Result<()> {
        let (version, view) = self.present();
        // The schema of now: a flush may have brought segments with columns that came after the plan's tables were listed.
        let Some(schema) = view.catalog.by_id(table) else { return Ok(()) };
        if !has_all(&version, table, plan) {
            // Another merge was faster, or the table was dropped.
            return Ok(());
        }
        let table = view.table(table);
        let named = |handle: &&Arc<SegmentHandle>| plan.inputs.contains(handle.info());
        let readers: Vec<_> = table
            .segments
            .iter()
            .filter(named)
            .map(|handle| handle.reader())
            .collect::<Result<_>>()?;
        // The clock may have jumped back since an input was merged. What that merge served, this one serves: a part of the rows with
        // their deletions applied and a part without could not be told apart in one segment.
        let served = plan.inputs.iter().map(|input| input.tombstones_through).max();
        let horizon = self.horizon(schema, &version).max(served.unwrap_or_default());
        let input = MergeInput {
            schema,
            window: plan.window,
            readers,
            tombstones: &table.tombstones,
            horizon,
        };
        let run = || compaction::merge_segments(&self.target, &input);
        // A merge that nobody asked for waits for room.
        let merged =
            if settle { self.reserve.with(compaction::room_for(&input), run)? } else { run()? };
        // Where no row is left, no segment says what became of them.
        let folded = merged.as_ref().map_or(horizon, |info| info.tombstones_through);
        self.install_merge(schema.id, plan, merged.map(Arc::new), folded, report)
    }

    /// Installs `merged` in the place of the plan's inputs. What else is there may have changed since the merge began.
    fn install_merge(
        &self,
        table: TableId,
        plan: &Plan,
        merged: Option<Arc<SegmentInfo>>,
        folded: Sequence,
        report: &mut CompactReport,
    ) -> Result<()> {
        let installing = self.installing.lock();
        let version = self.manifest.version();
        if !has_all(&version, table, plan) {
            // The table was dropped, and a flush took its segments out.
            let merged: Vec<_> = merged.iter().map(|info| info.as_ref().clone()).collect();
            self.target.remove(&merged);
            return Ok(());
        }
        let removed: Vec<FileId> = plan.inputs.iter().map(|input| input.file_id).collect();
        let mut changes: Vec<Change> = merged.iter().cloned().map(Change::SegmentAdded).collect();
        changes.extend(removed.iter().copied().map(Change::SegmentRemoved));
        let horizon = (folded > version.horizon(table)).then_some((table, folded));
        changes.extend(horizon.map(|(table, through)| Change::Horizon { table, through }));
        let applied = applied_tombstones(&version, table, plan, merged.as_ref());
        let removal = |sequence: &Sequence| Change::TombstoneRemoved { table, sequence: *sequence };
        changes.extend(applied.iter().map(removal));
        let added: Vec<_> = merged.iter().cloned().collect();
        self.commit_or_remove(&changes, &added)?;
        report.segments_before += plan.inputs.len() as u64;
        report.bytes_before += plan.inputs.iter().map(|input| input.len_bytes).sum::<u64>();
        report.segments_after += u64::from(merged.is_some());
        report.bytes_after += merged.as_ref().map_or(0, |info| info.len_bytes);
        let handles: Vec<_> = merged.into_iter().map(|info| self.handle(info)).collect();
        let gone = self.state.install(&Install {
            added: &handles,
            removed: &removed,
            done: &[],
            applied: &|one| one.table == table && applied.contains(&one.sequence),
            horizon,
        });
        drop(installing);
        self.garbage.lock().extend(gone);
        Ok(())
    }

    /// Removes the files of segments that no snapshot reads any more.
    ///
    /// # Errors
    /// `Io`: what is left is removed later, at the latest by the next opening.
    pub(super) fn collect(&self) -> Result<()> {
        let mut garbage = self.garbage.lock();
        let before = garbage.len();
        let mut failed = None;
        garbage.retain(|handle| {
            let is_held = Arc::strong_count(handle) > 1 && !is_on(Bug::CollectHeldSegment);
            if is_held || failed.is_some() {
                return true;
            }
            let path = self.target.folder.join(names::segment_file(handle.info().file_id));
            match self.target.vfs.remove(&path) {
                Err(error) if !error.is_not_found() => {
                    failed = Some(error);
                    true
                }
                _ => false,
            }
        });
        if garbage.len() < before {
            self.target.vfs.sync_dir(&self.target.folder)?;
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Whether every input of `plan` is still part of the database.
fn has_all(version: &Version, table: TableId, plan: &Plan) -> bool {
    plan.inputs.iter().all(|input| version.segments_of(table).contains(input))
}

/// Sequences of the tombstones that hide nothing any more once `merged` has taken the place of the plan's inputs.
fn applied_tombstones(
    version: &Version,
    table: TableId,
    plan: &Plan,
    merged: Option<&Arc<SegmentInfo>>,
) -> Vec<Sequence> {
    let kept = version.segments_of(table).iter().filter(|one| !plan.inputs.contains(one));
    let kept: Vec<_> = kept.chain(merged).cloned().collect();
    let flushed = version.flushed_through(table);
    let tombstones = version.tombstones_of(table).iter();
    let mut applied: Vec<Sequence> = tombstones
        .filter(|one| compaction::removable(one, kept.iter(), flushed))
        .map(|one| one.sequence)
        .collect();
    applied.dedup();
    applied
}

/// Tombstones that the manifest lacks, and those of tables that are gone.
fn tombstone_changes(version: &Version, frozen: &Frozen) -> Vec<Change> {
    let known = if is_on(Bug::LoseTombstones) { Sequence::MAX } else { version.catalog_sequence };
    let new = frozen.tombstones.iter().filter(|one| one.sequence > known);
    let mut changes: Vec<Change> =
        new.map(|one| Change::TombstoneAdded(Arc::new(one.clone()))).collect();
    for (table, known) in &version.tombstones {
        if frozen.catalog.by_id(*table).is_some() {
            continue;
        }
        let mut sequences: Vec<Sequence> = known.iter().map(|one| one.sequence).collect();
        sequences.dedup();
        let removed = |sequence| Change::TombstoneRemoved { table: *table, sequence };
        changes.extend(sequences.into_iter().map(removed));
    }
    changes
}
