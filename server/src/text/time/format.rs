//! Nanoseconds to ISO-8601 text in UTC.

use super::civil::civil_from_days;
use super::{NS_PER_SECOND, SECONDS_PER_DAY};

/// Appends `ns` as `YYYY-MM-DDTHH:MM:SS[.fraction]Z`; the fraction has no trailing zeros
/// and is absent when it is zero. Every `i64` has a year of four digits. The text reads
/// back equal through [`parse_iso`](super::parse_iso).
pub fn push_utc(out: &mut Vec<u8>, ns: i64) {
    let seconds = ns.div_euclid(NS_PER_SECOND);
    let date = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
    let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    push_digits::<4>(out, date.year);
    out.push(b'-');
    push_digits::<2>(out, date.month);
    out.push(b'-');
    push_digits::<2>(out, date.day);
    out.push(b'T');
    push_digits::<2>(out, second_of_day / 3600);
    out.push(b':');
    push_digits::<2>(out, second_of_day / 60 % 60);
    out.push(b':');
    push_digits::<2>(out, second_of_day % 60);
    let fraction = ns.rem_euclid(NS_PER_SECOND);
    if fraction != 0 {
        out.push(b'.');
        push_digits::<9>(out, fraction);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.push(b'Z');
}

fn push_digits<const N: usize>(out: &mut Vec<u8>, value: i64) {
    let mut digits = [b'0'; N];
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        // A remainder by 10 of a number that is not negative fits.
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    out.extend_from_slice(&digits);
}
