//! Between the engine's columns and Arrow's: out without a copy wherever Arrow has the layout, in by checked conversions.
//! The documented table: docs/TYPES.md.

mod export;
mod import;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chronolith_engine::model::{FieldType, TableSchema};

pub use export::{Output, to_record_batch};
pub use import::{
    Mapping, Refuse, field_column, field_type_of, refuse_all, rows_of, tag_values, times,
};

/// The time zone of every timestamp that the engine gives.
pub const UTC: &str = "UTC";
/// The name of the column of timestamps.
pub const TIME: &str = "time";
/// The name of the column of commit counters, which wildcards leave out.
pub const SEQUENCE: &str = "_seq";

/// The Arrow type of timestamps: nanoseconds, UTC.
#[must_use]
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into()))
}

/// The Arrow type of tags: text behind codes.
#[must_use]
pub fn tag_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}

/// The Arrow type of a field.
#[must_use]
pub fn arrow_type(field_type: FieldType) -> DataType {
    match field_type {
        FieldType::F64 => DataType::Float64,
        FieldType::I64 => DataType::Int64,
        FieldType::U64 => DataType::UInt64,
        FieldType::Bool => DataType::Boolean,
        FieldType::Utf8 => DataType::Utf8View,
        FieldType::Timestamp => timestamp_type(),
        FieldType::Decimal { precision, scale } => {
            DataType::Decimal128(precision, i8::try_from(scale).unwrap_or(i8::MAX))
        }
    }
}

/// The columns of a table: time, tags in sort order, fields by creation.
#[must_use]
pub fn schema_of(table: &TableSchema) -> SchemaRef {
    let mut columns = vec![Field::new(TIME, timestamp_type(), false)];
    columns.extend(table.tags.iter().map(|tag| Field::new(&tag.name, tag_type(), true)));
    let fields = table.fields.iter();
    columns.extend(fields.map(|one| Field::new(&one.name, arrow_type(one.field_type), true)));
    Arc::new(Schema::new(columns))
}

/// The same with the commit counter of each row behind them.
#[must_use]
pub fn schema_with_sequence(table: &TableSchema) -> SchemaRef {
    let mut columns = schema_of(table).fields().to_vec();
    columns.push(Arc::new(Field::new(SEQUENCE, DataType::UInt64, false)));
    Arc::new(Schema::new(columns))
}
