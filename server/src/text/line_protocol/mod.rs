//! One line of InfluxDB's line protocol: `measurement[,tag=value...] field=value[,field=value...] [timestamp]`.
//! Reference: <https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/>. A backslash stands before a comma
//! or space in a measurement, before these and `=` in tags and field keys, before `"` and `\` in a string; before anything
//! else it is data. Stricter than InfluxDB: nothing may be empty or there twice, and a string ends on its line.

use super::cursor::Cursor;
use super::shown;
use std::ops::Range;

/// Most tags, and most fields, of one line.
pub const ENTRY_COUNT_MAX: usize = 4096;

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FieldValue<'a> {
    /// A number without a suffix; finite.
    F64(f64),
    /// With the suffix `i`.
    I64(i64),
    /// With the suffix `u`.
    U64(u64),
    /// `t`, `T`, `true`, `True`, `TRUE`, and the five of false.
    Bool(bool),
    /// In quotes; its escapes are resolved.
    Text(&'a str),
}

/// Why a line is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineProtocolError {
    /// Bytes that are not text.
    #[error("byte {at} is not valid UTF-8")]
    NotUtf8 {
        /// Counted from 1.
        at: usize,
    },
    /// A part that must not be empty.
    #[error(
        "{what} is missing at byte {at}; a line is MEASUREMENT,TAG=VALUE FIELD=VALUE TIMESTAMP"
    )]
    Missing {
        /// The part.
        what: &'static str,
        /// Counted from 1.
        at: usize,
    },
    /// A tag or a field twice.
    #[error("{what} {key:?} is there twice")]
    Duplicate {
        /// `tag` or `field`.
        what: &'static str,
        /// Its name.
        key: String,
    },
    /// One name for two things.
    #[error("{key:?} is both a tag and a field, which one table cannot have; rename one")]
    TagAndField {
        /// The name.
        key: String,
    },
    /// A value of no type.
    #[error(
        "field {key:?}: {text:?} is no value: a float (1.5), an integer (2i), an unsigned one (2u), \
         a text in quotes, t or f"
    )]
    Value {
        /// The field.
        key: String,
        /// The value's start.
        text: String,
    },
    /// A number beyond its type.
    #[error("field {key:?}: {text} is out of the range of {of}")]
    OutOfRange {
        /// The field.
        key: String,
        /// The number.
        text: String,
        /// The type.
        of: &'static str,
    },
    /// A string that does not end.
    #[error("field {key:?}: its text is open at the end of the line; a line end cannot be inside")]
    OpenQuote {
        /// The field.
        key: String,
    },
    /// More than the limit.
    #[error("the line has over {ENTRY_COUNT_MAX} tags or fields")]
    TooMany,
    /// Something behind the timestamp.
    #[error("{text:?} follows the timestamp")]
    Trailing {
        /// Its start.
        text: String,
    },
}

#[derive(Debug, Clone, Copy)]
enum Held {
    F64(f64),
    I64(i64),
    U64(u64),
    Bool(bool),
    Text,
}

/// What a line says; reuse it, so that no line allocates.
#[derive(Debug, Clone, Default)]
pub struct Point {
    text: String,
    measurement: Range<usize>,
    tags: Vec<(Range<usize>, Range<usize>)>,
    fields: Vec<(Range<usize>, Held, Range<usize>)>,
    timestamp: Option<Range<usize>>,
}

impl Default for Held {
    fn default() -> Self {
        Self::Bool(false)
    }
}

impl Point {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn text(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// The measurement.
    #[must_use]
    pub fn measurement(&self) -> &str {
        self.text(&self.measurement)
    }

    /// The tags in the line's order.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.tags.iter().map(|(key, value)| (self.text(key), self.text(value)))
    }

