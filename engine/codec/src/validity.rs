//! Pages of bits: validity, and boolean columns. Four forms (none set, all set, raw bytes, run
//! lengths), of which the smallest is written; so a plan for booleans holds nothing.

use crate::bitmap::Bitmap;
use crate::encoding::{Bounds, Encoding, id, put_page};
use crate::error::{CodecError, corrupt};
use crate::int;
use crate::num;
use crate::varint::{self, Reader};
use crate::{Effort, error::check_max};

/// Arrow's bytes as they are.
struct Raw;

/// The first bit, then the lengths of runs as an integer page.
struct Runs;

impl Encoding<Bitmap, Bitmap> for Raw {
    const ID: u8 = id::BITMAP_RAW;

    fn encode(&self, bits: &Bitmap, out: &mut Vec<u8>) {
        out.extend_from_slice(bits.as_bytes());
    }

    fn decode(mut body: Reader<'_>, bounds: Bounds, out: &mut Bitmap) -> Result<(), CodecError> {
        let bytes = body.bytes(bounds.count.div_ceil(8))?;
        body.finish()?;
        out.extend_from(&Bitmap::from_bytes(bytes.to_vec(), bounds.count)?);
        Ok(())
    }
}

impl Encoding<Bitmap, Bitmap> for Runs {
    const ID: u8 = id::BITMAP_RUNS;

    fn encode(&self, bits: &Bitmap, out: &mut Vec<u8>) {
        let lengths = run_lengths(bits);
        out.push(u8::from(bits.get(0).unwrap_or(false)));
        varint::put_u64(out, lengths.len() as u64);
        int::encode_frame(&lengths, out);
    }

    fn decode(mut body: Reader<'_>, bounds: Bounds, out: &mut Bitmap) -> Result<(), CodecError> {
        let mut bit = match body.u8()? {
            0 => false,
            1 => true,
            _ => return Err(corrupt("a bit is neither 0 nor 1")),
        };
        let runs = num::to_usize(body.u64()?);
        check_max("runs of a bitmap", runs, bounds.count)?;
        let mut lengths = Vec::new();
        int::decode_leaf(body.rest(), runs, &mut lengths)?;
        let mut left = bounds.count;
        let mut decoded = Bitmap::new();
        for length in lengths {
            let length = usize::try_from(length).unwrap_or(0);
            if length == 0 {
                return Err(corrupt("a run is empty"));
            }
            left = left.checked_sub(length).ok_or(corrupt("runs pass the bitmap's end"))?;
            decoded.push_run(bit, length);
            bit = !bit;
        }
        if left > 0 {
            return Err(corrupt("runs end before the bitmap"));
        }
        out.extend_from(&decoded);
        Ok(())
    }
}

/// Lengths of the runs of equal bits.
fn run_lengths(bits: &Bitmap) -> Vec<i64> {
    let mut lengths = Vec::new();
    let mut current = bits.get(0);
    let mut length = 0;
    for bit in bits.iter() {
        if Some(bit) != current {
            lengths.push(length);
            length = 0;
            current = Some(bit);
        }
        length += 1;
    }
    if length > 0 {
        lengths.push(length);
    }
    lengths
}

/// Appends `bits` (0 to 65,536) as one page in the smallest of its forms.
pub fn encode_validity(bits: &Bitmap, out: &mut Vec<u8>) {
    let ones = bits.count_ones();
    if ones == bits.len() {
        return out.push(id::BITMAP_ALL);
    }
    if ones == 0 {
        return out.push(id::BITMAP_NONE);
    }
    let start = out.len();
    put_page(&Runs, bits, out);
    if out.len() - start > bits.as_bytes().len() {
        out.truncate(start);
        put_page(&Raw, bits, out);
    }
}

/// Appends exactly `count` bits (at most 65,536) from a page; on an error `out` is unchanged.
///
/// # Errors
/// As [`crate::decode_i64`].
pub fn decode_validity(bytes: &[u8], count: usize, out: &mut Bitmap) -> Result<(), CodecError> {
    let bounds = Bounds::values(count)?;
    let mut body = Reader::new(bytes);
    match body.u8()? {
        page @ (id::BITMAP_NONE | id::BITMAP_ALL) => {
            body.finish()?;
            out.push_run(page == id::BITMAP_ALL, count);
            Ok(())
        }
        id::BITMAP_RAW => Raw::decode(body, bounds, out),
        id::BITMAP_RUNS => Runs::decode(body, bounds, out),
        other => Err(CodecError::UnknownEncoding(other)),
    }
}

/// The choice for one block of booleans: nothing is left to choose, pages decide themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BoolPlan;

/// Plans a block of booleans.
#[must_use]
pub const fn plan_bool(_values: &[bool], _effort: Effort) -> BoolPlan {
    BoolPlan
}

/// Appends `values` (0 to 65,536) as one page. Always succeeds.
pub fn encode_bool(values: &[bool], _plan: &BoolPlan, out: &mut Vec<u8>) {
    encode_validity(&values.iter().copied().collect(), out);
}

/// Appends exactly `count` booleans (at most 65,536) from a page; on an error `out` is unchanged.
///
/// # Errors
/// As [`crate::decode_i64`].
pub fn decode_bool(bytes: &[u8], count: usize, out: &mut Vec<bool>) -> Result<(), CodecError> {
    let mut bits = Bitmap::new();
    decode_validity(bytes, count, &mut bits)?;
    out.extend(bits.iter());
    Ok(())
}
