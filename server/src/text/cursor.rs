//! A position in a line that is parsed byte by byte. What a grammar reads there is with the grammar.

/// A position in a line.
pub(super) struct Cursor<'a> {
    pub(super) line: &'a str,
    /// Bytes of the line that were read.
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    /// What was not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.line.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// Reads the next byte where it is `byte`.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }
}
