//! Which conditions of a query the engine evaluates itself, and exactly as SQL does: three-valued, with an absent tag as NULL, and floats
//! by docs/decisions/0009-floats.md. What is not named here is left to DataFusion.

use arrow::datatypes::DataType;
use chronolith_engine::model::{
    Comparison, FieldFilter, FieldType, Predicate, TableSchema, TagFilter, TimeRange, Value,
};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, expr::InList};

use crate::convert::TIME;

/// No time at all. (Empty ranges that end at the last timestamp would hold it.)
const NEVER: TimeRange = TimeRange { from: 0, to: 0 };

/// What the engine is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pushed {
    pub(crate) range: TimeRange,
    pub(crate) predicate: Predicate,
}

impl Pushed {
    /// Every row.
    pub(crate) fn all() -> Self {
        Self { range: TimeRange::ALL, predicate: Predicate::all() }
    }

    /// Adds every condition of `filters` that the engine evaluates, wholly or as a bound.
    pub(crate) fn of(schema: &TableSchema, filters: &[Expr]) -> Self {
        let mut pushed = Self::all();
        for condition in filters.iter().filter_map(|filter| condition(schema, filter)) {
            match condition {
                Condition::Time(range) | Condition::Within(range) => {
                    pushed.range = pushed.range.intersect(&range);
                }
                Condition::Tag(name, filter) => pushed.predicate.tags.push((name, filter)),
                Condition::Field(filter) => pushed.predicate.fields.push(filter),
            }
        }
        if pushed.range.is_empty() {
            pushed.range = NEVER;
        }
        pushed
    }

    /// Whether nothing but times is asked for.
    pub(crate) fn only_times(&self) -> bool {
        self.predicate.tags.is_empty() && self.predicate.fields.is_empty()
    }

    /// Whether the conditions leave no row without the tag `name`.
    pub(crate) fn requires_tag(&self, name: &str) -> bool {
        self.predicate.tags.iter().any(|(one, filter)| one == name && !filter.accepts(""))
    }

    /// Whether the conditions leave one value of the tag `name`, the absent one included.
    pub(crate) fn fixes_tag(&self, name: &str) -> bool {
        let one_value = |filter: &TagFilter| match filter {
            TagFilter::In(values) => values.len() <= 1,
            TagFilter::NotIn(_) => false,
        };
        self.predicate.tags.iter().any(|(one, filter)| one == name && one_value(filter))
    }
}

impl std::fmt::Display for Pushed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        if self.range != TimeRange::ALL {
            parts.push(format!("time in [{}, {})", self.range.from, self.range.to));
        }
        for (name, filter) in &self.predicate.tags {
            let (word, values) = match filter {
                TagFilter::In(values) => ("in", values),
                TagFilter::NotIn(values) => ("not in", values),
            };
            parts.push(format!("{name} {word} {values:?}"));
        }
        for filter in &self.predicate.fields {
            parts.push(format!("{} {} {}", filter.field, sign(filter.comparison), filter.value));
        }
        f.write_str(&parts.join(", "))
    }
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Eq => "=",
        Comparison::Ne => "!=",
        Comparison::Lt => "<",
        Comparison::Le => "<=",
        Comparison::Gt => ">",
        Comparison::Ge => ">=",
    }
}

/// A condition in the engine's terms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    /// Exactly these times.
    Time(TimeRange),
    /// No other times than these, but not all of them.
    Within(TimeRange),
    /// Exactly the rows with such a tag.
    Tag(String, TagFilter),
    /// Exactly the rows with such a field.
    Field(FieldFilter),
}

impl Condition {
    /// Whether the engine gives exactly the rows that satisfy it.
    pub(crate) fn is_exact(&self) -> bool {
        !matches!(self, Self::Within(_))
    }
}

