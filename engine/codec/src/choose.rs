//! The choice of an encoding for a block: every candidate really encodes a few spread samples, and
//! the smallest sum wins. Candidates that decode slowly must win by a margin.

use crate::Effort;
use crate::decimal::{self, Decimal};
use crate::divisor;
use crate::float::{FloatEncoding, FloatPlan};
use crate::int::{self, IntEncoding, IntPlan};
use crate::{PAGE_VALUES_MAX, VECTOR_VALUES};

/// Zstd's level for flushes: it is only tried there where it saves a lot.
pub(crate) const ZSTD_LEVEL_FAST: i32 = 1;
/// Zstd's level for compaction.
pub(crate) const ZSTD_LEVEL_DENSE: i32 = 5;
/// In a flush Zstd must save at least this share of a sample, in percent.
const ZSTD_FAST_SAVING_PERCENT: usize = 35;
/// In a flush Zstd is tried only where the values still take this many bytes each.
const ZSTD_FAST_BYTES_MIN: usize = 2;
/// Doubles that are decimals of fewer bytes than this are not tried as anything else.
const fn decimal_bytes_max(effort: Effort) -> usize {
    match effort {
        Effort::Fast => 4,
        Effort::Dense => 1,
    }
}

/// Class-coded and xor pages count as this many percent of their size: decoding them costs several
/// nanoseconds a value where bit-packed pages cost one.
const SERIAL_WEIGHT_PERCENT: usize = 125;
/// Run-length pages count as this many percent: they decode at a third of bit-packed pages' speed.
const RUNS_WEIGHT_PERCENT: usize = 106;

/// Spread runs of neighbouring values: four vectors for a flush, three pages for a compaction.
pub(crate) fn samples<T>(values: &[T], effort: Effort) -> Vec<&[T]> {
    let (len, count) = match effort {
        Effort::Fast => (VECTOR_VALUES, 4),
        Effort::Dense => (PAGE_VALUES_MAX, 3),
    };
    let pieces: Vec<&[T]> = values.chunks(len).collect();
    if pieces.len() <= count {
        return pieces;
    }
    // The last piece may be short, so the spread ends before it.
    let last = pieces.len() - 2;
    let at = |index: usize| pieces.get(index * last / (count - 1)).copied();
    (0..count).filter_map(at).collect()
}

/// The greatest common divisor of all differences inside the samples; 0 when all are equal.
fn sample_divisor(samples: &[&[i64]]) -> u64 {
    let mut seed = 0;
    for sample in samples {
        let pairs = sample.iter().zip(sample.iter().skip(1));
        let steps = pairs.map(|(a, b)| b.wrapping_sub(*a).unsigned_abs());
        if sample.windows(2).any(|pair| pair.first() != pair.last()) {
            seed = divisor::common(seed, steps).value();
        }
    }
    seed
}

/// Plans integers from samples.
pub(crate) fn plan_int(samples: &[&[i64]], effort: Effort) -> IntPlan {
    use IntEncoding::{Bins, Classes, Delta, Frame, Plain, Planes, RunLength};
    let divisor = sample_divisor(samples);
    let serial = [Classes { second_order: false }, Classes { second_order: true }];
    let packed = [Frame, Delta, RunLength];
    let mut best = Best::new();
    for encoding in packed.into_iter().chain(serial) {
        let plan = IntPlan { encoding, divisor, zstd_level: 0 };
        best.offer(plan, weight(encoding) * int_bytes(samples, &plan));
    }
    if effort == Effort::Dense {
        for differences in [false, true] {
            let plan = IntPlan { encoding: Bins { differences }, divisor, zstd_level: 0 };
            best.offer(plan, 100 * int_bytes(samples, &plan));
        }
    }
    let zstd: &[IntEncoding] = match effort {
        Effort::Fast if best.cost < 100 * values_of(samples) * ZSTD_FAST_BYTES_MIN => &[],
        Effort::Fast => &[Plain, Planes { differences: true }],
        Effort::Dense => {
            &[Plain, Planes { differences: true }, Planes { differences: false }, Delta]
        }
    };
    for encoding in zstd.iter().copied() {
        let plan = IntPlan { encoding, divisor, zstd_level: zstd_level(effort) };
        best.offer(plan, zstd_handicap(effort, int_bytes(samples, &plan) * 100));
    }
    best.plan.unwrap_or(IntPlan::of(Frame))
}

