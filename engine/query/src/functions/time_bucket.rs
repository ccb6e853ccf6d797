//! `time_bucket(width, time [, zone or origin])`: the beginning of the bucket that holds a time, as TimescaleDB counts buckets: widths of days
//! and less from Monday 2000-01-03, months and years from 2000-01-01, in UTC or in a zone.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, FieldRef, IntervalMonthDayNano, IntervalUnit, TimeUnit,
    TimestampNanosecondType,
};
use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDate, Offset, TimeZone};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::convert::{UTC, timestamp_type};
use crate::error::SqlError;

/// Monday 2000-01-03, midnight UTC.
const MONDAY_NS: i64 = 946_857_600_000_000_000;
/// 2000-01-01, midnight UTC.
const YEAR_2000_NS: i64 = 946_684_800_000_000_000;
const DAY_NS: i128 = 86_400_000_000_000;

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TimeBucket {
    signature: Signature,
}

impl TimeBucket {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn interval_type() -> DataType {
    DataType::Interval(IntervalUnit::MonthDayNano)
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &'static str {
        "time_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let usage = "time_bucket takes a width such as '15 minutes', a time, and a zone such as 'Europe/Berlin' or an origin";
        let wrong = || SqlError::invalid(usage).into();
        let mut coerced = Vec::with_capacity(types.len());
        for (position, data_type) in types.iter().enumerate() {
            let is_time = matches!(
                data_type,
                DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Null
            );
            let is_text =
                matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            coerced.push(match position {
                0 if is_text => DataType::Utf8,
                0 if matches!(data_type, DataType::Interval(_) | DataType::Duration(_)) => {
                    interval_type()
                }
                1 if is_time || is_text => timestamp_type(),
                2 | 3 if is_time => timestamp_type(),
                2 if is_text => DataType::Utf8,
                _ => return Err(wrong()),
            });
        }
        if (2..=4).contains(&coerced.len()) { Ok(coerced) } else { Err(wrong()) }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(timestamp_type())
    }

    /// NULL where the time is, and nowhere else: so the order of a NOT NULL time is kept whatever is asked of NULLs.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.get(1).is_none_or(|times| times.is_nullable());
        Ok(Arc::new(Field::new(self.name(), timestamp_type(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [width, times, rest @ ..] = args.args.as_slice() else {
            return Err(SqlError::internal("time_bucket takes two arguments at least").into());
        };
        let width = width_of(width)?;
        let buckets = Buckets::new(width, rest)?;
        match times {
            ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(at, _)) => {
                let at = at.map(|at| buckets.start_of(at));
                let value = ScalarValue::TimestampNanosecond(at, Some(UTC.into()));
                Ok(ColumnarValue::Scalar(value))
            }
            other => {
                let array = other.to_array(args.number_rows)?;
                let array: ArrayRef = match array.data_type() {
                    DataType::Timestamp(TimeUnit::Nanosecond, _) => array,
                    _ => cast(&array, &timestamp_type())?,
                };
                Ok(ColumnarValue::Array(buckets.starts_of(array.as_primitive())))
            }
        }
    }

    /// Buckets in UTC rise with their times; in a zone an hour may come twice.
    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        match inputs {
            [width, times] if width.sort_properties == SortProperties::Singleton => {
                Ok(times.sort_properties)
            }
            _ => Ok(SortProperties::Unordered),
        }
    }
}

fn width_of(value: &ColumnarValue) -> Result<IntervalMonthDayNano> {
    let width = match value {
        ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(width))) => *width,
        ColumnarValue::Scalar(ScalarValue::Utf8(Some(text))) => parse_width(text)?,
        ColumnarValue::Array(array) if !array.is_empty() && array.null_count() == 0 => {
            // A constant that was spread over the rows.
            let first = ScalarValue::try_from_array(array, 0)?;
            let same = (1..array.len()).all(|row| {
                ScalarValue::try_from_array(array, row).is_ok_and(|value| value == first)
            });
            if !same {
                return Err(SqlError::invalid("the width of a bucket must be a constant").into());
            }
            return width_of(&ColumnarValue::Scalar(first));
        }
        _ => return Err(SqlError::invalid("the width of a bucket must be a constant").into()),
    };
    let fixed = i128::from(width.days) * DAY_NS + i128::from(width.nanoseconds);
    match (width.months, fixed) {
        (1.., 0) => Ok(width),
        (0, 1..) if i64::try_from(fixed).is_ok() => Ok(width),
        (0, _) | (_, 0) => {
            Err(SqlError::invalid("the width of a bucket must be above zero, and below 292 years").into())
        }
        _ => Err(SqlError::invalid(
            "the width of a bucket is either months and years, or days and less: they cannot be mixed",
        )
        .into()),
    }
}

