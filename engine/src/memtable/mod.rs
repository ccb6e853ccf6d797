//! Rows of one table in memory, in the order of arrival: columnar chunks, a link from each row to the row of the same series before it.
//! Invariant: rows are only ever added, in sequence order; whoever knows a sequence sees the same rows for good.
//! See docs/decisions/0011-memtable.md.

mod chunk;
mod last;
mod pieces;
mod sorted;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::budget::Grant;
use crate::model::{
    ColumnId, CommitMetadata, FieldType, RowChunk, Rows, Sequence, SeriesKey, TableId, TimeRange,
};
use chunk::{Chunk, NO_ROW};
pub use last::MemSelect;
pub use pieces::Places;
pub use sorted::{SortCost, SortedPieces, SortedRows};

/// Rows above which a batch becomes a chunk of its own.
const OWN_CHUNK_ROWS: usize = 1_024;
/// Rows at which the open chunk is sealed.
const OPEN_CHUNK_ROWS: usize = 4_096;

/// Bytes of a row's link.
const LINK_BYTES: usize = 4;
/// Bytes of a series beside its key: here, and in the indexes that a flush of it builds.
const SERIES_BYTES: usize = 256;

/// What a series takes in a memtable, and in the indexes of the segment that a flush writes.
fn series_bytes(key: &SeriesKey) -> usize {
    SERIES_BYTES + 3 * key.memory_bytes()
}

/// Bytes that `rows` take at most in a memtable: all series may be new there.
#[must_use]
pub fn bytes_at_most(rows: &Rows) -> usize {
    let keys: usize = rows.keys.iter().map(series_bytes).sum();
    keys + rows.memory_bytes() + rows.row_count() * LINK_BYTES
}

/// Rows of one table that are not in a segment yet.
pub struct Memtable {
    table: TableId,
    grant: Mutex<Grant>,
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    keys: Vec<SeriesKey>,
    index: HashMap<SeriesKey, u32>,
    series: Vec<SeriesState>,
    /// Copied where a reader still holds it: readers copy rows of sealed chunks without the lock.
    sealed: Arc<Sealed>,
    open: Chunk,
    row_count: u32,
    memory_bytes: usize,
    sequences: Option<(Sequence, Sequence)>,
    times: Option<(i64, i64)>,
    commits: Vec<(Sequence, CommitMetadata)>,
}

/// The chunks that never change any more, in the order of their rows.
#[derive(Default, Clone)]
struct Sealed(Vec<Arc<Chunk>>);

impl Sealed {
    fn chunk_of(&self, row: u32) -> Option<&Chunk> {
        let at = self.0.partition_point(|chunk| chunk.base() <= row);
        self.0.get(at.checked_sub(1)?).map(AsRef::as_ref)
    }
}

/// What is known of a series without looking at its rows.
#[derive(Debug, Clone, Copy)]
struct SeriesState {
    newest_row: u32,
    /// The newest row of the greatest time.
    last_row: u32,
    row_count: u32,
    min_time: i64,
    max_time: i64,
    /// Whether its rows arrived in time order.
    in_order: bool,
}

impl SeriesState {
    fn named(&self, key: SeriesKey, local: u32) -> MemSeries {
        let Self { min_time, max_time, row_count, .. } = *self;
        MemSeries { key, local, min_time, max_time, row_count }
    }
}

/// A series of a memtable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemSeries {
    /// The series.
    pub key: SeriesKey,
    /// Its number in this memtable.
    pub local: u32,
    /// The least timestamp.
    pub min_time: i64,
    /// The greatest timestamp.
    pub max_time: i64,
    /// The number of rows, those included that a snapshot may not see.
    pub row_count: u32,
}

/// Figures of a memtable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemtableStats {
    /// Rows.
    pub row_count: u64,
    /// Series.
    pub series_count: u64,
    /// Bytes, roughly.
    pub memory_bytes: usize,
    /// First and last sequence, if there is a row.
    pub sequences: Option<(Sequence, Sequence)>,
    /// Least and greatest timestamp, if there is a row.
    pub times: Option<(i64, i64)>,
}

impl Memtable {
    /// An empty memtable, which holds the memory that `grant` gives and what is added later.
    #[must_use]
    pub fn new(table: TableId, grant: Grant) -> Self {
        Self { table, grant: Mutex::new(grant), inner: RwLock::default() }
    }

