//! Rows out of Arrow batches, of Arrow IPC and of Parquet. Numbers and times go through the conversion that SQL and the
//! server use; texts are read where they lie, as a few bytes of an Arrow batch may stand for very many of text.

use std::collections::HashMap;

use arrow::array::{
    Array, ArrayRef, AsArray, LargeStringArray, RunArray, StringArray, StringViewArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type, RunEndIndexType, SchemaRef};
use arrow::record_batch::RecordBatch;
use chronolith_codec::Bitmap;
use chronolith_engine::model::{Column, ColumnData, FieldType};
use chronolith_query::convert::{field_column, field_type_of};

use super::super::super::{CtlError, CtlResult};
use super::super::cell::{Cell, Row};
use super::super::plan::text_type;
use super::super::refusals::Refusal;
use super::{Role, RowSource, SourceTable};
use crate::contain::contained;
use crate::text::infer::Value;

/// Rows that are converted at a time.
const SLICE_ROWS: usize = 4 << 10;

/// Where batches come from.
pub(super) trait Batches {
    /// The columns.
    fn schema(&self) -> SchemaRef;

    /// The next batch; none at the end.
    ///
    /// # Errors
    /// What ends the file.
    fn next(&mut self) -> CtlResult<Option<RecordBatch>>;
}

/// The rows of batches.
pub(super) struct ColumnRows<B> {
    name: String,
    batches: B,
    tables: [SourceTable; 1],
    /// What is not converted yet.
    rest: Option<RecordBatch>,
    row: ColumnRow,
    /// Rows of the slice that are refused, and why.
    refused: HashMap<usize, String>,
}

/// A row of the slice that is converted.
#[derive(Default)]
pub(super) struct ColumnRow {
    columns: Vec<Cells>,
    row_count: usize,
    /// One more than the row's position in the slice.
    next: usize,
    /// Rows of the file up to this one.
    number: u64,
}

/// A column's values.
enum Cells {
    Nulls,
    Values(Column, FieldType),
    Utf8(StringArray),
    LargeUtf8(LargeStringArray),
    Utf8View(StringViewArray),
    /// Texts behind codes.
    Coded {
        codes: Vec<usize>,
        nulls: Option<NullBuffer>,
        texts: Box<Cells>,
    },
}

impl<B: Batches> ColumnRows<B> {
    /// The rows of the file `name`.
    ///
    /// # Errors
    /// `Invalid` for columns of types that cannot be held, without names, or of one name.
    pub(super) fn open(name: &str, batches: B) -> CtlResult<Self> {
        let schema = batches.schema();
        let mut columns: Vec<(String, Role)> = Vec::new();
        for field in schema.fields() {
            let column = field.name();
            let invalid = |why: &str| CtlError::Invalid(format!("{name}: {why}"));
            if column.is_empty() {
                let at = columns.len() + 1;
                return Err(invalid(&format!("column {at} has no name; give it one")));
            }
            if columns.iter().any(|(known, _)| known == column) {
                return Err(invalid(&format!("two columns are called {column:?}; rename one")));
            }
            let role = role(field.data_type()).ok_or_else(|| {
                invalid(&format!(
                    "column {column:?} is {}, which no column holds: leave it out, or flatten it before",
                    shown_type(field.data_type())
                ))
            })?;
            columns.push((column.clone(), role));
        }
        Ok(Self {
            name: name.to_owned(),
            batches,
            tables: [SourceTable::of(columns.into_iter())],
            rest: None,
            row: ColumnRow::default(),
            refused: HashMap::new(),
        })
    }

