//! Aggregates by series and time bucket: series by series, each chunk of its rows cut into buckets, and each function over all of
//! them at once. A series is over when its rows are, so that no more than one bucket is open at any time.

mod batch;
mod number;
mod state;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::batch::SeriesRun;
use super::plan::{ScanPlan, ScanRequest, field};
use super::scan::{OpenSeries, Scan};
use crate::error::{Error, Result};
use crate::model::{ColumnData, Comparison, FieldType, RowChunk, SeriesKey, TimeRange, Value};
use crate::snapshot::Snapshot;
pub use batch::AggregateBatch;
use state::State;

/// Buckets at which a batch is handed on.
const BATCH_BUCKETS: usize = 64 << 10;
/// Rows that are cut into buckets at once.
const PIECE_ROWS: usize = 4 << 10;

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

    /// The bucket that holds `time`: its beginning, as [`Self::start_of`], and the first time after it; none after the last time.
    fn bounds_of(&self, time: i64) -> (i64, Option<i64>) {
        let width = self.width_ns.max(1);
        let exact = || {
            let since = time.checked_sub(self.origin_ns)?;
            let start = time.checked_sub(since.rem_euclid(width))?;
            Some((start, start.checked_add(width)?))
        };
        if let Some((start, end)) = exact() {
            return (start, Some(end));
        }
        // The first and the last bucket pass the ends of i64.
        let start = self.exact_start_of(time);
        (self.start_of(time), i64::try_from(start + i128::from(width)).ok())
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

impl Snapshot {
    /// Computes `request` by series and bucket, sorted by both; empty buckets are left out.
    ///
    /// # Errors
    /// As [`Snapshot::scan`]; `Invalid` for a function that the field's type does not have, here, and for an integer sum beyond its
    /// type, from the iterator, which then ends.
    #[tracing::instrument(level = "debug", skip_all, fields(table = %request.scan.table))]
    pub fn aggregate(&self, request: &AggregateRequest) -> Result<Aggregation> {
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
        scan.with_sequence = false;
        let previous = self.values_before(&scan, &states)?;
        let types: Arc<[FieldType]> = states.iter().map(State::output_type).collect();
        let batch = AggregateBatch::empty(&schema, &types);
        let mut scan = Scan::new(self, ScanPlan::bind(schema, &scan)?)?;
        let known = previous.values().flatten();
        let previous_bytes = known.map(|(key, _)| key.memory_bytes() + PREVIOUS_BYTES).sum();
        scan.hold(previous_bytes)?;
        Ok(Aggregation {
            scan,
            bucket: request.bucket,
            states,
            previous_bytes,
            previous,
            current: None,
            open: None,
            batch,
            failed: false,
        })
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

/// Bytes of a series and its value.
const PREVIOUS_BYTES: usize = size_of::<(SeriesKey, Value)>();

/// A running aggregation: an iterator of batches that ends after an error.
pub struct Aggregation {
    scan: Scan,
    bucket: Option<Bucket>,
    states: Vec<State>,
    previous: Before,
    previous_bytes: usize,
    current: Option<Current>,
    open: Option<OpenBucket>,
    batch: AggregateBatch,
    failed: bool,
}

/// The series that is being read, and the rows of it that are not added yet.
struct Current {
    series: OpenSeries,
    rows: RowChunk,
    at: usize,
    /// Whether the batch has a run of it.
    is_listed: bool,
}

/// The bucket of the current series whose rows may go on.
struct OpenBucket {
    start_ns: i64,
    row_count: u64,
}

/// Buckets of consecutive rows.
#[derive(Default)]
struct Cuts {
    starts: Vec<i64>,
    /// The row after the last of each.
    ends: Vec<usize>,
}

impl Aggregation {
    /// For each function the type of its values.
    #[must_use]
    pub fn types(&self) -> &Arc<[FieldType]> {
        &self.batch.types
    }

    fn fill(&mut self) -> Result<Option<AggregateBatch>> {
        self.scan.hold(self.previous_bytes)?;
        while self.batch.bucket_count() < BATCH_BUCKETS
            && self.batch.memory_bytes() < self.scan.batch_bytes()
        {
            let Some(mut current) = self.current.take() else {
                if self.next_series()? {
                    continue;
                } else {
                    break;
                };
            };
            if current.at < current.rows.row_count() {
                self.add(&mut current)?;
            } else if let Some(rows) = self.scan.next_rows(&mut current.series)? {
                current.rows = rows;
                current.at = 0;
            } else {
                self.close(&mut current)?;
                continue;
            }
            self.current = Some(current);
        }
        if let Some(current) = &mut self.current {
            current.is_listed = false;
        }
        let empty = AggregateBatch::empty(&self.batch.schema, &self.batch.types);
        let full = std::mem::replace(&mut self.batch, empty);
        Ok((full.bucket_count() > 0).then_some(full))
    }

    fn next_series(&mut self) -> Result<bool> {
        let Some((key, pieces)) = self.scan.next_pieces()? else { return Ok(false) };
        for state in &mut self.states {
            let series = self.previous.get(&state.column).map_or(&[][..], Vec::as_slice);
            let at = series.binary_search_by(|(known, _)| known.cmp(&key)).ok();
            state.begin_series(at.and_then(|at| series.get(at)).map(|(_, value)| value));
        }
        let series = self.scan.open(key, &pieces, self.scan.plan.range)?;
        let current =
            |series| Current { series, rows: RowChunk::default(), at: 0, is_listed: false };
        self.current = series.map(current);
        Ok(true)
    }

    /// Adds the next piece of the rows at hand.
    fn add(&mut self, current: &mut Current) -> Result<()> {
        let rows = current.at..current.rows.row_count().min(current.at + PIECE_ROWS);
        current.at = rows.end;
        // A bucket a row is the most that may come of them.
        let most = rows.len() * (16 + 9 * self.states.len()) + self.texts_of(&current.rows, &rows);
        let bytes = self.batch.memory_bytes().saturating_add(most);
        self.scan.hold(bytes.saturating_mul(2).saturating_add(self.previous_bytes))?;
        let cuts = self.cut(&current.rows.time, rows.clone());
        let Some(first) = cuts.starts.first() else { return Ok(()) };
        let goes_on = self.bucket.is_none();
        if self.open.as_ref().is_some_and(|open| !goes_on && open.start_ns != *first) {
            self.close(current)?;
        }
        let mut from = rows.start;
        let closed = cuts.ends.len() - 1;
        for (at, (start_ns, end)) in cuts.starts.iter().zip(&cuts.ends).enumerate() {
            let open = self.open.get_or_insert(OpenBucket { start_ns: *start_ns, row_count: 0 });
            open.row_count += (end - from) as u64;
            from = *end;
            if at < closed {
                self.push_open(current);
            }
        }
        for (state, out) in self.states.iter_mut().zip(&mut self.batch.values) {
            if let Some(column) = current.rows.fields.get(state.column) {
                state.add(column, rows.start, &cuts.ends, out)?;
            }
        }
        Ok(())
    }

    /// Bytes of the texts in `rows`, once for each function over them.
    fn texts_of(&self, chunk: &RowChunk, rows: &Range<usize>) -> usize {
        let columns = self.states.iter().filter_map(|state| chunk.fields.get(state.column));
        let bytes = columns.map(|column| match &column.data {
            ColumnData::Utf8(texts) => {
                let at = |row: usize| texts.offsets.get(row).map_or(0, |offset| *offset as usize);
                at(rows.end).saturating_sub(at(rows.start))
            }
            _ => 0,
        });
        bytes.sum()
    }

    /// Cuts rows, which ascend by time, into buckets.
    fn cut(&self, time: &[i64], rows: Range<usize>) -> Cuts {
        let mut cuts = Cuts::default();
        let mut from = rows.start;
        while from < rows.end {
            let times = time.get(from..rows.end).unwrap_or_default();
            let Some(first) = times.first() else { break };
            let (start, end) =
                self.bucket.map_or((*first, None), |bucket| bucket.bounds_of(*first));
            from += end.map_or(times.len(), |end| count_before(times, end));
            cuts.starts.push(start);
            cuts.ends.push(from);
        }
        cuts
    }

    /// Closes the open bucket, if there is one.
    fn close(&mut self, current: &mut Current) -> Result<()> {
        if self.open.is_none() {
            return Ok(());
        }
        self.push_open(current);
        for (state, out) in self.states.iter_mut().zip(&mut self.batch.values) {
            state.close(out)?;
        }
        Ok(())
    }

    /// Lists the open bucket in the batch; its values follow.
    fn push_open(&mut self, current: &mut Current) {
        let Some(open) = self.open.take() else { return };
        let at = self.batch.bucket_count();
        self.batch.bucket_ns.push(open.start_ns);
        self.batch.row_count.push(open.row_count);
        match self.batch.series.last_mut().filter(|_| current.is_listed) {
            Some(run) => run.rows.end = at + 1,
            None => {
                let key = current.series.key.clone();
                self.batch.series.push(SeriesRun { key, rows: at..at + 1 });
                current.is_listed = true;
            }
        }
    }
}

/// How many of the ascending `times`, of which the first does, lie before `end`: looked for in steps that double, for buckets are mostly
/// short.
fn count_before(times: &[i64], end: i64) -> usize {
    let mut low = 0;
    let mut step = 8;
    while times.get(low + step).is_some_and(|time| *time < end) {
        low += step;
        step *= 2;
    }
    let rest = times.get(low..times.len().min(low + step)).unwrap_or_default();
    low + rest.partition_point(|time| *time < end)
}

impl Iterator for Aggregation {
    type Item = Result<AggregateBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.fill().transpose();
        self.failed = matches!(batch, Some(Err(_)));
        batch
    }
}
