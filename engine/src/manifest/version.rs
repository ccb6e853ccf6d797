//! A version: what the database consists of after an edit. Versions are immutable and shared; applying changes is pure and
//! strict, so a wrong edit is refused before it is written, and damage that passes the checksums is found when it is read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::CommitTimesRef;
use super::change::{Change, ProducerState, Quarantined, check_encodable};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::model::{FileId, Sequence, TableId};
use crate::planted::{Bug, is_on};
use crate::segment::SegmentInfo;
use crate::tombstone::Tombstone;

/// The state after edit `number`.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// The last edit that is applied; 0 before any.
    pub number: u64,
    /// The database's random identity.
    pub database_id: u128,
    /// The present incarnation; 0 before the first writing open.
    pub incarnation: u32,
    /// Every incarnation with the last sequence that was recovered before it, ascending.
    pub incarnations: Arc<Vec<(u32, Sequence)>>,
    /// Segments of each table that has any, sorted by (window start, least sequence, file id).
    pub segments: BTreeMap<TableId, Arc<Vec<Arc<SegmentInfo>>>>,
    /// The tables. Segments may belong to tables that it lacks: dropped ones, or ones made after `catalog_sequence`.
    pub catalog: Arc<Catalog>,
    /// The last sequence whose changes `catalog` holds, inclusive.
    pub catalog_sequence: Sequence,
    /// The sequence up to which each table's rows are in segments, inclusive.
    pub flushed_through: BTreeMap<TableId, Sequence>,
    /// The sequence up to which merges of each table have folded versions or applied deletions, inclusive.
    pub horizons: BTreeMap<TableId, Sequence>,
    /// Deletes of each table that has any, by sequence.
    pub tombstones: BTreeMap<TableId, Arc<Vec<Arc<Tombstone>>>>,
    /// All producers, by id.
    pub producers: Arc<Vec<ProducerState>>,
    /// The first log file that is still needed.
    pub log_floor: u64,
    /// The log file that takes groups, by number and identity; none before the first write.
    pub log_head: Option<(u64, FileId)>,
    /// The side file of commit times.
    pub commit_times: Option<CommitTimesRef>,
    /// What was set aside, oldest first.
    pub quarantined: Arc<Vec<Arc<Quarantined>>>,
}

impl Version {
    /// The version before any edit.
    #[must_use]
    pub fn empty(database_id: u128) -> Self {
        Self {
            number: 0,
            database_id,
            incarnation: 0,
            incarnations: Arc::default(),
            segments: BTreeMap::new(),
            catalog: Arc::default(),
            catalog_sequence: Sequence::ZERO,
            flushed_through: BTreeMap::new(),
            horizons: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            producers: Arc::default(),
            log_floor: 0,
            log_head: None,
            commit_times: None,
            quarantined: Arc::default(),
        }
    }

    /// The version after one more edit that consists of `changes`, in order.
    ///
    /// # Errors
    /// `Internal` where a change contradicts the state: a segment added twice, an absent one removed, a mark moved back.
    pub fn apply(&self, changes: &[Change]) -> Result<Self> {
        let mut draft = Draft::new(self.clone());
        draft.edit(changes).map_err(|detail| {
            Error::Internal(format!("manifest edit {} is wrong: {detail}", self.number + 1))
        })?;
        Ok(draft.version)
    }

    /// The table's segments, sorted by (window start, least sequence, file id).
    #[must_use]
    pub fn segments_of(&self, table: TableId) -> &[Arc<SegmentInfo>] {
        self.segments.get(&table).map_or(&[], |segments| segments.as_slice())
    }

    /// The segments of every table.
    pub fn all_segments(&self) -> impl Iterator<Item = &Arc<SegmentInfo>> {
        self.segments.values().flat_map(|segments| segments.iter())
    }

    /// The table's tombstones by sequence.
    #[must_use]
    pub fn tombstones_of(&self, table: TableId) -> &[Arc<Tombstone>] {
        self.tombstones.get(&table).map_or(&[], |tombstones| tombstones.as_slice())
    }

    /// The sequence up to which the table's rows are in segments, inclusive.
    #[must_use]
    pub fn flushed_through(&self, table: TableId) -> Sequence {
        self.flushed_through.get(&table).copied().unwrap_or_default()
    }

    /// The sequence below which no view of the table is whole any more; zero before any merge that folded.
    #[must_use]
    pub fn horizon(&self, table: TableId) -> Sequence {
        self.horizons.get(&table).copied().unwrap_or_default()
    }

    /// The producer `id`.
    #[must_use]
    pub fn producer(&self, id: &str) -> Option<&ProducerState> {
        let at = self.producers.binary_search_by(|known| known.id.as_str().cmp(id)).ok()?;
        self.producers.get(at)
    }

