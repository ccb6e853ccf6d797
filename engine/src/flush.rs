//! Turns frozen memtables into segments, one for each partition window. Decides nothing about when; installs nothing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use chronolith_codec::Effort;

use crate::budget::{Grant, Memory};
use crate::error::Result;
use crate::format::names;
use crate::limits::{PARTITION_SHIFT_COUNT_MAX, ROW_GROUP_BYTES_MAX};
use crate::memtable::{Memtable, SortCost, SortedPieces, SortedRows};
use crate::merge::{RowSource, SeriesMerge};
use crate::model::{
    ColumnId, FieldType, FileId, RowChunk, Sequence, TableSchema, TimeRange, Window,
};
use crate::rng::Rng;
use crate::segment::{SegmentInfo, SegmentSpec, SegmentWriter};
use crate::vfs::Vfs;

/// Windows that one flush may write beyond those that are full.
const STRAY_WINDOW_COUNT: u64 = 8;

/// Hours that are told apart when windows are chosen; beyond it they are counted together, two by two.
const HOUR_COUNT_MAX: usize = 64 << 10;
/// Parts of a series' time that are looked at when its rows are too many to be sorted at once.
const SPLIT_COUNT: i128 = 16;
/// Bytes of the pieces in which sorted rows go to the writer, where there is memory.
const PIECE_BYTES_MAX: usize = 4 << 20;
const WHAT: &str = "a flush";

/// Where segments are written.
#[derive(Clone)]
pub struct SegmentTarget {
    /// The disk.
    pub vfs: Arc<dyn Vfs>,
    /// The folder of segments.
    pub folder: PathBuf,
    /// Random bits for file ids.
    pub rng: Arc<dyn Rng>,
    /// The database.
    pub database_id: u128,
    /// Rows that a window should hold at least.
    pub window_rows_min: u64,
    /// The memory of flushes and merges.
    pub memory: Memory,
}

impl SegmentTarget {
    /// What a new segment of a table is to be, whose writer has a part of `memory_bytes`.
    #[must_use]
    pub fn spec(
        &self,
        schema: &TableSchema,
        window: Window,
        effort: Effort,
        memory_bytes: usize,
    ) -> SegmentSpec {
        SegmentSpec {
            file_id: FileId(self.rng.next_u128()),
            database_id: self.database_id,
            table: schema.id,
            window,
            tag_count: schema.tags.len(),
            columns: columns_of(schema),
            effort,
            tombstones_through: Sequence::ZERO,
            group_bytes_max: group_bytes(memory_bytes),
        }
    }

    /// Removes segments that were written and will not be installed. What cannot be removed is, at the next opening.
    pub fn remove(&self, segments: &[SegmentInfo]) {
        for segment in segments {
            let path = self.folder.join(names::segment_file(segment.file_id));
            if let Err(error) = self.vfs.remove(&path) {
                tracing::warn!(%error, "a segment that nobody owns stays until the next opening");
            }
        }
    }
}

/// The fields of a table, as readers and writers of rows take them.
#[must_use]
pub fn columns_of(schema: &TableSchema) -> Vec<(ColumnId, FieldType)> {
    schema.fields.iter().map(|field| (field.id, field.field_type)).collect()
}

/// Bytes at which a row group ends early: a sixteenth of the memory that its writer is a part of.
#[must_use]
pub fn group_bytes(memory_bytes: usize) -> usize {
    (memory_bytes / 16).clamp(1, ROW_GROUP_BYTES_MAX)
}

/// What a writer takes while it fills and encodes a row group, in row groups.
pub const WRITER_GROUPS: usize = 5;

/// Writes the rows of `memtables`, oldest first, all of the table `schema`. What it takes comes out of the memory of flushes, which nobody
/// else uses: rows are sorted all at once where that fits, else window by window and in slices by series and time.
///
/// # Errors
/// `Io`; segments that were finished are removed.
#[tracing::instrument(level = "info", skip_all, fields(table = %schema.name))]
pub fn write_segments(
    target: &SegmentTarget,
    schema: &TableSchema,
    memtables: &[Arc<Memtable>],
) -> Result<Vec<SegmentInfo>> {
    let windows = choose_windows(&hours_of(memtables), target.window_rows_min);
    let columns = columns_of(schema);
    let limit = target.memory.flush.limit_bytes();
    let mut flush = Flush {
        target,
        schema,
        memtables,
        // A sorted column of text holds less than 4 GiB.
        sort_bytes_max: (limit / 2).min(2 << 30),
        piece_bytes: (limit / 16).clamp(1, PIECE_BYTES_MAX),
        grant: target.memory.flush.empty_grant(),
        sorted: None,
        columns,
    };
    flush.sort_all();
    let mut written = Vec::new();
    for window in windows {
        match flush.write_window(window) {
            Ok(info) => written.push(info),
            Err(error) => {
                target.remove(&written);
                return Err(error);
            }
        }
    }
    Ok(written)
}

