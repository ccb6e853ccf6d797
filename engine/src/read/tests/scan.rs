//! Scans and latest rows: ranges, columns, sequences, many series, long series.

use super::model::inside;
use super::*;

fn ranges() -> Vec<TimeRange> {
    let minute = 60_000_000_000;
    let at = |minutes: i64| START_NS + minutes * minute;
    vec![
        TimeRange::ALL,
        TimeRange::new(at(50), at(200)),
        TimeRange::new(at(100), at(101)),
        TimeRange::new(at(100), at(100)),
        TimeRange::new(at(200), at(50)),
        TimeRange::new(i64::MIN, i64::MIN + 1),
        TimeRange::new(i64::MIN, 0),
        TimeRange::new(-1, 1),
        TimeRange::new(i64::MAX - 1, i64::MAX),
        TimeRange::new(i64::MAX, i64::MAX),
        TimeRange::inclusive(i64::MAX, i64::MAX),
        TimeRange::inclusive(i64::MAX - 1, i64::MAX - 1),
        TimeRange::new(at(290), i64::MAX),
    ]
}

fn without_sequence(rows: &[Row]) -> Vec<Row> {
    rows.iter().map(|row| Row { sequence: crate::model::Sequence::ZERO, ..row.clone() }).collect()
}

/// The last row of each series of rows that are sorted.
fn last_of_each(rows: &[Row]) -> Vec<Row> {
    let ends = |at: usize| rows.get(at + 1).is_none_or(|next| next.tags != rows[at].tags);
    (0..rows.len()).filter(|at| ends(*at)).map(|at| rows[at].clone()).collect()
}

#[test]
fn scans_and_latest_rows_are_the_naive_ones() {
    for (seed, merge) in (0..9).zip(MODES.into_iter().cycle()) {
        let (bench, model) = filled(seed, merge);
        let snapshot = bench.db.snapshot();
        for range in ranges() {
            let mut expected = model.visible(snapshot.sequence());
            expected.retain(|row| inside(row.time, range.from, range.to));
            let what = format!("seed {seed}, {merge}, {range:?}");
            let mut request = ScanRequest::new("t").range(range);
            assert_same(&scan(&snapshot, &request), &without_sequence(&expected), &what);
            let latest = rows_of(
                std::iter::once(snapshot.latest(&request))
                    .filter(|one| one.as_ref().is_ok_and(|batch| batch.row_count() > 0)),
            );
            let last = last_of_each(&expected);
            assert_same(&latest, &without_sequence(&last), &format!("latest, {what}"));
            request.with_sequence = true;
            assert_same(&scan(&snapshot, &request), &expected, &format!("sequences, {what}"));
        }
    }
}

#[test]
fn parts_give_together_what_the_whole_gives() {
    for (seed, merge) in (20..26).zip(MODES.into_iter().cycle()) {
        let (bench, _) = filled(seed, merge);
        let snapshot = bench.db.snapshot();
        let request = ScanRequest::new("t");
        let whole = scan(&snapshot, &request);
        // Keys that exist, a key that does not, and the absent tag.
        let bounds = [["", ""], ["A", ""], ["A", "x"], ["BB", ""]]
            .map(|tags| crate::model::SeriesKey::from_tags(tags).unwrap());
        for batch_rows in [None, Some(1), Some(7)] {
            let starts = [None].into_iter().chain(bounds.iter().cloned().map(Some));
            let ends = bounds.iter().cloned().map(Some).chain([None]);
            let mut found = Vec::new();
            let mut counted = 0;
            for (from, to) in starts.zip(ends) {
                let part = ScanPart { from, to, batch_rows };
                let mut running = snapshot.scan_part(&request, part.clone()).unwrap();
                let rows = rows_of(running.by_ref());
                counted += running.stats().rows_decoded();
                found.extend(rows);
            }
            assert_same(&found, &whole, &format!("seed {seed}, {merge}, {batch_rows:?}"));
            assert!(counted > 0, "seed {seed}: nothing was counted");
        }
    }
}

