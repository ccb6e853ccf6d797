//! Rows of one table in columns: the shape that goes into the log and the memtable.

use super::{Column, ColumnId, FieldType, SeriesKey, TableId};

/// The values of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldValues {
    /// The column.
    pub id: ColumnId,
    /// Its type.
    pub field_type: FieldType,
    /// One value a row.
    pub column: Column,
}

/// Rows of one table in the order in which they were written.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// The table.
    pub table: TableId,
    /// The distinct series of these rows.
    pub keys: Vec<SeriesKey>,
    /// For each row the index of its series in `keys`.
    pub series: Vec<u32>,
    /// For each row its timestamp; `time.len() == series.len()`.
    pub time: Vec<i64>,
    /// The fields that the rows carry; each column as long as `time`. A field that is missing here is NULL.
    pub fields: Vec<FieldValues>,
}

impl Rows {
    /// The number of rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.time.len()
    }

    /// Bytes that the rows take in memory, roughly.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let keys: usize = self.keys.iter().map(SeriesKey::memory_bytes).sum();
        let fields: usize = self.fields.iter().map(|field| field.column.memory_bytes()).sum();
        keys + self.time.len() * 12 + fields
    }
}
