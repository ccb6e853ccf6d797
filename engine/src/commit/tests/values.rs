//! Tables, columns and values: what fits, what is widened, what is refused, and what the refusal says.

use super::*;

#[test]
fn an_unknown_table_is_refused_with_near_names() {
    let bench = Bench::new();
    for name in ["trades", "quotes", "bars"] {
        bench.db.create_table(name, TableOptions::default()).unwrap();
    }
    let rows = RowBuilder::new("trade").row(1, &[], &[("x", Value::F64(1.0))]).build().unwrap();
    let error = bench.db.write(batch(rows)).unwrap_err();
    let Error::UnknownTable { table, known } = &error else { panic!("{error}") };
    assert_eq!((table.as_str(), known[0].as_str()), ("trade", "trades"), "{error}");
}

#[test]
fn a_strict_table_takes_no_unknown_column_that_has_values() {
    let bench = Bench::new();
    bench.table(SchemaMode::Strict, &[("price", FieldType::F64)]);
    let text = bench.refused(field("prize", &[Value::F64(1.0)]));
    assert!(text.contains("\"prize\" in table \"t\"; there are: price"), "{text}");
    let tagged = RowBuilder::new("t").row(1, &[("tog", "x")], &[]).build().unwrap();
    let text = bench.refused(tagged);
    assert!(text.contains("unknown column \"tog\"") && text.contains("tag"), "{text}");
    // Columns without a value bring nothing.
    let nothing = RowBuilder::new("t").row(1, &[("tog", "")], &[("prize", Value::Null)]);
    bench.db.write(batch(nothing.build().unwrap())).unwrap();
    assert_eq!(bench.rows(), [(String::new(), 1, vec![Value::Null])]);
}

#[test]
fn a_dynamic_table_gains_tags_and_fields_with_their_rows() {
    let bench = Bench::new();
    bench.db.write(batch(field("price", &[Value::F64(1.0)]))).unwrap();
    let more = RowBuilder::new("t").row(
        5,
        &[("tag", "a"), ("venue", "x")],
        &[("size", Value::U64(7)), ("at", Value::Timestamp(-1))],
    );
    bench.db.write(batch(more.build().unwrap())).unwrap();
    let bench = bench.reopen();
    let schema = bench.db.table_schema("t").unwrap();
    let tags: Vec<_> = schema.tags.iter().map(|tag| (tag.id.0, tag.name.as_str())).collect();
    assert_eq!(tags, [(1, "tag"), (3, "venue")]);
    let types: Vec<_> = schema.fields.iter().map(|field| field.field_type).collect();
    assert_eq!(types, [FieldType::F64, FieldType::U64, FieldType::Timestamp]);
    let expected = [
        ("a".to_owned(), 0, vec![Value::F64(1.0), Value::Null, Value::Null]),
        ("a".to_owned(), 5, vec![Value::Null, Value::U64(7), Value::Timestamp(-1)]),
    ];
    assert_eq!(bench.rows(), expected);
}

#[test]
fn a_new_field_without_a_value_creates_no_column() {
    let bench = Bench::new();
    let nulls = column("later", FieldType::F64, Column::nulls(FieldType::F64, 2));
    bench.db.write(batch(nulls)).unwrap();
    assert!(bench.db.table_schema("t").unwrap().fields.is_empty());
    assert_eq!(bench.rows().len(), 2);
}

#[test]
fn a_tag_is_no_field_and_a_field_no_tag() {
    let bench = Bench::new();
    bench.table(SchemaMode::Dynamic, &[("price", FieldType::F64)]);
    let text = bench.refused(field("tag", &[Value::F64(1.0)]));
    assert!(text.contains("twice"), "one name as tag and field of one batch: {text}");
    let as_field = RowBuilder::new("t").row(0, &[], &[("tag", Value::from("x"))]);
    let text = bench.refused(as_field.build().unwrap());
    assert!(text.contains("\"tag\" of table \"t\" holds a tag"), "{text}");
    let as_tag = RowBuilder::new("t").row(0, &[("price", "1.5")], &[]);
    let text = bench.refused(as_tag.build().unwrap());
    assert!(text.contains("\"price\" of table \"t\" holds a field"), "{text}");
    let time = RowBuilder::new("t").row(0, &[], &[("time", Value::I64(1))]);
    let text = bench.refused(time.build().unwrap());
    assert!(text.contains("time column"), "{text}");
}

