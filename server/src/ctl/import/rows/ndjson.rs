//! NDJSON: an object a line. Keys become columns as they are met; a key that a line lacks is NULL there.

use std::collections::HashMap;
use std::io::Read;

use super::super::super::CtlResult;
use super::super::cell::{Cell, Row};
use super::super::refusals::Refusal;
use super::{Opening, Role, RowSource, SourceColumn, SourceTable};
use crate::text::csv::Field;
use crate::text::lines::LineReader;
use crate::text::ndjson::{KEY_COUNT_MAX, Object, Scalar};
use crate::text::shown;

/// The source rows of a file.
pub(super) struct NdjsonRows<R> {
    lines: LineReader<R>,
    row: JsonRow,
    positions: HashMap<String, usize>,
    tables: [SourceTable; 1],
    is_settled: bool,
    count: u64,
}

/// One object.
#[derive(Default)]
pub(super) struct JsonRow {
    number: u64,
    object: Object,
    /// For each column the entry that holds its value, if one does.
    entries: Vec<Option<usize>>,
    text_bytes: usize,
}

impl<R: Read> NdjsonRows<R> {
    pub(super) fn open(source: R, opening: &Opening<'_>) -> Self {
        let table = opening.known.first().cloned().unwrap_or_default();
        let positions = table.columns.iter().enumerate();
        Self {
            lines: LineReader::new(source, opening.name),
            row: JsonRow::default(),
            positions: positions.map(|(at, column)| (column.name.clone(), at)).collect(),
            tables: [table],
            is_settled: opening.is_settled,
            count: 0,
        }
    }

    /// Finds the column of each key of the object.
    fn place(&mut self) -> Result<(), Refusal> {
        let [table] = &mut self.tables;
        let row = &mut self.row;
        row.entries.clear();
        row.entries.resize(table.columns.len(), None);
        row.text_bytes = 0;
        for (at, (key, value)) in row.object.entries().enumerate() {
            let text_bytes = match value {
                Scalar::Null => 0,
                Scalar::Bare(text) | Scalar::String(text) => text.len(),
            };
            row.text_bytes += text_bytes;
            // Lines tend to have the same keys in the same order.
            let guess = table.columns.get(at).filter(|column| column.name == key).map(|_| at);
            let column = match guess.or_else(|| self.positions.get(key).copied()) {
                Some(column) => column,
                None => {
                    let refuse =
                        |reason: String| Refusal::at(self.lines.name(), "line", row.number, reason);
                    let shown = shown(key.as_bytes());
                    if self.is_settled {
                        return Err(refuse(format!(
                            "key {shown:?} is in none of the first rows, from which columns are found; \
                             --types {shown}=TYPE names it, and a file is read twice"
                        )));
                    }
                    if table.columns.len() > KEY_COUNT_MAX {
                        return Err(refuse(format!(
                            "key {shown:?} is one over {KEY_COUNT_MAX} different keys of the file"
                        )));
                    }
                    self.positions.insert(key.to_owned(), table.columns.len());
                    let (name, role) = (key.to_owned(), Role::Open);
                    table.columns.push(SourceColumn { name, role, is_met: false });
                    row.entries.push(None);
                    table.columns.len() - 1
                }
            };
            if let Some(entry) = row.entries.get_mut(column) {
                *entry = Some(at);
            }
            if let Some(column) = table.columns.get_mut(column) {
                column.is_met = true;
            }
        }
        Ok(())
    }
}

impl<R: Read> RowSource for NdjsonRows<R> {
    type Row = JsonRow;

    fn tables(&self) -> &[SourceTable] {
        &self.tables
    }

    fn advance(&mut self) -> CtlResult<Option<Result<(), Refusal>>> {
        loop {
            if !self.lines.advance()? {
                return Ok(None);
            }
            if !self.lines.line().trim_ascii().is_empty() {
                break;
            }
        }
        self.count += 1;
        self.row.number = self.lines.number();
        if let Err(error) = self.row.object.read(self.lines.line()) {
            let refusal = Refusal::at(self.lines.name(), "line", self.row.number, error);
            return Ok(Some(Err(refusal)));
        }
        Ok(Some(self.place()))
    }

    fn row(&self) -> &JsonRow {
        &self.row
    }

    fn count(&self) -> u64 {
        self.count
    }
}

impl Row for JsonRow {
    fn number(&self) -> u64 {
        self.number
    }

    fn cell(&self, at: usize) -> Cell<'_> {
        let entry = self.entries.get(at).copied().flatten();
        match entry.and_then(|entry| self.object.entry(entry)) {
            None | Some(Scalar::Null) => Cell::Null,
            Some(Scalar::Bare(text)) => Cell::Text(Field::unquoted(text.as_bytes())),
            Some(Scalar::String(text)) => Cell::String(text),
        }
    }

    fn text_bytes(&self) -> usize {
        self.text_bytes
    }
}
