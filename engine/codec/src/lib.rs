//! Values to bytes and back (stub).
#![allow(
    missing_docs,
    dead_code,
    clippy::all,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]
mod error;
mod num;
pub mod varint;
pub use error::CodecError;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bitmap {
    bits: Vec<bool>,
}
impl Bitmap {
    pub fn filled(len: usize, value: bool) -> Self {
        Self { bits: vec![value; len] }
    }
    pub fn len(&self) -> usize {
        self.bits.len()
    }
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }
    pub fn push(&mut self, value: bool) {
        self.bits.push(value)
    }
    pub fn get(&self, at: usize) -> bool {
        self.bits[at]
    }
    pub fn count_ones(&self) -> usize {
        self.bits.iter().filter(|b| **b).count()
    }
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextBuf {
    pub offsets: Vec<u32>,
    pub bytes: Vec<u8>,
}
impl Default for TextBuf {
    fn default() -> Self {
        Self { offsets: vec![0], bytes: vec![] }
    }
}
impl TextBuf {
    pub fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.offsets.push(self.bytes.len() as u32)
    }
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }
    pub fn get(&self, at: usize) -> Option<&str> {
        let (from, to) = (*self.offsets.get(at)? as usize, *self.offsets.get(at + 1)? as usize);
        std::str::from_utf8(self.bytes.get(from..to)?).ok()
    }
}
