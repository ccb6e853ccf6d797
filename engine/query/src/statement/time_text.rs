//! Times as people write them, and time zones. A time may stop at the day, the hour, the minute or anywhere in the second; without an
//! offset it is local to the session's time zone.

use std::str::FromStr;

use arrow::array::timezone::Tz;
use arrow::temporal_conversions::NANOSECONDS;
use chrono::{LocalResult, NaiveDate, NaiveDateTime, Offset, TimeZone};

use crate::error::{Result, SqlError};

/// The time zone named `name`: `UTC`, `Asia/Kolkata`, `+05:30`.
///
/// # Errors
/// `Invalid` for another text.
pub(crate) fn zone(name: &str) -> Result<Tz> {
    Tz::from_str(name).map_err(|_| {
        SqlError::invalid(format!(
            "unknown time zone {name:?}: write 'UTC', a name such as 'Asia/Kolkata', or an offset such as '+05:30'"
        ))
    })
}

/// Nanoseconds since the epoch of `text` in `zone`. A local time that occurs twice means the first.
///
/// # Errors
/// `Invalid` where the text is no time, lies in a gap of the zone, or beyond the years 1677 to 2262.
pub(crate) fn parse(text: &str, zone: Tz) -> Result<i64> {
    let invalid = || {
        SqlError::invalid(format!(
            "cannot read {text:?} as a time: write '2024-01-02', '2024-01-02 09', '2024-01-02 09:15' or '2024-01-02 09:15:00.123', \
             and an offset such as Z or +05:30 where it is not local"
        ))
    };
    let (local, offset_seconds) = split(text.trim()).ok_or_else(invalid)?;
    let seconds = match offset_seconds {
        Some(offset) => local.and_utc().timestamp() - offset,
        None => match zone.offset_from_local_datetime(&local) {
            LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => {
                local.and_utc().timestamp() - i64::from(offset.fix().local_minus_utc())
            }
            LocalResult::None => {
                return Err(SqlError::invalid(format!(
                    "there is no local time {text:?}: the clocks were put forward over it"
                )));
            }
        },
    };
    let nanoseconds = i64::from(local.and_utc().timestamp_subsec_nanos());
    let whole = seconds.checked_mul(NANOSECONDS).and_then(|ns| ns.checked_add(nanoseconds));
    whole.ok_or_else(|| {
        SqlError::invalid(format!(
            "the time {text:?} lies beyond the years 1677 to 2262, which nanoseconds can tell"
        ))
    })
}

/// Nanoseconds since the epoch of the first moment of a day in `zone`.
///
/// # Errors
/// As [`parse`].
pub(crate) fn of_day(days: i32, zone: Tz) -> Result<i64> {
    let date = NaiveDate::from_ymd_opt(1970, 1, 1)
        .and_then(|epoch| epoch.checked_add_signed(chrono::TimeDelta::try_days(i64::from(days))?));
    let date = date
        .ok_or_else(|| SqlError::invalid(format!("there is no date {days} days from the epoch")))?;
    parse(&date.format("%Y-%m-%d").to_string(), zone)
}

/// The local time and, where it is given, the offset in seconds.
fn split(text: &str) -> Option<(NaiveDateTime, Option<i64>)> {
    let (date, rest) = text.split_at_checked(10)?;
    let date = NaiveDate::from_ymd_opt(
        number(date.get(..4)?)?,
        unsigned(date.get(5..7)?)?,
        unsigned(date.get(8..10)?)?,
    )
    .filter(|_| date.get(4..5) == Some("-") && date.get(7..8) == Some("-"))?;
    let rest = match rest.strip_prefix([' ', 'T', 't']) {
        None if rest.is_empty() => return Some((date.and_hms_opt(0, 0, 0)?, None)),
        // A date with an offset has none of its own hours.
        None => return None,
        Some(rest) => rest.trim_start(),
    };
    let end =
        rest.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(rest.len());
    let (clock, zone) = rest.split_at_checked(end)?;
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (clock, None),
    };
    let mut parts = clock.split(':');
    let hour = two_digits(parts.next()?)?;
    let minute = parts.next().map_or(Some(0), two_digits)?;
    let second = parts.next();
    if parts.next().is_some() || (second.is_none() && fraction.is_some()) {
        return None;
    }
    let second = second.map_or(Some(0), two_digits)?;
    let nanoseconds = fraction.map_or(Some(0), nanoseconds)?;
    let local = date.and_hms_nano_opt(hour, minute, second, nanoseconds)?;
    Some((local, offset(zone.trim_start())?))
}

