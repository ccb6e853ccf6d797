//! The three layouts of numbers: least and greatest of a slice, and totals. NaN is least or greatest only where there is nothing else;
//! of values that compare as equal the first one is kept.

use crate::model::{Column, ColumnData, FieldType, Value};

/// A number as columns hold it.
pub(super) trait Number: Copy {
    /// What adds up values.
    type Total: Total<Self>;

    /// The number in a value of this layout.
    fn of_value(value: &Value) -> Option<Self>;

    /// Adds a value, or NULL, to a column of this layout.
    fn push(out: &mut Column, value: Option<Self>);

    /// The least of `kept` and then `values`.
    fn least(kept: Self, values: &[Self]) -> Self;

    /// The greatest of `kept` and then `values`.
    fn greatest(kept: Self, values: &[Self]) -> Self;
}

/// A sum in the making.
pub(super) trait Total<T>: Default {
    /// Adds a value.
    fn add(&mut self, value: T);

    /// Adds what `now` has risen by since `before`; `now` itself after a fall, and where nothing was before.
    fn add_rise(&mut self, before: Option<T>, now: T);

    /// The sum; as an integer where it is beyond the type.
    fn sum(self) -> Result<T, i128>;

    /// The sum as a double, in the unit of the type.
    fn scaled(self, field_type: FieldType) -> f64;
}

fn push<T>(values: &mut Vec<T>, validity: &mut Option<chronolith_codec::Bitmap>, value: T) {
    values.push(value);
    if let Some(bits) = validity {
        bits.push(true);
    }
}

macro_rules! integer {
    ($type:ty, $layout:ident, $of_value:expr) => {
        impl Number for $type {
            type Total = i128;

            fn of_value(value: &Value) -> Option<Self> {
                let of: fn(&Value) -> Option<$type> = $of_value;
                of(value)
            }

            fn push(out: &mut Column, value: Option<Self>) {
                match (value, &mut out.data) {
                    (Some(value), ColumnData::$layout(values)) => {
                        push(values, &mut out.validity, value);
                    }
                    _ => out.push_nulls(1),
                }
            }

            fn least(kept: Self, values: &[Self]) -> Self {
                values.iter().fold(kept, |least, value| least.min(*value))
            }

            fn greatest(kept: Self, values: &[Self]) -> Self {
                values.iter().fold(kept, |greatest, value| greatest.max(*value))
            }
        }

        impl Total<$type> for i128 {
            fn add(&mut self, value: $type) {
                *self += Self::from(value);
            }

            fn add_rise(&mut self, before: Option<$type>, now: $type) {
                let before = before.filter(|before| now >= *before).map_or(0, Self::from);
                *self += Self::from(now) - before;
            }

            fn sum(self) -> Result<$type, i128> {
                <$type>::try_from(self).map_err(|_| self)
            }

            #[expect(clippy::cast_precision_loss, reason = "a mean is a double")]
            fn scaled(self, field_type: FieldType) -> f64 {
                match field_type {
                    FieldType::Decimal { scale, .. } => self as f64 / 10_f64.powi(i32::from(scale)),
                    _ => self as f64,
                }
            }
        }
    };
}

integer!(i64, I64, |value| match value {
    Value::I64(value) | Value::Timestamp(value) | Value::Decimal { units: value, .. } =>
        Some(*value),
    _ => None,
});
integer!(u64, U64, |value| match value {
    Value::U64(value) => Some(*value),
    _ => None,
});

impl Number for f64 {
    type Total = FloatTotal;

    fn of_value(value: &Value) -> Option<Self> {
        match value {
            Value::F64(value) => Some(*value),
            _ => None,
        }
    }

    fn push(out: &mut Column, value: Option<Self>) {
        match (value, &mut out.data) {
            (Some(value), ColumnData::F64(values)) => push(values, &mut out.validity, value),
            _ => out.push_nulls(1),
        }
    }

    fn least(kept: Self, values: &[Self]) -> Self {
        extreme(kept, values, |value, best| value < best)
    }

    fn greatest(kept: Self, values: &[Self]) -> Self {
        extreme(kept, values, |value, best| value > best)
    }
}

/// Values that are compared at once.
const LANES: usize = 4;

/// The value that beats `kept` and all of `values`. Where the outcome may depend on the order (zeros of both signs, NaN) they are
/// gone through one by one.
fn extreme(kept: f64, values: &[f64], beats: impl Fn(f64, f64) -> bool) -> f64 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [kept; LANES];
    for chunk in chunks {
        for (best, value) in lanes.iter_mut().zip(chunk) {
            *best = if beats(*value, *best) { *value } else { *best };
        }
    }
    let choose = |best: f64, value: &f64| if beats(*value, best) { *value } else { best };
    let found = lanes.iter().chain(rest).fold(kept, choose);
    if found != 0.0 && !found.is_nan() {
        return found;
    }
    values.iter().fold(kept, |best, value| {
        let wins = beats(*value, best) || (best.is_nan() && !value.is_nan());
        if wins { *value } else { best }
    })
}

/// A sum of doubles with what rounding has lost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FloatTotal {
    sum: f64,
    compensation: f64,
}

impl FloatTotal {
    fn value(self) -> f64 {
        // Infinities and NaN make the compensation meaningless.
        if self.compensation.is_finite() && self.sum.is_finite() {
            self.sum + self.compensation
        } else {
            self.sum
        }
    }
}

impl Total<f64> for FloatTotal {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        let lost = if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        self.sum = sum;
        self.compensation += lost;
    }

    fn add_rise(&mut self, before: Option<f64>, now: f64) {
        let before = before.filter(|before| now >= *before);
        self.add(before.map_or(now, |before| now - before));
    }

    fn sum(self) -> Result<f64, i128> {
        Ok(self.value())
    }

    fn scaled(self, _: FieldType) -> f64 {
        self.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_those_of_going_one_by_one() {
        let pool = [0.0, -0.0, 1.5, -2.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.5, 7.0];
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let mut values = Vec::new();
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let few = 1 + (state >> 60) as usize % pool.len();
            for _ in 0..1 + (state >> 40) % 23 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                values.push(pool[(state >> 33) as usize % few.max(2)]);
            }
            for greatest in [false, true] {
                let mut best = values[0];
                for value in &values[1..] {
                    let better = if greatest { *value > best } else { *value < best };
                    if better || (best.is_nan() && !value.is_nan()) {
                        best = *value;
                    }
                }
                let found = if greatest { f64::greatest } else { f64::least }(values[0], &values);
                assert_eq!(found.to_bits(), best.to_bits(), "{values:?}, {greatest}");
            }
        }
    }
}