    /// The last sequence that was recovered of `sequence`'s incarnation, where `sequence` lies beyond it and so was lost.
    #[must_use]
    pub fn lost(&self, sequence: Sequence) -> Option<Sequence> {
        let next = self.incarnations.partition_point(|(number, _)| *number <= sequence.incarnation);
        let (_, recovered) = self.incarnations.get(next)?;
        (sequence > *recovered).then_some(*recovered)
    }

    /// The changes that make this version of the empty one: a checkpoint's content.
    pub(super) fn to_changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (number, previous_last) in self.incarnations.iter() {
            changes.push(Change::Incarnation { number: *number, previous_last: *previous_last });
        }
        let (catalog, through) = (Arc::clone(&self.catalog), self.catalog_sequence);
        changes.push(Change::Catalog { catalog, through });
        let omitted = is_on(Bug::CheckpointOmitsTable).then(|| self.segments.keys().next_back());
        let kept = |one: &&Arc<SegmentInfo>| omitted.flatten() != Some(&one.table);
        changes.extend(self.all_segments().filter(kept).cloned().map(Change::SegmentAdded));
        for (table, through) in &self.flushed_through {
            changes.push(Change::FlushedThrough { table: *table, through: *through });
        }
        for (table, through) in &self.horizons {
            changes.push(Change::Horizon { table: *table, through: *through });
        }
        let tombstones = self.tombstones.values().flat_map(|tombstones| tombstones.iter());
        changes.extend(tombstones.cloned().map(Change::TombstoneAdded));
        changes.push(Change::Producers(Arc::clone(&self.producers)));
        changes.push(Change::LogFloor(self.log_floor));
        changes.extend(self.log_head.map(|(number, file_id)| Change::LogHead { number, file_id }));
        changes.extend(self.commit_times.clone().map(Change::CommitTimes));
        changes.extend(self.quarantined.iter().cloned().map(Change::Quarantined));
        changes
    }
}

fn order(segment: &SegmentInfo) -> (i64, Sequence, FileId) {
    (segment.window.start_ns, segment.min_sequence, segment.file_id)
}

/// A version in the making. After an error it is in no particular state and must be dropped.
pub(super) struct Draft {
    /// The state so far.
    pub(super) version: Version,
    /// Every segment by file id; made when first needed, since it takes a walk over all.
    index: Option<HashMap<FileId, Arc<SegmentInfo>>>,
}

type Applied = std::result::Result<(), String>;

impl Draft {
    pub(super) fn new(version: Version) -> Self {
        Self { version, index: None }
    }

    /// Applies one edit and counts it.
    pub(super) fn edit(&mut self, changes: &[Change]) -> Applied {
        self.all(changes)?;
        self.version.number += 1;
        Ok(())
    }

    /// Applies changes without counting an edit.
    pub(super) fn all(&mut self, changes: &[Change]) -> Applied {
        changes.iter().try_for_each(|change| self.one(change))
    }

    fn one(&mut self, change: &Change) -> Applied {
        check_encodable(change)?;
        let version = &mut self.version;
        match change {
            Change::SegmentAdded(segment) => self.add_segment(segment),
            Change::SegmentRemoved(file) => self.remove_segment(*file),
            Change::FlushedThrough { table, through } => {
                let mark = version.flushed_through.entry(*table).or_default();
                forward(mark, *through, || format!("flushed_through of table {}", table.0))
            }
            Change::Horizon { table, through } => {
                let mark = version.horizons.entry(*table).or_default();
                forward(mark, *through, || format!("horizon of table {}", table.0))
            }
            Change::Catalog { catalog, through } => self.set_catalog(catalog, *through),
            Change::Producers(producers) => {
                if producers.windows(2).any(|pair| matches!(pair, [a, b] if a.id >= b.id)) {
                    return Err("producers are not sorted by id, each once".into());
                }
                version.producers = Arc::clone(producers);
                Ok(())
            }
            Change::TombstoneAdded(tombstone) => self.add_tombstone(tombstone),
            Change::TombstoneRemoved { table, sequence } => {
                self.remove_tombstones(*table, *sequence)
            }
            Change::Incarnation { number, previous_last } => self.raise(*number, *previous_last),
            Change::LogFloor(file) => {
                forward(&mut version.log_floor, *file, || "log floor".to_owned())
            }
            Change::LogHead { number, file_id } => {
                let before = version.log_head.map_or(0, |(number, _)| number);
                if *number <= before {
                    return Err(format!("log head {number} does not follow {before}"));
                }
                version.log_head = Some((*number, *file_id));
                Ok(())
            }
            Change::CommitTimes(reference) => self.set_commit_times(reference),
            Change::Quarantined(quarantined) => {
                Arc::make_mut(&mut version.quarantined).push(Arc::clone(quarantined));
                Ok(())
            }
        }
    }

    fn index(&mut self) -> &mut HashMap<FileId, Arc<SegmentInfo>> {
        let version = &self.version;
        self.index.get_or_insert_with(|| {
            version.all_segments().map(|segment| (segment.file_id, Arc::clone(segment))).collect()
        })
    }

