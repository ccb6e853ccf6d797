//! Doubles that are decimals, as integers: ALP (Afroozeh, Kuffo and Boncz, SIGMOD 2024, section
//! 3.1), exceptions kept bit for bit. Beside ALP's product of two powers of ten an integer may be
//! divided by one power: the division is correctly rounded, so it gives back every double that was
//! parsed from a decimal of up to 15 digits, and the integers are as small as can be.

use crate::encoding::{Bounds, Encoding, id};
use crate::error::{CodecError, check_max, corrupt};
use crate::int::{self, IntEncoding, IntPlan};
use crate::num;
use crate::varint::{self, Reader};

/// The largest exponent, in both ways.
const EXPONENT_MAX: u8 = 18;
/// Flag in the exponent byte: divide.
const DIVIDE: u8 = 0x80;
/// Integers lie in -2^51 ..= 2^51, where adding 1.5 * 2^52 rounds to an integer (section 3.1).
const INTEGER_MAX: u64 = 1 << 51;
/// 1.5 * 2^52.
const MAGIC: f64 = 6_755_399_441_055_744.0;
/// Values that the search for exponents looks at, over all samples.
const FIT_VALUES: usize = 192;
/// What an exception costs, in bits: its value and its gap.
const EXCEPTION_BITS: usize = 72;

const POWERS: [f64; 19] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];
const INVERSES: [f64; 19] = [
    1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14,
    1e-15, 1e-16, 1e-17, 1e-18,
];

/// How a double becomes an integer and comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    /// `n / 10^e` when true, `n * 10^f * 10^-e` (ALP) when false.
    divide: bool,
    e: u8,
    f: u8,
}

/// The factors of one [`Decimal`], looked up.
#[derive(Clone, Copy)]
struct Factors {
    up: f64,
    up_again: f64,
    down: f64,
    down_again: f64,
}

impl Decimal {
    /// `n / 10^exponent`; the exponent is at most 18, larger ones count as 18.
    #[must_use]
    pub fn divided(exponent: u8) -> Self {
        Self { divide: true, e: exponent.min(EXPONENT_MAX), f: 0 }
    }

    /// ALP's `n * 10^f * 10^-e`; `e` is at most 18 and `f` at most `e`, larger ones are lowered.
    #[must_use]
    pub fn multiplied(e: u8, f: u8) -> Self {
        let e = e.min(EXPONENT_MAX);
        Self { divide: false, e, f: f.min(e) }
    }

    fn factors(self) -> Factors {
        let power = |table: &[f64; 19], at: u8| table.get(usize::from(at)).copied().unwrap_or(1.0);
        Factors {
            up: power(&POWERS, self.e),
            up_again: power(&INVERSES, self.f),
            down: power(&POWERS, self.f),
            down_again: power(if self.divide { &POWERS } else { &INVERSES }, self.e),
        }
    }

    #[inline]
    fn integer(factors: Factors, value: f64) -> i64 {
        let scaled = value * factors.up * factors.up_again + MAGIC;
        scaled.to_bits().wrapping_sub(MAGIC.to_bits()) as i64
    }

    #[inline]
    fn double(self, factors: Factors, integer: i64) -> f64 {
        if self.divide {
            exact(integer) / factors.down_again
        } else {
            exact(integer) * factors.down * factors.down_again
        }
    }

    /// Appends the doubles of `integers`; the choice stays outside the loops, so that both are SIMD.
    fn put_doubles(self, integers: &[i64], out: &mut Vec<f64>) {
        let Factors { down, down_again, .. } = self.factors();
        if self.divide {
            out.extend(integers.iter().map(|integer| exact(*integer) / down_again));
        } else {
            out.extend(integers.iter().map(|integer| exact(*integer) * down * down_again));
        }
    }

    /// How many of `values` do not come back from `integers`.
    fn misses(self, integers: &[i64], values: &[f64]) -> usize {
        let factors = self.factors();
        let count = |decimal: Self| {
            let pairs = integers.iter().zip(values);
            pairs.fold(0, |sum, (n, v)| sum + usize::from(!decimal.fits(factors, *n, *v)))
        };
        // Two copies of the loop, each with its choice made.
        if self.divide {
            count(Self { divide: true, ..self })
        } else {
            count(Self { divide: false, ..self })
        }
    }

    #[inline]
    fn fits(self, factors: Factors, integer: i64, value: f64) -> bool {
        let back = self.double(factors, integer).to_bits();
        (back == value.to_bits()) & (integer.unsigned_abs() <= INTEGER_MAX)
    }

    /// The decimal that makes a sample of values smallest, if one beats plain doubles.
    pub(crate) fn fit(samples: &[&[f64]]) -> Option<Self> {
        let total: usize = samples.iter().map(|sample| sample.len()).sum();
        let stride = total.div_ceil(FIT_VALUES).max(1);
        let values: Vec<f64> =
            samples.iter().flat_map(|sample| sample.iter().copied()).step_by(stride).collect();
        let plain = values.len() * 60;
        let mut best = (plain, None);
        for decimal in (0..=EXPONENT_MAX).map(Self::divided) {
            decimal.improve(&values, &mut best);
        }
        let exceptions = |bits: usize| bits > values.len() * 52;
        if best.1.is_none_or(|found: Self| found.exceptions(&values) > 0) || exceptions(best.0) {
            let products =
                (0..=EXPONENT_MAX).flat_map(|e| (0..=e).map(move |f| Self::multiplied(e, f)));
            for decimal in products {
                decimal.improve(&values, &mut best);
            }
        }
        best.1
    }

