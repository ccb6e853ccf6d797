use super::*;
use crate::text::csv::Field;
use crate::text::time::{LooksLike, TimeError, TimeFormat, TimeUnit, Zone};
use proptest::prelude::*;

fn guess_of(fields: &[&str]) -> Guess {
    let mut guess = Guess::new();
    let nulls = NullWords::parse("NA,NULL");
    for (i, text) in fields.iter().enumerate() {
        let field = match text.strip_prefix('"') {
            Some(quoted) => Field { bytes: quoted.trim_end_matches('"').as_bytes(), quoted: true },
            None => Field::unquoted(text.as_bytes()),
        };
        guess.observe(field, &nulls, Place { file: 0, line: i as u64 + 2 });
    }
    guess
}

fn kind(fields: &[&str]) -> TextType {
    guess_of(fields).infer().kind
}

#[test]
fn columns_of_one_kind() {
    assert_eq!(kind(&["1", "-2", "0", "", "9223372036854775807"]), TextType::I64);
    assert_eq!(kind(&["-9223372036854775808"]), TextType::I64);
    assert_eq!(kind(&["1", "18446744073709551615"]), TextType::U64);
    assert_eq!(kind(&["1.5", "2", "NA", "1e-3", ".5", "5.", "-0.25", "2E+10"]), TextType::F64);
    assert_eq!(kind(&["1", "NaN"]), TextType::F64);
    for special in ["nan", "-NaN", "inf", "-inf", "+Inf", "INFINITY", "-0", "1.0"] {
        assert_eq!(kind(&["1", special]), TextType::F64, "{special}");
    }
    assert_eq!(kind(&["true", "FALSE", "False", "NULL"]), TextType::Bool);
    assert_eq!(kind(&["a", "b"]), TextType::Utf8);
    assert_eq!(kind(&["\"1\"", "\"2\""]), TextType::I64);
}

#[test]
fn columns_of_numbers_in_another_spelling_are_told_of() {
    for text in ["007", "-007", "+1", "1e999", "007.5"] {
        let note = guess_of(&[text, "", "+2"]).infer().note;
        let example = Example { text: text.into(), place: Place { file: 0, line: 2 } };
        assert_eq!(note, Some(Note::Spelled { example }), "{text:?}");
    }
    for text in ["2024-08-08", "x", "1_000", "0x10", "\"\"", "infinit"] {
        assert_eq!(guess_of(&["007", text]).infer().note, None, "{text:?}");
    }
}

#[test]
fn what_no_number_type_keeps_is_text() {
    for text in [
        "007",
        "-007",
        "+1",
        "00",
        "1e999",
        "-1e999",
        "1_000",
        "0x10",
        " 1",
        "1 ",
        "1,5",
        "--1",
        "-",
        ".",
        "e5",
        "1e",
        "1e+",
        "1.e",
        "-.",
        "tRUE",
        "t",
        "nano",
        "-true",
        "++inf",
        "+-inf",
        "-+inf",
        "007.5",
        "2024-08-08",
        "\"\"",
    ] {
        assert_eq!(kind(&["1", text]), TextType::Utf8, "{text:?}");
    }
    let note = guess_of(&["1", "", "x\ty"]).infer().note.unwrap();
    let because = Example { text: "x\\ty".into(), place: Place { file: 0, line: 4 } };
    assert_eq!(note, Note::Mixed { because });
    assert!(note.to_string().starts_with("utf8, as line 4 has"), "{note}");
    // Text first and numbers later is the same mixture.
    assert!(guess_of(&["x", "1"]).infer().note.is_some());
    assert!(guess_of(&["x", "y"]).infer().note.is_none());
    assert_eq!(kind(&["1", "true"]), TextType::Utf8);
    assert_eq!(kind(&["a", "true"]), TextType::Utf8);
}

#[test]
fn nothing_but_null_is_utf8_and_says_so() {
    let guess = guess_of(&["", "NA"]);
    assert_eq!(guess.infer(), Inferred { kind: TextType::Utf8, note: Some(Note::AllNull) });
    assert_eq!((guess.null_count(), guess.value_count()), (2, 0));
}