/// Every value of the left that the type holds exactly, and what it becomes; none where it is refused.
fn widenings() -> Vec<(Value, FieldType, Option<Value>)> {
    let decimal = |precision, scale| FieldType::Decimal { precision, scale };
    let units = |units, scale| Value::Decimal { units, scale };
    let big = 1_i64 << 53;
    vec![
        (Value::I64(100), FieldType::F64, Some(Value::F64(100.0))),
        (Value::I64(big), FieldType::F64, Some(Value::F64(9_007_199_254_740_992.0))),
        (Value::I64(big + 1), FieldType::F64, None),
        (Value::I64(i64::MIN), FieldType::F64, Some(Value::F64(-9_223_372_036_854_775_808.0))),
        (Value::I64(i64::MAX), FieldType::F64, None),
        (Value::U64(u64::MAX), FieldType::F64, None),
        (Value::U64(1 << 63), FieldType::F64, Some(Value::F64(9_223_372_036_854_775_808.0))),
        (Value::U64(5), FieldType::I64, Some(Value::I64(5))),
        (Value::U64(i64::MAX as u64), FieldType::I64, Some(Value::I64(i64::MAX))),
        (Value::U64(1 << 63), FieldType::I64, None),
        (Value::I64(5), FieldType::U64, Some(Value::U64(5))),
        (Value::I64(-1), FieldType::U64, None),
        (Value::F64(1.0), FieldType::I64, None),
        (Value::I64(1), FieldType::Timestamp, None),
        (Value::Timestamp(1), FieldType::I64, None),
        (Value::Bool(true), FieldType::I64, None),
        (Value::from("1"), FieldType::F64, None),
        (Value::F64(1.0), FieldType::Utf8, None),
        (Value::I64(1), FieldType::Bool, None),
        (Value::F64(1.5), decimal(5, 2), None),
        (Value::I64(999), decimal(5, 2), Some(units(99_900, 2))),
        (Value::I64(1_000), decimal(5, 2), None),
        (Value::I64(-999), decimal(5, 2), Some(units(-99_900, 2))),
        (Value::U64(u64::MAX), decimal(18, 18), None),
        (units(15, 1), decimal(5, 2), Some(units(150, 2))),
        (units(150, 2), decimal(5, 1), Some(units(15, 1))),
        (units(155, 2), decimal(5, 1), None),
        (units(99_999, 2), decimal(5, 2), Some(units(99_999, 2))),
        (units(100_000, 2), decimal(5, 2), None),
        (units(i64::MAX, 2), decimal(18, 2), None),
    ]
}

#[test]
fn values_are_widened_where_that_is_exact() {
    for (sent, field_type, expected) in widenings() {
        let bench = Bench::new();
        bench.table(SchemaMode::Strict, &[("x", field_type)]);
        let rows = field("x", &[Value::Null, sent.clone()]);
        match expected {
            Some(value) => {
                bench.db.write(batch(rows)).unwrap();
                let found: Vec<_> = bench.rows().into_iter().map(|row| row.2).collect();
                assert_eq!(found, [[Value::Null], [value]], "{sent:?} into {field_type}");
            }
            None => {
                let text = bench.refused(rows);
                for part in ["\"x\"", "\"t\"", &field_type.to_string(), "row 1"] {
                    assert!(text.contains(part), "{sent:?} into {field_type}: {text}");
                }
            }
        }
    }
}

#[test]
fn a_decimal_beyond_its_digits_creates_no_column() {
    let bench = Bench::new();
    let data = Column::new(ColumnData::I64(vec![100]), None);
    let small = FieldType::Decimal { precision: 2, scale: 1 };
    let text = bench.refused(column("x", small, data.clone()));
    assert!(text.contains("decimal(2,1)") && text.contains("row 0"), "{text}");
    for (precision, scale) in [(200, 200), (19, 0), (0, 0), (2, 3)] {
        let broken = FieldType::Decimal { precision, scale };
        let text = bench.refused(column("x", broken, data.clone()));
        assert!(text.contains("is no type"), "{text}");
    }
    bench.table(SchemaMode::Strict, &[("x", FieldType::Decimal { precision: 18, scale: 2 })]);
    let broken = FieldType::Decimal { precision: 200, scale: 200 };
    let text = bench.refused(column("x", broken, data));
    assert!(text.contains("is no type"), "also where the column is there: {text}");
}

