//! From a statement's text to its answer: parse, look whether it is allowed, make its names exact, plan, run. Statements that write
//! become batches and changes of the engine; nothing is kept by DataFusion.

mod bind;
mod change;
mod ddl;
mod delete;
mod depth;
mod describe;
mod dialect;
pub(crate) mod duration;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod habits;
mod insert;
mod literal;
mod parse;
mod summarize;
#[cfg(test)]
mod tests;
mod text;
mod time_text;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampNanosecondType};
use arrow::record_batch::RecordBatch;
use chronolith_engine::model::TableOptions;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement as Planned;
use datafusion::sql::sqlparser::ast::{self, Query};
use futures::StreamExt;

use self::bind::{FunctionKind, Functions, Known};
use self::parse::Statement;
use crate::answer::Answer;
use crate::convert::timestamp_type;
use crate::error::{Result, SqlError};
use crate::run::Run;
use crate::session::Writes;

pub use ddl::show_create;
pub(crate) use ddl::type_name;
pub(crate) use text::split;
pub use text::{caret, written_name};

/// Whether the statement writes, so that it needs a database that is open for writing. Text that is no statement does not.
#[must_use]
pub fn writes(sql: &str) -> bool {
    parse::parse(sql).is_ok_and(|statement| statement.writes())
}

/// The table that a `CREATE TABLE` describes: its name, spelled as it is there, and its properties. Nothing is made.
///
/// # Errors
/// `Syntax`; `Invalid` and `Refused` for another statement, and for `CREATE TABLE ... AS`.
pub fn definition(sql: &str) -> Result<(String, TableOptions)> {
    match parse::parse(sql)? {
        Statement::CreateTable(create) if create.source.is_none() => {
            Ok((change::new_name(&create.name)?, ddl::table_options(&create)?))
        }
        _ => Err(SqlError::invalid("CREATE TABLE with its columns is expected")),
    }
}

/// Runs one statement.
pub(crate) async fn execute(run: &Arc<Run>, sql: &str) -> Result<Answer> {
    let statement = parse::parse(sql)?;
    if statement.writes() {
        check_writable(run)?;
    }
    match statement {
        Statement::Query(query) => {
            let plan = plan(run, query).await?;
            answer(run, plan).await
        }
        Statement::Explain { analyze, verbose, query } => {
            let plan = plan(run, query).await?;
            let plan = LogicalPlanBuilder::from(plan).explain(verbose, analyze)?.build()?;
            run.query(plan).await
        }
        Statement::CreateTable(create) => change::create_table(run, create).await,
        Statement::AddColumns { table, columns } => {
            change::add_columns(run, &table, &columns).await
        }
        Statement::DropTable { table, if_exists } => {
            change::drop_table(run, &table, if_exists).await
        }
        Statement::Insert { table, columns, source } => {
            insert::insert(run, &table, columns, source).await
        }
        Statement::Delete { table, condition } => delete::delete(run, &table, condition).await,
        Statement::Describe { table } => describe::describe(run, &table),
        Statement::ShowTables => describe::show_tables(run),
        Statement::ShowCreateTable { table } => describe::show_create_table(run, &table),
        Statement::Summarize(query) => summarize::summarize(run, query).await,
        Statement::SetTimeZone(zone) => set_time_zone(run, zone.as_deref().unwrap_or("UTC")),
    }
}

fn check_writable(run: &Run) -> Result<()> {
    if let Writes::Refuse(reason) = &run.engine().options().writes {
        return Err(SqlError::refused(format!("this statement writes: {reason}")));
    }
    if run.db().is_writable() {
        return Ok(());
    }
    Err(SqlError::refused(
        "this statement writes, and the database is open for reading: open it for writing",
    ))
}

/// What a user's statement may name.
struct Registry<'a>(&'a SessionState);

impl Functions for Registry<'_> {
    fn kind(&self, name: &str) -> Option<FunctionKind> {
        let state = self.0;
        if state.aggregate_functions().contains_key(name) {
            Some(FunctionKind::Aggregate)
        } else if state.scalar_functions().contains_key(name) || state.udf(name).is_ok() {
            Some(FunctionKind::Scalar)
        } else if state.window_functions().contains_key(name) {
            Some(FunctionKind::Window)
        } else {
            None
        }
    }

    fn gives_tables(&self, name: &str) -> bool {
        self.0.table_functions().contains_key(name)
    }
}

/// Makes the names of a query exact, plans it, and reads its times in the session's zone.
async fn plan(run: &Run, mut query: Box<Query>) -> Result<LogicalPlan> {
    let state = run.context().state();
    let registry = Registry(&state);
    let known =
        Known { catalog: run.snapshot().catalog(), functions: &registry, files: run.files() };
    bind::bind_query(&mut query, known)?;
    let zone = time_text::zone(run.time_zone())?;
    let plan = run.plan(Planned::Statement(Box::new(ast::Statement::Query(query)))).await?;
    literal::in_zone(plan, zone)
}

/// Runs a query; its times are shown in the session's zone.
async fn answer(run: &Arc<Run>, plan: LogicalPlan) -> Result<Answer> {
    let answer = run.query(plan).await?;
    if run.time_zone() == crate::convert::UTC {
        return Ok(answer);
    }
    let schema = in_zone(&answer.schema, run.time_zone());
    let shown = Arc::clone(&schema);
    let stream =
        answer.into_stream().map(move |batch| batch.and_then(|batch| show(&batch, &shown)));
    Ok(Answer::new(schema, run.engine().database_id(), run.snapshot(), None, stream.boxed()))
}

fn in_zone(schema: &SchemaRef, zone: &str) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        if *field.data_type() != timestamp_type() {
            return Field::clone(field);
        }
        let shown = DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, Some(zone.into()));
        field.as_ref().clone().with_data_type(shown)
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// The same moments under another zone's name.
fn show(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        match field.data_type() {
            DataType::Timestamp(_, Some(zone)) if column.data_type() != field.data_type() => {
                let times = column.as_primitive::<TimestampNanosecondType>().clone();
                Arc::new(times.with_timezone(Arc::clone(zone))) as ArrayRef
            }
            _ => Arc::clone(column),
        }
    });
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect())?)
}

fn set_time_zone(run: &Run, zone: &str) -> Result<Answer> {
    time_text::zone(zone)?;
    run.set_time_zone(zone);
    Ok(run.written(None))
}
