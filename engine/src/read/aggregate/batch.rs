//! What an aggregation gives: buckets of consecutive series in columns.

use std::sync::Arc;

use crate::model::{Column, FieldType, TableSchema, Value};
use crate::read::batch::SeriesRun;

/// Buckets in the order series, time. The runs cover all buckets.
#[derive(Debug, Clone)]
pub struct AggregateBatch {
    /// The table.
    pub schema: Arc<TableSchema>,
    /// For each function the type of its values.
    pub types: Arc<[FieldType]>,
    /// Which buckets belong to which series; a series that fills several batches appears in each.
    pub series: Vec<SeriesRun>,
    /// The buckets' beginnings; where there are no buckets, the time of the series' first row.
    pub bucket_ns: Vec<i64>,
    /// Rows in each bucket, above zero.
    pub row_count: Vec<u64>,
    /// One column for each function, as long as `bucket_ns`; NULL where there is no value.
    pub values: Vec<Column>,
}

impl AggregateBatch {
    /// No buckets, with one column for each of `types`.
    pub(super) fn empty(schema: &Arc<TableSchema>, types: &Arc<[FieldType]>) -> Self {
        Self {
            schema: Arc::clone(schema),
            types: Arc::clone(types),
            series: Vec::new(),
            bucket_ns: Vec::new(),
            row_count: Vec::new(),
            values: types.iter().map(|of| Column::empty(*of)).collect(),
        }
    }

    /// The number of buckets.
    #[must_use]
    pub fn bucket_count(&self) -> usize {
        self.bucket_ns.len()
    }

    /// The value of the function at `function` in the bucket at `bucket`.
    #[must_use]
    pub fn value(&self, function: usize, bucket: usize) -> Value {
        match (self.values.get(function), self.types.get(function)) {
            (Some(column), Some(of)) => column.value(bucket, *of),
            _ => Value::Null,
        }
    }

    /// Bytes in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let values: usize = self.values.iter().map(Column::memory_bytes).sum();
        self.bucket_ns.len() * 16 + self.series.len() * size_of::<SeriesRun>() + values
    }
}