/// `15m`, `1h`, `7d`, `2w`, `3mon`, `1y`, or what SQL writes as an interval.
fn parse_width(text: &str) -> Result<IntervalMonthDayNano> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_of = |months: i64, days: i64, nanoseconds: i64| Some((months, days, nanoseconds));
    let unit = match unit {
        "ns" => unit_of(0, 0, 1),
        "us" => unit_of(0, 0, 1_000),
        "ms" => unit_of(0, 0, 1_000_000),
        "s" => unit_of(0, 0, 1_000_000_000),
        "m" | "min" => unit_of(0, 0, 60_000_000_000),
        "h" => unit_of(0, 0, 3_600_000_000_000),
        "d" => unit_of(0, 1, 0),
        "w" => unit_of(0, 7, 0),
        "mon" => unit_of(1, 0, 0),
        "y" => unit_of(12, 0, 0),
        _ => None,
    };
    let wrong = || SqlError::invalid(format!("{text:?} is no width: write '15m' or '15 minutes'"));
    let Some((months, days, nanoseconds)) = unit else {
        let array: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![text]));
        let parsed = cast(&array, &interval_type()).map_err(|_| wrong())?;
        return match ScalarValue::try_from_array(&parsed, 0)? {
            ScalarValue::IntervalMonthDayNano(Some(width)) => Ok(width),
            _ => Err(wrong().into()),
        };
    };
    let count: i64 = number.parse().map_err(|_| wrong())?;
    let narrow = |unit: i64| count.checked_mul(unit).and_then(|all| i32::try_from(all).ok());
    let nanoseconds = count.checked_mul(nanoseconds);
    match (narrow(months), narrow(days), nanoseconds) {
        (Some(months), Some(days), Some(nanoseconds)) => {
            Ok(IntervalMonthDayNano::new(months, days, nanoseconds))
        }
        _ => Err(wrong().into()),
    }
}

/// Buckets of one width.
struct Buckets {
    months: i32,
    width_ns: i64,
    origin_ns: i64,
    zone: Option<Tz>,
}

