//! The engine's values as cells of a result, and scans as rows of one.

use std::io::Write;

use chronolith_engine::model::{Column, ColumnData, FieldDef, FieldType, TableSchema};
use chronolith_engine::read::ScanBatch;

use super::{CtlError, CtlResult};
use crate::text::output::Output;
use crate::text::table::{Cell, ColumnKind, OutColumn, RowFormat, RowWriter};

/// The name of the time column in every result.
pub(super) const TIME_COLUMN: &str = "time";

/// What a field's cells are.
pub(super) fn kind_of(field_type: FieldType) -> ColumnKind {
    match field_type {
        FieldType::F64 => ColumnKind::F64,
        FieldType::I64 => ColumnKind::I64,
        FieldType::U64 => ColumnKind::U64,
        FieldType::Bool => ColumnKind::Bool,
        FieldType::Utf8 => ColumnKind::Text,
        FieldType::Timestamp => ColumnKind::Time,
        FieldType::Decimal { .. } => ColumnKind::Decimal,
    }
}

/// A result column.
pub(super) fn out_column(name: &str, kind: ColumnKind) -> OutColumn {
    OutColumn { name: name.to_owned(), kind }
}

/// Time and the tags of `schema`: the first columns of every result.
pub(super) fn key_columns(schema: &TableSchema) -> Vec<OutColumn> {
    let tags = schema.tags.iter().map(|tag| out_column(&tag.name, ColumnKind::Text));
    std::iter::once(out_column(TIME_COLUMN, ColumnKind::Time)).chain(tags).collect()
}

/// Time, tags and `fields`.
pub(super) fn scan_columns(schema: &TableSchema, fields: &[FieldDef]) -> Vec<OutColumn> {
    let fields = fields.iter().map(|field| out_column(&field.name, kind_of(field.field_type)));
    key_columns(schema).into_iter().chain(fields).collect()
}

/// A tag's value; absent is NULL.
pub(super) fn tag_cell(value: &str) -> Cell<'_> {
    if value.is_empty() { Cell::Null } else { Cell::Text(value) }
}

/// The value of `column` at `row`.
pub(super) fn column_cell(column: &Column, row: usize, field_type: FieldType) -> Cell<'_> {
    if !column.is_valid(row) {
        return Cell::Null;
    }
    let cell = match &column.data {
        ColumnData::F64(values) => values.get(row).map(|value| Cell::F64(*value)),
        ColumnData::U64(values) => values.get(row).map(|value| Cell::U64(*value)),
        ColumnData::Bool(values) => values.get(row).map(Cell::Bool),
        ColumnData::Utf8(values) => values.get(row).map(Cell::Text),
        ColumnData::I64(values) => values.get(row).map(|&value| match field_type {
            FieldType::Timestamp => Cell::Time(value),
            FieldType::Decimal { scale, .. } => Cell::Decimal { scaled: value, scale },
            _ => Cell::I64(value),
        }),
    };
    cell.unwrap_or(Cell::Null)
}

/// Writes the rows of a scan, as time, tags and fields.
///
/// # Errors
/// `Write`.
pub(super) fn write_batch<W: Write>(
    rows: &mut RowWriter<W>,
    batch: &ScanBatch,
    name: &str,
) -> CtlResult<()> {
    let failed = |source| CtlError::Write { name: name.to_owned(), source };
    let mut cells = Vec::new();
    for run in &batch.series {
        for row in run.rows.clone() {
            cells.clear();
            cells.push(Cell::Time(batch.time().get(row).copied().unwrap_or_default()));
            let tags = 0..batch.schema.tags.len();
            cells.extend(tags.map(|position| tag_cell(run.key.tag(position))));
            let columns = batch.rows.fields.iter().zip(batch.fields.iter());
            cells.extend(columns.map(|(column, def)| column_cell(column, row, def.field_type)));
            rows.row(&cells).map_err(failed)?;
        }
    }
    Ok(())
}

/// Writes rows of `columns` to `output` through `fill`, and finishes both.
///
/// # Errors
/// `Write`, `Output`, and those of `fill`.
pub(super) fn write_rows(
    mut output: Output,
    format: RowFormat,
    columns: &[OutColumn],
    fill: impl FnOnce(&mut RowWriter<&mut Output>, &str) -> CtlResult<()>,
) -> CtlResult<()> {
    let name = output.name().to_owned();
    let mut rows = RowWriter::new(format, columns, &mut output);
    fill(&mut rows, &name)?;
    rows.finish().map_err(|source| CtlError::Write { name, source })?;
    Ok(output.finish()?)
}