    fn exceptions(self, values: &[f64]) -> usize {
        let factors = self.factors();
        let fits = |value: &&f64| self.fits(factors, Self::integer(factors, **value), **value);
        values.len() - values.iter().filter(fits).count()
    }

    /// Puts itself into `best` if its estimate is smaller; gives up once it cannot be.
    fn improve(self, values: &[f64], best: &mut (usize, Option<Self>)) {
        let factors = self.factors();
        let (mut least, mut greatest, mut exceptions) = (i64::MAX, i64::MIN, 0);
        for &value in values {
            let integer = Self::integer(factors, value);
            if self.fits(factors, integer, value) {
                least = least.min(integer);
                greatest = greatest.max(integer);
            } else {
                exceptions += 1;
                if exceptions * EXCEPTION_BITS >= best.0 {
                    return;
                }
            }
        }
        if exceptions == values.len() {
            return;
        }
        let width = num::bit_length(greatest.wrapping_sub(least) as u64) as usize;
        let bits = exceptions * EXCEPTION_BITS + width * values.len();
        if bits < best.0 {
            *best = (bits, Some(self));
        }
    }
}

/// The double equal to an integer of at most [`INTEGER_MAX`]: SIMD has no conversion for it.
#[inline]
fn exact(integer: i64) -> f64 {
    f64::from_bits((integer as u64).wrapping_add(MAGIC.to_bits())) - MAGIC
}

/// The integers of `values`, and the positions that do not come back bit for bit. There the integer
/// repeats its neighbour's, so that it costs little.
pub(crate) fn split(decimal: Decimal, values: &[f64]) -> (Vec<i64>, Vec<usize>) {
    let factors = decimal.factors();
    let mut integers: Vec<i64> =
        values.iter().map(|value| Decimal::integer(factors, *value)).collect();
    let pairs = || integers.iter().zip(values);
    let misses = |(integer, value): (&i64, &f64)| !decimal.fits(factors, *integer, *value);
    // A pass without branches first: most pages have no exception at all.
    if decimal.misses(&integers, values) == 0 {
        return (integers, Vec::new());
    }
    let exceptions: Vec<usize> =
        pairs().enumerate().filter(|(_, pair)| misses(*pair)).map(|(at, _)| at).collect();
    let mut skip = exceptions.iter().copied().peekable();
    let first_fit = (0..values.len()).find(|at| skip.next_if_eq(at).is_none());
    let mut stand_in = first_fit.and_then(|at| integers.get(at).copied()).unwrap_or(0);
    let mut next = exceptions.iter().copied().peekable();
    for (at, integer) in integers.iter_mut().enumerate() {
        if next.next_if_eq(&at).is_some() {
            *integer = stand_in;
        } else {
            stand_in = *integer;
        }
    }
    (integers, exceptions)
}

/// Decimals as integers, these in an integer page without Zstd.
pub(crate) struct Decimals {
    pub(crate) decimal: Decimal,
    pub(crate) inner: IntEncoding,
    pub(crate) divisor: u64,
}

impl Encoding<[f64], Vec<f64>> for Decimals {
    const ID: u8 = id::DECIMAL;

    fn encode(&self, values: &[f64], out: &mut Vec<u8>) {
        let (integers, exceptions) = split(self.decimal, values);
        let flag = if self.decimal.divide { DIVIDE } else { 0 };
        out.push(self.decimal.e | flag);
        out.push(self.decimal.f);
        varint::put_u64(out, exceptions.len() as u64);
        let mut after = 0;
        for at in &exceptions {
            varint::put_u64(out, (at - after) as u64);
            after = at + 1;
        }
        for value in exceptions.iter().filter_map(|at| values.get(*at)) {
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        let plan = IntPlan { encoding: self.inner, divisor: self.divisor, zstd_level: 0 };
        int::encode_unwrapped(&integers, &plan, out);
    }

    fn decode(mut body: Reader<'_>, bounds: Bounds, out: &mut Vec<f64>) -> Result<(), CodecError> {
        let (e, f) = (body.u8()?, body.u8()?);
        let decimal = Decimal { divide: e & DIVIDE != 0, e: e & !DIVIDE, f };
        if decimal.e > EXPONENT_MAX || f > decimal.e || (decimal.divide && f != 0) {
            return Err(corrupt("a decimal exponent is out of range"));
        }
        let count = num::to_usize(body.u64()?);
        check_max("exceptions of a page", count, bounds.count)?;
        let mut positions = Vec::with_capacity(count);
        let mut after = 0usize;
        for _ in 0..count {
            let at = after.saturating_add(num::to_usize(body.u64()?));
            check_max("an exception's position", at, bounds.count.saturating_sub(1))?;
            positions.push(at);
            after = at + 1;
        }
        let raw = body.bytes(count * 8)?;
        let mut integers = Vec::with_capacity(bounds.count);
        int::decode_unwrapped(body.rest(), bounds, &mut integers)?;
        let greatest = integers.iter().fold(0, |max, integer| max.max(integer.unsigned_abs()));
        if greatest > INTEGER_MAX {
            return Err(corrupt("a decimal's integer is out of range"));
        }
        let start = out.len();
        decimal.put_doubles(&integers, out);
        for (at, bits) in positions.into_iter().zip(raw.as_chunks::<8>().0) {
            if let Some(value) = out.get_mut(start + at) {
                *value = f64::from_bits(u64::from_le_bytes(*bits));
            }
        }
        Ok(())
    }
}