#[test]
fn times_and_floats_are_stored_as_they_are() {
    let bench = Bench::new();
    let bits = [
        f64::NAN.to_bits(),
        0x7ff8_dead_beef_0001,
        0xfff0_0000_0000_0001,
        f64::INFINITY.to_bits(),
        f64::NEG_INFINITY.to_bits(),
        (-0.0_f64).to_bits(),
        0,
        1,
    ];
    let times = [i64::MIN, i64::MIN + 1, -1, 0, 1, 5, i64::MAX - 1, i64::MAX];
    let mut rows = column(
        "x",
        FieldType::F64,
        Column::new(ColumnData::F64(bits.map(f64::from_bits).to_vec()), None),
    );
    rows.time = times.to_vec();
    bench.db.write(batch(rows)).unwrap();
    let check = |bench: &Bench, when: &str| {
        let found: Vec<_> = rows_of(&bench.db, "t");
        let found_times: Vec<i64> = found.iter().map(|row| row.1).collect();
        assert_eq!(found_times, times, "{when}");
        let found_bits = found.iter().map(|row| match row.2[0] {
            Value::F64(value) => value.to_bits(),
            _ => panic!("{row:?}"),
        });
        assert_eq!(found_bits.collect::<Vec<_>>(), bits, "{when}");
    };
    check(&bench, "in memory");
    let bench = bench.reopen();
    check(&bench, "from the log");
    bench.db.flush().unwrap();
    check(&bench, "from segments");
    bench.db.compact().unwrap();
    let bench = bench.reopen();
    check(&bench, "after a merge");
}

#[test]
fn what_lies_under_a_null_does_not_matter() {
    let bench = Bench::new();
    let validity = Bitmap::from_fn(3, |row| row == 1);
    let data = ColumnData::F64(vec![f64::NAN, 2.0, 1e300]);
    let mut rows = column("x", FieldType::F64, Column::new(data, Some(validity.clone())));
    let mut texts = TextBuf::default();
    for text in ["under", "", "under too"] {
        texts.push(text).unwrap();
    }
    rows.fields.push(FieldColumn {
        name: "s".into(),
        field_type: FieldType::Utf8,
        column: Column::new(ColumnData::Utf8(texts), Some(validity)),
    });
    bench.db.write(batch(rows)).unwrap();
    bench.db.flush().unwrap();
    let found: Vec<_> = bench.rows().into_iter().map(|row| row.2).collect();
    let null = || vec![Value::Null, Value::Null];
    assert_eq!(found, [null(), vec![Value::F64(2.0), Value::from("")], null()]);
    assert_eq!(bench.db.verify().unwrap().damage, []);
}

#[test]
fn columns_that_do_not_fit_together_are_refused() {
    let bench = Bench::new();
    let floats = |count| Column::new(ColumnData::F64(vec![1.0; count]), None);
    let tag = |name: &str, codes: Vec<u32>, values: &[&str]| TagColumn {
        name: name.into(),
        values: TagValues::Dictionary {
            codes,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        },
    };
    let with = |change: &dyn Fn(&mut TableRows)| {
        let mut rows = column("x", FieldType::F64, floats(3));
        change(&mut rows);
        bench.refused(rows)
    };
    let text = with(&|rows| rows.fields.push(rows.fields[0].clone()));
    assert!(text.contains("\"x\" of table \"t\" is given twice"), "{text}");
    let text = with(&|rows| rows.tags.push(tag("x", vec![0; 3], &["v"])));
    assert!(text.contains("given twice"), "{text}");
    let text = with(&|rows| rows.time.push(9));
    assert!(text.contains("has 3 values for 4 rows"), "{text}");
    let text = with(&|rows| rows.tags.push(tag("a", vec![0; 2], &["v"])));
    assert!(text.contains("\"a\" of table \"t\" has 2 values for 3 rows"), "{text}");
    let text = with(&|rows| rows.tags.push(tag("a", vec![0, 1, 0], &["v"])));
    assert!(text.contains("\"a\"") && text.contains("code 1"), "{text}");
    let text = with(&|rows| rows.fields[0].field_type = FieldType::Utf8);
    assert!(text.contains("not laid out as utf8"), "{text}");
}

