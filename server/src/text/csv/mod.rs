//! CSV by RFC 4180, of our own because two things must not get lost: a quoted empty
//! field is text and an unquoted one is NULL, and every error says in which line.
//!
//! Beyond the RFC: any one-byte delimiter; LF or CRLF; blank lines are skipped; a quote
//! inside an unquoted field is data. Spaces are data. Bytes are not required to be UTF-8 here.

mod header;
mod quoted;
mod reader;
mod record;
mod write;

pub use header::Header;
pub use reader::CsvReader;
pub use record::{Field, Record};
pub use write::{push_empty_text, push_text};

use super::input::InputError;

/// Longest record, in bytes of the file, its line end not counted.
pub const RECORD_BYTES_MAX: usize = 16 << 20;
/// Most fields of one record.
pub const FIELD_COUNT_MAX: usize = 4096;
/// The reader's block, in bytes; it grows only for a record that is longer.
pub const BLOCK_BYTES: usize = 256 << 10;

const _: () = assert!(BLOCK_BYTES <= RECORD_BYTES_MAX);
// Offsets inside a record are held as u32.
const _: () = assert!((RECORD_BYTES_MAX as u64) < u32::MAX as u64);

/// The character that separates two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiter(u8);

impl Delimiter {
    /// The comma.
    pub const COMMA: Self = Self(b',');

    /// Reads `--delimiter`: one ASCII character, or `\t` or `tab` for a tabulator.
    ///
    /// # Errors
    /// [`CsvError::Delimiter`] for anything else, and for a quote, CR, LF or NUL.
    pub fn parse(text: &str) -> Result<Self, CsvError> {
        match (text, text.as_bytes()) {
            ("\\t" | "tab", _) => Ok(Self(b'\t')),
            (_, [b'"' | b'\r' | b'\n' | 0]) => Err(CsvError::Delimiter { text: text.to_owned() }),
            (_, [byte]) if byte.is_ascii() => Ok(Self(*byte)),
            _ => Err(CsvError::Delimiter { text: text.to_owned() }),
        }
    }

    /// The byte.
    #[must_use]
    pub fn byte(self) -> u8 {
        self.0
    }
}

/// What is wrong with CSV text. `line` counts from 1 and is where the record starts,
/// unless it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CsvError {
    /// The bytes could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Nothing but blank lines.
    #[error("{name} is empty: there is no header line")]
    Empty {
        /// The input.
        name: String,
    },
    /// Text between a closing quote and the next delimiter.
    #[error(
        "{name}, line {line}: text follows the closing quote of field {field}; \
         a quote inside a quoted field is written twice"
    )]
    AfterQuote {
        /// The input.
        name: String,
        /// Where the record starts.
        line: u64,
        /// Counted from 1.
        field: usize,
    },
    /// A quoted field that does not end.
    #[error("{name}, line {line}: a quoted field is open at the end of the file")]
    OpenQuote {
        /// The input.
        name: String,
        /// Where the record starts.
        line: u64,
    },
    /// A record over the limit.
    #[error(
        "{name}, line {line}: the record is over {RECORD_BYTES_MAX} bytes; \
         is a quote left open, or is this not CSV?"
    )]
    RecordTooLong {
        /// The input.
        name: String,
        /// Where the record starts.
        line: u64,
    },
    /// More fields than the limit.
    #[error("{name}, line {line}: the record has over {FIELD_COUNT_MAX} fields")]
    TooManyFields {
        /// The input.
        name: String,
        /// Where the record starts.
        line: u64,
    },
    /// A record shorter or longer than the header.
    #[error("{name}, line {line}: {found} fields where the header has {expected}")]
    Width {
        /// The input.
        name: String,
        /// Where the record starts.
        line: u64,
        /// Fields of the header.
        expected: usize,
        /// Fields of the record.
        found: usize,
    },
    /// A column name that is not text.
    #[error("{name}, line {line}: the name of column {column} is not valid UTF-8: {text:?}")]
    HeaderNotUtf8 {
        /// The input.
        name: String,
        /// Where the header is.
        line: u64,
        /// Counted from 1.
        column: usize,
        /// Its start, what is not UTF-8 replaced.
        text: String,
    },
    /// A column without a name.
    #[error("{name}, line {line}: column {column} has no name")]
    HeaderUnnamed {
        /// The input.
        name: String,
        /// Where the header is.
        line: u64,
        /// Counted from 1.
        column: usize,
    },
    /// Two columns of one name.
    #[error("{name}, line {line}: columns {first} and {second} are both called {column:?}")]
    HeaderDuplicate {
        /// The input.
        name: String,
        /// Where the header is.
        line: u64,
        /// The name.
        column: String,
        /// Counted from 1.
        first: usize,
        /// Counted from 1.
        second: usize,
    },
    /// A delimiter that cannot be one.
    #[error(
        "{text:?} cannot be a delimiter: one ASCII character is needed, \
         and not a quote or a line end (a tabulator is `\\t`)"
    )]
    Delimiter {
        /// As it was given.
        text: String,
    },
}

impl CsvError {
    /// Whether only this record is lost and the reader can go on with the next one
    /// (what `--on-error skip` may count); every other error ends the file.
    #[must_use]
    pub fn is_of_one_record(&self) -> bool {
        matches!(self, Self::AfterQuote { .. } | Self::TooManyFields { .. } | Self::Width { .. })
    }
}

#[cfg(test)]
mod tests;
