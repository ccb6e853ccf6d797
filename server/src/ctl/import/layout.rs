//! Where a file's columns are: the time, the tags, the fields, by position.

use std::io::Read;
use std::path::Path;

use super::super::{CtlError, CtlResult};
use super::args::{ConstantValue, Settings};
use crate::text::csv::{CsvReader, Header, Record};
use crate::text::input::file_tag;

/// One file's columns.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Columns of the file.
    pub(super) width: usize,
    /// Position of the time.
    pub(super) time: usize,
    /// Tags that are columns: name and position.
    pub(super) tags: Vec<(String, usize)>,
    /// Tags that every row has: name and value.
    pub(super) constants: Vec<(String, String)>,
    /// Fields: name and position, in the file's order.
    pub(super) fields: Vec<(String, usize)>,
}

/// Reads the header, or the first record where there is none, which is then given back to be read as a row.
///
/// # Errors
/// `Csv`, `NotFound` for columns that the file lacks, `Invalid`.
pub(super) fn read_layout<R: Read>(
    reader: &mut CsvReader<R>,
    path: &Path,
    settings: &Settings,
) -> CtlResult<(Layout, Option<Record>)> {
    if settings.has_header {
        let header = Header::read(reader)?;
        return Ok((Layout::of(&header, path, reader.name(), settings)?, None));
    }
    let mut first = Record::new();
    if !reader.read(&mut first)? {
        return Err(CtlError::Invalid(format!("{} is empty: there is no row", reader.name())));
    }
    let header = Header::numbered(first.len());
    Ok((Layout::of(&header, path, reader.name(), settings)?, Some(first)))
}

impl Layout {
    fn of(header: &Header, path: &Path, name: &str, settings: &Settings) -> CtlResult<Self> {
        let find = |column: &str, what: &str| {
            header.position(column).ok_or_else(|| {
                let known = header.names().join(", ");
                CtlError::NotFound(format!(
                    "{name} has no column {column:?} for {what}; there are: {known}"
                ))
            })
        };
        let time = find(&settings.time.column, "the time")?;
        let mut tags = Vec::new();
        for tag in &settings.tag_columns {
            tags.push((tag.clone(), find(tag, "a tag")?));
        }
        let mut constants = Vec::new();
        for (tag, value) in &settings.constants {
            if header.position(tag).is_some_and(|at| at != time) {
                return Err(CtlError::Invalid(format!(
                    "{name} has a column {tag:?} already, so --tag {tag}=... cannot be a tag beside it"
                )));
            }
            constants.push((tag.clone(), constant(value, path, name)?));
        }
        let is_field = |at: usize| at != time && tags.iter().all(|(_, tag)| *tag != at);
        let fields = header.names().iter().enumerate().filter(|(at, _)| is_field(*at));
        let fields = fields.map(|(at, name)| (name.clone(), at)).collect();
        Ok(Self { width: header.width(), time, tags, constants, fields })
    }
}

fn constant(value: &ConstantValue, path: &Path, name: &str) -> CtlResult<String> {
    match value {
        ConstantValue::Literal(text) => Ok(text.clone()),
        ConstantValue::FileName => file_tag(path).map(str::to_owned).ok_or_else(|| {
            CtlError::Invalid(format!("@filename: {name} has no name that could be a tag's value"))
        }),
    }
}
