//! One line of newline-delimited JSON: an object (RFC 8259) of scalars. Numbers stay the text that they are, so that none
//! is rounded here; nested values are refused where they begin, so depth costs nothing.

use super::cursor::Cursor;
use super::shown;
use std::ops::Range;

/// Most keys of one object.
pub const KEY_COUNT_MAX: usize = 4096;

/// A value of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// `null`.
    Null,
    /// A number, `true` or `false`, as it is written.
    Bare(&'a str),
    /// A string, its escapes resolved.
    String(&'a str),
}

/// Why a line is no such object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Bytes that are not text.
    #[error("byte {at} is not valid UTF-8")]
    NotUtf8 {
        /// Counted from 1.
        at: usize,
    },
    /// Something else where an object must be.
    #[error("{text:?} is not a JSON object; each line must be one, such as {{\"ts\":1,\"v\":2.5}}")]
    NotAnObject {
        /// The line's start.
        text: String,
    },
    /// An array or an object as a value.
    #[error("key {key:?} holds {what}: flatten it first, as jq can, or leave it out")]
    Nested {
        /// The key.
        key: String,
        /// `an object` or `an array`.
        what: &'static str,
    },
    /// A key twice.
    #[error("key {key:?} is there twice")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// More keys than the limit.
    #[error("the object has over {KEY_COUNT_MAX} keys")]
    TooManyKeys,
    /// A key without a name.
    #[error("a key is empty")]
    EmptyKey,
    /// The line ends inside the object.
    #[error("the line ends inside the object; it must be whole on one line")]
    Unfinished,
    /// Anything else.
    #[error("{text:?} at byte {at} is not JSON: expected {expected}")]
    Syntax {
        /// What stands there.
        text: String,
        /// Counted from 1.
        at: usize,
        /// What could stand there.
        expected: &'static str,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Bare,
    String,
}

/// The keys and values of one object; reuse it, so that no line allocates.
#[derive(Debug, Clone, Default)]
pub struct Object {
    text: String,
    entries: Vec<(Range<usize>, Kind, Range<usize>)>,
}

impl Object {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keys and values in the line's order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&str, Scalar<'_>)> {
        let entries = self.entries.iter();
        entries.map(|(key, kind, value)| (self.text(key), self.scalar(*kind, value)))
    }

    /// The value of entry `at`, counted from 0.
    #[must_use]
    pub fn entry(&self, at: usize) -> Option<Scalar<'_>> {
        self.entries.get(at).map(|(_, kind, value)| self.scalar(*kind, value))
    }

    fn text(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn scalar(&self, kind: Kind, value: &Range<usize>) -> Scalar<'_> {
        match kind {
            Kind::Null => Scalar::Null,
            Kind::Bare => Scalar::Bare(self.text(value)),
            Kind::String => Scalar::String(self.text(value)),
        }
    }

    /// Reads `line`, which must be one object and nothing else.
    ///
    /// # Errors
    /// [`JsonError`]; what was read before it means nothing.
    pub fn read(&mut self, line: &[u8]) -> Result<(), JsonError> {
        self.text.clear();
        self.entries.clear();
        let line = std::str::from_utf8(line)
            .map_err(|error| JsonError::NotUtf8 { at: error.valid_up_to() + 1 })?;
        let mut scan = Cursor { line, at: 0 };
        scan.skip_space();
        if !scan.take(b'{') {
            return Err(JsonError::NotAnObject { text: shown(line.as_bytes()) });
        }
        scan.skip_space();
        if !scan.take(b'}') {
            self.read_entries(&mut scan)?;
        }
        scan.skip_space();
        if scan.at < line.len() {
            return Err(scan.expected("nothing behind the object"));
        }
        self.check_keys()
    }

    fn read_entries(&mut self, scan: &mut Cursor<'_>) -> Result<(), JsonError> {
        loop {
            scan.skip_space();
            let key = scan.string(&mut self.text, "a key in quotes")?;
            if key.is_empty() {
                return Err(JsonError::EmptyKey);
            }
            scan.skip_space();
            if !scan.take(b':') {
                return Err(scan.expected("a colon"));
            }
            scan.skip_space();
            let (kind, value) = self.value(scan, &key)?;
            self.entries.push((key, kind, value));
            if self.entries.len() > KEY_COUNT_MAX {
                return Err(JsonError::TooManyKeys);
            }
            scan.skip_space();
            if scan.take(b'}') {
                return Ok(());
            }
            if !scan.take(b',') {
                return Err(scan.expected("a comma or }"));
            }
        }
    }

    fn value(
        &mut self,
        scan: &mut Cursor<'_>,
        key: &Range<usize>,
    ) -> Result<(Kind, Range<usize>), JsonError> {
        let what = match scan.peek() {
            Some(b'"') => return Ok((Kind::String, scan.string(&mut self.text, "a string")?)),
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            _ => {
                let bare = scan.bare()?;
                let from = self.text.len();
                self.text.push_str(bare);
                let kind = if bare == "null" { Kind::Null } else { Kind::Bare };
                return Ok((kind, from..self.text.len()));
            }
        };
        let key = self.text.get(key.clone()).unwrap_or_default();
        Err(JsonError::Nested { key: shown(key.as_bytes()), what })
    }

    fn check_keys(&self) -> Result<(), JsonError> {
        /// Up to here each pair is compared; beyond, keys are sorted.
        const FEW: usize = 16;
        let twice = |key: &str| JsonError::Duplicate { key: shown(key.as_bytes()) };
        if self.entries.len() <= FEW {
            for (at, (key, _)) in self.entries().enumerate() {
                if self.entries().take(at).any(|(before, _)| before == key) {
                    return Err(twice(key));
                }
            }
            return Ok(());
        }
        let mut keys: Vec<&str> = self.entries().map(|(key, _)| key).collect();
        keys.sort_unstable();
        match keys.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
            Some([key, _]) => Err(twice(key)),
            _ => Ok(()),
        }
    }
}

