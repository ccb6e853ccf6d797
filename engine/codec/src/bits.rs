//! A bit stream, least significant bit of the first byte first: the tails of bit-packed vectors and
//! the variable-length codes are written in it.

use crate::error::{CodecError, corrupt};
use crate::num::low_mask;

/// Appends bits to a byte vector. [`BitWriter::finish`] must be called; it pads with zero bits.
#[derive(Debug)]
pub(crate) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    pending_bits: u32,
}

impl<'a> BitWriter<'a> {
    pub(crate) const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, pending: 0, pending_bits: 0 }
    }

    /// Writes the `width` (0 to 64) low bits of `value`; higher bits must be zero.
    #[inline]
    pub(crate) fn put(&mut self, value: u64, width: u32) {
        debug_assert!(value & !low_mask(width) == 0);
        self.pending |= value << self.pending_bits;
        let total = self.pending_bits + width;
        if total < 64 {
            self.pending_bits = total;
            return;
        }
        self.out.extend_from_slice(&self.pending.to_le_bytes());
        let written = 64 - self.pending_bits;
        self.pending = if written == 64 { 0 } else { value >> written };
        self.pending_bits = total - 64;
    }

    pub(crate) fn finish(self) {
        let bytes = self.pending.to_le_bytes();
        let len = self.pending_bits.div_ceil(8) as usize;
        self.out.extend(bytes.iter().take(len));
    }
}

/// The `width` (0 to 64) bits from bit `bit` of a stream; bits past its end read as zero.
#[inline]
pub(crate) fn bits_at(bytes: &[u8], bit: usize, width: u32) -> u64 {
    let tail = bytes.get(bit / 8..).unwrap_or_default();
    if width <= 57
        && let Some(chunk) = tail.first_chunk::<8>()
    {
        return u64::from_le_bytes(*chunk) >> (bit % 8) & low_mask(width);
    }
    bits_at_end(tail, bit % 8, width)
}

/// The rare case of [`bits_at`]: wide values, or the stream's last bytes.
#[cold]
#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
fn bits_at_end(tail: &[u8], shift: usize, width: u32) -> u64 {
    let window = tail.iter().take(9).rev().fold(0u128, |word, byte| word << 8 | u128::from(*byte));
    (window >> shift) as u64 & low_mask(width)
}

/// Checks that a stream of `bits` bits fills `bytes`, the padding being zero bits.
pub(crate) fn check_end(bytes: &[u8], bits: usize) -> Result<(), CodecError> {
    if bytes.len() < bits.div_ceil(8) {
        return Err(CodecError::Truncated);
    }
    if bytes.len() > bits.div_ceil(8) {
        return Err(corrupt("bytes are left after a bit stream"));
    }
    match bytes.last() {
        Some(last) if !bits.is_multiple_of(8) && last >> (bits % 8) != 0 => {
            Err(corrupt("padding bits are not zero"))
        }
        _ => Ok(()),
    }
}

/// Reads what [`BitWriter`] wrote; every read is checked.
#[derive(Debug, Clone)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The next 57 bits or more in the low bits; bits past the end read as zero.
    #[inline]
    pub(crate) fn peek(&self) -> u64 {
        let tail = self.bytes.get(self.position / 8..).unwrap_or_default();
        let word = match tail.first_chunk::<8>() {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => tail.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        word >> (self.position % 8)
    }

    /// Moves on by `bits`.
    #[inline]
    pub(crate) fn skip(&mut self, bits: u32) -> Result<(), CodecError> {
        let position = self.position + bits as usize;
        if position > self.bytes.len() * 8 {
            return Err(CodecError::Truncated);
        }
        self.position = position;
        Ok(())
    }

    /// The next `width` (0 to 64) bits.
    #[inline]
    pub(crate) fn read(&mut self, width: u32) -> Result<u64, CodecError> {
        if width <= 57 {
            let value = self.peek() & low_mask(width);
            self.skip(width)?;
            return Ok(value);
        }
        let low = self.read(32)?;
        Ok(low | self.read(width - 32)? << 32)
    }

    /// Ends the reading: at most 7 padding bits may be left, and they must be zero.
    pub(crate) fn finish(self) -> Result<(), CodecError> {
        check_end(self.bytes, self.position)
    }
}