#[test]
fn wide_integers() {
    // 2^63 and -1: each exact in f64. 2^63 + 1 is not.
    assert_eq!(kind(&["-1", "9223372036854775808"]), TextType::F64);
    let guess = guess_of(&["-1", "9223372036854775809"]).infer();
    assert_eq!(guess.kind, TextType::Utf8);
    assert!(matches!(&guess.note, Some(Note::TooWide { example }) if example.place.line == 3));
    assert_eq!(kind(&["18446744073709551616"]), TextType::F64); // 2^64
    assert_eq!(kind(&["18446744073709551617"]), TextType::Utf8);
    assert_eq!(kind(&["-9223372036854775809"]), TextType::Utf8);
    assert_eq!(kind(&[&format!("1{}", "0".repeat(22))]), TextType::F64);
    assert_eq!(kind(&[&format!("1{}", "0".repeat(400))]), TextType::Utf8);
    // A column of ids must not become floats because one value is NULL or wide.
    assert_eq!(kind(&["9007199254740993", ""]), TextType::I64);
}

#[test]
fn an_integer_that_floats_round_is_a_warning() {
    let inferred = guess_of(&["1.5", "9007199254740993"]).infer();
    assert_eq!(inferred.kind, TextType::F64);
    let note = inferred.note.unwrap();
    assert!(note.is_warning());
    assert!(note.to_string().contains("9007199254740993 in line 3"), "{note}");
    assert_eq!(guess_of(&["9007199254740992", "1.5"]).infer().note, None);
}

#[test]
fn merging_is_observing_both() {
    let all = ["1", "", "2.5", "9007199254740993", "x", "true", "-3"];
    for cut in 0..=all.len() {
        let mut left = guess_of(&all[..cut]);
        left.merge(&guess_of(&all[cut..]));
        let whole = guess_of(&all);
        assert_eq!(left.infer().kind, whole.infer().kind);
        assert_eq!(left.null_count(), whole.null_count());
        assert_eq!(left.value_count(), whole.value_count());
    }
    let mut late = guess_of(&["1", "late"]);
    late.merge(&guess_of(&["early"]));
    assert!(matches!(late.infer().note, Some(Note::Mixed { because }) if because.text == "early"));
}

#[test]
fn types_are_read_as_they_are_written() {
    for text in [
        "f64",
        "i64",
        "u64",
        "bool",
        "utf8",
        "timestamp",
        "timestamp:ms",
        "decimal(10,2)",
        "decimal(18,18)",
        "decimal(1,0)",
    ] {
        assert_eq!(TextType::parse(text).unwrap().to_string(), text);
    }
    let decimal = TextType::Decimal { precision: 10, scale: 2 };
    assert_eq!(TextType::parse("decimal(10, 2)"), Ok(decimal));
    for text in ["decimal(19,2)", "decimal(0,0)", "decimal(3,4)", "decimal(a,b)", "decimal(-1,0)"] {
        assert!(matches!(TextType::parse(text), Err(TypeError::Decimal { .. })), "{text}");
    }
    for text in ["", "F64", "int", "decimal", "decimal(5)", "timestamp:", "timestamp:d"] {
        assert!(matches!(TextType::parse(text), Err(TypeError::Unknown { .. })), "{text}");
    }
    let typed = parse_typed_names("a=f64,b=decimal(10,2),x=y=timestamp:ms", '=').unwrap();
    let names: Vec<_> = typed.iter().map(|(name, kind)| format!("{name}|{kind}")).collect();
    assert_eq!(names, ["a|f64", "b|decimal(10,2)", "x=y|timestamp:ms"]);
    assert_eq!(parse_typed_names("a:b:u64", ':').unwrap()[0].0, "a:b");
    assert!(matches!(parse_typed_names("a=f64,", '='), Err(TypeError::NoSeparator { .. })));
    assert!(matches!(parse_typed_names("=f64", '='), Err(TypeError::NoSeparator { .. })));
    assert!(matches!(parse_typed_names("a=f64,a=i64", '='), Err(TypeError::Twice { .. })));
}

