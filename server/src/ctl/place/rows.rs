//! Answers of a server as the engine's batches. They come from outside: every shape is checked.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int64Type, TimestampNanosecondType, UInt32Type,
    UInt64Type,
};
use arrow::record_batch::RecordBatch;
use chronolith_codec::{Bitmap, TextBuf};
use chronolith_engine::model::{
    Column, ColumnData, FieldDef, FieldType, RowChunk, SeriesKey, TableSchema,
};
use chronolith_engine::read::{AggregateBatch, ScanBatch, SeriesRun};

use super::super::{CtlError, CtlResult};
use crate::ipc::ROWS;

fn malformed(what: &str) -> CtlError {
    CtlError::Failed(format!("the server's answer is malformed: {what}"))
}

/// Rows of a scan.
///
/// # Errors
/// `Failed` where the batch is not of these columns.
pub(super) fn scan_batch(
    schema: &Arc<TableSchema>,
    fields: &Arc<[FieldDef]>,
    batch: &RecordBatch,
) -> CtlResult<ScanBatch> {
    let columns = batch.columns();
    let keys = 1 + schema.tags.len();
    let Some((key_columns, rest)) = columns.split_at_checked(keys) else {
        return Err(malformed("it lacks tags"));
    };
    let Some((time, tags)) = key_columns.split_first() else {
        return Err(malformed("it lacks times"));
    };
    if rest.len() < fields.len() {
        return Err(malformed("it lacks fields"));
    }
    let of_fields = rest.iter().zip(fields.iter());
    let of_fields = of_fields.map(|(array, def)| field(array, def.field_type));
    let rows = RowChunk {
        time: times(time)?,
        sequence: Vec::new(),
        fields: of_fields.collect::<CtlResult<_>>()?,
    };
    let series = series(tags, batch.num_rows())?;
    Ok(ScanBatch { schema: Arc::clone(schema), fields: Arc::clone(fields), series, rows })
}

/// Buckets of an aggregate.
///
/// # Errors
/// `Failed` where the batch is not of these columns.
pub(super) fn aggregate_batch(
    schema: &Arc<TableSchema>,
    batch: &RecordBatch,
) -> CtlResult<AggregateBatch> {
    let columns = batch.columns();
    let keys = 1 + schema.tags.len();
    let named = batch.schema().fields().get(keys).is_some_and(|field| field.name() == ROWS);
    let (Some((key_columns, [counts, values @ ..])), true) =
        (columns.split_at_checked(keys), named)
    else {
        return Err(malformed("it lacks counts of rows"));
    };
    let Some((time, tags)) = key_columns.split_first() else {
        return Err(malformed("it lacks times"));
    };
    let types: CtlResult<Vec<FieldType>> =
        values.iter().map(|array| field_type(array.data_type())).collect();
    let types = types?;
    let of_values = values.iter().zip(&types).map(|(array, of)| field(array, *of));
    let values = of_values.collect::<CtlResult<_>>()?;
    let counts = counts.as_primitive_opt::<UInt64Type>().ok_or_else(|| malformed("counts"))?;
    Ok(AggregateBatch {
        schema: Arc::clone(schema),
        types: types.into(),
        series: series(tags, batch.num_rows())?,
        bucket_ns: times(time)?,
        row_count: counts.values().to_vec(),
        values,
    })
}

fn times(array: &ArrayRef) -> CtlResult<Vec<i64>> {
    let times = array.as_primitive_opt::<TimestampNanosecondType>();
    Ok(times.ok_or_else(|| malformed("its times are none"))?.values().to_vec())
}

/// Runs of rows of one series each.
fn series(tags: &[ArrayRef], row_count: usize) -> CtlResult<Vec<SeriesRun>> {
    let mut columns = Vec::with_capacity(tags.len());
    for tag in tags {
        let coded = tag.as_dictionary_opt::<UInt32Type>();
        let coded = coded.ok_or_else(|| malformed("a tag is no dictionary"))?;
        let values = coded.values().as_string_opt::<i32>();
        columns.push((coded, values.ok_or_else(|| malformed("a tag holds no text"))?));
    }
    let code = |row: usize| {
        let of = columns.iter().map(move |(coded, _)| coded.key(row));
        of.collect::<Vec<Option<usize>>>()
    };
    let mut runs: Vec<SeriesRun> = Vec::new();
    let mut open: Option<(Vec<Option<usize>>, usize)> = None;
    let mut close = |codes: &[Option<usize>], rows: Range<usize>| -> CtlResult<()> {
        let values = codes.iter().zip(&columns).map(|(code, (_, values))| match code {
            Some(code) if *code < values.len() && values.is_valid(*code) => values.value(*code),
            _ => "",
        });
        runs.push(SeriesRun { key: SeriesKey::from_tags(values)?, rows });
        Ok(())
    };
    for row in 0..row_count {
        let codes = code(row);
        match &open {
            Some((known, _)) if *known == codes => {}
            Some((known, start)) => {
                close(known, *start..row)?;
                open = Some((codes, row));
            }
            None => open = Some((codes, row)),
        }
    }
    if let Some((known, start)) = open {
        close(&known, start..row_count)?;
    }
    Ok(runs)
}

fn field_type(data_type: &DataType) -> CtlResult<FieldType> {
    let found = match data_type {
        DataType::Float64 => Some(FieldType::F64),
        DataType::Int64 => Some(FieldType::I64),
        DataType::UInt64 => Some(FieldType::U64),
        DataType::Boolean => Some(FieldType::Bool),
        DataType::Utf8View => Some(FieldType::Utf8),
        DataType::Timestamp(..) => Some(FieldType::Timestamp),
        DataType::Decimal128(precision, scale) => {
            u8::try_from(*scale).ok().and_then(|scale| FieldType::decimal(*precision, scale))
        }
        _ => None,
    };
    found.ok_or_else(|| malformed(&format!("a column holds Arrow's {data_type}")))
}

fn field(array: &ArrayRef, of: FieldType) -> CtlResult<Column> {
    let wrong = || malformed(&format!("a column of {of} holds Arrow's {}", array.data_type()));
    let data = match of {
        FieldType::F64 => {
            let array = array.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
            ColumnData::F64(array.values().to_vec())
        }
        FieldType::I64 => {
            let array = array.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            ColumnData::I64(array.values().to_vec())
        }
        FieldType::U64 => {
            let array = array.as_primitive_opt::<UInt64Type>().ok_or_else(wrong)?;
            ColumnData::U64(array.values().to_vec())
        }
        FieldType::Timestamp => ColumnData::I64(times(array)?),
        FieldType::Decimal { .. } => {
            let array = array.as_primitive_opt::<Decimal128Type>().ok_or_else(wrong)?;
            let units = array.values().iter().map(|units| i64::try_from(*units));
            ColumnData::I64(units.collect::<Result<_, _>>().map_err(|_| wrong())?)
        }
        FieldType::Bool => {
            let bits = array.as_boolean_opt().ok_or_else(wrong)?.values();
            ColumnData::Bool(Bitmap::from_fn(bits.len(), |row| bits.value(row)))
        }
        FieldType::Utf8 => {
            let array = array.as_string_view_opt().ok_or_else(wrong)?;
            let mut texts = TextBuf::new();
            for text in array {
                texts.push(text.unwrap_or_default()).map_err(|_| wrong())?;
            }
            ColumnData::Utf8(texts)
        }
    };
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let validity = nulls.map(|nulls| Bitmap::from_fn(nulls.len(), |row| nulls.is_valid(row)));
    Ok(Column::new(data, validity))
}
