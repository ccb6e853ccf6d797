//! Conditions on fields: every comparison with every type, over memory and segments, pruned or not.

use super::model::satisfies;
use super::*;

const COMPARISONS: [Comparison; 6] = [
    Comparison::Eq,
    Comparison::Ne,
    Comparison::Lt,
    Comparison::Le,
    Comparison::Gt,
    Comparison::Ge,
];

#[test]
fn every_comparison_of_every_type_is_the_naive_one() {
    for (seed, merge) in (20..23).zip(MODES) {
        let (bench, model) = filled(seed, merge);
        let snapshot = bench.db.snapshot();
        let all = model.visible(snapshot.sequence());
        for (name, kind) in FIELDS {
            for (comparison, choice) in
                COMPARISONS.into_iter().flat_map(|one| [0, 1, 2, 3, 4, 31, 63].map(|at| (one, at)))
            {
                let constant = value_of(kind, choice);
                let predicate = Predicate::all().and_field(name, comparison, constant.clone());
                let mut request = ScanRequest::new("t").predicate(predicate);
                request.with_sequence = true;
                let mut expected = all.clone();
                expected.retain(|row| satisfies(row.get(name), comparison, &constant));
                let what = format!("seed {seed}, {merge}: {name} {comparison:?} {constant:?}");
                assert_same(&scan(&snapshot, &request), &expected, &what);
            }
        }
    }
}

#[test]
fn all_conditions_hold_and_columns_stay_as_asked() {
    let (bench, model) = filled(30, MergeMode::LastNonNull);
    let snapshot = bench.db.snapshot();
    let predicate = Predicate::tag("a", "A")
        .and_field("i", Comparison::Ge, -10_i64)
        .and_field("f", Comparison::Lt, 3.5)
        .and_field("i", Comparison::Ne, 2_i64);
    let request = ScanRequest::new("t").predicate(predicate).columns(&["s"]);
    let mut expected = model.visible(snapshot.sequence());
    expected.retain(|row| {
        row.tags[0] == "A"
            && matches!(row.get("i"), Value::I64(i) if *i >= -10 && *i != 2)
            && matches!(row.get("f"), Value::F64(f) if *f < 3.5)
    });
    assert!(expected.len() > 3);
    for row in &mut expected {
        row.sequence = crate::model::Sequence::ZERO;
        row.values = vec![row.get("s").clone()];
    }
    assert_same(&scan(&snapshot, &request), &expected, "joined conditions");
}

#[test]
fn constants_are_fitted_to_the_field_or_refused() {
    let (bench, model) = filled(31, MergeMode::Append);
    let snapshot = bench.db.snapshot();
    let all = model.visible(snapshot.sequence());
    let count = |name: &str, constant: Value| {
        let predicate = Predicate::all().and_field(name, Comparison::Ge, constant);
        let request = ScanRequest::new("t").predicate(predicate);
        snapshot.scan(&request).map(|batches| rows_of(batches).len())
    };
    let expected = |name: &str, constant: Value| {
        let holds = |row: &&Row| satisfies(row.get(name), Comparison::Ge, &constant);
        all.iter().filter(holds).count()
    };
    for (name, sent, same) in [
        ("f", Value::I64(-3), Value::F64(-3.0)),
        ("f", Value::U64(3), Value::F64(3.0)),
        ("i", Value::U64(5), Value::I64(5)),
        ("u", Value::I64(40), Value::U64(40)),
        ("at", Value::I64(7), Value::Timestamp(7)),
        ("d", Value::I64(1), Value::Decimal { units: 100, scale: 2 }),
        ("d", Value::Decimal { units: 5, scale: 1 }, Value::Decimal { units: 50, scale: 2 }),
    ] {
        assert_eq!(count(name, sent.clone()).unwrap(), expected(name, same), "{name} {sent:?}");
    }
    for (name, sent) in [
        ("f", Value::from("1")),
        ("f", Value::I64(i64::MAX)),
        ("i", Value::F64(1.0)),
        ("i", Value::U64(u64::MAX)),
        ("u", Value::I64(-1)),
        ("flag", Value::I64(1)),
        ("s", Value::Bool(true)),
        ("d", Value::Decimal { units: 5, scale: 3 }),
        ("d", Value::I64(i64::MAX)),
        ("i", Value::Null),
    ] {
        let error = count(name, sent.clone()).unwrap_err();
        let Error::WrongType { table, column, .. } = &error else { panic!("{error}") };
        assert_eq!((table.as_str(), column.as_str()), ("t", name), "{sent:?}");
    }
}
