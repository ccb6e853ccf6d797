//! What a table gives: columns, types, order, limits, statistics, the commit counter.

use arrow::datatypes::{DataType, TimeUnit};
use chronolith_engine::model::{FieldType, MergeMode, Predicate, RowBuilder, TimeRange, Value};

use crate::support::{Base, execute, rows_of, run, ticks};

#[test]
fn every_type_comes_out_as_it_went_in() {
    let base = Base::new();
    let fields = [
        ("f", FieldType::F64),
        ("i", FieldType::I64),
        ("u", FieldType::U64),
        ("b", FieldType::Bool),
        ("s", FieldType::Utf8),
        ("at", FieldType::Timestamp),
        ("d", FieldType::Decimal { precision: 18, scale: 4 }),
    ];
    base.create("types", &["tag"], &fields, MergeMode::Append);
    let long = "a text that is longer than twelve bytes";
    let rows = RowBuilder::new("types")
        .row(
            i64::MIN,
            &[("tag", "a")],
            &[
                ("f", Value::F64(-0.0)),
                ("i", Value::I64(i64::MIN)),
                ("u", Value::U64(u64::MAX)),
                ("b", Value::Bool(true)),
                ("s", Value::Utf8(long.into())),
                ("at", Value::Timestamp(1)),
                ("d", Value::Decimal { units: -12_345, scale: 4 }),
            ],
        )
        .row(i64::MAX, &[], &[("f", Value::F64(f64::NAN)), ("s", Value::Utf8(String::new()))]);
    base.write(rows);
    for flushed in [false, true] {
        if flushed {
            base.db.flush().unwrap();
        }
        let batches = base.batches("SELECT * FROM types ORDER BY time");
        let schema = batches[0].schema();
        let types: Vec<_> = schema.fields().iter().map(|one| one.data_type().clone()).collect();
        let utc = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        let tag = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
        let expected = [
            utc.clone(),
            tag,
            DataType::Float64,
            DataType::Int64,
            DataType::UInt64,
            DataType::Boolean,
            DataType::Utf8View,
            utc,
            DataType::Decimal128(18, 4),
        ];
        assert_eq!(types, expected);
        let rows = rows_of(&batches);
        assert_eq!(
            rows[0],
            format!(
                "1677-09-21T00:12:43.145224192Z|a|-0.0|{}|{}|true|{long}|1970-01-01T00:00:00.000000001Z|-1.2345",
                i64::MIN,
                u64::MAX
            )
        );
        assert_eq!(rows[1], "2262-04-11T23:47:16.854775807Z|NULL|NaN|NULL|NULL|NULL||NULL|NULL");
    }
}

#[test]
fn the_order_of_a_table_needs_no_sort() {
    let base = Base::new();
    ticks(&base, 9, 40);
    base.db.flush().unwrap();
    // Absent tags come first: the second tag is absent in some series, so that its default order, NULLs last, needs a sort.
    let none =
        base.plan("SELECT symbol, venue, time FROM ticks ORDER BY symbol, venue NULLS FIRST, time");
    assert!(!none.contains("SortExec"), "{none}");
    let some = base.plan("SELECT symbol, venue, time FROM ticks ORDER BY symbol, venue, time");
    assert!(some.contains("SortExec"), "{some}");
    // No row lacks the first tag: NULLs first and last are the same.
    for sql in [
        "SELECT symbol FROM ticks ORDER BY symbol",
        "SELECT symbol, time FROM ticks WHERE venue = 'X' ORDER BY symbol, time",
        "SELECT time, price FROM ticks WHERE symbol = 'S001' AND venue = 'X' ORDER BY time",
        "SELECT symbol, venue FROM ticks WHERE venue IS NOT NULL ORDER BY symbol, venue",
        "SELECT symbol, time, _seq FROM ticks WHERE venue = 'X' ORDER BY symbol, time, _seq",
    ] {
        let plan = base.plan(sql);
        assert!(!plan.contains("SortExec"), "{sql}: {plan}");
    }
    let plan = base.plan("SELECT time FROM ticks ORDER BY time");
    assert!(plan.contains("SortExec"), "{plan}");
    let got = base.rows("SELECT symbol, venue, CAST(time AS BIGINT) + 1000000000 FROM ticks ORDER BY symbol, venue NULLS FIRST, time");
    let mut sorted = got.clone();
    sorted.sort();
    assert_eq!(got.len(), 360);
    // Text order of the lines is the order asked for: times have one width, and no symbol has two venues.
    assert_eq!(got, sorted);
}

