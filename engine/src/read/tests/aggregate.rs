//! Aggregates by bucket against loops over the rows.

use super::model::inside;
use super::*;
use AggregateFunction as F;

const DAY: i64 = 86_400_000_000_000;
const HOUR: i64 = DAY / 24;

/// Tags, bucket, rows, values.
type Group = ([String; 2], i64, u64, Vec<Value>);

fn aggregate(snapshot: &Snapshot, request: &AggregateRequest) -> Vec<Group> {
    groups(snapshot.aggregate(request).unwrap()).unwrap()
}

/// Every bucket of these batches, up to an error.
fn groups(batches: Aggregation) -> crate::error::Result<Vec<Group>> {
    let mut found = Vec::new();
    for batch in batches {
        let batch = batch?;
        assert!(batch.bucket_count() > 0, "an empty batch");
        assert!(batch.values.iter().all(|column| column.len() == batch.bucket_count()));
        let mut covered = 0;
        for run in &batch.series {
            assert_eq!(run.rows.start, covered, "a gap between runs");
            covered = run.rows.end;
            for at in run.rows.clone() {
                let tags = [run.key.tag(0).to_owned(), run.key.tag(1).to_owned()];
                let values = (0..batch.values.len()).map(|function| batch.value(function, at));
                found.push((tags, batch.bucket_ns[at], batch.row_count[at], values.collect()));
            }
        }
        assert_eq!(covered, batch.bucket_count());
    }
    Ok(found)
}

fn request(
    range: TimeRange,
    width_ns: Option<i64>,
    functions: &[(AggregateFunction, &str)],
) -> AggregateRequest {
    AggregateRequest {
        scan: ScanRequest::new("t").range(range),
        bucket: width_ns.map(Bucket::new),
        functions: functions.iter().map(|(f, name)| (*f, (*name).to_owned())).collect(),
    }
}

/// Where the bucket of `time` begins: counted from an origin with wide integers.
fn start(time: i64, width: i64) -> i64 {
    // 1969-12-29 was a Monday.
    let origin = if width % (7 * DAY) == 0 { -3 * DAY } else { 0 };
    let since = i128::from(time) - i128::from(origin);
    let mut whole = since / i128::from(width);
    if whole * i128::from(width) > since {
        whole -= 1;
    }
    i64::try_from(whole * i128::from(width) + i128::from(origin)).unwrap_or(i64::MIN)
}

fn number(value: &Value) -> Option<i128> {
    Some(match value {
        Value::I64(v) | Value::Timestamp(v) | Value::Decimal { units: v, .. } => i128::from(*v),
        Value::U64(v) => i128::from(*v),
        _ => return None,
    })
}

fn like(value: &Value, n: i128) -> Value {
    match value {
        Value::I64(_) => Value::I64(n.try_into().unwrap()),
        Value::U64(_) => Value::U64(n.try_into().unwrap()),
        Value::Decimal { scale, .. } => {
            Value::Decimal { units: n.try_into().unwrap(), scale: *scale }
        }
        other => panic!("{other:?}"),
    }
}

/// The value of a function over the values of a bucket, NULLs left out.
fn naive(function: AggregateFunction, values: &[Value]) -> Value {
    let known: Vec<&Value> = values.iter().filter(|value| **value != Value::Null).collect();
    if function == F::Count {
        return Value::U64(known.len() as u64);
    }
    let Some(first) = known.first() else { return Value::Null };
    let better = |a: &Value, b: &Value| -> bool {
        let (a, b, sign) = match function {
            F::Min => (a, b, 1),
            _ => (b, a, -1),
        };
        match (a, b) {
            // NaN never wins against a number, on either side.
            (Value::F64(x), Value::F64(y)) if sign == 1 => x < y || (y.is_nan() && !x.is_nan()),
            (Value::F64(x), Value::F64(y)) => x < y || (x.is_nan() && !y.is_nan()),
            _ => number(a) < number(b),
        }
    };
    match function {
        F::First => (*first).clone(),
        F::Last => (*known.last().unwrap()).clone(),
        F::Min | F::Max => {
            let mut best = *first;
            for value in &known {
                if better(value, best) {
                    best = value;
                }
            }
            best.clone()
        }
        F::Sum => like(first, known.iter().map(|value| number(value).unwrap()).sum()),
        F::Avg => {
            let sum: i128 = known.iter().map(|value| number(value).unwrap()).sum();
            let scale = match first {
                Value::Decimal { scale, .. } => 10_f64.powi(i32::from(*scale)),
                _ => 1.0,
            };
            Value::F64(sum as f64 / scale / known.len() as f64)
        }
        _ => unreachable!(),
    }
}

