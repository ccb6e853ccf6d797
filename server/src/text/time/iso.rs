//! ISO-8601 times by hand: `YYYY-MM-DD`, then optionally a space or `T` and
//! `HH:MM[:SS[.fraction]]`, then optionally `Z`, `+HH`, `+HHMM` or `+HH:MM`.

use super::civil::{Date, days_from_civil, days_in_month};
use super::zone::Zone;
use super::{NS_PER_SECOND, SECONDS_PER_DAY, TimeError};
use crate::text::shown;

/// Reads an ISO time as nanoseconds since the epoch. A date alone is its midnight. Without
/// an offset it is a local time of `zone`; of one that occurs twice, the earlier instant.
///
/// A fraction may have any number of digits, those behind the ninth zero. Seconds are 0 to
/// 59 (a leap second has no number in Unix time), hours 0 to 23, offsets below 24 hours.
/// One space may stand before an offset that begins with a sign.
///
/// # Errors
/// [`TimeError`]: `NotIso`, `NoSuchTime`, `TooFine`, `OutOfRange`, `NonexistentLocal`.
pub fn parse_iso(text: &[u8], zone: &Zone) -> Result<i64, TimeError> {
    let parts = match parse_parts(text) {
        Ok(parts) => parts,
        Err(flaw) => return Err(flaw.of(text)),
    };
    let offset_seconds = match parts.offset_seconds {
        Some(offset) => offset,
        None => zone.offset_at_local(parts.local_seconds, text)?,
    };
    let seconds = i128::from(parts.local_seconds) - i128::from(offset_seconds);
    let ns = seconds * i128::from(NS_PER_SECOND) + i128::from(parts.nanos);
    i64::try_from(ns).map_err(|_| TimeError::OutOfRange { text: shown(text) })
}

/// Reads `--from` or `--to`: an ISO time, in UTC where no offset is given.
///
/// # Errors
/// As [`parse_iso`].
pub fn parse_bound(text: &str) -> Result<i64, TimeError> {
    parse_iso(text.as_bytes(), &Zone::Utc)
}

enum Flaw {
    Layout,
    Part(&'static str),
    Fine,
}

impl Flaw {
    fn of(self, text: &[u8]) -> TimeError {
        let text = shown(text);
        match self {
            Self::Layout => TimeError::NotIso { text },
            Self::Part(part) => TimeError::NoSuchTime { text, part },
            Self::Fine => TimeError::TooFine { text },
        }
    }
}

struct Parts {
    /// Seconds since the epoch, as if the local time were UTC.
    local_seconds: i64,
    nanos: i64,
    /// East of Greenwich is positive; `None` when the text has no offset.
    offset_seconds: Option<i64>,
}

fn parse_parts(text: &[u8]) -> Result<Parts, Flaw> {
    let mut cursor = Cursor(text);
    let days = cursor.date()?;
    let mut parts = Parts { local_seconds: days * SECONDS_PER_DAY, nanos: 0, offset_seconds: None };
    if cursor.0.is_empty() {
        return Ok(parts);
    }
    if !(cursor.eat(b'T') || cursor.eat(b' ') || cursor.eat(b't')) {
        return Err(Flaw::Layout);
    }
    let (seconds, nanos) = cursor.time_of_day()?;
    parts.local_seconds += seconds;
    parts.nanos = nanos;
    parts.offset_seconds = cursor.offset()?;
    Ok(parts)
}

/// The text that is left.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn need(&mut self, byte: u8) -> Result<(), Flaw> {
        if self.eat(byte) { Ok(()) } else { Err(Flaw::Layout) }
    }

    fn number<const N: usize>(&mut self) -> Result<i64, Flaw> {
        let (digits, rest) = self.0.split_first_chunk::<N>().ok_or(Flaw::Layout)?;
        let mut value = 0;
        for b in digits {
            if !b.is_ascii_digit() {
                return Err(Flaw::Layout);
            }
            value = value * 10 + i64::from(b - b'0');
        }
        self.0 = rest;
        Ok(value)
    }

    fn part<const N: usize>(&mut self, max: i64, name: &'static str) -> Result<i64, Flaw> {
        let value = self.number::<N>()?;
        if value > max { Err(Flaw::Part(name)) } else { Ok(value) }
    }

    /// Days since the epoch.
    fn date(&mut self) -> Result<i64, Flaw> {
        let year = self.number::<4>()?;
        self.need(b'-')?;
        let month = self.number::<2>()?;
        self.need(b'-')?;
        let day = self.number::<2>()?;
        if !(1..=12).contains(&month) {
            return Err(Flaw::Part("month"));
        }
        if !(1..=days_in_month(year, month)).contains(&day) {
            return Err(Flaw::Part("day"));
        }
        Ok(days_from_civil(Date { year, month, day }))
    }

    /// Seconds of the day and nanoseconds of the second.
    fn time_of_day(&mut self) -> Result<(i64, i64), Flaw> {
        let hour = self.part::<2>(23, "hour")?;
        self.need(b':')?;
        let minute = self.part::<2>(59, "minute")?;
        let seconds = hour * 3600 + minute * 60;
        if !self.eat(b':') {
            return Ok((seconds, 0));
        }
        let second = self.part::<2>(59, "second")?;
        let nanos = if self.eat(b'.') { self.fraction()? } else { 0 };
        Ok((seconds + second, nanos))
    }

    fn fraction(&mut self) -> Result<i64, Flaw> {
        let len = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(len).ok_or(Flaw::Layout)?;
        if digits.is_empty() {
            return Err(Flaw::Layout);
        }
        self.0 = rest;
        if digits.iter().skip(9).any(|b| *b != b'0') {
            return Err(Flaw::Fine);
        }
        let padded = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
        Ok(padded.fold(0, |v, b| v * 10 + i64::from(b - b'0')))
    }

    /// Seconds east of Greenwich; the text must end behind it.
    fn offset(&mut self) -> Result<Option<i64>, Flaw> {
        if self.0.is_empty() {
            return Ok(None);
        }
        if self.eat(b'Z') || self.eat(b'z') {
            return if self.0.is_empty() { Ok(Some(0)) } else { Err(Flaw::Layout) };
        }
        self.eat(b' ');
        let sign = if self.eat(b'-') { -1 } else { self.need(b'+').map(|()| 1)? };
        let hour = self.part::<2>(23, "offset")?;
        let colon = self.eat(b':');
        let minute = if self.0.is_empty() && !colon { 0 } else { self.part::<2>(59, "offset")? };
        if !self.0.is_empty() {
            return Err(Flaw::Layout);
        }
        Ok(Some(sign * (hour * 3600 + minute * 60)))
    }
}
