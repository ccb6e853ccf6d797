//! Lines there and errors there.

use super::*;
use proptest::prelude::*;

type Parts = (String, Vec<(String, String)>, Vec<(String, String)>, Option<String>);

fn read(line: &str) -> Result<Parts, String> {
    let mut point = Point::new();
    point.read(line.as_bytes()).map_err(|error| error.to_string())?;
    let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let value = |value| match value {
        FieldValue::F64(value) => format!("f64 {value}"),
        FieldValue::I64(value) => format!("i64 {value}"),
        FieldValue::U64(value) => format!("u64 {value}"),
        FieldValue::Bool(value) => format!("bool {value}"),
        FieldValue::Text(value) => format!("text {value}"),
    };
    Ok((
        point.measurement().to_owned(),
        point.tags().map(own).collect(),
        point.fields().map(|(key, one)| (key.to_owned(), value(one))).collect(),
        point.timestamp().map(str::to_owned),
    ))
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn every_kind_of_value() {
    let line = r#"cpu,host=a,zone=b f=1,g=-1.5e3,i=-7i,u=18446744073709551615u,t=T,u2=FALSE,s="x, y=\"z\" \\ \n" 1700000000000000000"#;
    let fields = [
        ("f", "f64 1"),
        ("g", "f64 -1500"),
        ("i", "i64 -7"),
        ("u", "u64 18446744073709551615"),
        ("t", "bool true"),
        ("u2", "bool false"),
        ("s", "text x, y=\"z\" \\ \\n"),
    ];
    let expected = (
        "cpu".to_owned(),
        pairs(&[("host", "a"), ("zone", "b")]),
        pairs(&fields),
        Some("1700000000000000000".to_owned()),
    );
    assert_eq!(read(line), Ok(expected));
}

#[test]
fn escapes_by_the_place_where_they_stand() {
    let line = r#"a\,b\ c\=d,k\,1\=\ x=v\,w\=\ z\q f\ \,\==1 -5"#;
    let expected = (
        r"a,b c\=d".to_owned(),
        pairs(&[("k,1= x", r"v,w= z\q")]),
        pairs(&[("f ,=", "f64 1")]),
        Some("-5".to_owned()),
    );
    assert_eq!(read(line), Ok(expected));
    let spaced = read("  m   f=1   7  ").unwrap();
    assert_eq!((spaced.0.as_str(), spaced.3.as_deref()), ("m", Some("7")));
    assert_eq!(read("m f=\"\"").unwrap().2, pairs(&[("f", "text ")]));
}

#[test]
fn what_is_no_line() {
    for (line, part) in [
        (",t=1 f=1", "the measurement is missing at byte 1"),
        ("m", "the space before the fields is missing"),
        ("m,t f=1", "the = of a tag is missing"),
        ("m,=1 f=1", "a tag's name is missing"),
        ("m,t= f=1", "a tag's value is missing"),
        ("m,t=1,t=2 f=1", "tag \"t\" is there twice"),
        ("m f=1,f=2", "field \"f\" is there twice"),
        ("m,a=1 a=1", "\"a\" is both a tag and a field"),
        ("m f", "the = of a field is missing"),
        ("m f=", "a field's value is missing"),
        ("m f=1,", "a field's name is missing"),
        ("m f=abc 1", "field \"f\": \"abc\" is no value"),
        ("m f=NaN", "is no value"),
        ("m f=inf", "is no value"),
        ("m f=-1u", "is no value"),
        ("m f=1.5i", "is no value"),
        ("m f=1e999", "out of the range of f64"),
        ("m f=9223372036854775808i", "out of the range of i64"),
        ("m f=18446744073709551616u", "out of the range of u64"),
        ("m f=\"x", "open at the end of the line"),
        ("m f=\"x\\\"", "open at the end of the line"),
        ("m f=\"x\"y", "field \"f\": \"y\" is no value"),
        ("m f=1 2 3", "\"3\" follows the timestamp"),
    ] {
        let error = read(line).unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
    }
    let mut point = Point::new();
    assert_eq!(point.read(b"m f=\"\xff\"").unwrap_err(), LineProtocolError::NotUtf8 { at: 6 });
    let many: Vec<String> = (0..20).map(|key| format!("k{}=1", key % 19)).collect();
    assert!(read(&format!("m {}", many.join(","))).unwrap_err().contains("\"k0\" is there twice"));
    let over: Vec<String> = (0..=ENTRY_COUNT_MAX).map(|key| format!("k{key}=1")).collect();
    assert!(read(&format!("m {}", over.join(","))).unwrap_err().contains("over 4096"));
    assert!(Point::is_nothing(b"") && Point::is_nothing(b"  # x") && !Point::is_nothing(b"m f=1"));
}

/// Written by the escaping rules as the reference states them.
fn escape(text: &str, of: &str) -> String {
    text.chars().flat_map(|c| of.contains(c).then_some('\\').into_iter().chain([c])).collect()
}

proptest! {
    #[test]
    fn what_is_escaped_comes_back(name in "[a-z ,=\u{e4}\"]{1,6}", tag in "[a-z ,=\"]{1,6}", value in "[a-z ,=\"]{1,6}",
                                  field in "[A-Z ,=\"]{1,6}", text in "[a-z ,=\"\\\\\u{e4}]{0,9}") {
        prop_assume!(!name.starts_with(' '));
        let line = format!("{},{}={} {}=\"{}\" 1", escape(&name, ", "), escape(&tag, ",= "),
            escape(&value, ",= "), escape(&field, ",= "), escape(&text, "\"\\"));
        prop_assume!(tag != field);
        let expected = (name, vec![(tag, value)], vec![(field, format!("text {text}"))], Some("1".to_owned()));
        prop_assert_eq!(read(&line), Ok(expected));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(
        prop_oneof![any::<u8>(), prop::sample::select(b"m,=\\ \"1iut#.e-".to_vec())], 0..60)) {
        let _ = Point::new().read(&bytes);
    }
}