impl<'a> Cursor<'a> {
    fn skip_space(&mut self) {
        let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        self.at += self.rest().iter().take_while(is_space).count();
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        if self.rest().is_empty() {
            return JsonError::Unfinished;
        }
        JsonError::Syntax { text: shown(self.rest()), at: self.at + 1, expected }
    }

    /// A number, `true`, `false` or `null`.
    fn bare(&mut self) -> Result<&'a str, JsonError> {
        let is_part =
            |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let len = self.rest().iter().take_while(is_part).count();
        let text = self.line.get(self.at..self.at + len).unwrap_or_default();
        if !matches!(text, "true" | "false" | "null") && !is_number(text.as_bytes()) {
            return Err(self.expected("a number, a string, true, false or null"));
        }
        self.at += len;
        Ok(text)
    }

    /// A string without its quotes, appended to `to`.
    fn string(&mut self, to: &mut String, what: &'static str) -> Result<Range<usize>, JsonError> {
        if !self.take(b'"') {
            return Err(self.expected(what));
        }
        let from = to.len();
        loop {
            let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
            let len = self.rest().iter().position(ends).ok_or(JsonError::Unfinished)?;
            to.push_str(self.line.get(self.at..self.at + len).unwrap_or_default());
            self.at += len;
            if self.take(b'"') {
                return Ok(from..to.len());
            }
            if !self.take(b'\\') {
                return Err(self.expected("control characters to be escaped"));
            }
            to.push(self.escaped()?);
        }
    }

    /// What stands behind a backslash.
    fn escaped(&mut self) -> Result<char, JsonError> {
        let plain = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.expected("an escape of JSON")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// `uXXXX`, or two of them for what lies beyond 16 bits.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let wrong = self.expected("an escaped character; half of a surrogate pair is none");
        let high = self.unit().ok_or(wrong.clone())?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).ok_or(wrong);
        }
        let low = if self.take(b'\\') { self.unit() } else { None };
        let low = low.filter(|low| (0xdc00..0xe000).contains(low)).ok_or(wrong.clone())?;
        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).ok_or(wrong)
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.rest().strip_prefix(b"u")?.get(..4)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        self.at += 5;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}

/// RFC 8259, section 6.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    let leading_zero = whole > 1 && rest.first() == Some(&b'0');
    let mut rest = rest.get(whole..).unwrap_or_default();
    if whole == 0 || leading_zero {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let len = digits(fraction);
        if len == 0 {
            return false;
        }
        rest = fraction.get(len..).unwrap_or_default();
    }
    let exponent = match rest {
        [] => return true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => exponent,
        _ => return false,
    };
    !exponent.is_empty() && digits(exponent) == exponent.len()
}

#[cfg(test)]
mod tests;
