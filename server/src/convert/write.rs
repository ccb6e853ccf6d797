//! Batches out of requests, and what became of them.

use chronolith_codec::{Bitmap, TextBuf};
use chronolith_engine::Db;
use chronolith_engine::db::{RefusedRow, WriteOutcome};
use chronolith_engine::limits::{FIELD_COUNT_MAX, TAG_COUNT_MAX};
use chronolith_engine::model::{
    Batch, Column, ColumnData, CommitMetadata, Durability, FieldColumn, FieldType, ImportMark,
    InvalidRows, OnPressure, Producer, SchemaMode, TableOptions, TableRows, TagColumn, TagValues,
};
use chronolith_proto::{REFUSED_ROWS_MAX, REQUEST_TABLES_MAX, v1};
use tonic::Status;

use super::{Converted, check_count, field_type, sequence, table_options};
use crate::{ipc, status};

/// A batch, which does `on_pressure` while memory is full. Arrow columns are told apart by the tables that are there.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(crate) fn batch(
    db: &Db,
    request: v1::WriteRequest,
    on_pressure: OnPressure,
) -> Converted<Batch> {
    check_count("tables of a request", request.tables.len(), REQUEST_TABLES_MAX)?;
    let durability = match request.durability() {
        v1::Durability::Unspecified | v1::Durability::Fsync => Durability::Fsync,
        v1::Durability::Os => Durability::Os,
    };
    let invalid_rows = match request.invalid_rows() {
        v1::InvalidRows::Unspecified | v1::InvalidRows::AllOrNothing => InvalidRows::RefuseBatch,
        v1::InvalidRows::AcceptValid => InvalidRows::RefuseRows,
    };
    let mut tables = Vec::with_capacity(request.tables.len());
    for rows in request.tables {
        table_rows(db, rows, &mut tables)?;
    }
    let producer = request.producer.map(|one| Producer { id: one.id, number: one.number });
    let import = request.import.map(|mark| ImportMark {
        file: mark.file,
        row_count: mark.row_count,
        source_row_count: mark.source_row_count,
        finished: mark.is_finished,
    });
    let metadata = request.metadata.map(metadata).unwrap_or_default();
    Ok(Batch { tables, durability, on_pressure, invalid_rows, producer, import, metadata })
}

fn metadata(from: v1::Metadata) -> CommitMetadata {
    CommitMetadata {
        principal: from.principal,
        source: from.source,
        event_id: from.event_id,
        pipeline_version: from.pipeline_version,
    }
}

fn table_rows(db: &Db, from: v1::TableRows, to: &mut Vec<TableRows>) -> Converted<()> {
    let create_if_missing =
        from.create_if_missing.map(|one| table_options(one, SchemaMode::Dynamic)).transpose()?;
    match from.rows {
        None => Err(status::invalid(format!("the rows for table {:?} are missing", from.table))),
        Some(v1::table_rows::Rows::Packed(rows)) => {
            to.push(packed_rows(from.table, create_if_missing, rows)?);
            Ok(())
        }
        Some(v1::table_rows::Rows::Arrow(rows)) => {
            let schema = db.table_schema(&from.table).ok();
            ipc::rows_of(&from.table, create_if_missing, schema.as_deref(), rows, to)
        }
    }
}

fn packed_rows(
    table: String,
    create_if_missing: Option<TableOptions>,
    from: v1::PackedRows,
) -> Converted<TableRows> {
    check_count("tags of a request's rows", from.tags.len(), TAG_COUNT_MAX)?;
    check_count("fields of a request's rows", from.fields.len(), FIELD_COUNT_MAX)?;
    let row_count = from.time.len();
    let tags = from.tags.into_iter().map(|tag| packed_tag(&table, tag, row_count));
    let tags = tags.collect::<Converted<_>>()?;
    let mut fields = Vec::with_capacity(from.fields.len());
    for field in from.fields {
        fields.push(packed_field(&table, field, row_count)?);
    }
    Ok(TableRows { table, create_if_missing, time: from.time, tags, fields })
}

/// Packed rows, for the fuzz targets.
#[cfg(feature = "fuzz")]
pub(crate) fn packed(from: v1::TableRows) -> Converted<TableRows> {
    match from.rows {
        Some(v1::table_rows::Rows::Packed(rows)) => packed_rows(from.table, None, rows),
        _ => Err(status::invalid("the rows are not packed")),
    }
}

fn wrong_len(table: &str, column: &str, found: usize, expected: usize) -> Status {
    status::invalid(format!(
        "column {column:?} of table {table:?} has {found} values, but there are {expected} timestamps"
    ))
}

