//! What one field looks like, from its bytes alone.

/// Every integer of a magnitude up to here is exact in an `f64`.
pub(super) const EXACT_IN_F64_MAX: u64 = 1 << 53;

/// The class of a field that is not NULL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Class {
    /// An integer as a program writes it: no sign but `-`, no leading zero, not `-0`.
    Int {
        negative: bool,
        /// `None` beyond `u64`.
        magnitude: Option<u64>,
    },
    /// A number with a fraction or an exponent, `-0`, NaN or an infinity.
    Float,
    /// `true`, `True`, `TRUE` and the three of false.
    Bool,
    /// Everything else: also `007`, `+1` and `1e999`, which no number type would keep.
    Text,
}

pub(super) fn classify(bytes: &[u8]) -> Class {
    let (negative, number) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    match number {
        [b'0'..=b'9' | b'.', ..] => classify_number(bytes, number, negative),
        _ if is_bool(bytes) => Class::Bool,
        _ if is_special(number) || is_special(bytes.strip_prefix(b"+").unwrap_or_default()) => {
            Class::Float
        }
        _ => Class::Text,
    }
}

fn classify_number(whole: &[u8], number: &[u8], negative: bool) -> Class {
    let digits = digits(number);
    let (integer, rest) = number.split_at_checked(digits).unwrap_or_default();
    match (integer, rest) {
        ([b'0', _, ..], _) => Class::Text,
        ([b'0'], []) if negative => Class::Float,
        (_, []) => Class::Int { negative, magnitude: magnitude(integer) },
        _ if is_float(digits, rest) && is_finite(whole) => Class::Float,
        _ => Class::Text,
    }
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| b.is_ascii_digit()).count()
}

fn magnitude(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |v, b| v.checked_mul(10)?.checked_add(u64::from(b - b'0')))
}

/// `rest` follows `integer_digits` digits: `[.digits][e[+-]digits]` with a digit somewhere.
fn is_float(integer_digits: usize, rest: &[u8]) -> bool {
    let (fraction_digits, tail) = match rest {
        [b'.', after @ ..] => {
            let n = digits(after);
            (n, after.get(n..).unwrap_or_default())
        }
        _ => (0, rest),
    };
    if integer_digits + fraction_digits == 0 {
        return false;
    }
    match tail {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
        _ => false,
    }
}

/// Whether a number that is spelled out stays finite as a float: `1e999` does not.
fn is_finite(bytes: &[u8]) -> bool {
    const SURELY_FINITE_BYTES: usize = 300;
    if bytes.len() < SURELY_FINITE_BYTES && !bytes.iter().any(|b| matches!(b, b'e' | b'E')) {
        return true;
    }
    std::str::from_utf8(bytes).ok().and_then(|t| t.parse::<f64>().ok()).is_some_and(f64::is_finite)
}

fn is_bool(bytes: &[u8]) -> bool {
    matches!(bytes, b"true" | b"True" | b"TRUE" | b"false" | b"False" | b"FALSE")
}

fn is_special(unsigned: &[u8]) -> bool {
    ["nan", "inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether an integer, sign and digits, is the same number as an `f64`.
pub(super) fn is_exact_in_f64(integer: &[u8]) -> bool {
    /// `f64::MAX` has so many digits, and a sign.
    const LEN_MAX: usize = 310;
    let unsigned = integer.strip_prefix(b"-").unwrap_or(integer);
    if magnitude(unsigned).is_some_and(|m| m <= EXACT_IN_F64_MAX) {
        return true;
    }
    if integer.len() > LEN_MAX {
        return false;
    }
    let Ok(text) = std::str::from_utf8(integer) else { return false };
    // Without an exponent and a precision, std writes the float's own digits out, exactly
    // with a precision of zero.
    text.parse::<f64>().is_ok_and(|value| value.is_finite() && format!("{value:.0}") == text)
}
