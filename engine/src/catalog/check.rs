//! What names and definitions the catalog accepts, from users and from disk alike.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::limits::{FIELD_COUNT_MAX, NAME_LEN_BYTES_MAX, TAG_COUNT_MAX};
use crate::model::{ColumnId, FieldType, TableSchema};

/// Table names that begin so belong to the engine.
pub const SYSTEM_TABLE_PREFIX: &str = "chronolith_";

/// Checks a table's name: not empty, at most [`NAME_LEN_BYTES_MAX`] bytes, no control characters.
///
/// # Errors
/// `Invalid`, `OverLimit`.
pub fn check_table_name(name: &str) -> Result<()> {
    check_name("table", name)
}

/// Checks a tag's or field's name: as a table's, and neither `time` nor beginning with `_`.
///
/// # Errors
/// `Invalid`, `OverLimit`.
pub fn check_column_name(name: &str) -> Result<()> {
    check_name("column", name)?;
    if name == "time" {
        return Err(Error::invalid("\"time\" names the time column, tags and fields need another"));
    }
    if name.starts_with('_') {
        return Err(Error::invalid(format!(
            "column name {name:?} begins with \"_\", which is reserved for columns of the engine"
        )));
    }
    Ok(())
}

fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(format!("a {what} name is empty")));
    }
    check_text(what, name)
}

fn check_text(what: &str, name: &str) -> Result<()> {
    under_limit(&format!("{what} name"), name.len(), NAME_LEN_BYTES_MAX)?;
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(format!("{what} name {name:?} holds a control character")));
    }
    Ok(())
}

/// Refuses a name that belongs to the engine.
pub(super) fn refuse_system_name(name: &str) -> Result<()> {
    if name.starts_with(SYSTEM_TABLE_PREFIX) {
        return Err(Error::invalid(format!(
            "table {name:?}: names that begin with {SYSTEM_TABLE_PREFIX:?} belong to the engine"
        )));
    }
    Ok(())
}

pub(super) fn under_limit(what: &str, found: usize, limit: usize) -> Result<()> {
    if found <= limit {
        return Ok(());
    }
    let unit = if what.ends_with("name") { "bytes" } else { "columns" };
    let (found, limit) = (found as u64, limit as u64);
    Err(Error::OverLimit { what: what.to_owned(), found, limit, unit, row: None })
}

pub(super) fn duplicate(table: &str, column: &str) -> Error {
    Error::invalid(format!("table {table:?} has a column {column:?} already"))
}

pub(super) fn history(history_ns: i64) -> Result<()> {
    if history_ns < 0 {
        return Err(Error::invalid(format!("history is {history_ns} ns, it cannot be negative")));
    }
    Ok(())
}

pub(super) fn field_type(field_type: FieldType) -> Result<()> {
    if field_type.is_defined() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{field_type} is no type: 1 to 18 digits, at most all after the point"
    )))
}

/// Checks that a new column has the next number and a free name.
pub(super) fn next_column(schema: &TableSchema, id: ColumnId, name: &str) -> Result<()> {
    check_column_name(name)?;
    if schema.tag_position(name).is_some() || schema.field(name).is_some() {
        return Err(duplicate(&schema.name, name));
    }
    if id.0 != schema.next_column {
        let (found, next) = (id.0, schema.next_column);
        return Err(Error::Internal(format!("new column has number {found}, next is {next}")));
    }
    if id.0 == u32::MAX {
        return Err(Error::invalid("every column number of the table was used"));
    }
    Ok(())
}

/// Checks a whole table.
pub(super) fn table(schema: &TableSchema) -> Result<()> {
    check_table_name(&schema.name)?;
    check_text("time column", &schema.time_name)?;
    under_limit("tags of a table", schema.tags.len(), TAG_COUNT_MAX)?;
    under_limit("fields of a table", schema.fields.len(), FIELD_COUNT_MAX)?;
    history(schema.history_ns)?;
    let tags = schema.tags.iter().map(|tag| (tag.id, &tag.name));
    let fields = schema.fields.iter().map(|field| (field.id, &field.name));
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    for (id, name) in tags.chain(fields) {
        check_column_name(name)?;
        if !names.insert(name) {
            return Err(duplicate(&schema.name, name));
        }
        if id.0 == 0 || id.0 >= schema.next_column || !ids.insert(id) {
            return Err(Error::Internal(format!("column {name:?} has the bad number {}", id.0)));
        }
    }
    schema.fields.iter().try_for_each(|field| field_type(field.field_type))
}