    /// Converts the next slice; false at the end.
    fn refill(&mut self) -> CtlResult<bool> {
        loop {
            let batch = match self.rest.take() {
                Some(batch) => batch,
                None => match self.batches.next()? {
                    Some(batch) => batch,
                    None => return Ok(false),
                },
            };
            let count = batch.num_rows().min(SLICE_ROWS);
            if count == 0 {
                continue;
            }
            let (slice, behind) = (batch.slice(0, count), batch.num_rows() - count);
            self.rest = (behind > 0).then(|| batch.slice(count, behind));
            let number = self.row.number;
            self.refused.clear();
            let refused = &mut self.refused;
            let converted = contained(|| cells_of(&slice, number, refused));
            let converted =
                converted.unwrap_or_else(|why| Err(format!("it contradicts itself: {why}")));
            let columns = converted.map_err(|why| {
                CtlError::Invalid(format!("{}, behind row {number}: {why}", self.name))
            })?;
            self.row = ColumnRow { columns, row_count: count, next: 0, number };
            return Ok(true);
        }
    }
}

impl<B: Batches> RowSource for ColumnRows<B> {
    type Row = ColumnRow;

    fn tables(&self) -> &[SourceTable] {
        &self.tables
    }

    fn advance(&mut self) -> CtlResult<Option<Result<(), Refusal>>> {
        if self.row.next == self.row.row_count && !self.refill()? {
            return Ok(None);
        }
        let at = self.row.next;
        self.row.next += 1;
        self.row.number += 1;
        if !self.refused.is_empty()
            && let Some(why) = self.refused.get(&at)
        {
            return Ok(Some(Err(Refusal::at(&self.name, "row", self.row.number, why))));
        }
        Ok(Some(Ok(())))
    }

    fn row(&self) -> &ColumnRow {
        &self.row
    }

    fn count(&self) -> u64 {
        self.row.number
    }
}

impl Row for ColumnRow {
    fn number(&self) -> u64 {
        self.number
    }

    fn cell(&self, at: usize) -> Cell<'_> {
        match (self.columns.get(at), self.next.checked_sub(1)) {
            (Some(column), Some(row)) => column.cell(row),
            _ => Cell::Null,
        }
    }

    fn text_bytes(&self) -> usize {
        let bytes = |cell| match cell {
            Cell::Value(Value::Utf8(text)) => text.len(),
            _ => 0,
        };
        let texts = self.columns.iter().filter(|column| !matches!(column, Cells::Values(..)));
        texts.map(|column| bytes(column.cell(self.next.saturating_sub(1)))).sum()
    }
}

fn role(data_type: &DataType) -> Option<Role> {
    if *data_type == DataType::Null {
        return Some(Role::Open);
    }
    field_type_of(data_type).map(|field_type| Role::Typed(text_type(field_type)))
}

/// A type for a message: of a nested one only what it is.
fn shown_type(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => "a list",
        DataType::FixedSizeList(..) => "a list",
        DataType::Struct(_) => "a struct",
        DataType::Map(..) => "a map",
        DataType::Union(..) => "a union",
        other => {
            let text = other.to_string();
            return crate::text::shown(text.as_bytes());
        }
    };
    name.to_owned()
}

/// The values of each column; `refused` gets the rows that cannot be held, by their position in the slice.
fn cells_of(
    slice: &RecordBatch,
    before: u64,
    refused: &mut HashMap<usize, String>,
) -> Result<Vec<Cells>, String> {
    let mut columns = Vec::with_capacity(slice.num_columns());
    for (field, array) in slice.schema_ref().fields().iter().zip(slice.columns()) {
        columns.push(cells(field.name(), array, before, refused)?);
    }
    Ok(columns)
}

fn cells(
    name: &str,
    array: &ArrayRef,
    before: u64,
    refused: &mut HashMap<usize, String>,
) -> Result<Cells, String> {
    if let Some(texts) = texts(array)? {
        return Ok(texts);
    }
    if *array.data_type() == DataType::Null {
        return Ok(Cells::Nulls);
    }
    let field = field_column(name, array, &mut |row, error| {
        // The conversion counts from the slice's first row, people from the file's, and from 1.
        let there = format!(" in row {row}");
        let here = format!(" in row {}", before + row as u64 + 1);
        refused.entry(row).or_insert_with(|| error.message.replace(&there, &here));
        Ok(())
    });
    let field = field.map_err(|error| error.message)?;
    Ok(Cells::Values(field.column, field.field_type))
}

