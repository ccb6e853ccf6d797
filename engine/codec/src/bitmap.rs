//! A growable bitmap in Arrow's layout: bit `i` is bit `i % 8` (least significant first) of byte
//! `i / 8`. Invariants: `bytes.len() == len.div_ceil(8)`; bits past `len` are zero.

use crate::error::{CodecError, corrupt};

/// A sequence of bits; as validity, a set bit is a value and a clear one a null.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bitmap {
    bytes: Vec<u8>,
    len: usize,
}

impl Bitmap {
    /// An empty bitmap.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), len: 0 }
    }

    /// `len` bits, all `value`.
    #[must_use]
    pub fn filled(len: usize, value: bool) -> Self {
        let mut bitmap = Self::new();
        bitmap.push_run(value, len);
        bitmap
    }

    /// `len` bits, bit `i` being `bit(i)`.
    #[must_use]
    pub fn from_fn(len: usize, bit: impl FnMut(usize) -> bool) -> Self {
        (0..len).map(bit).collect()
    }

    /// The bitmap of `len` bits in `bytes` (Arrow's layout).
    ///
    /// # Errors
    /// `Corrupt` when `bytes` has another length than `len` needs, or bits past `len` are set.
    pub fn from_bytes(bytes: Vec<u8>, len: usize) -> Result<Self, CodecError> {
        if bytes.len() != len.div_ceil(8) {
            return Err(corrupt("a bitmap has the wrong length"));
        }
        let bitmap = Self { bytes, len };
        if bitmap.bytes.last().is_some_and(|last| last & !last_mask(len) != 0) {
            return Err(corrupt("bits past a bitmap's end are set"));
        }
        Ok(bitmap)
    }

    /// The bytes, `len().div_ceil(8)` of them; bits past the end are zero.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes without a copy, as [`Self::as_bytes`] shows them.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The number of bits.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bit `index`; `None` past the end.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<bool> {
        if index >= self.len {
            return None;
        }
        self.bytes.get(index / 8).map(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// Sets bit `index`; false, changing nothing, when it is past the end.
    pub fn set(&mut self, index: usize, value: bool) -> bool {
        if index >= self.len {
            return false;
        }
        if let Some(byte) = self.bytes.get_mut(index / 8) {
            let mask = 1 << (index % 8);
            *byte = if value { *byte | mask } else { *byte & !mask };
        }
        true
    }

    /// Appends a bit.
    pub fn push(&mut self, value: bool) {
        if self.len.is_multiple_of(8) {
            self.bytes.push(u8::from(value));
        } else if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(value) << (self.len % 8);
        }
        self.len += 1;
    }

    /// Appends `count` equal bits.
    pub fn push_run(&mut self, value: bool, count: usize) {
        let end = self.len + count;
        if let Some(last) = self.bytes.last_mut().filter(|_| value) {
            *last |= !last_mask(self.len);
        }
        self.bytes.resize(end.div_ceil(8), if value { u8::MAX } else { 0 });
        self.len = end;
        if let Some(last) = self.bytes.last_mut() {
            *last &= last_mask(end);
        }
    }

    /// Appends all bits of `other`.
    pub fn extend_from(&mut self, other: &Self) {
        self.append_bytes(&other.bytes, other.len);
    }

    /// Appends `count` bits of `other` from `start`; false, changing nothing, when it ends before.
    pub fn append_slice(&mut self, other: &Self, start: usize, count: usize) -> bool {
        let Some(end) = start.checked_add(count).filter(|end| *end <= other.len) else {
            return false;
        };
        let bytes = other.bytes.get(start / 8..end.div_ceil(8)).unwrap_or_default();
        let shift = start % 8;
        if shift == 0 {
            self.append_bytes(bytes, count);
            return true;
        }
        let next = bytes.iter().skip(1).copied().chain([0]);
        let aligned: Vec<u8> =
            bytes.iter().zip(next).map(|(low, high)| low >> shift | high << (8 - shift)).collect();
        self.append_bytes(&aligned, count);
        true
    }

    /// Appends `count` bits from the start of `bytes`, which holds at least as many.
    fn append_bytes(&mut self, bytes: &[u8], count: usize) {
        let shift = self.len % 8;
        let end = self.len + count;
        if shift == 0 {
            self.bytes.extend_from_slice(bytes);
        } else {
            for byte in bytes {
                if let Some(last) = self.bytes.last_mut() {
                    *last |= byte << shift;
                }
                self.bytes.push(byte >> (8 - shift));
            }
        }
        self.len = end;
        self.bytes.truncate(end.div_ceil(8));
        if let Some(last) = self.bytes.last_mut() {
            *last &= last_mask(end);
        }
    }

    /// The number of set bits.
    #[must_use]
    pub fn count_ones(&self) -> usize {
        let (words, rest) = self.bytes.as_chunks::<8>();
        let words: usize = words.iter().map(|w| u64::from_le_bytes(*w).count_ones() as usize).sum();
        words + rest.iter().map(|byte| byte.count_ones() as usize).sum::<usize>()
    }

    /// The positions of set bits, ascending.
    pub fn iter_ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.bytes.chunks(8).enumerate().flat_map(|(chunk, bytes)| {
            let mut word = bytes.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(chunk * 64 + bit)
            })
        })
    }

    /// All bits in order.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        let bits = |byte: &u8| {
            let byte = *byte;
            (0..8).map(move |bit| byte >> bit & 1 == 1)
        };
        self.bytes.iter().flat_map(bits).take(self.len)
    }
}

/// The bits of the last byte that belong to a bitmap of `len` bits.
const fn last_mask(len: usize) -> u8 {
    if len.is_multiple_of(8) { u8::MAX } else { !(u8::MAX << (len % 8)) }
}

impl Extend<bool> for Bitmap {
    fn extend<I: IntoIterator<Item = bool>>(&mut self, bits: I) {
        for bit in bits {
            self.push(bit);
        }
    }
}

impl FromIterator<bool> for Bitmap {
    fn from_iter<I: IntoIterator<Item = bool>>(bits: I) -> Self {
        let mut bitmap = Self::new();
        bitmap.extend(bits);
        bitmap
    }
}