#[test]
fn tags_select_series() {
    let (bench, model) = filled(3, MergeMode::Append);
    let snapshot = bench.db.snapshot();
    let all = without_sequence(&model.visible(snapshot.sequence()));
    let some = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    type Keep = fn(&Row) -> bool;
    let cases: [(Predicate, Keep); 8] = [
        (Predicate::tag("a", "A"), |row| row.tags[0] == "A"),
        (Predicate::tag("a", ""), |row| row.tags[0].is_empty()),
        (Predicate::tag("b", ""), |row| row.tags[1].is_empty()),
        (Predicate::tag("a", "A").and_tag("b", "x"), |row| row.tags == ["A", "x"]),
        (Predicate::tag("a", "A").and_tag("a", "B"), |_| false),
        (Predicate::tag("a", "nobody"), |_| false),
        (
            Predicate {
                tags: vec![("b".into(), TagFilter::NotIn(some(&["", "x"])))],
                fields: vec![],
            },
            |row| row.tags[1] == "y",
        ),
        (
            Predicate {
                tags: vec![("a".into(), TagFilter::In(some(&["C", "BRK.B", "C"])))],
                fields: vec![],
            },
            |row| row.tags[0] == "C" || row.tags[0] == "BRK.B",
        ),
    ];
    for (predicate, keep) in cases {
        let mut expected = all.clone();
        expected.retain(keep);
        let found = scan(&snapshot, &ScanRequest::new("t").predicate(predicate.clone()));
        assert_same(&found, &expected, &format!("{predicate:?}"));
    }
    let none = Predicate { tags: vec![("a".into(), TagFilter::In(vec![]))], fields: vec![] };
    assert!(scan(&snapshot, &ScanRequest::new("t").predicate(none)).is_empty());
    let every = Predicate { tags: vec![("a".into(), TagFilter::NotIn(vec![]))], fields: vec![] };
    assert_same(&scan(&snapshot, &ScanRequest::new("t").predicate(every)), &all, "not in nothing");
}

#[test]
fn columns_come_in_the_order_asked_for() {
    let (bench, model) = filled(4, MergeMode::LastNonNull);
    let snapshot = bench.db.snapshot();
    let all = model.visible(snapshot.sequence());
    for columns in [&["d", "f"][..], &["s"], &[], &["i", "i"], &["u", "flag", "at", "u"]] {
        let expected: Vec<Row> = without_sequence(&all)
            .into_iter()
            .map(|row| Row {
                values: columns.iter().map(|name| row.get(name).clone()).collect(),
                ..row
            })
            .collect();
        let request = ScanRequest::new("t").columns(columns);
        assert_same(&scan(&snapshot, &request), &expected, &format!("{columns:?}"));
        let fields = snapshot.scan(&request).unwrap().fields().len();
        assert_eq!(fields, columns.len());
    }
    let batch = snapshot.scan(&ScanRequest::new("t").columns(&["f"])).unwrap().next().unwrap();
    let batch = batch.unwrap();
    assert!(batch.column("f").is_some() && batch.column("i").is_none());
    let (codes, values) = batch.tag(0);
    let decoded: Vec<&str> = codes.iter().map(|code| values[*code as usize].as_str()).collect();
    let expected: Vec<&str> = all.iter().map(|row| row.tags[0].as_str()).collect();
    assert_eq!(decoded, expected);
}

#[test]
fn names_that_are_not_there_are_told_with_near_ones() {
    let (bench, _) = filled(5, MergeMode::Append);
    let snapshot = bench.db.snapshot();
    let error = |request: ScanRequest| snapshot.scan(&request).map(|_| ()).unwrap_err();
    let text = error(ScanRequest::new("tt")).to_string();
    assert!(text.contains("unknown table \"tt\"; there are: t"), "{text}");
    let of = |names: &[&str]| error(ScanRequest::new("t").columns(names)).to_string();
    let text = of(&["f", "flug"]);
    assert!(text.contains("unknown column \"flug\" in table \"t\"; there are: flag"), "{text}");
    let text = of(&["ts_s"]);
    assert!(text.contains("\"ts_s\"") && text.contains("time (which was called"), "{text}");
    let text = of(&["time"]);
    assert!(text.contains("time column") && !text.contains("unknown"), "{text}");
    let text = of(&["a"]);
    assert!(text.contains("\"a\" of table \"t\" is a tag"), "{text}");
    let text = error(ScanRequest::new("t").predicate(Predicate::tag("f", "1"))).to_string();
    assert!(text.contains("\"f\" of table \"t\" is a field"), "{text}");
    let text = error(ScanRequest::new("t").predicate(Predicate::tag("c", "1"))).to_string();
    assert!(text.contains("unknown column \"c\""), "{text}");
    let text = error(ScanRequest::new("t").predicate(Predicate::tag("time", "1"))).to_string();
    assert!(text.contains("time column"), "{text}");
    let by = Predicate::all().and_field("a", Comparison::Eq, Value::from("A"));
    let text = error(ScanRequest::new("t").predicate(by)).to_string();
    assert!(text.contains("is a tag"), "{text}");
}

