//! Pages of format version 0, byte for byte, one file an encoding. A released page must decode for
//! ever, so a file here changes only while version 0 is unreleased. Written only by
//! `cargo test -p chronolith-codec --test golden -- --ignored regenerate`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation)]

mod common;

use std::fmt::Write;
use std::path::PathBuf;

use chronolith_codec::{
    Bitmap, Decimal, FloatEncoding, FloatPlan, IntEncoding, IntPlan, TextBuf, TextEncoding,
    TextPlan, decode_f64, decode_i64, decode_text, decode_validity, encode_f64, encode_i64,
    encode_text, encode_validity,
};
use common::Random;

enum Values {
    Ints(Vec<i64>, IntPlan),
    Floats(Vec<f64>, FloatPlan),
    Texts(TextBuf, TextPlan),
    Bits(Bitmap),
}

struct Case {
    name: &'static str,
    id: u8,
    values: Values,
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v0")
}

/// Prices in ticks of 5: a walk with pauses and, once, a jump.
fn walk(count: usize) -> Vec<i64> {
    let mut random = Random(42);
    let mut at = 190_000;
    let step = |random: &mut Random, index| match random.below(4) {
        _ if index == 700 => 1_000_000,
        0 => random.below(7) as i64 * 5 - 15,
        _ => 0,
    };
    (0..count)
        .map(|index| {
            at += step(&mut random, index);
            at
        })
        .collect()
}

fn seconds(count: usize) -> Vec<i64> {
    let mut random = Random(43);
    let mut at = 1_620_000_000_000_000_000;
    (0..count)
        .map(|_| {
            at += [0, 0, 0, 0, 1, 1, 2, 9][random.below(8) as usize] * 1_000_000_000;
            at
        })
        .collect()
}

fn cases() -> Vec<Case> {
    use IntEncoding::*;
    let ints = |name, id, values, encoding| {
        let values = Values::Ints(values, IntPlan::of(encoding));
        Case { name, id, values }
    };
    let odd = [f64::NAN, -0.0, f64::INFINITY, f64::from_bits(0xfff0_0000_0000_0001), 0.0, 1e300];
    let prices = |count| walk(count).into_iter().map(|n| n as f64 / 100.0).collect::<Vec<_>>();
    let mixed: Vec<f64> = prices(30).into_iter().chain(odd).chain(prices(40)).collect();
    let halves: Vec<f64> = (0..40).map(|n| f64::from(n) / 8.0).chain(odd).collect();
    let float = |name, id, values, encoding| {
        let values = Values::Floats(values, FloatPlan::of(encoding));
        Case { name, id, values }
    };
    let texts: TextBuf =
        (0..50).map(|i| ["RELIANCE", "RELIGARE", "", "TCS-é"][i * i % 7 % 4]).collect();
    let text = |name, id, encoding| Case {
        name,
        id,
        values: Values::Texts(texts.clone(), TextPlan::of(encoding)),
    };
    let bits = |name, id, bits| Case { name, id, values: Values::Bits(bits) };
    let divided = FloatEncoding::Decimal { decimal: Decimal::divided(2), inner: Delta };
    let multiplied = FloatEncoding::Decimal { decimal: Decimal::multiplied(14, 12), inner: Frame };
    let steps = (0..300).map(|i| i / 40 * 7).collect();
    let extremes = vec![i64::MIN, 0, i64::MAX, -1];
    let zstd = IntPlan { encoding: Plain, divisor: 0, zstd_level: 3 };
    vec![
        ints("plain_empty", 0x01, vec![], Delta),
        ints("plain", 0x01, extremes, Plain),
        ints("constant", 0x02, vec![-300; 1000], Delta),
        ints("run_length", 0x03, steps, RunLength),
        ints("frame", 0x04, walk(1100), Frame),
        ints("delta", 0x05, walk(1100), Delta),
        ints("delta_seconds", 0x05, seconds(1024), Delta),
        ints("delta_usual", 0x05, (0..1024).map(|i| i * 60 % 40_020).collect(), Delta),
        ints("classes_first", 0x06, seconds(300), Classes { second_order: false }),
        ints("classes_second", 0x06, walk(200), Classes { second_order: true }),
        ints("planes", 0x07, walk(50), Planes { differences: false }),
        ints("planes_differences", 0x07, seconds(50), Planes { differences: true }),
        ints("bins", 0x08, walk(300), Bins { differences: false }),
        ints("bins_differences", 0x08, seconds(1100), Bins { differences: true }),
        float("xor", 0x10, mixed.clone(), FloatEncoding::Xor),
        float("decimal_divided", 0x11, mixed.clone(), divided),
        float("decimal_multiplied", 0x11, mixed, multiplied),
        float("bits", 0x04, halves, FloatEncoding::Bits { inner: Frame }),
        bits("bits_none", 0x20, Bitmap::filled(77, false)),
        bits("bits_all", 0x21, Bitmap::filled(77, true)),
        bits("bits_raw", 0x22, Bitmap::from_fn(77, |i| i * i % 7 < 3)),
        bits("bits_runs", 0x23, Bitmap::from_fn(5000, |i| i % 900 < 700)),
        text("text_plain", 0x30, TextEncoding::Plain),
        text("text_dictionary", 0x31, TextEncoding::Dictionary),
        text("text_front", 0x32, TextEncoding::Front),
        Case {
            name: "zstd",
            id: 0x7f,
            values: Values::Ints((0..200).map(|i| i % 10).collect(), zstd),
        },
    ]
}