/// Plans doubles from samples.
pub(crate) fn plan_float(samples: &[&[f64]], effort: Effort) -> FloatPlan {
    let mut best = Best::new();
    if let Some(decimal) = Decimal::fit(samples) {
        let integers: Vec<Vec<i64>> =
            samples.iter().map(|sample| decimal::split(decimal, sample).0).collect();
        let pieces: Vec<&[i64]> = integers.iter().map(Vec::as_slice).collect();
        let inner = plan_int(&pieces, effort);
        best.offer_float(
            samples,
            effort,
            FloatPlan::over(FloatEncoding::Decimal { decimal, inner: inner.encoding }, inner),
        );
    }
    if best.cost < 100 * values_of(samples) * decimal_bytes_max(effort) {
        return best.plan.unwrap_or(FloatPlan::of(FloatEncoding::Xor));
    }
    let bits: Vec<Vec<i64>> = samples
        .iter()
        .map(|sample| sample.iter().map(|value| value.to_bits() as i64).collect())
        .collect();
    let pieces: Vec<&[i64]> = bits.iter().map(Vec::as_slice).collect();
    let inner = plan_int(&pieces, effort);
    best.offer_float(
        samples,
        effort,
        FloatPlan::over(FloatEncoding::Bits { inner: inner.encoding }, inner),
    );
    best.offer_float(samples, effort, FloatPlan::of(FloatEncoding::Xor));
    if effort == Effort::Dense {
        let zstd_level = ZSTD_LEVEL_DENSE;
        best.offer_float(
            samples,
            effort,
            FloatPlan { zstd_level, ..FloatPlan::of(FloatEncoding::Xor) },
        );
    }
    best.plan.unwrap_or(FloatPlan::of(FloatEncoding::Xor))
}

/// Zstd's level for `effort`.
pub(crate) const fn zstd_level(effort: Effort) -> i32 {
    match effort {
        Effort::Fast => ZSTD_LEVEL_FAST,
        Effort::Dense => ZSTD_LEVEL_DENSE,
    }
}

/// What a candidate with Zstd counts as: its decoder is several times slower.
const fn zstd_handicap(effort: Effort, bytes: usize) -> usize {
    match effort {
        Effort::Fast => bytes / (100 - ZSTD_FAST_SAVING_PERCENT) * 100,
        Effort::Dense => bytes / 95 * 100,
    }
}

const fn weight(encoding: IntEncoding) -> usize {
    match encoding {
        IntEncoding::Classes { .. } => SERIAL_WEIGHT_PERCENT,
        IntEncoding::RunLength => RUNS_WEIGHT_PERCENT,
        _ => 100,
    }
}

fn values_of<T>(samples: &[&[T]]) -> usize {
    samples.iter().map(|sample| sample.len()).sum()
}

fn int_bytes(samples: &[&[i64]], plan: &IntPlan) -> usize {
    let mut page = Vec::new();
    samples
        .iter()
        .map(|sample| bytes_of(&mut page, |page| int::encode_i64(sample, plan, page)))
        .sum()
}

fn float_bytes(samples: &[&[f64]], plan: &FloatPlan) -> usize {
    let mut page = Vec::new();
    let encode = crate::float::encode_f64;
    samples.iter().map(|sample| bytes_of(&mut page, |page| encode(sample, plan, page))).sum()
}

/// The bytes that `encode` appends to the cleared scratch page.
pub(crate) fn bytes_of(page: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) -> usize {
    page.clear();
    encode(page);
    page.len()
}

/// The cheapest plan so far; the first of equals stays.
struct Best<P> {
    plan: Option<P>,
    cost: usize,
}

impl<P> Best<P> {
    const fn new() -> Self {
        Self { plan: None, cost: usize::MAX }
    }

    fn offer(&mut self, plan: P, cost: usize) {
        if self.plan.is_none() || cost < self.cost {
            *self = Self { plan: Some(plan), cost };
        }
    }
}

impl Best<FloatPlan> {
    fn offer_float(&mut self, samples: &[&[f64]], effort: Effort, plan: FloatPlan) {
        let bytes = float_bytes(samples, &plan);
        let weight = match plan.encoding {
            FloatEncoding::Xor => SERIAL_WEIGHT_PERCENT,
            FloatEncoding::Decimal { inner, .. } | FloatEncoding::Bits { inner } => weight(inner),
        };
        let cost = bytes * weight;
        self.offer(plan, if plan.zstd_level == 0 { cost } else { zstd_handicap(effort, cost) });
    }
}
