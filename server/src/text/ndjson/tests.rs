//! Objects there and errors there, against `serde_json`.

use super::*;
use proptest::prelude::*;

fn read(line: &str) -> Result<Vec<(String, String)>, String> {
    let mut object = Object::new();
    object.read(line.as_bytes()).map_err(|error| error.to_string())?;
    let text = |value| match value {
        Scalar::Null => "null".to_owned(),
        Scalar::Bare(text) => format!("bare {text}"),
        Scalar::String(text) => format!("string {text}"),
    };
    Ok(object.entries().map(|(key, value)| (key.to_owned(), text(value))).collect())
}

#[test]
fn every_kind_of_value() {
    let line = r#" { "a" : 1, "b":-0.5e+3 ,"c":"x\n\b\f\r\t\\\u00e4\ud83d\ude00\"\/","d":null,"e":true,"f":""} "#;
    let expected = [
        ("a", "bare 1"),
        ("b", "bare -0.5e+3"),
        ("c", "string x\n\u{8}\u{c}\r\t\\\u{e4}\u{1f600}\"/"),
        ("d", "null"),
        ("e", "bare true"),
        ("f", "string "),
    ];
    let expected: Vec<_> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(read(line), Ok(expected));
    assert_eq!(read("{}"), Ok(Vec::new()));
    assert_eq!(read(r#"{"n":123456789012345678901234567890}"#).unwrap()[0].1.len(), 35);
}

#[test]
fn what_is_no_object() {
    for (line, part) in [
        ("", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("7", "not a JSON object"),
        ("{", "ends inside"),
        (r#"{"a":1"#, "ends inside"),
        (r#"{"a":"x"#, "ends inside"),
        (r#"{"a":1}{"a":2}"#, "nothing behind the object"),
        (r#"{"a":1,}"#, "a key in quotes"),
        (r#"{a:1}"#, "a key in quotes"),
        (r#"{"a" 1}"#, "a colon"),
        (r#"{"a":1 "b":2}"#, "a comma or }"),
        (r#"{"a":01}"#, "at byte 6"),
        (r#"{"a":1.}"#, "expected a number"),
        (r#"{"a":.5}"#, "expected a number"),
        (r#"{"a":+1}"#, "expected a number"),
        (r#"{"a":NaN}"#, "expected a number"),
        (r#"{"a":True}"#, "expected a number"),
        (r#"{"a":"\x"}"#, "an escape"),
        (r#"{"a":"\ud800"}"#, "surrogate"),
        (r#"{"a":"\udc00x"}"#, "surrogate"),
        (r#"{"a":"\u12"}"#, "escaped character"),
        ("{\"a\":\"\t\"}", "control characters"),
        (r#"{"a":{"b":1}}"#, "key \"a\" holds an object"),
        (r#"{"a":[1]}"#, "key \"a\" holds an array"),
        (r#"{"a":1,"b":2,"a":3}"#, "key \"a\" is there twice"),
        (r#"{"":1}"#, "a key is empty"),
    ] {
        let error = read(line).unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
    }
    let mut object = Object::new();
    let error = object.read(b"{\"a\":\"\xff\"}").unwrap_err();
    assert_eq!(error, JsonError::NotUtf8 { at: 7 });
    let deep = format!("{{\"a\":{}", "[".repeat(1 << 20));
    assert!(read(&deep).unwrap_err().contains("holds an array"));
    let many: Vec<String> = (0..20).map(|key| format!("\"k{}\":1", key % 19)).collect();
    assert!(read(&format!("{{{}}}", many.join(","))).unwrap_err().contains("\"k0\" is there"));
    let over: Vec<String> = (0..=KEY_COUNT_MAX).map(|key| format!("\"{key}\":1")).collect();
    assert!(read(&format!("{{{}}}", over.join(","))).unwrap_err().contains("over 4096 keys"));
}

fn scalar() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ]
}

proptest! {
    #[test]
    fn what_serde_writes_is_read(map in prop::collection::btree_map(".{1,8}", scalar(), 0..30)) {
        let line = serde_json::to_string(&map).unwrap();
        let expected: Vec<_> = map.iter().map(|(key, value)| {
            let text = match value {
                serde_json::Value::Null => "null".to_owned(),
                serde_json::Value::String(text) => format!("string {text}"),
                bare => format!("bare {bare}"),
            };
            (key.clone(), text)
        }).collect();
        prop_assert_eq!(read(&line), Ok(expected));
    }

    #[test]
    fn what_is_taken_is_json(line in prop::collection::vec(prop::sample::select(
        b"{}[]:,\"\\u0d8eE+-.19tfn alsru\x09\xc3\xa4".to_vec()), 0..40)) {
        let line = [b"{\"a\":".to_vec(), line, b"}".to_vec()].concat();
        if Object::new().read(&line).is_ok() {
            // Numbers beyond f64 are JSON, though no value of serde_json.
            let read = serde_json::from_slice::<serde_json::Value>(&line);
            prop_assert!(read.is_ok() || read.unwrap_err().to_string().contains("number out of range"));
        }
    }
}