fn packed_tag(table: &str, from: v1::PackedTag, row_count: usize) -> Converted<TagColumn> {
    let v1::PackedTag { name, mut values, codes } = from;
    if codes.is_empty() && values.len() == 1 {
        let value = values.pop().unwrap_or_default();
        return Ok(TagColumn { name, values: TagValues::Constant(value) });
    }
    if codes.len() != row_count {
        return Err(wrong_len(table, &name, codes.len(), row_count));
    }
    if let Some(code) = codes.iter().find(|code| **code as usize >= values.len()) {
        return Err(status::invalid(format!(
            "tag {name:?} of table {table:?} has code {code}, but {} values",
            values.len()
        )));
    }
    Ok(TagColumn { name, values: TagValues::Dictionary { codes, values } })
}

fn packed_field(table: &str, from: v1::PackedField, row_count: usize) -> Converted<FieldColumn> {
    use v1::packed_field::Values;
    let v1::PackedField { name, r#type, validity, values } = from;
    let (data, natural) = match values {
        None => {
            return Err(status::invalid(format!(
                "field {name:?} of table {table:?} has no values"
            )));
        }
        Some(Values::F64(values)) => (ColumnData::F64(values.values), FieldType::F64),
        Some(Values::I64(values)) => (ColumnData::I64(values.values), FieldType::I64),
        Some(Values::U64(values)) => (ColumnData::U64(values.values), FieldType::U64),
        Some(Values::Bool(values)) => {
            (ColumnData::Bool(values.values.into_iter().collect()), FieldType::Bool)
        }
        Some(Values::Utf8(values)) => {
            let mut texts = TextBuf::new();
            for value in &values.values {
                texts.push(value).map_err(|error| status::invalid(error.to_string()))?;
            }
            (ColumnData::Utf8(texts), FieldType::Utf8)
        }
    };
    if data.len() != row_count {
        return Err(wrong_len(table, &name, data.len(), row_count));
    }
    let field_type = match r#type {
        Some(given) if given.kind() != v1::field_type::Kind::Unspecified => {
            field_type(&name, Some(given))?
        }
        _ => natural,
    };
    if !data.fits(field_type) {
        return Err(status::invalid(format!(
            "field {name:?} of table {table:?} is said to hold {field_type}, but its values are {natural}"
        )));
    }
    let validity = if validity.is_empty() {
        None
    } else {
        let wrong = |_| {
            status::invalid(format!(
                "the validity of field {name:?} of table {table:?} is not one bit for each of {row_count} rows, \
                 followed by zeros"
            ))
        };
        Some(Bitmap::from_bytes(validity, row_count).map_err(wrong)?)
    };
    Ok(FieldColumn { name, field_type, column: with_empty_nulls(Column::new(data, validity)) })
}

/// The slots of NULLs hold zero or empty text in the engine's columns, whatever was sent.
fn with_empty_nulls(column: Column) -> Column {
    let Column { mut data, validity } = column;
    let Some(bits) = validity.as_ref().filter(|bits| bits.count_ones() < bits.len()) else {
        return Column::new(data, validity);
    };
    let nulls = || bits.iter().enumerate().filter(|(_, valid)| !valid).map(|(row, _)| row);
    fn zero<T: Default>(values: &mut [T], nulls: impl Iterator<Item = usize>) {
        for row in nulls {
            if let Some(value) = values.get_mut(row) {
                *value = T::default();
            }
        }
    }
    match &mut data {
        ColumnData::F64(values) => zero(values, nulls()),
        ColumnData::I64(values) => zero(values, nulls()),
        ColumnData::U64(values) => zero(values, nulls()),
        ColumnData::Bool(values) => nulls().for_each(|row| {
            values.set(row, false);
        }),
        ColumnData::Utf8(texts) => {
            if nulls().any(|row| texts.get(row) != Some("")) {
                let all = (0..texts.len()).map(|row| match bits.get(row) {
                    Some(true) => texts.get(row).unwrap_or_default(),
                    _ => "",
                });
                *texts = all.collect();
            }
        }
    }
    Column::new(data, validity)
}

/// A committed batch as a message.
pub(crate) fn write_reply(outcome: WriteOutcome) -> v1::WriteReply {
    let refused_count = outcome.refused.len() as u64;
    let refused = outcome.refused.into_iter().take(REFUSED_ROWS_MAX);
    v1::WriteReply {
        sequence: Some(sequence(outcome.sequence)),
        durable_sequence: Some(sequence(outcome.durable_sequence)),
        row_count: outcome.row_count,
        refused: refused.map(refused_row).collect(),
        refused_count,
        already_applied: outcome.already_applied,
    }
}

fn refused_row(from: RefusedRow) -> v1::RefusedRow {
    v1::RefusedRow { table: from.table, row: from.row, reason: from.reason }
}
