//! What a producer submits: rows of one or more tables, committed whole or not at all.

use super::{Column, ColumnData, FieldType, MergeMode, SchemaMode, Value};
use chronolith_codec::Bitmap;

/// What must have happened before a batch is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// The log is synced: survives a power cut.
    #[default]
    Fsync,
    /// The log is written: survives the death of the process, not a power cut.
    Os,
}

/// What a write does while memory for rows is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnPressure {
    /// It waits for memory, at most 30 s, and is refused as `Overloaded` then.
    #[default]
    Wait,
    /// It is refused as `Overloaded` at once: for callers that must not block. A flush is asked for all the same.
    Refuse,
}

/// What becomes of a batch with invalid rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum InvalidRows {
    /// The batch is refused.
    #[default]
    RefuseBatch,
    /// The invalid rows are refused and reported, the others are committed.
    RefuseRows,
}

/// The number of a batch in its producer's stream (docs/decisions/0010-idempotence.md).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Producer {
    /// The producer's name, unique in the database; at most 256 bytes.
    pub id: String,
    /// The previous batch's number plus one; the first is 1.
    pub number: u64,
}

/// What an import notes beside each of its chunks, in the same atomic batch. The batch's producer is the import:
/// its id is a hash of what is imported and how, its numbers count the chunks from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImportMark {
    /// The file's name, for people.
    pub file: String,
    /// Rows committed from the file, this chunk included.
    pub row_count: u64,
    /// Rows of the file that were read, refused ones and this chunk included.
    pub source_row_count: u64,
    /// Whether this is the last chunk.
    pub finished: bool,
}

/// How far an import has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportProgress {
    /// The last chunk that is committed.
    pub chunk: u64,
    /// What was noted beside it.
    pub mark: ImportMark,
    /// When it was committed, nanoseconds since the Unix epoch.
    pub commit_time_ns: i64,
}

/// Where a batch comes from: kept for audit and lineage. Each string is at most 256 bytes; empty means not given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CommitMetadata {
    /// Who wrote it.
    pub principal: String,
    /// The system it comes from.
    pub source: String,
    /// The event that caused it.
    pub event_id: String,
    /// The version of the code that made it.
    pub pipeline_version: String,
}

impl CommitMetadata {
    /// Bytes of the texts.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.principal.len() + self.source.len() + self.event_id.len() + self.pipeline_version.len()
    }

    /// Whether nothing is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

/// Properties of a new table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableOptions {
    /// The tags, in sort order.
    pub tags: Vec<String>,
    /// The fields, in order.
    pub fields: Vec<(String, FieldType)>,
    /// What becomes of rows of one series and time.
    pub merge: MergeMode,
    /// How the table gains columns.
    pub mode: SchemaMode,
    /// Nanoseconds of commit time for which superseded versions are kept; 24 hours by default.
    pub history_ns: Option<i64>,
    /// What the time column was called at its origin.
    pub time_name: String,
}

/// The values of one tag.
#[derive(Debug, Clone, PartialEq)]
pub enum TagValues {
    /// The same for every row.
    Constant(String),
    /// For each row an index into `values`.
    Dictionary {
        /// One a row.
        codes: Vec<u32>,
        /// The distinct values.
        values: Vec<String>,
    },
}

/// A tag of a batch's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct TagColumn {
    /// The tag's name.
    pub name: String,
    /// Its values.
    pub values: TagValues,
}

/// A field of a batch's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldColumn {
    /// The field's name.
    pub name: String,
    /// The type of the values sent; a column that is new gets it.
    pub field_type: FieldType,
    /// The values, one a row.
    pub column: Column,
}

/// Rows for one table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRows {
    /// The table's name.
    pub table: String,
    /// Creates the table with these options when it does not exist.
    pub create_if_missing: Option<TableOptions>,
    /// One timestamp a row, nanoseconds since the Unix epoch, UTC.
    pub time: Vec<i64>,
    /// Tags; those that are missing are absent.
    pub tags: Vec<TagColumn>,
    /// Fields; those that are missing are NULL. A field without any value creates no column.
    pub fields: Vec<FieldColumn>,
}

/// An atomic write.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Rows, table by table; the same table may appear again.
    pub tables: Vec<TableRows>,
    /// When it is acknowledged.
    pub durability: Durability,
    /// What submitting it does while memory is full.
    pub on_pressure: OnPressure,
    /// What becomes of invalid rows.
    pub invalid_rows: InvalidRows,
    /// The producer's number, for idempotence.
    pub producer: Option<Producer>,
    /// For a chunk of an import: what is noted beside it.
    pub import: Option<ImportMark>,
    /// Where it comes from.
    pub metadata: CommitMetadata,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds rows of a table in columns.
    #[must_use]
    pub fn with(mut self, rows: TableRows) -> Self {
        self.tables.push(rows);
        self
    }

    /// Sets the durability.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets what submitting it does while memory is full.
    #[must_use]
    pub fn on_pressure(mut self, on_pressure: OnPressure) -> Self {
        self.on_pressure = on_pressure;
        self
    }

    /// Sets the producer's number.
    #[must_use]
    pub fn producer(mut self, id: &str, number: u64) -> Self {
        self.producer = Some(Producer { id: id.into(), number });
        self
    }
}

