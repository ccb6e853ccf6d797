//! Fields that several formats share: sequences, texts, bounded counts. Decoders take untrusted bytes: they never panic,
//! and allocate no more than the bytes that are there justify.

use chronolith_codec::CodecError;
use chronolith_codec::varint::{Reader, put_bytes, put_u64};

use crate::model::Sequence;

/// What a decoder returns.
pub(crate) type Decoded<T> = Result<T, CodecError>;

/// Shorthand for [`CodecError::Corrupt`].
pub(crate) const fn corrupt(what: &'static str) -> CodecError {
    CodecError::Corrupt { what }
}

/// Appends a sequence: incarnation and counter as varints.
pub(crate) fn put_sequence(out: &mut Vec<u8>, sequence: Sequence) {
    put_u64(out, u64::from(sequence.incarnation));
    put_u64(out, sequence.counter);
}

/// Reads what [`put_sequence`] wrote.
pub(crate) fn sequence(reader: &mut Reader<'_>) -> Decoded<Sequence> {
    Ok(Sequence { incarnation: u32(reader)?, counter: reader.u64()? })
}

/// Appends a text: its length in bytes as a varint, then UTF-8.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Reads a text of at most `max_bytes`.
pub(crate) fn text(
    reader: &mut Reader<'_>,
    what: &'static str,
    max_bytes: usize,
) -> Decoded<String> {
    let bytes = reader.prefixed_bytes()?;
    if bytes.len() > max_bytes {
        let (value, max) = (bytes.len() as u64, max_bytes as u64);
        return Err(CodecError::TooLarge { what, value, max });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| corrupt("a text is not UTF-8"))?;
    Ok(text.to_owned())
}

/// Reads a varint that fits 32 bits.
pub(crate) fn u32(reader: &mut Reader<'_>) -> Decoded<u32> {
    u32::try_from(reader.u64()?).map_err(|_| corrupt("a number passes 32 bits"))
}

/// Reads a count of things that take at least one byte each: at most `max`, and never more than the bytes left.
pub(crate) fn count(reader: &mut Reader<'_>, what: &'static str, max: usize) -> Decoded<usize> {
    let value = reader.u64()?;
    let bound = max.min(reader.remaining());
    match usize::try_from(value) {
        Ok(count) if count <= bound => Ok(count),
        _ => Err(CodecError::TooLarge { what, value, max: bound as u64 }),
    }
}

/// Appends a fixed little-endian 128-bit number.
pub(crate) fn put_u128(out: &mut Vec<u8>, value: u128) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Reads a fixed little-endian 128-bit number.
pub(crate) fn u128(reader: &mut Reader<'_>) -> Decoded<u128> {
    Ok(u128::from_le_bytes(array(reader)?))
}

/// Reads a fixed number of bytes.
pub(crate) fn array<const N: usize>(reader: &mut Reader<'_>) -> Decoded<[u8; N]> {
    reader.bytes(N)?.try_into().map_err(|_| CodecError::Truncated)
}
