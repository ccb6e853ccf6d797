//! What a row of any format is to the rules and the chunks: values by position, as text or with a type.

use super::refusals::Refusal;
use crate::text::csv::{Field, Record};
use crate::text::infer::Value;

/// A value of a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    /// Nothing.
    Null,
    /// Text whose type is to be found, or is named.
    Text(Field<'a>),
    /// Text of a format that tells it from numbers.
    String(&'a str),
    /// A value whose type the file says. A decimal has the scale of its column.
    Value(Value<'a>),
}

/// A row of a file.
pub(super) trait Row {
    /// The table of the file that it belongs to, by its number in [`super::rows::RowSource::tables`].
    fn table(&self) -> usize {
        0
    }
    /// Its line or row in the file, counted from 1.
    fn number(&self) -> u64;
    /// The value of the table's column `at`.
    fn cell(&self, at: usize) -> Cell<'_>;
    /// Bytes of its texts.
    fn text_bytes(&self) -> usize;
    /// Refuses a row that has not the columns of the file `name`.
    fn check_width(&self, _width: usize, _name: &str) -> Result<(), Refusal> {
        Ok(())
    }
}

impl Row for Record {
    fn number(&self) -> u64 {
        self.line()
    }

    // So that what a field of CSV could be besides text is not asked, in builds that optimise little too.
    #[inline(always)]
    fn cell(&self, at: usize) -> Cell<'_> {
        Cell::Text(self.get(at).unwrap_or(Field::unquoted(b"")))
    }

    fn text_bytes(&self) -> usize {
        self.iter().map(|field| field.bytes.len()).sum()
    }

    fn check_width(&self, width: usize, name: &str) -> Result<(), Refusal> {
        Record::check_width(self, width, name).map_err(|error| Refusal(error.to_string()))
    }
}
