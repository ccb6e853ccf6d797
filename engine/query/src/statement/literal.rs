//! Times in the text of a statement, in the session's time zone. What DataFusion would read as UTC, or refuse because it stops at the
//! hour, becomes the moment that is meant: where a text is compared with a timestamp, and where a text is cast to one.

use arrow::array::timezone::Tz;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::expr::{Between, BinaryExpr, Cast, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator};

use super::time_text;
use crate::convert::UTC;
use crate::error::Result;

type Rewritten = std::result::Result<Transformed<Expr>, DataFusionError>;

/// The plan with its times made exact.
///
/// # Errors
/// `Invalid` for a text that is no time where one is expected.
pub(super) fn in_zone(plan: LogicalPlan, zone: Tz) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let schema = match &node {
            LogicalPlan::TableScan(scan) => DFSchema::clone(&scan.projected_schema),
            other => merge_schema(&other.inputs()),
        };
        let preserver = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let saved = preserver.save(&expr);
            let expr = expr.transform_up(|expr| moment(expr, &schema, zone))?;
            Ok(expr.update_data(|expr| saved.restore(expr)))
        })?;
        // A cast to a time without a zone is now a moment: types above may differ.
        if node.transformed { node.map_data(typed_anew) } else { Ok(node) }
    })?;
    Ok(rewritten.data)
}

/// The node with the types that its expressions have now.
fn typed_anew(node: LogicalPlan) -> datafusion::common::Result<LogicalPlan> {
    match node {
        // Rows written out keep the types that they had, unless they are put together again.
        LogicalPlan::Values(values) => LogicalPlanBuilder::values(values.values)?.build(),
        other => other.recompute_schema(),
    }
}

fn moment(expr: Expr, schema: &DFSchema, zone: Tz) -> Rewritten {
    match expr {
        Expr::Cast(Cast { expr: inner, field }) => match (&*inner, field.data_type()) {
            (Expr::Literal(value, _), DataType::Timestamp(_, _)) if text(value).is_some() => {
                let at = time_text::parse(text(value).unwrap_or_default(), zone)?;
                Ok(Transformed::yes(literal(at)))
            }
            _ => Ok(Transformed::no(Expr::Cast(Cast { expr: inner, field }))),
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
            let (left, right) = match (is_time(&left, schema), is_time(&right, schema)) {
                (true, false) => (Transformed::no(*left), constant(*right, zone)?),
                (false, true) => (constant(*left, zone)?, Transformed::no(*right)),
                _ => (Transformed::no(*left), Transformed::no(*right)),
            };
            let changed = left.transformed || right.transformed;
            let (left, right) = (Box::new(left.data), Box::new(right.data));
            let expr = Expr::BinaryExpr(BinaryExpr { left, op, right });
            Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
        }
        Expr::Between(Between { expr, negated, low, high }) if is_time(&expr, schema) => {
            let (low, high) = (constant(*low, zone)?, constant(*high, zone)?);
            let changed = low.transformed || high.transformed;
            let (low, high) = (Box::new(low.data), Box::new(high.data));
            let expr = Expr::Between(Between { expr, negated, low, high });
            Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
        }
        Expr::InList(InList { expr, list, negated }) if is_time(&expr, schema) => {
            let list = list.into_iter().map(|one| constant(one, zone));
            let list = list.collect::<std::result::Result<Vec<_>, _>>()?;
            let changed = list.iter().any(|one| one.transformed);
            let list = list.into_iter().map(|one| one.data).collect();
            let expr = Expr::InList(InList { expr, list, negated });
            Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
        }
        other => Ok(Transformed::no(other)),
    }
}

fn compares(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn is_time(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Timestamp(..)))
}

/// A text or a date beside a time: the moment that is meant.
fn constant(expr: Expr, zone: Tz) -> Rewritten {
    let at = match &expr {
        Expr::Literal(ScalarValue::Date32(Some(days)), _) => time_text::of_day(*days, zone)?,
        Expr::Literal(value, _) => match text(value) {
            Some(text) => time_text::parse(text, zone)?,
            None => return Ok(Transformed::no(expr)),
        },
        Expr::Cast(Cast { expr: inner, field }) if *field.data_type() == DataType::Date32 => {
            match &**inner {
                Expr::Literal(value, _) if text(value).is_some() => {
                    time_text::parse(text(value).unwrap_or_default(), zone)?
                }
                _ => return Ok(Transformed::no(expr)),
            }
        }
        _ => return Ok(Transformed::no(expr)),
    };
    Ok(Transformed::yes(literal(at)))
}

fn text(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

fn literal(at: i64) -> Expr {
    Expr::Literal(ScalarValue::TimestampNanosecond(Some(at), Some(UTC.into())), None)
}
