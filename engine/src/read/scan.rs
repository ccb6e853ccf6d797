//! Streams the rows of a snapshot: series by series, each joined from its sources, resolved, filtered, and packed into batches.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::batch::{ScanBatch, SeriesRun};
use super::memory::{ReadGrant, ReadMemory};
use super::part::{ScanPart, ScanStats};
use super::plan::{ScanPlan, ScanRequest};
use super::source::{MemtableSource, SegmentRead, SegmentSource};
use crate::error::Result;
use crate::memtable::{MemSeries, Memtable};
use crate::merge::{Resolver, RowSource, SeriesMerge, hide, overlap, retain};
use crate::model::{
    ColumnId, FieldDef, FieldType, MergeMode, RowChunk, Sequence, SeriesKey, TimeRange,
};
use crate::planted::{Bug, is_on};
use crate::segment::SegmentReader;
use crate::snapshot::Snapshot;
use crate::tombstone::Tombstone;

/// Rows at which a batch is handed on.
const BATCH_ROWS: usize = 64 << 10;
/// Bytes of a series in a batch.
const RUN_BYTES: usize = size_of::<SeriesRun>();
/// Bytes that a series takes in the list of those that a memtable has.
const MEM_SERIES_BYTES: usize = size_of::<MemSeries>();

impl Snapshot {
    /// The rows that `request` selects, in the order series, time, commit.
    ///
    /// # Errors
    /// `UnknownTable`, `UnknownColumn`, `WrongType`, `Invalid`; `SnapshotExpired`; `Corrupt` and `Io` here and from the iterator, which then ends.
    #[tracing::instrument(level = "debug", skip_all, fields(table = %request.table))]
    pub fn scan(&self, request: &ScanRequest) -> Result<Scan> {
        let plan = ScanPlan::bind(self.table(&request.table)?, request)?;
        Scan::new(self, plan)
    }

    /// The rows that `request` selects in one part of the table's series: the parts that cover all series give together what [`Self::scan`] gives.
    ///
    /// # Errors
    /// As [`Self::scan`].
    pub fn scan_part(&self, request: &ScanRequest, part: ScanPart) -> Result<Scan> {
        let mut plan = ScanPlan::bind(self.table(&request.table)?, request)?;
        plan.part = part;
        Scan::new(self, plan)
    }
}

/// The part of a source that is left: its series in order of their keys.
enum Cursor {
    Segment {
        reader: Arc<SegmentReader>,
        ordinals: roaring::bitmap::IntoIter,
        next: Option<(SeriesKey, u32)>,
    },
    Memory {
        memtable: Arc<Memtable>,
        series: std::iter::Peekable<std::vec::IntoIter<MemSeries>>,
    },
}

impl Cursor {
    fn segment(reader: Arc<SegmentReader>, ordinals: RoaringBitmap) -> Result<Self> {
        let mut ordinals = ordinals.into_iter();
        let next = first_key(&reader, &mut ordinals)?;
        Ok(Self::Segment { reader, ordinals, next })
    }

    fn key(&mut self) -> Option<&SeriesKey> {
        match self {
            Self::Segment { next, .. } => next.as_ref().map(|(key, _)| key),
            Self::Memory { series, .. } => series.peek().map(|series| &series.key),
        }
    }
}

fn first_key(
    reader: &SegmentReader,
    ordinals: &mut roaring::bitmap::IntoIter,
) -> Result<Option<(SeriesKey, u32)>> {
    ordinals.next().map(|ordinal| Ok((reader.key(ordinal)?, ordinal))).transpose()
}

/// A running scan: an iterator of batches that stays failed after an error.
pub struct Scan {
    pub(super) plan: ScanPlan,
    pub(super) output: Arc<[FieldDef]>,
    pub(super) columns: Arc<[(ColumnId, FieldType)]>,
    types: Vec<FieldType>,
    pub(super) through: Sequence,
    pub(super) tombstones: Vec<Tombstone>,
    cursors: Vec<Cursor>,
    current: Option<OpenSeries>,
    batch_rows: usize,
    stats: Arc<ScanStats>,
    failed: bool,
    memory: ReadMemory,
    /// For the lists of series, and the batch that is being filled or was given last.
    grant: ReadGrant,
    list_bytes: usize,
}

/// Where rows of one series are.
pub(super) enum Piece {
    /// In a segment.
    Segment { reader: Arc<SegmentReader>, ordinal: u32 },
    /// In a memtable.
    Memory { memtable: Arc<Memtable>, series: MemSeries },
}

