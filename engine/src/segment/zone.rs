//! Zone maps: what is known of a block without reading it, and the coarse bounds of its pages.
//! Format and exact definitions: docs/format/segment.md; floats as in docs/decisions/0009-floats.md.

use chronolith_codec::CodecError;
use chronolith_codec::varint::{self, Reader};

use crate::model::{FieldType, Value};
use crate::planted::{Bug, is_on};

use super::layout::u128_le;

/// Statistics over a block's values that are not NULL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stats<T, S> {
    /// The least value; NaN left out, -0.0 given as 0.0.
    pub min: T,
    /// The greatest value; NaN left out, -0.0 given as 0.0.
    pub max: T,
    /// The first value in row order, bit by bit.
    pub first: T,
    /// The last value in row order, bit by bit.
    pub last: T,
    /// The exact sum; for floats the values without NaN added one after the other in row order, starting with 0.0.
    pub sum: S,
}

/// Statistics by kind of value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ZoneValues {
    /// No value that is not NULL, or truth values or text, of which only NULLs are counted.
    None,
    /// Integers, timestamps, and the units of decimals.
    I64(Stats<i64, i128>),
    /// Unsigned integers.
    U64(Stats<u64, i128>),
    /// Doubles; `min` and `max` are NaN where every value is.
    F64(Stats<f64, f64>),
}

/// What is known of one block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Zone {
    /// Rows, NULL included.
    pub row_count: u32,
    /// Rows that are NULL.
    pub null_count: u32,
    /// Rows that are NaN.
    pub nan_count: u32,
    /// What the values are.
    pub values: ZoneValues,
}

impl Zone {
    /// A block of NULLs.
    #[must_use]
    pub(crate) fn nulls(row_count: u32) -> Self {
        Self { row_count, null_count: row_count, nan_count: 0, values: ZoneValues::None }
    }

    /// The least and the greatest value as values of `field_type`, NULL and NaN left out; none where there is none or nothing
    /// is known.
    #[must_use]
    pub fn bounds(&self, field_type: FieldType) -> Option<(Value, Value)> {
        match self.values {
            ZoneValues::None => None,
            ZoneValues::I64(stats) => {
                Some((integer(stats.min, field_type), integer(stats.max, field_type)))
            }
            ZoneValues::U64(stats) => Some((Value::U64(stats.min), Value::U64(stats.max))),
            ZoneValues::F64(stats) => {
                (!stats.min.is_nan()).then_some((Value::F64(stats.min), Value::F64(stats.max)))
            }
        }
    }

