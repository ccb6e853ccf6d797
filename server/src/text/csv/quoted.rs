//! Records with quotes, field by field. Pure: it sees the bytes that are there and says
//! when it needs more of them.

use super::reader::offset;
use super::{FIELD_COUNT_MAX, Record};
use memchr::{memchr, memchr_iter, memchr2};

/// What came of the bytes at hand.
pub(super) enum Outcome {
    /// A record of `len` bytes with its line end, over `lines` lines.
    Record { len: usize, lines: u64 },
    /// Text after a closing quote in field `field` (from 1); `len` bytes up to and with
    /// the end of that line are spoilt.
    AfterQuote { field: usize, len: usize, lines: u64 },
    /// The input ends inside quotes.
    OpenQuote,
    /// The record does not end in these bytes, and more may come.
    More,
}

/// How a field ended; offsets are from the record's start.
enum End {
    /// At a delimiter; the next field starts there.
    Field(usize),
    /// At a line end or the end of the input; the next record starts there.
    Record(usize),
    /// Behind a closing quote stands something else, from there on.
    AfterQuote(usize),
    OpenQuote,
    More,
}

/// Parses the record at the start of `bytes` into `record`, which is cleared before;
/// `at_end` says that no byte follows them. Fields over [`FIELD_COUNT_MAX`] are not
/// kept, but one too many is.
pub(super) fn parse(bytes: &[u8], delimiter: u8, at_end: bool, record: &mut Record) -> Outcome {
    let scan = Scan { bytes, delimiter, at_end };
    let mut at = 0;
    loop {
        let quoted = bytes.get(at) == Some(&b'"');
        let end = if quoted {
            scan.quoted(at + 1, &mut record.bytes)
        } else {
            scan.unquoted(at, &mut record.bytes)
        };
        if record.ends.len() <= FIELD_COUNT_MAX {
            record.ends.push(offset(record.bytes.len()));
            record.quoted.push(quoted);
        }
        match end {
            End::Field(next) => {
                record.bytes.push(delimiter);
                at = next;
            }
            End::Record(len) => return Outcome::Record { len, lines: scan.lines(len) },
            End::AfterQuote(from) => return scan.after_quote(from, record.ends.len()),
            End::OpenQuote => return Outcome::OpenQuote,
            End::More => return Outcome::More,
        }
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    delimiter: u8,
    at_end: bool,
}

impl Scan<'_> {
    fn from(&self, at: usize) -> &[u8] {
        self.bytes.get(at..).unwrap_or_default()
    }

    /// A field that starts at `at` without a quote; quotes in it are data.
    fn unquoted(&self, at: usize, out: &mut Vec<u8>) -> End {
        let rest = self.from(at);
        let (contents, end) = match memchr2(self.delimiter, b'\n', rest) {
            Some(len) if rest.get(len) == Some(&b'\n') => (len, End::Record(at + len + 1)),
            Some(len) => (len, End::Field(at + len + 1)),
            None if self.at_end => (rest.len(), End::Record(self.bytes.len())),
            None => return End::More,
        };
        let mut field = rest.get(..contents).unwrap_or_default();
        if matches!(end, End::Record(_)) {
            field = field.strip_suffix(b"\r").unwrap_or(field);
        }
        out.extend_from_slice(field);
        end
    }

    /// A field whose opening quote stands before `at`.
    fn quoted(&self, mut at: usize, out: &mut Vec<u8>) -> End {
        loop {
            let rest = self.from(at);
            let Some(len) = memchr(b'"', rest) else {
                return if self.at_end { End::OpenQuote } else { End::More };
            };
            out.extend_from_slice(rest.get(..len).unwrap_or_default());
            at += len + 1;
            if self.bytes.get(at) != Some(&b'"') {
                return self.behind_quote(at);
            }
            out.push(b'"');
            at += 1;
        }
    }

    fn behind_quote(&self, at: usize) -> End {
        match self.from(at) {
            [b, ..] if *b == self.delimiter => End::Field(at + 1),
            [b'\n', ..] => End::Record(at + 1),
            [b'\r', b'\n', ..] => End::Record(at + 2),
            [] | [b'\r'] if self.at_end => End::Record(self.bytes.len()),
            [] | [b'\r'] => End::More,
            _ => End::AfterQuote(at),
        }
    }

    fn after_quote(&self, from: usize, field: usize) -> Outcome {
        let len = match memchr(b'\n', self.from(from)) {
            Some(len) => from + len + 1,
            None if self.at_end => self.bytes.len(),
            None => return Outcome::More,
        };
        Outcome::AfterQuote { field, len, lines: self.lines(len) }
    }

    fn lines(&self, len: usize) -> u64 {
        let newlines = memchr_iter(b'\n', self.bytes.get(..len).unwrap_or_default()).count();
        newlines as u64
    }
}
