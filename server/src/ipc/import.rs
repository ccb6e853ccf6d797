//! Rows that clients send in Arrow's IPC stream format. The bytes are outside bytes: nothing is allocated by what they
//! announce, only by what came; a decoder that trips over them refuses the request.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::Buffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, SchemaRef, TimestampNanosecondType, UInt32Type, UInt64Type,
};
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::root_as_message;
use arrow::record_batch::RecordBatch;
use chronolith_codec::{Bitmap, TextBuf};
use chronolith_engine::Error;
use chronolith_engine::limits::{BATCH_ROWS_MAX, TAG_COUNT_MAX};
use chronolith_engine::model::{
    Column, ColumnData, FieldColumn, FieldType, TableOptions, TableRows, TableSchema, TagColumn,
    TagValues,
};
use chronolith_proto::v1;
use tonic::Status;

use super::{TIME, tag_type, timestamp_type};
use crate::{convert, status};

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
    let read = catch_unwind(AssertUnwindSafe(read));
    let read = read.map_err(|_| wrong("its messages contradict themselves"))?;
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
    Field(FieldType),
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
                Role::Field(field_type(data_type).ok_or_else(|| {
                    status::of(&Error::WrongType {
                        table: table.to_owned(),
                        column: name.clone(),
                        expected: "a type that columns can have".to_owned(),
                        found: format!("Arrow's {data_type}"),
                        row: None,
                    })
                })?)
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
                Role::Field(field_type) => rows.fields.push(at.field(array, *field_type)?),
            }
        }
        Ok(rows)
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The type of the field that a column of `data_type` becomes.
fn field_type(data_type: &DataType) -> Option<FieldType> {
    Some(match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => FieldType::I64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => FieldType::U64,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => FieldType::F64,
        DataType::Boolean => FieldType::Bool,
        text if is_text(text) => FieldType::Utf8,
        DataType::Dictionary(_, value) if is_text(value) => FieldType::Utf8,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => FieldType::Timestamp,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            FieldType::decimal(*precision, u8::try_from(*scale).ok()?)?
        }
        _ => return None,
    })
}

/// A column, for messages.
struct At<'a> {
    table: &'a str,
    name: &'a str,
}

impl At<'_> {
    fn wrong(&self, why: &str) -> Status {
        status::invalid(format!("column {:?} of table {:?}: {why}", self.name, self.table))
    }

    /// The same values in another type; values that do not fit are refused.
    fn cast(&self, array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Status> {
        if array.data_type() == to {
            return Ok(ArrayRef::clone(array));
        }
        let options = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(array, to, &options).map_err(|error| self.wrong(&error.to_string()))
    }

    fn time(&self, array: &ArrayRef) -> Result<Vec<i64>, Status> {
        if array.null_count() > 0 {
            return Err(self.wrong(&format!("{} of the times are NULL", array.null_count())));
        }
        if *array.data_type() == DataType::Int64 {
            return Ok(array.as_primitive::<Int64Type>().values().to_vec());
        }
        if field_type(array.data_type()) != Some(FieldType::Timestamp) {
            return Err(self.wrong(&format!(
                "it holds Arrow's {}, which is no time: send timestamps, or 64-bit integers of nanoseconds",
                array.data_type()
            )));
        }
        let times = self.cast(array, &timestamp_type())?;
        Ok(times.as_primitive::<TimestampNanosecondType>().values().to_vec())
    }

    fn tag(&self, array: &ArrayRef) -> Result<TagColumn, Status> {
        let text = matches!(array.data_type(), DataType::Dictionary(_, value) if is_text(value))
            || is_text(array.data_type());
        if *array.data_type() == DataType::Null {
            let values = TagValues::Constant(String::new());
            return Ok(TagColumn { name: self.name.to_owned(), values });
        }
        if !text {
            return Err(self.wrong(&format!(
                "it is a tag, which holds text, but it is sent as Arrow's {}",
                array.data_type()
            )));
        }
        let coded = self.cast(array, &tag_type())?;
        let coded = coded.as_dictionary::<UInt32Type>();
        let known = self.cast(coded.values(), &DataType::Utf8)?;
        let known = known.as_string::<i32>();
        // The absent tag is empty text, behind the values that are there.
        let mut values: Vec<String> = (0..known.len())
            .map(|at| if known.is_valid(at) { known.value(at).to_owned() } else { String::new() })
            .collect();
        let absent = u32::try_from(values.len()).unwrap_or(u32::MAX);
        values.push(String::new());
        let codes = coded.keys().iter().map(|code| code.unwrap_or(absent)).collect();
        Ok(TagColumn {
            name: self.name.to_owned(),
            values: TagValues::Dictionary { codes, values },
        })
    }

    fn field(&self, array: &ArrayRef, field_type: FieldType) -> Result<FieldColumn, Status> {
        let data = match field_type {
            FieldType::F64 => {
                let array = self.cast(array, &DataType::Float64)?;
                ColumnData::F64(array.as_primitive::<Float64Type>().values().to_vec())
            }
            FieldType::I64 => {
                let array = self.cast(array, &DataType::Int64)?;
                ColumnData::I64(array.as_primitive::<Int64Type>().values().to_vec())
            }
            FieldType::U64 => {
                let array = self.cast(array, &DataType::UInt64)?;
                ColumnData::U64(array.as_primitive::<UInt64Type>().values().to_vec())
            }
            FieldType::Timestamp => {
                let array = self.cast(array, &timestamp_type())?;
                ColumnData::I64(array.as_primitive::<TimestampNanosecondType>().values().to_vec())
            }
            FieldType::Decimal { precision, scale } => {
                let scale = i8::try_from(scale).unwrap_or(i8::MAX);
                let array = self.cast(array, &DataType::Decimal128(precision, scale))?;
                let units = array.as_primitive::<arrow::datatypes::Decimal128Type>().values();
                let narrow = units.iter().enumerate().map(|(row, unit)| {
                    // The slot of a NULL may hold anything.
                    i64::try_from(*unit)
                        .or_else(|_| if array.is_null(row) { Ok(0) } else { Err(()) })
                });
                let narrow = narrow.collect::<Result<Vec<_>, ()>>();
                ColumnData::I64(narrow.map_err(|()| self.wrong("a value has more than 18 digits"))?)
            }
            FieldType::Bool => {
                let bits = array.as_boolean().values();
                ColumnData::Bool(Bitmap::from_fn(bits.len(), |row| bits.value(row)))
            }
            FieldType::Utf8 => {
                let array = self.cast(array, &DataType::LargeUtf8)?;
                let mut texts = TextBuf::new();
                for text in array.as_string::<i64>() {
                    let pushed = texts.push(text.unwrap_or_default());
                    pushed.map_err(|error| self.wrong(&error.to_string()))?;
                }
                ColumnData::Utf8(texts)
            }
        };
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let validity = nulls.map(|nulls| Bitmap::from_fn(nulls.len(), |row| nulls.is_valid(row)));
        let column = convert::with_empty_nulls(Column::new(data, validity));
        Ok(FieldColumn { name: self.name.to_owned(), field_type, column })
    }
}
