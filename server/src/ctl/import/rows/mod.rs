//! The seam between formats and the import: each format is a [`RowSource`], which gives rows in the file's order, the
//! same ones whenever it is read. Both passes and every promise of the import lie above it and know no format.

mod arrow;
mod columns;
mod csv;
mod line;
mod ndjson;
mod parquet;
mod thrift;

use std::io::{Cursor, Read};

use super::super::{CtlError, CtlResult};
use super::args::Settings;
use super::cell::Row;
use super::format::Format;
use super::refusals::Refusal;
use super::source::Stored;
use crate::text::infer::TextType;
use crate::text::input::InputError;

/// Bytes by which a file is known to be of its format, or of another one.
const HEAD_BYTES: u64 = 4 << 10;

/// What the file says of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing: its texts are to be looked at.
    Open,
    /// Its type.
    Typed(TextType),
    /// It is the time.
    Time,
    /// It is a tag.
    Tag,
}

/// A column of a file.
#[derive(Debug, Clone)]
pub(super) struct SourceColumn {
    pub(super) name: String,
    pub(super) role: Role,
    /// Whether any row has it; where columns stand before the rows, they are met.
    pub(super) is_met: bool,
}

/// A table of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceTable {
    /// Its name, where the file says it.
    pub(super) name: Option<String>,
    pub(super) columns: Vec<SourceColumn>,
}

impl SourceTable {
    /// A table of columns that stand before the rows.
    pub(super) fn of(columns: impl Iterator<Item = (String, Role)>) -> Self {
        let columns = columns.map(|(name, role)| SourceColumn { name, role, is_met: true });
        Self { name: None, columns: columns.collect() }
    }

    /// The position of a column.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The names of the columns that rows have, for messages.
    pub(super) fn names(&self) -> String {
        let met = self.columns.iter().filter(|column| column.is_met);
        met.map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// The rows of a file.
pub(super) trait RowSource {
    type Row: Row;

    /// The tables and columns that were met so far. Both only grow, at their ends, until the first pass is done.
    fn tables(&self) -> &[SourceTable];

    /// Goes to the next source row; none at the end.
    ///
    /// # Errors
    /// What ends the file; what is wrong with one row alone is a refusal.
    fn advance(&mut self) -> CtlResult<Option<Result<(), Refusal>>>;

    /// The row, after an `advance` that found one.
    fn row(&self) -> &Self::Row;

    /// Source rows read, refused ones included.
    fn count(&self) -> u64;
}

/// What is done with the rows of a file, whatever its format.
pub(super) trait Visit {
    type Out;

    fn visit<S: RowSource>(self, rows: S) -> CtlResult<Self::Out>;
}

/// How a file is opened.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) format: Format,
    pub(super) name: &'a str,
    pub(super) settings: &'a Settings,
    /// The tables and columns that an earlier pass met, or that are known otherwise.
    pub(super) known: &'a [SourceTable],
    /// Whether a row with others is refused.
    pub(super) is_settled: bool,
}

impl Opening<'_> {
    /// Opens what is read from its beginning to its end, unpacked.
    ///
    /// # Errors
    /// Those of the format and of `visit`.
    pub(super) fn bytes<R: Read, V: Visit>(&self, mut bytes: R, visit: V) -> CtlResult<V::Out> {
        let mut head = Vec::new();
        let read = bytes.by_ref().take(HEAD_BYTES).read_to_end(&mut head);
        read.map_err(|error| InputError::from_io(self.name, error))?;
        self.format.check(&head, self.name)?;
        let bytes = Cursor::new(head).chain(bytes);
        match self.format {
            Format::Csv => visit.visit(csv::CsvRows::open(bytes, self.name, self.settings)?),
            Format::Ndjson => visit.visit(ndjson::NdjsonRows::open(bytes, self)),
            Format::Line => visit.visit(line::LineRows::open(bytes, self)),
            Format::Arrow => visit.visit(columns::ColumnRows::open(
                self.name,
                arrow::IpcBatches::open(bytes, self.name)?,
            )?),
            Format::Parquet => Err(CtlError::Failed(format!(
                "{} is Parquet, which is not read from its beginning to its end",
                self.name
            ))),
        }
    }

    /// Opens a file whose end is read first.
    ///
    /// # Errors
    /// Those of the format and of `visit`.
    pub(super) fn stored<V: Visit>(&self, stored: &Stored, visit: V) -> CtlResult<V::Out> {
        self.format.check(&stored.head()?, self.name)?;
        let batches = parquet::ParquetBatches::open(stored)?;
        visit.visit(columns::ColumnRows::open(self.name, batches)?)
    }
}