impl Piece {
    /// Bounds of the timestamps, both inclusive; they may be wider than the rows.
    pub(super) fn bounds(&self) -> Result<(i64, i64)> {
        match self {
            Self::Segment { reader, ordinal } => reader.time_bounds(*ordinal),
            Self::Memory { series, .. } => Ok((series.min_time, series.max_time)),
        }
    }
}

/// The series that is being read.
pub(super) struct OpenSeries {
    pub(super) key: SeriesKey,
    merge: SeriesMerge<'static>,
    resolver: Resolver,
    hidden_by: Vec<Tombstone>,
    /// For what becomes of the rows before they are in a batch.
    grant: ReadGrant,
}

impl Scan {
    pub(super) fn new(snapshot: &Snapshot, plan: ScanPlan) -> Result<Self> {
        let mut scan = Self::without_series(snapshot, plan)?;
        let plan = &scan.plan;
        let table = snapshot.view().table(plan.schema.id);
        let through = snapshot.sequence();
        let (mut list_bytes, grant, stats) = (0, &mut scan.grant, &scan.stats);
        let mut cursors = Vec::new();
        for segment in &table.segments {
            let info = segment.info();
            if !plan.range.touches(info.min_time, info.max_time) {
                stats.count_segment(true);
                continue;
            }
            if info.min_sequence > through {
                stats.count_segment(true);
                continue;
            }
            let reader = match segment.reader() {
                Err(_) if is_on(Bug::UnreadableIsEmpty) => continue,
                opened => opened?,
            };
            let ordinals = in_part(&reader, reader.select(&plan.tags)?, &plan.part)?;
            stats.count_segment(ordinals.is_empty());
            list_bytes += ordinals.serialized_size();
            grant.resize(list_bytes)?;
            cursors.push(Cursor::segment(reader, ordinals)?);
        }
        for memtable in table.memtables() {
            // Before the list is made: all series of the memtable.
            let all = usize::try_from(memtable.stats().series_count).unwrap_or(usize::MAX);
            grant.resize(list_bytes.saturating_add(all.saturating_mul(MEM_SERIES_BYTES)))?;
            let mut series = memtable.select(plan.range, &|key| plan.accepts(key));
            series.shrink_to_fit();
            list_bytes += series.len() * MEM_SERIES_BYTES;
            grant.resize(list_bytes)?;
            let series = series.into_iter().peekable();
            cursors.push(Cursor::Memory { memtable: Arc::clone(memtable), series });
        }
        scan.cursors = cursors;
        scan.list_bytes = list_bytes;
        Ok(scan)
    }

    /// A scan that has no series of its own: for readers who name them.
    pub(super) fn without_series(snapshot: &Snapshot, plan: ScanPlan) -> Result<Self> {
        snapshot.check_kept(&plan.schema)?;
        let table = snapshot.view().table(plan.schema.id);
        let through = snapshot.sequence();
        let tombstones = table.tombstones.iter().filter(|one| one.sequence <= through);
        let columns: Arc<[_]> = plan.read_columns().into();
        let memory = ReadMemory::new(snapshot.memory(), &plan.schema.name);
        Ok(Self {
            output: plan.columns.iter().take(plan.output_count).cloned().collect(),
            types: columns.iter().map(|column| column.1).collect(),
            columns,
            through,
            tombstones: tombstones.cloned().collect(),
            cursors: Vec::new(),
            current: None,
            batch_rows: plan.part.batch_rows.map_or(BATCH_ROWS, |rows| rows.clamp(1, BATCH_ROWS)),
            stats: Arc::default(),
            failed: false,
            grant: memory.grant(),
            memory,
            list_bytes: 0,
            plan,
        })
    }

    /// The fields that batches give.
    #[must_use]
    pub fn fields(&self) -> &Arc<[FieldDef]> {
        &self.output
    }

    /// What was read and spared so far.
    #[must_use]
    pub fn stats(&self) -> &Arc<ScanStats> {
        &self.stats
    }

    /// Bytes at which a batch is handed on.
    pub(super) fn batch_bytes(&self) -> usize {
        self.memory.batch_bytes()
    }

    /// A grant of nothing, beside the scan's own.
    pub(super) fn new_grant(&self) -> ReadGrant {
        self.memory.grant()
    }

