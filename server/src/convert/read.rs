//! What is to be read: selections of rows, and aggregates.

use chronolith_engine::limits::FIELD_COUNT_MAX;
use chronolith_engine::model::{Comparison, FieldFilter, Predicate, TagFilter, TimeRange, Value};
use chronolith_engine::read::{AggregateFunction, AggregateRequest, Bucket, ScanRequest};
use chronolith_proto::{
    AGGREGATE_COLUMNS_MAX, FIELD_FILTERS_MAX, FILTER_VALUES_MAX, TAG_FILTERS_MAX, v1,
};

use super::{Converted, check_count};
use crate::status;

/// A range of times.
pub(crate) fn time_range(from: Option<v1::TimeRange>) -> TimeRange {
    let from = from.unwrap_or_default();
    let all = TimeRange::ALL;
    TimeRange::new(from.from.unwrap_or(all.from), from.to.unwrap_or(all.to))
}

/// Conditions on tags.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(crate) fn tag_predicate(from: Vec<v1::TagFilter>) -> Converted<Predicate> {
    check_count("conditions on tags", from.len(), TAG_FILTERS_MAX)?;
    let mut predicate = Predicate::all();
    for filter in from {
        check_count("values of a condition", filter.values.len(), FILTER_VALUES_MAX)?;
        let values = filter.values;
        let condition =
            if filter.is_negated { TagFilter::NotIn(values) } else { TagFilter::In(values) };
        predicate.tags.push((filter.tag, condition));
    }
    Ok(predicate)
}

fn field_filter(from: v1::FieldFilter) -> Converted<FieldFilter> {
    use v1::field_filter::Comparison as Sent;
    let comparison = match from.comparison() {
        Sent::Eq => Comparison::Eq,
        Sent::Ne => Comparison::Ne,
        Sent::Lt => Comparison::Lt,
        Sent::Le => Comparison::Le,
        Sent::Gt => Comparison::Gt,
        Sent::Ge => Comparison::Ge,
        Sent::Unspecified => {
            return Err(status::invalid(format!(
                "the condition on field {:?} has no comparison",
                from.field
            )));
        }
    };
    let value = value(&from.field, from.value.and_then(|value| value.value))?;
    Ok(FieldFilter { field: from.field, comparison, value })
}

fn value(field: &str, from: Option<v1::value::Value>) -> Converted<Value> {
    use v1::value::Value as Sent;
    Ok(match from {
        None => Value::Null,
        Some(Sent::F64(value)) => Value::F64(value),
        Some(Sent::I64(value)) => Value::I64(value),
        Some(Sent::U64(value)) => Value::U64(value),
        Some(Sent::Bool(value)) => Value::Bool(value),
        Some(Sent::Utf8(value)) => Value::Utf8(value),
        Some(Sent::Timestamp(value)) => Value::Timestamp(value),
        Some(Sent::Decimal(value)) => match u8::try_from(value.scale) {
            Ok(scale) if scale <= 18 => Value::Decimal { units: value.units, scale },
            _ => {
                return Err(status::invalid(format!(
                    "the condition on field {field:?} has a decimal of scale {}, the limit is 18",
                    value.scale
                )));
            }
        },
    })
}

/// A selection of rows.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(crate) fn scan_request(from: v1::ScanRequest) -> Converted<ScanRequest> {
    check_count("conditions on fields", from.fields.len(), FIELD_FILTERS_MAX)?;
    let mut predicate = tag_predicate(from.tags)?;
    predicate.fields = from.fields.into_iter().map(field_filter).collect::<Converted<_>>()?;
    let columns = from.columns.map(|columns| columns.names);
    check_count("columns", columns.as_ref().map_or(0, Vec::len), FIELD_COUNT_MAX)?;
    Ok(ScanRequest {
        table: from.table,
        predicate,
        range: time_range(from.range),
        columns,
        with_sequence: from.with_sequence,
    })
}

/// An aggregate, and the names of its columns.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(crate) fn aggregate_request(
    from: v1::AggregateRequest,
) -> Converted<(AggregateRequest, Vec<String>)> {
    check_count("aggregates", from.columns.len(), AGGREGATE_COLUMNS_MAX)?;
    let scan = scan_request(from.scan.unwrap_or_default())?;
    let bucket = from.bucket.map(|bucket| {
        let made = Bucket::new(bucket.width_ns);
        Bucket { origin_ns: bucket.origin_ns.unwrap_or(made.origin_ns), ..made }
    });
    let (mut functions, mut names) = (Vec::new(), Vec::new());
    for column in from.columns {
        let (function, word) = aggregate_function(&column)?;
        names.push(match column.name.as_str() {
            "" => format!("{word}({})", column.field),
            name => name.to_owned(),
        });
        functions.push((function, column.field));
    }
    Ok((AggregateRequest { scan, bucket, functions }, names))
}

fn aggregate_function(
    column: &v1::AggregateColumn,
) -> Converted<(AggregateFunction, &'static str)> {
    use AggregateFunction as F;
    use v1::aggregate_column::Function as Sent;
    Ok(match column.function() {
        Sent::Count => (F::Count, "count"),
        Sent::First => (F::First, "first"),
        Sent::Last => (F::Last, "last"),
        Sent::Min => (F::Min, "min"),
        Sent::Max => (F::Max, "max"),
        Sent::Sum => (F::Sum, "sum"),
        Sent::Avg => (F::Avg, "avg"),
        Sent::SumOfRises => (F::SumOfRises, "sum_of_rises"),
        Sent::Unspecified => {
            return Err(status::invalid(format!(
                "the aggregate of field {:?} has no function",
                column.field
            )));
        }
    })
}