    /// Holds, until the memtable is dropped, the memory that its rows take: first of what `granted` has, then of what the budget has. What
    /// neither has is held without a grant: the rows are committed.
    pub fn hold(&self, granted: Option<&mut Grant>) {
        let needed = self.inner.read().memory_bytes;
        let mut held = self.grant.lock();
        if let Some(granted) = granted {
            let missing = needed.saturating_sub(held.bytes());
            held.absorb(&mut granted.split(missing));
        }
        if held.bytes() < needed {
            let _ = held.resize(needed, "rows in memory");
        }
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> TableId {
        self.table
    }

    /// Adds the rows of one batch. Sequences only ever rise.
    pub fn insert(&self, rows: Rows, sequence: Sequence) {
        if rows.row_count() > 0 {
            self.inner.write().insert(rows, sequence);
        }
    }

    /// Figures.
    #[must_use]
    pub fn stats(&self) -> MemtableStats {
        let inner = self.inner.read();
        MemtableStats {
            row_count: u64::from(inner.row_count),
            series_count: inner.keys.len() as u64,
            memory_bytes: inner.memory_bytes,
            sequences: inner.sequences,
            times: inner.times,
        }
    }

    /// Keeps the metadata of a batch beside its rows.
    pub fn note(&self, sequence: Sequence, metadata: CommitMetadata) {
        if !metadata.is_empty() {
            let mut inner = self.inner.write();
            inner.memory_bytes += size_of::<(Sequence, CommitMetadata)>() + metadata.len_bytes();
            inner.commits.push((sequence, metadata));
        }
    }

    /// The metadata of the batches that have any, by sequence.
    #[must_use]
    pub fn commits(&self) -> Vec<(Sequence, CommitMetadata)> {
        self.inner.read().commits.clone()
    }

    /// Hands every timestamp to `visit`, in order of arrival.
    pub fn each_time(&self, visit: &mut dyn FnMut(i64)) {
        let inner = self.inner.read();
        inner.chunks().flat_map(Chunk::times).for_each(|time| visit(*time));
    }

    /// Rows that fit before row numbers run out.
    #[must_use]
    pub fn room_rows(&self) -> u64 {
        u64::from(NO_ROW - self.inner.read().row_count)
    }

    /// The series that `accept` takes and that may have rows in `range`, sorted by key.
    #[must_use]
    pub fn select(&self, range: TimeRange, accept: &dyn Fn(&SeriesKey) -> bool) -> Vec<MemSeries> {
        let inner = self.inner.read();
        let all = inner.keys.iter().zip(&inner.series).zip(0..);
        let mut selected: Vec<MemSeries> = all
            .filter(|((key, state), _)| {
                range.touches(state.min_time, state.max_time) && accept(key)
            })
            .map(|((key, state), local)| state.named(key.clone(), local))
            .collect();
        drop(inner);
        selected.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        selected
    }

    /// The series `key`, if it may have rows in `range`.
    #[must_use]
    pub fn find(&self, key: &SeriesKey, range: TimeRange) -> Option<MemSeries> {
        let inner = self.inner.read();
        let local = *inner.index.get(key)?;
        let state = inner.series.get(local as usize)?;
        range.touches(state.min_time, state.max_time).then(|| state.named(key.clone(), local))
    }

    /// The rows of a series in `range` with sequences up to `through`, inclusive: ascending by (time, sequence, position in the batch).
    #[must_use]
    pub fn read(
        &self,
        local: u32,
        range: TimeRange,
        through: Sequence,
        columns: &[(ColumnId, FieldType)],
    ) -> RowChunk {
        let mut out = RowChunk::empty(&columns.iter().map(|column| column.1).collect::<Vec<_>>());
        let inner = self.inner.read();
        let Some(state) = inner.series.get(local as usize).copied() else { return out };
        let mut walk = Walk { row: state.newest_row, found: Vec::new(), is_over: false };
        // The chunk that still grows is read under the lock, sealed chunks after it: a batch waits for a few thousand rows at most.
        walk.through_chunk(&inner.open, state, range, through);
        let mut in_open: Vec<u32> = walk.found.iter().map(|(_, row)| *row).collect();
        in_open.reverse();
        let mut open = out.empty_like();
        copy_runs(&in_open, &|_| Some(&inner.open), columns, &mut open);
        let sealed = Arc::clone(&inner.sealed);
        drop(inner);
        while !walk.is_over
            && let Some(chunk) = sealed.chunk_of(walk.row)
        {
            walk.through_chunk(chunk, state, range, through);
        }
        let rows = walk.finish(state.in_order);
        let Some(&first_open) = in_open.first() else {
            copy_runs(&rows, &|row| sealed.chunk_of(row), columns, &mut out);
            return out;
        };
        for run in rows.chunk_by(|a, b| (*a >= first_open) == (*b >= first_open)) {
            if run.first().is_none_or(|first| *first < first_open) {
                copy_runs(run, &|row| sealed.chunk_of(row), columns, &mut out);
                continue;
            }
            for run in run.chunk_by(|a, b| a + 1 == *b) {
                let first = run.first().map_or(0, |row| in_open.partition_point(|one| one < row));
                out.push_slice(&open, first..first + run.len());
            }
        }
        out
    }
}

/// The way along a series' links, from its newest row back.
struct Walk {
    row: u32,
    found: Vec<(i64, u32)>,
    is_over: bool,
}

impl Walk {
    /// Follows the links as long as they stay in `chunk`.
    fn through_chunk(
        &mut self,
        chunk: &Chunk,
        state: SeriesState,
        range: TimeRange,
        through: Sequence,
    ) {
        while let Some((time, sequence, previous)) = chunk.link_at(self.row) {
            if state.in_order && time < range.from {
                self.is_over = true;
                return;
            }
            if range.contains(time) && sequence <= through {
                self.found.push((time, self.row));
            }
            self.row = previous;
        }
        self.is_over = self.row == NO_ROW;
    }