/// `expr` in the engine's terms, where it has them.
pub(crate) fn condition(schema: &TableSchema, expr: &Expr) -> Option<Condition> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            // What is never true adds nothing: `tag IN ('a', NULL)` comes as `tag = 'a' OR NULL`.
            match (is_never_true(left), is_never_true(right)) {
                (true, _) => condition(schema, right),
                (_, true) => condition(schema, left),
                _ => either(condition(schema, left)?, condition(schema, right)?),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let comparison = comparison(*op)?;
            match (column(schema, left), column(schema, right)) {
                (Some(column), None) => compare(&column, comparison, literal(right)?),
                (None, Some(column)) => compare(&column, turned(comparison), literal(left)?),
                _ => None,
            }
        }
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let Column::Time = column(schema, expr)? else { return None };
            let first = compare(&Column::Time, Comparison::Ge, literal(low)?)?;
            let last = compare(&Column::Time, Comparison::Le, literal(high)?)?;
            match (first, last) {
                (Condition::Time(first), Condition::Time(last)) => {
                    let both = first.intersect(&last);
                    Some(Condition::Time(if both.is_empty() { NEVER } else { both }))
                }
                _ => None,
            }
        }
        Expr::InList(InList { expr, list, negated }) => {
            let values = list.iter().map(literal).collect::<Option<Vec<_>>>()?;
            in_list(&column(schema, expr)?, &values, *negated)
        }
        Expr::IsNull(expr) => match column(schema, expr)? {
            Column::Tag(name) => Some(Condition::Tag(name, TagFilter::In(vec![String::new()]))),
            _ => None,
        },
        Expr::IsNotNull(expr) => match column(schema, expr)? {
            Column::Tag(name) => Some(Condition::Tag(name, TagFilter::NotIn(vec![String::new()]))),
            _ => None,
        },
        Expr::Not(inner) => truth(schema, inner, false),
        Expr::Column(_) => truth(schema, expr, true),
        _ => None,
    }
}

/// A column of the table.
enum Column {
    Time,
    Tag(String),
    Field(String, FieldType),
}

