//! Blocks of doubles: the plan, and pages of `f64`, exact to the bit for NaN payloads and -0.0. A
//! page with an integer encoding's id holds the doubles' bit patterns.

use crate::decimal::{Decimal, Decimals};
use crate::encoding::{Bounds, Encoding, id, put_page};
use crate::error::CodecError;
use crate::int::{self, IntEncoding, IntPlan, page_bytes_max};
use crate::varint::Reader;
use crate::xor::Xor;
use crate::{Effort, ZSTD_SAVING_DIVISOR, choose, compress};

/// How the doubles of a block are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FloatEncoding {
    /// Decimals as integers.
    Decimal {
        /// How doubles become integers.
        decimal: Decimal,
        /// The encoding of the integers.
        inner: IntEncoding,
    },
    /// Bit patterns as integers.
    Bits {
        /// The encoding of the bit patterns.
        inner: IntEncoding,
    },
    /// XOR with the value before.
    Xor,
}

/// The choice for one block of doubles, made once from its values and applied to each page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloatPlan {
    /// The encoding of each page.
    pub encoding: FloatEncoding,
    /// The integers' divisor, as in [`IntPlan`].
    pub divisor: u64,
    /// The Zstd level tried over each page, kept where it saves at least a twentieth; 0 is none.
    pub zstd_level: i32,
}

impl FloatPlan {
    /// A plan of one encoding, without Zstd and with the divisor searched page by page.
    #[must_use]
    pub const fn of(encoding: FloatEncoding) -> Self {
        Self { encoding, divisor: 0, zstd_level: 0 }
    }

    /// A plan whose integers follow `inner`.
    pub(crate) const fn over(encoding: FloatEncoding, inner: IntPlan) -> Self {
        Self { encoding, divisor: inner.divisor, zstd_level: inner.zstd_level }
    }
}

/// Chooses how to encode a block of up to 65,536 doubles (more are allowed: it samples).
#[must_use]
pub fn plan_f64(values: &[f64], effort: Effort) -> FloatPlan {
    choose::plan_float(&choose::samples(values, effort), effort)
}

/// Appends `values` (0 to 65,536) as one page. Always succeeds.
pub fn encode_f64(values: &[f64], plan: &FloatPlan, out: &mut Vec<u8>) {
    let start = out.len();
    match plan.encoding {
        FloatEncoding::Decimal { decimal, inner } => {
            let decimals = Decimals { decimal, inner, divisor: plan.divisor };
            put_page(&decimals, values, out);
            refit(&decimals, values, start, out);
        }
        FloatEncoding::Bits { inner } => {
            let inner = IntPlan { encoding: inner, divisor: plan.divisor, zstd_level: 0 };
            int::encode_unwrapped(&to_bits(values), &inner, out);
        }
        FloatEncoding::Xor => put_page(&Xor, values, out),
    }
    if out.len() - start > page_bytes_max(values.len()) {
        out.truncate(start);
        int::encode_leaf(&to_bits(values), 1, out);
    }
    if plan.zstd_level != 0 {
        compress::wrap(out, start, plan.zstd_level, ZSTD_SAVING_DIVISOR);
    }
}

/// A page of decimals that came out at more than half its plain size may suit other exponents (its
/// digits changed) or none: the smallest of the three stays.
fn refit(planned: &Decimals, values: &[f64], start: usize, out: &mut Vec<u8>) {
    if out.len() - start <= values.len() * 4 {
        return;
    }
    let mut other = Vec::new();
    let mut keep_smaller = |other: &mut Vec<u8>| {
        if other.len() < out.len() - start {
            out.truncate(start);
            out.append(other);
        }
        other.clear();
    };
    if let Some(decimal) = Decimal::fit(&[values]).filter(|other| *other != planned.decimal) {
        put_page(&Decimals { decimal, ..*planned }, values, &mut other);
        keep_smaller(&mut other);
    }
    int::encode_leaf(&to_bits(values), 1, &mut other);
    keep_smaller(&mut other);
}

/// Appends exactly `count` doubles (at most 65,536) from a page; on an error `out` is unchanged.
///
/// # Errors
/// As [`crate::decode_i64`].
pub fn decode_f64(bytes: &[u8], count: usize, out: &mut Vec<f64>) -> Result<(), CodecError> {
    let bounds = Bounds::values(count)?;
    let start = out.len();
    let result = decode_page(bytes, bounds, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn decode_page(bytes: &[u8], bounds: Bounds, out: &mut Vec<f64>) -> Result<(), CodecError> {
    let mut body = Reader::new(bytes);
    if body.u8()? == id::ZSTD {
        let page = compress::unwrap(body, page_bytes_max(bounds.count))?;
        return decode_unwrapped(&page, bounds, out);
    }
    decode_unwrapped(bytes, bounds, out)
}

fn decode_unwrapped(bytes: &[u8], bounds: Bounds, out: &mut Vec<f64>) -> Result<(), CodecError> {
    let mut body = Reader::new(bytes);
    match body.u8()? {
        id::DECIMAL => Decimals::decode(body, bounds, out),
        id::XOR => Xor::decode(body, bounds, out),
        _ => {
            let mut bits = Vec::new();
            int::decode_unwrapped(bytes, bounds, &mut bits)?;
            out.extend(bits.into_iter().map(|bits| f64::from_bits(bits as u64)));
            Ok(())
        }
    }
}

fn to_bits(values: &[f64]) -> Vec<i64> {
    values.iter().map(|value| value.to_bits() as i64).collect()
}