#[test]
fn rows_of_one_time_are_in_the_order_of_their_commits() {
    let base = Base::new();
    base.create("t", &["symbol"], &[("x", FieldType::I64)], MergeMode::Append);
    for round in 0..6 {
        let mut rows = RowBuilder::new("t");
        for row in 0..60 {
            let symbol = ["A", "B", "C"][row % 3];
            rows.push(row as i64 / 3, &[("symbol", symbol)], &[("x", Value::I64(round))]);
        }
        base.write(rows);
        if round % 2 == 1 {
            base.db.flush().unwrap();
        }
    }
    let sql = "SELECT symbol, CAST(time AS BIGINT) + 1000000000, _seq + 1000 FROM t ORDER BY symbol, time, _seq";
    for compacted in [false, true] {
        if compacted {
            base.db.compact().unwrap();
        }
        assert!(!base.plan(sql).contains("SortExec"), "{}", base.plan(sql));
        let rows = base.rows(sql);
        assert_eq!(rows.len(), 6 * 3 * 20);
        assert!(rows.is_sorted());
    }
}

#[test]
fn parts_give_together_what_one_gives() {
    for (series, rows) in [(50, 3000), (1, 100_000)] {
        let base = Base::new();
        ticks(&base, series, rows);
        let sql = "SELECT symbol, count(*), count(price), min(time), max(time) FROM ticks GROUP BY symbol ORDER BY symbol";
        let memory = base.rows(sql);
        base.db.flush().unwrap();
        let plan = base.plan("SELECT symbol, price FROM ticks");
        assert!(plan.contains("partitions=2"), "{plan}");
        assert_eq!(base.rows(sql), memory);
        assert_eq!(memory.len(), series);
        assert!(memory[0].contains(&format!("|{rows}|")), "{}", memory[0]);
        let ordered = base.rows(
            "SELECT symbol, CAST(time AS BIGINT) + 1000000000 FROM ticks ORDER BY symbol, time",
        );
        assert_eq!(ordered.len(), series * rows);
        assert!(ordered.is_sorted());
    }
}

#[test]
fn a_limit_reads_no_more_than_it_needs() {
    let base = Base::new();
    ticks(&base, 4, 1000);
    let sql = "SELECT time, price FROM ticks WHERE symbol = 'S002' LIMIT 3";
    let plan = base.plan(sql);
    assert!(plan.contains("fetch=3") && !plan.contains("FilterExec"), "{plan}");
    assert_eq!(base.rows(sql).len(), 3);
    assert_eq!(base.rows("SELECT time FROM ticks LIMIT 3 OFFSET 3998").len(), 2);
    assert_eq!(base.rows("SELECT time FROM ticks LIMIT 0").len(), 0);
    let kept = "SELECT time FROM ticks WHERE price + 1 > 5 LIMIT 3";
    assert_eq!(base.rows(kept).len(), 3);
}

#[test]
fn counts_and_bounds_are_answered_without_reading() {
    let base = Base::new();
    ticks(&base, 3, 500);
    let sql = "SELECT count(*), min(time), max(time) FROM ticks";
    let expected = ["1500|1970-01-01T00:00:00Z|1970-01-01T00:00:00.000499Z"];
    for flushed in [false, true] {
        if flushed {
            base.db.flush().unwrap();
        }
        let plan = base.plan(sql);
        assert!(!plan.contains("DataSourceExec"), "{plan}");
        assert_eq!(base.rows(sql), expected);
        let part = "SELECT count(*) FROM ticks WHERE time < to_timestamp_nanos(250000)";
        assert!(base.plan(part).contains("DataSourceExec"));
        assert_eq!(base.rows(part), ["750"]);
    }
    // A deletion makes them bounds, no answers.
    base.db.delete("ticks", &Predicate::tag("symbol", "S001"), TimeRange::ALL).unwrap();
    assert!(base.plan(sql).contains("DataSourceExec"));
    assert_eq!(base.rows("SELECT count(*) FROM ticks"), ["1000"]);
    assert_eq!(base.rows("SELECT count(*) FROM ticks WHERE symbol = 'S001'"), ["0"]);
}

