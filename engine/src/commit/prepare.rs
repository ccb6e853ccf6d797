//! Validates a batch against the catalog and turns names into ids: what comes out cannot fail any more.
//! Numeric values are widened where that is exact; columns that are new become changes of the catalog.

use std::collections::HashMap;
use std::sync::Arc;

use super::convert::{self, Refusals};
use crate::catalog::{Catalog, CatalogChange};
use crate::error::{Error, Result};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_ROWS_MAX, METADATA_LEN_BYTES_MAX, PRODUCER_LEN_BYTES_MAX,
};
use crate::model::{
    Batch, FieldValues, Rows, SchemaMode, SeriesKey, TableRows, TableSchema, TagColumn, TagValues,
    check_tag_value,
};
use crate::wal::Record;

/// A row that was left out of its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// The table.
    pub table: String,
    /// The row's position among the batch's rows for that table.
    pub row: u64,
    /// Why.
    pub reason: String,
}

/// A batch that is ready for the log.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What it commits.
    pub record: Record,
    /// The catalog after it.
    pub catalog: Arc<Catalog>,
    /// Rows that were left out.
    pub refused: Vec<RefusedRow>,
}

/// Validates `batch` against `catalog`.
///
/// # Errors
/// `UnknownTable`, `UnknownColumn`, `WrongType`, `OverLimit`, `Invalid`, each naming what and where.
pub(super) fn prepare(batch: Batch, catalog: &Arc<Catalog>) -> Result<Prepared> {
    let total: usize = batch.tables.iter().map(|rows| rows.time.len()).sum();
    over("rows of the batch", total, BATCH_ROWS_MAX, "rows")?;
    let mut target = Target { catalog: Arc::clone(catalog), changes: Vec::new() };
    let mut refused = Vec::new();
    let mut rows = Vec::new();
    let mut counts: HashMap<String, u64> = HashMap::new();
    for table in batch.tables {
        let count = counts.entry(table.table.clone()).or_default();
        let before = std::mem::replace(count, *count + table.time.len() as u64);
        let mut reasons = Refusals::new(batch.invalid_rows, table.time.len());
        let name = table.table.clone();
        rows.extend(prepare_rows(table, &mut target, &mut reasons)?);
        refused.extend(reasons.into_reasons().map(|(row, reason)| RefusedRow {
            table: name.clone(),
            row: before + row,
            reason,
        }));
    }
    let bytes: usize = rows.iter().map(Rows::memory_bytes).sum();
    over("the batch", bytes, BATCH_BYTES_MAX, "bytes")?;
    let record = Record {
        metadata: batch.metadata,
        producer: batch.producer,
        catalog: target.changes,
        rows,
        deletions: Vec::new(),
    };
    Ok(Prepared { record, catalog: target.catalog, refused })
}

/// The catalog as this batch changes it.
struct Target {
    catalog: Arc<Catalog>,
    changes: Vec<CatalogChange>,
}

impl Target {
    fn apply(&mut self, change: CatalogChange) -> Result<()> {
        self.catalog = Arc::new(self.catalog.apply_system(&change)?);
        self.changes.push(change);
        Ok(())
    }

    fn table(&mut self, rows: &TableRows) -> Result<Arc<TableSchema>> {
        if let Some(schema) = self.catalog.find(&rows.table) {
            return Ok(Arc::clone(schema));
        }
        let Some(options) = &rows.create_if_missing else {
            return self.catalog.get(&rows.table).cloned();
        };
        let schema = self.catalog.plan_table(&rows.table, options);
        self.apply(CatalogChange::CreateTable(schema))?;
        self.catalog.get(&rows.table).cloned()
    }

