//! The binder: walks a parsed query once, lets through only what is planned as it is written, and makes every name exact. Whatever
//! the planner would drop without a word is refused here; every field of every node is taken apart by name, so that what a later
//! parser adds does not compile until somebody has looked at it. The rule for names: docs/SQL.md, "Names".

mod expression;
pub(crate) mod file;
mod from;
mod query;
mod scope;
#[cfg(test)]
mod tests;

use chronolith_engine::catalog::{Catalog, SYSTEM_TABLE_PREFIX};
use chronolith_engine::model::TableSchema;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query, Spanned};
use datafusion::sql::sqlparser::tokenizer::Span;

use self::scope::{Columns, Scope};
use crate::convert::SEQUENCE;
use crate::error::{Result, SqlError, SqlErrorKind, Unknown};
use crate::files::FileTables;
use crate::identifier::{self, Found};
use crate::system;

/// What a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FunctionKind {
    /// One value from one row.
    Scalar,
    /// One value from many rows, or in a window.
    Aggregate,
    /// Only in a window.
    Window,
}

/// The functions that exist; names come in lower case.
pub(crate) trait Functions {
    /// What the function `name` is; none where it does not exist.
    fn kind(&self, name: &str) -> Option<FunctionKind>;

    /// Whether `name` may stand in `FROM`.
    fn gives_tables(&self, name: &str) -> bool;
}

/// What statements may name.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    /// The users' tables.
    pub catalog: &'a Catalog,
    /// The functions.
    pub functions: &'a (dyn Functions + Sync),
    /// The files that the statement reads.
    pub files: &'a FileTables,
}

/// Makes the names of a query exact, and refuses what would not be planned as written.
///
/// # Errors
/// `Refused`, `Unknown`, `Ambiguous`, each with the place in the text.
pub(crate) fn bind_query(query: &mut Query, known: Known<'_>) -> Result<()> {
    Binder { known, scopes: Vec::new(), ctes: Vec::new(), windows: Vec::new() }
        .query(query)
        .map(|_| ())
}

/// The users' table that `name` means.
///
/// # Errors
/// `Unknown(Table)` with the nearest names, `Ambiguous` with those that fit; `Refused` for a name with a schema.
pub(crate) fn user_table<'a>(name: &ObjectName, catalog: &'a Catalog) -> Result<&'a TableSchema> {
    let ident = match identifier::parts(name).as_deref() {
        Some([ident]) => *ident,
        Some([schema, ident]) if schema.value.eq_ignore_ascii_case("public") => *ident,
        _ => {
            return Err(at(
                SqlError::refused(format!("{name} is no table of this database")),
                name,
            ));
        }
    };
    match identifier::find(&ident.value, user_names(catalog)) {
        Found::One(found) => Ok(catalog.get(&found)?),
        Found::Several(names) => Err(ambiguous("table", ident, &names)),
        Found::None => Err(unknown(Unknown::Table, "table", ident, user_names(catalog))),
    }
}

pub(crate) fn user_names(catalog: &Catalog) -> impl Iterator<Item = &str> {
    catalog.names().filter(|name| !name.starts_with(SYSTEM_TABLE_PREFIX))
}

/// The columns of a users' table, the commit counter included.
pub(crate) fn columns_of(schema: &TableSchema) -> Columns {
    let mut names = schema.column_names();
    names.push(SEQUENCE.to_owned());
    Columns { names, open: false, time_name: schema.time_name.clone() }
}

/// One query's walk.
struct Binder<'a> {
    known: Known<'a>,
    /// What is visible, outermost query first.
    scopes: Vec<Scope>,
    /// The queries named by `WITH`, outermost first.
    ctes: Vec<(String, Columns)>,
    /// For each `SELECT` that is being walked, the names of its windows.
    windows: Vec<Vec<String>>,
}

