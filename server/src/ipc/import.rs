//! Rows that clients send in Arrow's IPC stream format. The bytes are outside bytes: nothing is allocated by what they
//! announce, only by what came; a decoder that trips over them refuses the request.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::root_as_message;
use arrow::record_batch::RecordBatch;
use chronolith_engine::Error;
use chronolith_engine::limits::{BATCH_ROWS_MAX, TAG_COUNT_MAX};
use chronolith_engine::model::{
    FieldColumn, FieldType, TableOptions, TableRows, TableSchema, TagColumn,
};
use chronolith_proto::v1;
use chronolith_query::SqlError;
use chronolith_query::convert::{field_column, field_type_of, refuse_all, tag_values, times};
use tonic::Status;

use super::TIME;
use crate::contain::contained;
use crate::status;

/// The rows of an IPC stream, one [`TableRows`] a record batch, behind `to`.
///
/// # Errors
/// `INVALID_ARGUMENT` for bytes that are no stream, types that no column has, and columns that are missing.
pub(crate) fn rows_of(
    table: &str,
    create_if_missing: Option<TableOptions>,
    schema: Option<&TableSchema>,
    mut from: v1::ArrowRows,
    to: &mut Vec<TableRows>,
) -> Result<(), Status> {
    if from.tag_columns.len() > TAG_COUNT_MAX {
        let found = from.tag_columns.len();
        return Err(status::over_limit("tag columns", found, TAG_COUNT_MAX, "entries"));
    }
    let (columns, batches) = decode(table, std::mem::take(&mut from.ipc))?;
    let roles = Roles::of(table, &columns, &from, create_if_missing.as_ref(), schema)?;
    let total: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if total > BATCH_ROWS_MAX {
        return Err(status::over_limit("rows of a request", total, BATCH_ROWS_MAX, "rows"));
    }
    if batches.is_empty() {
        // Creates the table where that was asked for.
        let rows = TableRows {
            table: table.to_owned(),
            create_if_missing,
            time: Vec::new(),
            tags: Vec::new(),
            fields: Vec::new(),
        };
        to.push(rows);
        return Ok(());
    }
    for batch in &batches {
        to.push(roles.rows(table, create_if_missing.clone(), batch)?);
    }
    Ok(())
}

fn decode(table: &str, ipc: bytes::Bytes) -> Result<(SchemaRef, Vec<RecordBatch>), Status> {
    let wrong = |why: &str| {
        status::invalid(format!("the Arrow IPC stream for table {table:?} is malformed: {why}"))
    };
    check_bodies(&ipc).map_err(|why| wrong(&why))?;
    let read = || {
        let mut decoder = StreamDecoder::new();
        let mut buffer = Buffer::from(ipc);
        let mut batches = Vec::new();
        while let Some(batch) = decoder.decode(&mut buffer)? {
            batches.push(batch);
        }
        decoder.finish()?;
        Ok::<_, arrow::error::ArrowError>((decoder.schema(), batches))
    };
    // The decoder has checks, and asserts where it lacks them.
    let read = contained(read).map_err(|_| wrong("its messages contradict themselves"))?;
    let (schema, batches) = read.map_err(|error| wrong(&error.to_string()))?;
    let schema = schema.ok_or_else(|| wrong("it has no schema"))?;
    Ok((schema, batches))
}

