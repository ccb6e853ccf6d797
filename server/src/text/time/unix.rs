//! Times as numbers since the Unix epoch, integers or decimal fractions, exactly.

use super::TimeError;
use crate::text::shown;
use std::fmt;

/// The unit of a time that is written as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl TimeUnit {
    /// Reads `s`, `ms`, `us` or `ns`.
    #[must_use]
    pub fn parse(suffix: &str) -> Option<Self> {
        match suffix {
            "s" => Some(Self::S),
            "ms" => Some(Self::Ms),
            "us" => Some(Self::Us),
            "ns" => Some(Self::Ns),
            _ => None,
        }
    }

    /// As it is written behind a column: `s`, `ms`, `us`, `ns`.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::S => "s",
            Self::Ms => "ms",
            Self::Us => "us",
            Self::Ns => "ns",
        }
    }

    /// Decimal digits from this unit down to a nanosecond.
    fn digits_to_ns(self) -> usize {
        match self {
            Self::S => 9,
            Self::Ms => 6,
            Self::Us => 3,
            Self::Ns => 0,
        }
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S => "seconds",
            Self::Ms => "milliseconds",
            Self::Us => "microseconds",
            Self::Ns => "nanoseconds",
        })
    }
}

/// Reads `[-]digits[.digits]` as a time since the epoch, in nanoseconds.
///
/// # Errors
/// [`TimeError::NotANumber`]; `TooFine` when digits below a nanosecond are not zero;
/// `OutOfRange`.
pub fn parse_unix(text: &[u8], unit: TimeUnit) -> Result<i64, TimeError> {
    let Some((negative, whole, fraction)) = split_number(text) else {
        return Err(TimeError::NotANumber { text: shown(text), unit });
    };
    let out_of_range = || TimeError::OutOfRange { text: shown(text) };
    let digits = unit.digits_to_ns();
    let (kept, below) = fraction.split_at(digits.min(fraction.len()));
    if below.iter().any(|b| *b != b'0') {
        return Err(TimeError::TooFine { text: shown(text) });
    }
    let mut ns = digits_value(0, whole).ok_or_else(out_of_range)?;
    ns = digits_value(ns, kept).ok_or_else(out_of_range)?;
    for _ in kept.len()..digits {
        ns = ns.checked_mul(10).ok_or_else(out_of_range)?;
    }
    let signed = if negative { -i128::from(ns) } else { i128::from(ns) };
    i64::try_from(signed).map_err(|_| out_of_range())
}

/// Continues the number `value` with more decimal digits; `None` beyond 64 bits.
fn digits_value(value: u64, digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(value, |v, b| v.checked_mul(10)?.checked_add(u64::from(b - b'0')))
}

/// Sign, digits before the point (at least one) and after it (empty without a point).
fn split_number(text: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let (negative, number) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let all_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let (whole, fraction) = match number.iter().position(|b| *b == b'.') {
        Some(at) => {
            let (whole, rest) = number.split_at(at);
            let fraction = rest.get(1..)?;
            (whole, all_digits(fraction).then_some(fraction)?)
        }
        None => (number, &[][..]),
    };
    all_digits(whole).then_some((negative, whole, fraction))
}

/// What a number without a unit may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LooksLike {
    /// A number since the epoch, judged by its magnitude: the first unit that puts it
    /// before the year 5138.
    Unit(TimeUnit),
    /// Eight digits that read as a date, such as `20240808`.
    CompactDate,
}

/// Judges a number without a unit; `None` when `text` is not a number.
#[must_use]
pub fn looks_like(text: &[u8]) -> Option<LooksLike> {
    let (_, whole, fraction) = split_number(text)?;
    if fraction.is_empty() && is_compact_date(text) {
        return Some(LooksLike::CompactDate);
    }
    let significant = whole.iter().skip_while(|b| **b == b'0').count();
    Some(LooksLike::Unit(match significant {
        0..=11 => TimeUnit::S,
        12..=14 => TimeUnit::Ms,
        15..=17 => TimeUnit::Us,
        _ => TimeUnit::Ns,
    }))
}

fn is_compact_date(text: &[u8]) -> bool {
    let [b'1'..=b'2', b'6' | b'7' | b'8' | b'9' | b'0' | b'1' | b'2', _, _, m, n, d, e] = text
    else {
        return false;
    };
    let month = (m - b'0') * 10 + (n - b'0');
    let day = (d - b'0') * 10 + (e - b'0');
    (1..=12).contains(&month) && (1..=31).contains(&day)
}
