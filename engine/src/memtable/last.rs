//! The last rows of many series of a memtable, found through the links, without reading the rows before them.

use std::sync::Arc;

use super::chunk::{Chunk, NO_ROW};
use super::{Inner, Memtable, SeriesState};
use crate::model::{
    Column, ColumnId, FieldType, RowChunk, Sequence, SeriesKey, SeriesRows, TimeRange,
};

/// Which series are asked for.
pub enum MemSelect<'a> {
    /// These, where the memtable has them; ascending, none twice.
    Keys(&'a [SeriesKey]),
    /// Those whose keys pass.
    Where(&'a dyn Fn(&SeriesKey) -> bool),
}

/// A row that was found.
struct Row {
    key: SeriesKey,
    row: u32,
    tied: bool,
}

impl Memtable {
    /// The last row by (time, sequence, position in the batch) of each series of `select`, among those in `range` with sequences up
    /// to `through`, inclusive.
    #[must_use]
    pub fn last_rows(
        &self,
        select: &MemSelect<'_>,
        range: TimeRange,
        through: Sequence,
        columns: &[(ColumnId, FieldType)],
    ) -> SeriesRows {
        let inner = self.inner.read();
        let mut found = Vec::new();
        let mut look = |key: &SeriesKey, state: &SeriesState| {
            let row = inner.last_row_of(*state, range, through);
            found.extend(row.map(|(row, tied)| Row { key: key.clone(), row, tied }));
        };
        match select {
            MemSelect::Keys(keys) => {
                for key in *keys {
                    let local = inner.index.get(key).map(|local| *local as usize);
                    if let Some(state) = local.and_then(|local| inner.series.get(local)) {
                        look(key, state);
                    }
                }
            }
            MemSelect::Where(accept) => {
                for (key, state) in inner.keys.iter().zip(&inner.series) {
                    if accept(key) {
                        look(key, state);
                    }
                }
            }
        }
        if found.is_empty() {
            return SeriesRows::default();
        }
        // Rows of the chunk that still grows are copied under the lock, those of sealed chunks after it.
        let open_base = if inner.open.is_empty() { NO_ROW } else { inner.open.base() };
        let mut in_open: Vec<u32> = found.iter().map(|one| one.row).collect();
        in_open.retain(|row| *row >= open_base);
        in_open.sort_unstable();
        let open = copy_rows(&in_open, columns, &|_| Some(&inner.open));
        let sealed = Arc::clone(&inner.sealed);
        drop(inner);
        if matches!(select, MemSelect::Where(_)) {
            found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        }
        let mut rows = RowChunk::empty(&columns.iter().map(|column| column.1).collect::<Vec<_>>());
        for run in found.chunk_by(|a, b| (a.row >= open_base) == (b.row >= open_base)) {
            if run.first().is_some_and(|first| first.row >= open_base) {
                for one in run {
                    if let Ok(at) = in_open.binary_search(&one.row) {
                        rows.push_slice(&open, at..at + 1);
                    }
                }
            } else {
                let numbers: Vec<u32> = run.iter().map(|one| one.row).collect();
                let part = copy_rows(&numbers, columns, &|row| sealed.chunk_of(row));
                rows.push_slice(&part, 0..part.row_count());
            }
        }
        let tied = found.iter().map(|one| one.tied).collect();
        SeriesRows { keys: found.into_iter().map(|one| one.key).collect(), rows, tied }
    }
}

impl Inner {
    /// The last row of a series that counts, and whether another one may have its time.
    fn last_row_of(
        &self,
        state: SeriesState,
        range: TimeRange,
        through: Sequence,
    ) -> Option<(u32, bool)> {
        if !range.touches(state.min_time, state.max_time) {
            return None;
        }
        let mut row = state.last_row;
        if !state.in_order {
            let (time, sequence, _) = self.chunk_of(row)?.link_at(row)?;
            if range.contains(time) && sequence <= through {
                return Some((row, true));
            }
            return self.rows_of(state, range, through).last().map(|row| (*row, true));
        }
        while let Some(chunk) = self.chunk_of(row) {
            while let Some((time, sequence, previous)) = chunk.link_at(row) {
                if time < range.from {
                    return None;
                }
                if range.contains(time) && sequence <= through {
                    let before = self.chunk_of(previous).and_then(|chunk| chunk.link_at(previous));
                    return Some((row, before.is_some_and(|before| before.0 == time)));
                }
                row = previous;
            }
        }
        None
    }
}

/// These rows, in their order.
fn copy_rows<'a>(
    rows: &[u32],
    columns: &[(ColumnId, FieldType)],
    chunk_of: &dyn Fn(u32) -> Option<&'a Chunk>,
) -> RowChunk {
    let chunks: Vec<Option<&Chunk>> = rows.iter().map(|row| chunk_of(*row)).collect();
    let place = |row: u32, chunk: &Chunk| row.saturating_sub(chunk.base());
    let mut out = RowChunk { time: Vec::with_capacity(rows.len()), ..RowChunk::default() };
    for (row, chunk) in rows.iter().zip(&chunks) {
        let link = chunk.and_then(|chunk| chunk.link_at(*row));
        let (time, sequence, _) = link.unwrap_or((0, Sequence::ZERO, NO_ROW));
        out.time.push(time);
        out.sequence.push(sequence);
    }
    for (id, field_type) in columns {
        let mut to = Column::empty(*field_type);
        for (row, chunk) in rows.iter().zip(&chunks) {
            match chunk.and_then(|chunk| Some((chunk.field(*id)?, place(*row, chunk) as usize))) {
                Some((from, at)) => to.push_slice(from, at..at + 1),
                None => to.push_nulls(1),
            }
        }
        out.fields.push(to);
    }
    out
}
