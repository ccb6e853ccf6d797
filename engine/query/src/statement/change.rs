//! Statements that change tables.

use std::sync::Arc;

use chronolith_engine::Db;
use chronolith_engine::catalog;
use chronolith_engine::db::NewColumn;
use chronolith_engine::model::TableOptions;
use datafusion::sql::sqlparser::ast::{ColumnDef, ObjectName};

use super::ddl::{self, ColumnType};
use super::parse::CreateTable;
use super::{bind, insert};
use crate::answer::Answer;
use crate::error::{Result, SqlError, SqlErrorKind, Unknown};
use crate::identifier::{self, Found};
use crate::run::Run;

/// Runs a call that waits for the disk where waiting hurts nobody.
pub(super) async fn blocking<T: Send + 'static>(
    run: &Run,
    call: impl FnOnce(&Db) -> chronolith_engine::Result<T> + Send + 'static,
) -> Result<T> {
    run.control().check()?;
    let db = run.db().clone();
    let task = tokio::task::spawn_blocking(move || call(&db));
    let done =
        task.await.map_err(|error| SqlError::internal(format!("a write fell over: {error}")))?;
    Ok(done?)
}

/// The name of a new table.
pub(super) fn new_name(name: &ObjectName) -> Result<String> {
    match identifier::parts(name).as_deref() {
        Some([ident]) => Ok(ident.value.clone()),
        Some([schema, ident]) if schema.value.eq_ignore_ascii_case("public") => {
            Ok(ident.value.clone())
        }
        _ => Err(bind::at(
            SqlError::refused(format!(
                "{name}: tables are made without a schema before their name"
            )),
            name,
        )),
    }
}

/// The table that exists under a name, or under one that differs in case alone.
fn existing(run: &Run, name: &str) -> Option<String> {
    match identifier::find(name, bind::user_names(run.snapshot().catalog())) {
        Found::One(found) => Some(found),
        Found::Several(names) => names.into_iter().next(),
        Found::None => None,
    }
}

pub(super) async fn create_table(run: &Arc<Run>, create: CreateTable) -> Result<Answer> {
    let name = new_name(&create.name)?;
    let options = ddl::table_options(&create)?;
    if let Some(found) = existing(run, &name) {
        if create.if_not_exists {
            return Ok(run.written(None));
        }
        let text = format!("table {found:?} exists already");
        let error = SqlError::from(chronolith_engine::Error::TableExists(found));
        return Err(bind::at(SqlError { message: text, ..error }, &create.name));
    }
    match create.source {
        None => make(run, name, options).await,
        Some(source) => insert::create_as(run, name, options, source).await,
    }
}

pub(super) async fn make(run: &Arc<Run>, name: String, options: TableOptions) -> Result<Answer> {
    blocking(run, move |db| db.create_table(&name, options)).await?;
    Ok(run.written(None))
}

pub(super) async fn drop_table(
    run: &Arc<Run>,
    table: &ObjectName,
    if_exists: bool,
) -> Result<Answer> {
    let name = match bind::user_table(table, run.snapshot().catalog()) {
        Ok(schema) => schema.name.clone(),
        Err(error) if if_exists && error.kind == SqlErrorKind::Unknown(Unknown::Table) => {
            return Ok(run.written(None));
        }
        Err(error) => return Err(error),
    };
    blocking(run, move |db| db.drop_table(&name)).await?;
    Ok(run.written(None))
}

pub(super) async fn add_columns(
    run: &Arc<Run>,
    table: &ObjectName,
    columns: &[(ColumnDef, bool)],
) -> Result<Answer> {
    let schema = bind::user_table(table, run.snapshot().catalog())?;
    let mut new: Vec<NewColumn> = Vec::new();
    for (definition, if_not_exists) in columns {
        let (name, kind) = ddl::column(definition)?;
        let known = schema.column_names();
        let found = identifier::find(&name, known.iter().map(String::as_str));
        if found != Found::None {
            if *if_not_exists {
                continue;
            }
            // Names that differ in case alone would have to be written exactly ever after.
            let text = format!("table {:?} has a column {name:?} already", schema.name);
            return Err(bind::at_span(SqlError::invalid(text), definition.name.span));
        }
        catalog::check_column_name(&name)
            .map_err(|error| bind::at_span(error.into(), definition.name.span))?;
        new.push(match kind {
            ColumnType::Tag => NewColumn::Tag(name),
            ColumnType::Field(field_type) => NewColumn::Field(name, field_type),
        });
    }
    if !new.is_empty() {
        let name = schema.name.clone();
        blocking(run, move |db| db.add_columns(&name, &new)).await?;
    }
    Ok(run.written(None))
}
