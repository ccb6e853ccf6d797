//! From Arrow batches to rows for the engine. (In the making.)

use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use chronolith_engine::model::{FieldType, TableOptions, TableRows, TableSchema};

use crate::error::Result;

/// What the columns of a batch become. A column is a tag when `tags` names it, the time when `time` does, else a field of its own name.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    /// The table.
    pub table: String,
    /// Creates the table with these options when it does not exist.
    pub create_if_missing: Option<TableOptions>,
    /// The batch's column of timestamps.
    pub time: String,
    /// The batch's columns that are tags.
    pub tags: Vec<String>,
    /// Tags that are the same for every row.
    pub constant_tags: Vec<(String, String)>,
    /// Types of fields, by name; another field gets the type that its column naturally has.
    pub types: Vec<(String, FieldType)>,
}

impl Mapping {
    /// For a table that exists: its `time`, tags and types.
    #[must_use]
    pub fn of(schema: &TableSchema) -> Self {
        Self {
            table: schema.name.clone(),
            create_if_missing: None,
            time: super::TIME.to_owned(),
            tags: schema.tags.iter().map(|tag| tag.name.clone()).collect(),
            constant_tags: Vec::new(),
            types: schema.fields.iter().map(|one| (one.name.clone(), one.field_type)).collect(),
        }
    }
}

/// The field type that a column of `data_type` naturally has; none where no field can hold it.
#[must_use]
pub fn field_type_of(data_type: &DataType) -> Option<FieldType> {
    let _ = data_type;
    None
}

/// The rows of `batch`.
///
/// # Errors
/// `Invalid` for a type that cannot be held, a NULL time, a missing column; `Overflow` for a value beyond its type. Each names the column
/// and the row.
pub fn rows_of(batch: &RecordBatch, mapping: &Mapping) -> Result<TableRows> {
    let _ = batch;
    let _ = mapping;
    Err(crate::error::SqlError::internal("not built yet"))
}