/// Rows of a segment carry no sequences where they are not needed, rows in memory always do: joined they must not part.
#[test]
fn rows_behind_a_segment_are_joined_to_it() {
    for merge in MODES {
        let bench = Bench::with_table(1, merge, None);
        let mut model = Model::new(merge);
        let row = |time: i64, i: i64| Row {
            tags: ["A".into(), String::new()],
            time,
            sequence: crate::model::Sequence::ZERO,
            values: FIELDS
                .iter()
                .map(|(name, _)| if *name == "i" { Value::I64(i) } else { Value::Null })
                .collect(),
        };
        bench.write(&mut model, &[row(1, 1), row(2, 2)]);
        bench.db.flush().unwrap();
        bench.write(&mut model, &[row(10, 3), row(10, 4), row(11, 5), row(11, 6), row(12, 7)]);
        let snapshot = bench.db.snapshot();
        let expected = without_sequence(&model.visible(snapshot.sequence()));
        assert_same(&scan(&snapshot, &ScanRequest::new("t")), &expected, &merge.to_string());
        let above = Predicate::all().and_field("i", Comparison::Gt, 1_i64);
        let found = scan(&snapshot, &ScanRequest::new("t").predicate(above));
        let mut kept = expected.clone();
        kept.retain(|row| matches!(row.get("i"), Value::I64(i) if *i > 1));
        assert_same(&found, &kept, &merge.to_string());
        // A second segment that an earlier snapshot sees a part of.
        let early = bench.db.snapshot();
        bench.write(&mut model, &[row(20, 8), row(21, 9)]);
        bench.db.flush().unwrap();
        let early = bench.db.snapshot_at(early.sequence()).unwrap();
        assert_same(&scan(&early, &ScanRequest::new("t")), &expected, &merge.to_string());
    }
}

#[test]
fn ten_thousand_series_come_in_order() {
    let bench = Bench::new(1);
    let mut model: Vec<(String, i64, i64)> = Vec::new();
    for round in 0..3_i64 {
        let mut builder = RowBuilder::new("wide").create_if_missing(TableOptions::default());
        for series in 0..10_000_i64 {
            if series % 3 == round {
                continue;
            }
            let tag = format!("s{}", series * 7_919 % 10_000);
            builder.push(round, &[("a", &tag)], &[("i", Value::I64(series))]);
            model.push((tag, round, series));
        }
        bench.db.write(Batch::new().with(builder.build().unwrap())).unwrap();
        if round < 2 {
            bench.db.flush().unwrap();
        }
    }
    model.sort();
    let found = |request: &ScanRequest| -> Vec<(String, i64, i64)> {
        let rows = rows_of(bench.db.scan(request).unwrap());
        rows.into_iter()
            .map(|row| match row.values[0] {
                Value::I64(i) => (row.tags[0].clone(), row.time, i),
                _ => panic!("{row:?}"),
            })
            .collect()
    };
    assert!(found(&ScanRequest::new("wide")) == model);
    let latest = bench.db.latest(&ScanRequest::new("wide")).unwrap();
    assert_eq!(latest.row_count(), 10_000);
    let one = found(&ScanRequest::new("wide").predicate(Predicate::tag("a", "s4321")));
    assert!(one.iter().eq(model.iter().filter(|row| row.0 == "s4321")));
}

#[test]
fn a_long_series_spans_row_groups() {
    const ROWS: i64 = 200_000;
    let bench = Bench::new(1);
    for part in 0..4 {
        let mut builder = RowBuilder::new("long").create_if_missing(TableOptions::default());
        for row in (part * ROWS / 4)..((part + 1) * ROWS / 4) {
            builder.push(row * 1_000, &[("a", "A")], &[("i", Value::I64(row * row % 1_000))]);
        }
        bench.db.write(Batch::new().with(builder.build().unwrap())).unwrap();
    }
    bench.db.flush().unwrap();
    let count = |request: &ScanRequest| -> i64 {
        let batches = bench.db.scan(request).unwrap();
        batches.map(|batch| batch.unwrap().row_count().cast_signed() as i64).sum()
    };
    assert_eq!(count(&ScanRequest::new("long")), ROWS);
    let group = 65_536_000;
    for (from, to) in [
        (0, 1),
        (group - 1_000, group + 1_000),
        (group, group + 1),
        (group - 1, group),
        (999, 2_001),
        (2 * group - 5_000_000, 3 * group + 7),
        (ROWS * 1_000 - 1_000, i64::MAX),
    ] {
        let expected = (0..ROWS).filter(|row| (from..to).contains(&(row * 1_000))).count() as i64;
        let range = TimeRange::new(from, to);
        assert_eq!(count(&ScanRequest::new("long").range(range)), expected, "{range:?}");
        let latest = bench.db.latest(&ScanRequest::new("long").range(range)).unwrap();
        let last = (0..ROWS).rev().find(|row| (from..to).contains(&(row * 1_000)));
        assert_eq!(latest.time().first().copied(), last.map(|row| row * 1_000), "{range:?}");
    }
    let rare = Predicate::all().and_field("i", Comparison::Eq, 999_i64);
    let expected = (0..ROWS).filter(|row| row * row % 1_000 == 999).count() as i64;
    assert_eq!(count(&ScanRequest::new("long").predicate(rare)), expected);
}