fn close(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::F64(x), Value::F64(y)) => {
            x.to_bits() == y.to_bits() || x == y || (x - y).abs() <= 1e-12 * x.abs().max(y.abs())
        }
        _ => a == b,
    }
}

fn assert_groups(found: &[Group], expected: &[Group], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!((&found.0, found.1, found.2), (&expected.0, expected.1, expected.2), "{what}");
        for (a, b) in found.3.iter().zip(&expected.3) {
            assert!(close(a, b), "{what}: {found:?}, expected {expected:?}");
        }
    }
}

#[test]
fn buckets_are_the_naive_ones() {
    let functions = [
        (F::Count, "f"),
        (F::First, "s"),
        (F::Last, "flag"),
        (F::Min, "f"),
        (F::Max, "f"),
        (F::Min, "at"),
        (F::Max, "u"),
        (F::Min, "d"),
        (F::First, "f"),
    ];
    for (seed, merge) in (70..76).zip(MODES.into_iter().cycle()) {
        let (bench, model) = filled(seed, merge);
        let snapshot = bench.db.snapshot();
        let half = START_NS + 150 * 60_000_000_000;
        for (from, to) in [(i64::MIN, i64::MAX), (i64::MIN, half), (half + 17, i64::MAX), (-5, 5)] {
            for width in [None, Some(60_000_000_000), Some(HOUR), Some(7 * DAY), Some(i64::MAX)] {
                let mut expected: Vec<(Group, Vec<Row>)> = Vec::new();
                for row in model.visible(snapshot.sequence()) {
                    if !inside(row.time, from, to) {
                        continue;
                    }
                    let open = expected.last_mut().filter(|((tags, bucket, ..), _)| {
                        *tags == row.tags && width.is_none_or(|w| *bucket == start(row.time, w))
                    });
                    match open {
                        Some((group, rows)) => {
                            group.2 += 1;
                            rows.push(row);
                        }
                        None => {
                            let bucket = width.map_or(row.time, |w| start(row.time, w));
                            expected.push(((row.tags.clone(), bucket, 1, vec![]), vec![row]));
                        }
                    }
                }
                let expected: Vec<Group> = expected
                    .into_iter()
                    .map(|(mut group, rows)| {
                        group.3 = functions
                            .iter()
                            .map(|(function, name)| {
                                let values: Vec<Value> =
                                    rows.iter().map(|row| row.get(name).clone()).collect();
                                naive(*function, &values)
                            })
                            .collect();
                        group
                    })
                    .collect();
                let what = format!("seed {seed}, {merge}, {from}..{to} by {width:?}");
                let request = request(TimeRange::new(from, to), width, &functions);
                assert_groups(&aggregate(&snapshot, &request), &expected, &what);
            }
        }
    }
}

/// A table with one series and one column, of which the first `in_segments` rows are flushed.
fn column(name: &str, kind: FieldType, rows: &[(i64, Value)], in_segments: usize) -> Bench {
    let bench = Bench::new(9);
    let options = TableOptions { fields: vec![(name.into(), kind)], ..TableOptions::default() };
    bench.db.create_table("t", options).unwrap();
    for (at, (time, value)) in rows.iter().enumerate() {
        let fields = [(name, value.clone())];
        let given = if *value == Value::Null { &fields[..0] } else { &fields };
        let rows = RowBuilder::new("t").row(*time, &[], given).build().unwrap();
        bench.db.write(Batch::new().with(rows)).unwrap();
        if at + 1 == in_segments {
            bench.db.flush().unwrap();
        }
    }
    bench
}

fn values(bench: &Bench, request: &AggregateRequest) -> Vec<(i64, Value)> {
    let rows = aggregate(&bench.db.snapshot(), request).into_iter();
    rows.map(|(_, bucket, _, values)| (bucket, values[0].clone())).collect()
}

#[test]
fn sums_and_means_of_every_number() {
    let decimal = FieldType::Decimal { precision: 10, scale: 2 };
    let cases: Vec<(FieldType, Vec<Value>)> = vec![
        (FieldType::I64, [5, -7, i64::MAX, i64::MIN, 3].map(Value::I64).to_vec()),
        (FieldType::U64, [5, 7, 1 << 63].map(Value::U64).to_vec()),
        (decimal, [150, -25, 3].map(|units| Value::Decimal { units, scale: 2 }).to_vec()),
    ];
    for (kind, sent) in cases {
        let mut rows: Vec<_> = (0..).zip(sent.clone()).collect();
        rows.push((100, Value::Null));
        let bench = column("x", kind, &rows, 2);
        for function in [F::Sum, F::Avg, F::Count] {
            let request = request(TimeRange::ALL, None, &[(function, "x")]);
            let found = values(&bench, &request).remove(0).1;
            let expected = naive(function, &sent);
            assert!(close(&found, &expected), "{function:?} of {kind}: {found:?}, {expected:?}");
        }
    }
}

