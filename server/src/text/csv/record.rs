//! One record in one reusable buffer: `bytes` holds the fields' contents with exactly one
//! byte between two of them (its value means nothing), `ends` where each one ends.

use super::CsvError;

/// One field's bytes, without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The contents; doubled quotes are single here.
    pub bytes: &'a [u8],
    /// Whether it stood in quotes: `""` is the empty text, nothing at all is NULL.
    pub quoted: bool,
}

impl<'a> Field<'a> {
    /// A field that stood without quotes.
    #[must_use]
    pub fn unquoted(bytes: &'a [u8]) -> Self {
        Self { bytes, quoted: false }
    }

    /// Nothing between two delimiters, not even quotes.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.bytes.is_empty() && !self.quoted
    }
}

/// One record; reuse it over a file, so that no record allocates.
#[derive(Debug, Clone, Default)]
pub struct Record {
    pub(super) bytes: Vec<u8>,
    pub(super) ends: Vec<u32>,
    /// Parallel to `ends`, or empty when no field was quoted.
    pub(super) quoted: Vec<bool>,
    pub(super) line: u64,
}

impl Record {
    /// An empty record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fields of the record.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether nothing was read into it yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The line in which the record starts, counted from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Field `index`, counted from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Field<'_>> {
        let end = *self.ends.get(index)? as usize;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)? as usize + 1,
            None => 0,
        };
        let quoted = self.quoted.get(index).copied().unwrap_or(false);
        Some(Field { bytes: self.bytes.get(start..end)?, quoted })
    }

    /// All fields in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Field<'_>> {
        let mut start = 0;
        self.ends.iter().enumerate().map(move |(i, &end)| {
            let end = end as usize;
            let bytes = self.bytes.get(start..end).unwrap_or_default();
            start = end + 1;
            Field { bytes, quoted: self.quoted.get(i).copied().unwrap_or(false) }
        })
    }

    /// Refuses a record that has not `expected` fields; `name` is the input's.
    ///
    /// # Errors
    /// [`CsvError::Width`].
    pub fn check_width(&self, expected: usize, name: &str) -> Result<(), CsvError> {
        let found = self.len();
        if found == expected {
            return Ok(());
        }
        Err(CsvError::Width { name: name.to_owned(), line: self.line, expected, found })
    }

    pub(super) fn clear(&mut self, line: u64) {
        self.bytes.clear();
        self.ends.clear();
        self.quoted.clear();
        self.line = line;
    }
}