/// Refuses bodies that are compressed: what they announce to become is allocated before it is seen to be true.
fn check_bodies(mut ipc: &[u8]) -> Result<(), String> {
    let word = |bytes: &[u8]| bytes.first_chunk().map(|four| u32::from_le_bytes(*four));
    loop {
        let Some(mut len) = word(ipc) else { return Ok(()) };
        let mut rest = ipc.get(4..).unwrap_or_default();
        if len == u32::MAX {
            len = word(rest).ok_or("it ends in a length")?;
            rest = rest.get(4..).unwrap_or_default();
        }
        if len == 0 {
            return Ok(());
        }
        let split = rest.split_at_checked(len as usize);
        let (head, body) = split.ok_or("a message is longer than the stream")?;
        let message = root_as_message(head).map_err(|error| error.to_string())?;
        let batch = message.header_as_record_batch();
        let batch =
            batch.or_else(|| message.header_as_dictionary_batch().and_then(|one| one.data()));
        if batch.is_some_and(|batch| batch.compression().is_some()) {
            return Err("its bodies are compressed: send them as they are".to_owned());
        }
        let body_len = usize::try_from(message.bodyLength()).ok();
        let next = body_len.and_then(|len| body.get(len..));
        ipc = next.ok_or("a body is longer than the stream")?;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Time,
    Tag,
    Field,
    Nothing,
}

/// What each column becomes.
struct Roles(Vec<(String, Role)>);

impl Roles {
    fn of(
        table: &str,
        columns: &SchemaRef,
        from: &v1::ArrowRows,
        create: Option<&TableOptions>,
        schema: Option<&TableSchema>,
    ) -> Result<Self, Status> {
        let time = if from.time_column.is_empty() { TIME } else { &from.time_column };
        let there = |name: &str| columns.fields().iter().any(|field| field.name() == name);
        let wanted = std::iter::once(time).chain(from.tag_columns.iter().map(String::as_str));
        for name in wanted {
            if !there(name) {
                let names: Vec<&str> =
                    columns.fields().iter().map(|one| one.name().as_str()).collect();
                return Err(status::invalid(format!(
                    "the rows for table {table:?} have no column {name:?}; they have: {}",
                    names.join(", ")
                )));
            }
        }
        let is_tag = |name: &str, data_type: &DataType| {
            from.tag_columns.iter().any(|tag| tag == name)
                || schema.is_some_and(|schema| schema.tag_position(name).is_some())
                || create.is_some_and(|create| create.tags.iter().any(|tag| tag == name))
                || (matches!(data_type, DataType::Dictionary(_, value) if is_text(value))
                    && schema.is_none_or(|schema| schema.field(name).is_none())
                    && create
                        .is_none_or(|create| create.fields.iter().all(|(field, _)| field != name)))
        };
        let role = |field: &arrow::datatypes::FieldRef| {
            let (name, data_type) = (field.name(), field.data_type());
            let role = if name == time {
                Role::Time
            } else if is_tag(name, data_type) {
                Role::Tag
            } else if *data_type == DataType::Null {
                Role::Nothing
            } else {
                field_type_of(data_type).map(|_| Role::Field).ok_or_else(|| {
                    status::of(&Error::WrongType {
                        table: table.to_owned(),
                        column: name.clone(),
                        expected: "a type that columns can have".to_owned(),
                        found: format!("Arrow's {data_type}"),
                        row: None,
                    })
                })?
            };
            Ok((name.clone(), role))
        };
        columns.fields().iter().map(role).collect::<Result<_, _>>().map(Self)
    }

    fn rows(
        &self,
        table: &str,
        create_if_missing: Option<TableOptions>,
        batch: &RecordBatch,
    ) -> Result<TableRows, Status> {
        let mut rows = TableRows {
            table: table.to_owned(),
            create_if_missing,
            time: Vec::new(),
            tags: Vec::new(),
            fields: Vec::new(),
        };
        for ((name, role), array) in self.0.iter().zip(batch.columns()) {
            let at = At { table, name };
            match role {
                Role::Nothing => {}
                Role::Time => rows.time = at.time(array)?,
                Role::Tag => rows.tags.push(at.tag(array)?),
                Role::Field => rows.fields.push(at.field(array)?),
            }
        }
        Ok(rows)
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// A column, for messages.
struct At<'a> {
    table: &'a str,
    name: &'a str,
}

impl At<'_> {
    fn wrong(&self, why: &str) -> Status {
        status::invalid(format!("table {:?}: column {:?}: {why}", self.table, self.name))
    }

    fn refused(&self, error: &SqlError) -> Status {
        status::invalid(format!("table {:?}: {}", self.table, error.message))
    }

    /// Timestamps, dates, and 64-bit integers of nanoseconds.
    fn time(&self, array: &ArrayRef) -> Result<Vec<i64>, Status> {
        if *array.data_type() != DataType::Int64 {
            if field_type_of(array.data_type()) != Some(FieldType::Timestamp) {
                return Err(self.wrong(&format!(
                    "it holds Arrow's {}, which is no time: send timestamps, or 64-bit integers of nanoseconds",
                    array.data_type()
                )));
            }
            return times(self.name, array).map_err(|error| self.refused(&error));
        }
        if array.null_count() > 0 {
            return Err(self.wrong(&format!("{} of the times are NULL", array.null_count())));
        }
        Ok(array.as_primitive::<Int64Type>().values().to_vec())
    }

    fn tag(&self, array: &ArrayRef) -> Result<TagColumn, Status> {
        let values = tag_values(self.name, array).map_err(|error| self.refused(&error))?;
        Ok(TagColumn { name: self.name.to_owned(), values })
    }

    fn field(&self, array: &ArrayRef) -> Result<FieldColumn, Status> {
        field_column(self.name, array, &mut refuse_all).map_err(|error| self.refused(&error))
    }
}
