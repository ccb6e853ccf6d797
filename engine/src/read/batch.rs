//! What a scan gives: rows of consecutive series in columns.

use std::ops::Range;
use std::sync::Arc;

use crate::model::{Column, FieldDef, RowChunk, Sequence, SeriesKey, TableSchema, Value};

/// Rows of one series within a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesRun {
    /// The series.
    pub key: SeriesKey,
    /// Its rows in the batch.
    pub rows: Range<usize>,
}

/// Rows in the order series, time, commit. The runs cover all rows.
#[derive(Debug, Clone)]
pub struct ScanBatch {
    /// The table.
    pub schema: Arc<TableSchema>,
    /// The fields that are given.
    pub fields: Arc<[FieldDef]>,
    /// Which rows belong to which series; a series that fills several batches appears in each.
    pub series: Vec<SeriesRun>,
    /// Timestamps, sequences where they were asked for, and one column for each of `fields`.
    pub rows: RowChunk,
}

impl ScanBatch {
    /// The number of rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.rows.row_count()
    }

    /// Timestamps, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn time(&self) -> &[i64] {
        &self.rows.time
    }

    /// Sequences, where they were asked for.
    #[must_use]
    pub fn sequence(&self) -> &[Sequence] {
        &self.rows.sequence
    }

    /// The values of the field `name`, if it is given.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        let at = self.fields.iter().position(|field| field.name == name)?;
        self.rows.fields.get(at)
    }

    /// The value of the field at `field`, at `row`.
    #[must_use]
    pub fn value(&self, field: usize, row: usize) -> Value {
        match (self.rows.fields.get(field), self.fields.get(field)) {
            (Some(column), Some(def)) => column.value(row, def.field_type),
            _ => Value::Null,
        }
    }

    /// For each row the code of the value of the tag at `position`, and the values. The values are as many as the series at most.
    #[must_use]
    pub fn tag(&self, position: usize) -> (Vec<u32>, Vec<String>) {
        let mut codes = Vec::with_capacity(self.row_count());
        let mut values: Vec<String> = Vec::new();
        for run in &self.series {
            let value = run.key.tag(position);
            if values.last().is_none_or(|last| last != value) {
                values.push(value.to_owned());
            }
            let code = u32::try_from(values.len() - 1).unwrap_or(u32::MAX);
            codes.resize(codes.len() + run.rows.len(), code);
        }
        (codes, values)
    }
}
