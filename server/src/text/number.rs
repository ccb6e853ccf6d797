//! Numbers as text: the shortest that reads back equal, and decimals of a fixed scale.

use std::io::Write;

/// From here on a float is written with an exponent; below, integers are exact.
const PLAIN_MAX: f64 = 1e16;
/// Below this a float is written with an exponent.
const PLAIN_MIN: f64 = 1e-5;

/// Appends the shortest text that reads back as the same `f64`: plain from 1e-5 up to
/// 1e16 (`100`, `0.25`), with an exponent beyond (`1e300`, `1.5e-7`), `-0` with its sign,
/// `NaN` (its sign and payload are lost), `inf`, `-inf`.
pub fn push_f64(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let abs = value.abs();
    if abs.is_infinite() {
        out.extend_from_slice(b"inf");
    } else if abs == 0.0 {
        out.push(b'0');
    } else if !(PLAIN_MIN..PLAIN_MAX).contains(&abs) {
        push_display(out, format_args!("{abs:e}"));
    } else if !push_short_decimal(out, abs) {
        push_display(out, format_args!("{abs}"));
    }
}

/// Writing to memory does not fail.
fn push_display(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok());
}

/// Writes prices and the like, which have few digits, without the general search.
///
/// `digits / 10^scale` is one correctly rounded division of two exact floats, thus the
/// float nearest to that decimal (Clinger 1990, "How to Read Floating Point Numbers
/// Accurately", the fast case). Two decimals of at most 15 digits never share a float, so
/// when it equals `abs`, it is the shortest once its trailing zeros are gone.
fn push_short_decimal(out: &mut Vec<u8>, abs: f64) -> bool {
    const DIGITS_MAX: f64 = 1e15;
    for (power, scale) in [(1e4, 4u8), (1e8, 8)] {
        let digits = (abs * power).round_ties_even();
        if digits < DIGITS_MAX && digits / power == abs {
            #[expect(clippy::cast_possible_truncation, reason = "an integer below 1e15")]
            let digits = digits as u64;
            push_scaled(out, digits, scale);
            trim_fraction(out);
            return true;
        }
    }
    false
}

/// Takes the zeros at the end of a number that has a point, and then the point.
fn trim_fraction(out: &mut Vec<u8>) {
    while out.last() == Some(&b'0') {
        out.pop();
    }
    if out.last() == Some(&b'.') {
        out.pop();
    }
}

/// Appends an integer.
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    push_u64(out, value.unsigned_abs());
}

/// Appends an integer.
pub fn push_u64(out: &mut Vec<u8>, value: u64) {
    push_padded(out, value, 1);
}

/// Appends a decimal, held as `scaled = value * 10^scale`, with exactly `scale` digits
/// behind the point (none without a point): `-0.50` for -50 of scale 2.
pub fn push_decimal(out: &mut Vec<u8>, scaled: i64, scale: u8) {
    if scaled < 0 {
        out.push(b'-');
    }
    push_scaled(out, scaled.unsigned_abs(), scale);
}

fn push_scaled(out: &mut Vec<u8>, scaled: u64, scale: u8) {
    if scale == 0 {
        return push_u64(out, scaled);
    }
    // A power beyond u64 is above every number, which then is all fraction.
    let (whole, fraction) = match 10u64.checked_pow(u32::from(scale)) {
        Some(power) => (scaled / power, scaled % power),
        None => (0, scaled),
    };
    push_u64(out, whole);
    out.push(b'.');
    push_padded(out, fraction, usize::from(scale));
}

/// Appends `value` with at least `width` digits.
fn push_padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let from = out.len();
    let mut rest = value;
    while rest > 0 {
        out.push(b'0' + u8::try_from(rest % 10).unwrap_or_default());
        rest /= 10;
    }
    while out.len() - from < width {
        out.push(b'0');
    }
    out.get_mut(from..).unwrap_or_default().reverse();
}

#[cfg(test)]
mod tests;
