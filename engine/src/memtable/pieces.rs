//! The rows of one series piece by piece, so that a reader need not hold a copy of all of them.

use super::chunk::NO_ROW;
use super::{Inner, Memtable};
use crate::error::Result;
use crate::model::{ColumnData, ColumnId, FieldType, RowChunk, Sequence, TimeRange};
use crate::planted::{Bug, is_on};

/// Bytes of the place of a row, and of a row that is still to be sorted by time.
const PLACE_BYTES: usize = 4;
const UNSORTED_BYTES: usize = 20;

/// Where the rows of a series are, in the order of reading, and the times of the first and the last.
pub struct Places {
    /// Numbers of rows.
    pub rows: Vec<u32>,
    /// Both inclusive.
    pub bounds: (i64, i64),
}

impl Places {
    /// Bytes in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.rows.capacity() * PLACE_BYTES
    }
}

impl Memtable {
    /// Where the rows of a series in `range` are, with sequences up to `through`, inclusive, ascending by (time, sequence, position in
    /// the batch); none where there are none. `grant` is asked for the bytes that finding them takes.
    ///
    /// # Errors
    /// Those of `grant`.
    pub fn places(
        &self,
        local: u32,
        range: TimeRange,
        through: Sequence,
        grant: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Option<Places>> {
        let inner = self.inner.read();
        let Some(state) = inner.series.get(local as usize).copied() else { return Ok(None) };
        let count = state.row_count as usize;
        grant(count * if state.in_order { PLACE_BYTES } else { UNSORTED_BYTES })?;
        let mut rows: Vec<u32> = Vec::with_capacity(if state.in_order { count } else { 0 });
        let mut unsorted: Vec<(i64, u32)> =
            Vec::with_capacity(if state.in_order { 0 } else { count });
        let mut bounds = (i64::MAX, i64::MIN);
        let mut row = state.newest_row;
        while let Some(chunk) = inner.chunk_of(row) {
            // Walk the links as long as they stay in this chunk.
            while let Some((time, sequence, previous)) = chunk.link_at(row) {
                if (state.in_order || is_on(Bug::WalkStopsEarly)) && time < range.from {
                    row = NO_ROW;
                    break;
                }
                if range.contains(time) && sequence <= through {
                    bounds = (bounds.0.min(time), bounds.1.max(time));
                    if state.in_order { rows.push(row) } else { unsorted.push((time, row)) }
                }
                row = previous;
            }
        }
        if !state.in_order {
            unsorted.reverse();
            unsorted.sort_by_key(|(time, _)| *time);
            rows = unsorted.into_iter().map(|(_, row)| row).collect();
        } else {
            rows.reverse();
        }
        rows.shrink_to_fit();
        Ok((!rows.is_empty()).then_some(Places { rows, bounds }))
    }

    /// How many of `rows`, from the first on, take up to `bytes_max` bytes with `row_bytes` each and their texts, but at least one; and
    /// their bytes.
    #[must_use]
    pub fn measure(
        &self,
        rows: &[u32],
        columns: &[(ColumnId, FieldType)],
        row_bytes: usize,
        bytes_max: usize,
    ) -> (usize, usize) {
        let inner = self.inner.read();
        let most = (bytes_max / row_bytes.max(1)).clamp(1, rows.len().max(1)).min(rows.len());
        let texts: Vec<ColumnId> =
            columns.iter().filter(|(_, of)| *of == FieldType::Utf8).map(|(id, _)| *id).collect();
        if texts.is_empty() {
            return (most, most * row_bytes);
        }
        let (mut count, mut bytes) = (0, 0);
        for row in rows.iter().take(most) {
            let more = row_bytes + inner.text_bytes(*row, &texts);
            if count > 0 && bytes + more > bytes_max {
                break;
            }
            count += 1;
            bytes += more;
        }
        (count, bytes)
    }

    /// The rows at these places.
    #[must_use]
    pub fn copy(&self, places: &[u32], columns: &[(ColumnId, FieldType)]) -> RowChunk {
        let inner = self.inner.read();
        let mut out = RowChunk::empty(&columns.iter().map(|column| column.1).collect::<Vec<_>>());
        let mut rest = places;
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
    /// Bytes of the texts of a row in these columns.
    fn text_bytes(&self, row: u32, columns: &[ColumnId]) -> usize {
        let Some(chunk) = self.chunk_of(row) else { return 0 };
        let at = row.saturating_sub(chunk.base()) as usize;
        let of = |id: &ColumnId| match chunk.field(*id).map(|column| &column.data) {
            Some(ColumnData::Utf8(texts)) => texts.view().get_bytes(at).map_or(0, <[u8]>::len),
            _ => 0,
        };
        columns.iter().map(of).sum()
    }
}
