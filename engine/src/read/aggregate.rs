//! Aggregates by series and time bucket over a scan. Floats are added in row order, with Neumaier's compensation
//! (Neumaier, ZAMM 54, 1974), so that a sum of n values is off by a few units in the last place, not n of them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::batch::SeriesRun;
use super::filter::compare_f64;
use super::plan::{ScanRequest, field};
use crate::error::{Error, Result};
use crate::model::{Column, ColumnData, Comparison, FieldType, SeriesKey, TimeRange, Value};
use crate::snapshot::Snapshot;

/// Nanoseconds of a week.
const WEEK_NS: i64 = 7 * 86_400_000_000_000;
/// A Monday, midnight UTC: 2000-01-03.
const MONDAY_NS: i64 = 946_857_600_000_000_000;

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateFunction {
    /// Rows whose value is not NULL.
    Count,
    /// The first value that is not NULL, by (time, commit).
    First,
    /// The last value that is not NULL, by (time, commit).
    Last,
    /// The least value; NaN only where there is nothing else.
    Min,
    /// The greatest value; NaN only where there is nothing else.
    Max,
    /// The sum.
    Sum,
    /// The mean, a double.
    Avg,
    /// The sum of rises since the series' previous value; after a fall, and for the first value of the series, the value itself:
    /// the volume of a bucket from a cumulative volume.
    SumOfRises,
}

/// Time buckets `[origin + k * width, origin + (k + 1) * width)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Nanoseconds of a bucket, above zero.
    pub width_ns: i64,
    /// Where a bucket begins.
    pub origin_ns: i64,
}

impl Bucket {
    /// Buckets of `width_ns`: whole weeks begin on Mondays, everything else at the epoch.
    #[must_use]
    pub fn new(width_ns: i64) -> Self {
        let weeks = width_ns > 0 && width_ns % WEEK_NS == 0;
        Self { width_ns, origin_ns: if weeks { MONDAY_NS } else { 0 } }
    }

    /// The beginning of the bucket that holds `time`; the least timestamp where it would lie before all timestamps.
    #[must_use]
    pub fn start_of(&self, time: i64) -> i64 {
        i64::try_from(self.exact_start_of(time)).unwrap_or(i64::MIN)
    }

    fn exact_start_of(&self, time: i64) -> i128 {
        let since = i128::from(time) - i128::from(self.origin_ns);
        let width = i128::from(self.width_ns.max(1));
        since.div_euclid(width) * width + i128::from(self.origin_ns)
    }
}

/// An aggregate query.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateRequest {
    /// Which rows; its columns are ignored.
    pub scan: ScanRequest,
    /// The buckets; none: one for all times.
    pub bucket: Option<Bucket>,
    /// What is computed of which field.
    pub functions: Vec<(AggregateFunction, String)>,
}

/// One series and bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateRow {
    /// The series.
    pub key: SeriesKey,
    /// The bucket's beginning; the first row's time where there are no buckets.
    pub bucket_ns: i64,
    /// Rows in the bucket.
    pub row_count: u64,
    /// One value for each function; NULL where there is no value.
    pub values: Vec<Value>,
}

impl Snapshot {
    /// Computes `request` by series and bucket, sorted by both; empty buckets are left out.
    ///
    /// # Errors
    /// As [`Snapshot::scan`]; `Invalid` for a function that the field's type does not have, and for an integer sum beyond its type.
    #[tracing::instrument(level = "debug", skip_all, fields(table = %request.scan.table))]
    pub fn aggregate(&self, request: &AggregateRequest) -> Result<Vec<AggregateRow>> {
        let schema = self.table(&request.scan.table)?;
        if request.bucket.is_some_and(|bucket| bucket.width_ns <= 0) {
            return Err(Error::invalid("the width of a bucket must be above zero"));
        }
        let mut columns: Vec<String> = Vec::new();
        let mut states = Vec::new();
        for (function, name) in &request.functions {
            let def = field(&schema, name)?;
            let at = columns.iter().position(|known| known == name).unwrap_or_else(|| {
                columns.push(name.clone());
                columns.len() - 1
            });
            states.push(State::new(*function, at, def.field_type, name)?);
        }
        let mut scan = request.scan.clone();
        scan.columns = Some(columns);
        let mut run = Running { bucket: request.bucket, states, open: None, out: Vec::new() };
        let previous = self.values_before(&scan, &run.states)?;
        for batch in self.scan(&scan)? {
            let batch = batch?;
            for series in &batch.series {
                run.enter(&series.key, &previous);
                run.add(&series.key, &batch.rows.time, &batch.rows.fields, series.rows.clone())?;
            }
        }
        run.close()?;
        Ok(run.out)
    }

