//! From Arrow batches to rows for the engine: the documented widening table, each value checked. Whoever reads a batch from outside must
//! have validated it (Arrow's IPC reader does unless told not to); its values are not trusted here, its structure is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal256Type, Float64Type, Int64Type, TimeUnit, UInt32Type,
    UInt64Type, i256,
};
use arrow::record_batch::RecordBatch;
use chronolith_codec::{Bitmap, TextBuf};
use chronolith_engine::model::{
    Column, ColumnData, FieldColumn, FieldType, TableOptions, TableRows, TableSchema, TagColumn,
    TagValues,
};

use crate::error::{Result, SqlError};

/// Digits of an engine decimal at most.
const DECIMAL_DIGITS_MAX: u8 = 18;

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
}

impl Mapping {
    /// For a table that exists: its `time` and tags.
    #[must_use]
    pub fn of(schema: &TableSchema) -> Self {
        Self {
            table: schema.name.clone(),
            create_if_missing: None,
            time: super::TIME.to_owned(),
            tags: schema.tags.iter().map(|tag| tag.name.clone()).collect(),
            constant_tags: Vec::new(),
        }
    }
}

/// The field type that a column of `data_type` naturally has; none where no field can hold it.
#[must_use]
pub fn field_type_of(data_type: &DataType) -> Option<FieldType> {
    Some(match data_type {
        DataType::Boolean => FieldType::Bool,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => FieldType::I64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => FieldType::U64,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => FieldType::F64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => FieldType::Utf8,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => FieldType::Timestamp,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            // Beyond 18 digits, or with a negative scale, each value is checked.
            let scale = u8::try_from(*scale).unwrap_or(0);
            let precision = (*precision).clamp(scale.max(1), DECIMAL_DIGITS_MAX.max(scale));
            return FieldType::decimal(precision, scale);
        }
        DataType::Dictionary(_, values) => return field_type_of(values),
        DataType::RunEndEncoded(_, values) => return field_type_of(values.data_type()),
        _ => return None,
    })
}

/// The rows of `batch`. Each field gets the type that its column naturally has ([`field_type_of`]); the engine widens it to the table's where that is
/// exact, row by row, and refuses rows as the batch asks. A column of Arrow's type Null is left out: the engine takes a missing field as NULL.
///
/// # Errors
/// `Invalid` for a type that cannot be held, a NULL time, a missing column; `Overflow` for a value beyond its type. Each names the column
/// and the row.
pub fn rows_of(batch: &RecordBatch, mapping: &Mapping) -> Result<TableRows> {
    let schema = batch.schema();
    let mut time = None;
    let mut tags = Vec::new();
    let mut fields = Vec::new();
    for (column, array) in schema.fields().iter().zip(batch.columns()) {
        let name = column.name();
        if *name == mapping.time {
            time = Some(times(name, array)?);
        } else if mapping.tags.contains(name) {
            tags.push(TagColumn { name: name.clone(), values: tag_values(name, array)? });
        } else if array.data_type() != &DataType::Null {
            fields.push(field_column(name, array, &mut refuse_all)?);
        }
    }
    let Some(time) = time else {
        let names: Vec<&str> = schema.fields().iter().map(|one| one.name().as_str()).collect();
        return Err(SqlError::invalid(format!(
            "no column {:?} for the time; there are: {}",
            mapping.time,
            names.join(", ")
        )));
    };
    let constant = |(name, value): &(String, String)| TagColumn {
        name: name.clone(),
        values: TagValues::Constant(value.clone()),
    };
    tags.extend(mapping.constant_tags.iter().map(constant));
    Ok(TableRows {
        table: mapping.table.clone(),
        create_if_missing: mapping.create_if_missing.clone(),
        time,
        tags,
        fields,
    })
}

/// Hears of a row whose value cannot be held, and why. Gives the error back to end the conversion, or nothing to go on with NULL in its place.
pub type Refuse<'a> = dyn FnMut(usize, SqlError) -> Result<()> + 'a;

/// Ends a conversion at the first value that cannot be held.
///
/// # Errors
/// `error`, always.
pub fn refuse_all(_row: usize, error: SqlError) -> Result<()> {
    Err(error)
}

fn refused(name: &str, data_type: &DataType, why: &str) -> SqlError {
    SqlError::invalid(format!("column {name:?} is {data_type}, {why}"))
}

fn beyond(name: &str, row: usize, value: impl std::fmt::Display, of: &str) -> SqlError {
    SqlError::overflow(format!("column {name:?}: {value} in row {row} is beyond {of}"))
}

/// The column without dictionary or runs around its values.
fn plain(name: &str, array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Dictionary(_, values) => converted(name, array, values),
        DataType::RunEndEncoded(_, values) => converted(name, array, values.data_type()),
        _ => Ok(Arc::clone(array)),
    }
}

