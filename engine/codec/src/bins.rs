//! Bins: a number is the entropy-coded index of its bin and its offset in the bin, in as many bits
//! as the bin is wide. Bins follow the page's distribution, so frequent numbers cost little more
//! than their entropy. (The scheme of Pcodec: Loncaric, Jeppesen and Zinberg, arXiv:2502.06112,
//! section 3; the bins are found here by dynamic programming over quantiles.)

use crate::bits::{BitWriter, bits_at, check_end};
use crate::delta::{Differences, differences};
use crate::divisor;
use crate::encoding::{Bounds, Encoding, id};
use crate::error::{CodecError, check_max, corrupt};
use crate::num::{self, bit_length};
use crate::rans;
use crate::rans::Share;
use crate::varint::{self, Reader};

/// Quantiles that bins are made of; also the most bins.
const QUANTILES: usize = 96;
/// What a bin costs in the page's head, in bits.
const BIN_HEAD_BITS: f64 = 34.0;

/// Bins of values, or of differences.
pub(crate) struct Bins {
    pub(crate) differences: bool,
    pub(crate) divisor: u64,
}

/// Consecutive numbers, how many values are among them, and their span.
#[derive(Debug, Clone, Copy)]
struct Bin {
    lower: u64,
    upper: u64,
    count: usize,
}

impl Bin {
    const fn width(&self) -> u32 {
        bit_length(self.upper - self.lower)
    }
}

impl Encoding<[i64], Vec<i64>> for Bins {
    const ID: u8 = id::BINS;

    fn encode(&self, values: &[i64], out: &mut Vec<u8>) {
        let numbers: Vec<u64> = if self.differences {
            let Differences { start, divisor, quotients } = differences(values, self.divisor);
            let least = quotients.iter().copied().min().unwrap_or(0);
            out.push(1);
            varint::put_u64(out, divisor);
            varint::put_i64(out, start);
            varint::put_i64(out, least);
            quotients.iter().map(|step| step.wrapping_sub(least) as u64).collect()
        } else {
            let least = values.iter().copied().min().unwrap_or(0);
            let offsets = || values.iter().map(|value| value.wrapping_sub(least) as u64);
            let divisor = divisor::common(self.divisor, offsets());
            out.push(0);
            varint::put_u64(out, divisor.value());
            varint::put_i64(out, least);
            offsets().map(|offset| divisor.quotient(offset)).collect()
        };
        put_numbers(&numbers, out);
    }

    fn decode(mut body: Reader<'_>, bounds: Bounds, out: &mut Vec<i64>) -> Result<(), CodecError> {
        let is_differences = match body.u8()? {
            0 => false,
            1 => true,
            _ => return Err(corrupt("a binned page's order is not 0 or 1")),
        };
        let divisor = body.u64()? as i64;
        let mut last = body.i64()?;
        if is_differences {
            let least = body.i64()?;
            read_numbers(body, bounds, out, |number| {
                let step = least.wrapping_add(number as i64).wrapping_mul(divisor);
                last = last.wrapping_add(step);
                last
            })
        } else {
            read_numbers(body, bounds, out, |number| {
                last.wrapping_add((number as i64).wrapping_mul(divisor))
            })
        }
    }
}

fn put_numbers(numbers: &[u64], out: &mut Vec<u8>) {
    let bins = fit(numbers);
    varint::put_u64(out, bins.len() as u64);
    let counts: Vec<usize> = bins.iter().map(|bin| bin.count).collect();
    let weights = rans::weights(&counts);
    let mut before = 0;
    for (bin, weight) in bins.iter().zip(&weights) {
        varint::put_u64(out, bin.lower - before);
        out.push(num::to_u8(u64::from(bin.width())));
        varint::put_u64(out, u64::from(*weight));
        before = bin.lower;
    }
    let bin_of = |number: &u64| bins.partition_point(|bin| bin.lower <= *number).saturating_sub(1);
    let symbols: Vec<u8> = numbers.iter().map(|n| num::to_u8(bin_of(n) as u64)).collect();
    rans::encode(&symbols, &rans::shares(&weights), out);
    let mut offsets = BitWriter::new(out);
    for (number, symbol) in numbers.iter().zip(&symbols) {
        if let Some(bin) = bins.get(usize::from(*symbol)) {
            offsets.put(number - bin.lower, bin.width());
        }
    }
    offsets.finish();
}

