//! The system table of imports: one row an import, replaced with each chunk, in the chunk's own batch
//! (docs/decisions/0010-idempotence.md). Import producers live here and in no checkpoint.

use crate::catalog::{Catalog, CatalogChange};
use crate::error::{Error, Result};
use crate::model::{
    Batch, FieldType, FieldValues, ImportMark, ImportProgress, MergeMode, Predicate, RowBuilder,
    Rows, SchemaMode, TableOptions, Value,
};
use crate::planted::{Bug, is_on};
use crate::read::ScanRequest;
use crate::snapshot::Snapshot;

/// The system table.
pub const IMPORTS_TABLE: &str = "chronolith_imports";
/// How the names of import producers begin.
pub const IMPORT_PREFIX: &str = "import:";

const FIELDS: [(&str, FieldType); 6] = [
    ("chunk", FieldType::U64),
    ("file", FieldType::Utf8),
    ("rows", FieldType::U64),
    ("source_rows", FieldType::U64),
    ("finished", FieldType::Bool),
    ("at", FieldType::Timestamp),
];

fn options() -> TableOptions {
    TableOptions {
        tags: vec!["producer".into()],
        fields: FIELDS.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
        merge: MergeMode::LastRow,
        mode: SchemaMode::Strict,
        // Only the last row of an import is ever asked for.
        history_ns: Some(0),
        time_name: String::new(),
    }
}

/// Checks that a batch under an import's name carries its mark: nothing else would remember its number.
///
/// # Errors
/// `Invalid`.
pub(super) fn check(batch: &Batch) -> Result<()> {
    match &batch.producer {
        Some(producer) if batch.import.is_none() && producer.id.starts_with(IMPORT_PREFIX) => {
            Err(Error::invalid(format!(
                "producer {:?}: names that begin with {IMPORT_PREFIX:?} belong to imports, whose batches carry a mark",
                producer.id
            )))
        }
        _ => Ok(()),
    }
}

/// Adds the row that notes this chunk to its batch.
pub(super) fn note(batch: &mut Batch, now_ns: i64) -> Result<()> {
    let (Some(mark), Some(producer)) = (batch.import.take(), &batch.producer) else {
        return Ok(());
    };
    if is_on(Bug::LoseImportMark) {
        return Ok(());
    }
    let fields = [
        ("chunk", Value::U64(producer.number)),
        ("file", Value::Utf8(mark.file)),
        ("rows", Value::U64(mark.row_count)),
        ("source_rows", Value::U64(mark.source_row_count)),
        ("finished", Value::Bool(mark.finished)),
        ("at", Value::Timestamp(now_ns)),
    ];
    let row = RowBuilder::new(IMPORTS_TABLE)
        .create_if_missing(options())
        .row(0, &[("producer", &producer.id)], &fields)
        .build()?;
    batch.tables.push(row);
    Ok(())
}

/// The change that makes the system table, where `rows` are of it and the commit that made it was lost: how it looks is known.
#[must_use]
pub fn imports_table(catalog: &Catalog, rows: &[Rows]) -> Option<CatalogChange> {
    let schema = catalog.plan_table(IMPORTS_TABLE, &options());
    let is_field = |field: &FieldValues| {
        schema.fields.iter().any(|one| one.id == field.id && one.field_type == field.field_type)
    };
    let fits = |rows: &&Rows| {
        rows.table == schema.id
            && rows.fields.len() == FIELDS.len()
            && rows.fields.iter().all(is_field)
            && rows.keys.iter().all(|key| key.tag(0).starts_with(IMPORT_PREFIX))
    };
    let is_there = catalog.find(IMPORTS_TABLE).is_some();
    let found = rows.iter().find(fits).filter(|_| !is_there).is_some();
    found.then(|| CatalogChange::CreateTable(schema.clone()))
}

/// How far the import `producer` has come; none where it has not begun.
///
/// # Errors
/// As reads have.
pub fn progress(snapshot: &Snapshot, producer: &str) -> Result<Option<ImportProgress>> {
    if snapshot.catalog().find(IMPORTS_TABLE).is_none() {
        return Ok(None);
    }
    let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    let request = ScanRequest::new(IMPORTS_TABLE)
        .predicate(Predicate::tag("producer", producer))
        .columns(&names);
    let last = snapshot.latest(&request)?;
    if last.row_count() == 0 {
        return Ok(None);
    }
    let count = |field: usize| match last.value(field, 0) {
        Value::U64(value) => value,
        _ => 0,
    };
    let file = match last.value(1, 0) {
        Value::Utf8(file) => file,
        _ => String::new(),
    };
    let commit_time_ns = match last.value(5, 0) {
        Value::Timestamp(at) => at,
        _ => 0,
    };
    Ok(Some(ImportProgress {
        chunk: count(0),
        mark: ImportMark {
            file,
            row_count: count(2),
            source_row_count: count(3),
            finished: last.value(4, 0) == Value::Bool(true),
        },
        commit_time_ns,
    }))
}