    /// Takes a grant for `bytes` beside the lists of series: what the caller has gathered.
    ///
    /// # Errors
    /// `Overloaded`.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<()> {
        self.grant.resize(self.list_bytes.saturating_add(bytes))
    }

    /// The next series, with everything that has rows of it.
    pub(super) fn next_pieces(&mut self) -> Result<Option<(SeriesKey, Vec<Piece>)>> {
        let keys = self.cursors.iter_mut().filter_map(Cursor::key);
        let Some(key) = keys.min().cloned() else { return Ok(None) };
        let mut pieces = Vec::new();
        for cursor in &mut self.cursors {
            if cursor.key() != Some(&key) {
                continue;
            }
            match cursor {
                Cursor::Segment { reader, ordinals, next } => {
                    if let Some((_, ordinal)) = next.take() {
                        pieces.push(Piece::Segment { reader: Arc::clone(reader), ordinal });
                    }
                    *next = first_key(reader, ordinals)?;
                }
                Cursor::Memory { memtable, series } => {
                    let memtable = Arc::clone(memtable);
                    pieces.extend(series.next().map(|series| Piece::Memory { memtable, series }));
                }
            }
        }
        Ok(Some((key, pieces)))
    }

    /// The rows of one series in `range`; none where no piece has any.
    pub(super) fn open(
        &self,
        key: SeriesKey,
        pieces: &[Piece],
        range: TimeRange,
    ) -> Result<Option<OpenSeries>> {
        let mut runs = Vec::new();
        let mut memory: Vec<MemtableSource> = Vec::new();
        let mut read = SegmentRead {
            columns: Arc::clone(&self.columns),
            prune: Arc::new([]),
            need_sequence: true,
            through: self.through,
            stats: Arc::clone(&self.stats),
            chunk_bytes: self.memory.chunk_bytes(pieces.len()),
        };
        for piece in pieces {
            match piece {
                Piece::Segment { reader, ordinal } => {
                    runs.extend(segment_run(reader, *ordinal, range)?);
                }
                Piece::Memory { memtable, series } => {
                    let (local, read) = (series.local, read.clone());
                    memory.extend(MemtableSource::new(memtable, local, range, read, &self.memory)?);
                }
            }
        }
        if runs.is_empty() && memory.is_empty() {
            return Ok(None);
        }
        let mut hidden_by: Vec<_> =
            self.tombstones.iter().filter(|one| one.covers_series(&key)).cloned().collect();
        if is_on(Bug::ForgetDeletionsInAggregates) && !self.plan.with_sequence {
            hidden_by.clear();
        }
        let bounds = runs.iter().map(|run: &Run| run.bounds);
        let overlapping = overlap(bounds.chain(memory.iter().map(|source| source.bounds())));
        let need_sequence = overlapping || !hidden_by.is_empty() || self.plan.with_sequence;
        let open_at_once = if overlapping { runs.len() + memory.len() } else { 1 };
        read.chunk_bytes = self.memory.chunk_bytes(open_at_once);
        read.prune = self.prunable(overlapping, &runs);
        read.need_sequence = need_sequence;
        let mut sources: Vec<Box<dyn RowSource>> = Vec::new();
        for mut source in memory {
            // Rows are joined all with their sequences, or all without.
            source.set_sequences(need_sequence);
            sources.push(Box::new(source));
        }
        for run in runs {
            sources.push(Box::new(SegmentSource::new(
                run.reader,
                run.rows,
                run.bounds,
                read.clone(),
                &self.memory,
            )));
        }
        Ok(Some(OpenSeries {
            key,
            merge: SeriesMerge::new(self.types.clone(), self.memory.chunk_bytes(1), sources),
            resolver: Resolver::new(self.plan.schema.merge, Sequence::MAX),
            hidden_by,
            grant: self.memory.grant(),
        }))
    }

    /// The conditions whose zone maps may exclude rows of this series before they are joined: all, unless a row that is excluded could
    /// have replaced one that is not. (Version 1 has price 100, version 2 price 5: `price > 50` must not lose version 2 alone.)
    fn prunable(&self, overlapping: bool, runs: &[Run]) -> Arc<[super::filter::BoundFilter]> {
        let unique = || !overlapping && runs.iter().all(|run| !run.reader.info().has_duplicates);
        let planted = is_on(Bug::PruneBeforeMerge);
        if self.plan.schema.merge == MergeMode::Append || unique() || planted {
            self.plan.filters.clone().into()
        } else {
            Arc::new([])
        }
    }

    /// The next final rows of the open series; none at its end.
    pub(super) fn next_rows(&self, series: &mut OpenSeries) -> Result<Option<RowChunk>> {
        while let Some(chunk) = series.merge.next_chunk()? {
            series.grant.work_on(chunk.memory_bytes())?;
            let visible = hide(chunk, &series.key, &series.hidden_by);
            if let Some(resolved) = series.resolver.push(visible) {
                let rows = self.filter(resolved);
                if rows.row_count() > 0 {
                    return Ok(Some(rows));
                }
            }
        }
        let rest = series.resolver.finish().map(|rows| self.filter(rows));
        Ok(rest.filter(|rows| rows.row_count() > 0))
    }

    /// The rows that satisfy the conditions on fields, with the columns that are given.
    fn filter(&self, chunk: RowChunk) -> RowChunk {
        let mut rows = chunk;
        if !self.plan.filters.is_empty() {
            let mut keep = vec![true; rows.row_count()];
            for filter in &self.plan.filters {
                if let Some(column) = rows.fields.get(filter.column) {
                    filter.mark(column, &mut keep);
                }
            }
            rows = retain(rows, &keep);
        }
        rows.fields.truncate(self.plan.output_count);
        if !self.plan.with_sequence {
            rows.sequence.clear();
        }
        rows
    }

    fn fill(&mut self) -> Result<Option<ScanBatch>> {
        let types: Vec<_> = self.output.iter().map(|field| field.field_type).collect();
        let mut batch = RowChunk::empty(&types);
        let mut runs: Vec<SeriesRun> = Vec::new();
        // What the caller got before is the caller's.
        self.hold(0)?;
        while batch.row_count() < self.batch_rows && batch.memory_bytes() < self.batch_bytes() {
            let Some(mut series) = self.current.take() else {
                let Some((key, pieces)) = self.next_pieces()? else { break };
                self.current = self.open(key, &pieces, self.plan.range)?;
                continue;
            };
            let Some(rows) = self.next_rows(&mut series)? else { continue };
            let start = batch.row_count();
            // Growing vectors are copied to others of twice the length.
            let bytes = batch.memory_bytes() + rows.memory_bytes() + runs.len() * RUN_BYTES;
            self.hold(bytes.saturating_mul(2))?;
            if start == 0 {
                batch = rows;
            } else {
                batch.push_slice(&rows, 0..rows.row_count());
            }
            match runs.last_mut().filter(|run| run.key == series.key) {
                Some(run) => run.rows.end = batch.row_count(),
                None => {
                    runs.push(SeriesRun {
                        key: series.key.clone(),
                        rows: start..batch.row_count(),
                    });
                }
            }
            self.current = Some(series);
        }
        Ok((batch.row_count() > 0).then(|| ScanBatch {
            schema: Arc::clone(&self.plan.schema),
            fields: Arc::clone(&self.output),
            series: runs,
            rows: batch,
        }))
    }
}

