use super::*;
use proptest::prelude::*;

fn f64_text(value: f64) -> String {
    let mut out = b"x".to_vec();
    push_f64(&mut out, value);
    String::from_utf8(out).unwrap().split_off(1)
}

fn decimal_text(scaled: i64, scale: u8) -> String {
    let mut out = Vec::new();
    push_decimal(&mut out, scaled, scale);
    String::from_utf8(out).unwrap()
}

#[test]
fn floats_are_short() {
    for (value, want) in [
        (100.0, "100"),
        (0.0, "0"),
        (-0.0, "-0"),
        (1428.65, "1428.65"),
        (-0.25, "-0.25"),
        (1e300, "1e300"),
        (1.5e-7, "1.5e-7"),
        (1e15, "1000000000000000"),
        (1e16, "1e16"),
        (9007199254740993.0, "9007199254740992"),
        (0.00001, "0.00001"),
        (0.000009, "9e-6"),
        (0.1 + 0.2, "0.30000000000000004"),
        (f64::MAX, "1.7976931348623157e308"),
        (5e-324, "5e-324"),
        (f64::NAN, "NaN"),
        (-f64::NAN, "NaN"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (61804.7, "61804.7"),
        (3.2399998, "3.2399998"),
        (0.00012345678, "0.00012345678"),
    ] {
        assert_eq!(f64_text(value), want);
    }
}

#[test]
fn decimals_keep_their_scale() {
    for (scaled, scale, want) in [
        (142865, 2, "1428.65"),
        (-50, 2, "-0.50"),
        (5, 0, "5"),
        (0, 3, "0.000"),
        (7, 18, "0.000000000000000007"),
        (i64::MIN, 18, "-9.223372036854775808"),
        (i64::MAX, 1, "922337203685477580.7"),
        (1, 25, "0.0000000000000000000000001"),
    ] {
        assert_eq!(decimal_text(scaled, scale), want);
    }
}

/// The digits and exponent that std finds shortest.
fn digits(text: &str) -> String {
    format!("{:e}", text.parse::<f64>().unwrap())
}

fn significant(text: &str) -> usize {
    let mantissa = text.split('e').next().unwrap();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').trim_end_matches('0').len().max(1)
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (any::<i32>(), 0i32..10).prop_map(|(n, s)| f64::from(n) / 10f64.powi(s)),
        (-9_999_999_999_999_999i64..=9_999_999_999_999_999, 0i32..12)
            .prop_map(|(n, s)| n as f64 / 10f64.powi(s)),
        any::<i64>().prop_map(|n| n as f64),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn floats_read_back_and_are_shortest(value in any_float()) {
        let text = f64_text(value);
        let back: f64 = text.parse().unwrap();
        if value.is_nan() {
            prop_assert!(back.is_nan());
        } else {
            prop_assert_eq!(back.to_bits(), value.to_bits());
            if value.is_finite() {
                prop_assert_eq!(significant(&text), significant(&digits(&text)));
                prop_assert!(text.len() < 25, "{}", text);
            }
        }
    }

    #[test]
    fn integers_agree_with_std(value in prop_oneof![any::<i64>(), -1000i64..1000]) {
        let mut out = Vec::new();
        push_i64(&mut out, value);
        out.push(b' ');
        push_u64(&mut out, value as u64);
        prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{value} {}", value as u64));
    }

    #[test]
    fn decimals_agree_with_integers(value in any::<i64>(), scale in 0u8..=18) {
        let text = decimal_text(value, scale);
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        prop_assert_eq!(fraction.len(), usize::from(scale));
        prop_assert_eq!(format!("{whole}{fraction}").parse::<i64>().unwrap(), value);
    }
}
