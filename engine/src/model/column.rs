//! Values of one column in memory, in Arrow's layout (docs/decisions/0008-column-memory.md): little-endian values,
//! an LSB-first validity bitmap, text as offsets and bytes. A NULL's slot holds zero or empty text.

use std::ops::Range;

use chronolith_codec::{Bitmap, TextBuf};

use super::{FieldType, Value, text};

/// The values. Integers, timestamps and the units of decimals share `I64`.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnData {
    /// Doubles.
    F64(Vec<f64>),
    /// Signed integers, timestamps, decimals.
    I64(Vec<i64>),
    /// Unsigned integers.
    U64(Vec<u64>),
    /// Truth values, a bit each.
    Bool(Bitmap),
    /// Text.
    Utf8(TextBuf),
}

impl ColumnData {
    /// No values yet, of the layout that `field_type` has.
    #[must_use]
    pub fn new(field_type: FieldType) -> Self {
        match field_type {
            FieldType::F64 => Self::F64(Vec::new()),
            FieldType::I64 | FieldType::Timestamp | FieldType::Decimal { .. } => {
                Self::I64(Vec::new())
            }
            FieldType::U64 => Self::U64(Vec::new()),
            FieldType::Bool => Self::Bool(Bitmap::default()),
            FieldType::Utf8 => Self::Utf8(TextBuf::default()),
        }
    }

    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Utf8(values) => values.len(),
        }
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this layout is the one of `field_type`.
    #[must_use]
    pub fn fits(&self, field_type: FieldType) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(&Self::new(field_type))
    }

    /// Adds one value; NULL adds the empty slot. Returns false where the value has another type than `field_type`.
    #[must_use]
    pub fn push_value(&mut self, value: &Value, field_type: FieldType) -> bool {
        match (self, value) {
            (data, Value::Null) => data.push_empty(1),
            (Self::F64(values), Value::F64(value)) => values.push(*value),
            (Self::I64(values), Value::I64(value)) if field_type == FieldType::I64 => {
                values.push(*value);
            }
            (Self::I64(values), Value::Timestamp(value)) if field_type == FieldType::Timestamp => {
                values.push(*value);
            }
            (Self::I64(values), Value::Decimal { units, scale }) if matches!(field_type, FieldType::Decimal { scale: expected, .. } if expected == *scale) =>
            {
                values.push(*units);
            }
            (Self::U64(values), Value::U64(value)) => values.push(*value),
            (Self::Bool(values), Value::Bool(value)) => values.push(*value),
            (Self::Utf8(values), Value::Utf8(value)) => return values.push(value).is_ok(),
            _ => return false,
        }
        true
    }

    /// Adds `count` empty slots.
    pub fn push_empty(&mut self, count: usize) {
        match self {
            Self::F64(values) => values.resize(values.len() + count, 0.0),
            Self::I64(values) => values.resize(values.len() + count, 0),
            Self::U64(values) => values.resize(values.len() + count, 0),
            Self::Bool(values) => values.push_run(false, count),
            Self::Utf8(values) => text::push_empty(values, count),
        }
    }

    /// Bytes in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::F64(values) => values.len() * 8,
            Self::I64(values) => values.len() * 8,
            Self::U64(values) => values.len() * 8,
            Self::Bool(values) => values.len().div_ceil(8),
            Self::Utf8(values) => values.offsets.len() * 4 + values.bytes.len(),
        }
    }
}

/// Values with their validity.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The values, empty slots for NULL.
    pub data: ColumnData,
    /// A set bit for each value that is not NULL; none when no value is NULL. As long as `data`.
    pub validity: Option<Bitmap>,
}

impl Column {
    /// Values with a validity of the same length; a validity without NULL is dropped.
    #[must_use]
    pub fn new(data: ColumnData, validity: Option<Bitmap>) -> Self {
        let validity = validity.filter(|bits| bits.count_ones() < bits.len());
        Self { data, validity }
    }

    /// No values yet.
    #[must_use]
    pub fn empty(field_type: FieldType) -> Self {
        Self { data: ColumnData::new(field_type), validity: None }
    }

    /// `count` NULLs.
    #[must_use]
    pub fn nulls(field_type: FieldType, count: usize) -> Self {
        let mut column = Self::empty(field_type);
        column.push_nulls(count);
        column
    }

