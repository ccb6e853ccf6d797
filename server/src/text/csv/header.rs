//! The column names of a file.

use super::{CsvError, CsvReader, Record};
use crate::text::shown;
use std::collections::HashMap;
use std::io::Read;

/// A file's column names: not empty, UTF-8, each one once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    names: Vec<String>,
}

impl Header {
    /// Reads the header record.
    ///
    /// # Errors
    /// [`CsvError::Empty`] when there is no record; `HeaderNotUtf8`, `HeaderUnnamed`,
    /// `HeaderDuplicate`; and the reader's own.
    pub fn read<R: Read>(reader: &mut CsvReader<R>) -> Result<Self, CsvError> {
        let mut record = Record::new();
        if !reader.read(&mut record)? {
            return Err(CsvError::Empty { name: reader.name().to_owned() });
        }
        Self::of(&record, reader.name())
    }

    /// Takes a record as a header; `name` is the input's.
    ///
    /// # Errors
    /// `HeaderNotUtf8`, `HeaderUnnamed`, `HeaderDuplicate` of [`CsvError`].
    pub fn of(record: &Record, name: &str) -> Result<Self, CsvError> {
        let line = record.line();
        let mut seen = HashMap::with_capacity(record.len());
        let mut names = Vec::with_capacity(record.len());
        for (i, field) in record.iter().enumerate() {
            let column = i + 1;
            let Ok(text) = std::str::from_utf8(field.bytes) else {
                let text = shown(field.bytes);
                return Err(CsvError::HeaderNotUtf8 { name: name.to_owned(), line, column, text });
            };
            if text.is_empty() {
                return Err(CsvError::HeaderUnnamed { name: name.to_owned(), line, column });
            }
            if let Some(first) = seen.insert(text, column) {
                return Err(CsvError::HeaderDuplicate {
                    name: name.to_owned(),
                    line,
                    column: shown(text.as_bytes()),
                    first,
                    second: column,
                });
            }
            names.push(text.to_owned());
        }
        Ok(Self { names })
    }

    /// The names for a file without a header (`--no-header`): `c1`, `c2` and so on.
    #[must_use]
    pub fn numbered(width: usize) -> Self {
        Self { names: (1..=width).map(|i| format!("c{i}")).collect() }
    }

    /// The names in the file's order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Columns of the file.
    #[must_use]
    pub fn width(&self) -> usize {
        self.names.len()
    }

    /// The position of a column, counted from 0.
    #[must_use]
    pub fn position(&self, column: &str) -> Option<usize> {
        self.names.iter().position(|name| name == column)
    }
}
