//! Rows for eyes. Widths are settled by the first rows; widths count characters.
//! Invariant: until `settle`, `cells` holds `row count * columns` texts, row by row.

use super::{Cell, ColumnKind, OutColumn, push_bare};
use std::fmt::Write;

/// Rows that decide the widths of a table's columns.
pub const ALIGNED_ROWS_MAX: usize = 10_000;
/// Bytes of cells kept before the widths are settled, even with fewer rows.
pub const ALIGNED_BYTES_MAX: usize = 16 << 20;

const GAP: &str = "  ";
const NULL_TEXT: &str = "NULL";

#[derive(Debug)]
struct Column {
    name: String,
    /// In characters.
    width: usize,
    right: bool,
}

#[derive(Debug)]
pub(super) struct Aligned {
    columns: Vec<Column>,
    cells: Vec<String>,
    cells_bytes: usize,
    row_count: usize,
    is_settled: bool,
    scratch: Vec<u8>,
}

impl Aligned {
    pub(super) fn new(columns: &[OutColumn]) -> Self {
        let columns = columns
            .iter()
            .map(|column| {
                let name = printable(&column.name);
                let width = name.chars().count();
                Column { name, width, right: ColumnKind::is_right_aligned(column.kind) }
            })
            .collect();
        Self {
            columns,
            cells: Vec::new(),
            cells_bytes: 0,
            row_count: 0,
            is_settled: false,
            scratch: Vec::new(),
        }
    }

    pub(super) fn push_row(&mut self, out: &mut Vec<u8>, cells: &[Cell<'_>]) {
        for cell in cells {
            let text = self.cell_text(*cell);
            self.cells_bytes += text.len();
            self.cells.push(text);
        }
        if self.is_settled {
            self.write_kept(out);
            return;
        }
        self.row_count += 1;
        if self.row_count >= ALIGNED_ROWS_MAX || self.cells_bytes >= ALIGNED_BYTES_MAX {
            self.settle(out);
        }
    }

    /// Decides the widths and writes the header and the rows that were kept.
    pub(super) fn settle(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.is_settled, true) || self.columns.is_empty() {
            return;
        }
        for row in self.cells.chunks(self.columns.len()) {
            for (column, text) in self.columns.iter_mut().zip(row) {
                column.width = column.width.max(text.chars().count());
            }
        }
        push_line(out, &self.columns, self.columns.iter().map(|c| c.name.as_str()));
        let rules: Vec<String> = self.columns.iter().map(|c| "-".repeat(c.width)).collect();
        push_line(out, &self.columns, rules.iter().map(String::as_str));
        self.write_kept(out);
    }

    fn write_kept(&mut self, out: &mut Vec<u8>) {
        for row in self.cells.chunks(self.columns.len().max(1)) {
            push_line(out, &self.columns, row.iter().map(String::as_str));
        }
        self.cells.clear();
        self.cells_bytes = 0;
    }

    fn cell_text(&mut self, cell: Cell<'_>) -> String {
        match cell {
            Cell::Null => NULL_TEXT.to_owned(),
            Cell::Text(text) => printable(text),
            other => {
                self.scratch.clear();
                push_bare(&mut self.scratch, other);
                String::from_utf8_lossy(&self.scratch).into_owned()
            }
        }
    }
}

/// A text that cannot move the terminal's cursor.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

fn push_line<'a>(out: &mut Vec<u8>, columns: &[Column], texts: impl Iterator<Item = &'a str>) {
    let mut line = String::new();
    for (i, (column, text)) in columns.iter().zip(texts).enumerate() {
        if i > 0 {
            line.push_str(GAP);
        }
        let width = column.width;
        // Writing to a String does not fail.
        let _ = if column.right {
            write!(line, "{text:>width$}")
        } else {
            write!(line, "{text:<width$}")
        };
    }
    out.extend_from_slice(line.trim_end_matches(' ').as_bytes());
    out.push(b'\n');
}