/// Rows by the start of their hour, or of a wider window where there are too many.
fn hours_of(memtables: &[Arc<Memtable>]) -> BTreeMap<i64, u64> {
    let mut hours: BTreeMap<i64, u64> = BTreeMap::new();
    let mut shift = 0;
    let mut last = (Window::of(0, 0), 0);
    let mut add = |window: Window, rows: u64| {
        if rows == 0 {
            return;
        }
        *hours.entry(Window::of(window.start_ns, shift).start_ns).or_default() += rows;
        while hours.len() > HOUR_COUNT_MAX && shift < PARTITION_SHIFT_COUNT_MAX {
            shift += 1;
            for (start, rows) in std::mem::take(&mut hours) {
                *hours.entry(Window::of(start, shift).start_ns).or_default() += rows;
            }
        }
    };
    for memtable in memtables {
        memtable.each_time(&mut |time| {
            // Times come in order mostly: count runs of one hour.
            if !last.0.contains(time) {
                add(last.0, last.1);
                last = (Window::of(time, 0), 0);
            }
            last.1 += 1;
        });
    }
    add(last.0, last.1);
    hours
}

/// The windows that rows go into: `hours` holds rows by the start of their hour. The narrowest width is taken at which nine rows of ten lie
/// in windows with at least `rows_min` rows (or, where there are fewer rows in all, in one window): a few stray times do not widen it, but
/// many do: there are at most eight windows more than full ones.
#[must_use]
pub fn choose_windows(hours: &BTreeMap<i64, u64>, rows_min: u64) -> Vec<Window> {
    let total: u64 = hours.values().sum();
    let enough = rows_min.min(total - total / 10).max(1);
    let mut chosen: BTreeMap<i64, u64> = BTreeMap::new();
    let mut shift = 0;
    while shift <= PARTITION_SHIFT_COUNT_MAX {
        chosen.clear();
        for (start, rows) in hours {
            *chosen.entry(Window::of(*start, shift).start_ns).or_default() += rows;
        }
        let settled: u64 = chosen.values().filter(|rows| **rows >= enough).sum();
        let few = chosen.len() as u64 <= STRAY_WINDOW_COUNT + total / rows_min.max(1);
        if settled >= total - total / 10 && few {
            break;
        }
        shift += 1;
    }
    let shift = shift.min(PARTITION_SHIFT_COUNT_MAX);
    chosen.keys().map(|start| Window::of(*start, shift)).collect()
}

/// A flush of one table.
struct Flush<'a> {
    target: &'a SegmentTarget,
    schema: &'a TableSchema,
    memtables: &'a [Arc<Memtable>],
    columns: Vec<(ColumnId, FieldType)>,
    /// Bytes that sorted rows may take.
    sort_bytes_max: usize,
    /// Bytes of the pieces in which they go to the writer.
    piece_bytes: usize,
    grant: Grant,
    /// All rows, where they are few enough.
    sorted: Option<Vec<SortedRows>>,
}

/// Rows that are sorted at once: for each memtable the places of its series, by key, and which times.
#[derive(Debug, Clone, PartialEq)]
struct Slice {
    series: Vec<Range<usize>>,
    range: TimeRange,
}