    /// For sums of rises: for each state, each series' last value before the range that is not NULL.
    fn values_before(&self, scan: &ScanRequest, states: &[State]) -> Result<Before> {
        let mut found = Before::new();
        if scan.range.from == i64::MIN {
            return Ok(found);
        }
        let before = TimeRange::new(i64::MIN, scan.range.from);
        let rises = |state: &&State| state.function == AggregateFunction::SumOfRises;
        for state in states.iter().filter(rises) {
            if found.contains_key(&state.column) {
                continue;
            }
            let mut one = scan.clone().range(before).columns(&[&state.name]);
            // NULL satisfies no condition, everything else this one.
            one.predicate =
                one.predicate.and_field(&state.name, Comparison::Ge, least(state.field_type));
            let last = self.latest(&one)?;
            let value = |run: &SeriesRun| (run.key.clone(), last.value(0, run.rows.start));
            found.insert(state.column, last.series.iter().map(value).collect());
        }
        Ok(found)
    }
}

/// By column: each series' value, sorted by series.
type Before = BTreeMap<usize, Vec<(SeriesKey, Value)>>;

/// A value that no other of the type is less than.
fn least(field_type: FieldType) -> Value {
    match field_type {
        FieldType::U64 => Value::U64(0),
        FieldType::Decimal { scale, .. } => Value::Decimal { units: i64::MIN, scale },
        FieldType::F64 => Value::F64(f64::NEG_INFINITY),
        _ => Value::I64(i64::MIN),
    }
}

struct Running {
    bucket: Option<Bucket>,
    states: Vec<State>,
    open: Option<(SeriesKey, i64, u64)>,
    out: Vec<AggregateRow>,
}

impl Running {
    /// Tells the states that rows of `key` follow.
    fn enter(&mut self, key: &SeriesKey, previous: &Before) {
        if self.open.as_ref().is_some_and(|(open, ..)| open == key) {
            return;
        }
        for state in &mut self.states {
            let series = previous.get(&state.column).map_or(&[][..], Vec::as_slice);
            let at = series.binary_search_by(|(known, _)| known.cmp(key)).ok();
            state.previous = at.and_then(|at| series.get(at)).map(|(_, value)| value.clone());
        }
    }

    fn add(
        &mut self,
        key: &SeriesKey,
        time: &[i64],
        fields: &[Column],
        rows: std::ops::Range<usize>,
    ) -> Result<()> {
        let mut from = rows.start;
        while from < rows.end {
            let times = time.get(from..rows.end).unwrap_or_default();
            let Some(first) = times.first() else { break };
            let (start, len) = match self.bucket {
                None => (*first, times.len()),
                Some(bucket) => {
                    let start = bucket.start_of(*first);
                    // The first and the last bucket pass the ends of i64.
                    let end = bucket.exact_start_of(*first) + i128::from(bucket.width_ns);
                    let inside = |time: &i64| i128::from(*time) < end;
                    (start, times.partition_point(inside))
                }
            };
            let same = self.open.as_ref().is_some_and(|(open, at, _)| {
                open == key && (self.bucket.is_none() || *at == start)
            });
            if !same {
                self.close()?;
                self.open = Some((key.clone(), start, 0));
            }
            if let Some((.., count)) = &mut self.open {
                *count += len as u64;
            }
            for state in &mut self.states {
                if let Some(column) = fields.get(state.column) {
                    state.add(column, from..from + len);
                }
            }
            from += len;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let Some((key, bucket_ns, row_count)) = self.open.take() else { return Ok(()) };
        let values = self.states.iter_mut().map(State::take).collect::<Result<Vec<_>>>()?;
        self.out.push(AggregateRow { key, bucket_ns, row_count, values });
        Ok(())
    }
}

/// One function over one bucket.
struct State {
    function: AggregateFunction,
    column: usize,
    field_type: FieldType,
    name: String,
    count: u64,
    kept: Option<Value>,
    total: Total,
    previous: Option<Value>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Total {
    float: f64,
    compensation: f64,
    integer: i128,
}

impl Total {
    fn add_f64(&mut self, value: f64) {
        let sum = self.float + value;
        let lost = if self.float.abs() >= value.abs() {
            (self.float - sum) + value
        } else {
            (value - sum) + self.float
        };
        self.float = sum;
        self.compensation += lost;
    }