impl Binder<'_> {
    /// The relation that `name` means, exact from here on, and its columns.
    fn table(&self, name: &mut ObjectName) -> Result<Columns> {
        let Some(parts) = identifier::parts(name) else {
            return Err(at(SqlError::refused(format!("{name} is no table")), name));
        };
        let (schema, ident) = match parts.as_slice() {
            [ident] => (None, *ident),
            [schema, ident] => (Some(schema.value.to_lowercase()), *ident),
            _ => {
                let text = format!("{name}: tables are named `table` or `system.table`");
                return Err(at(SqlError::refused(text), name));
            }
        };
        let (found, columns) = match schema.as_deref() {
            None => match self.cte(&ident.value) {
                Some(found) => found,
                None => self.user(ident)?,
            },
            Some("public") => self.user(ident)?,
            Some("system") => {
                let names = || system::tables().iter().map(|table| table.name);
                match identifier::find(&ident.value, names()) {
                    Found::One(found) => {
                        let columns = system::columns_of(&found);
                        (found, Columns::closed(columns))
                    }
                    _ => return Err(unknown(Unknown::Table, "table system.", ident, names())),
                }
            }
            Some(other) => {
                let text = format!("unknown schema {other:?}; there are: public, system");
                return Err(at(SqlError::new(SqlErrorKind::Unknown(Unknown::Table), text), name));
            }
        };
        let mut idents = name.0.iter_mut().filter_map(|part| match part {
            datafusion::sql::sqlparser::ast::ObjectNamePart::Identifier(ident) => Some(ident),
            datafusion::sql::sqlparser::ast::ObjectNamePart::Function(_) => None,
        });
        if let (Some(schema), Some(first)) = (schema, idents.next()) {
            match idents.next() {
                Some(second) => {
                    identifier::set(first, &schema);
                    identifier::set(second, &found);
                }
                None => identifier::set(first, &found),
            }
        } else if let Some(datafusion::sql::sqlparser::ast::ObjectNamePart::Identifier(only)) =
            name.0.first_mut()
        {
            identifier::set(only, &found);
        }
        Ok(columns)
    }

    /// The query of `WITH` that is named so; the innermost one wins, and one of them wins over a table.
    fn cte(&self, typed: &str) -> Option<(String, Columns)> {
        let newest = || self.ctes.iter().rev();
        let exact = newest().find(|(name, _)| name == typed);
        let folded = typed.to_lowercase();
        exact.or_else(|| newest().find(|(name, _)| name.to_lowercase() == folded)).cloned()
    }

    fn user(&self, ident: &Ident) -> Result<(String, Columns)> {
        let catalog = self.known.catalog;
        let names = user_names(catalog).chain(self.ctes.iter().map(|(name, _)| name.as_str()));
        match identifier::find(&ident.value, user_names(catalog)) {
            Found::One(found) => {
                let columns = columns_of(catalog.get(&found)?);
                Ok((found, columns))
            }
            Found::Several(names) => Err(ambiguous("table", ident, &names)),
            Found::None => Err(unknown(Unknown::Table, "table", ident, names)),
        }
    }
}

/// The error for syntax that is understood and not planned.
fn refuse<T>(what: impl Into<String>, place: &impl Spanned) -> Result<T> {
    Err(at(SqlError::refused(what), place))
}

/// Refuses where `present`.
fn refuse_if(present: bool, what: &str, place: &impl Spanned) -> Result<()> {
    if present { refuse(what, place) } else { Ok(()) }
}

/// The error at the place of a node.
pub(crate) fn at(error: SqlError, place: &impl Spanned) -> SqlError {
    at_span(error, place.span())
}

pub(crate) fn at_span(error: SqlError, span: Span) -> SqlError {
    error.at(span.start.line, span.start.column)
}

pub(crate) fn unknown<'a>(
    kind: Unknown,
    what: &str,
    ident: &Ident,
    names: impl Iterator<Item = &'a str>,
) -> SqlError {
    let known = identifier::nearest(&ident.value, names);
    let hint = match known.as_slice() {
        [] => String::new(),
        some => format!("; there are: {}", some.join(", ")),
    };
    let separator = if what.ends_with('.') { "" } else { " " };
    let text = format!("unknown {what}{separator}{:?}{hint}", ident.value);
    at_span(SqlError::new(SqlErrorKind::Unknown(kind), text), ident.span)
}

pub(crate) fn ambiguous(what: &str, ident: &Ident, names: &[String]) -> SqlError {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    let text = format!(
        "{what} {:?} may be {}: write the one that is meant with its capitals",
        ident.value,
        names.join(" or ")
    );
    at_span(SqlError::new(SqlErrorKind::Ambiguous, text), ident.span)
}