/// Bytes that the log could not be read back from must not reach it.
#[test]
fn malformed_columns_are_refused_before_the_log() {
    let malformed = [
        Column {
            data: ColumnData::F64(vec![1.0; 20]),
            validity: Some(Bitmap::from_fn(3, |row| row > 0)),
        },
        Column {
            data: ColumnData::F64(vec![1.0; 3]),
            validity: Some(Bitmap::from_fn(20, |row| row > 0)),
        },
        Column {
            data: ColumnData::Utf8(TextBuf { offsets: vec![0, 5, 2], bytes: b"abcde".to_vec() }),
            validity: None,
        },
        Column {
            data: ColumnData::Utf8(TextBuf { offsets: vec![0, 1, 9], bytes: b"abc".to_vec() }),
            validity: None,
        },
        Column {
            data: ColumnData::Utf8(TextBuf { offsets: vec![0, 1, 2], bytes: b"\xff\xfe".to_vec() }),
            validity: None,
        },
        Column {
            data: ColumnData::Utf8(TextBuf { offsets: vec![0, 1, 2], bytes: "\u{e9}".into() }),
            validity: None,
        },
    ];
    for bad in malformed {
        let field_type =
            if matches!(bad.data, ColumnData::F64(_)) { FieldType::F64 } else { FieldType::Utf8 };
        let bench = Bench::new();
        let mut rows = column("x", field_type, bad.clone());
        rows.time = (0..).take(bad.len()).collect();
        let text = bench.refused(rows);
        assert!(text.contains("\"x\" of table \"t\""), "{bad:?}: {text}");
        bench.reopen();
    }
}

#[test]
fn a_row_that_names_a_column_twice_is_refused() {
    let twice = [("x", Value::I64(1)), ("x", Value::I64(2))];
    let error = RowBuilder::new("t").row(0, &[], &twice).build().unwrap_err();
    assert!(error.to_string().contains("\"x\""), "{error}");
    let error = RowBuilder::new("t").row(0, &[("a", "1"), ("a", "2")], &[]).build().unwrap_err();
    assert!(error.to_string().contains("\"a\""), "{error}");
    let mixed = RowBuilder::new("t")
        .row(0, &[], &[("x", Value::I64(1))])
        .row(0, &[], &[("x", Value::from("one"))])
        .build();
    let text = mixed.unwrap_err().to_string();
    assert!(text.contains("holds i64") && text.contains("(row 1 of the batch) is utf8"), "{text}");
}

#[test]
fn create_if_missing_leaves_an_existing_table_as_it_is() {
    let bench = Bench::new();
    bench.table(SchemaMode::Strict, &[("x", FieldType::F64)]);
    let other = TableOptions {
        tags: vec!["other".into()],
        fields: vec![("x".into(), FieldType::Utf8)],
        merge: MergeMode::LastRow,
        ..TableOptions::default()
    };
    let rows = |value: Value| {
        let builder = RowBuilder::new("t").create_if_missing(other.clone());
        builder.row(0, &[("tag", "a")], &[("x", value)]).build().unwrap()
    };
    bench.db.write(batch(rows(Value::F64(1.0)))).unwrap();
    let text = bench.refused(rows(Value::from("text")));
    assert!(text.contains("holds f64"), "{text}");
    let schema = bench.db.table_schema("t").unwrap();
    assert_eq!((schema.merge, schema.mode), (MergeMode::Append, SchemaMode::Strict));
    assert_eq!(schema.tags.len(), 1);
}

#[test]
fn bad_definitions_create_no_table() {
    let bench = Bench::new();
    let bad = [
        ("", TableOptions::default(), "empty"),
        ("t", TableOptions { tags: vec!["time".into()], ..TableOptions::default() }, "time"),
        ("t", TableOptions { tags: vec!["_x".into()], ..TableOptions::default() }, "reserved"),
        ("chronolith_x", TableOptions::default(), "chronolith_"),
        (
            "t",
            TableOptions { tags: vec!["a".into(), "a".into()], ..TableOptions::default() },
            "already",
        ),
    ];
    for (name, options, part) in bad {
        let error = bench.db.create_table(name, options.clone()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        let rows = RowBuilder::new(name).create_if_missing(options).row(0, &[], &[]);
        assert!(bench.db.write(batch(rows.build().unwrap())).is_err(), "{name:?}");
    }
    assert_eq!(bench.db.table_names(), [""; 0]);
    bench.db.create_table("t", TableOptions::default()).unwrap();
    let error = bench.db.create_table("t", TableOptions::default()).unwrap_err();
    assert!(matches!(error, Error::TableExists(_)), "{error}");
}
