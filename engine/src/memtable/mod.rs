//! Rows of one table in memory, in the order of arrival: columnar chunks, a link from each row to the row of the same series before it.
//! Invariant: rows are only ever added, in sequence order; whoever knows a sequence sees the same rows for good.
//! See docs/decisions/0011-memtable.md.

mod chunk;
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
    sealed: Vec<Arc<Chunk>>,
    open: Chunk,
    row_count: u32,
    memory_bytes: usize,
    sequences: Option<(Sequence, Sequence)>,
    times: Option<(i64, i64)>,
    commits: Vec<(Sequence, CommitMetadata)>,
}

/// What is known of a series without looking at its rows.
#[derive(Debug, Clone, Copy)]
struct SeriesState {
    newest_row: u32,
    row_count: u32,
    min_time: i64,
    max_time: i64,
    /// Whether its rows arrived in time order.
    in_order: bool,
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
            .map(|((key, state), local)| MemSeries {
                key: key.clone(),
                local,
                min_time: state.min_time,
                max_time: state.max_time,
                row_count: state.row_count,
            })
            .collect();
        drop(inner);
        selected.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        selected
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
        let inner = self.inner.read();
        let mut out = RowChunk::empty(&columns.iter().map(|column| column.1).collect::<Vec<_>>());
        let Some(state) = inner.series.get(local as usize).copied() else { return out };
        let rows = inner.rows_of(state, range, through);
        let mut rest = rows.as_slice();
        while let Some(&first) = rest.first() {
            let Some(chunk) = inner.chunk_of(first) else { break };
            let run = rest.iter().zip(first..).take_while(|(row, expected)| **row == *expected);
            let run = run.count().min(chunk.rows_from(first));
            chunk.copy_to(first, run, columns, &mut out);
            rest = rest.get(run..).unwrap_or_default();
        }
        out
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
            self.sealed.push(Arc::new(chunk));
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
            self.sealed.push(Arc::new(std::mem::take(&mut self.open)));
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
            state.in_order &= *time >= state.max_time;
            state.min_time = state.min_time.min(*time);
            state.max_time = state.max_time.max(*time);
            let (min, max) = self.times.unwrap_or((*time, *time));
            self.times = Some((min.min(*time), max.max(*time)));
        }
        previous
    }

    /// The rows of a series in the order of reading.
    fn rows_of(&self, state: SeriesState, range: TimeRange, through: Sequence) -> Vec<u32> {
        let mut found: Vec<(i64, u32)> = Vec::with_capacity(state.row_count as usize);
        let mut row = state.newest_row;
        while let Some(chunk) = self.chunk_of(row) {
            // Walk the links as long as they stay in this chunk.
            while let Some((time, sequence, previous)) = chunk.link_at(row) {
                if state.in_order && time < range.from {
                    row = NO_ROW;
                    break;
                }
                if range.contains(time) && sequence <= through {
                    found.push((time, row));
                }
                row = previous;
            }
        }
        found.reverse();
        if !state.in_order {
            found.sort_by_key(|(time, _)| *time);
        }
        found.into_iter().map(|(_, row)| row).collect()
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.sealed.iter().map(AsRef::as_ref).chain([&self.open])
    }

    fn chunk_of(&self, row: u32) -> Option<&Chunk> {
        if row == NO_ROW {
            return None;
        }
        if !self.open.is_empty() && row >= self.open.base() {
            return Some(&self.open);
        }
        let at = self.sealed.partition_point(|chunk| chunk.base() <= row);
        self.sealed.get(at.checked_sub(1)?).map(AsRef::as_ref)
    }
}