#[test]
fn rows_that_replace_one_another_are_counted_once() {
    let base = Base::new();
    base.create("last", &["k"], &[("x", FieldType::I64)], MergeMode::LastRow);
    let row = |x: i64| RowBuilder::new("last").row(5, &[("k", "a")], &[("x", Value::I64(x))]);
    base.write(row(1));
    base.write(row(2));
    assert_eq!(base.rows("SELECT count(*), max(x) FROM last"), ["1|2"]);
    base.db.flush().unwrap();
    base.write(row(3));
    base.db.flush().unwrap();
    assert_eq!(base.rows("SELECT count(*), max(x), min(x) FROM last"), ["1|3|3"]);
    // The older version of the value is in the range, the row that counts is not.
    assert_eq!(base.rows("SELECT count(*) FROM last WHERE x < 3"), ["0"]);
}

#[test]
fn the_commit_counter_is_seen_where_it_is_named() {
    let base = Base::new();
    base.create("t", &["k"], &[("x", FieldType::I64)], MergeMode::Append);
    for x in [7, 8] {
        base.write(RowBuilder::new("t").row(x, &[("k", "a")], &[("x", Value::I64(x))]));
    }
    let names = |sql: &str| -> Vec<String> {
        let schema = execute(&base.session(), sql).unwrap().schema;
        schema.fields().iter().map(|one| one.name().clone()).collect()
    };
    assert_eq!(names("SELECT * FROM t"), ["time", "k", "x"]);
    assert_eq!(names("SELECT *, _seq FROM t"), ["time", "k", "x", "_seq"]);
    assert_eq!(names("SELECT t.* FROM t WHERE _seq > 0"), ["time", "k", "x"]);
    assert_eq!(names("SELECT * FROM (SELECT x, _seq AS s FROM t)"), ["x", "s"]);
    let sequences = base.rows("SELECT _seq FROM t ORDER BY x");
    let [first, second]: [u64; 2] =
        sequences.iter().map(|one| one.parse().unwrap()).collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(second, first + 1);
    assert_eq!(base.rows(&format!("SELECT x FROM t WHERE _seq = {second}")), ["8"]);
}

#[test]
fn an_answer_names_its_moment_and_is_given_again() {
    let base = Base::new();
    base.create("t", &[], &[("x", FieldType::I64)], MergeMode::Append);
    base.write(RowBuilder::new("t").row(1, &[], &[("x", Value::I64(1))]));
    let session = base.session();
    let answer = execute(&session, "SELECT x FROM t").unwrap();
    let id = answer.snapshot_id;
    assert_eq!(answer.sequence, base.db.snapshot().sequence());
    assert_eq!(answer.durable_sequence, base.db.snapshot().durable_sequence());
    base.write(RowBuilder::new("t").row(2, &[], &[("x", Value::I64(2))]));
    assert_eq!(base.rows("SELECT count(*) FROM t"), ["2"]);
    let then = session.clone().with_snapshot(Some(id));
    assert_eq!(rows_of(&run(&then, "SELECT count(*) FROM t").unwrap()), ["1"]);
    base.db.flush().unwrap();
    assert_eq!(rows_of(&run(&then, "SELECT count(*), sum(x) FROM t").unwrap()), ["1|1"]);
    let mut other = id;
    other.database_id ^= 1;
    assert!(run(&session.with_snapshot(Some(other)), "SELECT 1").is_err());
}

#[test]
fn what_was_read_and_spared_is_shown() {
    let base = Base::new();
    ticks(&base, 2, 1000);
    base.db.flush().unwrap();
    let rows =
        base.rows("EXPLAIN ANALYZE SELECT price FROM ticks WHERE symbol = 'S001'").join("\n");
    for part in [
        "segments_total=1",
        "segments_read=1",
        "segments_pruned=0",
        "blocks_read=1",
        "rows_decoded=1",
    ] {
        assert!(rows.contains(part), "{part}: {rows}");
    }
    let none =
        base.rows("EXPLAIN ANALYZE SELECT price FROM ticks WHERE symbol = 'none'").join("\n");
    assert!(none.contains("segments_pruned=1") && none.contains("rows_decoded=0"), "{none}");
    let zoned =
        base.rows("EXPLAIN ANALYZE SELECT price FROM ticks WHERE size > 100000000").join("\n");
    assert!(zoned.contains("blocks_read=0"), "{zoned}");
}
