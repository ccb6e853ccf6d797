//! A door for the fuzz targets: the gate that a statement passes before anything is planned.

use chronolith_engine::catalog::Catalog;

use super::bind::{FunctionKind, Functions, Known, bind_query};
use super::parse::{self, Statement};
use super::{change, ddl};
use crate::error::Result;
use crate::files::FileTables;

/// One function of each kind, by its first letter.
struct ByLetter;

impl Functions for ByLetter {
    fn kind(&self, name: &str) -> Option<FunctionKind> {
        match name.as_bytes().first()? {
            b'a'..=b'f' => Some(FunctionKind::Scalar),
            b'g'..=b'q' => Some(FunctionKind::Window),
            b'r'..=b'z' => Some(FunctionKind::Aggregate),
            _ => None,
        }
    }

    fn gives_tables(&self, name: &str) -> bool {
        name.starts_with('g')
    }
}

/// Parses a statement, refuses what is not allowed, and makes the names of a query exact. The query as it is planned then.
///
/// # Errors
/// Those of a statement.
pub fn gate(sql: &str, catalog: &Catalog) -> Result<Option<String>> {
    let mut statement = parse::parse(sql)?;
    let _ = statement.writes();
    match &mut statement {
        Statement::Query(query)
        | Statement::Summarize(query)
        | Statement::Explain { query, .. } => {
            let files = FileTables::new(false);
            bind_query(query, Known { catalog, functions: &ByLetter, files: &files })?;
            Ok(Some(query.to_string()))
        }
        Statement::CreateTable(create) => {
            change::new_name(&create.name)?;
            ddl::table_options(create)?;
            Ok(None)
        }
        _ => Ok(None),
    }
}