impl Flush<'_> {
    fn hold(&mut self, sorted_bytes: usize) {
        let writer = WRITER_GROUPS * group_bytes(self.target.memory.flush.limit_bytes());
        // This memory is the flush's alone: what passes it is at most one time of one series, which is written all the same.
        self.grant.resize_as_can_be(sorted_bytes + writer + 3 * self.piece_bytes, WHAT);
    }

    fn costs(&self, range: TimeRange) -> Vec<SortCost> {
        self.memtables.iter().map(|one| one.sort_cost(&self.columns, range)).collect()
    }

    /// Sorts all rows where they are few enough.
    fn sort_all(&mut self) {
        let costs = self.costs(TimeRange::ALL);
        let bytes: usize = costs.iter().map(|cost| cost.total_bytes).sum();
        if bytes > self.sort_bytes_max {
            return;
        }
        self.hold(bytes);
        let sorted = self.memtables.iter().zip(&costs);
        let sorted =
            sorted.map(|(one, cost)| one.sorted_part(&self.columns, &cost.order, TimeRange::ALL));
        self.sorted = Some(sorted.collect());
    }

    fn write_window(&mut self, window: Window) -> Result<SegmentInfo> {
        let target = self.target;
        let memory_bytes = target.memory.flush.limit_bytes();
        let spec = target.spec(self.schema, window, Effort::Fast, memory_bytes);
        let mut writer = SegmentWriter::create(target.vfs.as_ref(), &target.folder, spec)?;
        for (sequence, metadata) in self.memtables.iter().flat_map(|one| one.commits()) {
            writer.metadata(sequence, metadata);
        }
        if let Some(sorted) = &self.sorted {
            self.write_sorted(sorted, window.range(), &mut writer)?;
            return writer.finish();
        }
        let costs = self.costs(window.range());
        for slice in self.slices(&costs, window.range()) {
            let places = slice.series.iter().zip(&costs).zip(self.memtables);
            let bytes = places.clone().map(|((of, cost), _)| {
                cost.bytes.get(of.clone()).unwrap_or_default().iter().sum::<usize>()
            });
            let bytes: usize = bytes.sum();
            self.hold(bytes.min(self.sort_bytes_max));
            let sorted = places.map(|((of, cost), memtable)| {
                let series = cost.order.get(of.clone()).unwrap_or_default();
                memtable.sorted_part(&self.columns, series, slice.range)
            });
            let sorted: Vec<SortedRows> = sorted.collect();
            self.write_sorted(&sorted, slice.range, &mut writer)?;
        }
        writer.finish()
    }

    /// Writes the rows in `range`, series by series.
    fn write_sorted(
        &self,
        sorted: &[SortedRows],
        range: TimeRange,
        writer: &mut SegmentWriter<'_>,
    ) -> Result<()> {
        let types: Vec<FieldType> = self.columns.iter().map(|column| column.1).collect();
        let mut next = vec![0; sorted.len()];
        loop {
            let keys = sorted.iter().zip(&next).filter_map(|(rows, at)| rows.key(*at));
            let Some(key) = keys.min().cloned() else { return Ok(()) };
            let mut sources: Vec<Box<dyn RowSource + '_>> = Vec::new();
            for (rows, at) in sorted.iter().zip(&mut next) {
                if rows.key(*at) != Some(&key) {
                    continue;
                }
                if let Some(pieces) = rows.pieces(*at, range) {
                    sources.push(Box::new(Sorted { pieces, bytes_max: self.piece_bytes }));
                }
                *at += 1;
            }
            let mut merge = SeriesMerge::new(types.clone(), self.piece_bytes, sources);
            while let Some(chunk) = merge.next_chunk()? {
                writer.push(&key, &chunk)?;
            }
        }
    }

    /// Slices of the rows in `range` that are few enough to be sorted at once, in the order of keys and times.
    fn slices(&self, costs: &[SortCost], range: TimeRange) -> Vec<Slice> {
        let mut slices = Vec::new();
        let mut next = vec![0; costs.len()];
        let mut from = next.clone();
        let mut bytes = 0;
        loop {
            let key = |memtable: usize, at: usize| {
                let local = costs.get(memtable)?.order.get(at)?;
                self.memtables.get(memtable)?.series_at(*local)
            };
            let heads: Vec<_> =
                next.iter().enumerate().map(|(memtable, at)| key(memtable, *at)).collect();
            let least = heads.iter().flatten().map(|(key, _)| key).min().cloned();
            let mut after = next.clone();
            let mut more = 0;
            if let Some(least) = &least {
                for ((at, head), cost) in after.iter_mut().zip(&heads).zip(costs) {
                    if head.as_ref().is_some_and(|(key, _)| key == least) {
                        more += cost.bytes.get(*at).copied().unwrap_or_default();
                        *at += 1;
                    }
                }
            }
            if (least.is_none() || bytes + more > self.sort_bytes_max) && from != next {
                slices.push(Slice { series: ranges(&from, &next), range });
                (from, bytes) = (next.clone(), 0);
            }
            if least.is_none() {
                return slices;
            }
            if more > self.sort_bytes_max {
                let times = heads.iter().flatten().filter(|(key, _)| Some(key) == least.as_ref());
                let min = times.clone().map(|(_, times)| times.0).min().unwrap_or(i64::MIN);
                let max = times.map(|(_, times)| times.1).max().unwrap_or(i64::MAX);
                let part = range.intersect(&TimeRange::inclusive(min, max));
                let series = ranges(&next, &after);
                let parts = self.split(costs, &series, part);
                slices
                    .extend(parts.into_iter().map(|range| Slice { series: series.clone(), range }));
                from = after.clone();
            } else {
                bytes += more;
            }
            next = after;
        }
    }

    /// Parts of `range`, ascending, in each of which the rows of one series are few enough to be sorted at once: but for rows of one time.
    fn split(
        &self,
        costs: &[SortCost],
        series: &[Range<usize>],
        range: TimeRange,
    ) -> Vec<TimeRange> {
        let width = i128::from(range.to) - i128::from(range.from);
        let edge = |part: i128| {
            let at = i128::from(range.from) + width * part / SPLIT_COUNT;
            i64::try_from(at).unwrap_or(i64::MAX)
        };
        let parts: Vec<TimeRange> = (0..SPLIT_COUNT)
            .map(|part| TimeRange::new(edge(part), edge(part + 1)))
            .filter(|part| part.from < part.to)
            .collect();
        let mut bytes = vec![0; parts.len()];
        for ((of, cost), memtable) in series.iter().zip(costs).zip(self.memtables) {
            for local in cost.order.get(of.clone()).unwrap_or_default() {
                let found = memtable.sort_cost_of(&self.columns, *local, &parts);
                bytes.iter_mut().zip(found).for_each(|(bytes, more)| *bytes += more);
            }
        }
        let mut out: Vec<TimeRange> = Vec::new();
        let mut held = 0;
        for (part, bytes) in parts.into_iter().zip(bytes) {
            if bytes > self.sort_bytes_max && i128::from(part.to) - i128::from(part.from) > 1 {
                out.extend(self.split(costs, series, part));
                held = self.sort_bytes_max;
                continue;
            }
            match out.last_mut().filter(|_| held + bytes <= self.sort_bytes_max) {
                Some(last) => {
                    last.to = part.to;
                    held += bytes;
                }
                None => {
                    out.push(part);
                    held = bytes;
                }
            }
        }
        out
    }
}