    /// Whether the validity is as long as the values, and texts are what [`TextBuf`] says.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let texts = match &self.data {
            ColumnData::Utf8(texts) => text::is_well_formed(texts),
            _ => true,
        };
        texts && self.validity.as_ref().is_none_or(|bits| bits.len() == self.len())
    }

    /// The number of values, NULL included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the value at `row` is not NULL.
    #[must_use]
    pub fn is_valid(&self, row: usize) -> bool {
        self.validity.as_ref().is_none_or(|bits| bits.get(row) == Some(true))
    }

    /// How many values are NULL.
    #[must_use]
    pub fn null_count(&self) -> usize {
        self.validity.as_ref().map_or(0, |bits| bits.len() - bits.count_ones())
    }

    /// The value at `row`, which must be below `len`.
    #[must_use]
    pub fn value(&self, row: usize, field_type: FieldType) -> Value {
        if !self.is_valid(row) {
            return Value::Null;
        }
        let value = match &self.data {
            ColumnData::F64(values) => values.get(row).map(|value| Value::F64(*value)),
            ColumnData::U64(values) => values.get(row).map(|value| Value::U64(*value)),
            ColumnData::Bool(values) => values.get(row).map(Value::Bool),
            ColumnData::Utf8(values) => values.get(row).map(|value| Value::Utf8(value.to_owned())),
            ColumnData::I64(values) => values.get(row).map(|&value| match field_type {
                FieldType::Timestamp => Value::Timestamp(value),
                FieldType::Decimal { scale, .. } => Value::Decimal { units: value, scale },
                _ => Value::I64(value),
            }),
        };
        value.unwrap_or(Value::Null)
    }

    /// Adds `count` NULLs.
    pub fn push_nulls(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let len = self.len();
        let bits = self.validity.get_or_insert_with(|| Bitmap::filled(len, true));
        bits.push_run(false, count);
        self.data.push_empty(count);
    }

    /// Adds the values of `other` in `rows`, which must lie within it. Both must have the same layout.
    #[expect(clippy::indexing_slicing, reason = "the caller's rows lie within the column")]
    pub fn push_slice(&mut self, other: &Self, rows: Range<usize>) {
        let len = self.len();
        match (&mut self.validity, &other.validity) {
            (None, None) => {}
            (Some(bits), None) => bits.push_run(true, rows.len()),
            (validity, Some(more)) => {
                let bits = validity.get_or_insert_with(|| Bitmap::filled(len, true));
                bits.append_slice(more, rows.start, rows.len());
            }
        }
        match (&mut self.data, &other.data) {
            (ColumnData::F64(to), ColumnData::F64(from)) => to.extend_from_slice(&from[rows]),
            (ColumnData::I64(to), ColumnData::I64(from)) => to.extend_from_slice(&from[rows]),
            (ColumnData::U64(to), ColumnData::U64(from)) => to.extend_from_slice(&from[rows]),
            (ColumnData::Bool(to), ColumnData::Bool(from)) => {
                to.append_slice(from, rows.start, rows.len());
            }
            (ColumnData::Utf8(to), ColumnData::Utf8(from)) => text::push_slice(to, from, rows),
            (to, _) => to.push_empty(rows.len()),
        }
    }

    /// The values in `rows`.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        let mut part = Self { data: self.empty_data(), validity: None };
        part.push_slice(self, rows);
        Self::new(part.data, part.validity)
    }

    /// The values at `rows`, in that order.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        let mut part = Self { data: self.empty_data(), validity: None };
        for &row in rows {
            part.push_slice(self, row..row + 1);
        }
        Self::new(part.data, part.validity)
    }

    /// The same layout without values.
    #[must_use]
    pub fn empty_data(&self) -> ColumnData {
        match &self.data {
            ColumnData::F64(_) => ColumnData::F64(Vec::new()),
            ColumnData::I64(_) => ColumnData::I64(Vec::new()),
            ColumnData::U64(_) => ColumnData::U64(Vec::new()),
            ColumnData::Bool(_) => ColumnData::Bool(Bitmap::default()),
            ColumnData::Utf8(_) => ColumnData::Utf8(TextBuf::default()),
        }
    }

    /// Bytes in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.data.memory_bytes() + self.validity.as_ref().map_or(0, |bits| bits.len().div_ceil(8))
    }
}