/// The ordinals of the part among `ordinals`.
fn in_part(
    reader: &SegmentReader,
    mut ordinals: RoaringBitmap,
    part: &ScanPart,
) -> Result<RoaringBitmap> {
    if let Some(from) = &part.from {
        ordinals.remove_range(..reader.lower_bound(from)?);
    }
    if let Some(to) = &part.to {
        ordinals.remove_range(reader.lower_bound(to)?..);
    }
    Ok(ordinals)
}

/// Rows of a series in a segment, with their bounds in time, both inclusive.
struct Run {
    reader: Arc<SegmentReader>,
    rows: std::ops::Range<u64>,
    bounds: (i64, i64),
}

fn segment_run(reader: &Arc<SegmentReader>, ordinal: u32, range: TimeRange) -> Result<Option<Run>> {
    let (first, last) = reader.time_bounds(ordinal)?;
    if !range.touches(first, last) {
        return Ok(None);
    }
    let rows = reader.rows_in(ordinal, range)?;
    let bounds = (first.max(range.from), last.min(range.to));
    Ok((!rows.is_empty()).then(|| Run { reader: Arc::clone(reader), rows, bounds }))
}

impl Iterator for Scan {
    type Item = Result<ScanBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.fill().transpose();
        self.failed = matches!(batch, Some(Err(_)));
        batch
    }
}
