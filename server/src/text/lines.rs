//! The lines of a text file one after the other, in bounded memory, with their numbers.

use super::input::InputError;
use std::io::{self, BufRead, BufReader, Read};

/// Longest line, in bytes, its end not counted.
pub const LINE_BYTES_MAX: usize = 16 << 20;
const BUFFER_BYTES: usize = 256 << 10;

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The bytes could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A line over the limit.
    #[error("{name}, line {line}: the line is over {LINE_BYTES_MAX} bytes; is this a text file?")]
    TooLong {
        /// The input.
        name: String,
        /// Counted from 1.
        line: u64,
    },
}

/// Reads lines that end with LF or CRLF, or with the file.
#[derive(Debug)]
pub struct LineReader<R> {
    source: BufReader<R>,
    name: String,
    line: Vec<u8>,
    number: u64,
}

impl<R: Read> LineReader<R> {
    /// Reads `source`, which messages call `name`.
    pub fn new(source: R, name: &str) -> Self {
        let source = BufReader::with_capacity(BUFFER_BYTES, source);
        Self { source, name: name.to_owned(), line: Vec::new(), number: 0 }
    }

    /// What messages call the input.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The line that was read last, without its end.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// Its number, counted from 1; 0 before the first one.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Reads the next line; `false` at the end.
    ///
    /// # Errors
    /// [`LineError`]; nothing is read behind it.
    pub fn advance(&mut self) -> Result<bool, LineError> {
        self.line.clear();
        // The two bytes of its end may stand behind the longest line.
        let limit = LINE_BYTES_MAX as u64 + 2;
        let read = self.source.by_ref().take(limit).read_until(b'\n', &mut self.line);
        let count = read.map_err(|error: io::Error| InputError::from_io(&self.name, error))?;
        if count == 0 {
            return Ok(false);
        }
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            if self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
        }
        if self.line.len() > LINE_BYTES_MAX {
            return Err(LineError::TooLong { name: self.name.clone(), line: self.number });
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<(u64, String)> {
        let mut reader = LineReader::new(bytes, "f");
        let mut lines = Vec::new();
        while reader.advance().unwrap() {
            lines.push((reader.number(), String::from_utf8(reader.line().to_vec()).unwrap()));
        }
        lines
    }

    #[test]
    fn lines_end_with_lf_crlf_or_the_file() {
        let found = lines(b"a\r\n\nb\rc\nd");
        let expected = [(1, "a"), (2, ""), (3, "b\rc"), (4, "d")];
        assert_eq!(found, expected.map(|(number, text)| (number, text.to_owned())));
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn a_line_of_the_longest_length_is_read_and_a_longer_one_is_not() {
        for (len, end, fits) in [(0, "\r\n", true), (0, "", true), (1, "\n", false), (9, "", false)]
        {
            let text = format!("{}{end}", "x".repeat(LINE_BYTES_MAX + len));
            let mut reader = LineReader::new(text.as_bytes(), "f");
            assert_eq!(reader.advance().is_ok(), fits, "{len} {end:?}");
        }
        let endless = io::repeat(b'x');
        let error = LineReader::new(endless, "f").advance().unwrap_err();
        assert!(error.to_string().starts_with("f, line 1: the line is over"), "{error}");
    }
}
