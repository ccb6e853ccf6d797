//! From a scan's batch to an Arrow batch. Vectors become Arrow's buffers as they are; made anew are only the codes of tags (4 bytes a row),
//! the views of texts (16 bytes a row, over the same text), decimals (widened to 128 bits) and commit counters.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBufferBuilder, Decimal128Array, DictionaryArray, Float64Array,
    Int64Array, StringArray, StringViewArray, TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{SchemaRef, UInt32Type};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use chronolith_codec::{Bitmap, TextBuf};
use chronolith_engine::model::{Column, ColumnData, FieldType};
use chronolith_engine::read::{ScanBatch, SeriesRun};

use super::UTC;
use crate::error::{Result, SqlError};

/// A column of the Arrow batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// The timestamps.
    Time,
    /// The tag at this position of the series keys.
    Tag(usize),
    /// The field at this position of the scan's fields.
    Field(usize),
    /// The commit counters.
    Sequence,
}

/// The columns `outputs` of `batch`; `schema` is theirs, one column for each. No output gives a batch that has only a number of rows.
///
/// # Errors
/// `Internal` where the schema is another, or the batch is not what the engine promises.
pub fn to_record_batch(
    batch: ScanBatch,
    outputs: &[Output],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let row_count = batch.row_count();
    let ScanBatch { fields, series, rows, .. } = batch;
    let mut times = Some(rows.time);
    let mut columns: Vec<Option<Column>> = rows.fields.into_iter().map(Some).collect();
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(outputs.len());
    for (at, output) in outputs.iter().enumerate() {
        // A column that is asked for twice is there already: its vector has moved.
        let twin = outputs.iter().take(at).position(|one| one == output);
        if let Some(array) = twin.and_then(|twin| arrays.get(twin)).cloned() {
            arrays.push(array);
            continue;
        }
        arrays.push(match *output {
            Output::Time => {
                let times = times.take().unwrap_or_default();
                Arc::new(TimestampNanosecondArray::from(times).with_timezone(UTC))
            }
            Output::Tag(position) => tag(&series, position, row_count)?,
            Output::Sequence => {
                Arc::new(UInt64Array::from_iter_values(rows.sequence.iter().map(|one| one.counter)))
            }
            Output::Field(position) => {
                let column = columns.get_mut(position).and_then(Option::take);
                let def = fields.get(position);
                let (Some(column), Some(def)) = (column, def) else {
                    return Err(SqlError::internal(format!("the scan has no field {position}")));
                };
                field(column, def.field_type)?
            }
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(row_count));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
}

/// The tag at `position`: NULL where it is absent, each value once.
fn tag(series: &[SeriesRun], position: usize, row_count: usize) -> Result<ArrayRef> {
    let mut codes: Vec<u32> = Vec::with_capacity(row_count);
    let mut values: Vec<&str> = Vec::new();
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut last: Option<(&str, u32)> = None;
    let mut valid: Option<BooleanBufferBuilder> = None;
    for run in series {
        let value = run.key.tag(position);
        let len = run.rows.len();
        if value.is_empty() {
            let bits = valid.get_or_insert_with(|| all_valid(codes.len(), row_count));
            bits.append_n(len, false);
            codes.resize(codes.len() + len, 0);
            continue;
        }
        let code = match last {
            Some((text, code)) if text == value => code,
            _ => *known.entry(value).or_insert_with(|| {
                values.push(value);
                u32::try_from(values.len() - 1).unwrap_or(u32::MAX)
            }),
        };
        last = Some((value, code));
        codes.resize(codes.len() + len, code);
        if let Some(bits) = &mut valid {
            bits.append_n(len, true);
        }
    }
    let nulls = valid.map(|mut bits| NullBuffer::new(bits.finish()));
    let keys = UInt32Array::try_new(ScalarBuffer::from(codes), nulls)?;
    let values = Arc::new(StringArray::from(values));
    Ok(Arc::new(DictionaryArray::<UInt32Type>::try_new(keys, values)?))
}

fn all_valid(len: usize, capacity: usize) -> BooleanBufferBuilder {
    let mut bits = BooleanBufferBuilder::new(capacity);
    bits.append_n(len, true);
    bits
}

/// One field's values.
pub(crate) fn field(column: Column, field_type: FieldType) -> Result<ArrayRef> {
    let nulls = column.validity.map(|bits| NullBuffer::new(bits_of(bits)));
    Ok(match (column.data, field_type) {
        (ColumnData::F64(values), _) => Arc::new(Float64Array::try_new(values.into(), nulls)?),
        (ColumnData::U64(values), _) => Arc::new(UInt64Array::try_new(values.into(), nulls)?),
        (ColumnData::I64(values), FieldType::Timestamp) => {
            let array = TimestampNanosecondArray::try_new(values.into(), nulls)?;
            Arc::new(array.with_timezone(UTC))
        }
        (ColumnData::I64(values), FieldType::Decimal { precision, scale }) => {
            let wide: Vec<i128> = values.into_iter().map(i128::from).collect();
            let array = Decimal128Array::try_new(wide.into(), nulls)?;
            let scale = i8::try_from(scale).unwrap_or(i8::MAX);
            Arc::new(array.with_precision_and_scale(precision, scale)?)
        }
        (ColumnData::I64(values), _) => Arc::new(Int64Array::try_new(values.into(), nulls)?),
        (ColumnData::Bool(values), _) => Arc::new(BooleanArray::new(bits_of(values), nulls)),
        (ColumnData::Utf8(texts), _) => Arc::new(StringViewArray::from(&text(texts, nulls)?)),
    })
}

fn bits_of(bits: Bitmap) -> BooleanBuffer {
    let len = bits.len();
    BooleanBuffer::new(Buffer::from_vec(bits.into_bytes()), 0, len)
}

fn text(texts: TextBuf, nulls: Option<NullBuffer>) -> Result<StringArray> {
    let TextBuf { offsets, bytes } = texts;
    if i32::try_from(bytes.len()).is_err() {
        let message = format!("a batch holds {} bytes of text, more than Arrow takes", bytes.len());
        return Err(SqlError::overflow(message));
    }
    // Offsets are below 2 GiB: the same bytes are the same numbers, signed.
    let offsets: ScalarBuffer<i32> = Buffer::from_vec(offsets).into();
    Ok(StringArray::try_new(OffsetBuffer::new(offsets), Buffer::from_vec(bytes), nulls)?)
}