/// By Arrow's kernel, used only where every value has one in the other type.
fn converted(name: &str, array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    cast(array, data_type).map_err(|error| {
        refused(name, array.data_type(), &format!("which cannot be read: {error}"))
    })
}

/// The times of rows: timestamps or dates as nanoseconds since 1970.
///
/// # Errors
/// `Invalid` for another type and for NULL, `Overflow` beyond 1677 to 2262.
pub fn times(name: &str, array: &ArrayRef) -> Result<Vec<i64>> {
    let column = timestamps(name, &plain(name, array)?, &mut refuse_all)?;
    if let Some(validity) = &column.validity
        && let Some(row) = validity.iter().position(|valid| !valid)
    {
        return Err(SqlError::invalid(format!("column {name:?}: the time of row {row} is NULL")));
    }
    match column.data {
        ColumnData::I64(times) => Ok(times),
        _ => Err(SqlError::internal("timestamps are integers")),
    }
}

/// Timestamps and dates as nanoseconds. A zone only says how they are shown; without one they are UTC.
fn timestamps(name: &str, array: &ArrayRef, refuse: &mut Refuse<'_>) -> Result<Column> {
    let (values, unit_ns): (ArrayRef, i64) = match array.data_type() {
        DataType::Timestamp(unit, _) => {
            let unit_ns = match unit {
                TimeUnit::Second => 1_000_000_000,
                TimeUnit::Millisecond => 1_000_000,
                TimeUnit::Microsecond => 1_000,
                TimeUnit::Nanosecond => 1,
            };
            (converted(name, array, &DataType::Int64)?, unit_ns)
        }
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>();
            let days = days.unary::<_, Int64Type>(i64::from);
            (Arc::new(days), 86_400_000_000_000)
        }
        DataType::Date64 => {
            let ms = array.as_primitive::<Date64Type>().unary::<_, Int64Type>(|ms| ms);
            (Arc::new(ms), 1_000_000)
        }
        DataType::Null => {
            return Err(SqlError::invalid(format!("column {name:?}: every time is NULL")));
        }
        other => {
            return Err(refused(
                name,
                other,
                "not a timestamp or date: convert it, as to_timestamp_nanos(x) does",
            ));
        }
    };
    let values = values.as_primitive::<Int64Type>();
    let each = |row, value: i64| {
        let what = "timestamps in nanoseconds (1677-09-21 to 2262-04-11)";
        value.checked_mul(unit_ns).ok_or_else(|| beyond(name, row, value, what))
    };
    column_of(values, each, refuse)
        .map(|(values, validity)| Column::new(ColumnData::I64(values), validity))
}

/// Values and validity, zero where NULL.
fn column_of<T, V: Default>(
    array: &arrow::array::PrimitiveArray<T>,
    each: impl Fn(usize, T::Native) -> Result<V>,
    refuse: &mut Refuse<'_>,
) -> Result<(Vec<V>, Option<Bitmap>)>
where
    T: arrow::datatypes::ArrowPrimitiveType,
{
    let mut held = |row, value| match each(row, value) {
        Ok(value) => Ok(value),
        Err(error) => refuse(row, error).map(|()| V::default()),
    };
    let values = array.values().iter().enumerate();
    if array.null_count() == 0 {
        let values = values.map(|(row, value)| held(row, *value));
        return Ok((values.collect::<Result<_>>()?, None));
    }
    let values = values.map(|(row, value)| match array.is_valid(row) {
        true => held(row, *value),
        false => Ok(V::default()),
    });
    Ok((values.collect::<Result<_>>()?, validity(array)))
}

fn validity(array: &dyn Array) -> Option<Bitmap> {
    (array.null_count() > 0).then(|| Bitmap::from_fn(array.len(), |row| array.is_valid(row)))
}

