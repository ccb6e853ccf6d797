//! LEB128 integers, zigzag, fixed-width little-endian fields, and the checked [`Reader`] that every
//! parser of outside bytes uses. Nothing here panics or allocates. Format: docs/format/codec.md.

use crate::error::{CodecError, corrupt};
use crate::num;

/// The most bytes that [`put_u64`] writes.
pub const VARINT_BYTES_MAX: usize = 10;

/// Appends `value` as LEB128 (DWARF 5, section 7.6): 7 bits a byte, low bits first, 1 to 10 bytes.
pub fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(num::to_u8(value & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(num::to_u8(value));
}

/// Appends `value` zigzag-coded as LEB128, so that small magnitudes of either sign are short.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(out, num::zigzag(value));
}

/// Appends `bytes` after their length as LEB128.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A cursor over untrusted bytes: each read checks what is left and moves on only when it succeeds.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Bytes not yet read.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes not yet read, without moving.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// `Truncated` when fewer are left.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (head, tail) = self.bytes.split_at_checked(len).ok_or(CodecError::Truncated)?;
        self.bytes = tail;
        Ok(head)
    }

    /// Bytes after their LEB128 length, as [`put_bytes`] writes them.
    ///
    /// # Errors
    /// `Truncated` when fewer are left; `Corrupt` for a bad length.
    pub fn prefixed_bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let len = self.u64()?;
        self.bytes(num::to_usize(len))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (head, tail) = self.bytes.split_first_chunk::<N>().ok_or(CodecError::Truncated)?;
        self.bytes = tail;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    /// `Truncated` when none is left.
    pub fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// A fixed two-byte little-endian integer.
    ///
    /// # Errors
    /// `Truncated` when fewer than two bytes are left.
    pub fn u16_le(&mut self) -> Result<u16, CodecError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A fixed four-byte little-endian integer.
    ///
    /// # Errors
    /// `Truncated` when fewer than four bytes are left.
    pub fn u32_le(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A fixed eight-byte little-endian integer.
    ///
    /// # Errors
    /// `Truncated` when fewer than eight bytes are left.
    pub fn u64_le(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A fixed eight-byte little-endian two's-complement integer.
    ///
    /// # Errors
    /// `Truncated` when fewer than eight bytes are left.
    pub fn i64_le(&mut self) -> Result<i64, CodecError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A LEB128 integer. Only the shortest form is accepted, so that equal values are equal bytes.
    ///
    /// # Errors
    /// `Truncated` when the bytes end inside it; `Corrupt` when it is padded or passes 64 bits.
    pub fn u64(&mut self) -> Result<u64, CodecError> {
        let mut rest = self.bytes;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let (&byte, tail) = rest.split_first().ok_or(CodecError::Truncated)?;
            rest = tail;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                return Err(corrupt("a varint passes 64 bits"));
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(corrupt("a varint is longer than needed"));
                }
                self.bytes = rest;
                return Ok(value);
            }
        }
        Err(corrupt("a varint passes 64 bits"))
    }

    /// A zigzag LEB128 integer, as [`put_i64`] writes it.
    ///
    /// # Errors
    /// As [`Reader::u64`].
    pub fn i64(&mut self) -> Result<i64, CodecError> {
        Ok(num::unzigzag(self.u64()?))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `Corrupt` when bytes are left.
    pub fn finish(self) -> Result<(), CodecError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(corrupt("bytes are left after the end")) }
    }
}
