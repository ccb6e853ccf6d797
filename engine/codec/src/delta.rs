//! Bit-packed differences of neighbours, divided by their common divisor, wide ones patched in.
//! (Lemire and Boytsov, Software: Practice and Experience 2015, section 2, for delta with bit
//! packing; PFOR: Zukowski et al., ICDE 2006, section 3.)

use crate::VECTOR_VALUES;
use crate::divisor;
use crate::encoding::{Bounds, Encoding, id};
use crate::error::{CodecError, corrupt};
use crate::num::{unzigzag, zigzag};
use crate::patched;
use crate::varint::{self, Reader};

/// A vector's differences are zigzag-coded.
const MODE_ZIGZAG: u8 = 0;
/// A vector's differences are offsets from its least difference, which precedes them.
const MODE_OFFSET: u8 = 1;
/// A vector's differences less a usual one, which precedes them, are zigzag-coded.
const MODE_USUAL: u8 = 2;
/// How many spread differences of a vector vote on which one is usual.
const VOTES: usize = 16;

/// Bit-packed differences; the divisor is a hint that the page verifies.
pub(crate) struct Delta {
    pub(crate) divisor: u64,
}

/// The differences of a page, divided exactly by their common divisor.
pub(crate) struct Differences {
    /// The value before the first: chosen so that the first difference equals the second.
    pub(crate) start: i64,
    pub(crate) divisor: u64,
    /// One quotient a value.
    pub(crate) quotients: Vec<i64>,
}

/// Takes differences (wrapping) and divides them by what divides them all; `seed` is a guess.
pub(crate) fn differences(values: &[i64], seed: u64) -> Differences {
    let first = values.first().copied().unwrap_or(0);
    let step = values.get(1).map_or(0, |second| second.wrapping_sub(first));
    let start = first.wrapping_sub(step);
    let mut quotients = Vec::with_capacity(values.len());
    quotients.extend(values.first().map(|_| step));
    let later = values.iter().skip(1);
    quotients.extend(values.iter().zip(later).map(|(a, b)| b.wrapping_sub(*a)));
    let divisor = divisor::common(seed, quotients.iter().map(|step| step.unsigned_abs()));
    if divisor.value() != 1 {
        for step in &mut quotients {
            *step = divisor.quotient_signed(*step);
        }
    }
    Differences { start, divisor: divisor.value(), quotients }
}

impl Encoding<[i64], Vec<i64>> for Delta {
    const ID: u8 = id::DELTA;

    fn encode(&self, values: &[i64], out: &mut Vec<u8>) {
        let Differences { start, divisor, quotients } = differences(values, self.divisor);
        varint::put_u64(out, divisor);
        varint::put_i64(out, start);
        for vector in quotients.chunks(VECTOR_VALUES) {
            put_vector(vector, out);
        }
    }

    fn decode(mut body: Reader<'_>, bounds: Bounds, out: &mut Vec<i64>) -> Result<(), CodecError> {
        let divisor = body.u64()? as i64;
        let mut last = body.i64()?;
        let mut buffer = [0; VECTOR_VALUES];
        let mut left = bounds.count;
        while left > 0 {
            let values = buffer.get_mut(..left.min(VECTOR_VALUES)).unwrap_or_default();
            left -= values.len();
            let mode = body.u8()?;
            let base = match mode {
                MODE_ZIGZAG => 0,
                MODE_OFFSET | MODE_USUAL => body.i64()?,
                _ => return Err(corrupt("a vector's delta mode is unknown")),
            };
            patched::decode(&mut body, values)?;
            // A pass that vectorises turns codes into steps; the sum then is one addition a value.
            if mode == MODE_OFFSET {
                for value in values.iter_mut() {
                    *value = base.wrapping_add(*value as i64).wrapping_mul(divisor) as u64;
                }
            } else {
                for value in values.iter_mut() {
                    *value = base.wrapping_add(unzigzag(*value)).wrapping_mul(divisor) as u64;
                }
            }
            out.extend(values.iter().map(|step| {
                last = last.wrapping_add(*step as i64);
                last
            }));
        }
        body.finish()
    }
}

/// Appends one vector of divided differences in the cheapest of the modes.
fn put_vector(steps: &[i64], out: &mut Vec<u8>) {
    let least = steps.iter().copied().min().unwrap_or(0);
    let mut buffers = [[0; VECTOR_VALUES]; 2];
    let [zigzags, offsets] = &mut buffers;
    let zigzags = zigzags.get_mut(..steps.len()).unwrap_or_default();
    let offsets = offsets.get_mut(..steps.len()).unwrap_or_default();
    for ((step, by_sign), offset) in steps.iter().zip(zigzags.iter_mut()).zip(&mut *offsets) {
        *by_sign = zigzag(*step);
        *offset = step.wrapping_sub(least) as u64;
    }
    let by_offset = patched::layout(offsets);
    let mut by_sign = patched::layout(zigzags);
    let mut usual = 0;
    if let Some(step) = usual_step(steps).filter(|step| *step != 0 && *step != least) {
        let mut around = [0; VECTOR_VALUES];
        let around = around.get_mut(..steps.len()).unwrap_or_default();
        for (around, other) in around.iter_mut().zip(steps) {
            *around = zigzag(other.wrapping_sub(step));
        }
        let layout = patched::layout(around);
        if layout.bits + 16 < by_sign.bits {
            usual = step;
            by_sign = layout;
            zigzags.copy_from_slice(around);
        }
    }
    if by_offset.bits + 16 < by_sign.bits {
        out.push(MODE_OFFSET);
        varint::put_i64(out, least);
        patched::encode(offsets, by_offset, out);
    } else if usual != 0 {
        out.push(MODE_USUAL);
        varint::put_i64(out, usual);
        patched::encode(zigzags, by_sign, out);
    } else {
        out.push(MODE_ZIGZAG);
        patched::encode(zigzags, by_sign, out);
    }
}

/// The difference that at least half of some spread ones equal, if there is one. (The vote of Boyer
/// and Moore, 1981.)
fn usual_step(steps: &[i64]) -> Option<i64> {
    let stride = (steps.len() / VOTES).max(1);
    let voters = || steps.iter().step_by(stride);
    let (mut winner, mut lead) = (None, 0usize);
    for step in voters() {
        if lead == 0 {
            winner = Some(*step);
        }
        lead = if winner == Some(*step) { lead + 1 } else { lead - 1 };
    }
    let votes = voters().filter(|step| Some(**step) == winner).count();
    winner.filter(|_| votes * 2 >= voters().count())
}
