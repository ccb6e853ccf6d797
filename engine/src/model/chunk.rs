//! Consecutive rows of one series: what segments and memtables give, the merge joins, and the segment writer takes.

use super::{Column, FieldType, Sequence, SeriesKey};

/// Rows of one series, ascending by (time, sequence), ties in order of their position in the batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowChunk {
    /// One timestamp a row.
    pub time: Vec<i64>,
    /// One sequence a row; empty where the reader asked for none.
    pub sequence: Vec<Sequence>,
    /// The fields that the reader asked for, in that order, each as long as `time`.
    pub fields: Vec<Column>,
}

impl RowChunk {
    /// No rows, with one column for each of `types`.
    #[must_use]
    pub fn empty(types: &[FieldType]) -> Self {
        let fields = types.iter().map(|field_type| Column::empty(*field_type)).collect();
        Self { time: Vec::new(), sequence: Vec::new(), fields }
    }

    /// No rows, with columns laid out as this chunk's.
    #[must_use]
    pub fn empty_like(&self) -> Self {
        let fields = self.fields.iter();
        let fields = fields.map(|field| Column { data: field.empty_data(), validity: None });
        Self { time: Vec::new(), sequence: Vec::new(), fields: fields.collect() }
    }

    /// The number of rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.time.len()
    }

    /// Adds the rows of `other` in `rows`, which must lie within it. Both have the same columns.
    #[expect(clippy::indexing_slicing, reason = "the caller's rows lie within the chunk")]
    pub fn push_slice(&mut self, other: &Self, rows: std::ops::Range<usize>) {
        self.time.extend_from_slice(&other.time[rows.clone()]);
        if !other.sequence.is_empty() {
            self.sequence.extend_from_slice(&other.sequence[rows.clone()]);
        }
        for (to, from) in self.fields.iter_mut().zip(&other.fields) {
            to.push_slice(from, rows.clone());
        }
    }

    /// Bytes in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let fields: usize = self.fields.iter().map(Column::memory_bytes).sum();
        self.time.len() * 8 + self.sequence.len() * 16 + fields
    }
}

/// One row of each of some series.
#[derive(Debug, Clone, Default)]
pub struct SeriesRows {
    /// The series, ascending, none twice.
    pub keys: Vec<SeriesKey>,
    /// A row a series, with its sequence.
    pub rows: RowChunk,
    /// Whether another row of the series may have the same time.
    pub tied: Vec<bool>,
}
