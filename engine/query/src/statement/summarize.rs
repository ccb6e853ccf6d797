//! `SUMMARIZE`: figures of every column of a table or a query, a row each.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray, UInt64Array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt64Type};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Column;
use datafusion::functions_aggregate::expr_fn::{approx_distinct, avg, count, max, min};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast as cast_expr, lit};
use datafusion::sql::sqlparser::ast::Query;
use futures::TryStreamExt;

use super::describe::sql_type;
use super::plan;
use crate::answer::Answer;
use crate::error::{Result, SqlError};
use crate::run::Run;

/// Figures a column, in the order of the aggregates.
const FIGURES: usize = 5;

pub(super) async fn summarize(run: &Arc<Run>, query: Box<Query>) -> Result<Answer> {
    let input = plan(run, query).await?;
    let columns: Vec<(Expr, String, DataType)> = input
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let column = Column::new(qualifier.cloned(), field.name());
            (Expr::Column(column), field.name().clone(), field.data_type().clone())
        })
        .collect();
    let mut figures = vec![count(lit(1_i64)).alias("rows")];
    for (at, (column, _, data_type)) in columns.iter().enumerate() {
        let ordered = ordered(column, data_type);
        let null = || lit(datafusion::common::ScalarValue::Utf8(None));
        let each = [
            count(column.clone()),
            ordered.clone().map_or_else(|| max(null()), min),
            ordered.clone().map_or_else(|| max(null()), max),
            distinct(column, data_type).map_or_else(|| max(null()), approx_distinct),
            if is_number(data_type) {
                avg(cast_expr(column.clone(), DataType::Float64))
            } else {
                max(null())
            },
        ];
        figures.extend(
            each.into_iter().enumerate().map(|(figure, expr)| expr.alias(format!("{at}/{figure}"))),
        );
    }
    let none: Vec<Expr> = Vec::new();
    let plan = LogicalPlanBuilder::from(input).aggregate(none, figures)?.build()?;
    let stream = run.stream(plan).await?;
    let schema = stream.schema();
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    let row = concat_batches(&schema, &batches)?;
    let batch = table(&row, &columns, run.time_zone())?;
    Ok(run.rows(batch.schema(), vec![batch]))
}

/// The column where it has a least and a greatest value.
fn ordered(column: &Expr, data_type: &DataType) -> Option<Expr> {
    match data_type {
        DataType::Dictionary(..) => Some(cast_expr(column.clone(), DataType::Utf8)),
        DataType::Boolean
        | DataType::Timestamp(..)
        | DataType::Date32
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View => Some(column.clone()),
        other if is_number(other) => Some(column.clone()),
        _ => None,
    }
}

/// The column in a form whose distinct values can be estimated.
fn distinct(column: &Expr, data_type: &DataType) -> Option<Expr> {
    ordered(column, data_type).map(|_| match data_type {
        DataType::Timestamp(..) => cast_expr(column.clone(), DataType::Int64),
        other if other.is_integer() => column.clone(),
        _ => cast_expr(column.clone(), DataType::Utf8),
    })
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// The one row of figures as a table.
fn table(
    row: &RecordBatch,
    columns: &[(Expr, String, DataType)],
    zone: &str,
) -> Result<RecordBatch> {
    let cell = |place: usize| {
        row.columns().get(place).ok_or_else(|| SqlError::internal("a figure is missing"))
    };
    let rows = cell(0)?.as_primitive::<Int64Type>().value(0);
    let rows = u64::try_from(rows).unwrap_or_default();
    let (mut counts, mut least, mut greatest, mut distinct, mut average) =
        (vec![], vec![], vec![], vec![], vec![]);
    for at in 0..columns.len() {
        let figure = |figure: usize| cell(1 + at * FIGURES + figure);
        let present = figure(0)?.as_primitive::<Int64Type>().value(0);
        counts.push(u64::try_from(present).unwrap_or_default());
        least.push(text(figure(1)?, zone)?);
        greatest.push(text(figure(2)?, zone)?);
        let estimate = cast(figure(3)?, &DataType::UInt64)?;
        let estimate = estimate.as_primitive::<UInt64Type>();
        distinct.push((!estimate.is_null(0)).then(|| estimate.value(0)));
        let mean = cast(figure(4)?, &DataType::Float64)?;
        let mean = mean.as_primitive::<arrow::datatypes::Float64Type>();
        average.push((!mean.is_null(0)).then(|| mean.value(0)));
    }
    let nulls = counts.iter().map(|present| rows.saturating_sub(*present));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("column_name", Arc::new(StringArray::from_iter_values(columns.iter().map(|one| &one.1)))),
        (
            "data_type",
            Arc::new(StringArray::from_iter_values(columns.iter().map(|one| sql_type(&one.2)))),
        ),
        ("count", Arc::new(UInt64Array::from_iter_values(counts.iter().copied()))),
        ("null_count", Arc::new(UInt64Array::from_iter_values(nulls))),
        ("min", Arc::new(StringArray::from(least))),
        ("max", Arc::new(StringArray::from(greatest))),
        ("approx_distinct", Arc::new(UInt64Array::from(distinct))),
        ("avg", Arc::new(Float64Array::from(average))),
    ];
    let fields =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(RecordBatch::try_new(schema, columns.into_iter().map(|(_, array)| array).collect())?)
}

/// The one value of a figure as text; times in the session's zone.
fn text(figure: &ArrayRef, zone: &str) -> Result<Option<String>> {
    let figure = match figure.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            cast(figure, &DataType::Timestamp(*unit, Some(zone.into())))?
        }
        _ => Arc::clone(figure),
    };
    if figure.is_empty() || figure.is_null(0) {
        return Ok(None);
    }
    let formatter = ArrayFormatter::try_new(figure.as_ref(), &FormatOptions::default())?;
    Ok(Some(formatter.value(0).try_to_string()?))
}
