//! `system.columns`: one row a column of the users' tables.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, UInt64Array};
use arrow::datatypes::DataType;
use chronolith_engine::model::TableSchema;
use chronolith_engine::snapshot::Snapshot;

use super::user_tables;
use crate::statement::type_name;

pub(super) fn columns() -> Vec<(&'static str, DataType)> {
    vec![
        ("table_name", DataType::Utf8),
        ("column_name", DataType::Utf8),
        ("position", DataType::UInt64),
        ("kind", DataType::Utf8),
        ("data_type", DataType::Utf8),
    ]
}

/// The columns of a table in order: name, kind, type.
pub(crate) fn described(schema: &TableSchema) -> Vec<(String, &'static str, String)> {
    let mut columns = vec![("time".to_owned(), "time", "TIMESTAMP".to_owned())];
    columns.extend(schema.tags.iter().map(|tag| (tag.name.clone(), "tag", "TAG".to_owned())));
    let fields = schema.fields.iter();
    columns.extend(fields.map(|one| (one.name.clone(), "field", type_name(one.field_type))));
    columns
}

pub(super) fn rows(snapshot: &Snapshot) -> Vec<ArrayRef> {
    let tables = user_tables(snapshot);
    let rows: Vec<(String, u64, String, &str, String)> = tables
        .iter()
        .flat_map(|table| {
            let columns = (1..).zip(described(table));
            columns.map(|(at, (name, kind, data_type))| {
                (table.name.clone(), at, name, kind, data_type)
            })
        })
        .collect();
    vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0.as_str()))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2.as_str()))),
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.3))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.4.as_str()))),
    ]
}
