//! One chunk's values under construction. A row is added value by value and taken back whole when it is refused.

use std::collections::HashMap;

use chronolith_codec::{Bitmap, TextBuf};
use chronolith_engine::model::{Column, ColumnData, FieldType, TagValues};

use crate::text::infer::Value;

/// A field's values.
pub(super) struct FieldBuilder {
    data: Values,
    valid: Vec<bool>,
}

enum Values {
    F64(Vec<f64>),
    I64(Vec<i64>),
    U64(Vec<u64>),
    Bool(Vec<bool>),
    Utf8 { offsets: Vec<u32>, bytes: Vec<u8> },
}

impl FieldBuilder {
    /// No values yet.
    pub(super) fn new(field_type: FieldType) -> Self {
        let data = match field_type {
            FieldType::F64 => Values::F64(Vec::new()),
            FieldType::I64 | FieldType::Timestamp | FieldType::Decimal { .. } => {
                Values::I64(Vec::new())
            }
            FieldType::U64 => Values::U64(Vec::new()),
            FieldType::Bool => Values::Bool(Vec::new()),
            FieldType::Utf8 => Values::Utf8 { offsets: vec![0], bytes: Vec::new() },
        };
        Self { data, valid: Vec::new() }
    }

    /// Adds a value of the builder's type, or NULL.
    pub(super) fn push(&mut self, value: Option<Value<'_>>) {
        self.valid.push(value.is_some());
        match (&mut self.data, value) {
            (Values::F64(values), Some(Value::F64(value))) => values.push(value),
            (
                Values::I64(values),
                Some(Value::I64(value) | Value::Timestamp(value) | Value::Decimal(value)),
            ) => values.push(value),
            (Values::U64(values), Some(Value::U64(value))) => values.push(value),
            (Values::Bool(values), Some(Value::Bool(value))) => values.push(value),
            (Values::Utf8 { offsets, bytes }, Some(Value::Utf8(text))) => {
                bytes.extend_from_slice(text.as_bytes());
                // A chunk's bytes are bounded far below 4 GiB.
                offsets.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            }
            (data, other) => {
                debug_assert!(other.is_none(), "a parser gives values of its column's type");
                data.push_empty();
            }
        }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.valid.len()
    }

    /// Whether there is a value that is not NULL.
    pub(super) fn has_value(&self) -> bool {
        self.valid.contains(&true)
    }

    /// Takes back what lies behind the first `len` values.
    pub(super) fn truncate(&mut self, len: usize) {
        self.valid.truncate(len);
        match &mut self.data {
            Values::F64(values) => values.truncate(len),
            Values::I64(values) => values.truncate(len),
            Values::U64(values) => values.truncate(len),
            Values::Bool(values) => values.truncate(len),
            Values::Utf8 { offsets, bytes } => {
                offsets.truncate(len + 1);
                bytes.truncate(offsets.last().map_or(0, |end| *end as usize));
            }
        }
    }

    /// The values; the builder is empty afterwards.
    pub(super) fn take(&mut self) -> Column {
        let validity: Bitmap = std::mem::take(&mut self.valid).into_iter().collect();
        let data = match &mut self.data {
            Values::F64(values) => ColumnData::F64(std::mem::take(values)),
            Values::I64(values) => ColumnData::I64(std::mem::take(values)),
            Values::U64(values) => ColumnData::U64(std::mem::take(values)),
            Values::Bool(values) => ColumnData::Bool(values.drain(..).collect()),
            Values::Utf8 { offsets, bytes } => ColumnData::Utf8(TextBuf {
                offsets: std::mem::replace(offsets, vec![0]),
                bytes: std::mem::take(bytes),
            }),
        };
        Column::new(data, Some(validity))
    }
}

impl Values {
    fn push_empty(&mut self) {
        match self {
            Self::F64(values) => values.push(0.0),
            Self::I64(values) => values.push(0),
            Self::U64(values) => values.push(0),
            Self::Bool(values) => values.push(false),
            Self::Utf8 { offsets, bytes } => {
                offsets.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            }
        }
    }
}

/// A tag's values, each text once.
#[derive(Default)]
pub(super) struct TagBuilder {
    codes: Vec<u32>,
    values: Vec<String>,
    known: HashMap<String, u32>,
}

impl TagBuilder {
    /// Adds a row's value.
    pub(super) fn push(&mut self, value: &str) {
        // Rows of one series tend to follow one another.
        let last = self.codes.last().copied();
        let same = last.filter(|code| self.values.get(*code as usize).is_some_and(|v| v == value));
        let code = same.unwrap_or_else(|| self.code_of(value));
        self.codes.push(code);
    }

    /// The last row's value.
    pub(super) fn last(&self) -> &str {
        let value = self.codes.last().and_then(|code| self.values.get(*code as usize));
        value.map_or("", String::as_str)
    }

    fn code_of(&mut self, value: &str) -> u32 {
        if let Some(code) = self.known.get(value) {
            return *code;
        }
        let code = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.known.insert(value.to_owned(), code);
        self.values.push(value.to_owned());
        code
    }

    /// Takes back what lies behind the first `len` rows; their texts may stay, unused.
    pub(super) fn truncate(&mut self, len: usize) {
        self.codes.truncate(len);
    }

    /// The values; the builder is empty afterwards.
    pub(super) fn take(&mut self) -> TagValues {
        self.known.clear();
        let (codes, values) = (std::mem::take(&mut self.codes), std::mem::take(&mut self.values));
        TagValues::Dictionary { codes, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_taken_back_leaves_no_trace() {
        let mut texts = FieldBuilder::new(FieldType::Utf8);
        texts.push(Some(Value::Utf8("a")));
        texts.push(Some(Value::Utf8("gone")));
        texts.truncate(1);
        texts.push(None);
        texts.push(Some(Value::Utf8("")));
        let column = texts.take();
        let values: Vec<_> = (0..3).map(|row| column.value(row, FieldType::Utf8)).collect();
        use chronolith_engine::model::Value as V;
        assert_eq!(values, [V::Utf8("a".into()), V::Null, V::Utf8(String::new())]);
        assert!(texts.take().is_empty());

        let mut tags = TagBuilder::default();
        for value in ["x", "y", "x", "x"] {
            tags.push(value);
        }
        tags.truncate(3);
        let expected = TagValues::Dictionary {
            codes: vec![0, 1, 0],
            values: vec!["x".to_owned(), "y".to_owned()],
        };
        assert_eq!(tags.take(), expected);
    }
}
