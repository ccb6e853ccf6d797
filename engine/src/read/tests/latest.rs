//! Last rows of dense and sparse series: after every step, for every kind of request, against all rows sorted anew.

use super::model::{inside, satisfies};
use super::*;
use crate::model::Sequence;

const MINUTE_NS: i64 = 60_000_000_000;

/// Rows of few series, mostly ever later, with ties, NULLs and late rows.
fn rows(random: &Random, step: u64, dense: bool) -> Vec<Row> {
    let row = |_| {
        let late = if random.below(6) == 0 { random.below(200) } else { 0 };
        let minute = (step * 20 + random.below(40)).saturating_sub(late);
        let values = FIELDS.iter().map(|(_, kind)| match random.below(4) {
            0 => Value::Null,
            _ => value_of(*kind, random.below(64)),
        });
        let values = values.collect();
        let a: &[&str] = if dense { &["", "A", "B"] } else { &["", "A", "B", "C", "D", "E"] };
        let tags = [(*random.pick(a)).to_owned(), (*random.pick(&["", "x"])).to_owned()];
        let time = START_NS + minute.cast_signed() * MINUTE_NS;
        Row { tags, time, sequence: Sequence::ZERO, values }
    };
    (0..if dense { 100 + random.below(700) } else { 1 + random.below(60) }).map(row).collect()
}

/// Asks for last rows in many ways, and compares each answer with the naive one.
fn check(snapshot: &Snapshot, model: &Model, random: &Random, what: &str) {
    let visible = model.visible(snapshot.sequence());
    let some = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let minute = |minutes: u64| START_NS + minutes.cast_signed() * MINUTE_NS;
    for ask in 0..8 {
        let mut predicate = match random.below(6) {
            0 => Predicate::tag("a", "A"),
            1 => Predicate::tag("b", "x"),
            2 => Predicate::tag("a", ["", "B", "nobody"][usize::try_from(ask % 3).unwrap()])
                .and_tag("b", "x"),
            3 => Predicate {
                tags: vec![("a".into(), TagFilter::NotIn(some(&["", "B"])))],
                ..Predicate::all()
            },
            _ => Predicate::all(),
        };
        let (field, kind) = *random.pick(&FIELDS);
        let constant = value_of(kind, 2 + random.below(62));
        let comparison = *random.pick(&[Comparison::Eq, Comparison::Ge, Comparison::Lt]);
        let filtered = random.below(4) == 0;
        if filtered {
            predicate = predicate.and_field(field, comparison, constant.clone());
        }
        let range = match random.below(5) {
            0 => TimeRange::new(i64::MIN, minute(random.below(300))),
            1 => TimeRange::new(minute(random.below(300)), i64::MAX),
            2 => {
                let from = random.below(300);
                TimeRange::new(minute(from), minute(from + random.below(60)))
            }
            _ => TimeRange::ALL,
        };
        let mut expected = visible.clone();
        expected.retain(|row| {
            let tags = predicate
                .tags
                .iter()
                .all(|(name, filter)| filter.accepts(&row.tags[usize::from(name == "b")]));
            let fits = !filtered || satisfies(row.get(field), comparison, &constant);
            tags && fits && inside(row.time, range.from, range.to)
        });
        let ends = |at: usize| {
            expected.get(at + 1).is_none_or(|next: &Row| next.tags != expected[at].tags)
        };
        let last: Vec<Row> =
            (0..expected.len()).filter(|at| ends(*at)).map(|at| expected[at].clone()).collect();
        let mut request = ScanRequest::new("t").predicate(predicate).range(range);
        request.with_sequence = true;
        let what = format!("{what}, ask {ask}: {request:?}");
        let found = snapshot.latest(&request).unwrap();
        let found =
            if found.row_count() == 0 { Vec::new() } else { rows_of(std::iter::once(Ok(found))) };
        assert_same(&found, &last, &what);
        let columns = ScanRequest { with_sequence: false, ..request }.columns(&["s", "f"]);
        let narrow = snapshot.latest(&columns).unwrap();
        assert_eq!(narrow.row_count(), last.len(), "{what}");
        for (at, row) in last.iter().enumerate() {
            let values = [narrow.value(0, at), narrow.value(1, at)].map(|one| format!("{one:?}"));
            let expected = [row.get("s"), row.get("f")].map(|one| format!("{one:?}"));
            assert_eq!(values, expected, "{what}, row {at}");
        }
    }
}