/// Builds [`TableRows`] row by row; for many rows fill columns instead.
#[derive(Debug, Clone)]
pub struct RowBuilder {
    table: String,
    create_if_missing: Option<TableOptions>,
    time: Vec<i64>,
    tags: Vec<(String, Vec<String>)>,
    fields: Vec<(String, Vec<Value>)>,
    /// The first column that a row named twice.
    twice: Option<String>,
}

impl RowBuilder {
    /// For the table `table`.
    #[must_use]
    pub fn new(table: &str) -> Self {
        Self {
            table: table.into(),
            create_if_missing: None,
            time: Vec::new(),
            tags: Vec::new(),
            fields: Vec::new(),
            twice: None,
        }
    }

    /// Creates the table when it does not exist.
    #[must_use]
    pub fn create_if_missing(mut self, options: TableOptions) -> Self {
        self.create_if_missing = Some(options);
        self
    }

    /// Adds one row.
    #[must_use]
    pub fn row(mut self, time: i64, tags: &[(&str, &str)], fields: &[(&str, Value)]) -> Self {
        self.push(time, tags, fields);
        self
    }

    /// Adds one row. A column that it names twice fails [`Self::build`].
    pub fn push(&mut self, time: i64, tags: &[(&str, &str)], fields: &[(&str, Value)]) {
        let before = self.time.len();
        self.time.push(time);
        for (name, value) in tags {
            slot(&mut self.tags, name, before, String::new()).push((*value).to_owned());
        }
        for (name, value) in fields {
            slot(&mut self.fields, name, before, Value::Null).push(value.clone());
        }
        self.twice = self.twice.take().or_else(|| {
            let tags = self.tags.iter().map(|(name, values)| (name, values.len()));
            let fields = self.fields.iter().map(|(name, values)| (name, values.len()));
            let twice = tags.chain(fields).find(|(_, len)| *len > before + 1);
            twice.map(|(name, _)| name.clone())
        });
        for (_, values) in &mut self.tags {
            values.resize(before + 1, String::new());
        }
        for (_, values) in &mut self.fields {
            values.resize(before + 1, Value::Null);
        }
    }

    /// The rows in columns. A field's type is that of its first value.
    ///
    /// # Errors
    /// `WrongType` where later values of a field have another type; `Invalid` where a row names a column twice.
    pub fn build(self) -> crate::error::Result<TableRows> {
        if let Some(name) = self.twice {
            return Err(crate::error::Error::invalid(format!(
                "column {name:?} of table {:?} is given twice in one row",
                self.table
            )));
        }
        let mut fields = Vec::new();
        for (name, values) in self.fields {
            if let Some(column) = field_column(&self.table, name, &values)? {
                fields.push(column);
            }
        }
        let tags = self
            .tags
            .into_iter()
            .map(|(name, values)| TagColumn { name, values: dictionary(values) });
        Ok(TableRows {
            table: self.table,
            create_if_missing: self.create_if_missing,
            time: self.time,
            tags: tags.collect(),
            fields,
        })
    }
}

fn slot<'a, T: Clone>(
    columns: &'a mut Vec<(String, Vec<T>)>,
    name: &str,
    len: usize,
    empty: T,
) -> &'a mut Vec<T> {
    let at = columns.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
        columns.push((name.to_owned(), vec![empty; len]));
        columns.len() - 1
    });
    #[expect(clippy::indexing_slicing, reason = "the position was just found or made")]
    &mut columns[at].1
}

fn dictionary(values: Vec<String>) -> TagValues {
    let mut known = std::collections::HashMap::new();
    let mut distinct = Vec::new();
    let mut codes = Vec::with_capacity(values.len());
    for value in values {
        let next = u32::try_from(distinct.len()).unwrap_or(u32::MAX);
        let code = *known.entry(value.clone()).or_insert_with(|| {
            distinct.push(value);
            next
        });
        codes.push(code);
    }
    TagValues::Dictionary { codes, values: distinct }
}

fn field_column(
    table: &str,
    name: String,
    values: &[Value],
) -> crate::error::Result<Option<FieldColumn>> {
    let Some(first) = values.iter().find(|value| **value != Value::Null) else { return Ok(None) };
    let field_type = match first {
        Value::Decimal { scale, .. } => FieldType::Decimal { precision: 18, scale: *scale },
        other => other.natural_type().unwrap_or(FieldType::Utf8),
    };
    let mut data = ColumnData::new(field_type);
    let mut validity = Bitmap::default();
    for (row, value) in values.iter().enumerate() {
        validity.push(*value != Value::Null);
        if !data.push_value(value, field_type) {
            return Err(crate::error::Error::WrongType {
                table: table.to_owned(),
                column: name,
                expected: field_type.to_string(),
                found: value.type_name().to_owned(),
                row: Some(row as u64),
            });
        }
    }
    Ok(Some(FieldColumn { name, field_type, column: Column::new(data, Some(validity)) }))
}