    /// Bounds of a page's values as wide as its coarse bounds `(low, high)` say; none where the page has no value with an order.
    pub(crate) fn page_bounds(
        &self,
        (low, high): (u8, u8),
        field_type: FieldType,
    ) -> Option<(Value, Value)> {
        let (min, max) = self.bounds(field_type)?;
        if min == max {
            return Some((min, max));
        }
        if (low, high) == NO_BOUNDS {
            return None;
        }
        Some(match self.values {
            ZoneValues::I64(stats) => {
                let (low, high) = (step(&stats, low), step(&stats, high));
                (integer(low, field_type), integer(high, field_type))
            }
            ZoneValues::U64(stats) => {
                (Value::U64(step(&stats, low)), Value::U64(step(&stats, high)))
            }
            ZoneValues::F64(stats) => {
                (Value::F64(step(&stats, low)), Value::F64(step(&stats, high)))
            }
            ZoneValues::None => (min, max),
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        varint::put_u64(out, u64::from(self.null_count));
        match &self.values {
            ZoneValues::None => {}
            ZoneValues::I64(stats) => {
                varint::put_i64(out, stats.min);
                for value in [stats.max, stats.first, stats.last] {
                    varint::put_u64(out, value.wrapping_sub(stats.min) as u64);
                }
                out.extend_from_slice(&stats.sum.to_le_bytes());
            }
            ZoneValues::U64(stats) => {
                varint::put_u64(out, stats.min);
                for value in [stats.max, stats.first, stats.last] {
                    varint::put_u64(out, value.wrapping_sub(stats.min));
                }
                out.extend_from_slice(&stats.sum.to_le_bytes());
            }
            ZoneValues::F64(stats) => {
                varint::put_u64(out, u64::from(self.nan_count));
                for value in [stats.min, stats.max, stats.first, stats.last, stats.sum] {
                    out.extend_from_slice(&value.to_bits().to_le_bytes());
                }
            }
        }
    }

    pub(crate) fn decode(
        reader: &mut Reader<'_>,
        row_count: u32,
        field_type: FieldType,
    ) -> Result<Self, CodecError> {
        let mut zone = Self { row_count, null_count: count(reader)?, ..Self::nulls(row_count) };
        if zone.null_count < row_count {
            zone.values = match field_type {
                FieldType::Bool | FieldType::Utf8 => ZoneValues::None,
                FieldType::F64 => {
                    zone.nan_count = count(reader)?;
                    ZoneValues::F64(decode_floats(reader)?)
                }
                FieldType::U64 => ZoneValues::U64(decode_unsigned(reader)?),
                FieldType::I64 | FieldType::Timestamp | FieldType::Decimal { .. } => {
                    ZoneValues::I64(decode_signed(reader)?)
                }
            };
        }
        if u64::from(zone.null_count) + u64::from(zone.nan_count) > u64::from(row_count) {
            return Err(CodecError::Corrupt { what: "a zone counts more rows than there are" });
        }
        Ok(zone)
    }
}

fn count(reader: &mut Reader<'_>) -> Result<u32, CodecError> {
    super::info::number(reader, "a count passes 32 bits")
}

fn decode_signed(reader: &mut Reader<'_>) -> Result<Stats<i64, i128>, CodecError> {
    let min = reader.i64()?;
    #[expect(clippy::cast_possible_wrap, reason = "a bijection of bit patterns")]
    let mut above = || Ok::<_, CodecError>(min.wrapping_add(reader.u64()? as i64));
    let (max, first, last) = (above()?, above()?, above()?);
    Ok(Stats { min, max, first, last, sum: i128_le(reader)? })
}

fn decode_unsigned(reader: &mut Reader<'_>) -> Result<Stats<u64, i128>, CodecError> {
    let min = reader.u64()?;
    let mut above = || Ok::<_, CodecError>(min.wrapping_add(reader.u64()?));
    let (max, first, last) = (above()?, above()?, above()?);
    Ok(Stats { min, max, first, last, sum: i128_le(reader)? })
}

fn decode_floats(reader: &mut Reader<'_>) -> Result<Stats<f64, f64>, CodecError> {
    let mut next = || Ok::<_, CodecError>(f64::from_bits(reader.u64_le()?));
    Ok(Stats { min: next()?, max: next()?, first: next()?, last: next()?, sum: next()? })
}

#[expect(clippy::cast_possible_wrap, reason = "a bijection of bit patterns")]
fn i128_le(reader: &mut Reader<'_>) -> Result<i128, CodecError> {
    Ok(u128_le(reader)? as i128)
}

fn integer(value: i64, field_type: FieldType) -> Value {
    match field_type {
        FieldType::Timestamp => Value::Timestamp(value),
        FieldType::Decimal { scale, .. } => Value::Decimal { units: value, scale },
        _ => Value::I64(value),
    }
}

/// The coarse bounds of a page without a value that has an order, in a block whose least and greatest value differ.
pub(crate) const NO_BOUNDS: (u8, u8) = (u8::MAX, 0);
/// The coarse bounds that say nothing.
pub(crate) const ALL_BOUNDS: (u8, u8) = (0, u8::MAX);

/// Values whose range is cut into 255 steps.
pub(crate) trait Steps: Copy + PartialOrd {
    /// The value `index` steps of 255 above `min`: monotone in `index`, `min` at 0, `max` at 255.
    fn step(min: Self, max: Self, index: u8) -> Self;
}

impl Steps for i64 {
    #[expect(clippy::cast_possible_wrap, reason = "a bijection of bit patterns")]
    fn step(min: Self, max: Self, index: u8) -> Self {
        min.wrapping_add(part(max.wrapping_sub(min) as u64, index) as Self)
    }
}

impl Steps for u64 {
    fn step(min: Self, max: Self, index: u8) -> Self {
        min.wrapping_add(part(max.wrapping_sub(min), index))
    }
}

/// `width * index / 255`, rounded down.
#[expect(clippy::cast_possible_truncation, reason = "at most `width`, as the index is at most 255")]
fn part(width: u64, index: u8) -> u64 {
    (u128::from(width) * u128::from(index) / 255) as u64
}

impl Steps for f64 {
    fn step(min: Self, max: Self, index: u8) -> Self {
        match index {
            0 => min,
            u8::MAX => max,
            _ => (min + (max - min) * (Self::from(index) / 255.0)).min(max),
        }
    }
}

fn step<T: Steps, S>(stats: &Stats<T, S>, index: u8) -> T {
    T::step(stats.min, stats.max, index)
}

/// The coarse bounds of a page whose values lie between `low` and `high`, in a block from `min` to `max`: the highest step at or
/// below `low`, the lowest at or above `high`.
fn coarse<T: Steps>(page: Option<(T, T)>, min: T, max: T) -> (u8, u8) {
    if min == max {
        return ALL_BOUNDS;
    }
    let Some((low, high)) = page else { return NO_BOUNDS };
    let below = count_steps(|index| T::step(min, max, index) <= low);
    let short = count_steps(|index| T::step(min, max, index) < high);
    let last = |steps: u16| u8::try_from(steps).unwrap_or(u8::MAX);
    (last(below.saturating_sub(1)), last(short))
}

/// How many of the steps from 0 on satisfy a condition that, once false, stays so.
fn count_steps(condition: impl Fn(u8) -> bool) -> u16 {
    let (mut from, mut to) = (0u16, 256u16);
    while from < to {
        let middle = u16::midpoint(from, to);
        if u8::try_from(middle).is_ok_and(&condition) { from = middle + 1 } else { to = middle }
    }
    from
}

/// Statistics of numbers, page by page.
pub(crate) struct Gather<T, S> {
    stats: Option<Stats<T, S>>,
    pages: Vec<Option<(T, T)>>,
    nan_count: usize,
}

impl<T: Steps, S> Gather<T, S> {
    pub(crate) fn new() -> Self {
        Self { stats: None, pages: Vec::new(), nan_count: 0 }
    }

    /// The pages' coarse bounds.
    fn coarse_bounds(&self) -> Vec<(u8, u8)> {
        let Some(stats) = &self.stats else { return vec![ALL_BOUNDS; self.pages.len()] };
        self.pages.iter().map(|page| coarse(*page, stats.min, stats.max)).collect()
    }
}

impl Gather<i64, i128> {
    pub(crate) fn page(&mut self, values: &[i64]) {
        let bounds = integer_bounds(values);
        let sum = values.iter().map(|value| i128::from(*value)).sum();
        self.add(values.first().copied(), values.last().copied(), bounds, sum);
    }

    pub(crate) fn finish(self) -> (ZoneValues, usize, Vec<(u8, u8)>) {
        let coarse = self.coarse_bounds();
        (self.stats.map_or(ZoneValues::None, ZoneValues::I64), 0, coarse)
    }
}

impl Gather<u64, i128> {
    pub(crate) fn page(&mut self, values: &[u64]) {
        let bounds = integer_bounds(values);
        let sum = values.iter().map(|value| i128::from(*value)).sum();
        self.add(values.first().copied(), values.last().copied(), bounds, sum);
    }

    pub(crate) fn finish(self) -> (ZoneValues, usize, Vec<(u8, u8)>) {
        let coarse = self.coarse_bounds();
        (self.stats.map_or(ZoneValues::None, ZoneValues::U64), 0, coarse)
    }
}

impl<T: Steps + Ord> Gather<T, i128> {
    fn add(&mut self, first: Option<T>, last: Option<T>, bounds: Option<(T, T)>, sum: i128) {
        self.pages.push(bounds);
        let (Some(first), Some(last), Some((min, max))) = (first, last, bounds) else { return };
        let page = Stats { min, max, first, last, sum };
        self.stats = Some(match self.stats.take() {
            None => page,
            Some(block) => Stats {
                min: block.min.min(min),
                max: block.max.max(max),
                first: block.first,
                last,
                sum: block.sum + sum,
            },
        });
    }
}

fn integer_bounds<T: Ord + Copy>(values: &[T]) -> Option<(T, T)> {
    let first = *values.first()?;
    Some(values.iter().fold((first, first), |(min, max), &value| (min.min(value), max.max(value))))
}

impl Gather<f64, f64> {
    pub(crate) fn page(&mut self, values: &[f64]) {
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut nan_count = 0;
        let mut sum = self.stats.as_ref().map_or(0.0, |stats| stats.sum);
        for &value in values {
            nan_count += usize::from(value.is_nan());
            if value < min {
                min = value;
            }
            if value > max {
                max = value;
            }
            if !value.is_nan() {
                sum += value;
            }
        }
        self.nan_count += nan_count;
        // Adding 0.0 makes 0.0 of -0.0 and changes nothing else.
        let mut bounds = (nan_count < values.len()).then_some((min + 0.0, max + 0.0));
        if nan_count > 0 && is_on(Bug::NanBound) {
            bounds = Some((f64::NAN, f64::NAN));
        }
        self.pages.push(bounds);
        let (Some(&first), Some(&last)) = (values.first(), values.last()) else { return };
        let (min, max) = bounds.unwrap_or((f64::NAN, f64::NAN));
        self.stats = Some(match self.stats.take() {
            None => Stats { min, max, first, last, sum },
            Some(block) => Stats {
                min: block.min.min(min),
                max: block.max.max(max),
                first: block.first,
                last,
                sum,
            },
        });
    }

    pub(crate) fn finish(mut self) -> (ZoneValues, usize, Vec<(u8, u8)>) {
        // Which NaN an operation gives depends on the machine; the file holds one.
        if let Some(stats) = &mut self.stats {
            for value in [&mut stats.min, &mut stats.max, &mut stats.sum] {
                *value = if value.is_nan() { f64::NAN } else { *value };
            }
        }
        let coarse = self.coarse_bounds();
        (self.stats.map_or(ZoneValues::None, ZoneValues::F64), self.nan_count, coarse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(pages: &[&[f64]]) -> (Zone, Vec<(u8, u8)>) {
        let mut gather = Gather::<f64, f64>::new();
        pages.iter().for_each(|page| gather.page(page));
        let (values, nan_count, coarse) = gather.finish();
        let nan_count = u32::try_from(nan_count).unwrap();
        (Zone { row_count: 0, null_count: 0, nan_count, values }, coarse)
    }

    fn bits(zone: &Zone) -> [u64; 5] {
        let ZoneValues::F64(stats) = zone.values else { panic!("{zone:?}") };
        [stats.min, stats.max, stats.first, stats.last, stats.sum].map(f64::to_bits)
    }

    #[test]
    fn zeros_are_alike_and_ends_are_exact() {
        let (zone, _) = floats(&[&[-0.0, 0.0, -0.0]]);
        assert_eq!(bits(&zone), [0, 0, 1 << 63, 1 << 63, 0]);
    }

    #[test]
    fn nan_is_counted_and_left_out() {
        let (zone, coarse) = floats(&[&[f64::NAN, 2.0], &[-f64::NAN], &[1.0]]);
        assert_eq!(zone.nan_count, 2);
        let [min, max, first, last, sum] = bits(&zone).map(f64::from_bits);
        assert!(first.is_nan());
        assert_eq!((min, max, last, sum), (1.0, 2.0, 1.0, 3.0));
        assert_eq!(coarse, [(255, 255), NO_BOUNDS, (0, 0)]);
        assert_eq!(zone.page_bounds(coarse[1], FieldType::F64), None);
        let (zone, coarse) = floats(&[&[-f64::NAN, f64::NAN]]);
        let nan = f64::NAN.to_bits();
        assert_eq!(bits(&zone), [nan, nan, (-f64::NAN).to_bits(), nan, 0]);
        assert_eq!((zone.bounds(FieldType::F64), coarse), (None, vec![NO_BOUNDS]));
    }

    #[test]
    fn infinities_are_values() {
        let (zone, coarse) = floats(&[&[f64::INFINITY], &[f64::NEG_INFINITY], &[1.0]]);
        let [min, max, .., sum] = bits(&zone).map(f64::from_bits);
        assert_eq!((min, max), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(sum.to_bits(), f64::NAN.to_bits());
        for (page, value) in coarse.iter().zip([f64::INFINITY, f64::NEG_INFINITY, 1.0]) {
            let bounds = zone.page_bounds(*page, FieldType::F64);
            let Some((Value::F64(low), Value::F64(high))) = bounds else { panic!("{bounds:?}") };
            assert!(low <= value && value <= high);
        }
    }

    #[test]
    fn coarse_bounds_are_the_tightest_that_hold_the_page() {
        let mut gather = Gather::<i64, i128>::new();
        for page in [&[0, 2550][..], &[10, 20], &[11, 29], &[9, 9], &[]] {
            gather.page(page);
        }
        let (_, _, coarse) = gather.finish();
        assert_eq!(coarse, [(0, 255), (1, 2), (1, 3), (0, 1), NO_BOUNDS]);
        let mut gather = Gather::<i64, i128>::new();
        for page in [&[i64::MIN][..], &[i64::MAX], &[0]] {
            gather.page(page);
        }
        let (values, _, coarse) = gather.finish();
        assert_eq!(coarse, [(0, 0), (255, 255), (127, 128)]);
        let zone = Zone { row_count: 3, null_count: 0, nan_count: 0, values };
        let bounds = zone.page_bounds((127, 128), FieldType::I64).unwrap();
        assert_eq!(
            bounds,
            (Value::I64(-36_170_086_419_038_337), Value::I64(36_170_086_419_038_336))
        );
        let mut gather = Gather::<u64, i128>::new();
        [&[7u64][..], &[7, 7]].iter().for_each(|page| gather.page(page));
        let (_, _, coarse) = gather.finish();
        assert_eq!(coarse, [ALL_BOUNDS, ALL_BOUNDS]);
    }

    #[test]
    fn zones_round_trip() {
        let mut gather = Gather::<u64, i128>::new();
        gather.page(&[u64::MAX, 5, 0]);
        let (values, _, _) = gather.finish();
        let zone = Zone { row_count: 9, null_count: 6, nan_count: 0, values };
        let mut bytes = Vec::new();
        zone.encode(&mut bytes);
        assert_eq!(Zone::decode(&mut Reader::new(&bytes), 9, FieldType::U64), Ok(zone));
        assert!(Zone::decode(&mut Reader::new(&bytes), 5, FieldType::U64).is_err());
    }
}
