//! The tables that take an import's rows, in the order in which files bring them, with what is known of each before its
//! rows are read.

use std::sync::Arc;

use chronolith_engine::model::TableSchema;

use super::super::place::Place;
use super::super::{CtlError, CtlResult};
use super::args::Settings;
use super::plan::Known;
use super::rows::SourceTable;

/// A table that takes rows.
pub(super) struct Target {
    pub(super) name: String,
    /// The table, where it is there already.
    pub(super) existing: Option<Arc<TableSchema>>,
    pub(super) known: Known,
}

/// The tables that were met so far.
pub(super) struct Targets<'a> {
    db: Option<&'a Place>,
    settings: &'a Settings,
    list: Vec<Target>,
}

impl<'a> Targets<'a> {
    /// The table that the settings name, or none yet.
    ///
    /// # Errors
    /// `Conflict`; the client's.
    pub(super) fn new(db: Option<&'a Place>, settings: &'a Settings) -> CtlResult<Self> {
        let mut this = Self { db, settings, list: Vec::new() };
        if let Some(table) = &settings.table {
            this.named(table)?;
        }
        Ok(this)
    }

    /// The table `name`.
    ///
    /// # Errors
    /// `Conflict` with what the settings say; the client's.
    pub(super) fn named(&mut self, name: &str) -> CtlResult<&Target> {
        let at = match self.list.iter().position(|target| target.name == name) {
            Some(at) => at,
            None => {
                let existing = existing_table(self.db, name, self.settings)?;
                let known = Known::new(self.settings, name, existing.as_deref())?;
                self.list.push(Target { name: name.to_owned(), existing, known });
                self.list.len() - 1
            }
        };
        self.list.get(at).ok_or_else(|| CtlError::Failed("a table is lost".to_owned()))
    }

    /// The table that takes the rows of a file's table.
    ///
    /// # Errors
    /// As [`Self::named`].
    pub(super) fn of(&mut self, table: &SourceTable) -> CtlResult<&Target> {
        let settings = self.settings;
        self.named(target_name(settings, table)?)
    }

    /// The first one.
    pub(super) fn first(&self) -> Option<&Target> {
        self.list.first()
    }

    /// All of them.
    pub(super) fn into_list(self) -> Vec<Target> {
        self.list
    }
}

/// The name of the table that takes the rows of a file's table.
///
/// # Errors
/// `Invalid` where neither says it.
pub(super) fn target_name<'a>(
    settings: &'a Settings,
    table: &'a SourceTable,
) -> CtlResult<&'a str> {
    let name = settings.table.as_deref().or(table.name.as_deref());
    name.ok_or_else(|| CtlError::Invalid("which table? --table NAME".to_owned()))
}

fn existing_table(
    db: Option<&Place>,
    name: &str,
    settings: &Settings,
) -> CtlResult<Option<Arc<TableSchema>>> {
    let Some(db) = db else { return Ok(None) };
    let Some(schema) = db.find_table(name)? else { return Ok(None) };
    match settings.merge {
        Some(merge) if merge != schema.merge => Err(CtlError::Conflict(format!(
            "table {:?} has merge mode {}, which is fixed at its creation; --merge says {merge}",
            schema.name, schema.merge
        ))),
        _ => Ok(Some(schema)),
    }
}