fn encode(values: &Values) -> Vec<u8> {
    let mut page = Vec::new();
    match values {
        Values::Ints(values, plan) => encode_i64(values, plan, &mut page),
        Values::Floats(values, plan) => encode_f64(values, plan, &mut page),
        Values::Texts(texts, plan) => encode_text(texts.view(), plan, &mut page),
        Values::Bits(bits) => encode_validity(bits, &mut page),
    }
    page
}

fn check_decodes(page: &[u8], values: &Values, name: &str) {
    match values {
        Values::Ints(values, _) => {
            let mut out = Vec::new();
            decode_i64(page, values.len(), &mut out).expect(name);
            assert_eq!(&out, values, "{name}");
        }
        Values::Floats(values, _) => {
            let mut out = Vec::new();
            decode_f64(page, values.len(), &mut out).expect(name);
            let bits = |v: &[f64]| v.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&out), bits(values), "{name}");
        }
        Values::Texts(texts, _) => {
            let mut out = TextBuf::new();
            decode_text(page, texts.len(), texts.bytes.len(), &mut out).expect(name);
            assert_eq!(&out, texts, "{name}");
        }
        Values::Bits(bits) => {
            let mut out = Bitmap::new();
            decode_validity(page, bits.len(), &mut out).expect(name);
            assert_eq!(&out, bits, "{name}");
        }
    }
}

fn to_hex(page: &[u8]) -> String {
    let mut text = String::new();
    for line in page.chunks(32) {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text.push('\n');
    }
    text
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

#[test]
fn golden_pages_decode_and_are_written_again() {
    for Case { name, id, values } in cases() {
        let path = directory().join(format!("{name}.hex"));
        let text = std::fs::read_to_string(&path).expect("a golden file is missing");
        let page = from_hex(&text);
        assert_eq!(page[0], id, "{name}: encoding id");
        check_decodes(&page, &values, name);
        // Zstd may choose other bytes in another version; they only have to decode.
        if id != 0x7f {
            assert_eq!(to_hex(&encode(&values)), text, "{name}: the encoder writes other bytes");
        }
    }
}

#[test]
fn every_golden_file_has_a_case_and_every_id_a_file() {
    let mut names: Vec<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let cases = cases();
    let mut wanted: Vec<String> = cases.iter().map(|case| format!("{}.hex", case.name)).collect();
    wanted.sort();
    assert_eq!(names, wanted);
    let mut ids: Vec<u8> = cases.iter().map(|case| case.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let known =
        [1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0x11, 0x20, 0x21, 0x22, 0x23, 0x30, 0x31, 0x32, 0x7f];
    assert_eq!(ids, known);
}

#[test]
#[ignore = "writes the golden files; run it by name when format version 0 changes on purpose"]
fn regenerate() {
    std::fs::create_dir_all(directory()).unwrap();
    for Case { name, values, .. } in cases() {
        std::fs::write(directory().join(format!("{name}.hex")), to_hex(&encode(&values))).unwrap();
    }
}