/// `Z`, `UTC`, `+05`, `+05:30`, `+0530`; empty: none.
#[expect(clippy::option_option, reason = "no offset and a wrong one differ")]
fn offset(text: &str) -> Option<Option<i64>> {
    if text.is_empty() {
        return Some(None);
    }
    if text.eq_ignore_ascii_case("z") || text.eq_ignore_ascii_case("utc") {
        return Some(Some(0));
    }
    let (sign, digits) = match text.strip_prefix('+') {
        Some(digits) => (1, digits),
        None => (-1, text.strip_prefix('-')?),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (two_digits(hours)?, two_digits(minutes)?),
        None if digits.len() == 4 => {
            let (hours, minutes) = digits.split_at_checked(2)?;
            (two_digits(hours)?, two_digits(minutes)?)
        }
        None => (two_digits(digits)?, 0),
    };
    (hours < 24 && minutes < 60)
        .then(|| Some(sign * (i64::from(hours) * 3_600 + i64::from(minutes) * 60)))
}

fn number(text: &str) -> Option<i32> {
    text.chars().all(|c| c.is_ascii_digit()).then(|| text.parse().ok())?
}

fn unsigned(text: &str) -> Option<u32> {
    text.chars().all(|c| c.is_ascii_digit()).then(|| text.parse().ok())?
}

fn two_digits(text: &str) -> Option<u32> {
    (text.len() == 2).then(|| unsigned(text))?
}

fn nanoseconds(digits: &str) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let missing = u32::try_from(9 - digits.len()).ok()?;
    unsigned(digits)?.checked_mul(10_u32.pow(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 1_704_153_600_000_000_000; // 2024-01-02 UTC

    fn utc(text: &str) -> Option<i64> {
        parse(text, zone("UTC").unwrap()).ok()
    }

    #[test]
    fn a_time_may_stop_anywhere_from_the_day_on() {
        let second = 1_000_000_000;
        assert_eq!(utc("2024-01-02"), Some(DAY));
        assert_eq!(utc("2024-01-02 09"), Some(DAY + 9 * 3_600 * second));
        assert_eq!(utc("2024-01-02 09:15"), Some(DAY + 33_300 * second));
        assert_eq!(utc("2024-01-02T09:15:07"), Some(DAY + 33_307 * second));
        assert_eq!(utc("2024-01-02 09:15:07.5"), Some(DAY + 33_307 * second + 500_000_000));
        assert_eq!(utc("2024-01-02 00:00:00.123456789"), Some(DAY + 123_456_789));
        assert_eq!(utc("1969-12-31 23:59:59.9"), Some(-100_000_000));
    }

    #[test]
    fn offsets_and_zones_move_it() {
        let kolkata = zone("Asia/Kolkata").unwrap();
        let moved = DAY - 19_800 * 1_000_000_000;
        assert_eq!(parse("2024-01-02", kolkata).unwrap(), moved);
        assert_eq!(parse("2024-01-02 00:00Z", kolkata).unwrap(), DAY);
        for text in ["2024-01-02 00+05:30", "2024-01-02 00:00+0530", "2024-01-02 00:00:00 +05:30"] {
            assert_eq!(utc(text), Some(moved), "{text}");
        }
        assert_eq!(utc("2024-01-01 19:00-05"), Some(DAY));
        let berlin = zone("Europe/Berlin").unwrap();
        assert!(parse("2024-03-31 02:30", berlin).is_err(), "skipped by the clocks");
        // Twice that night: the first is still summer time.
        let first = parse("2024-10-27 02:30", berlin).unwrap();
        assert_eq!(first, utc("2024-10-27 00:30").unwrap());
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "2024",
            "2024-01",
            "2024-13-01",
            "2024-02-30",
            "2024-1-2",
            "2024-01-02 9",
            "2024-01-02 24:00",
            "2024-01-02 09:1",
            "2024-01-02 09:15:60",
            "2024-01-02 09:15.5",
            "2024-01-02 09:15:07.",
            "2024-01-02 09:15:07.1234567890",
            "2024-01-02x",
            "2024-01-02 09:15 Mars/Base",
            "2024-01-02+05:30",
            "0001-01-01",
            "9999-12-31",
            "2024-01-02 09:15:07:08",
            "ü024-01-02",
            "２０24-01-02",
        ] {
            assert_eq!(utc(text), None, "{text}");
        }
        assert!(zone("Mars/Base").is_err() && zone("").is_err());
    }
}
