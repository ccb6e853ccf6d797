//! One value, for results and messages.

use std::fmt;

use super::FieldType;

/// A single value of any field type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing known.
    Null,
    /// A double.
    F64(f64),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer.
    U64(u64),
    /// A truth value.
    Bool(bool),
    /// Text.
    Utf8(String),
    /// Nanoseconds since the Unix epoch.
    Timestamp(i64),
    /// Units of 10^-scale.
    Decimal {
        /// The units.
        units: i64,
        /// Digits after the point.
        scale: u8,
    },
}

impl Value {
    /// The name of the value's type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::F64(_) => "f64",
            Self::I64(_) => "i64",
            Self::U64(_) => "u64",
            Self::Bool(_) => "bool",
            Self::Utf8(_) => "utf8",
            Self::Timestamp(_) => "timestamp",
            Self::Decimal { .. } => "decimal",
        }
    }

    /// The type that a new column for this value gets; none for NULL and for decimals, whose digits must be declared.
    #[must_use]
    pub fn natural_type(&self) -> Option<FieldType> {
        Some(match self {
            Self::F64(_) => FieldType::F64,
            Self::I64(_) => FieldType::I64,
            Self::U64(_) => FieldType::U64,
            Self::Bool(_) => FieldType::Bool,
            Self::Utf8(_) => FieldType::Utf8,
            Self::Timestamp(_) => FieldType::Timestamp,
            Self::Null | Self::Decimal { .. } => return None,
        })
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::F64(value)
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::I64(value)
    }
}
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::U64(value)
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Utf8(value.to_owned())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::F64(value) => write!(f, "{value}"),
            Self::I64(value) | Self::Timestamp(value) => write!(f, "{value}"),
            Self::U64(value) => write!(f, "{value}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Utf8(value) => f.write_str(value),
            Self::Decimal { units, scale } => write!(f, "{units}e-{scale}"),
        }
    }
}
