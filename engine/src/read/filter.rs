//! Conditions on fields, over whole columns and over zone maps. NULL satisfies none. Floats: docs/decisions/0009-floats.md:
//! zeros are alike, NaN equals NaN and is greater than every number.

use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::model::{
    Column, ColumnData, Comparison, FieldDef, FieldFilter, FieldType, TableSchema, Value,
};

/// A condition bound to a column of the scan.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundFilter {
    /// The position among the columns that the scan reads.
    pub column: usize,
    /// The field.
    pub field: FieldDef,
    comparison: Comparison,
    constant: Constant,
}

#[derive(Debug, Clone, PartialEq)]
enum Constant {
    F64(f64),
    I64(i64),
    U64(u64),
    Bool(bool),
    Utf8(String),
}

/// Order of doubles in predicates, bounds and sorting.
#[must_use]
pub fn compare_f64(a: f64, b: f64) -> Ordering {
    match a.partial_cmp(&b) {
        Some(order) => order,
        None => a.is_nan().cmp(&b.is_nan()),
    }
}

fn holds(comparison: Comparison, order: Ordering) -> bool {
    match comparison {
        Comparison::Eq => order == Ordering::Equal,
        Comparison::Ne => order != Ordering::Equal,
        Comparison::Lt => order == Ordering::Less,
        Comparison::Le => order != Ordering::Greater,
        Comparison::Gt => order == Ordering::Greater,
        Comparison::Ge => order != Ordering::Less,
    }
}

impl BoundFilter {
    /// Binds `filter` to `field`, which stands at `column` of the scan.
    ///
    /// # Errors
    /// `WrongType` for a constant of another type.
    pub fn bind(
        schema: &TableSchema,
        field: &FieldDef,
        column: usize,
        filter: &FieldFilter,
    ) -> Result<Self> {
        let constant =
            constant(field.field_type, &filter.value).ok_or_else(|| Error::WrongType {
                table: schema.name.clone(),
                column: field.name.clone(),
                expected: field.field_type.to_string(),
                found: filter.value.type_name().into(),
                row: None,
            })?;
        Ok(Self { column, field: field.clone(), comparison: filter.comparison, constant })
    }

    /// Clears the mark of every row that does not satisfy the condition.
    pub fn mark(&self, column: &Column, keep: &mut [bool]) {
        let comparison = self.comparison;
        match (&column.data, &self.constant) {
            (ColumnData::F64(values), Constant::F64(other)) => {
                each(keep, values.iter(), |value| holds(comparison, compare_f64(*value, *other)));
            }
            (ColumnData::I64(values), Constant::I64(other)) => {
                each(keep, values.iter(), |value| holds(comparison, value.cmp(other)));
            }
            (ColumnData::U64(values), Constant::U64(other)) => {
                each(keep, values.iter(), |value| holds(comparison, value.cmp(other)));
            }
            (ColumnData::Bool(values), Constant::Bool(other)) => {
                each(keep, values.iter(), |value| holds(comparison, value.cmp(other)));
            }
            (ColumnData::Utf8(values), Constant::Utf8(other)) => {
                let texts = values.view();
                each(keep, 0..values.len(), |row| {
                    let text = texts.get_bytes(row).unwrap_or_default();
                    holds(comparison, text.cmp(other.as_bytes()))
                });
            }
            _ => keep.fill(false),
        }
        if let Some(validity) = &column.validity {
            each(keep, validity.iter(), |valid| valid);
        }
    }

    /// Whether a block with these bounds may hold a value that satisfies the condition: least and greatest value that is neither NULL
    /// nor NaN (none when there is no such value), and whether there is a NaN.
    #[must_use]
    pub fn may_hold(&self, bounds: Option<(&Value, &Value)>, has_nan: bool) -> bool {
        let by_nan = has_nan
            && matches!(&self.constant, Constant::F64(other)
                if holds(self.comparison, compare_f64(f64::NAN, *other)));
        by_nan || bounds.is_some_and(|(min, max)| self.may_hold_between(min, max))
    }

    fn may_hold_between(&self, min: &Value, max: &Value) -> bool {
        let orders = match (&self.constant, min, max) {
            (Constant::F64(other), Value::F64(min), Value::F64(max)) => {
                (compare_f64(*min, *other), compare_f64(*max, *other))
            }
            (Constant::U64(other), Value::U64(min), Value::U64(max)) => {
                (min.cmp(other), max.cmp(other))
            }
            (Constant::I64(other), min, max) => match (units(min), units(max)) {
                (Some(min), Some(max)) => (min.cmp(other), max.cmp(other)),
                _ => return true,
            },
            _ => return true,
        };
        match self.comparison {
            Comparison::Eq => orders.0 != Ordering::Greater && orders.1 != Ordering::Less,
            Comparison::Ne => orders != (Ordering::Equal, Ordering::Equal),
            Comparison::Lt | Comparison::Le => holds(self.comparison, orders.0),
            Comparison::Gt | Comparison::Ge => holds(self.comparison, orders.1),
        }
    }
}