    /// The rows in the order of reading.
    fn finish(self, in_order: bool) -> Vec<u32> {
        let mut found = self.found;
        found.reverse();
        if !in_order {
            found.sort_by_key(|(time, _)| *time);
        }
        found.into_iter().map(|(_, row)| row).collect()
    }
}

/// Appends these rows, run by run, to `out`.
fn copy_runs<'a>(
    rows: &[u32],
    chunk_of: &dyn Fn(u32) -> Option<&'a Chunk>,
    columns: &[(ColumnId, FieldType)],
    out: &mut RowChunk,
) {
    let mut rest = rows;
    while let Some(&first) = rest.first() {
        let Some(chunk) = chunk_of(first) else { break };
        let run = rest.iter().zip(first..).take_while(|(row, expected)| **row == *expected);
        let run = run.count().min(chunk.rows_from(first));
        chunk.copy_to(first, run, columns, out);
        rest = rest.get(run..).unwrap_or_default();
    }
}

impl Inner {
    fn insert(&mut self, mut rows: Rows, sequence: Sequence) {
        let locals: Vec<u32> = rows.keys.iter().map(|key| self.local(key)).collect();
        for index in &mut rows.series {
            *index = locals.get(*index as usize).copied().unwrap_or_default();
        }
        let previous = self.link(&rows);
        let keys: usize = rows.keys.iter().map(SeriesKey::memory_bytes).sum();
        self.memory_bytes += rows.memory_bytes() - keys + rows.row_count() * LINK_BYTES;
        let (first, _) = self.sequences.unwrap_or((sequence, sequence));
        self.sequences = Some((first, sequence));
        let added = u32::try_from(rows.row_count()).unwrap_or(u32::MAX);
        if rows.row_count() >= OWN_CHUNK_ROWS {
            self.seal();
            let chunk = Chunk::from_rows(self.row_count, rows, previous, sequence);
            Arc::make_mut(&mut self.sealed).0.push(Arc::new(chunk));
        } else {
            if self.open.is_empty() {
                self.open = Chunk::starting_at(self.row_count);
            }
            self.open.append(&rows, &previous, sequence);
        }
        self.row_count += added;
        if self.open.row_count() >= OPEN_CHUNK_ROWS {
            self.seal();
        }
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            let chunk = Arc::new(std::mem::take(&mut self.open));
            Arc::make_mut(&mut self.sealed).0.push(chunk);
        }
    }

    /// The number of a series, a new one where it has none.
    fn local(&mut self, key: &SeriesKey) -> u32 {
        if let Some(local) = self.index.get(key) {
            return *local;
        }
        let local = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.index.insert(key.clone(), local);
        self.keys.push(key.clone());
        self.memory_bytes += series_bytes(key);
        self.series.push(SeriesState {
            newest_row: NO_ROW,
            last_row: NO_ROW,
            row_count: 0,
            min_time: i64::MAX,
            max_time: i64::MIN,
            in_order: true,
        });
        local
    }

    /// Updates the series' states; gives for each new row the row of its series before it.
    fn link(&mut self, rows: &Rows) -> Vec<u32> {
        let mut previous = Vec::with_capacity(rows.row_count());
        for ((local, time), row) in rows.series.iter().zip(&rows.time).zip(self.row_count..) {
            let Some(state) = self.series.get_mut(*local as usize) else { continue };
            previous.push(state.newest_row);
            state.newest_row = row;
            state.row_count += 1;
            if *time >= state.max_time {
                state.last_row = row;
            } else {
                state.in_order = false;
            }
            state.min_time = state.min_time.min(*time);
            state.max_time = state.max_time.max(*time);
            let (min, max) = self.times.unwrap_or((*time, *time));
            self.times = Some((min.min(*time), max.max(*time)));
        }
        previous
    }

    /// The rows of a series in the order of reading.
    fn rows_of(&self, state: SeriesState, range: TimeRange, through: Sequence) -> Vec<u32> {
        let mut walk = Walk { row: state.newest_row, found: Vec::new(), is_over: false };
        while !walk.is_over
            && let Some(chunk) = self.chunk_of(walk.row)
        {
            walk.through_chunk(chunk, state, range, through);
        }
        walk.finish(state.in_order)
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.sealed.0.iter().map(AsRef::as_ref).chain([&self.open])
    }

    fn chunk_of(&self, row: u32) -> Option<&Chunk> {
        if row == NO_ROW {
            return None;
        }
        if !self.open.is_empty() && row >= self.open.base() {
            return Some(&self.open);
        }
        self.sealed.chunk_of(row)
    }
}