fn parse<'a>(kind: &str, text: &'a str) -> Result<Option<Value<'a>>, Flaw> {
    let kind = TextType::parse(kind).unwrap();
    let parser = FieldParser::new("c", kind, NullWords::parse("NA"), Zone::Utc);
    parser.parse(Field::unquoted(text.as_bytes())).map_err(|e| e.flaw)
}

#[test]
fn values_under_a_type() {
    assert_eq!(parse("i64", "-5"), Ok(Some(Value::I64(-5))));
    assert_eq!(parse("i64", "007"), Ok(Some(Value::I64(7))));
    assert_eq!(parse("i64", "9223372036854775808"), Err(Flaw::OutOfRange));
    assert_eq!(parse("i64", "3.0"), Err(Flaw::NotANumber));
    assert_eq!(parse("u64", "18446744073709551615"), Ok(Some(Value::U64(u64::MAX))));
    assert_eq!(parse("u64", "18446744073709551616"), Err(Flaw::OutOfRange));
    assert_eq!(parse("u64", "-1"), Err(Flaw::OutOfRange));
    assert_eq!(parse("u64", "-"), Err(Flaw::NotANumber));
    assert_eq!(parse("f64", "1428.65"), Ok(Some(Value::F64(1428.65))));
    assert_eq!(parse("f64", "-Infinity"), Ok(Some(Value::F64(f64::NEG_INFINITY))));
    assert!(matches!(parse("f64", "nAn"), Ok(Some(Value::F64(v))) if v.is_nan()));
    assert!(
        matches!(parse("f64", "-0"), Ok(Some(Value::F64(v))) if v == 0.0 && v.is_sign_negative())
    );
    assert_eq!(parse("f64", "1e999"), Err(Flaw::OutOfRange));
    assert_eq!(parse("f64", "1,5"), Err(Flaw::NotANumber));
    assert_eq!(parse("bool", "TRUE"), Ok(Some(Value::Bool(true))));
    assert_eq!(parse("bool", "1"), Err(Flaw::NotABool));
    assert_eq!(parse("utf8", "3.10"), Ok(Some(Value::Utf8("3.10"))));
    assert_eq!(parse("utf8", "NA"), Ok(None));
    assert_eq!(parse("i64", ""), Ok(None));
    assert_eq!(
        parse("timestamp", "1970-01-01T00:00:01Z"),
        Ok(Some(Value::Timestamp(1_000_000_000)))
    );
    assert_eq!(parse("timestamp:ms", "1.5"), Ok(Some(Value::Timestamp(1_500_000))));
    assert_eq!(
        parse("timestamp", "1628000000123"),
        Err(Flaw::BareTime(LooksLike::Unit(TimeUnit::Ms)))
    );
    assert!(matches!(parse("timestamp", "x"), Err(Flaw::Time(TimeError::NotIso { .. }))));
}

#[test]
fn decimals_are_exact() {
    assert_eq!(parse("decimal(6,2)", "1428.65"), Ok(Some(Value::Decimal(142_865))));
    assert_eq!(parse("decimal(6,2)", "-1428.6500"), Ok(Some(Value::Decimal(-142_865))));
    assert_eq!(parse("decimal(6,2)", "9999.99"), Ok(Some(Value::Decimal(999_999))));
    assert_eq!(parse("decimal(6,2)", "+.5"), Ok(Some(Value::Decimal(50))));
    assert_eq!(parse("decimal(6,2)", "10000"), Err(Flaw::OutOfRange));
    assert_eq!(parse("decimal(6,2)", "0.001"), Err(Flaw::TooFine { scale: 2 }));
    assert_eq!(
        parse("decimal(18,0)", "999999999999999999"),
        Ok(Some(Value::Decimal(999_999_999_999_999_999)))
    );
    assert_eq!(parse("decimal(18,18)", "1"), Err(Flaw::OutOfRange));
    assert_eq!(parse("decimal(18,2)", &"9".repeat(50)), Err(Flaw::OutOfRange));
    assert_eq!(parse("decimal(6,2)", "000000000000000000000000001"), Ok(Some(Value::Decimal(100))));
    for bad in [".", "-", "1e2", "1.2.3", "NaN", "1 "] {
        assert_eq!(parse("decimal(6,2)", bad), Err(Flaw::NotANumber), "{bad}");
    }
}