#[test]
fn float_sums_keep_what_cancels() {
    let sums = [
        (vec![1e100, 1.0, -1e100], 1.0),
        (vec![0.1; 10], 1.0),
        (vec![f64::INFINITY, 1.0], f64::INFINITY),
        (vec![f64::INFINITY, f64::NEG_INFINITY], f64::NAN),
        (vec![f64::NAN, 1.0], f64::NAN),
        (vec![1e308, 1e308], f64::INFINITY),
        (vec![-0.0], 0.0),
    ];
    for (sent, expected) in sums {
        let rows: Vec<_> = (0..).zip(sent.iter().map(|value| Value::F64(*value))).collect();
        let bench = column("x", FieldType::F64, &rows, 1);
        let request = request(TimeRange::ALL, None, &[(F::Sum, "x"), (F::Avg, "x")]);
        let row = aggregate(&bench.db.snapshot(), &request).remove(0);
        let [Value::F64(sum), Value::F64(mean)] = row.3[..] else { panic!("{row:?}") };
        assert!(sum == expected || (sum.is_nan() && expected.is_nan()), "{sent:?}: {sum}");
        let expected = expected / sent.len() as f64;
        assert!(mean == expected || (mean.is_nan() && expected.is_nan()), "{sent:?}: {mean}");
    }
}

#[test]
fn a_sum_beyond_its_type_is_an_error_and_a_mean_is_not() {
    let decimal = FieldType::Decimal { precision: 18, scale: 0 };
    let many = |value: Value, count: usize| vec![value; count];
    for (kind, sent) in [
        (FieldType::I64, many(Value::I64(i64::MAX), 2)),
        (FieldType::I64, many(Value::I64(i64::MIN), 2)),
        (FieldType::U64, many(Value::U64(u64::MAX), 2)),
        (decimal, many(Value::Decimal { units: 999_999_999_999_999_999, scale: 0 }, 10)),
    ] {
        let rows: Vec<_> = (0..).zip(sent.clone()).collect();
        let bench = column("x", kind, &rows, 1);
        let request_of = |function| request(TimeRange::ALL, None, &[(function, "x")]);
        let error = groups(bench.db.aggregate(&request_of(F::Sum)).unwrap()).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error}");
        assert!(
            error.to_string().contains("\"x\"") && error.to_string().contains("beyond"),
            "{error}"
        );
        let mean = values(&bench, &request_of(F::Avg)).remove(0).1;
        assert!(close(&mean, &naive(F::Avg, &sent)), "{mean:?}");
    }
}

#[test]
fn functions_that_a_type_does_not_have_are_refused() {
    let (bench, _) = filled(80, MergeMode::Append);
    for (function, name) in [
        (F::Sum, "s"),
        (F::Avg, "flag"),
        (F::Min, "s"),
        (F::Max, "flag"),
        (F::Sum, "at"),
        (F::SumOfRises, "at"),
        (F::Sum, "a"),
        (F::Sum, "time"),
        (F::Sum, "nothing"),
    ] {
        let error =
            bench.db.aggregate(&request(TimeRange::ALL, None, &[(function, name)])).err().unwrap();
        assert!(error.to_string().contains(name), "{error}");
    }
    for width in [0, -1, i64::MIN] {
        let bucket = Some(Bucket { width_ns: width, origin_ns: 0 });
        let request = AggregateRequest { bucket, ..request(TimeRange::ALL, None, &[]) };
        assert!(bench.db.aggregate(&request).is_err(), "{width}");
    }
    let nothing = request(TimeRange::new(0, 0), Some(HOUR), &[(F::Count, "f")]);
    assert_eq!(aggregate(&bench.db.snapshot(), &nothing), []);
    let no_function = aggregate(&bench.db.snapshot(), &request(TimeRange::ALL, None, &[]));
    assert!(!no_function.is_empty());
    assert!(no_function.iter().all(|row| row.2 > 0 && row.3.is_empty()));
}

#[test]
fn weeks_begin_on_monday_and_the_rest_at_the_epoch() {
    // A Thursday, the Sunday after it, the Monday, and a Monday before the epoch.
    let rows = [(0, 1), (4 * DAY - 1, 2), (4 * DAY, 3), (-3 * DAY, 4), (-3 * DAY - 1, 5)];
    let rows: Vec<_> = rows.map(|(time, i)| (time, Value::I64(i))).to_vec();
    let bench = column("x", FieldType::I64, &rows, 3);
    let sums = |width| values(&bench, &request(TimeRange::ALL, Some(width), &[(F::Sum, "x")]));
    let i = Value::I64;
    assert_eq!(sums(7 * DAY), [(-10 * DAY, i(5)), (-3 * DAY, i(7)), (4 * DAY, i(3))]);
    assert_eq!(sums(14 * DAY).len(), 2);
    let days = [(-4, 5), (-3, 4), (0, 1), (3, 2), (4, 3)];
    assert_eq!(sums(DAY), days.map(|(day, x)| (day * DAY, i(x))));
}

