//! The oracle: all rows in a list, everything computed anew from the start for each question.

use std::cmp::Ordering;

use crate::model::{Comparison, FieldType, MergeMode, Sequence, Value};

/// A field of every type.
pub(super) const FIELDS: [(&str, FieldType); 7] = [
    ("f", FieldType::F64),
    ("i", FieldType::I64),
    ("u", FieldType::U64),
    ("flag", FieldType::Bool),
    ("s", FieldType::Utf8),
    ("at", FieldType::Timestamp),
    ("d", FieldType::Decimal { precision: 18, scale: 2 }),
];

/// One of 64 values of a type, extremes among them.
pub(super) fn value_of(kind: FieldType, choice: u64) -> Value {
    let small = choice.cast_signed() - 32;
    match kind {
        FieldType::F64 => Value::F64(match choice {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => -0.0,
            4 => 0.0,
            5 => f64::MIN_POSITIVE / 2.0,
            _ => small as f64 / 4.0,
        }),
        FieldType::I64 => Value::I64(match choice {
            0 => i64::MIN,
            1 => i64::MAX,
            _ => small,
        }),
        FieldType::U64 => Value::U64(if choice == 0 { u64::MAX } else { choice }),
        FieldType::Bool => Value::Bool(choice.is_multiple_of(2)),
        FieldType::Utf8 => Value::Utf8(match choice {
            0 => String::new(),
            1 => "\u{1f600}".into(),
            _ => "abc"[..usize::try_from(choice % 4).unwrap()].repeat(1 + (choice % 3) as usize),
        }),
        FieldType::Timestamp => Value::Timestamp(match choice {
            0 => i64::MIN,
            1 => i64::MAX,
            _ => small * 1_000_000_007,
        }),
        FieldType::Decimal { scale, .. } => {
            let units = match choice {
                0 => 999_999_999_999_999_999,
                1 => -999_999_999_999_999_999,
                _ => small * 5,
            };
            Value::Decimal { units, scale }
        }
    }
}

/// A row with a value for each of [`FIELDS`].
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) tags: [String; 2],
    pub(super) time: i64,
    pub(super) sequence: Sequence,
    pub(super) values: Vec<Value>,
}

impl Row {
    /// The value of a field of a whole row.
    pub(super) fn get(&self, name: &str) -> &Value {
        &self.values[FIELDS.iter().position(|(known, _)| *known == name).unwrap()]
    }
}

/// A deletion: its sequence, which first tags, which times.
type Deletion = (Sequence, Option<String>, i64, i64);

/// Every row that was committed.
#[derive(Clone)]
pub(super) struct Model {
    merge: MergeMode,
    rows: Vec<Row>,
    deletions: Vec<Deletion>,
}

impl Model {
    pub(super) fn new(merge: MergeMode) -> Self {
        Self { merge, rows: Vec::new(), deletions: Vec::new() }
    }

    pub(super) fn commit(&mut self, sequence: Sequence, rows: &[Row]) {
        self.rows.extend(rows.iter().map(|row| Row { sequence, ..row.clone() }));
    }

    pub(super) fn delete(&mut self, sequence: Sequence, a: Option<&str>, from: i64, to: i64) {
        self.deletions.push((sequence, a.map(str::to_owned), from, to));
    }

    /// Rows as a snapshot through `through` shows them, in the order series, time, commit.
    pub(super) fn visible(&self, through: Sequence) -> Vec<Row> {
        let hidden = |row: &Row| {
            self.deletions.iter().any(|(sequence, a, from, to)| {
                *sequence <= through
                    && row.sequence < *sequence
                    && a.as_ref().is_none_or(|a| *a == row.tags[0])
                    && inside(row.time, *from, *to)
            })
        };
        let mut rows: Vec<Row> = self
            .rows
            .iter()
            .filter(|row| row.sequence <= through && !hidden(row))
            .cloned()
            .collect();
        // Stable: rows of one batch keep their order.
        rows.sort_by(|x, y| (&x.tags, x.time, x.sequence).cmp(&(&y.tags, y.time, y.sequence)));
        if self.merge == MergeMode::Append {
            return rows;
        }
        let mut merged: Vec<Row> = Vec::new();
        for row in rows {
            match merged.last_mut().filter(|last| last.tags == row.tags && last.time == row.time) {
                None => merged.push(row),
                Some(last) if self.merge == MergeMode::LastRow => *last = row,
                Some(last) => {
                    last.sequence = row.sequence;
                    for (value, new) in last.values.iter_mut().zip(row.values) {
                        if new != Value::Null {
                            *value = new;
                        }
                    }
                }
            }
        }
        merged
    }
}

/// Whether a time lies in `[from, to)`, where the greatest `to` has no end.
pub(super) fn inside(time: i64, from: i64, to: i64) -> bool {
    time >= from && (time < to || to == i64::MAX)
}

/// The order of the floats page: zeros alike, NaN equal to itself and above all numbers.
fn float_order(a: f64, b: f64) -> Ordering {
    if a.is_nan() || b.is_nan() {
        return a.is_nan().cmp(&b.is_nan());
    }
    if a < b {
        Ordering::Less
    } else if a > b {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}

/// How a value compares with a constant of its own type; none for NULL.
fn order(value: &Value, constant: &Value) -> Option<Ordering> {
    Some(match (value, constant) {
        (Value::F64(a), Value::F64(b)) => float_order(*a, *b),
        (Value::I64(a), Value::I64(b)) | (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
        (Value::U64(a), Value::U64(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Utf8(a), Value::Utf8(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Decimal { units: a, .. }, Value::Decimal { units: b, .. }) => a.cmp(b),
        _ => return None,
    })
}

/// Whether a value satisfies a comparison.
pub(super) fn satisfies(value: &Value, comparison: Comparison, constant: &Value) -> bool {
    let Some(order) = order(value, constant) else { return false };
    match comparison {
        Comparison::Eq => order.is_eq(),
        Comparison::Ne => order.is_ne(),
        Comparison::Lt => order.is_lt(),
        Comparison::Le => order.is_le(),
        Comparison::Gt => order.is_gt(),
        Comparison::Ge => order.is_ge(),
    }
}
