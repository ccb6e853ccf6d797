//! Encoding ids and the trait that every encoding implements. A page is one id byte and a body;
//! ids are part of the format, are never reused, and are listed in docs/format/codec.md.

use crate::error::{CodecError, check_max};
use crate::varint::Reader;

/// The id bytes of pages.
pub(crate) mod id {
    pub(crate) const PLAIN: u8 = 0x01;
    pub(crate) const CONSTANT: u8 = 0x02;
    pub(crate) const RUN_LENGTH: u8 = 0x03;
    pub(crate) const FRAME: u8 = 0x04;
    pub(crate) const DELTA: u8 = 0x05;
    pub(crate) const CLASSES: u8 = 0x06;
    pub(crate) const PLANES: u8 = 0x07;
    pub(crate) const BINS: u8 = 0x08;
    pub(crate) const XOR: u8 = 0x10;
    pub(crate) const DECIMAL: u8 = 0x11;
    pub(crate) const BITMAP_NONE: u8 = 0x20;
    pub(crate) const BITMAP_ALL: u8 = 0x21;
    pub(crate) const BITMAP_RAW: u8 = 0x22;
    pub(crate) const BITMAP_RUNS: u8 = 0x23;
    pub(crate) const TEXT_PLAIN: u8 = 0x30;
    pub(crate) const TEXT_DICTIONARY: u8 = 0x31;
    pub(crate) const TEXT_FRONT: u8 = 0x32;
    pub(crate) const ZSTD: u8 = 0x7f;
}

/// What a decoder may produce at most; both come from the caller, never from the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Exactly so many values.
    pub(crate) count: usize,
    /// At most so many bytes of text; unused by fixed-width values.
    pub(crate) bytes_max: usize,
}

impl Bounds {
    pub(crate) fn values(count: usize) -> Result<Self, CodecError> {
        check_max("values of a page", count, crate::BLOCK_VALUES_MAX)?;
        Ok(Self { count, bytes_max: 0 })
    }
}

/// One way of writing values of a kind (`In`) as a page body, and of appending them to an `Out`.
pub(crate) trait Encoding<In: ?Sized, Out> {
    /// The page's first byte.
    const ID: u8;

    /// Appends the body, without the id. Any values fit, though some encodings are then large.
    fn encode(&self, values: &In, out: &mut Vec<u8>);

    /// Appends exactly `bounds.count` values, reading `body` to its end. May leave some values
    /// behind on an error: the caller truncates.
    ///
    /// # Errors
    /// As [`CodecError`] says; never panics, allocates no more than the bounds allow.
    fn decode(body: Reader<'_>, bounds: Bounds, out: &mut Out) -> Result<(), CodecError>;
}

/// Appends a whole page: the id, then the body.
pub(crate) fn put_page<In: ?Sized, Out, E: Encoding<In, Out>>(
    encoding: &E,
    values: &In,
    out: &mut Vec<u8>,
) {
    out.push(E::ID);
    encoding.encode(values, out);
}
