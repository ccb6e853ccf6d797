//! Merges segments of one table into one.

use std::path::Path;
use std::sync::Arc;

use chronolith_codec::Effort;

use crate::error::{Error, Result};
use crate::flush::{SegmentTarget, columns_of};
use crate::merge::{Resolver, RowSource, SeriesMerge};
use crate::model::{ColumnId, FieldType, RowChunk, Sequence, SeriesKey, TableSchema, Window};
use crate::segment::{SegmentInfo, SegmentReader, SegmentWriter};
use crate::tombstone::Tombstone;

/// Free bytes that a merge leaves on the disk, so that the log can go on; a quarter of what is free where that is less.
const RESERVE_BYTES: u64 = 64 << 20;

/// What a merge takes.
pub struct MergeInput<'a> {
    /// The table.
    pub schema: &'a TableSchema,
    /// The window of the result.
    pub window: Window,
    /// The inputs.
    pub readers: Vec<Arc<SegmentReader>>,
    /// The table's tombstones.
    pub tombstones: &'a [Tombstone],
    /// The result serves reads at or above this sequence: older versions are folded, and tombstones up to it are applied.
    pub horizon: Sequence,
}

/// Merges; none where no row is left.
///
/// # Errors
/// `Corrupt` for a damaged input, which then stays; `Io`, in particular where the disk has too little room.
#[tracing::instrument(level = "info", skip_all, fields(table = %input.schema.name, inputs = input.readers.len()))]
pub fn merge_segments(
    target: &SegmentTarget,
    input: &MergeInput<'_>,
) -> Result<Option<SegmentInfo>> {
    check_room(target, input)?;
    let before = input.readers.iter().map(|reader| reader.info().tombstones_through);
    let before = before.max().unwrap_or_default();
    let horizon = input.horizon;
    let applied: Vec<Tombstone> =
        input.tombstones.iter().filter(|one| one.sequence <= horizon).cloned().collect();
    let mut spec = target.spec(input.schema, input.window, Effort::Dense);
    spec.tombstones_through = before;
    if input.schema.merge.replaces() || !applied.is_empty() {
        spec.tombstones_through = horizon;
    }
    let mut writer = SegmentWriter::create(target.vfs.as_ref(), &target.folder, spec)?;
    for reader in &input.readers {
        for (sequence, metadata) in reader.commits()? {
            writer.metadata(sequence, metadata);
        }
    }
    let mut row_count = 0;
    let mut cursors: Vec<u32> = vec![0; input.readers.len()];
    while let Some(key) = least_key(&input.readers, &cursors)? {
        row_count += merge_series(input, (&applied, horizon), &key, &mut cursors, &mut writer)?;
    }
    if row_count == 0 {
        return Ok(None);
    }
    writer.finish().map(Some)
}

fn check_room(target: &SegmentTarget, input: &MergeInput<'_>) -> Result<()> {
    let need: u64 = input.readers.iter().map(|reader| reader.info().len_bytes).sum();
    let free = target.vfs.free_bytes(&target.folder)?;
    let reserve = RESERVE_BYTES.min(free / 4);
    if free >= need + reserve {
        return Ok(());
    }
    let text = format!("a merge of {need} bytes needs them free beside {reserve}, {free} are");
    Err(no_room(&target.folder, text))
}

fn no_room(folder: &Path, text: String) -> Error {
    Error::io(
        "merge segments in",
        folder,
        std::io::Error::new(std::io::ErrorKind::StorageFull, text),
    )
}

fn least_key(readers: &[Arc<SegmentReader>], cursors: &[u32]) -> Result<Option<SeriesKey>> {
    let mut least: Option<SeriesKey> = None;
    for (reader, at) in readers.iter().zip(cursors) {
        if *at < reader.series_count() {
            let key = reader.key(*at)?;
            if least.as_ref().is_none_or(|least| key < *least) {
                least = Some(key);
            }
        }
    }
    Ok(least)
}

fn merge_series(
    input: &MergeInput<'_>,
    (applied, horizon): (&[Tombstone], Sequence),
    key: &SeriesKey,
    cursors: &mut [u32],
    writer: &mut SegmentWriter<'_>,
) -> Result<u64> {
    let columns: Arc<[(ColumnId, FieldType)]> = columns_of(input.schema).into();
    let types = columns.iter().map(|column| column.1).collect();
    let mut sources: Vec<Box<dyn RowSource>> = Vec::new();
    for (reader, at) in input.readers.iter().zip(cursors) {
        if *at >= reader.series_count() || reader.key(*at)? != *key {
            continue;
        }
        sources.push(Box::new(Run {
            rows: reader.rows_of(*at)?,
            bounds: reader.time_bounds(*at)?,
            reader: Arc::clone(reader),
            columns: Arc::clone(&columns),
        }));
        *at += 1;
    }
    let hidden_by: Vec<Tombstone> =
        applied.iter().filter(|one| one.covers_series(key)).cloned().collect();
    let mut merge = SeriesMerge::new(types, usize::MAX, sources);
    let mut resolver = Resolver::new(input.schema.merge, horizon);
    let mut row_count = 0;
    let mut write = |rows: Option<RowChunk>| -> Result<()> {
        let Some(rows) = rows.filter(|rows| rows.row_count() > 0) else { return Ok(()) };
        row_count += rows.row_count() as u64;
        writer.push(key, &rows)
    };
    while let Some(chunk) = merge.next_chunk()? {
        write(resolver.push(crate::merge::hide(chunk, key, &hidden_by)))?;
    }
    write(resolver.finish())?;
    Ok(row_count)
}

/// A series' rows in a segment, with sequences, a row group at a time.
struct Run {
    reader: Arc<SegmentReader>,
    rows: std::ops::Range<u64>,
    bounds: (i64, i64),
    columns: Arc<[(ColumnId, FieldType)]>,
}

impl RowSource for Run {
    fn next_chunk(&mut self) -> Result<Option<RowChunk>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let group = self.reader.group_of(self.rows.start);
        let end = self.reader.group_rows(group).end.clamp(self.rows.start + 1, self.rows.end);
        let rows = std::mem::replace(&mut self.rows.start, end)..end;
        self.reader.read(rows, &self.columns, true).map(Some)
    }

    fn bounds(&self) -> (i64, i64) {
        self.bounds
    }
}
