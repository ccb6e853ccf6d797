//! Result rows as an aligned table, CSV or JSON, to any writer.
//! Times are ISO-8601 UTC, numbers the shortest that read back equal, decimals of their
//! scale, in every format.

mod aligned;
mod json;

use super::csv::{Delimiter, push_text};
use super::number::{push_decimal, push_f64, push_i64, push_u64};
use super::time::push_utc;
use aligned::Aligned;
use std::fmt;
use std::io::{self, Write};

pub use aligned::{ALIGNED_BYTES_MAX, ALIGNED_ROWS_MAX};

/// Bytes gathered before they go to the writer.
const CHUNK_BYTES: usize = 64 << 10;

/// How rows are written (`--format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// For eyes: columns aligned, numbers to the right, control characters escaped, NULL
    /// as `NULL`.
    Table,
    /// RFC 4180 with a header and LF: NULL is nothing, the empty text `""`.
    Csv,
    /// An array of one object a row. NULL is `null`; NaN and the infinities are the texts
    /// `"NaN"`, `"inf"`, `"-inf"`, as JSON has no numbers for them and `null` would lose
    /// them. Integers are written in full, also beyond 2^53, where some readers round.
    Json,
}

impl RowFormat {
    /// Reads `table`, `csv` or `json`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "table" => Some(Self::Table),
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl fmt::Display for RowFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Json => "json",
        })
    }
}

/// What a column holds; decides its side in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Nanoseconds since the epoch.
    Time,
    /// Text.
    Text,
    /// 64-bit floats.
    F64,
    /// Signed integers.
    I64,
    /// Unsigned integers.
    U64,
    /// Booleans.
    Bool,
    /// Decimals.
    Decimal,
    /// Nothing but NULL.
    Null,
}

impl ColumnKind {
    fn is_right_aligned(self) -> bool {
        matches!(self, Self::F64 | Self::I64 | Self::U64 | Self::Decimal)
    }
}

/// A column of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
}

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// Nanoseconds since the epoch.
    Time(i64),
    /// Text.
    Text(&'a str),
    /// A float.
    F64(f64),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer.
    U64(u64),
    /// A boolean.
    Bool(bool),
    /// A decimal: `scaled` is the value times 10^`scale`.
    Decimal {
        /// The value times 10^`scale`.
        scaled: i64,
        /// Digits behind the point.
        scale: u8,
    },
}

/// Appends a cell without quotes or escapes; NULL as nothing.
fn push_bare(out: &mut Vec<u8>, cell: Cell<'_>) {
    match cell {
        Cell::Null => {}
        Cell::Time(ns) => push_utc(out, ns),
        Cell::Text(text) => out.extend_from_slice(text.as_bytes()),
        Cell::F64(value) => push_f64(out, value),
        Cell::I64(value) => push_i64(out, value),
        Cell::U64(value) => push_u64(out, value),
        Cell::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Cell::Decimal { scaled, scale } => push_decimal(out, scaled, scale),
    }
}

fn push_csv(out: &mut Vec<u8>, cell: Cell<'_>) {
    match cell {
        Cell::Text(text) => push_text(out, text, Delimiter::COMMA),
        other => push_bare(out, other),
    }
}

/// Writes rows one by one. Nothing is complete before [`RowWriter::finish`].
///
/// A table is aligned by its first [`ALIGNED_ROWS_MAX`] rows, which are kept until then;
/// later rows follow as they come, so that memory is bounded.
#[derive(Debug)]
pub struct RowWriter<W> {
    sink: W,
    chunk: Vec<u8>,
    width: usize,
    row_count: u64,
    style: Style,
}

#[derive(Debug)]
enum Style {
    Csv,
    Json { keys: Vec<Vec<u8>> },
    Table(Aligned),
}

impl<W: Write> RowWriter<W> {
    /// Writes rows of `columns` to `sink`.
    pub fn new(format: RowFormat, columns: &[OutColumn], sink: W) -> Self {
        let mut chunk = Vec::new();
        let style = match format {
            RowFormat::Table => Style::Table(Aligned::new(columns)),
            RowFormat::Json => {
                chunk.push(b'[');
                Style::Json { keys: columns.iter().map(|c| json::key(&c.name)).collect() }
            }
            RowFormat::Csv => {
                let names = columns.iter().map(|c| Cell::Text(&c.name));
                push_csv_row(&mut chunk, names);
                Style::Csv
            }
        };
        Self { sink, chunk, width: columns.len(), row_count: 0, style }
    }

    /// Writes one row.
    ///
    /// # Errors
    /// The writer's; `InvalidInput` when `cells` are not as many as the columns.
    pub fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        if cells.len() != self.width {
            let (found, expected) = (cells.len(), self.width);
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a result row has {found} cells for {expected} columns"),
            ));
        }
        match &mut self.style {
            Style::Csv => push_csv_row(&mut self.chunk, cells.iter().copied()),
            Style::Json { keys } => json::push_row(&mut self.chunk, keys, cells, self.row_count),
            Style::Table(aligned) => aligned.push_row(&mut self.chunk, cells),
        }
        self.row_count += 1;
        if self.chunk.len() >= CHUNK_BYTES { self.write_chunk() } else { Ok(()) }
    }

    /// Rows so far.
    #[must_use]
    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    /// Writes what is left, flushes, and gives the writer back.
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(mut self) -> io::Result<W> {
        match &mut self.style {
            Style::Csv => {}
            Style::Json { .. } => {
                self.chunk.extend_from_slice(if self.row_count == 0 { b"]\n" } else { b"\n]\n" });
            }
            Style::Table(aligned) => aligned.settle(&mut self.chunk),
        }
        self.write_chunk()?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        self.sink.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

fn push_csv_row<'a>(out: &mut Vec<u8>, cells: impl Iterator<Item = Cell<'a>>) {
    for (i, cell) in cells.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_csv(out, cell);
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests;