    fn add_segment(&mut self, segment: &Arc<SegmentInfo>) -> Applied {
        let file = segment.file_id;
        if segment.min_time > segment.max_time || segment.min_sequence > segment.max_sequence {
            return Err(format!("segment {file} has a least time or sequence above its greatest"));
        }
        if self.index().insert(file, Arc::clone(segment)).is_some() {
            return Err(format!("segment {file} is there already"));
        }
        let list = Arc::make_mut(self.version.segments.entry(segment.table).or_default());
        let at = list.partition_point(|known| order(known) < order(segment));
        list.insert(at, Arc::clone(segment));
        Ok(())
    }

    fn remove_segment(&mut self, file: FileId) -> Applied {
        let absent = || format!("segment {file} is not there");
        let segment = self.index().remove(&file).ok_or_else(absent)?;
        let slot = self.version.segments.get_mut(&segment.table).ok_or_else(absent)?;
        let list = Arc::make_mut(slot);
        let key = order(&segment);
        let at = list.binary_search_by(|known| order(known).cmp(&key)).map_err(|_| absent())?;
        list.remove(at);
        if list.is_empty() {
            self.version.segments.remove(&segment.table);
        }
        Ok(())
    }

    fn set_catalog(&mut self, catalog: &Arc<Catalog>, through: Sequence) -> Applied {
        let version = &mut self.version;
        forward(&mut version.catalog_sequence, through, || "the catalog's sequence".to_owned())?;
        for old in version.catalog.tables() {
            let new = catalog.by_id(old.id);
            if new.is_some_and(|new| new.next_column < old.next_column || new.merge != old.merge) {
                return Err(format!("table {} loses column numbers or its merge mode", old.id.0));
            }
        }
        if let Some(back) = catalog.tables().find(|table| version.catalog.was_dropped(table.id)) {
            return Err(format!("table number {} is used again", back.id.0));
        }
        if catalog.next_table() < version.catalog.next_table() {
            return Err("the next table number moves back".into());
        }
        version.flushed_through.retain(|table, _| !catalog.was_dropped(*table));
        version.horizons.retain(|table, _| !catalog.was_dropped(*table));
        version.catalog = Arc::clone(catalog);
        Ok(())
    }

    fn add_tombstone(&mut self, tombstone: &Arc<Tombstone>) -> Applied {
        let list = Arc::make_mut(self.version.tombstones.entry(tombstone.table).or_default());
        let end = list.partition_point(|known| known.sequence <= tombstone.sequence);
        let same = list.iter().take(end).rev().take_while(|k| k.sequence == tombstone.sequence);
        if same.into_iter().any(|known| known == tombstone) {
            return Err(format!("tombstone {} is there already", tombstone.sequence));
        }
        list.insert(end, Arc::clone(tombstone));
        Ok(())
    }

    fn remove_tombstones(&mut self, table: TableId, sequence: Sequence) -> Applied {
        let absent = || format!("tombstone {sequence} of table {} is not there", table.0);
        let slot = self.version.tombstones.get_mut(&table).ok_or_else(absent)?;
        let list = Arc::make_mut(slot);
        let before = list.len();
        list.retain(|known| known.sequence != sequence);
        if list.len() == before {
            return Err(absent());
        }
        if list.is_empty() {
            self.version.tombstones.remove(&table);
        }
        Ok(())
    }

    fn raise(&mut self, number: u32, previous_last: Sequence) -> Applied {
        let version = &mut self.version;
        if number <= version.incarnation {
            return Err(format!("incarnation {number} is not above {}", version.incarnation));
        }
        if previous_last.incarnation >= number {
            return Err(format!("incarnation {number} begins after its own {previous_last}"));
        }
        if version.incarnations.last().is_some_and(|(_, last)| previous_last < *last) {
            return Err(format!("the last recovered sequence moves back to {previous_last}"));
        }
        version.incarnation = number;
        Arc::make_mut(&mut version.incarnations).push((number, previous_last));
        Ok(())
    }

    fn set_commit_times(&mut self, reference: &CommitTimesRef) -> Applied {
        if let Some(known) = &self.version.commit_times
            && known.file_id == reference.file_id
            && known.len_bytes > reference.len_bytes
        {
            return Err(format!("commit times {} get shorter", known.file_id));
        }
        self.version.commit_times = Some(reference.clone());
        Ok(())
    }
}

/// Moves a mark that never goes back.
fn forward<T: PartialOrd + Copy + std::fmt::Debug>(
    mark: &mut T,
    to: T,
    what: impl FnOnce() -> String,
) -> Applied {
    if to < *mark {
        return Err(format!("{} moves back from {:?} to {to:?}", what(), *mark));
    }
    *mark = to;
    Ok(())
}