    /// The fields in the line's order; at least one.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, FieldValue<'_>)> {
        self.fields.iter().map(|(key, held, text)| {
            let value = match *held {
                Held::F64(value) => FieldValue::F64(value),
                Held::I64(value) => FieldValue::I64(value),
                Held::U64(value) => FieldValue::U64(value),
                Held::Bool(value) => FieldValue::Bool(value),
                Held::Text => FieldValue::Text(self.text(text)),
            };
            (self.text(key), value)
        })
    }

    /// The timestamp as it is written.
    #[must_use]
    pub fn timestamp(&self) -> Option<&str> {
        self.timestamp.as_ref().map(|range| self.text(range))
    }

    /// Whether `line` says nothing: it is blank or a comment.
    #[must_use]
    pub fn is_nothing(line: &[u8]) -> bool {
        matches!(line.trim_ascii_start(), [] | [b'#', ..])
    }

    /// Reads a line that says something.
    ///
    /// # Errors
    /// [`LineProtocolError`]; what was read before it means nothing.
    pub fn read(&mut self, line: &[u8]) -> Result<(), LineProtocolError> {
        self.text.clear();
        self.tags.clear();
        self.fields.clear();
        let line = std::str::from_utf8(line)
            .map_err(|error| LineProtocolError::NotUtf8 { at: error.valid_up_to() + 1 })?;
        let mut scan = Cursor { line, at: 0 };
        scan.skip_spaces();
        self.measurement = scan.name(&mut self.text, b", ", "the measurement")?;
        while scan.take(b',') {
            let key = scan.name(&mut self.text, b",= ", "a tag's name")?;
            scan.equals("the = of a tag")?;
            let value = scan.name(&mut self.text, b",= ", "a tag's value")?;
            self.tags.push((key, value));
            if self.tags.len() > ENTRY_COUNT_MAX {
                return Err(LineProtocolError::TooMany);
            }
        }
        scan.space()?;
        loop {
            let key = scan.name(&mut self.text, b",= ", "a field's name")?;
            scan.equals("the = of a field")?;
            let (held, text) = self.value(&mut scan, &key)?;
            self.fields.push((key, held, text));
            if self.fields.len() > ENTRY_COUNT_MAX {
                return Err(LineProtocolError::TooMany);
            }
            if !scan.take(b',') {
                break;
            }
        }
        self.read_timestamp(&mut scan)?;
        self.check_names()
    }

    fn read_timestamp(&mut self, scan: &mut Cursor<'_>) -> Result<(), LineProtocolError> {
        scan.skip_spaces();
        let text = scan.until(|byte| byte == b' ');
        let from = self.text.len();
        self.text.push_str(text);
        self.timestamp = (!text.is_empty()).then_some(from..self.text.len());
        scan.skip_spaces();
        if scan.rest().is_empty() {
            return Ok(());
        }
        Err(LineProtocolError::Trailing { text: shown(scan.rest()) })
    }

    fn value(
        &mut self,
        scan: &mut Cursor<'_>,
        key: &Range<usize>,
    ) -> Result<(Held, Range<usize>), LineProtocolError> {
        let key = |this: &Self| shown(this.text(key).as_bytes());
        if scan.take(b'"') {
            let from = self.text.len();
            let closed = scan.quoted(&mut self.text);
            if !closed {
                return Err(LineProtocolError::OpenQuote { key: key(self) });
            }
            if !matches!(scan.peek(), None | Some(b',' | b' ')) {
                let text = shown(scan.rest());
                return Err(LineProtocolError::Value { key: key(self), text });
            }
            return Ok((Held::Text, from..self.text.len()));
        }
        let text = scan.until(|byte| matches!(byte, b',' | b' '));
        if text.is_empty() {
            return Err(LineProtocolError::Missing { what: "a field's value", at: scan.at + 1 });
        }
        let text_shown = || shown(text.as_bytes());
        match held(text) {
            Ok(Some(held)) => Ok((held, 0..0)),
            Ok(None) => Err(LineProtocolError::Value { key: key(self), text: text_shown() }),
            Err(of) => {
                Err(LineProtocolError::OutOfRange { key: key(self), text: text_shown(), of })
            }
        }
    }

    fn check_names(&self) -> Result<(), LineProtocolError> {
        /// Up to here each pair is compared; beyond, names are sorted.
        const FEW: usize = 16;
        let key = |key: &str| shown(key.as_bytes());
        let names = || self.tags().map(|(key, _)| key).chain(self.fields().map(|(key, _)| key));
        let twice = if self.tags.len() + self.fields.len() <= FEW {
            let mut numbered = names().enumerate();
            numbered.find(|(at, name)| names().take(*at).any(|before| before == *name))
        } else {
            let mut sorted: Vec<&str> = names().collect();
            sorted.sort_unstable();
            let is_pair = |pair: &&[&str]| matches!(pair, [a, b] if a == b);
            let pair = sorted.windows(2).find(is_pair).and_then(|pair| pair.first().copied());
            pair.map(|name| (0, name))
        };
        let Some((_, name)) = twice else { return Ok(()) };
        let tags = self.tags().filter(|(tag, _)| *tag == name).count();
        Err(match tags {
            0 => LineProtocolError::Duplicate { what: "field", key: key(name) },
            1 => LineProtocolError::TagAndField { key: key(name) },
            _ => LineProtocolError::Duplicate { what: "tag", key: key(name) },
        })
    }
}

