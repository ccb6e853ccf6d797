//! Values whose types files say, as the types of columns: exactly, or not at all.

use std::fmt::Write as _;

use super::super::create::field_type;
use crate::text::infer::{TextType, Value};
use crate::text::number::{push_decimal, push_f64};
use crate::text::shown;
use crate::text::time::push_utc;

/// The value as one of `kind`, where the engine would take it as that: unchanged, an integer as another integer, a
/// float or a decimal, a decimal as another. `given`: the type that the file says, for the scale of a decimal.
#[inline]
pub(super) fn widened<'v>(
    value: Value<'v>,
    given: Option<TextType>,
    kind: TextType,
) -> Option<Value<'v>> {
    match (value, kind) {
        (Value::F64(_), TextType::F64)
        | (Value::I64(_), TextType::I64)
        | (Value::U64(_), TextType::U64)
        | (Value::Bool(_), TextType::Bool)
        | (Value::Utf8(_), TextType::Utf8)
        | (Value::Timestamp(_), TextType::Timestamp(_)) => Some(value),
        (Value::I64(value), _) => integer(value.into(), kind),
        (Value::U64(value), _) => integer(value.into(), kind),
        (Value::Decimal(units), TextType::Decimal { precision, scale }) => {
            let from = match given {
                Some(TextType::Decimal { scale, .. }) => scale,
                _ => scale,
            };
            rescaled(units.into(), from, precision, scale)
        }
        _ => None,
    }
}

fn integer(value: i128, kind: TextType) -> Option<Value<'static>> {
    match kind {
        TextType::I64 => i64::try_from(value).ok().map(Value::I64),
        TextType::U64 => u64::try_from(value).ok().map(Value::U64),
        TextType::F64 => exact_f64(value).map(Value::F64),
        TextType::Decimal { precision, scale } => rescaled(value, 0, precision, scale),
        _ => None,
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the way back shows whether it was exact"
)]
fn exact_f64(value: i128) -> Option<f64> {
    let float = value as f64;
    (float as i128 == value).then_some(float)
}

fn rescaled(units: i128, from: u8, precision: u8, to: u8) -> Option<Value<'static>> {
    let power = |digits: u8| 10_i128.pow(u32::from(digits));
    let scaled = match to.checked_sub(from) {
        Some(more) => units.checked_mul(power(more))?,
        None => (units % power(from - to) == 0).then_some(units / power(from - to))?,
    };
    let fits = scaled.abs() < power(precision);
    fits.then(|| i64::try_from(scaled).ok().map(Value::Decimal)).flatten()
}

/// The value as CSV has it, for a type that was named.
pub(super) fn push_text(to: &mut Vec<u8>, value: Value<'_>, given: Option<TextType>) {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = match value {
        Value::F64(value) => return push_f64(to, value),
        Value::Timestamp(ns) => return push_utc(to, ns),
        Value::Utf8(text) => return to.extend_from_slice(text.as_bytes()),
        Value::I64(value) => write!(text, "{value}"),
        Value::U64(value) => write!(text, "{value}"),
        Value::Bool(value) => write!(text, "{value}"),
        Value::Decimal(units) => {
            let scale = match given {
                Some(TextType::Decimal { scale, .. }) => scale,
                _ => 0,
            };
            return push_decimal(to, units, scale);
        }
    };
    to.extend_from_slice(text.as_bytes());
}

/// The value for a message.
pub(super) fn shown_value(value: Value<'_>, given: Option<TextType>) -> String {
    let mut text = Vec::new();
    push_text(&mut text, value, given);
    let text = shown(&text);
    if matches!(value, Value::Utf8(_)) { format!("{text:?}") } else { text }
}

/// What the value is.
pub(super) fn type_name(value: Value<'_>) -> &'static str {
    match value {
        Value::F64(_) => "f64",
        Value::I64(_) => "i64",
        Value::U64(_) => "u64",
        Value::Bool(_) => "bool",
        Value::Utf8(_) => "utf8",
        Value::Timestamp(_) => "timestamp",
        Value::Decimal(_) => "decimal",
    }
}

/// Whether the value is of `kind` without any conversion.
pub(super) fn is_of(value: Value<'_>, kind: TextType) -> bool {
    matches!(
        (value, kind),
        (Value::Decimal(_), TextType::Decimal { .. })
            | (Value::F64(_), TextType::F64)
            | (Value::I64(_), TextType::I64)
            | (Value::U64(_), TextType::U64)
            | (Value::Bool(_), TextType::Bool)
            | (Value::Utf8(_), TextType::Utf8)
            | (Value::Timestamp(_), TextType::Timestamp(_))
    )
}

/// A type for a message, by the engine's name for it.
pub(super) fn kind_name(kind: TextType) -> String {
    field_type(kind).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_exact_is_widened() {
        let decimal = |precision, scale| TextType::Decimal { precision, scale };
        let to = |value, kind| widened(value, Some(decimal(9, 2)), kind);
        assert_eq!(to(Value::I64(7), TextType::F64), Some(Value::F64(7.0)));
        assert_eq!(to(Value::I64((1 << 53) + 1), TextType::F64), None);
        assert_eq!(to(Value::U64(u64::MAX), TextType::F64), None);
        assert_eq!(to(Value::U64(1 << 63), TextType::I64), None);
        assert_eq!(to(Value::I64(-1), TextType::U64), None);
        assert_eq!(to(Value::I64(-12), decimal(4, 2)), Some(Value::Decimal(-1200)));
        assert_eq!(to(Value::I64(100), decimal(4, 2)), None);
        assert_eq!(to(Value::Decimal(1250), decimal(4, 1)), Some(Value::Decimal(125)));
        assert_eq!(to(Value::Decimal(1255), decimal(4, 1)), None);
        assert_eq!(to(Value::F64(1.0), TextType::I64), None);
        assert_eq!(to(Value::Utf8("1"), TextType::I64), None);
        assert_eq!(to(Value::Bool(true), TextType::I64), None);
    }

    #[test]
    fn values_as_text() {
        let text = |value| shown_value(value, Some(TextType::Decimal { precision: 9, scale: 2 }));
        assert_eq!(text(Value::Decimal(-1205)), "-12.05");
        assert_eq!(text(Value::F64(0.1)), "0.1");
        assert_eq!(text(Value::Timestamp(1)), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(text(Value::Utf8("x\n")), "\"x\\\\n\"");
    }
}
