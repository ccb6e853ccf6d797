//! The options of `read_csv`, called as elsewhere.

use arrow::csv::reader::Format;
use regex::Regex;

use super::quotes::Marks;
use crate::error::{Result, SqlError};

/// Rows of a file from which the types of its columns are found.
const SAMPLE_ROWS: usize = 20_480;

/// The value of an option, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OptionValue {
    /// In quotes.
    Text(String),
    /// A whole number.
    Number(i64),
    /// `true` or `false`.
    Truth(bool),
}

/// How CSV is read.
#[derive(Debug, Clone)]
pub(super) struct CsvOptions {
    pub(super) format: Format,
    /// What quotes are; none where comments may hold any.
    pub(super) marks: Option<Marks>,
    /// Rows to look at; none: all.
    pub(super) sample_rows: Option<usize>,
    /// Whether every column is text.
    pub(super) all_text: bool,
}

impl CsvOptions {
    pub(super) fn of(options: &[(String, OptionValue)]) -> Result<Self> {
        let mut format = Format::default().with_header(true);
        let (mut marks, mut has_comments) = (Marks::default(), false);
        let (mut sample_rows, mut all_text) = (Some(SAMPLE_ROWS), false);
        // Nothing at all is NULL, as everywhere.
        let mut nulls = vec![String::new()];
        for (name, value) in options {
            let lower = name.to_ascii_lowercase();
            format = match lower.as_str() {
                "header" => format.with_header(truth(name, value)?),
                "delim" | "delimiter" | "sep" => {
                    marks.delimiter = character(name, value)?;
                    format.with_delimiter(marks.delimiter)
                }
                "quote" => {
                    marks.quote = character(name, value)?;
                    format.with_quote(marks.quote)
                }
                "escape" => {
                    let escape = character(name, value)?;
                    marks.escape = Some(escape);
                    format.with_escape(escape)
                }
                "comment" => {
                    has_comments = true;
                    format.with_comment(character(name, value)?)
                }
                "nullstr" | "null" => {
                    nulls.push(text(name, value)?.to_owned());
                    format
                }
                "all_varchar" => {
                    all_text = truth(name, value)?;
                    format
                }
                "sample_size" => {
                    sample_rows = match value {
                        OptionValue::Number(-1) => None,
                        OptionValue::Number(count) if *count > 0 => usize::try_from(*count).ok(),
                        _ => return Err(expected(name, "a number of rows, or -1 for all")),
                    };
                    format
                }
                _ => {
                    return Err(SqlError::invalid(format!(
                        "unknown option {name:?} of read_csv; there are: header, delim, quote, escape, comment, nullstr, all_varchar, \
                         sample_size"
                    )));
                }
            };
        }
        let words: Vec<String> = nulls.iter().map(|word| regex::escape(word)).collect();
        let pattern = Regex::new(&format!("^(?:{})$", words.join("|")));
        let pattern = pattern.map_err(|error| SqlError::invalid(format!("nullstr: {error}")))?;
        let marks = (!has_comments).then_some(marks);
        Ok(Self { format: format.with_null_regex(pattern), marks, sample_rows, all_text })
    }
}

fn expected(name: &str, what: &str) -> SqlError {
    SqlError::invalid(format!("option {name}: {what} is expected"))
}

fn truth(name: &str, value: &OptionValue) -> Result<bool> {
    match value {
        OptionValue::Truth(truth) => Ok(*truth),
        _ => Err(expected(name, "true or false")),
    }
}

fn text<'a>(name: &str, value: &'a OptionValue) -> Result<&'a str> {
    match value {
        OptionValue::Text(text) => Ok(text),
        _ => Err(expected(name, "a text in quotes")),
    }
}

fn character(name: &str, value: &OptionValue) -> Result<u8> {
    let wrong = || expected(name, "one ASCII character in quotes, or '\\t',");
    match text(name, value)?.as_bytes() {
        [b'\\', b't'] => Ok(b'\t'),
        [one] if one.is_ascii() => Ok(*one),
        _ => Err(wrong()),
    }
}