/// A value without quotes; none where it is no value, the type's name where it is beyond it.
fn held(text: &str) -> Result<Option<Held>, &'static str> {
    match text {
        "t" | "T" | "true" | "True" | "TRUE" => return Ok(Some(Held::Bool(true))),
        "f" | "F" | "false" | "False" | "FALSE" => return Ok(Some(Held::Bool(false))),
        _ => {}
    }
    let is_integer = |text: &str, signed: bool| {
        let text = text.strip_prefix('-').filter(|_| signed).unwrap_or(text);
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if let Some(digits) = text.strip_suffix('i').filter(|digits| is_integer(digits, true)) {
        return digits.parse().map(|value| Some(Held::I64(value))).map_err(|_| "i64");
    }
    if let Some(digits) = text.strip_suffix('u').filter(|digits| is_integer(digits, false)) {
        return digits.parse().map(|value| Some(Held::U64(value))).map_err(|_| "u64");
    }
    let is_part =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    if !text.bytes().all(is_part) {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(Held::F64(value))),
        Ok(_) => Err("f64"),
        Err(_) => Ok(None),
    }
}

impl<'a> Cursor<'a> {
    fn skip_spaces(&mut self) {
        self.at += self.rest().iter().take_while(|byte| **byte == b' ').count();
    }

    fn space(&mut self) -> Result<(), LineProtocolError> {
        let what = "the space before the fields";
        if !self.take(b' ') {
            return Err(LineProtocolError::Missing { what, at: self.at + 1 });
        }
        self.skip_spaces();
        Ok(())
    }

    fn equals(&mut self, what: &'static str) -> Result<(), LineProtocolError> {
        if self.take(b'=') {
            Ok(())
        } else {
            Err(LineProtocolError::Missing { what, at: self.at + 1 })
        }
    }

    /// The text up to a byte that ends it, which must be ASCII.
    fn until(&mut self, ends: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.iter().position(|byte| ends(*byte)).unwrap_or(rest.len());
        let text = self.line.get(self.at..self.at + len).unwrap_or_default();
        self.at += len;
        text
    }

    /// A name up to one of `ends`, each of which may be escaped in it; appended to `to`.
    fn name(
        &mut self,
        to: &mut String,
        ends: &[u8],
        what: &'static str,
    ) -> Result<Range<usize>, LineProtocolError> {
        let from = to.len();
        loop {
            to.push_str(self.until(|byte| byte == b'\\' || ends.contains(&byte)));
            if !self.take(b'\\') {
                break;
            }
            match self.peek() {
                Some(next) if ends.contains(&next) => {
                    to.push(char::from(next));
                    self.at += 1;
                }
                _ => to.push('\\'),
            }
        }
        if to.len() == from {
            return Err(LineProtocolError::Missing { what, at: self.at + 1 });
        }
        Ok(from..to.len())
    }

    /// The rest of a string and its closing quote, appended to `to`; false where there is none.
    fn quoted(&mut self, to: &mut String) -> bool {
        loop {
            to.push_str(self.until(|byte| matches!(byte, b'\\' | b'"')));
            if self.take(b'"') {
                return true;
            }
            if !self.take(b'\\') {
                return false;
            }
            match self.peek() {
                Some(next @ (b'"' | b'\\')) => {
                    to.push(char::from(next));
                    self.at += 1;
                }
                _ => to.push('\\'),
            }
        }
    }
}

#[cfg(test)]
mod tests;