fn each<T>(keep: &mut [bool], values: impl Iterator<Item = T>, holds: impl Fn(T) -> bool) {
    for (keep, value) in keep.iter_mut().zip(values) {
        *keep &= holds(value);
    }
}

fn units(value: &Value) -> Option<i64> {
    match value {
        Value::I64(value) | Value::Timestamp(value) | Value::Decimal { units: value, .. } => {
            Some(*value)
        }
        _ => None,
    }
}

/// The constant as the field's type holds it, where that is exact.
fn constant(field_type: FieldType, value: &Value) -> Option<Constant> {
    #[expect(clippy::cast_precision_loss, reason = "only integers that a double holds exactly")]
    let exact = |value: i128| (value.unsigned_abs() <= 1 << 53).then_some(value as f64);
    Some(match (field_type, value) {
        (FieldType::F64, Value::F64(value)) => Constant::F64(*value),
        (FieldType::F64, Value::I64(value)) => Constant::F64(exact((*value).into())?),
        (FieldType::F64, Value::U64(value)) => Constant::F64(exact((*value).into())?),
        (FieldType::I64, Value::I64(value))
        | (FieldType::Timestamp, Value::Timestamp(value) | Value::I64(value)) => {
            Constant::I64(*value)
        }
        (FieldType::I64, Value::U64(value)) => Constant::I64(i64::try_from(*value).ok()?),
        (FieldType::U64, Value::U64(value)) => Constant::U64(*value),
        (FieldType::U64, Value::I64(value)) => Constant::U64(u64::try_from(*value).ok()?),
        (FieldType::Decimal { scale, .. }, Value::Decimal { units, scale: found })
            if *found <= scale =>
        {
            Constant::I64(units.checked_mul(10_i64.checked_pow(u32::from(scale - found))?)?)
        }
        (FieldType::Decimal { scale, .. }, Value::I64(value)) => {
            Constant::I64(value.checked_mul(10_i64.checked_pow(u32::from(scale))?)?)
        }
        (FieldType::Bool, Value::Bool(value)) => Constant::Bool(*value),
        (FieldType::Utf8, Value::Utf8(value)) => Constant::Utf8(value.clone()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ColumnId, TableId};

    fn filter(comparison: Comparison, value: f64) -> BoundFilter {
        let field = FieldDef { id: ColumnId(1), name: "x".into(), field_type: FieldType::F64 };
        let filter = FieldFilter { field: "x".into(), comparison, value: Value::F64(value) };
        BoundFilter::bind(&TableSchema::new(TableId(1), "t"), &field, 0, &filter).unwrap()
    }

    #[test]
    fn bounds_never_exclude_a_value_that_satisfies() {
        let values = [f64::NAN, f64::NEG_INFINITY, -1.0, -0.0, 0.0, 1.0, f64::INFINITY];
        let all = [
            Comparison::Eq,
            Comparison::Ne,
            Comparison::Lt,
            Comparison::Le,
            Comparison::Gt,
            Comparison::Ge,
        ];
        for comparison in all {
            for constant in values {
                let filter = filter(comparison, constant);
                for value in values {
                    let mut keep = [true];
                    filter.mark(&Column::new(ColumnData::F64(vec![value]), None), &mut keep);
                    let bound = Value::F64(value);
                    let bounds = (!value.is_nan()).then_some((&bound, &bound));
                    let may = filter.may_hold(bounds, value.is_nan());
                    assert_eq!(may, keep[0], "{value} {comparison:?} {constant}");
                }
            }
        }
    }

    #[test]
    fn zeros_are_alike_and_nan_is_greatest() {
        let mut keep = [true; 3];
        let column = Column::new(ColumnData::F64(vec![-0.0, f64::NAN, 5.0]), None);
        filter(Comparison::Eq, 0.0).mark(&column, &mut keep);
        assert_eq!(keep, [true, false, false]);
        let mut keep = [true; 3];
        filter(Comparison::Gt, f64::INFINITY).mark(&column, &mut keep);
        assert_eq!(keep, [false, true, false]);
    }
}
