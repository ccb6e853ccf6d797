//! The streaming reader: finds a line in its block; a line without quotes is copied and
//! split at once, any other goes field by field through `quoted.rs`.
//! Invariant: `start <= scanned <= end <= block.len()`; no LF lies in `start..scanned`.

use super::quoted::{self, Outcome};
use super::{BLOCK_BYTES, CsvError, Delimiter, FIELD_COUNT_MAX, RECORD_BYTES_MAX, Record};
use crate::text::input::InputError;
use memchr::{memchr, memchr_iter};
use std::io::{self, Read};

/// Reads records from any [`Read`]; a typed error of [`Input`](crate::text::input::Input)
/// comes through as [`CsvError::Input`].
///
/// Wrap the source to see the text's bytes, for example to hash them: a reader that has
/// returned `false` has taken all of them.
#[derive(Debug)]
pub struct CsvReader<R> {
    source: R,
    name: String,
    delimiter: u8,
    block: Vec<u8>,
    start: usize,
    scanned: usize,
    end: usize,
    at_end: bool,
    /// The line of `start`, counted from 1.
    line: u64,
}

/// Where the next line ends.
enum Line {
    /// Bytes of the line without its LF, and of its LF (0 at the end of the file).
    Found { len: usize, line_end: usize },
    /// No byte is left.
    End,
}

impl<R: Read> CsvReader<R> {
    /// Reads `source`, which messages call `name`.
    pub fn new(source: R, name: &str, delimiter: Delimiter) -> Self {
        Self {
            source,
            name: name.to_owned(),
            delimiter: delimiter.byte(),
            block: Vec::new(),
            start: 0,
            scanned: 0,
            end: 0,
            at_end: false,
            line: 1,
        }
    }

    /// What messages call the input.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The source, to look at.
    #[must_use]
    pub fn source(&self) -> &R {
        &self.source
    }

    /// Gives the source back.
    #[must_use]
    pub fn into_source(self) -> R {
        self.source
    }

    /// Reads the next record into `record`; `false` at the end, when `record` is empty.
    ///
    /// # Errors
    /// [`CsvError`] of reading and syntax. After an error that
    /// [`CsvError::is_of_one_record`], the next call goes on with the line that follows.
    pub fn read(&mut self, record: &mut Record) -> Result<bool, CsvError> {
        loop {
            record.clear(self.line);
            let Line::Found { len, line_end } = self.find_line()? else { return Ok(false) };
            let raw = self.block.get(self.start..self.start + len).unwrap_or_default();
            let line = raw.strip_suffix(b"\r").unwrap_or(raw);
            if line.is_empty() {
                self.consume(len + line_end, 1);
                continue;
            }
            if memchr(b'"', line).is_some() {
                return self.read_quoted(record).map(|()| true);
            }
            let fits = split(line, self.delimiter, record);
            self.consume(len + line_end, 1);
            return if fits { Ok(true) } else { Err(self.too_many_fields(record.line)) };
        }
    }

    fn consume(&mut self, bytes: usize, lines: u64) {
        self.start += bytes;
        self.scanned = self.start;
        self.line += lines;
    }

    fn too_many_fields(&self, line: u64) -> CsvError {
        CsvError::TooManyFields { name: self.name.clone(), line }
    }

    fn find_line(&mut self) -> Result<Line, CsvError> {
        loop {
            let fresh = self.block.get(self.scanned..self.end).unwrap_or_default();
            let found = memchr(b'\n', fresh);
            let len = self.scanned - self.start + found.unwrap_or(fresh.len());
            // The CR of a CRLF belongs to the line's end, so one byte more may stand here.
            if len > RECORD_BYTES_MAX + 1 {
                return Err(self.too_long());
            }
            if found.is_some() {
                return Ok(Line::Found { len, line_end: 1 });
            }
            self.scanned = self.end;
            if self.at_end {
                return Ok(if len == 0 { Line::End } else { Line::Found { len, line_end: 0 } });
            }
            self.fill()?;
        }
    }

    /// Reads a record that has a quote in its first line, from `start` on.
    fn read_quoted(&mut self, record: &mut Record) -> Result<(), CsvError> {
        let line = self.line;
        loop {
            record.clear(line);
            let available = self.end - self.start;
            let bytes = self.block.get(self.start..self.end).unwrap_or_default();
            let outcome = quoted::parse(bytes, self.delimiter, self.at_end, record);
            match outcome {
                Outcome::Record { len, lines } if len <= RECORD_BYTES_MAX + 2 => {
                    self.consume(len, lines);
                    let fits = record.len() <= FIELD_COUNT_MAX;
                    return if fits { Ok(()) } else { Err(self.too_many_fields(line)) };
                }
                Outcome::AfterQuote { field, len, lines } if len <= RECORD_BYTES_MAX + 2 => {
                    self.consume(len, lines);
                    let name = self.name.clone();
                    return Err(CsvError::AfterQuote { name, line, field });
                }
                Outcome::Record { .. } | Outcome::AfterQuote { .. } => return Err(self.too_long()),
                Outcome::OpenQuote => {
                    self.close();
                    return Err(CsvError::OpenQuote { name: self.name.clone(), line });
                }
                Outcome::More if available > RECORD_BYTES_MAX + 2 => return Err(self.too_long()),
                // Parsing starts anew each time, so the block doubles between two attempts.
                Outcome::More => {
                    while self.end - self.start < available * 2 && !self.at_end {
                        self.fill()?;
                    }
                }
            }
        }
    }

    fn too_long(&mut self) -> CsvError {
        self.close();
        CsvError::RecordTooLong { name: self.name.clone(), line: self.line }
    }

    /// Forgets the rest of the input, so that nothing is read after a fatal error.
    fn close(&mut self) {
        self.start = self.end;
        self.scanned = self.end;
        self.at_end = true;
    }

    /// Takes at least one byte more from the source, or notes that there is none.
    fn fill(&mut self) -> Result<(), CsvError> {
        if self.start > 0 {
            self.block.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.scanned -= self.start;
            self.start = 0;
        }
        if self.end == self.block.len() {
            let len = (self.block.len() * 2).max(BLOCK_BYTES);
            self.block.resize(len, 0);
        }
        let room = self.block.get_mut(self.end..).unwrap_or_default();
        let result = loop {
            match self.source.read(room) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match result {
            Ok(0) => self.at_end = true,
            Ok(n) => self.end += n,
            Err(e) => {
                self.close();
                return Err(InputError::from_io(&self.name, e).into());
            }
        }
        Ok(())
    }
}

/// Splits a line that holds no quote and no line end; `false` when it has too many fields.
fn split(line: &[u8], delimiter: u8, record: &mut Record) -> bool {
    record.bytes.extend_from_slice(line);
    for at in memchr_iter(delimiter, line).take(FIELD_COUNT_MAX) {
        record.ends.push(offset(at));
    }
    record.ends.push(offset(line.len()));
    record.ends.len() <= FIELD_COUNT_MAX
}

/// An offset inside a record; its length is limited far below `u32::MAX`.
pub(super) fn offset(at: usize) -> u32 {
    debug_assert!(u32::try_from(at).is_ok());
    u32::try_from(at).unwrap_or(u32::MAX)
}