/// Texts, plain or behind codes; none where the column holds something else.
fn texts(array: &ArrayRef) -> Result<Option<Cells>, String> {
    Ok(Some(match array.data_type() {
        DataType::Utf8 => Cells::Utf8(array.as_string::<i32>().clone()),
        DataType::LargeUtf8 => Cells::LargeUtf8(array.as_string::<i64>().clone()),
        DataType::Utf8View => Cells::Utf8View(array.as_string_view().clone()),
        DataType::Dictionary(_, _) => {
            let coded = array.as_any_dictionary();
            let Some(texts) = texts(coded.values())? else { return Ok(None) };
            let nulls = coded.nulls().cloned();
            let codes = match coded.values().is_empty() {
                // Every code is of a NULL then.
                true => vec![0; array.len()],
                false => coded.normalized_keys(),
            };
            Cells::Coded { codes, nulls, texts: Box::new(texts) }
        }
        DataType::RunEndEncoded(ends, _) => match ends.data_type() {
            DataType::Int16 => return runs::<Int16Type>(array),
            DataType::Int32 => return runs::<Int32Type>(array),
            _ => return runs::<Int64Type>(array),
        },
        _ => return Ok(None),
    }))
}

fn runs<R: RunEndIndexType>(array: &ArrayRef) -> Result<Option<Cells>, String> {
    let Some(runs) = array.as_any().downcast_ref::<RunArray<R>>() else { return Ok(None) };
    let Some(texts) = texts(runs.values())? else { return Ok(None) };
    let codes = (0..array.len()).map(|row| runs.get_physical_index(row)).collect();
    Ok(Some(Cells::Coded { codes, nulls: None, texts: Box::new(texts) }))
}

impl Cells {
    #[inline]
    fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Nulls => Cell::Null,
            Self::Values(column, field_type) => value(column, *field_type, row),
            Self::Utf8(texts) => text(texts, row, |row| texts.value(row)),
            Self::LargeUtf8(texts) => text(texts, row, |row| texts.value(row)),
            Self::Utf8View(texts) => text(texts, row, |row| texts.value(row)),
            Self::Coded { codes, nulls, texts } => match codes.get(row) {
                Some(code) if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) => {
                    texts.cell(*code)
                }
                _ => Cell::Null,
            },
        }
    }
}

fn text<'a>(array: &dyn Array, row: usize, value: impl FnOnce(usize) -> &'a str) -> Cell<'a> {
    if row >= array.len() || array.is_null(row) {
        return Cell::Null;
    }
    Cell::Value(Value::Utf8(value(row)))
}

fn value(column: &Column, field_type: FieldType, row: usize) -> Cell<'static> {
    let is_null = |validity: &Bitmap| validity.get(row) == Some(false);
    if column.validity.as_ref().is_some_and(is_null) {
        return Cell::Null;
    }
    let value = match (&column.data, field_type) {
        (ColumnData::F64(values), _) => values.get(row).copied().map(Value::F64),
        (ColumnData::I64(values), FieldType::Timestamp) => {
            values.get(row).copied().map(Value::Timestamp)
        }
        (ColumnData::I64(values), FieldType::Decimal { .. }) => {
            values.get(row).copied().map(Value::Decimal)
        }
        (ColumnData::I64(values), _) => values.get(row).copied().map(Value::I64),
        (ColumnData::U64(values), _) => values.get(row).copied().map(Value::U64),
        (ColumnData::Bool(values), _) => values.get(row).map(Value::Bool),
        (ColumnData::Utf8(_), _) => None,
    };
    value.map_or(Cell::Null, Cell::Value)
}