    /// Adds the tags and fields that `rows` brings and the table lacks. Where the table does not take one, the rows that have a value
    /// of it are refused.
    fn columns(
        &mut self,
        schema: Arc<TableSchema>,
        rows: &TableRows,
        refusals: &mut Refusals,
    ) -> Result<Arc<TableSchema>> {
        let mut schema = schema;
        for tag in &rows.tags {
            if schema.tag_position(&tag.name).is_some() || is_absent(tag) {
                continue;
            }
            let is_field = schema.field(&tag.name).is_some();
            let added = refuse_other_kind(&schema, &tag.name, is_field, "tag", "field")
                .and_then(|()| refuse_strict(&schema, &tag.name))
                .and_then(|()| self.apply(CatalogChange::add_tag(&schema, &tag.name)));
            match added {
                Ok(()) => schema = self.catalog.get(&rows.table).cloned()?,
                Err(error) => {
                    let has = |row| !value(tag, row).is_empty();
                    refusals.refuse_all(|_| error, (0..rows.time.len()).map(has))?;
                }
            }
        }
        for field in &rows.fields {
            let empty = field.column.null_count() == field.column.len();
            if schema.field(&field.name).is_some() || empty {
                continue;
            }
            let is_tag = schema.tag_position(&field.name).is_some();
            let change = CatalogChange::add_field(&schema, &field.name, field.field_type);
            let added = refuse_other_kind(&schema, &field.name, is_tag, "field", "tag")
                .and_then(|()| refuse_strict(&schema, &field.name))
                .and_then(|()| self.apply(change));
            match added {
                Ok(()) => schema = self.catalog.get(&rows.table).cloned()?,
                Err(error) => {
                    let has = |row| field.column.is_valid(row);
                    refusals.refuse_all(|_| error, (0..rows.time.len()).map(has))?;
                }
            }
        }
        Ok(schema)
    }
}

fn is_absent(tag: &TagColumn) -> bool {
    match &tag.values {
        TagValues::Constant(value) => value.is_empty(),
        TagValues::Dictionary { values, .. } => values.iter().all(String::is_empty),
    }
}

fn refuse_other_kind(
    schema: &TableSchema,
    name: &str,
    is_other: bool,
    sent: &str,
    known: &str,
) -> Result<()> {
    if !is_other {
        return Ok(());
    }
    Err(Error::WrongType {
        table: schema.name.clone(),
        column: name.into(),
        expected: format!("a {known}"),
        found: format!("sent as a {sent}"),
        row: None,
    })
}

fn refuse_strict(schema: &TableSchema, name: &str) -> Result<()> {
    if schema.mode == SchemaMode::Dynamic {
        return Ok(());
    }
    Err(crate::catalog::unknown_column(schema, name))
}

fn prepare_rows(
    mut rows: TableRows,
    target: &mut Target,
    refusals: &mut Refusals,
) -> Result<Option<Rows>> {
    check_shape(&rows)?;
    let schema = target.table(&rows)?;
    let schema = target.columns(schema, &rows, refusals)?;
    let mut fields = Vec::new();
    for field in std::mem::take(&mut rows.fields) {
        let Some(def) = schema.field(&field.name) else { continue };
        let column = convert::field(&schema, def, field, refusals)?;
        fields.push(FieldValues { id: def.id, field_type: def.field_type, column });
    }
    let (keys, series) = series(&schema, &rows, refusals)?;
    let time = std::mem::take(&mut rows.time);
    let mut rows = Rows { table: schema.id, keys, series, time, fields };
    if let Some(kept) = refusals.kept() {
        rows = convert::keep_rows(&rows, &kept);
    }
    Ok((rows.row_count() > 0).then_some(rows))
}

/// Every column as long as `time`, every name once, every code within its dictionary.
fn check_shape(rows: &TableRows) -> Result<()> {
    let mut names: Vec<&str> = rows.tags.iter().map(|tag| tag.name.as_str()).collect();
    names.extend(rows.fields.iter().map(|field| field.name.as_str()));
    names.sort_unstable();
    if let Some([twice, _]) = names.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(Error::invalid(format!(
            "column {twice:?} of table {:?} is given twice",
            rows.table
        )));
    }
    let wrong_length = |name: &str, found: usize| {
        Err(Error::invalid(format!(
            "column {name:?} of table {:?} has {found} values for {} rows",
            rows.table,
            rows.time.len()
        )))
    };
    for field in &rows.fields {
        if field.column.len() != rows.time.len() {
            return wrong_length(&field.name, field.column.len());
        }
        let wrong = |what: String| {
            let (name, table) = (&field.name, &rows.table);
            Err(Error::invalid(format!("column {name:?} of table {table:?} {what}")))
        };
        if !field.field_type.is_defined() {
            return wrong(format!(
                "has the type {}, which is no type: 1 to 18 digits, at most all after the point",
                field.field_type
            ));
        }
        if !field.column.data.fits(field.field_type) {
            return wrong(format!("is not laid out as {}", field.field_type));
        }
        // The log could not be read back.
        if !field.column.is_well_formed() {
            return wrong(
                "has a validity of another length, or texts that are not UTF-8 between rising offsets"
                    .into(),
            );
        }
    }
    for tag in &rows.tags {
        if let TagValues::Dictionary { codes, values } = &tag.values {
            if codes.len() != rows.time.len() {
                return wrong_length(&tag.name, codes.len());
            }
            if let Some(bad) = codes.iter().find(|code| **code as usize >= values.len()) {
                return Err(Error::invalid(format!(
                    "tag {:?} has code {bad}, its dictionary holds {} values",
                    tag.name,
                    values.len()
                )));
            }
        }
    }
    Ok(())
}

