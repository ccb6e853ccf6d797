//! A field's value under a type, exactly or not at all.

use super::types::TextType;
use crate::text::csv::Field;
use crate::text::shown;
use crate::text::time::{
    LooksLike, TimeError, TimeFormat, Zone, looks_like, parse_iso, parse_unix,
};
use std::num::IntErrorKind;
use std::str::FromStr;
use std::sync::Arc;

/// A field that is not NULL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Of `f64`.
    F64(f64),
    /// Of `i64`.
    I64(i64),
    /// Of `u64`.
    U64(u64),
    /// Of `bool`.
    Bool(bool),
    /// Of `utf8`.
    Utf8(&'a str),
    /// Of `timestamp`: nanoseconds since the epoch.
    Timestamp(i64),
    /// Of `decimal(p,s)`: the value times 10^s.
    Decimal(i64),
}

/// What keeps a text from being a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// Something else than a number, or than an integer where one is needed.
    #[error("it is not such a number")]
    NotANumber,
    /// A number that the type does not reach to.
    #[error("it is out of the type's range")]
    OutOfRange,
    /// Digits that a decimal of this scale cannot hold.
    #[error("it has over {scale} digits behind the point")]
    TooFine {
        /// The type's digits behind the point.
        scale: u8,
    },
    /// None of the six words.
    #[error("it is neither true nor false")]
    NotABool,
    /// Bytes that are not text.
    #[error("it is not valid UTF-8")]
    NotUtf8,
    /// `""` where a number is needed.
    #[error("the quoted empty field is text; --null \"\" reads it as NULL")]
    EmptyText,
    /// A number for a time without a unit.
    #[error("a number needs a unit: {}", time_hint(*.0))]
    BareTime(LooksLike),
    /// Not a time.
    #[error(transparent)]
    Time(#[from] TimeError),
}

fn time_hint(looks_like: LooksLike) -> String {
    match looks_like {
        LooksLike::Unit(unit) => format!("it looks like {unit}, timestamp:{}", unit.suffix()),
        LooksLike::CompactDate => "or, if it is a date, is written YYYY-MM-DD".to_owned(),
    }
}

/// A field that is not of its column's type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column:?}: {text:?} is no {expected}: {flaw}")]
pub struct ValueError {
    /// The column.
    pub column: String,
    /// The field's start.
    pub text: String,
    /// The column's type.
    pub expected: TextType,
    /// What is wrong.
    pub flaw: Flaw,
}

/// The words that stand for NULL (`--null NA,NaN`), besides the absent field.
#[derive(Debug, Clone, Default)]
pub struct NullWords(Arc<[Box<[u8]>]>);

impl NullWords {
    /// Reads words separated by commas; letters' case counts, and a word counts in quotes
    /// too. An empty word makes the quoted empty field NULL, which is text otherwise.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.split(',').map(|word| word.as_bytes().into()).collect())
    }

    /// Whether a field is NULL.
    #[must_use]
    pub fn is_null(&self, field: Field<'_>) -> bool {
        field.is_absent() || self.0.iter().any(|word| **word == *field.bytes)
    }
}

/// Reads one column's fields.
#[derive(Debug, Clone)]
pub struct FieldParser {
    column: String,
    kind: TextType,
    nulls: NullWords,
    zone: Zone,
}

impl FieldParser {
    /// Reads fields of `column` as `kind`; `zone` is for ISO times without an offset.
    #[must_use]
    pub fn new(column: &str, kind: TextType, nulls: NullWords, zone: Zone) -> Self {
        Self { column: column.to_owned(), kind, nulls, zone }
    }

    /// The column.
    #[must_use]
    pub fn column(&self) -> &str {
        &self.column
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> TextType {
        self.kind
    }

    /// The field's value; `None` is NULL.
    ///
    /// # Errors
    /// [`ValueError`] when the type cannot keep the field exactly (floats: as the nearest).
    pub fn parse<'a>(&self, field: Field<'a>) -> Result<Option<Value<'a>>, ValueError> {
        if self.nulls.is_null(field) {
            return Ok(None);
        }
        self.value(field.bytes).map(Some).map_err(|flaw| {
            let empty = field.bytes.is_empty() && self.kind != TextType::Utf8;
            ValueError {
                column: self.column.clone(),
                text: shown(field.bytes),
                expected: self.kind,
                flaw: if empty { Flaw::EmptyText } else { flaw },
            }
        })
    }

    fn value<'a>(&self, bytes: &'a [u8]) -> Result<Value<'a>, Flaw> {
        Ok(match self.kind {
            TextType::F64 => Value::F64(parse_f64(bytes)?),
            TextType::I64 => Value::I64(parse_i64(bytes)?),
            TextType::U64 => Value::U64(parse_u64(bytes)?),
            TextType::Bool => Value::Bool(parse_bool(bytes)?),
            TextType::Utf8 => Value::Utf8(std::str::from_utf8(bytes).map_err(|_| Flaw::NotUtf8)?),
            TextType::Timestamp(TimeFormat::Unix(unit)) => {
                Value::Timestamp(parse_unix(bytes, unit)?)
            }
            TextType::Timestamp(TimeFormat::Iso) => Value::Timestamp(
                parse_iso(bytes, &self.zone)
                    .map_err(|error| looks_like(bytes).map_or(Flaw::Time(error), Flaw::BareTime))?,
            ),
            TextType::Decimal { precision, scale } => {
                Value::Decimal(parse_decimal(bytes, precision, scale)?)
            }
        })
    }
}

