//! `DELETE`: its condition becomes tag conditions and one range of times, exactly, or the statement is refused.

use std::sync::Arc;

use chronolith_engine::model::{Predicate, TableSchema, TagFilter, TimeRange};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{self, ObjectName};
use datafusion::sql::sqlparser::parser::Parser;

use super::change::blocking;
use super::dialect::ChronolithDialect;
use super::{bind, plan};
use crate::answer::Answer;
use crate::error::{Result, SqlError};
use crate::identifier::quote;
use crate::pushdown::{Condition, condition};
use crate::run::Run;

pub(super) async fn delete(
    run: &Arc<Run>,
    table: &ObjectName,
    selection: Option<Box<ast::Expr>>,
) -> Result<Answer> {
    let schema = bind::user_table(table, run.snapshot().catalog())?;
    let mut range = TimeRange::ALL;
    let mut predicate = Predicate::all();
    if let Some(selection) = selection {
        let filter = filter(run, &schema.name, *selection).await?;
        for part in split_conjunction(&filter) {
            match exact(schema, part) {
                Some(Condition::Time(times)) => range = range.intersect(&times),
                Some(Condition::Tag(name, filter)) => predicate.tags.push((name, filter)),
                _ if is_true(part) => {}
                _ if is_never(part) => return Ok(run.written(Some(0))),
                _ => return Err(refused(part)),
            }
        }
    }
    let none = |filter: &TagFilter| matches!(filter, TagFilter::In(values) if values.is_empty());
    if range.is_empty() || predicate.tags.iter().any(|(_, filter)| none(filter)) {
        return Ok(run.written(Some(0)));
    }
    let name = schema.name.clone();
    let outcome = blocking(run, move |db| db.delete(&name, &predicate, range)).await?;
    Ok(run.written(outcome.row_count))
}

/// The condition as the planner understands it, with its constants computed.
async fn filter(run: &Run, table: &str, selection: ast::Expr) -> Result<Expr> {
    let sql = format!("SELECT time FROM {}", quote(table));
    let query = Parser::new(&ChronolithDialect)
        .try_with_sql(&sql)
        .and_then(|mut parser| parser.parse_query());
    let mut query = query.map_err(|error| SqlError::internal(error.to_string()))?;
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.selection = Some(selection);
    }
    let plan = plan(run, query).await?;
    let state = run.context().state();
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    let mut found = None;
    plan.apply(|node| {
        if let LogicalPlan::Filter(filter) = node
            && found.is_none()
        {
            found = Some((filter.predicate.clone(), Arc::clone(filter.input.schema())));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let Some((predicate, schema)) = found else {
        return Err(SqlError::internal("a condition without a filter"));
    };
    let context = SimplifyContext::builder().with_schema(schema).with_current_time().build();
    Ok(ExprSimplifier::new(context).simplify(predicate)?)
}

/// What a part of the condition says, where the engine can say exactly the same.
fn exact(schema: &TableSchema, part: &Expr) -> Option<Condition> {
    // Short lists come as an OR of equalities.
    if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) = part {
        return match (exact(schema, left)?, exact(schema, right)?) {
            (Condition::Tag(a, x), Condition::Tag(b, y)) if a == b => {
                Some(Condition::Tag(a, either(x, y)))
            }
            _ => None,
        };
    }
    condition(schema, part).filter(Condition::is_exact)
}

/// The values that one filter accepts, or the other.
fn either(a: TagFilter, b: TagFilter) -> TagFilter {
    use TagFilter::{In, NotIn};
    match (a, b) {
        (In(mut a), In(b)) => {
            a.extend(b);
            In(a)
        }
        (In(present), NotIn(absent)) | (NotIn(absent), In(present)) => {
            NotIn(absent.into_iter().filter(|one| !present.contains(one)).collect())
        }
        (NotIn(a), NotIn(b)) => NotIn(a.into_iter().filter(|one| b.contains(one)).collect()),
    }
}

fn is_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}

/// False, or NULL, which deletes nothing either.
fn is_never(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(false) | None) | ScalarValue::Null, _))
}

fn refused(part: &Expr) -> SqlError {
    SqlError::refused(format!(
        "DELETE selects rows by tags and one range of times, joined by AND; it cannot select by `{part}`: \
         for several ranges write several statements, and single rows are replaced in tables made WITH (merge = 'last_row')"
    ))
}