    fn as_f64(self) -> f64 {
        // Infinities and NaN make the compensation meaningless.
        if self.compensation.is_finite() && self.float.is_finite() {
            self.float + self.compensation
        } else {
            self.float
        }
    }
}

impl State {
    fn new(
        function: AggregateFunction,
        column: usize,
        field_type: FieldType,
        name: &str,
    ) -> Result<Self> {
        use AggregateFunction as F;
        let numeric = !matches!(field_type, FieldType::Bool | FieldType::Utf8);
        let summable = numeric && field_type != FieldType::Timestamp;
        let allowed = match function {
            F::Count | F::First | F::Last => true,
            F::Min | F::Max => numeric,
            F::Sum | F::Avg | F::SumOfRises => summable,
        };
        if !allowed {
            return Err(Error::invalid(format!(
                "{function:?} of {name:?} is not defined: the field holds {field_type}"
            )));
        }
        let name = name.to_owned();
        let total = Total::default();
        Ok(Self { function, column, field_type, name, count: 0, kept: None, total, previous: None })
    }

    fn add(&mut self, column: &Column, rows: std::ops::Range<usize>) {
        use AggregateFunction as F;
        match self.function {
            F::Count => self.count += rows.filter(|row| column.is_valid(*row)).count() as u64,
            F::First => {
                if self.kept.is_none() {
                    self.kept = self.first_valid(column, rows);
                }
            }
            F::Last => self.kept = self.first_valid(column, rows.rev()).or(self.kept.take()),
            F::Min | F::Max => self.add_extreme(column, rows),
            F::Sum | F::Avg => self.add_sum(column, rows),
            F::SumOfRises => {
                for row in rows {
                    self.add_rise(column.value(row, self.field_type));
                }
            }
        }
    }

    fn first_valid(&self, column: &Column, mut rows: impl Iterator<Item = usize>) -> Option<Value> {
        let row = rows.find(|row| column.is_valid(*row))?;
        Some(column.value(row, self.field_type))
    }

    fn add_extreme(&mut self, column: &Column, rows: std::ops::Range<usize>) {
        let wanted = match self.function {
            AggregateFunction::Min => Ordering::Less,
            _ => Ordering::Greater,
        };
        let mut best: Option<usize> = None;
        for row in rows.filter(|row| column.is_valid(*row)) {
            let better = best.is_none_or(|best| beats(column, row, best, wanted));
            if better {
                best = Some(row);
            }
        }
        let Some(found) = best.map(|row| column.value(row, self.field_type)) else { return };
        let replaces = self.kept.as_ref().is_none_or(|kept| value_beats(&found, kept, wanted));
        if replaces {
            self.kept = Some(found);
        }
    }

    fn add_sum(&mut self, column: &Column, rows: std::ops::Range<usize>) {
        for row in rows.filter(|row| column.is_valid(*row)) {
            self.count += 1;
            match &column.data {
                ColumnData::F64(values) => {
                    self.total.add_f64(values.get(row).copied().unwrap_or_default());
                }
                ColumnData::I64(values) => {
                    self.total.integer += i128::from(values.get(row).copied().unwrap_or_default());
                }
                ColumnData::U64(values) => {
                    self.total.integer += i128::from(values.get(row).copied().unwrap_or_default());
                }
                ColumnData::Bool(_) | ColumnData::Utf8(_) => {}
            }
        }
    }

