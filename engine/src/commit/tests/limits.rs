//! Limits of batches, texts, tags and names, and rows that are refused alone.

use super::*;
use crate::limits::{
    BATCH_ROWS_MAX, METADATA_LEN_BYTES_MAX, PRODUCER_LEN_BYTES_MAX, TAG_COUNT_MAX,
    TAG_VALUE_LEN_BYTES_MAX, TEXT_LEN_BYTES_MAX,
};
use crate::model::{CommitMetadata, Predicate, TagFilter, TimeRange};

fn tagged(rows: &[&[(&str, &str)]]) -> TableRows {
    let mut builder = RowBuilder::new("t").create_if_missing(TableOptions::default());
    for (time, tags) in (0..).zip(rows) {
        builder.push(time, tags, &[("x", Value::I64(time))]);
    }
    builder.build().unwrap()
}

#[test]
fn over_long_texts_and_tags_are_refused_and_the_longest_kept() {
    let bench = Bench::new();
    let (fits, long) = ("x".repeat(TEXT_LEN_BYTES_MAX), "x".repeat(TEXT_LEN_BYTES_MAX + 1));
    let text = bench.refused(field("s", &[Value::from("a"), Value::from(long.as_str())]));
    assert!(text.contains("\"s\"") && text.contains("row 1"), "{text}");
    assert!(text.contains("1048577 bytes, the limit is 1048576"), "{text}");
    bench.db.write(batch(field("s", &[Value::from(fits.as_str())]))).unwrap();
    let (fits, long) =
        ("y".repeat(TAG_VALUE_LEN_BYTES_MAX), "y".repeat(TAG_VALUE_LEN_BYTES_MAX + 1));
    let text = bench.refused(tagged(&[&[("tag", "a")], &[("tag", &long)]]));
    for part in ["\"tag\"", "\"t\"", "4097 bytes, the limit is 4096", "row 1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = bench.refused(tagged(&[&[("tag", "a")], &[("tag", "a\0b")]]));
    for part in ["\"tag\"", "\"t\"", "zero byte", "row 1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    bench.db.write(batch(tagged(&[&[("tag", &fits)]]))).unwrap();
    // Four tags of the greatest length and their separators pass the limit of a key.
    let wide: [(&str, &str); 4] = [("tag", &fits), ("u", &fits), ("v", &fits), ("w", &fits)];
    let text = bench.refused(tagged(&[&[("tag", "a")], &wide]));
    assert!(text.contains("series key") && text.contains("row 1"), "{text}");
    assert!(bench.db.table_schema("t").unwrap().tag_position("w").is_none());
    bench.db.flush().unwrap();
    let bench = bench.reopen();
    assert_eq!(bench.rows().len(), 2);
}

#[test]
fn a_value_that_no_row_uses_is_not_checked() {
    let bench = Bench::new();
    let mut rows = tagged(&[&[("tag", "a")]]);
    rows.tags[0].values =
        TagValues::Dictionary { codes: vec![1], values: vec!["\0".into(), "a".into()] };
    bench.db.write(batch(rows)).unwrap();
    assert_eq!(bench.rows()[0].0, "a");
}

#[test]
fn too_many_tags_and_rows_are_refused() {
    let bench = Bench::new();
    let names: Vec<String> = (0..=TAG_COUNT_MAX).map(|at| format!("tag{at}")).collect();
    let tags: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    let text = bench.refused(tagged(&[&tags]));
    assert!(
        text.contains("tags of a table") && text.contains("65") && text.contains("64"),
        "{text}"
    );
    assert_eq!(bench.db.table_names(), [""; 0], "the table did not come either");
    let mut rows = column("x", FieldType::F64, Column::nulls(FieldType::F64, BATCH_ROWS_MAX + 1));
    let text = bench.refused(rows.clone());
    assert!(text.contains("4194305 rows, the limit is 4194304"), "{text}");
    rows.fields.clear();
    rows.time.pop();
    let two = TableRows { time: vec![1], ..rows.clone() };
    let error = bench.db.write(batch(rows).with(two)).unwrap_err();
    assert!(error.to_string().contains("4194305 rows"), "over all tables: {error}");
}

#[test]
fn a_batch_over_the_limit_of_bytes_is_refused() {
    let bench = Bench::with(|options| options.memory_bytes = Some(1 << 30));
    let text = "z".repeat(TEXT_LEN_BYTES_MAX);
    let error = bench.refused(field("s", &vec![Value::from(text.as_str()); 65]));
    assert!(
        error.contains("the batch is") && error.contains("the limit is 67108864 bytes"),
        "{error}"
    );
    bench.db.write(batch(field("s", &vec![Value::from(text.as_str()); 60]))).unwrap();
    assert_eq!(bench.reopen().rows().len(), 60);
}

#[test]
fn texts_about_the_batch_are_bounded() {
    let bench = Bench::new();
    let long = "m".repeat(METADATA_LEN_BYTES_MAX + 1);
    let set: [fn(&mut CommitMetadata) -> &mut String; 4] = [
        |meta| &mut meta.principal,
        |meta| &mut meta.source,
        |meta| &mut meta.event_id,
        |meta| &mut meta.pipeline_version,
    ];
    for set in set {
        let mut batch = batch(field("x", &[Value::I64(1)]));
        set(&mut batch.metadata).clone_from(&long);
        let error = bench.db.write(batch).unwrap_err();
        assert!(error.to_string().contains("257 bytes, the limit is 256 bytes"), "{error}");
    }
    let with = |id: &str, number| batch(field("x", &[Value::I64(1)])).producer(id, number);
    let producer = "p".repeat(PRODUCER_LEN_BYTES_MAX + 1);
    for (id, number, part) in
        [(producer.as_str(), 1, "256 bytes"), ("", 1, "name"), ("p", 0, "from 1")]
    {
        let error = bench.db.write(with(id, number)).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    bench.db.write(with(&producer[1..], 1)).unwrap();
    bench.reopen();
}

#[test]
fn system_tables_are_the_systems() {
    let bench = Bench::new();
    let rows = RowBuilder::new("chronolith_imports").row(0, &[("producer", "import:x")], &[]);
    let text = bench.refused(rows.build().unwrap());
    assert!(text.contains("belongs to the system") && text.contains("chronolith_"), "{text}");
    for result in [
        bench.db.drop_table("chronolith_imports").map(|_| ()),
        bench.db.delete("chronolith_imports", &Predicate::all(), TimeRange::ALL).map(|_| ()),
        bench.db.create_table("chronolith_mine", TableOptions::default()).map(|_| ()),
    ] {
        assert!(result.is_err());
    }
}

/// A deletion is a log record too: what could not be read back must be refused.
#[test]
fn deletions_are_bounded() {
    let bench = Bench::new();
    bench.db.write(batch(tagged(&[&[("tag", "a")]]))).unwrap();
    let long = "y".repeat(TAG_VALUE_LEN_BYTES_MAX + 1);
    let mut many = Predicate::all();
    for _ in 0..=TAG_COUNT_MAX {
        many = many.and_tag("tag", "a");
    }
    let values = Predicate {
        tags: vec![("tag".into(), TagFilter::NotIn(vec![String::new(); (1 << 20) + 1]))],
        fields: Vec::new(),
    };
    for predicate in [Predicate::tag("tag", &long), Predicate::tag("tag", "a\0"), many, values] {
        let result = bench.db.delete("t", &predicate, TimeRange::ALL);
        assert!(result.is_err(), "{:?}", predicate.tags.len());
    }
    let bench = bench.reopen();
    assert_eq!(bench.rows().len(), 1);
    let value = "y".repeat(TAG_VALUE_LEN_BYTES_MAX);
    let large = TagFilter::NotIn(vec![value; 22 << 10]);
    let large = Predicate { tags: vec![("tag".into(), large)], fields: Vec::new() };
    let error = bench.db.delete("t", &large, TimeRange::ALL).unwrap_err();
    assert!(error.to_string().contains("in the log"), "{error}");
    let by_field = Predicate::all().and_field("x", crate::model::Comparison::Eq, Value::I64(0));
    assert!(bench.db.delete("t", &by_field, TimeRange::ALL).is_err());
    assert!(bench.db.delete("u", &Predicate::all(), TimeRange::ALL).is_err());
    assert!(bench.db.delete("t", &Predicate::tag("x", "1"), TimeRange::ALL).is_err());
    assert_eq!(bench.db.delete("t", &Predicate::all(), TimeRange::ALL).unwrap().row_count, Some(1));
}

#[test]
fn valid_rows_are_committed_and_the_others_reported() {
    let bench = Bench::new();
    bench.table(SchemaMode::Strict, &[("x", FieldType::I64), ("s", FieldType::Utf8)]);
    let long = "y".repeat(TAG_VALUE_LEN_BYTES_MAX + 1);
    let mut rows = column(
        "x",
        FieldType::U64,
        Column::new(ColumnData::U64(vec![1, u64::MAX, 3, 4, u64::MAX]), None),
    );
    rows.tags.push(TagColumn {
        name: "tag".into(),
        values: TagValues::Dictionary {
            codes: vec![0, 0, 1, 2, 1],
            values: vec!["a".into(), long, "b".into()],
        },
    });
    let again = field("x", &[Value::U64(u64::MAX), Value::U64(9)]);
    let outcome = bench.db.write(accepting_the_valid(rows).with(again)).unwrap();
    let refused: Vec<_> = outcome.refused.iter().map(|one| (one.table.as_str(), one.row)).collect();
    // The second rows of the table count on from the first.
    assert_eq!(refused, [("t", 1), ("t", 2), ("t", 4), ("t", 5)]);
    assert!(outcome.refused[0].reason.contains("u64 18446744073709551615"), "{outcome:?}");
    assert!(outcome.refused[1].reason.contains("4096 bytes"), "{outcome:?}");
    assert_eq!(outcome.row_count, 3);
    let kept: Vec<_> =
        bench.rows().into_iter().map(|row| (row.0, row.1, row.2[0].clone())).collect();
    let row = |tag: &str, time, x| (tag.to_owned(), time, Value::I64(x));
    assert_eq!(kept, [row("a", 0, 1), row("a", 1, 9), row("b", 3, 4)]);
    assert_eq!(bench.reopen().rows().len(), 3);
}

#[test]
fn columns_that_a_strict_table_lacks_refuse_their_rows_alone() {
    let bench = Bench::new();
    bench.table(SchemaMode::Strict, &[("x", FieldType::I64)]);
    let rows = RowBuilder::new("t")
        .row(0, &[], &[("x", Value::I64(1))])
        .row(1, &[], &[("y", Value::I64(2))])
        .row(2, &[("tog", "v")], &[("x", Value::I64(3))])
        .row(3, &[], &[("tag", Value::I64(4))]);
    let outcome = bench.db.write(accepting_the_valid(rows.build().unwrap())).unwrap();
    let refused: Vec<u64> = outcome.refused.iter().map(|one| one.row).collect();
    assert_eq!(refused, [1, 2, 3], "{outcome:?}");
    assert_eq!(bench.rows().len(), 1);
}

#[test]
fn a_batch_of_invalid_rows_commits_its_number_alone() {
    let bench = Bench::new();
    bench.table(SchemaMode::Strict, &[("x", FieldType::I64)]);
    let bad = || accepting_the_valid(field("x", &[Value::from("a"), Value::from("b")]));
    let outcome = bench.db.write(bad().producer("p", 1)).unwrap();
    assert_eq!((outcome.row_count, outcome.refused.len()), (0, 2));
    let bench = bench.reopen();
    assert!(bench.db.write(bad().producer("p", 1)).unwrap().already_applied);
    bench.db.write(bad().producer("p", 2)).unwrap();
    assert_eq!(bench.rows().len(), 0);
}

#[test]
fn an_empty_batch_is_a_commit_like_any_other() {
    let bench = Bench::new();
    let first = bench.db.write(Batch::new()).unwrap();
    let second = bench.db.write(Batch::new().producer("p", 1)).unwrap();
    assert_eq!((first.row_count, second.row_count), (0, 0));
    assert!(second.sequence > first.sequence);
    let bench = bench.reopen();
    assert!(bench.db.write(Batch::new().producer("p", 1)).unwrap().already_applied);
    let gap = bench.db.write(Batch::new().producer("p", 3)).unwrap_err();
    assert!(matches!(gap, Error::SequenceGap { expected: 2, .. }), "{gap}");
    // Rows without a field, and a table without rows.
    let nothing = RowBuilder::new("u").create_if_missing(TableOptions::default());
    bench.db.write(batch(nothing.build().unwrap())).unwrap();
    assert_eq!(bench.db.table_names(), ["u"]);
}

#[test]
fn one_batch_is_seen_in_all_its_tables_or_none() {
    let bench = Bench::new();
    let of = |table: &str, time: i64, x: Value| {
        let rows = RowBuilder::new(table).create_if_missing(TableOptions::default());
        rows.row(time, &[("tag", "a")], &[("x", x)]).build().unwrap()
    };
    let whole = Batch::new()
        .with(of("t", 1, Value::I64(1)))
        .with(of("u", 1, Value::I64(2)))
        .with(of("t", 0, Value::I64(3)));
    let before = bench.db.snapshot();
    bench.db.write(whole).unwrap();
    assert!(before.scan(&ScanRequest::new("t")).is_err(), "the table is newer");
    let x = |rows: Vec<(String, i64, Vec<Value>)>| -> Vec<Value> {
        rows.into_iter().map(|row| row.2[0].clone()).collect()
    };
    assert_eq!(x(bench.rows()), [Value::I64(3), Value::I64(1)]);
    assert_eq!(x(rows_of(&bench.db, "u")), [Value::I64(2)]);
    let half = Batch::new()
        .with(of("v", 1, Value::I64(1)))
        .with(of("t", 9, Value::I64(1)))
        .with(of("u", 1, Value::from("wrong")));
    let error: Result<_> = bench.db.write(half);
    assert!(error.is_err());
    let bench = bench.reopen();
    assert_eq!(bench.db.table_names(), ["t", "u"]);
    assert_eq!((bench.rows().len(), rows_of(&bench.db, "u").len()), (2, 1));
}
