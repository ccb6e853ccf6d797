//! Where a table's columns are in a file: the time, the tags, the fields, by position.

use std::path::Path;

use super::super::{CtlError, CtlResult};
use super::args::{ConstantValue, Settings};
use super::rows::{Role, SourceColumn, SourceTable};
use crate::text::infer::TextType;
use crate::text::input::file_tag;
use crate::text::time::{TimeFormat, TimeSpec};

/// Names of columns that are the time where none is named and the file has types, in lower case, the likeliest first.
const TIME_NAMES: [&str; 5] = ["time", "ts", "timestamp", "datetime", "date"];

/// A field of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub(super) name: String,
    pub(super) at: usize,
    /// The type that the file says.
    pub(super) given: Option<TextType>,
}

/// One table's columns in one file.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Columns of the file.
    pub(super) width: usize,
    /// Position of the time.
    pub(super) time: usize,
    /// Its name and how it is written.
    pub(super) time_spec: TimeSpec,
    /// Tags that are columns: name and position.
    pub(super) tags: Vec<(String, usize)>,
    /// Tags that every row has: name and value.
    pub(super) constants: Vec<(String, String)>,
    /// Fields, in the file's order.
    pub(super) fields: Vec<Placed>,
}

impl Layout {
    /// The columns of `table` in the file `name`.
    ///
    /// # Errors
    /// `NotFound` for columns that the file lacks, `Invalid`.
    pub(super) fn of(
        table: &SourceTable,
        path: &Path,
        name: &str,
        settings: &Settings,
    ) -> CtlResult<Self> {
        let (time, time_spec) = time(table, name, settings)?;
        if settings.tag_columns.contains(&time_spec.column) {
            let column = &time_spec.column;
            return Err(CtlError::Invalid(format!(
                "{name}: column {column:?} is the time, it cannot be a tag too"
            )));
        }
        let mut tags = Vec::new();
        for tag in &settings.tag_columns {
            tags.push((tag.clone(), find(table, name, tag, "a tag")?));
        }
        let constant = |(tag, value): &(String, ConstantValue)| {
            Ok((tag.clone(), constant_value(value, path, name)?))
        };
        let constants = settings.constants.iter().map(constant).collect::<CtlResult<_>>()?;
        let mut layout = Self { width: 0, time, time_spec, tags, constants, fields: Vec::new() };
        layout.grow(&table.columns, name)?;
        Ok(layout)
    }

    /// Takes in columns that were met since.
    ///
    /// # Errors
    /// `Invalid` for one that is a constant tag too.
    pub(super) fn grow(&mut self, columns: &[SourceColumn], name: &str) -> CtlResult<()> {
        for (at, column) in columns.iter().enumerate().skip(self.width) {
            let column_name = &column.name;
            if at == self.time {
                continue;
            }
            if self.constants.iter().any(|(tag, _)| tag == column_name) {
                return Err(CtlError::Invalid(format!(
                    "{name} has a column {column_name:?} already, so --tag {column_name}=... cannot be a tag beside it"
                )));
            }
            match column.role {
                _ if self.tags.iter().any(|(_, tag)| *tag == at) => {}
                Role::Tag => self.tags.push((column_name.clone(), at)),
                role => {
                    let given = match role {
                        Role::Typed(given) => Some(given),
                        _ => None,
                    };
                    self.fields.push(Placed { name: column_name.clone(), at, given });
                }
            }
        }
        self.width = columns.len();
        Ok(())
    }

    /// Refuses a layout that names columns which no row of the file has.
    ///
    /// # Errors
    /// `NotFound`.
    pub(super) fn check_met(&self, table: &SourceTable, name: &str) -> CtlResult<()> {
        for (tag, at) in &self.tags {
            if table.columns.get(*at).is_some_and(|column| !column.is_met) {
                return Err(missing(table, name, tag, "a tag"));
            }
        }
        Ok(())
    }
}

fn missing(table: &SourceTable, name: &str, column: &str, what: &str) -> CtlError {
    CtlError::NotFound(format!(
        "{name} has no column {column:?} for {what}; there are: {}",
        table.names()
    ))
}

fn find(table: &SourceTable, name: &str, column: &str, what: &str) -> CtlResult<usize> {
    table.position(column).ok_or_else(|| missing(table, name, column, what))
}

/// The position of the time, and how it is written.
fn time(table: &SourceTable, name: &str, settings: &Settings) -> CtlResult<(usize, TimeSpec)> {
    let iso = |column: &str| TimeSpec { column: column.to_owned(), format: TimeFormat::Iso };
    let role = |at: usize| table.columns.get(at).map(|column| column.role);
    if let Some(at) = table.columns.iter().position(|column| column.role == Role::Time) {
        let column = table.columns.get(at).map_or("", |column| column.name.as_str());
        return Ok((at, iso(column)));
    }
    if let Some(spec) = &settings.time {
        let at = find(table, name, &spec.column, "the time")?;
        if matches!(role(at), Some(Role::Typed(TextType::Timestamp(_))))
            && spec.format != TimeFormat::Iso
        {
            return Err(CtlError::Invalid(format!(
                "{name}: column {0:?} holds times already, so it has no unit to choose: write --time {0}",
                spec.column
            )));
        }
        return Ok((at, spec.clone()));
    }
    let is_time =
        |column: &&SourceColumn| matches!(column.role, Role::Typed(TextType::Timestamp(_)));
    let times: Vec<&SourceColumn> = table.columns.iter().filter(is_time).collect();
    let named = TIME_NAMES.iter().find_map(|known| {
        times.iter().copied().find(|column| column.name.to_lowercase() == *known)
    });
    let only = match times.as_slice() {
        [only] => Some(*only),
        _ => None,
    };
    match named.or(only) {
        Some(column) => Ok((find(table, name, &column.name, "the time")?, iso(&column.name))),
        None => Err(CtlError::Invalid(format!(
            "{name}: which column is the time? --time COLUMN, or COLUMN:s, ms, us, ns for numbers; there are: {}",
            table.names()
        ))),
    }
}

fn constant_value(value: &ConstantValue, path: &Path, name: &str) -> CtlResult<String> {
    match value {
        ConstantValue::Literal(text) => Ok(text.clone()),
        ConstantValue::FileName => file_tag(path).map(str::to_owned).ok_or_else(|| {
            CtlError::Invalid(format!("@filename: {name} has no name that could be a tag's value"))
        }),
    }
}
