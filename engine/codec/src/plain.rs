//! Plain values, eight little-endian bytes each, and a constant, stored once.

use crate::encoding::{Bounds, Encoding, id};
use crate::error::{CodecError, corrupt};
use crate::varint::{self, Reader};

/// Eight little-endian bytes a value.
pub(crate) struct Plain;

impl Encoding<[i64], Vec<i64>> for Plain {
    const ID: u8 = id::PLAIN;

    fn encode(&self, values: &[i64], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + values.len() * 8, 0);
        let (chunks, _) = out.split_at_mut(start).1.as_chunks_mut::<8>();
        for (chunk, value) in chunks.iter_mut().zip(values) {
            *chunk = value.to_le_bytes();
        }
    }

    fn decode(body: Reader<'_>, bounds: Bounds, out: &mut Vec<i64>) -> Result<(), CodecError> {
        let (chunks, rest) = body.rest().as_chunks::<8>();
        if chunks.len() < bounds.count {
            return Err(CodecError::Truncated);
        }
        if chunks.len() != bounds.count || !rest.is_empty() {
            return Err(corrupt("bytes are left after plain values"));
        }
        out.extend(chunks.iter().map(|chunk| i64::from_le_bytes(*chunk)));
        Ok(())
    }
}

/// One value for the whole page.
pub(crate) struct Constant;

impl Encoding<[i64], Vec<i64>> for Constant {
    const ID: u8 = id::CONSTANT;

    /// Writes the first value: the caller has checked that all are equal.
    fn encode(&self, values: &[i64], out: &mut Vec<u8>) {
        varint::put_i64(out, values.first().copied().unwrap_or(0));
    }

    fn decode(mut body: Reader<'_>, bounds: Bounds, out: &mut Vec<i64>) -> Result<(), CodecError> {
        let value = body.i64()?;
        body.finish()?;
        out.resize(out.len() + bounds.count, value);
        Ok(())
    }
}
