//! Text values end to end in one buffer (Arrow's layout with 32-bit offsets), and a borrowed part
//! of one. Invariant: `offsets` starts with 0, never falls, and ends with `bytes.len()`.

use crate::error::{CodecError, check_max, corrupt};
use crate::num;

/// Texts end to end: text `i` is `bytes[offsets[i]..offsets[i + 1]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextBuf {
    /// Where texts begin: one more than there are texts, the first 0, the last `bytes.len()`.
    pub offsets: Vec<u32>,
    /// The texts' UTF-8 bytes, without separators.
    pub bytes: Vec<u8>,
}

impl Default for TextBuf {
    fn default() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }
}

impl TextBuf {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one text.
    ///
    /// # Errors
    /// `TooLarge` when the buffer would pass `u32::MAX` bytes; it is unchanged then.
    pub fn push(&mut self, text: &str) -> Result<(), CodecError> {
        self.push_bytes(text.as_bytes())
    }

    /// Appends one text that may not be UTF-8 yet; the decoders check all of a page at once.
    pub(crate) fn push_bytes(&mut self, text: &[u8]) -> Result<(), CodecError> {
        let end = self.bytes.len() + text.len();
        check_max("bytes of a text buffer", end, u32::MAX as usize)?;
        self.bytes.extend_from_slice(text);
        self.offsets.push(num::to_u32(end as u64));
        Ok(())
    }

    /// The number of texts.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there are no texts.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Text `index`; `None` past the end, or where the fields were changed into something that is
    /// not UTF-8. It checks UTF-8 at each call: [`TextView::get_bytes`] does not.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&str> {
        self.view().get(index)
    }

    /// All texts.
    #[must_use]
    pub fn view(&self) -> TextView<'_> {
        TextView { offsets: &self.offsets, bytes: &self.bytes }
    }

    /// Drops all but the first `len` texts.
    pub fn truncate(&mut self, len: usize) {
        if let Some(end) = self.offsets.get(len) {
            self.bytes.truncate(*end as usize);
            self.offsets.truncate(len + 1);
        }
    }

    /// Checks the texts from `first` on: UTF-8, and offsets between characters.
    pub(crate) fn validate_from(&self, first: usize) -> Result<(), CodecError> {
        let offsets = self.offsets.get(first..).unwrap_or_default();
        let start = offsets.first().map_or(0, |start| *start as usize);
        let added = self.bytes.get(start..).unwrap_or_default();
        let text = str::from_utf8(added).map_err(|_| corrupt("text is not utf-8"))?;
        let between = |offset: &u32| text.is_char_boundary((*offset as usize).wrapping_sub(start));
        if offsets.iter().all(between) {
            return Ok(());
        }
        Err(corrupt("a text offset lies inside a character"))
    }
}

impl<'a> FromIterator<&'a str> for TextBuf {
    /// Texts past `u32::MAX` bytes in all are left out.
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        let mut buffer = Self::new();
        for text in texts {
            if buffer.push(text).is_err() {
                break;
            }
        }
        buffer
    }
}

/// Consecutive texts of a [`TextBuf`].
#[derive(Debug, Clone, Copy)]
pub struct TextView<'a> {
    /// One more than there are texts; not rebased, so the first need not be 0.
    offsets: &'a [u32],
    bytes: &'a [u8],
}

impl<'a> TextView<'a> {
    /// The number of texts.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there are no texts.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Text `index`; `None` past the end or when it is not UTF-8.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a str> {
        self.get_bytes(index).and_then(|bytes| str::from_utf8(bytes).ok())
    }

    /// Text `index` without checking UTF-8; `None` past the end.
    #[must_use]
    pub fn get_bytes(&self, index: usize) -> Option<&'a [u8]> {
        let start = *self.offsets.get(index)? as usize;
        let end = *self.offsets.get(index + 1)? as usize;
        self.bytes.get(start..end)
    }

    /// The `count` texts from `start`; fewer where the view ends.
    #[must_use]
    pub fn slice(&self, start: usize, count: usize) -> Self {
        let end = start.saturating_add(count).min(self.len());
        Self { offsets: self.offsets.get(start..=end).unwrap_or_default(), bytes: self.bytes }
    }

    /// The texts' bytes in order.
    pub fn iter_bytes(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let view = *self;
        (0..view.len()).map(move |index| view.get_bytes(index).unwrap_or_default())
    }
}

impl<'a> From<&'a TextBuf> for TextView<'a> {
    fn from(buffer: &'a TextBuf) -> Self {
        buffer.view()
    }
}