#[test]
fn errors_name_column_text_and_type() {
    let nulls = NullWords::default();
    let parser = FieldParser::new("price", TextType::F64, nulls.clone(), Zone::Utc);
    let long = "z".repeat(100);
    let error = parser.parse(Field::unquoted(long.as_bytes())).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("column \"price\": \"{}...\" is no f64: it is not such a number", "z".repeat(40))
    );
    let empty = Field { bytes: b"", quoted: true };
    assert_eq!(parser.parse(empty).unwrap_err().flaw, Flaw::EmptyText);
    assert_eq!(parser.parse(Field::unquoted(b"")), Ok(None));
    let lenient = FieldParser::new("price", TextType::F64, NullWords::parse(""), Zone::Utc);
    assert_eq!(lenient.parse(empty), Ok(None));
    let text = FieldParser::new("t", TextType::Utf8, nulls, Zone::Utc);
    assert_eq!(text.parse(empty), Ok(Some(Value::Utf8(""))));
    assert_eq!(text.parse(Field::unquoted(b"\xff")).unwrap_err().flaw, Flaw::NotUtf8);
    assert_eq!(text.kind(), TextType::Utf8);
    assert_eq!(TextType::Timestamp(TimeFormat::Iso).to_string(), "timestamp");
}

fn number_like() -> impl Strategy<Value = String> {
    prop_oneof![
        "[+-]?[0-9]{0,21}",
        "-?[0-9]{1,4}\\.?[0-9]{0,4}",
        "[-+.0-9eE]{0,8}",
        any::<i64>().prop_map(|v| v.to_string()),
        any::<u64>().prop_map(|v| v.to_string()),
        any::<f64>().prop_map(|v| v.to_string()),
        any::<f64>().prop_map(|v| format!("{v:e}")),
        "[+-]?([nN][aA][nN]|[iI][nN][fF])",
        "true|false|TRUE|x",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// The inferred type reads every field of its column, and loses nothing of integers.
    #[test]
    fn the_inferred_type_keeps_every_field(fields in prop::collection::vec(number_like(), 1..6)) {
        let refs: Vec<&str> = fields.iter().map(String::as_str).collect();
        let inferred = guess_of(&refs).infer();
        let parser = FieldParser::new("c", inferred.kind, NullWords::default(), Zone::Utc);
        for text in refs {
            let value = parser.parse(Field::unquoted(text.as_bytes())).unwrap();
            match value {
                None => prop_assert_eq!(text, ""),
                Some(Value::I64(v)) => prop_assert_eq!(v.to_string(), text),
                Some(Value::U64(v)) => prop_assert_eq!(v.to_string(), text),
                Some(Value::Utf8(v)) => prop_assert_eq!(v, text),
                Some(Value::Bool(v)) => prop_assert_eq!(v.to_string(), text.to_lowercase()),
                Some(Value::F64(v)) => {
                    let is_integer = text.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
                    let is_same = format!("{v:.0}") == text;
                    prop_assert!(!is_integer || is_same || inferred.note.is_some(), "{}", text);
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
        let field = Field::unquoted(&bytes);
        let nulls = NullWords::default();
        Guess::new().observe(field, &nulls, Place { file: 0, line: 1 });
        for kind in ["f64", "i64", "u64", "bool", "utf8", "timestamp", "timestamp:s", "decimal(18,9)"] {
            let kind = TextType::parse(kind).unwrap();
            let _ = FieldParser::new("c", kind, nulls.clone(), Zone::Utc).parse(field);
        }
        let _ = parse_typed_names(&String::from_utf8_lossy(&bytes), '=');
    }
}