/// Reads what [`put_numbers`] wrote and appends what `value` makes of each number.
#[expect(clippy::indexing_slicing, reason = "any byte is an index below 256")]
fn read_numbers(
    mut body: Reader<'_>,
    bounds: Bounds,
    out: &mut Vec<i64>,
    mut value: impl FnMut(u64) -> i64,
) -> Result<(), CodecError> {
    let count = num::to_usize(body.u64()?);
    check_max("bins of a page", count, QUANTILES)?;
    let mut bins = [(0u64, 0u32); 256];
    let mut shares: Vec<Share> = Vec::with_capacity(count);
    let (mut lower, mut before) = (0u64, 0u32);
    for bin in bins.iter_mut().take(count) {
        lower = lower.checked_add(body.u64()?).ok_or(corrupt("a bin passes 64 bits"))?;
        let width = u32::from(body.u8()?);
        let weight = u32::try_from(body.u64()?).unwrap_or(u32::MAX);
        if width > 64 || weight == 0 || weight > rans::WEIGHT_SUM {
            return Err(corrupt("a bin's width or weight is out of range"));
        }
        *bin = (lower, width);
        shares.push(Share { weight, before });
        before += weight;
    }
    let mut symbols = vec![0; bounds.count];
    rans::decode(&mut body, &shares, &mut symbols)?;
    let mut bit = 0;
    out.extend(symbols.into_iter().map(|symbol| {
        let (lower, width) = bins[usize::from(symbol)];
        let offset = bits_at(body.rest(), bit, width);
        bit += width as usize;
        value(lower.wrapping_add(offset))
    }));
    check_end(body.rest(), bit)
}

/// The bins that make `numbers` smallest, ascending and disjoint; at least one.
fn fit(numbers: &[u64]) -> Vec<Bin> {
    let quantiles = quantiles(numbers);
    let total = numbers.len() as f64;
    let mut sums = vec![0];
    for bin in &quantiles {
        sums.push(sums.last().copied().unwrap_or(0) + bin.count);
    }
    // best[end]: the least bits for the quantiles before `end`, and where their last bin begins.
    let mut best: Vec<(f64, usize)> = vec![(0.0, 0)];
    for (end, (last, sum)) in (1..).zip(quantiles.iter().zip(sums.iter().skip(1))) {
        let mut least = (f64::INFINITY, 0);
        let starts = best.iter().zip(quantiles.iter().zip(&sums)).take(end).enumerate();
        for (start, ((bits, _), (first, sum_before))) in starts {
            let count = (sum - sum_before) as f64;
            let width = f64::from(bit_length(last.upper - first.lower));
            let bits = bits + BIN_HEAD_BITS + count * (width + (total / count).log2());
            if bits < least.0 {
                least = (bits, start);
            }
        }
        best.push(least);
    }
    let mut bins = Vec::new();
    let mut end = quantiles.len();
    while let Some((_, start)) = best.get(end).filter(|_| end > 0) {
        let merged = quantiles.get(*start..end).unwrap_or_default();
        if let (Some(first), Some(last)) = (merged.first(), merged.last()) {
            let count = merged.iter().map(|bin| bin.count).sum();
            bins.push(Bin { lower: first.lower, upper: last.upper, count });
        }
        end = *start;
    }
    bins.reverse();
    bins
}

/// At most [`QUANTILES`] bins of about equal counts; equal numbers share a bin, and a frequent
/// number has one to itself.
fn quantiles(numbers: &[u64]) -> Vec<Bin> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    let share = numbers.len().div_ceil(QUANTILES / 2);
    let mut bins: Vec<Bin> = Vec::new();
    for run in sorted.chunk_by(|a, b| a == b) {
        let number = run.first().copied().unwrap_or(0);
        match bins.last_mut() {
            Some(bin) if bin.count + run.len() <= share => {
                bin.upper = number;
                bin.count += run.len();
            }
            _ => bins.push(Bin { lower: number, upper: number, count: run.len() }),
        }
    }
    bins
}
