//! The types a field can have, and how users write them.

use crate::text::shown;
use crate::text::time::TimeFormat;
use std::fmt;

/// Most digits of a decimal: it is held as a scaled 64-bit integer.
pub const PRECISION_MAX: u8 = 18;

/// A field's type, as text knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextType {
    /// 64-bit float.
    F64,
    /// Signed 64-bit integer.
    I64,
    /// Unsigned 64-bit integer.
    U64,
    /// `true` or `false`.
    Bool,
    /// Text.
    Utf8,
    /// A time, written in this way.
    Timestamp(TimeFormat),
    /// A decimal of at most `precision` digits, `scale` of them behind the point;
    /// `1 <= precision <= 18`, `scale <= precision`.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
}

/// Why a text names no type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TypeError {
    /// No type of that name.
    #[error(
        "unknown type {text:?}; the types are f64, i64, u64, bool, utf8, \
         timestamp (also timestamp:s, :ms, :us, :ns, :iso) and decimal(precision,scale)"
    )]
    Unknown {
        /// As it was given.
        text: String,
    },
    /// A decimal that does not fit in 64 bits.
    #[error("{text:?}: a decimal has a precision of 1 to {PRECISION_MAX} and a scale up to it")]
    Decimal {
        /// As it was given.
        text: String,
    },
    /// Not `name=type`.
    #[error("{text:?} is not NAME{separator}TYPE")]
    NoSeparator {
        /// As it was given.
        text: String,
        /// `=` or `:`.
        separator: char,
    },
    /// One name twice.
    #[error("column {name:?} is given two types")]
    Twice {
        /// The name.
        name: String,
    },
}

impl TextType {
    /// Reads a type as [`fmt::Display`] writes it: `f64`, `i64`, `u64`, `bool`, `utf8`,
    /// `timestamp`, `timestamp:ms`, `decimal(10,2)`.
    ///
    /// # Errors
    /// [`TypeError::Unknown`], [`TypeError::Decimal`].
    pub fn parse(text: &str) -> Result<Self, TypeError> {
        let unknown = || TypeError::Unknown { text: shown(text.as_bytes()) };
        Ok(match text {
            "f64" => Self::F64,
            "i64" => Self::I64,
            "u64" => Self::U64,
            "bool" => Self::Bool,
            "utf8" => Self::Utf8,
            "timestamp" => Self::Timestamp(TimeFormat::Iso),
            _ => {
                if let Some(suffix) = text.strip_prefix("timestamp:") {
                    return TimeFormat::parse(suffix).map(Self::Timestamp).ok_or_else(unknown);
                }
                let inside = text.strip_prefix("decimal(").and_then(|t| t.strip_suffix(')'));
                let (precision, scale) =
                    inside.and_then(|t| t.split_once(',')).ok_or_else(unknown)?;
                decimal(precision, scale)
                    .ok_or_else(|| TypeError::Decimal { text: shown(text.as_bytes()) })?
            }
        })
    }
}

fn decimal(precision: &str, scale: &str) -> Option<TextType> {
    let precision: u8 = precision.trim().parse().ok()?;
    let scale: u8 = scale.trim().parse().ok()?;
    let fits = (1..=PRECISION_MAX).contains(&precision) && scale <= precision;
    fits.then_some(TextType::Decimal { precision, scale })
}

impl fmt::Display for TextType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F64 => f.write_str("f64"),
            Self::I64 => f.write_str("i64"),
            Self::U64 => f.write_str("u64"),
            Self::Bool => f.write_str("bool"),
            Self::Utf8 => f.write_str("utf8"),
            Self::Timestamp(TimeFormat::Iso) => f.write_str("timestamp"),
            Self::Timestamp(format) => write!(f, "timestamp:{format}"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
        }
    }
}

/// Reads `a=f64,b=decimal(10,2)` (`--types`, separator `=`) or `a:f64,b:utf8` (`--fields`,
/// separator `:`) in its order. A comma inside parentheses does not separate; a name may
/// hold the separator, as the last one counts.
///
/// # Errors
/// [`TypeError`]; an empty name is `NoSeparator`.
pub fn parse_typed_names(
    text: &str,
    separator: char,
) -> Result<Vec<(String, TextType)>, TypeError> {
    let mut typed: Vec<(String, TextType)> = Vec::new();
    for item in split_outside_parentheses(text) {
        let (name, kind) = item
            .rsplit_once(separator)
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| TypeError::NoSeparator { text: shown(item.as_bytes()), separator })?;
        if typed.iter().any(|(known, _)| known == name) {
            return Err(TypeError::Twice { name: shown(name.as_bytes()) });
        }
        typed.push((name.to_owned(), TextType::parse(kind)?));
    }
    Ok(typed)
}

fn split_outside_parentheses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0usize;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
}
