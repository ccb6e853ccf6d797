//! Binds a read to a table's schema: names become ids and positions, constants the columns' types.

use std::sync::Arc;

use super::filter::BoundFilter;
use super::part::ScanPart;
use crate::catalog::unknown_column;
use crate::error::{Error, Result};
use crate::model::{
    ColumnId, FieldDef, FieldType, Predicate, SeriesKey, TableSchema, TagFilter, TimeRange,
};

/// A read of one table.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanRequest {
    /// The table's name.
    pub table: String,
    /// Which rows.
    pub predicate: Predicate,
    /// Which times, `[from, to)`.
    pub range: TimeRange,
    /// The fields to give, by name and in this order; none: every field.
    pub columns: Option<Vec<String>>,
    /// Whether batches carry the rows' sequences.
    pub with_sequence: bool,
}

impl ScanRequest {
    /// Every row and field of `table`.
    #[must_use]
    pub fn new(table: &str) -> Self {
        Self {
            table: table.into(),
            predicate: Predicate::all(),
            range: TimeRange::ALL,
            columns: None,
            with_sequence: false,
        }
    }

    /// Only rows of this predicate.
    #[must_use]
    pub fn predicate(mut self, predicate: Predicate) -> Self {
        self.predicate = predicate;
        self
    }

    /// Only rows of these times.
    #[must_use]
    pub fn range(mut self, range: TimeRange) -> Self {
        self.range = range;
        self
    }

    /// Only these fields.
    #[must_use]
    pub fn columns(mut self, columns: &[&str]) -> Self {
        self.columns = Some(columns.iter().map(|name| (*name).to_owned()).collect());
        self
    }
}

/// A read bound to a schema.
#[derive(Debug, Clone)]
pub struct ScanPlan {
    /// The table.
    pub schema: Arc<TableSchema>,
    /// Conditions on tags, by position.
    pub tags: Vec<(usize, TagFilter)>,
    /// Conditions on fields.
    pub filters: Vec<BoundFilter>,
    /// Which times.
    pub range: TimeRange,
    /// The fields to read: those to give, then those that only filters need.
    pub columns: Vec<FieldDef>,
    /// How many of `columns` are given.
    pub output_count: usize,
    /// Whether batches carry sequences.
    pub with_sequence: bool,
    /// Which series; all after binding.
    pub part: ScanPart,
}

impl ScanPlan {
    /// Binds `request` to `schema`.
    ///
    /// # Errors
    /// `UnknownColumn`; `WrongType` for a constant that the field cannot be compared with; `Invalid`.
    pub fn bind(schema: Arc<TableSchema>, request: &ScanRequest) -> Result<Self> {
        let mut columns = match &request.columns {
            None => schema.fields.clone(),
            Some(names) => {
                let named = names.iter().map(|name| field(&schema, name).cloned());
                named.collect::<Result<Vec<_>>>()?
            }
        };
        let output_count = columns.len();
        let mut filters = Vec::new();
        for filter in &request.predicate.fields {
            let field = field(&schema, &filter.field)?;
            let at = columns.iter().position(|column| column.id == field.id).unwrap_or_else(|| {
                columns.push(field.clone());
                columns.len() - 1
            });
            filters.push(BoundFilter::bind(&schema, field, at, filter)?);
        }
        let tags = bind_tags(&schema, &request.predicate)?;
        Ok(Self {
            tags,
            filters,
            range: request.range,
            columns,
            output_count,
            with_sequence: request.with_sequence,
            part: ScanPart::default(),
            schema,
        })
    }

    /// What readers are asked for.
    #[must_use]
    pub fn read_columns(&self) -> Vec<(ColumnId, FieldType)> {
        self.columns.iter().map(|column| (column.id, column.field_type)).collect()
    }

    /// Whether the series of `key` is one of the part, and its tags satisfy the conditions.
    #[must_use]
    pub fn accepts(&self, key: &SeriesKey) -> bool {
        self.part.holds(key) && accepts(&self.tags, key)
    }
}

/// Whether the tags of `key` satisfy `conditions`, by position.
#[must_use]
pub(super) fn accepts(conditions: &[(usize, TagFilter)], key: &SeriesKey) -> bool {
    conditions.iter().all(|(position, filter)| filter.accepts(key.tag(*position)))
}

/// The conditions on tags, by position.
///
/// # Errors
/// `UnknownColumn`; `Invalid` for a condition on a field.
pub fn bind_tags(schema: &TableSchema, predicate: &Predicate) -> Result<Vec<(usize, TagFilter)>> {
    let bind = |(name, filter): &(String, TagFilter)| match schema.tag_position(name) {
        Some(position) => Ok((position, filter.clone())),
        None if schema.field(name).is_some() => Err(Error::invalid(format!(
            "{name:?} of table {:?} is a field, not a tag: compare it as a field",
            schema.name
        ))),
        None => Err(unknown(schema, name)),
    };
    predicate.tags.iter().map(bind).collect()
}

/// The field `name`.
///
/// # Errors
/// `UnknownColumn`; `Invalid` for a tag.
pub(super) fn field<'a>(schema: &'a TableSchema, name: &str) -> Result<&'a FieldDef> {
    match schema.field(name) {
        Some(field) => Ok(field),
        None if schema.tag_position(name).is_some() => Err(Error::invalid(format!(
            "{name:?} of table {:?} is a tag, not a field",
            schema.name
        ))),
        None => Err(unknown(schema, name)),
    }
}

fn unknown(schema: &TableSchema, name: &str) -> Error {
    if name == "time" {
        return Error::invalid(format!(
            "\"time\" is the time column of table {:?}, neither tag nor field: every batch gives it, and a range selects by it",
            schema.name
        ));
    }
    if !schema.time_name.is_empty() && schema.time_name == name {
        let known = vec![format!("time (which was called {name:?} where it came from)")];
        return Error::UnknownColumn { table: schema.name.clone(), column: name.into(), known };
    }
    unknown_column(schema, name)
}