fn ascii(bytes: &[u8]) -> Result<&str, Flaw> {
    std::str::from_utf8(bytes).map_err(|_| Flaw::NotANumber)
}

/// Reads a float to the nearest `f64`: decimal digits with an optional sign, point and
/// exponent, or NaN, inf, infinity in any case with an optional sign.
///
/// # Errors
/// [`Flaw::NotANumber`]; `OutOfRange` for digits that would round to an infinity.
pub fn parse_f64(bytes: &[u8]) -> Result<f64, Flaw> {
    let value: f64 = ascii(bytes)?.parse().map_err(|_| Flaw::NotANumber)?;
    if value.is_infinite() && bytes.iter().any(u8::is_ascii_digit) {
        return Err(Flaw::OutOfRange);
    }
    Ok(value)
}

/// Reads decimal digits with an optional sign; leading zeros are allowed.
///
/// # Errors
/// [`Flaw::NotANumber`], [`Flaw::OutOfRange`].
pub fn parse_i64(bytes: &[u8]) -> Result<i64, Flaw> {
    parse_int(bytes)
}

/// Reads decimal digits with an optional `+`; leading zeros are allowed.
///
/// # Errors
/// [`Flaw::NotANumber`], [`Flaw::OutOfRange`] (also of a negative integer).
pub fn parse_u64(bytes: &[u8]) -> Result<u64, Flaw> {
    if let [b'-', digits @ ..] = bytes
        && !digits.is_empty()
        && digits.iter().all(u8::is_ascii_digit)
    {
        return Err(Flaw::OutOfRange);
    }
    parse_int(bytes)
}

fn parse_int<T: FromStr<Err = std::num::ParseIntError>>(bytes: &[u8]) -> Result<T, Flaw> {
    ascii(bytes)?.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => Flaw::OutOfRange,
        _ => Flaw::NotANumber,
    })
}

/// Reads `true`, `True`, `TRUE`, `false`, `False` or `FALSE`.
///
/// # Errors
/// [`Flaw::NotABool`].
pub fn parse_bool(bytes: &[u8]) -> Result<bool, Flaw> {
    match bytes {
        b"true" | b"True" | b"TRUE" => Ok(true),
        b"false" | b"False" | b"FALSE" => Ok(false),
        _ => Err(Flaw::NotABool),
    }
}

/// Reads `[+-]digits[.digits]` as `decimal(precision, scale)`: the value times 10^scale.
/// Zeros behind the scale are allowed; `precision` must be at most 18.
///
/// # Errors
/// [`Flaw::NotANumber`]; `TooFine` for other digits behind the scale; `OutOfRange`.
pub fn parse_decimal(bytes: &[u8], precision: u8, scale: u8) -> Result<i64, Flaw> {
    let (negative, number) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, bytes),
    };
    let point = number.iter().position(|b| *b == b'.').unwrap_or(number.len());
    let (whole, rest) = number.split_at_checked(point).ok_or(Flaw::NotANumber)?;
    let fraction = rest.get(1..).unwrap_or_default();
    let mut digits = whole.iter().chain(fraction);
    if whole.len() + fraction.len() == 0 || !digits.all(u8::is_ascii_digit) {
        return Err(Flaw::NotANumber);
    }
    let scale_digits = usize::from(scale);
    if fraction.iter().skip(scale_digits).any(|b| *b != b'0') {
        return Err(Flaw::TooFine { scale });
    }
    let padded = fraction.iter().chain(std::iter::repeat(&b'0')).take(scale_digits);
    let scaled = whole
        .iter()
        .chain(padded)
        .try_fold(0i64, |v, b| v.checked_mul(10)?.checked_add(i64::from(b - b'0')));
    let end = 10i64.checked_pow(u32::from(precision)).unwrap_or(i64::MAX);
    match scaled {
        Some(value) if value < end => Ok(if negative { -value } else { value }),
        _ => Err(Flaw::OutOfRange),
    }
}