#[test]
fn buckets_at_the_ends_of_time_hold_their_own_rows() {
    let times = [
        i64::MIN,
        i64::MIN + 1,
        i64::MIN + DAY - 1,
        i64::MIN + DAY,
        i64::MAX - DAY,
        i64::MAX - 1,
        i64::MAX,
    ];
    let rows: Vec<_> = times.map(|time| (time, Value::I64(1))).to_vec();
    let bench = column("x", FieldType::I64, &rows, 4);
    for width in [1, 1_000, HOUR, DAY, 7 * DAY, i64::MAX / 2, i64::MAX] {
        let mut expected: Vec<(i64, Value)> = Vec::new();
        for time in times {
            let start = start(time, width);
            match expected.last_mut().filter(|(at, _)| *at == start) {
                Some((_, Value::I64(count))) => *count += 1,
                _ => expected.push((start, Value::I64(1))),
            }
        }
        let found = values(&bench, &request(TimeRange::ALL, Some(width), &[(F::Sum, "x")]));
        assert_eq!(found, expected, "{width}");
    }
}

/// Rises over all values of a series in order, put into buckets of the rows that bring them.
fn rises(rows: &[(i64, Value)], from: i64, width: i64) -> Vec<(i64, Value)> {
    let mut before: Option<i128> = None;
    let mut found: Vec<(i64, Option<i128>)> = Vec::new();
    for (time, value) in rows {
        if *time >= from && found.last().is_none_or(|(at, _)| *at != start(*time, width)) {
            found.push((start(*time, width), None));
        }
        let Some(now) = number(value) else { continue };
        let rise = before.filter(|before| now >= *before).map_or(now, |before| now - before);
        before = Some(now);
        if *time >= from {
            let slot = &mut found.last_mut().unwrap().1;
            *slot = Some(slot.unwrap_or(0) + rise);
        }
    }
    let value =
        |sum: Option<i128>| sum.map_or(Value::Null, |sum| Value::U64(sum.try_into().unwrap()));
    found.into_iter().map(|(at, sum)| (at, value(sum))).collect()
}

#[test]
fn rises_go_over_the_borders_of_buckets_ranges_and_segments() {
    let cumulative = [
        (0, Some(100)),
        (5, Some(130)),
        (9, Some(130)),
        (12, None),
        (13, Some(150)),
        (20, Some(40)),
        (21, None),
        (22, None),
        (31, Some(45)),
        (33, Some(0)),
        (34, Some(7)),
        (59, Some(8)),
        (60, Some(u64::MAX / 2)),
    ];
    let rows: Vec<_> =
        cumulative.map(|(time, value)| (time, value.map_or(Value::Null, Value::U64))).to_vec();
    for in_segments in [0, 4, 8, 13] {
        let bench = column("v", FieldType::U64, &rows, in_segments);
        for from in [i64::MIN, 0, 1, 9, 10, 13, 14, 22, 23, 34, 60, 61] {
            for width in [1, 10, 1_000] {
                let request =
                    request(TimeRange::new(from, i64::MAX), Some(width), &[(F::SumOfRises, "v")]);
                let found = values(&bench, &request);
                assert_eq!(
                    found,
                    rises(&rows, from, width),
                    "from {from}, by {width}, {in_segments}"
                );
            }
        }
    }
}

#[test]
fn rises_of_several_columns_remember_each_for_itself() {
    let bench = Bench::new(3);
    let row = |time: i64, v: Option<u64>, w: Option<f64>| {
        let mut fields = Vec::new();
        fields.extend(v.map(|v| ("v", Value::U64(v))));
        fields.extend(w.map(|w| ("w", Value::F64(w))));
        let rows = RowBuilder::new("t").create_if_missing(TableOptions::default());
        let mut batch = Batch::new();
        for tag in ["A", "B"] {
            batch = batch.with(rows.clone().row(time, &[("a", tag)], &fields).build().unwrap());
        }
        bench.db.write(batch).unwrap();
    };
    row(1, Some(10), Some(1.5));
    row(2, Some(12), None);
    row(3, None, Some(2.0));
    row(10, Some(15), Some(2.25));
    let request = request(
        TimeRange::new(10, 11),
        None,
        &[(F::SumOfRises, "v"), (F::SumOfRises, "w"), (F::Sum, "v")],
    );
    let expected = vec![Value::U64(3), Value::F64(0.25), Value::U64(15)];
    let found = aggregate(&bench.db.snapshot(), &request);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|row| row.3 == expected), "{found:?}");
}