fn ranges(from: &[usize], to: &[usize]) -> Vec<Range<usize>> {
    from.iter().zip(to).map(|(from, to)| *from..*to).collect()
}

/// Sorted rows of one series in one memtable.
struct Sorted<'a> {
    pieces: SortedPieces<'a>,
    bytes_max: usize,
}

impl RowSource for Sorted<'_> {
    fn next_chunk(&mut self) -> Result<Option<RowChunk>> {
        Ok(self.pieces.next(self.bytes_max))
    }

    fn bounds(&self) -> (i64, i64) {
        self.pieces.bounds().unwrap_or((i64::MAX, i64::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PARTITION_BASE_NS;

    fn hours(rows: &[(i64, u64)]) -> BTreeMap<i64, u64> {
        rows.iter().map(|(hour, rows)| (hour * PARTITION_BASE_NS, *rows)).collect()
    }

    #[test]
    fn windows_are_as_narrow_as_the_rows_allow() {
        let dense: Vec<(i64, u64)> = (0..8).map(|hour| (hour, 1_000)).collect();
        assert_eq!(choose_windows(&hours(&dense), 1_000).len(), 8);
        let two = choose_windows(&hours(&dense), 4_000);
        assert_eq!(two, [Window::of(0, 2), Window::of(4 * PARTITION_BASE_NS, 2)]);
    }

    #[test]
    fn few_rows_share_one_window() {
        let found = choose_windows(&hours(&[(0, 5), (1, 5), (2, 5)]), 1_000_000);
        assert_eq!(found, [Window::of(0, 2)]);
    }

    #[test]
    fn many_stray_times_share_wide_windows() {
        let mut rows: Vec<(i64, u64)> = (1..3_600).map(|at| (at * 7, 1)).collect();
        rows.push((0, 36_400));
        assert!(choose_windows(&hours(&rows), 1_000_000).len() <= 8);
    }

    #[test]
    fn stray_times_get_windows_of_their_own() {
        let found = choose_windows(&hours(&[(-500_000, 1), (0, 1_000), (450_000, 2)]), 1_000);
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|window| window.shift == 0));
    }
}