#[test]
fn last_rows_are_the_naive_ones_after_every_step() {
    let mut strips = 0;
    for (seed, merge) in (0..18).zip(MODES.into_iter().cycle()) {
        let dense = seed % 2 == 0;
        let history = [None, Some(0), Some(30_000_000_000)][usize::try_from(seed / 6).unwrap()];
        let bench = Bench::with_table(seed, merge, history);
        let random = Random(SeededRng::new(seed));
        let mut model = Model::new(merge);
        let mut older: Vec<(Snapshot, Model)> = Vec::new();
        for step in 0..14 {
            let what = format!("seed {seed}, {merge}, step {step}");
            match random.below(8) {
                0 | 1 => bench.db.flush().unwrap(),
                2 => drop(bench.db.compact().unwrap()),
                3 => {
                    let a = *random.pick(&["A", "B"]);
                    let from = START_NS + random.below(300).cast_signed() * MINUTE_NS;
                    let range = TimeRange::new(from, from + 90 * MINUTE_NS);
                    let deleted = bench.db.delete("t", &Predicate::tag("a", a), range).unwrap();
                    bench.clock.advance_ns(1_000_000_000);
                    model.delete(deleted.sequence, Some(a), range.from, range.to);
                }
                _ => bench.write(&mut model, &rows(&random, step, dense)),
            }
            let snapshot = bench.db.snapshot();
            check(&snapshot, &model, &random, &what);
            if let Ok(past) = bench.db.snapshot_at(Sequence {
                counter: snapshot.sequence().counter.saturating_sub(random.below(4)),
                ..snapshot.sequence()
            }) && past.check_kept(&snapshot.table("t").unwrap()).is_ok()
            {
                check(&past, &model, &random, &format!("{what}, in the past"));
            }
            for (old, old_model) in &older {
                check(old, old_model, &random, &format!("{what}, an older snapshot"));
            }
            if random.below(4) == 0 {
                older.push((snapshot.clone(), model.clone()));
            }
            let table = snapshot.view().table(snapshot.table("t").unwrap().id);
            let with_strip = |segment: &Arc<crate::snapshot::SegmentHandle>| {
                segment.reader().unwrap().has_last_rows()
            };
            strips += table.segments.iter().filter(|segment| with_strip(segment)).count();
        }
    }
    assert!(strips > 20, "{strips} segments with strips");
}

#[test]
fn a_column_that_is_newer_than_the_rows_is_null_in_them() {
    let bench = Bench::new(1);
    let write = |time: i64, fields: &[(&str, Value)]| {
        let mut builder = RowBuilder::new("t")
            .create_if_missing(TableOptions { tags: vec!["a".into()], ..TableOptions::default() });
        builder.push(time, &[("a", "A")], fields);
        bench.db.write(Batch::new().with(builder.build().unwrap())).unwrap();
    };
    (0..100).for_each(|time| write(time, &[("x", Value::F64(time as f64))]));
    bench.db.flush().unwrap();
    let ask = || bench.db.latest(&ScanRequest::new("t")).unwrap();
    assert_eq!((ask().time()[0], ask().value(0, 0)), (99, Value::F64(99.0)));
    write(50, &[("y", Value::F64(1.0))]);
    assert_eq!(ask().value(1, 0), Value::Null, "the late row is not the last one");
    bench.db.flush().unwrap();
    for _ in 0..2 {
        let last = ask();
        assert_eq!((last.time()[0], last.value(0, 0)), (99, Value::F64(99.0)));
        assert_eq!(last.value(1, 0), Value::Null);
    }
}
