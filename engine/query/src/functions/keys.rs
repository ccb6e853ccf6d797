//! Values as keys whose order is that of docs/decisions/0009-floats.md: numbers as 128-bit integers, text as text.

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, StringViewArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampNanosecondType, UInt64Type,
};
use datafusion::common::Result;

use crate::convert::timestamp_type;
use crate::error::SqlError;

/// Above the key of every number of 64 bits, and within 38 digits.
const NAN_KEY: i128 = 1 << 100;

/// The type of keys of numbers: 38 digits hold every number of 64 bits, and every decimal.
pub(super) const NUMBER_KEY: DataType = DataType::Decimal128(38, 0);

/// The type to which a value is brought whose key is taken; none where it has no order here.
pub(super) fn ordered_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            DataType::UInt64
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => timestamp_type(),
        DataType::Decimal128(..) => data_type.clone(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8View,
        DataType::Dictionary(_, values) => return ordered_type(values),
        _ => return None,
    })
}

/// The type of the keys of an ordered type.
pub(super) fn key_type(ordered: &DataType) -> DataType {
    if ordered == &DataType::Utf8View { DataType::Utf8View } else { NUMBER_KEY }
}

/// Keys of an array; NULL where the value is.
pub(super) enum Keys {
    Numbers(Decimal128Array),
    Texts(StringViewArray),
}

impl Keys {
    /// The keys of `array`, of an ordered type. NaN is the last choice: the greatest key where the least is looked for, else the least.
    pub(super) fn of(array: &ArrayRef, least: bool) -> Result<Self> {
        let numbers = match array.data_type() {
            DataType::Int64 => {
                array.as_primitive::<Int64Type>().unary::<_, Decimal128Type>(i128::from)
            }
            DataType::UInt64 => {
                array.as_primitive::<UInt64Type>().unary::<_, Decimal128Type>(i128::from)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => array
                .as_primitive::<TimestampNanosecondType>()
                .unary::<_, Decimal128Type>(i128::from),
            DataType::Float64 => {
                let key = |value| float_key(value, least);
                array.as_primitive::<Float64Type>().unary::<_, Decimal128Type>(key)
            }
            DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().clone(),
            DataType::Utf8View => return Ok(Self::Texts(array.as_string_view().clone())),
            other => return Err(SqlError::invalid(format!("{other} has no order here")).into()),
        };
        Ok(Self::Numbers(numbers.with_data_type(NUMBER_KEY)))
    }

    /// The keys that a state holds.
    pub(super) fn of_state(array: &ArrayRef) -> Self {
        match array.data_type() {
            DataType::Utf8View => Self::Texts(array.as_string_view().clone()),
            _ => Self::Numbers(array.as_primitive::<Decimal128Type>().clone()),
        }
    }

    pub(super) fn key(&self, row: usize) -> Option<Key> {
        match self {
            Self::Numbers(keys) => keys.is_valid(row).then(|| Key::Number(keys.value(row))),
            Self::Texts(keys) => keys.is_valid(row).then(|| Key::Text(keys.value(row).to_owned())),
        }
    }
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Number(i128),
    Text(String),
}

fn float_key(value: f64, least: bool) -> i128 {
    if value.is_nan() {
        return if least { NAN_KEY } else { -NAN_KEY };
    }
    // Zeros alike; then the bits of a double rise with it, those of negative ones fall.
    let bits = (value + 0.0).to_bits().cast_signed();
    let magnitude = i128::from(bits & i64::MAX);
    if bits < 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_rise_as_the_page_on_floats_says() {
        let rising =
            [f64::NEG_INFINITY, f64::MIN, -1.0, -5e-324, 0.0, 5e-324, 1.0, f64::MAX, f64::INFINITY];
        for least in [true, false] {
            let keys: Vec<_> = rising.iter().map(|value| float_key(*value, least)).collect();
            assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
            assert_eq!(float_key(-0.0, least), float_key(0.0, least));
            for nan in [f64::NAN, -f64::NAN] {
                let key = float_key(nan, least);
                assert!(keys.iter().all(|one| if least { *one < key } else { *one > key }));
            }
        }
    }
}