impl Buckets {
    fn new(width: IntervalMonthDayNano, rest: &[ColumnarValue]) -> Result<Self> {
        let fixed = i128::from(width.days) * DAY_NS + i128::from(width.nanoseconds);
        let mut buckets = Self {
            months: width.months,
            width_ns: i64::try_from(fixed).unwrap_or(i64::MAX),
            origin_ns: if width.months > 0 { YEAR_2000_NS } else { MONDAY_NS },
            zone: None,
        };
        for value in rest {
            match value {
                ColumnarValue::Scalar(ScalarValue::Utf8(Some(zone))) => {
                    let parsed = zone.parse::<Tz>().map_err(|_| {
                        SqlError::invalid(format!(
                            "{zone:?} is no time zone, such as 'Europe/Berlin' or '+01:00'"
                        ))
                    })?;
                    buckets.zone = Some(parsed);
                }
                ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(Some(origin), _)) => {
                    buckets.origin_ns = *origin;
                }
                ColumnarValue::Scalar(value) if value.is_null() => {}
                _ => {
                    return Err(
                        SqlError::invalid("zone and origin of buckets must be constants").into()
                    );
                }
            }
        }
        Ok(buckets)
    }

    fn starts_of(&self, times: &TimestampNanosecondArray) -> ArrayRef {
        let starts = if self.zone.is_none() && self.months == 0 {
            // The same bucket again and again: rows come in the order of time.
            let mut bucket = 0..0;
            let each = |at: i64| {
                if !bucket.contains(&at) {
                    let start = self.start_of(at);
                    bucket = start..start.saturating_add(self.width_ns);
                }
                bucket.start
            };
            let each = std::cell::RefCell::new(each);
            times.unary::<_, TimestampNanosecondType>(|at| (each.borrow_mut())(at))
        } else {
            times.unary::<_, TimestampNanosecondType>(|at| self.start_of(at))
        };
        Arc::new(starts.with_timezone(UTC))
    }

    /// The beginning of the bucket of `at`; the least timestamp where it would lie before all timestamps.
    fn start_of(&self, at: i64) -> i64 {
        match &self.zone {
            None => clamp(self.start_in_utc(at.into())),
            Some(zone) => {
                let local = i128::from(at) + offset_ns(zone, at);
                clamp(to_utc(zone, self.start_in_utc(local)))
            }
        }
    }

    fn start_in_utc(&self, at: i128) -> i128 {
        let origin = i128::from(self.origin_ns);
        if self.months == 0 {
            let width = i128::from(self.width_ns.max(1));
            return (at - origin).div_euclid(width) * width + origin;
        }
        // Whole months since the origin's, whose day and time of day begin each bucket.
        let (origin_months, rest) = months_of(origin);
        let (mut months, within) = months_of(at);
        if within < rest {
            months -= 1;
        }
        let width = i64::from(self.months);
        let months = (months - origin_months).div_euclid(width) * width + origin_months;
        start_of_month(months) + rest
    }
}

/// Months since year 0, and the nanoseconds since the month began.
fn months_of(at: i128) -> (i64, i128) {
    let days = i32::try_from(at.div_euclid(DAY_NS)).unwrap_or(i32::MIN);
    let date = date_of(days);
    let months = i64::from(date.year()) * 12 + i64::from(date.month0());
    (months, at - start_of_month(months))
}

fn start_of_month(months: i64) -> i128 {
    let year = i32::try_from(months.div_euclid(12)).unwrap_or(i32::MIN);
    let month = u32::try_from(months.rem_euclid(12)).unwrap_or(0) + 1;
    let date = NaiveDate::from_ymd_opt(year, month, 1).unwrap_or(NaiveDate::MIN);
    i128::from(date.signed_duration_since(DateTime::UNIX_EPOCH.date_naive()).num_days()) * DAY_NS
}

fn date_of(days: i32) -> NaiveDate {
    let epoch = DateTime::UNIX_EPOCH.date_naive();
    epoch.checked_add_signed(chrono::TimeDelta::days(days.into())).unwrap_or(NaiveDate::MIN)
}

/// What the zone's clocks are ahead of UTC at `at`.
fn offset_ns(zone: &Tz, at: i64) -> i128 {
    let utc = DateTime::from_timestamp_nanos(at).naive_utc();
    i128::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1_000_000_000
}

/// The instant of a local time: the first of two; where clocks skip it, the instant of the skip.
fn to_utc(zone: &Tz, local: i128) -> i128 {
    let naive = |local: i128| DateTime::from_timestamp_nanos(clamp(local)).naive_utc();
    let found = |local: i128| match zone.offset_from_local_datetime(&naive(local)) {
        MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _) => {
            Some(i128::from(offset.fix().local_minus_utc()) * 1_000_000_000)
        }
        MappedLocalTime::None => None,
    };
    match found(local) {
        Some(offset) => local - offset,
        // The offset before the gap puts the skipped time right behind it.
        None => local - found(local - 3 * 3_600_000_000_000).unwrap_or(0),
    }
}

fn clamp(at: i128) -> i64 {
    i64::try_from(at).unwrap_or(if at < 0 { i64::MIN } else { i64::MAX })
}
