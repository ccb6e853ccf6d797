//! Merges segments of one table into one.

use std::path::Path;
use std::sync::Arc;

use chronolith_codec::Effort;

use crate::budget::{Grant, MemoryBudget};
use crate::error::{Error, Result};
use crate::flush::{SegmentTarget, WRITER_GROUPS, columns_of, group_bytes};
use crate::merge::{Resolver, RowSource, SeriesMerge};
use crate::model::{ColumnId, FieldType, RowChunk, Sequence, SeriesKey, TableSchema, Window};
use crate::planted::{Bug, is_on};
use crate::segment::{SegmentInfo, SegmentReader, SegmentWriter};
use crate::tombstone::Tombstone;

/// Free bytes that a merge leaves on the disk, so that the log can go on; a quarter of what is free where that is less.
const RESERVE_BYTES: u64 = 64 << 20;
/// Bytes of the rows that are read of an input at once, where there is memory, and where there is little.
const CHUNK_BYTES_MAX: usize = 8 << 20;
const CHUNK_BYTES_MIN: usize = 16 << 10;
/// What the rows of a chunk take while they are read and decoded, and on their way to the writer, in parts of the chunk.
const READ_PARTS: usize = 3;
const WORK_PARTS: usize = 4;
/// Series after which the grant for the writer's indexes is made larger.
const HOLD_SERIES: usize = 64;
const WHAT: &str = "a merge of segments";

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

impl MergeInput<'_> {
    /// The columns of the inputs. The schema may have more, whose batches are not durable yet: their ids would be given anew after a crash.
    fn columns(&self) -> Vec<(ColumnId, FieldType)> {
        let held = |column: &(ColumnId, FieldType)| {
            let count = if is_on(Bug::MergeLosesLateColumns) { 1 } else { self.readers.len() };
            self.readers.iter().take(count).any(|reader| reader.columns().contains(column))
        };
        columns_of(self.schema).into_iter().filter(held).collect()
    }

    /// The tags of the inputs, likewise.
    fn tag_count(&self) -> usize {
        self.readers.iter().map(|reader| reader.tag_count).max().unwrap_or_default()
    }
}

/// Merges; none where no row is left.
///
/// # Errors
/// `Corrupt` for a damaged input, which then stays; `Io`, in particular where the disk has too little room; `Overloaded` where memory is
/// full: a retry is safe.
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
    let memory = &target.memory.merges;
    let limit = memory.limit_bytes();
    let mut spec = target.spec(input.schema, input.window, Effort::Dense, limit);
    let columns: Arc<[_]> = input.columns().into();
    spec.columns = columns.to_vec();
    spec.tag_count = input.tag_count();
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
    let writer_bytes = WRITER_GROUPS * group_bytes(limit);
    let mut work = Work {
        columns,
        memory,
        grant: memory.grant(writer_bytes + writer.index_bytes(), WHAT)?,
        writer_bytes,
        chunk_bytes: (limit / 64).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX),
        passing_bytes: 0,
    };
    let mut row_count = 0;
    let mut cursors: Vec<u32> = vec![0; input.readers.len()];
    let mut series_count = 0;
    while let Some(key) = least_key(&input.readers, &cursors)? {
        let of = (&applied[..], horizon);
        row_count += merge_series(input, of, &key, &mut cursors, &mut writer, &mut work)?;
        series_count += 1;
        if series_count % HOLD_SERIES == 0 {
            work.hold(writer.index_bytes())?;
        }
    }
    if row_count == 0 {
        return Ok(None);
    }
    writer.finish().map(Some)
}

/// Bytes that must be free for a merge: those of its inputs, and what it leaves on a disk that has no more.
#[must_use]
pub fn room_for(input: &MergeInput<'_>) -> u64 {
    let need = input_bytes(input);
    need + RESERVE_BYTES.min(need / 3 + 1)
}

fn input_bytes(input: &MergeInput<'_>) -> u64 {
    input.readers.iter().map(|reader| reader.info().len_bytes).sum()
}

