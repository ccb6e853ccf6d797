//! From a statement's text to its answer. (In the making: queries only.)

use std::sync::Arc;

use datafusion::sql::parser::{DFParserBuilder, Statement};

use crate::answer::Answer;
use crate::error::{Result, SqlError, SqlErrorKind};
use crate::run::Run;

/// Runs one statement.
pub(crate) async fn execute(run: &Arc<Run>, sql: &str) -> Result<Answer> {
    let plan = run.plan(parse(sql)?).await?;
    run.query(plan).await
}

/// The statements of a script.
pub(crate) fn split(script: &str) -> Vec<&str> {
    vec![script]
}

fn parse(sql: &str) -> Result<Statement> {
    let mut statements = DFParserBuilder::new(sql).build()?.parse_statements()?;
    match (statements.pop_front(), statements.pop_front()) {
        (Some(one), None) => Ok(one),
        _ => Err(SqlError::new(SqlErrorKind::Syntax, "one statement is expected")),
    }
}
