//! Turns frozen memtables into segments, one for each partition window. Decides nothing about when; installs nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chronolith_codec::Effort;

use crate::error::Result;
use crate::format::names;
use crate::limits::PARTITION_SHIFT_COUNT_MAX;
use crate::memtable::{Memtable, SortedRows};
use crate::merge::{MemorySource, RowSource, SeriesMerge};
use crate::model::{ColumnId, FieldType, FileId, Sequence, SeriesKey, TableSchema, Window};
use crate::rng::Rng;
use crate::segment::{SegmentInfo, SegmentSpec, SegmentWriter};
use crate::vfs::Vfs;

/// Windows that one flush may write beyond those that are full.
const STRAY_WINDOW_COUNT: u64 = 8;

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
}

impl SegmentTarget {
    /// What a new segment of a table is to be.
    #[must_use]
    pub fn spec(&self, schema: &TableSchema, window: Window, effort: Effort) -> SegmentSpec {
        SegmentSpec {
            file_id: FileId(self.rng.next_u128()),
            database_id: self.database_id,
            table: schema.id,
            window,
            tag_count: schema.tags.len(),
            columns: columns_of(schema),
            effort,
            tombstones_through: Sequence::ZERO,
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

/// Writes the rows of `memtables`, oldest first, all of the table `schema`.
///
/// # Errors
/// `Io`; segments that were finished are removed.
#[tracing::instrument(level = "info", skip_all, fields(table = %schema.name))]
pub fn write_segments(
    target: &SegmentTarget,
    schema: &TableSchema,
    memtables: &[Arc<Memtable>],
) -> Result<Vec<SegmentInfo>> {
    let mut hours: BTreeMap<i64, u64> = BTreeMap::new();
    let mut last = (Window::of(0, 0), 0);
    for memtable in memtables {
        memtable.each_time(&mut |time| {
            // Times come in order mostly: count runs of one hour.
            if !last.0.contains(time) {
                *hours.entry(last.0.start_ns).or_default() += last.1;
                last = (Window::of(time, 0), 0);
            }
            last.1 += 1;
        });
    }
    *hours.entry(last.0.start_ns).or_default() += last.1;
    hours.retain(|_, rows| *rows > 0);
    let columns = columns_of(schema);
    let sorted: Vec<SortedRows> = memtables.iter().map(|one| one.sorted(&columns)).collect();
    let mut written = Vec::new();
    for window in choose_windows(&hours, target.window_rows_min) {
        match write_window(target, schema, memtables, &sorted, window) {
            Ok(info) => written.push(info),
            Err(error) => {
                target.remove(&written);
                return Err(error);
            }
        }
    }
    Ok(written)
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

fn write_window(
    target: &SegmentTarget,
    schema: &TableSchema,
    memtables: &[Arc<Memtable>],
    sorted: &[SortedRows],
    window: Window,
) -> Result<SegmentInfo> {
    let types: Vec<FieldType> = columns_of(schema).iter().map(|column| column.1).collect();
    let spec = target.spec(schema, window, Effort::Fast);
    let mut writer = SegmentWriter::create(target.vfs.as_ref(), &target.folder, spec)?;
    for (sequence, metadata) in memtables.iter().flat_map(|memtable| memtable.commits()) {
        writer.metadata(sequence, metadata);
    }
    let mut series: BTreeMap<&SeriesKey, Vec<(&SortedRows, usize)>> = BTreeMap::new();
    for rows in sorted {
        for (key, at) in rows.series() {
            series.entry(key).or_default().push((rows, at));
        }
    }
    for (key, places) in series {
        let mut sources: Vec<Box<dyn RowSource>> = Vec::new();
        for (rows, at) in places {
            if let Some(source) = MemorySource::new(rows.read(at, window.range())) {
                sources.push(Box::new(source));
            }
        }
        let mut merge = SeriesMerge::new(types.clone(), usize::MAX, sources);
        while let Some(chunk) = merge.next_chunk()? {
            writer.push(key, &chunk)?;
        }
    }
    writer.finish()
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
