//! Refuses CSV that ends inside a quoted text: the reader behind would take the rest of the file for that text, without a word.

use std::io::{Error, ErrorKind, Read, Result};

/// The characters that matter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    pub(super) delimiter: u8,
    pub(super) quote: u8,
    pub(super) escape: Option<u8>,
}

impl Default for Marks {
    /// Those of RFC 4180.
    fn default() -> Self {
        Self { delimiter: b',', quote: b'"', escape: None }
    }
}

/// Where the reading stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Outside,
    Inside,
    /// Behind an escape character, inside.
    Escaped,
    /// Behind a quote, which ends the text unless another one follows.
    Quote,
}

/// Passes bytes on and follows quotes. An unclosed one is an error where the bytes end.
pub(super) struct Closed<R> {
    inner: R,
    marks: Marks,
    state: State,
    /// The byte before the next one; at the beginning, the end of a line.
    before: u8,
    /// Lines that have ended.
    line_count: u64,
    /// The line, from 1, of the newest text's quote.
    opened_at: u64,
}

impl<R: Read> Closed<R> {
    pub(super) fn new(inner: R, marks: Marks) -> Self {
        // A quote that escapes itself is what a quote does anyway.
        let escape = marks.escape.filter(|escape| *escape != marks.quote);
        let (marks, state) = (Marks { escape, ..marks }, State::Outside);
        Self { inner, marks, state, before: b'\n', line_count: 0, opened_at: 0 }
    }

    fn follow(&mut self, bytes: &[u8]) {
        let Marks { delimiter, quote, escape } = self.marks;
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match self.state {
                State::Outside => match memchr::memchr(quote, rest) {
                    Some(at) => {
                        let (ahead, _) = rest.split_at(at);
                        let before = ahead.last().copied().unwrap_or(self.before);
                        // Elsewhere in a field a quote is a character.
                        if [delimiter, b'\n', b'\r'].contains(&before) {
                            self.state = State::Inside;
                            self.opened_at = self.line_count + lines(ahead) + 1;
                        }
                        at + 1
                    }
                    None => rest.len(),
                },
                State::Inside => {
                    let at = memchr::memchr2(quote, escape.unwrap_or(quote), rest);
                    match at.and_then(|at| rest.get(at)) {
                        Some(byte) if Some(*byte) == escape => self.state = State::Escaped,
                        Some(_) => self.state = State::Quote,
                        None => {}
                    }
                    at.map_or(rest.len(), |at| at + 1)
                }
                State::Escaped => {
                    self.state = State::Inside;
                    1
                }
                State::Quote if rest.first() == Some(&quote) => {
                    self.state = State::Inside;
                    1
                }
                State::Quote => {
                    self.state = State::Outside;
                    0
                }
            };
            let (seen, left) = rest.split_at(taken);
            self.before = seen.last().copied().unwrap_or(self.before);
            self.line_count += lines(seen);
            rest = left;
        }
    }
}

fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

impl<R: Read> Read for Closed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.inner.read(buffer)?;
        if count == 0 && matches!(self.state, State::Inside | State::Escaped) && !buffer.is_empty()
        {
            let text =
                format!("the quoted text that begins in line {} is not closed", self.opened_at);
            return Err(Error::new(ErrorKind::InvalidData, text));
        }
        self.follow(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line that the error names; none where there is no error.
    fn unclosed(text: &str, marks: Marks) -> Option<u64> {
        let mut found = Vec::new();
        // However the bytes are cut, the answer is one.
        for step in [1, 2, 3, text.len().max(1)] {
            let mut reader = Closed::new(text.as_bytes(), marks);
            let mut buffer = vec![0; step];
            let end = loop {
                match reader.read(&mut buffer) {
                    Ok(0) => break None,
                    Ok(_) => {}
                    Err(error) => break Some((error.to_string(), reader.opened_at)),
                }
            };
            found.push(end.map(|(text, line)| {
                assert!(text.contains(&format!("line {line} ")), "{text}");
                line
            }));
        }
        found.dedup();
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        found.pop().flatten()
    }

    #[test]
    fn a_quoted_text_must_be_closed() {
        let plain = Marks::default();
        for text in
            ["", "a,b\n1,2", "\"a\"\n", "\"a\"\"b\",\"c\nd\"\n", "a\"b,c\n", "x,\"\"\"\"", "\"a\"x"]
        {
            assert_eq!(unclosed(text, plain), None, "{text:?}");
        }
        assert_eq!(unclosed("\"", plain), Some(1));
        assert_eq!(unclosed("a,b\n1,\"2\n3,4\n", plain), Some(2));
        assert_eq!(unclosed("\"a\nb\"\nx,\"\"\"", plain), Some(3));
        let other = Marks { delimiter: b';', quote: b'\'', escape: Some(b'\\') };
        assert_eq!(unclosed("'a\\'b';'\\\\'", other), None);
        assert_eq!(unclosed("a;'b\\'", other), Some(1));
        assert_eq!(unclosed("a,'b", other), None);
    }
}
