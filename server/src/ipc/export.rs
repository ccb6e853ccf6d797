//! What reads give, as Arrow record batches.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int64Array,
    StringArray, StringViewArray, StringViewBuilder, TimestampNanosecondArray, UInt32Array,
    UInt64Array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use chronolith_codec::Bitmap;
use chronolith_engine::Error;
use chronolith_engine::model::{Column, ColumnData, FieldDef, FieldType, SeriesKey, TableSchema};
use chronolith_engine::read::{AggregateBatch, ScanBatch};

use super::{ROWS, SEQUENCE, TIME, arrow_type, failed, tag_type, timestamp_type};

/// The columns of a scan: time, tags, `fields`, and the commit counter where it was asked for.
pub(crate) fn schema_of(
    table: &TableSchema,
    fields: &[FieldDef],
    with_sequence: bool,
) -> SchemaRef {
    let mut columns = key_columns(table);
    columns
        .extend(fields.iter().map(|one| Field::new(&one.name, arrow_type(one.field_type), true)));
    if with_sequence {
        columns.push(Field::new(SEQUENCE, arrow::datatypes::DataType::UInt64, false));
    }
    Arc::new(Schema::new(columns))
}

fn key_columns(table: &TableSchema) -> Vec<Field> {
    let mut columns = vec![Field::new(TIME, timestamp_type(), false)];
    columns.extend(table.tags.iter().map(|tag| Field::new(&tag.name, tag_type(), true)));
    columns
}

/// The first `row_count` rows of a scan's batch.
///
/// # Errors
/// `Internal`.
pub(crate) fn record_batch(
    schema: &SchemaRef,
    batch: ScanBatch,
    row_count: usize,
) -> Result<RecordBatch, Error> {
    let with_sequence = !batch.rows.sequence.is_empty();
    let tags = batch.schema.tags.len();
    let runs = batch.series.iter().map(|run| (&run.key, run.rows.len()));
    let mut arrays = tag_arrays(runs, tags).map_err(|error| failed(&error))?;
    let fields = batch.fields;
    arrays.insert(0, timestamps(batch.rows.time, None));
    for (column, def) in batch.rows.fields.into_iter().zip(fields.iter()) {
        arrays.push(field_array(column, def.field_type).map_err(|error| failed(&error))?);
    }
    if with_sequence {
        let counters = batch.rows.sequence.iter().map(|sequence| sequence.counter);
        arrays.push(Arc::new(UInt64Array::from_iter_values(counters)));
    }
    let whole = RecordBatch::try_new(Arc::clone(schema), arrays).map_err(|error| failed(&error))?;
    Ok(if row_count < whole.num_rows() { whole.slice(0, row_count) } else { whole })
}

fn timestamps(values: Vec<i64>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::new(values.into(), nulls).with_timezone("UTC"))
}

/// One dictionary array a tag, of runs of rows of one series each.
fn tag_arrays<'a>(
    runs: impl Iterator<Item = (&'a SeriesKey, usize)>,
    tag_count: usize,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let runs: Vec<_> = runs.collect();
    let rows: usize = runs.iter().map(|(_, count)| count).sum();
    let one = |position: usize| {
        let mut known = std::collections::HashMap::new();
        let mut values: Vec<&str> = Vec::new();
        let mut codes: Vec<u32> = Vec::with_capacity(rows);
        let mut valid = Bitmap::default();
        for (key, count) in &runs {
            let value = key.tag(position);
            let code = if value.is_empty() {
                0
            } else {
                *known.entry(value).or_insert_with(|| {
                    values.push(value);
                    u32::try_from(values.len() - 1).unwrap_or(u32::MAX)
                })
            };
            codes.resize(codes.len() + count, code);
            valid.push_run(!value.is_empty(), *count);
        }
        let codes = UInt32Array::new(codes.into(), null_buffer(Some(valid)));
        let array = DictionaryArray::try_new(codes, Arc::new(StringArray::from(values)))?;
        Ok(Arc::new(array) as ArrayRef)
    };
    (0..tag_count).map(one).collect()
}

fn null_buffer(validity: Option<Bitmap>) -> Option<NullBuffer> {
    let bits = validity?;
    let len = bits.len();
    let nulls = NullBuffer::new(boolean_buffer(&bits, len));
    (nulls.null_count() > 0).then_some(nulls)
}

fn boolean_buffer(bits: &Bitmap, len: usize) -> BooleanBuffer {
    BooleanBuffer::new(Buffer::from(bits.as_bytes()), 0, len)
}

fn field_array(column: Column, field_type: FieldType) -> Result<ArrayRef, ArrowError> {
    let nulls = null_buffer(column.validity);
    Ok(match (column.data, field_type) {
        (ColumnData::F64(values), _) => Arc::new(Float64Array::new(values.into(), nulls)),
        (ColumnData::U64(values), _) => Arc::new(UInt64Array::new(values.into(), nulls)),
        (ColumnData::Bool(bits), _) => {
            Arc::new(BooleanArray::new(boolean_buffer(&bits, bits.len()), nulls))
        }
        (ColumnData::I64(values), FieldType::Timestamp) => timestamps(values, nulls),
        (ColumnData::I64(values), FieldType::Decimal { precision, scale }) => {
            let units = values.into_iter().map(i128::from).collect::<Vec<_>>();
            let array = Decimal128Array::new(units.into(), nulls);
            let scale = i8::try_from(scale).unwrap_or(i8::MAX);
            Arc::new(array.with_precision_and_scale(precision, scale)?)
        }
        (ColumnData::I64(values), _) => Arc::new(Int64Array::new(values.into(), nulls)),
        (ColumnData::Utf8(texts), _) => {
            let mut builder = StringViewBuilder::with_capacity(texts.len());
            for row in 0..texts.len() {
                let is_valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
                builder.append_option(texts.get(row).filter(|_| is_valid));
            }
            Arc::new(builder.finish()) as Arc<StringViewArray>
        }
    })
}

/// The columns of an aggregate: the bucket, tags, rows, and one column for each of `names` and `types`.
pub(crate) fn aggregate_schema(
    table: &TableSchema,
    names: &[String],
    types: &[FieldType],
) -> SchemaRef {
    let mut columns = key_columns(table);
    columns.push(Field::new(ROWS, arrow::datatypes::DataType::UInt64, false));
    let named = names.iter().zip(types);
    columns.extend(named.map(|(name, one)| Field::new(name, arrow_type(*one), true)));
    Arc::new(Schema::new(columns))
}

/// Aggregates as a batch.
///
/// # Errors
/// `Internal`.
pub(crate) fn aggregate_batch(
    schema: &SchemaRef,
    batch: AggregateBatch,
) -> Result<RecordBatch, Error> {
    let runs = batch.series.iter().map(|run| (&run.key, run.rows.len()));
    let tags = batch.schema.tags.len();
    let mut arrays = tag_arrays(runs, tags).map_err(|error| failed(&error))?;
    arrays.insert(0, timestamps(batch.bucket_ns, None));
    arrays.push(Arc::new(UInt64Array::from(batch.row_count)));
    for (column, field_type) in batch.values.into_iter().zip(batch.types.iter()) {
        arrays.push(field_array(column, *field_type).map_err(|error| failed(&error))?);
    }
    RecordBatch::try_new(Arc::clone(schema), arrays).map_err(|error| failed(&error))
}