/// A tag's values: text, and what is written as one text only: integers and truth values. NULL is the absent tag.
///
/// # Errors
/// `Invalid` for other types.
pub fn tag_values(name: &str, array: &ArrayRef) -> Result<TagValues> {
    let values = match array.data_type() {
        DataType::Dictionary(_, values) => values.as_ref(),
        DataType::RunEndEncoded(_, values) => values.data_type(),
        other => other,
    };
    let texts = match field_type_of(values) {
        _ if values == &DataType::Null => return Ok(TagValues::Constant(String::new())),
        Some(FieldType::Utf8) => Arc::clone(array),
        Some(FieldType::I64 | FieldType::U64 | FieldType::Bool) => {
            converted(name, &plain(name, array)?, &DataType::Utf8)?
        }
        _ => return Err(refused(name, array.data_type(), "which a tag cannot be: tags are text")),
    };
    let texts = match texts.data_type() {
        DataType::RunEndEncoded(..) => plain(name, &texts)?,
        _ => texts,
    };
    let coded = converted(name, &texts, &super::tag_type())?;
    let coded: &DictionaryArray<UInt32Type> = coded.as_dictionary();
    let known = coded.values().as_string::<i32>();
    let mut values: Vec<String> = Vec::with_capacity(known.len() + 1);
    values.extend((0..known.len()).map(|at| match known.is_valid(at) {
        true => known.value(at).to_owned(),
        false => String::new(),
    }));
    let mut codes = coded.keys().values().to_vec();
    if coded.keys().null_count() > 0 {
        let absent = u32::try_from(values.len()).unwrap_or(u32::MAX);
        values.push(String::new());
        for (row, code) in codes.iter_mut().enumerate() {
            if coded.keys().is_null(row) {
                *code = absent;
            }
        }
    }
    Ok(TagValues::Dictionary { codes, values })
}

/// A field of the type that the column naturally has ([`field_type_of`]). `refuse` hears of each value that the type does not hold.
///
/// # Errors
/// `Invalid` for a type that no field holds; what `refuse` gives.
pub fn field_column(name: &str, array: &ArrayRef, refuse: &mut Refuse<'_>) -> Result<FieldColumn> {
    let array = plain(name, array)?;
    let Some(natural) = field_type_of(array.data_type()) else {
        return Err(refused(name, array.data_type(), "which no field holds"));
    };
    let column = natural_column(name, &array, natural, refuse)?;
    Ok(FieldColumn { name: name.to_owned(), field_type: natural, column })
}

fn natural_column(
    name: &str,
    array: &ArrayRef,
    natural: FieldType,
    refuse: &mut Refuse<'_>,
) -> Result<Column> {
    let (data, validity) = match natural {
        FieldType::F64 => {
            let values = converted(name, array, &DataType::Float64)?;
            let (values, validity) =
                column_of(values.as_primitive::<Float64Type>(), |_, value| Ok(value), refuse)?;
            (ColumnData::F64(values), validity)
        }
        FieldType::I64 => {
            let values = converted(name, array, &DataType::Int64)?;
            let (values, validity) =
                column_of(values.as_primitive::<Int64Type>(), |_, value| Ok(value), refuse)?;
            (ColumnData::I64(values), validity)
        }
        FieldType::U64 => {
            let values = converted(name, array, &DataType::UInt64)?;
            let (values, validity) =
                column_of(values.as_primitive::<UInt64Type>(), |_, value| Ok(value), refuse)?;
            (ColumnData::U64(values), validity)
        }
        FieldType::Bool => {
            let values = array.as_boolean();
            let bits =
                Bitmap::from_fn(values.len(), |row| values.is_valid(row) && values.value(row));
            (ColumnData::Bool(bits), validity(values))
        }
        FieldType::Utf8 => {
            let values = converted(name, array, &DataType::Utf8View)?;
            let values = values.as_string_view();
            let mut texts = TextBuf::default();
            for text in values {
                texts.push(text.unwrap_or_default()).map_err(|_| {
                    SqlError::overflow(format!("column {name:?} holds more than 4 GiB of text"))
                })?;
            }
            (ColumnData::Utf8(texts), validity(values))
        }
        FieldType::Timestamp => return timestamps(name, array, refuse),
        FieldType::Decimal { precision, scale } => {
            return decimals(name, array, (precision, scale), refuse);
        }
    };
    Ok(Column::new(data, validity))
}

fn decimals(
    name: &str,
    array: &ArrayRef,
    (precision, scale): (u8, u8),
    refuse: &mut Refuse<'_>,
) -> Result<Column> {
    // The widest decimal takes every other's units as they are, and room for a negative scale's zeros.
    let of = format!("decimal({precision},{scale})");
    let wide_scale = i8::try_from(scale).unwrap_or(i8::MAX);
    let wide = converted(name, array, &DataType::Decimal256(76, wide_scale))?;
    if wide.null_count() != array.null_count() {
        for row in (0..array.len()).filter(|row| wide.is_null(*row) && array.is_valid(*row)) {
            refuse(row, beyond(name, row, "a value", &of))?;
        }
    }
    let limit = i256::from_i128(10_i128.pow(precision.into()));
    let each = |row, value: i256| {
        let fits = value < limit && value > limit.wrapping_neg();
        let units = value.to_i128().and_then(|units| i64::try_from(units).ok());
        let units = units.filter(|_| fits);
        units.ok_or_else(|| beyond(name, row, format!("{value}e-{scale}"), &of))
    };
    let (values, validity) = column_of(wide.as_primitive::<Decimal256Type>(), each, refuse)?;
    Ok(Column::new(ColumnData::I64(values), validity))
}