/// The columns of a merge, and its memory.
struct Work<'a> {
    columns: Arc<[(ColumnId, FieldType)]>,
    memory: &'a Arc<MemoryBudget>,
    grant: Grant,
    writer_bytes: usize,
    chunk_bytes: usize,
    /// What chunks took at most on their way to the writer.
    passing_bytes: usize,
}

impl Work<'_> {
    fn hold(&mut self, index_bytes: usize) -> Result<()> {
        self.grant.resize(self.writer_bytes + self.passing_bytes + index_bytes, WHAT)
    }

    fn pass(&mut self, chunk: &RowChunk, index_bytes: usize) -> Result<()> {
        let bytes = chunk.memory_bytes().saturating_mul(WORK_PARTS);
        if bytes <= self.passing_bytes {
            return Ok(());
        }
        self.passing_bytes = bytes;
        self.hold(index_bytes)
    }
}

fn check_room(target: &SegmentTarget, input: &MergeInput<'_>) -> Result<()> {
    let need = input_bytes(input);
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
    work: &mut Work<'_>,
) -> Result<u64> {
    let types: Vec<FieldType> = work.columns.iter().map(|column| column.1).collect();
    let field = |of: &FieldType| if *of == FieldType::Utf8 { 5 } else { 9 };
    let row_bytes = 24 + types.iter().map(field).sum::<usize>();
    let mut sources: Vec<Box<dyn RowSource>> = Vec::new();
    for (reader, at) in input.readers.iter().zip(cursors) {
        if *at >= reader.series_count() || reader.key(*at)? != *key {
            continue;
        }
        sources.push(Box::new(Run {
            rows: reader.rows_of(*at)?,
            bounds: reader.time_bounds(*at)?,
            reader: Arc::clone(reader),
            columns: Arc::clone(&work.columns),
            row_bytes,
            chunk_bytes: work.chunk_bytes,
            grant: work.memory.empty_grant(),
        }));
        *at += 1;
    }
    let hidden_by: Vec<Tombstone> =
        applied.iter().filter(|one| one.covers_series(key)).cloned().collect();
    let mut merge = SeriesMerge::new(types, work.chunk_bytes, sources);
    let fold_all = is_on(Bug::FoldAboveHorizon);
    let mut resolver =
        Resolver::new(input.schema.merge, if fold_all { Sequence::MAX } else { horizon });
    let mut row_count = 0;
    let mut write = |writer: &mut SegmentWriter<'_>, rows: Option<RowChunk>| -> Result<()> {
        let Some(rows) = rows.filter(|rows| rows.row_count() > 0) else { return Ok(()) };
        row_count += rows.row_count() as u64;
        writer.push(key, &rows)
    };
    while let Some(chunk) = merge.next_chunk()? {
        work.pass(&chunk, writer.index_bytes())?;
        write(writer, resolver.push(crate::merge::hide(chunk, key, &hidden_by)))?;
    }
    write(writer, resolver.finish())?;
    Ok(row_count)
}

/// A series' rows in a segment, with sequences, a row group at a time, or a part of one.
struct Run {
    reader: Arc<SegmentReader>,
    rows: std::ops::Range<u64>,
    bounds: (i64, i64),
    columns: Arc<[(ColumnId, FieldType)]>,
    row_bytes: usize,
    chunk_bytes: usize,
    /// For the chunk that was given last.
    grant: Grant,
}

impl RowSource for Run {
    fn next_chunk(&mut self) -> Result<Option<RowChunk>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let (reader, columns, rows) = (&self.reader, &self.columns, self.rows.clone());
        let row_bytes = self.row_bytes;
        let end = self.grant.fit((self.chunk_bytes, CHUNK_BYTES_MIN), WHAT, |bytes_max| {
            let (end, bytes) = reader.measure(rows.clone(), columns, row_bytes, bytes_max)?;
            Ok((end, bytes.saturating_mul(READ_PARTS)))
        })?;
        let rows = std::mem::replace(&mut self.rows.start, end)..end;
        self.reader.read(rows, &self.columns, true).map(Some)
    }

    fn bounds(&self) -> (i64, i64) {
        self.bounds
    }
}
