//! Integer blocks: the plan, and pages of `i64` (timestamps, sequences, decimals, and unsigned
//! values as bit patterns). Every integer page is at most [`page_bytes_max`] long.

use crate::bins::Bins;
use crate::classes::Classes;
use crate::compress;
use crate::delta::Delta;
use crate::encoding::{Bounds, Encoding, id, put_page};
use crate::error::CodecError;
use crate::frame::Frame;
use crate::plain::{Constant, Plain};
use crate::planes::Planes;
use crate::rle::RunLength;
use crate::varint::Reader;
use crate::{ZSTD_SAVING_DIVISOR, choose};

/// How the integers of a block are encoded. A page whose values are all equal becomes a constant
/// and a page that a plan would make larger than plain falls back, whatever the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IntEncoding {
    /// Eight bytes a value.
    Plain,
    /// Runs of equal values.
    RunLength,
    /// Bit-packed offsets from each vector's least value.
    Frame,
    /// Bit-packed differences.
    Delta,
    /// Variable-length classes of differences, or of differences of differences.
    Classes {
        /// Whether differences are taken twice.
        second_order: bool,
    },
    /// Entropy-coded bins of values, or of differences.
    Bins {
        /// Whether differences are taken first.
        differences: bool,
    },
    /// Byte planes of values, or of differences; meant for Zstd.
    Planes {
        /// Whether differences are taken first.
        differences: bool,
    },
}

/// The choice for one block of integers, made once from its values and applied to each page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntPlan {
    /// The encoding of each page.
    pub encoding: IntEncoding,
    /// A guess at what divides all differences: 1 is never checked further, 0 means unknown.
    /// Each page verifies it and takes the divisor that holds.
    pub divisor: u64,
    /// The Zstd level tried over each page, kept where it saves at least a twentieth; 0 is none.
    pub zstd_level: i32,
}

impl IntPlan {
    /// A plan of one encoding, without Zstd and with the divisor searched page by page.
    #[must_use]
    pub const fn of(encoding: IntEncoding) -> Self {
        Self { encoding, divisor: 0, zstd_level: 0 }
    }
}

/// The longest integer page of `count` values, before Zstd.
pub(crate) const fn page_bytes_max(count: usize) -> usize {
    64 + count * 8
}

/// Chooses how to encode a block of up to 65,536 values (more are allowed: it samples).
/// The smallest estimate wins, each estimate being the size of real encodings of spread samples.
#[must_use]
pub fn plan_i64(values: &[i64], effort: crate::Effort) -> IntPlan {
    choose::plan_int(&choose::samples(values, effort), effort)
}

/// Appends `values` (0 to 65,536) as one page. Always succeeds.
pub fn encode_i64(values: &[i64], plan: &IntPlan, out: &mut Vec<u8>) {
    let start = out.len();
    encode_unwrapped(values, plan, out);
    if plan.zstd_level != 0 {
        compress::wrap(out, start, plan.zstd_level, ZSTD_SAVING_DIVISOR);
    }
}

/// Appends exactly `count` values (at most 65,536) from a page; on an error `out` is unchanged.
///
/// # Errors
/// `Truncated`, `UnknownEncoding`, `Corrupt` or `TooLarge` for bytes that no encoder writes for
/// `count` values. Checksums are the caller's: bytes changed into another valid page decode.
pub fn decode_i64(bytes: &[u8], count: usize, out: &mut Vec<i64>) -> Result<(), CodecError> {
    let bounds = Bounds::values(count)?;
    let start = out.len();
    let result = decode_page(bytes, bounds, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn decode_page(bytes: &[u8], bounds: Bounds, out: &mut Vec<i64>) -> Result<(), CodecError> {
    let mut body = Reader::new(bytes);
    let page_id = body.u8()?;
    if page_id == id::ZSTD {
        let page = compress::unwrap(body, page_bytes_max(bounds.count))?;
        return decode_unwrapped(&page, bounds, out);
    }
    decode_unwrapped(bytes, bounds, out)
}

/// A page without the Zstd step.
pub(crate) fn encode_unwrapped(values: &[i64], plan: &IntPlan, out: &mut Vec<u8>) {
    let start = out.len();
    let Some(first) = values.first() else { return put_page(&Plain, values, out) };
    if values.iter().all(|value| value == first) {
        return put_page(&Constant, values, out);
    }
    let divisor = plan.divisor;
    match plan.encoding {
        IntEncoding::Plain => put_page(&Plain, values, out),
        IntEncoding::RunLength => put_page(&RunLength { divisor }, values, out),
        IntEncoding::Frame => put_page(&Frame { divisor }, values, out),
        IntEncoding::Delta => put_page(&Delta { divisor }, values, out),
        IntEncoding::Classes { second_order } => {
            put_page(&Classes { second_order, divisor }, values, out);
        }
        IntEncoding::Bins { differences } => put_page(&Bins { differences, divisor }, values, out),
        IntEncoding::Planes { differences } => {
            put_page(&Planes { differences, divisor }, values, out);
        }
    }
    if out.len() - start > page_bytes_max(values.len()) {
        out.truncate(start);
        encode_leaf(values, divisor, out);
    }
}

/// The inverse of [`encode_unwrapped`]; a Zstd page is not accepted here, so nothing nests twice.
pub(crate) fn decode_unwrapped(
    bytes: &[u8],
    bounds: Bounds,
    out: &mut Vec<i64>,
) -> Result<(), CodecError> {
    let mut body = Reader::new(bytes);
    match body.u8()? {
        id::RUN_LENGTH => RunLength::decode(body, bounds, out),
        id::CLASSES => Classes::decode(body, bounds, out),
        id::BINS => Bins::decode(body, bounds, out),
        id::PLANES => Planes::decode(body, bounds, out),
        _ => decode_leaf(bytes, bounds.count, out),
    }
}

/// A page in the smallest of the encodings that hold no further page.
pub(crate) fn encode_leaf(values: &[i64], divisor: u64, out: &mut Vec<u8>) {
    let start = out.len();
    if values.iter().all(|value| Some(value) == values.first()) && !values.is_empty() {
        return put_page(&Constant, values, out);
    }
    put_page(&Frame { divisor }, values, out);
    let mut delta = Vec::new();
    put_page(&Delta { divisor }, values, &mut delta);
    if delta.len() < out.len() - start {
        out.truncate(start);
        out.append(&mut delta);
    }
    if out.len() - start > 1 + values.len() * 8 {
        out.truncate(start);
        put_page(&Plain, values, out);
    }
}

/// A leaf page of numbers whose differences are no smaller than they are, such as run lengths.
pub(crate) fn encode_frame(values: &[i64], out: &mut Vec<u8>) {
    match values.first() {
        Some(first) if values.iter().any(|value| value != first) => {
            put_page(&Frame { divisor: 1 }, values, out);
        }
        _ => put_page(&Constant, values, out),
    }
}

/// Decodes a page that holds no further page.
pub(crate) fn decode_leaf(
    bytes: &[u8],
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), CodecError> {
    let bounds = Bounds::values(count)?;
    let mut body = Reader::new(bytes);
    match body.u8()? {
        id::PLAIN => Plain::decode(body, bounds, out),
        id::CONSTANT => Constant::decode(body, bounds, out),
        id::FRAME => Frame::decode(body, bounds, out),
        id::DELTA => Delta::decode(body, bounds, out),
        other => Err(CodecError::UnknownEncoding(other)),
    }
}