    fn add_rise(&mut self, value: Value) {
        match (&value, &self.previous) {
            (Value::Null, _) => return,
            (Value::F64(now), Some(Value::F64(before))) => {
                self.total.add_f64(if now >= before { now - before } else { *now });
            }
            (Value::F64(now), _) => self.total.add_f64(*now),
            _ => {
                let now = integer(&value);
                let before = self.previous.as_ref().map(integer);
                self.total.integer +=
                    before.filter(|before| now >= *before).map_or(now, |before| now - before);
            }
        }
        self.count += 1;
        self.previous = Some(value);
    }

    /// The bucket's value; the state is then ready for the next bucket.
    fn take(&mut self) -> Result<Value> {
        use AggregateFunction as F;
        let count = std::mem::take(&mut self.count);
        let total = std::mem::take(&mut self.total);
        let kept = self.kept.take();
        Ok(match self.function {
            F::Count => Value::U64(count),
            F::First | F::Last | F::Min | F::Max => kept.unwrap_or(Value::Null),
            F::Sum | F::Avg | F::SumOfRises if count == 0 => Value::Null,
            F::Sum | F::SumOfRises => self.sum(total)?,
            F::Avg => {
                #[expect(clippy::cast_precision_loss, reason = "a mean is a double")]
                let (sum, count) = match self.field_type {
                    FieldType::F64 => (total.as_f64(), count as f64),
                    FieldType::Decimal { scale, .. } => {
                        (total.integer as f64 / 10_f64.powi(i32::from(scale)), count as f64)
                    }
                    _ => (total.integer as f64, count as f64),
                };
                Value::F64(sum / count)
            }
        })
    }

    fn sum(&self, total: Total) -> Result<Value> {
        let overflow = || {
            Error::invalid(format!(
                "the sum of {:?} is {}, beyond {}",
                self.name, total.integer, self.field_type
            ))
        };
        Ok(match self.field_type {
            FieldType::F64 => Value::F64(total.as_f64()),
            FieldType::U64 => Value::U64(u64::try_from(total.integer).map_err(|_| overflow())?),
            FieldType::Decimal { scale, .. } => {
                let units = i64::try_from(total.integer).map_err(|_| overflow())?;
                Value::Decimal { units, scale }
            }
            _ => Value::I64(i64::try_from(total.integer).map_err(|_| overflow())?),
        })
    }
}

fn integer(value: &Value) -> i128 {
    match value {
        Value::I64(value) | Value::Timestamp(value) | Value::Decimal { units: value, .. } => {
            i128::from(*value)
        }
        Value::U64(value) => i128::from(*value),
        _ => 0,
    }
}

/// Whether the value at `row` beats the one at `best`. NaN never beats a number.
fn beats(column: &Column, row: usize, best: usize, wanted: Ordering) -> bool {
    match &column.data {
        ColumnData::F64(values) => match (values.get(row), values.get(best)) {
            (Some(a), Some(b)) => float_beats(*a, *b, wanted),
            _ => false,
        },
        ColumnData::I64(values) => values.get(row).cmp(&values.get(best)) == wanted,
        ColumnData::U64(values) => values.get(row).cmp(&values.get(best)) == wanted,
        ColumnData::Bool(_) | ColumnData::Utf8(_) => false,
    }
}

fn float_beats(a: f64, b: f64, wanted: Ordering) -> bool {
    match (a.is_nan(), b.is_nan()) {
        (true, _) => false,
        (false, true) => true,
        _ => compare_f64(a, b) == wanted,
    }
}

fn value_beats(a: &Value, b: &Value, wanted: Ordering) -> bool {
    match (a, b) {
        (Value::F64(a), Value::F64(b)) => float_beats(*a, *b, wanted),
        _ => integer(a).cmp(&integer(b)) == wanted,
    }
}