fn column(schema: &TableSchema, expr: &Expr) -> Option<Column> {
    match expr {
        Expr::Column(column) if column.name == TIME => Some(Column::Time),
        Expr::Column(column) if schema.tag_position(&column.name).is_some() => {
            Some(Column::Tag(column.name.clone()))
        }
        Expr::Column(column) => {
            let field = schema.field(&column.name)?;
            Some(Column::Field(column.name.clone(), field.field_type))
        }
        // A tag as plain text is the same text.
        Expr::Cast(cast) if is_text(cast.field.data_type()) => match column(schema, &cast.expr)? {
            tag @ Column::Tag(_) => Some(tag),
            _ => None,
        },
        _ => None,
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn is_never_true(expr: &Expr) -> bool {
    literal(expr)
        .is_some_and(|value| value.is_null() || matches!(value, ScalarValue::Boolean(Some(false))))
}

fn comparison(op: Operator) -> Option<Comparison> {
    Some(match op {
        Operator::Eq => Comparison::Eq,
        Operator::NotEq => Comparison::Ne,
        Operator::Lt => Comparison::Lt,
        Operator::LtEq => Comparison::Le,
        Operator::Gt => Comparison::Gt,
        Operator::GtEq => Comparison::Ge,
        _ => return None,
    })
}

/// The comparison with its sides exchanged.
fn turned(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Lt => Comparison::Gt,
        Comparison::Le => Comparison::Ge,
        Comparison::Gt => Comparison::Lt,
        Comparison::Ge => Comparison::Le,
        same => same,
    }
}

fn compare(column: &Column, comparison: Comparison, value: &ScalarValue) -> Option<Condition> {
    match column {
        Column::Time => {
            let ScalarValue::TimestampNanosecond(Some(at), _) = value else { return None };
            times(comparison, *at).map(Condition::Time)
        }
        Column::Tag(name) => {
            let text = text(value)?;
            let filter = match comparison {
                Comparison::Eq => one_of([text]),
                Comparison::Ne => none_of([text]),
                _ => return None,
            };
            Some(Condition::Tag(name.clone(), filter))
        }
        Column::Field(name, field_type) => {
            let value = field_value(*field_type, value)?;
            Some(Condition::Field(FieldFilter { field: name.clone(), comparison, value }))
        }
    }
}

/// The times that compare so with `at`; none where no range is exactly them. A range that ends at the last timestamp holds it.
fn times(comparison: Comparison, at: i64) -> Option<TimeRange> {
    let after = at.checked_add(1);
    let ends_before_last = after.is_none_or(|after| after != i64::MAX);
    Some(match comparison {
        Comparison::Eq if ends_before_last => TimeRange::inclusive(at, at),
        Comparison::Le if ends_before_last => TimeRange::inclusive(i64::MIN, at),
        Comparison::Lt if after.is_some() => TimeRange::new(i64::MIN, at),
        Comparison::Gt => after.map_or(NEVER, |after| TimeRange::new(after, i64::MAX)),
        Comparison::Ge => TimeRange::new(at, i64::MAX),
        _ => return None,
    })
}

/// No tag is empty, so nothing equals the empty text: it means the absent tag to the engine, and must not be asked for by accident.
fn one_of(texts: impl IntoIterator<Item = String>) -> TagFilter {
    TagFilter::In(texts.into_iter().filter(|text| !text.is_empty()).collect())
}

/// NULL is not different from anything: an absent tag never satisfies.
fn none_of(texts: impl IntoIterator<Item = String>) -> TagFilter {
    let present = texts.into_iter().filter(|text| !text.is_empty());
    TagFilter::NotIn(present.chain([String::new()]).collect())
}

fn in_list(column: &Column, values: &[&ScalarValue], negated: bool) -> Option<Condition> {
    match column {
        Column::Time if !negated => {
            let times = values.iter().map(|value| match value {
                ScalarValue::TimestampNanosecond(at, _) => Some(*at),
                _ => None,
            });
            let times: Vec<i64> =
                times.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
            let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else {
                return Some(Condition::Time(NEVER));
            };
            Some(Condition::Within(TimeRange::inclusive(*first, *last)))
        }
        Column::Tag(name) => {
            let has_null = values.iter().any(|value| value.is_null());
            let present = values.iter().filter(|value| !value.is_null());
            let texts = present.map(|value| text(value)).collect::<Option<Vec<_>>>()?;
            let filter = match (negated, has_null) {
                (false, _) => one_of(texts),
                // Neither true of a value in the list, nor of one that might be the NULL.
                (true, true) => TagFilter::In(Vec::new()),
                (true, false) => none_of(texts),
            };
            Some(Condition::Tag(name.clone(), filter))
        }
        _ => None,
    }
}

/// The rows of which one condition or the other is true, where both are of the same column.
fn either(a: Condition, b: Condition) -> Option<Condition> {
    match (a, b) {
        (Condition::Time(a) | Condition::Within(a), Condition::Time(b) | Condition::Within(b)) => {
            let hull = TimeRange::new(a.from.min(b.from), a.to.max(b.to));
            let sides = [(a, b), (b, a)].into_iter().find(|(one, _)| one.is_empty());
            Some(Condition::Within(sides.map_or(hull, |(_, other)| other)))
        }
        (Condition::Tag(a_name, a), Condition::Tag(b_name, b)) if a_name == b_name => {
            let filter = match (a, b) {
                (TagFilter::In(mut a), TagFilter::In(b)) => {
                    a.extend(b);
                    TagFilter::In(a)
                }
                (TagFilter::In(a), TagFilter::NotIn(mut b))
                | (TagFilter::NotIn(mut b), TagFilter::In(a)) => {
                    b.retain(|text| !a.contains(text));
                    TagFilter::NotIn(b)
                }
                (TagFilter::NotIn(mut a), TagFilter::NotIn(b)) => {
                    a.retain(|text| b.contains(text));
                    TagFilter::NotIn(a)
                }
            };
            Some(Condition::Tag(a_name, filter))
        }
        _ => None,
    }
}

fn truth(schema: &TableSchema, expr: &Expr, wanted: bool) -> Option<Condition> {
    let Column::Field(field, FieldType::Bool) = column(schema, expr)? else { return None };
    let value = Value::Bool(wanted);
    Some(Condition::Field(FieldFilter { field, comparison: Comparison::Eq, value }))
}

fn text(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            text.clone()
        }
        ScalarValue::Dictionary(_, inner) => text(inner),
        _ => None,
    }
}

/// The constant in the field's own type; none for NULL and where the types differ: DataFusion then compares in a type of its own choice.
fn field_value(field_type: FieldType, value: &ScalarValue) -> Option<Value> {
    Some(match (field_type, value) {
        (FieldType::F64, ScalarValue::Float64(Some(value))) => Value::F64(*value),
        (FieldType::I64, ScalarValue::Int64(Some(value))) => Value::I64(*value),
        (FieldType::U64, ScalarValue::UInt64(Some(value))) => Value::U64(*value),
        (FieldType::Bool, ScalarValue::Boolean(Some(value))) => Value::Bool(*value),
        (FieldType::Timestamp, ScalarValue::TimestampNanosecond(Some(value), _)) => {
            Value::Timestamp(*value)
        }
        (FieldType::Utf8, value) => Value::Utf8(text(value)?),
        (
            FieldType::Decimal { precision, scale },
            ScalarValue::Decimal128(Some(units), value_precision, value_scale),
        ) if precision == *value_precision && i8::try_from(scale) == Ok(*value_scale) => {
            Value::Decimal { units: i64::try_from(*units).ok()?, scale }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
