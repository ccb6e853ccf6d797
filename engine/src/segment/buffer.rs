//! The rows of the row group that a writer is filling.

use std::ops::Range;

use crate::limits::{PAGE_ROWS, ROW_GROUP_ROWS};
use crate::model::{Column, ColumnData, FieldType, RowChunk};

use super::last_rows::clear;

/// What a byte of text counts against the bound: of a page readers decode all texts, of other columns only the rows they want.
const TEXT_WEIGHT: usize = 8;

/// At most 65,536 rows, fewer where they pass the bound on bytes.
pub(crate) struct Buffer {
    /// Time, incarnation, counter, and the fields.
    pub(crate) columns: Vec<Column>,
    /// Whether no two rows have the same series and time, those over the edges included.
    pub(crate) unique: bool,
    bytes: usize,
    bytes_max: usize,
}

impl Buffer {
    /// Full at `bytes_max` bytes.
    pub(crate) fn new(types: &[FieldType], bytes_max: usize) -> Self {
        let leading = [FieldType::Timestamp, FieldType::I64, FieldType::U64];
        let columns = leading.iter().chain(types).map(|of| Column::empty(*of)).collect();
        Self { columns, unique: true, bytes: 0, bytes_max }
    }

    pub(crate) fn row_count(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.row_count() >= ROW_GROUP_ROWS || self.bytes >= self.bytes_max
    }

    /// Adds rows from `start` on until the group is full: at least one. Returns those that were added.
    pub(crate) fn fill(&mut self, rows: &RowChunk, start: usize) -> Range<usize> {
        let most = (rows.row_count() - start).min(ROW_GROUP_ROWS - self.row_count());
        let part = start..start + self.fitting(rows, start, most);
        let [time, incarnation, counter, fields @ ..] = self.columns.as_mut_slice() else {
            return part;
        };
        let times = rows.time.get(part.clone()).unwrap_or_default();
        let sequences = rows.sequence.get(part.clone()).unwrap_or_default();
        if let ColumnData::I64(to) = &mut time.data {
            to.extend_from_slice(times);
        }
        if let ColumnData::I64(to) = &mut incarnation.data {
            to.extend(sequences.iter().map(|of| i64::from(of.incarnation)));
        }
        if let ColumnData::U64(to) = &mut counter.data {
            to.extend(sequences.iter().map(|of| of.counter));
        }
        for (to, from) in fields.iter_mut().zip(&rows.fields) {
            to.push_slice(from, part.clone());
        }
        part
    }

    /// How many of the `most` rows from `start` it takes to pass the bound on bytes, the one that passes it included; counts
    /// their bytes.
    fn fitting(&mut self, rows: &RowChunk, start: usize, most: usize) -> usize {
        let row_bytes = self.columns.len() * 8;
        let texts: Vec<&[u32]> = rows.fields.iter().filter_map(text_offsets).collect();
        let size = |count: usize| {
            let text = |offsets: &&[u32]| match (offsets.get(start), offsets.get(start + count)) {
                (Some(from), Some(to)) => to.saturating_sub(*from) as usize,
                _ => 0,
            };
            count * row_bytes + TEXT_WEIGHT * texts.iter().map(text).sum::<usize>()
        };
        let left = self.bytes_max.saturating_sub(self.bytes);
        let (mut from, mut to) = if size(most) < left { (most, most) } else { (1, most) };
        while from < to {
            let middle = usize::midpoint(from, to);
            if size(middle) < left { from = middle + 1 } else { to = middle }
        }
        self.bytes += size(from);
        from
    }

    /// The time of the first row of each page.
    pub(crate) fn page_times(&self) -> Vec<i64> {
        match self.columns.first().map(|column| &column.data) {
            Some(ColumnData::I64(times)) => times.iter().step_by(PAGE_ROWS).copied().collect(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        let fields = std::mem::take(&mut self.columns);
        let mut chunk = RowChunk { fields, ..RowChunk::default() };
        clear(&mut chunk);
        (self.columns, self.unique, self.bytes) = (chunk.fields, true, 0);
    }
}

/// Offsets of a text column.
fn text_offsets(column: &Column) -> Option<&[u32]> {
    match &column.data {
        ColumnData::Utf8(texts) => Some(&texts.offsets),
        _ => None,
    }
}