/// Checks what a batch says of itself.
///
/// # Errors
/// `OverLimit`, `Invalid`.
pub(super) fn check_texts(batch: &Batch) -> Result<()> {
    let meta = &batch.metadata;
    for text in [&meta.principal, &meta.source, &meta.event_id, &meta.pipeline_version] {
        over("a text of the commit metadata", text.len(), METADATA_LEN_BYTES_MAX, "bytes")?;
    }
    let Some(producer) = &batch.producer else { return Ok(()) };
    if producer.id.is_empty() || producer.number == 0 {
        return Err(Error::invalid("a producer needs a name and numbers from 1"));
    }
    over("the producer's name", producer.id.len(), PRODUCER_LEN_BYTES_MAX, "bytes")
}

fn over(what: &str, found: usize, limit: usize, unit: &'static str) -> Result<()> {
    if found <= limit {
        return Ok(());
    }
    Err(Error::OverLimit {
        what: what.into(),
        found: found as u64,
        limit: limit as u64,
        unit,
        row: None,
    })
}

/// The distinct series of the rows, and for each row which one it is.
fn series(
    schema: &TableSchema,
    rows: &TableRows,
    refusals: &mut Refusals,
) -> Result<(Vec<SeriesKey>, Vec<u32>)> {
    // Combine the tags pair by pair into dense numbers; `first` holds a row of each combination.
    let mut combined = vec![0_u32; rows.time.len()];
    let mut first: Vec<usize> = vec![0];
    for tag in &rows.tags {
        let TagValues::Dictionary { codes, .. } = &tag.values else { continue };
        let mut known: HashMap<(u32, u32), u32> = HashMap::new();
        first.clear();
        for (row, (number, code)) in combined.iter_mut().zip(codes).enumerate() {
            let next = u32::try_from(first.len()).unwrap_or(u32::MAX);
            *number = *known.entry((*number, *code)).or_insert_with(|| {
                first.push(row);
                next
            });
        }
    }
    let mut keys = Vec::with_capacity(first.len());
    for (number, row) in (0..).zip(first) {
        let values = schema.tags.iter().map(|tag| {
            rows.tags.iter().find(|sent| sent.name == tag.name).map_or("", |sent| value(sent, row))
        });
        match SeriesKey::from_tags(values) {
            Ok(key) => keys.push(key),
            Err(error) => {
                let place = tag_place(schema, rows, row);
                let placed = |row| tag_error(error, &place, row);
                refusals.refuse_all(placed, combined.iter().map(|one| *one == number))?;
                keys.push(SeriesKey::default());
            }
        }
    }
    Ok((keys, combined))
}

/// Which tag of `row` no key takes: one that is wrong by itself, or all of them together.
fn tag_place(schema: &TableSchema, rows: &TableRows, row: usize) -> String {
    let wrong = |sent: &&TagColumn| check_tag_value(value(sent, row)).is_err();
    match rows.tags.iter().find(wrong) {
        Some(tag) => format!("tag {:?} of table {:?}", tag.name, schema.name),
        None => format!("table {:?}", schema.name),
    }
}

fn tag_error(error: Error, place: &str, row: Option<u64>) -> Error {
    match error {
        Error::OverLimit { what, found, limit, unit, .. } => {
            Error::OverLimit { what: format!("{what} of {place}"), found, limit, unit, row }
        }
        Error::Invalid(text) => match row {
            Some(row) => Error::Invalid(format!("{place}, row {row} of the batch: {text}")),
            None => Error::Invalid(format!("{place}: {text}")),
        },
        other => other,
    }
}

fn value(tag: &TagColumn, row: usize) -> &str {
    match &tag.values {
        TagValues::Constant(value) => value,
        TagValues::Dictionary { codes, values } => {
            codes.get(row).and_then(|code| values.get(*code as usize)).map_or("", String::as_str)
        }
    }
}
