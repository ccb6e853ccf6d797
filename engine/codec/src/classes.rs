//! Variable-length classes for differences or differences of differences: one bit for zero, two or
//! three bits and a width fitted to the page otherwise. Gorilla's timestamp coding (Pelkonen et
//! al., VLDB 2015, section 4.1.1) with the widths 7, 9 and 12, which suit seconds, replaced by
//! widths that suit the page, after a common divisor has been taken out of nanoseconds.

use crate::bits::{BitReader, BitWriter};
use crate::delta::{Differences, differences};
use crate::encoding::{Bounds, Encoding, id};
use crate::error::{CodecError, corrupt};
use crate::num::{self, bit_length, low_mask, unzigzag, zigzag};
use crate::varint::{self, Reader};

/// Classes over differences (order 1) or differences of differences (order 2).
pub(crate) struct Classes {
    pub(crate) second_order: bool,
    pub(crate) divisor: u64,
}

/// Widths of the three classes of values other than zero, ascending.
type Widths = [u32; 3];

/// The widths that make `counts` (values by bit length) smallest; the last fits all.
#[expect(clippy::indexing_slicing, reason = "widths are at most 64")]
fn fit_widths(counts: &[u64; 65]) -> Widths {
    let width_max = (1..=64).rev().find(|width| counts[*width] > 0).unwrap_or(0);
    let mut upto = [0u64; 65];
    for width in 1..=64 {
        upto[width] = upto[width - 1] + counts[width];
    }
    let mut best = (u64::MAX, [0, 0, 0]);
    for small in 1..=width_max {
        for middle in small..=width_max {
            let bits = upto[small] * (2 + small as u64)
                + (upto[middle] - upto[small]) * (3 + middle as u64)
                + (upto[width_max] - upto[middle]) * (3 + width_max as u64);
            if bits < best.0 {
                best = (bits, [small, middle, width_max].map(|width| num::to_u32(width as u64)));
            }
        }
    }
    best.1
}

impl Encoding<[i64], Vec<i64>> for Classes {
    const ID: u8 = id::CLASSES;

    #[expect(clippy::indexing_slicing, reason = "a bit length is at most 64")]
    fn encode(&self, values: &[i64], out: &mut Vec<u8>) {
        let Differences { start, divisor, quotients } = differences(values, self.divisor);
        let slope = if self.second_order { quotients.first().copied().unwrap_or(0) } else { 0 };
        let mut before = slope;
        let mut codes: Vec<u64> = Vec::with_capacity(quotients.len());
        for step in &quotients {
            codes.push(zigzag(step.wrapping_sub(before)));
            if self.second_order {
                before = *step;
            }
        }
        let mut counts = [0; 65];
        for code in &codes {
            counts[bit_length(*code) as usize] += 1;
        }
        let widths = fit_widths(&counts);
        out.push(if self.second_order { 2 } else { 1 });
        varint::put_u64(out, divisor);
        varint::put_i64(out, start);
        if self.second_order {
            varint::put_i64(out, slope);
        }
        out.extend(widths.map(|width| num::to_u8(u64::from(width))));
        put_codes(&codes, widths, out);
    }

    fn decode(mut body: Reader<'_>, bounds: Bounds, out: &mut Vec<i64>) -> Result<(), CodecError> {
        let second_order = match body.u8()? {
            1 => false,
            2 => true,
            _ => return Err(corrupt("a class coding's order is not 1 or 2")),
        };
        let divisor = body.u64()? as i64;
        let mut last = body.i64()?;
        let mut slope = if second_order { body.i64()? } else { 0 };
        let widths = [u32::from(body.u8()?), u32::from(body.u8()?), u32::from(body.u8()?)];
        if widths.iter().any(|width| *width > 64) {
            return Err(corrupt("a bit width is above 64"));
        }
        let mut bits = BitReader::new(body.rest());
        out.reserve(bounds.count);
        for _ in 0..bounds.count {
            let code = unzigzag(read_code(&mut bits, widths)?);
            let step = slope.wrapping_add(code);
            if second_order {
                slope = step;
            }
            last = last.wrapping_add(step.wrapping_mul(divisor));
            out.push(last);
        }
        bits.finish()
    }
}

/// Writes `0` for zero; `10`, `110` or `111` (first bit first) and the class's width otherwise.
fn put_codes(codes: &[u64], [small, middle, large]: Widths, out: &mut Vec<u8>) {
    let mut bits = BitWriter::new(out);
    let (small_mask, middle_mask) = (low_mask(small), low_mask(middle));
    for &code in codes {
        if code == 0 {
            bits.put(0, 1);
        } else if code <= small_mask {
            bits.put(0b01, 2);
            bits.put(code, small);
        } else if code <= middle_mask {
            bits.put(0b011, 3);
            bits.put(code, middle);
        } else {
            bits.put(0b111, 3);
            bits.put(code, large);
        }
    }
    bits.finish();
}

#[inline]
#[expect(clippy::indexing_slicing, reason = "the class is 0 to 3")]
fn read_code(bits: &mut BitReader<'_>, [small, middle, large]: Widths) -> Result<u64, CodecError> {
    let word = bits.peek();
    let class = word.trailing_ones().min(3) as usize;
    let prefix = [1, 2, 3, 3][class];
    let width = [0, small, middle, large][class];
    if prefix + width <= 57 {
        bits.skip(prefix + width)?;
        return Ok(word >> prefix & low_mask(width));
    }
    bits.skip(prefix)?;
    bits.read(width)
}
