use super::*;
use chrono::{DateTime, SecondsFormat, TimeZone};
use proptest::prelude::*;

fn iso(text: &str) -> Result<i64, TimeError> {
    parse_iso(text.as_bytes(), &Zone::Utc)
}

fn iso_in(text: &str, zone: &str) -> Result<i64, TimeError> {
    parse_iso(text.as_bytes(), &Zone::parse(zone).unwrap())
}

fn unix(text: &str, unit: TimeUnit) -> Result<i64, TimeError> {
    parse_unix(text.as_bytes(), unit)
}

fn utc(ns: i64) -> String {
    let mut out = Vec::new();
    push_utc(&mut out, ns);
    String::from_utf8(out).unwrap()
}

/// chrono's reading of an RFC 3339 text.
fn oracle(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp_nanos_opt().unwrap()
}

#[test]
fn unix_numbers_are_exact() {
    assert_eq!(unix("1628000000.123456789", TimeUnit::S), Ok(1_628_000_000_123_456_789));
    assert_eq!(unix("1628000000.1234567890000", TimeUnit::S), Ok(1_628_000_000_123_456_789));
    assert_eq!(unix("1628000000123.456789", TimeUnit::Ms), Ok(1_628_000_000_123_456_789));
    assert_eq!(unix("1628000000123456.789", TimeUnit::Us), Ok(1_628_000_000_123_456_789));
    assert_eq!(unix("1628000000123456789.0", TimeUnit::Ns), Ok(1_628_000_000_123_456_789));
    assert_eq!(unix("-1.5", TimeUnit::S), Ok(-1_500_000_000));
    assert_eq!(unix("-0.000000001", TimeUnit::S), Ok(-1));
    assert_eq!(unix("0", TimeUnit::S), Ok(0));
    assert_eq!(unix("0000000000000000000000000001", TimeUnit::S), Ok(1_000_000_000));
}

#[test]
fn unix_range_ends_at_the_last_nanosecond() {
    assert_eq!(unix("9223372036.854775807", TimeUnit::S), Ok(i64::MAX));
    assert_eq!(unix("-9223372036.854775808", TimeUnit::S), Ok(i64::MIN));
    assert_eq!(unix("-9223372036854775808", TimeUnit::Ns), Ok(i64::MIN));
    for (text, unit) in [
        ("9223372036.854775808", TimeUnit::S),
        ("-9223372036.854775809", TimeUnit::S),
        ("9223372036854775808", TimeUnit::Ns),
        ("18446744073709551616", TimeUnit::Ns),
        ("99999999999999999999999999999999999999999999", TimeUnit::S),
        ("1628000000123", TimeUnit::S),
    ] {
        let error = unix(text, unit).unwrap_err();
        assert!(matches!(error, TimeError::OutOfRange { .. }), "{text}: {error}");
        assert!(
            error.to_string().contains("1677-09-21") && error.to_string().contains("2262-04-11")
        );
    }
}

#[test]
fn unix_refuses_what_is_not_exact_or_not_a_number() {
    assert!(matches!(unix("1.0000000001", TimeUnit::S), Err(TimeError::TooFine { .. })));
    assert!(matches!(unix("1.5", TimeUnit::Ns), Err(TimeError::TooFine { .. })));
    for text in
        ["", "-", ".", "1.", ".5", "+1", "1e9", " 1", "1 ", "1.2.3", "--1", "NaN", "\u{661}"]
    {
        let error = unix(text, TimeUnit::S).unwrap_err();
        assert!(matches!(error, TimeError::NotANumber { .. }), "{text:?}: {error}");
    }
}

#[test]
fn iso_layouts() {
    let noon = oracle("2024-08-08T12:00:00Z");
    for text in [
        "2024-08-08T12:00:00Z",
        "2024-08-08 12:00:00",
        "2024-08-08T12:00",
        "2024-08-08t12:00:00z",
        "2024-08-08 17:30:00+05:30",
        "2024-08-08 17:30:00+0530",
        "2024-08-08T17:00+05",
        "2024-08-08 03:00:00 -09:00",
        "2024-08-08 12:00:00.000000000000Z",
        "2024-08-08T12:00:00-00:00",
    ] {
        assert_eq!(iso(text), Ok(noon), "{text}");
    }
    assert_eq!(iso("2024-08-08"), Ok(oracle("2024-08-08T00:00:00Z")));
    assert_eq!(iso("2024-02-29"), Ok(oracle("2024-02-29T00:00:00Z")));
    assert_eq!(iso("2024-08-08T12:00:00.5Z"), Ok(noon + 500_000_000));
    assert_eq!(iso("1969-12-31T23:59:59.999999999Z"), Ok(-1));
}

#[test]
fn iso_refusals() {
    for text in [
        "",
        "2024",
        "2024-08",
        "2024-8-8",
        "2024-08-08T",
        "2024-08-08T12",
        "2024-08-08T12:00:",
        "2024-08-08T12:00:00.",
        "2024-08-08T12:00:00.Z",
        "2024-08-08T12:00:00Zx",
        "2024/08/08",
        "2024-08-08T12:00:00+",
        "2024-08-08T12:00:00+5",
        "2024-08-08T12:00:00+05:",
        "2024-08-08T12:00:00+05:3",
        "2024-08-08T12:00:00+053000",
        "2024-08-08  12:00",
        " 2024-08-08",
        "2024-08-08Z",
        "20240808",
        "2024-08-08T12:00:00 ",
        "2024-08-08T12:00:00  +01",
        "-024-08-08",
        "2024-08-08T12:00:00 Z",
        "\u{661}024-08-08",
    ] {
        let error = iso(text).unwrap_err();
        assert!(matches!(error, TimeError::NotIso { .. }), "{text:?}: {error}");
    }
    for (text, want) in [
        ("2024-00-08", "month"),
        ("2024-13-08", "month"),
        ("2024-08-00", "day"),
        ("2023-02-29", "day"),
        ("1900-02-29", "day"),
        ("2024-04-31", "day"),
        ("2024-08-08T24:00", "hour"),
        ("2024-08-08T12:60", "minute"),
        ("2016-12-31T23:59:60Z", "second"),
        ("2024-08-08T12:00+24:00", "offset"),
        ("2024-08-08T12:00+01:60", "offset"),
    ] {
        match iso(text).unwrap_err() {
            TimeError::NoSuchTime { part, .. } => assert_eq!(part, want, "{text}"),
            other => panic!("{text}: {other}"),
        }
    }
    assert!(matches!(iso("2024-08-08T12:00:00.0000000001"), Err(TimeError::TooFine { .. })));
}

#[test]
fn the_range_of_iso_ends_at_the_last_nanosecond() {
    assert_eq!(iso("2262-04-11T23:47:16.854775807Z"), Ok(i64::MAX));
    assert_eq!(iso("1677-09-21T00:12:43.145224192Z"), Ok(i64::MIN));
    // The local time is outside, the instant is not.
    assert_eq!(iso("2262-04-12T05:17:16.854775807+05:30"), Ok(i64::MAX));
    for text in [
        "2262-04-11T23:47:16.854775808Z",
        "1677-09-21T00:12:43.145224191Z",
        "9999-12-31",
        "0000-01-01",
        "2262-04-11T23:47:16.854775807-00:01",
    ] {
        assert!(matches!(iso(text), Err(TimeError::OutOfRange { .. })), "{text}");
    }
    assert!(matches!(iso_in("9999-12-31", "Asia/Kolkata"), Err(TimeError::OutOfRange { .. })));
    assert_eq!(utc(i64::MAX), "2262-04-11T23:47:16.854775807Z");
    assert_eq!(utc(i64::MIN), "1677-09-21T00:12:43.145224192Z");
}

#[test]
fn local_times() {
    assert_eq!(iso_in("2021-08-03 09:15:00", "Asia/Kolkata"), Ok(oracle("2021-08-03T03:45:00Z")));
    assert_eq!(iso_in("2021-08-03 09:15:00Z", "Asia/Kolkata"), Ok(oracle("2021-08-03T09:15:00Z")));
    assert_eq!(iso_in("2021-08-03", "Asia/Kolkata"), Ok(oracle("2021-08-02T18:30:00Z")));
    // Clocks went back at 03:00 to 02:00: the earlier of the two is summer time.
    let earlier = oracle("2021-10-31T00:30:00Z");
    assert_eq!(iso_in("2021-10-31T02:30:00", "Europe/Berlin"), Ok(earlier));
    // And forward over it in spring.
    let error = iso_in("2021-03-28T02:30:00", "Europe/Berlin").unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"2021-03-28T02:30:00\" does not exist in Europe/Berlin: its clocks were put forward over it"
    );
    assert_eq!(Zone::parse("UTC"), Ok(Zone::Utc));
    assert!(matches!(Zone::parse("Mars/Base"), Err(TimeError::UnknownZone { .. })));
}

#[test]
fn a_bare_number_gets_a_suggestion() {
    let parse = |text: &str| {
        let parser = TimeParser::new(TimeSpec::parse("ts").unwrap(), Zone::Utc);
        parser.parse(text.as_bytes()).unwrap_err().to_string()
    };
    assert_eq!(
        parse("1628000000123"),
        "column \"ts\" has no unit for the number 1628000000123; \
         it looks like milliseconds: write --time ts:ms"
    );
    assert!(parse("1628000000").ends_with("seconds: write --time ts:s"));
    assert!(parse("1628000000.25").ends_with("seconds: write --time ts:s"));
    assert!(parse("0").ends_with("seconds: write --time ts:s"));
    assert!(parse("1628000000123456").ends_with("microseconds: write --time ts:us"));
    assert!(parse("1628000000123456789").ends_with("nanoseconds: write --time ts:ns"));
    assert!(parse("20240808").contains("YYYY-MM-DD"));
    assert!(parse("20241308").ends_with("--time ts:s"));
    assert!(parse("x").contains("not an ISO-8601 time"));
}

#[test]
fn specs() {
    let spec = |text| TimeSpec::parse(text).map(|s| (s.column, s.format));
    let unix = TimeFormat::Unix;
    assert_eq!(spec("ts_s:s"), Ok(("ts_s".into(), unix(TimeUnit::S))));
    assert_eq!(spec("ts"), Ok(("ts".into(), TimeFormat::Iso)));
    assert_eq!(spec("a:b"), Ok(("a:b".into(), TimeFormat::Iso)));
    assert_eq!(spec("a:b:ns"), Ok(("a:b".into(), unix(TimeUnit::Ns))));
    assert_eq!(spec("a:s:iso"), Ok(("a:s".into(), TimeFormat::Iso)));
    assert_eq!(spec("a:MS"), Ok(("a:MS".into(), TimeFormat::Iso)));
    assert!(spec("").is_err() && spec(":s").is_err());
}

#[test]
fn durations() {
    assert_eq!(parse_every("15m"), Ok(900_000_000_000));
    assert_eq!(parse_every("1w"), Ok(7 * 86_400_000_000_000));
    assert_eq!(parse_every("500ms"), Ok(500_000_000));
    assert_eq!(parse_every("2us"), Ok(2_000));
    assert_eq!(parse_every("7ns"), Ok(7));
    assert_eq!(parse_every("1s"), Ok(1_000_000_000));
    assert_eq!(parse_every("3h"), Ok(10_800_000_000_000));
    assert_eq!(parse_every("1d"), Ok(86_400_000_000_000));
    for month in ["1M", "1y", "3mo", "1q"] {
        let error = parse_every(month).unwrap_err();
        assert!(error.to_string().contains("months and years are not supported"), "{error}");
    }
    for bad in ["", "m", "1", "1.5h", "1h30m", "-1m", "1 m", "1min", "\u{661}m"] {
        assert!(matches!(parse_every(bad), Err(EveryError::NotADuration { .. })), "{bad:?}");
    }
    assert!(matches!(parse_every("0s"), Err(EveryError::Zero { .. })));
    assert!(matches!(parse_every("15251w"), Err(EveryError::TooLong { .. })));
    assert_eq!(parse_every("15250w"), Ok(15_250 * 604_800_000_000_000));
    assert!(matches!(parse_every("99999999999999999999ns"), Err(EveryError::TooLong { .. })));
}

#[test]
fn every_day_of_the_range_agrees_with_chrono() {
    for day in -106_751i64..=106_751 {
        let ns = day * 86_400_000_000_000;
        let want = DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(SecondsFormat::Secs, true);
        assert_eq!(utc(ns), want);
        assert_eq!(iso(&want), Ok(ns));
    }
}

fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        (-9_223_372_036i64..=9_223_372_036).prop_map(|s| s * 1_000_000_000),
        (-9_223_372_036_854i64..=9_223_372_036_854).prop_map(|ms| ms * 1_000_000),
        -2_000_000_000i64..2_000_000_000,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn format_agrees_with_chrono_and_reads_back(ns in any_time()) {
        let text = utc(ns);
        prop_assert_eq!(oracle(&text), ns);
        prop_assert_eq!(iso(&text), Ok(ns));
        let fraction = text.split_once('.').map_or("", |(_, f)| f.trim_end_matches('Z'));
        prop_assert!(!fraction.ends_with('0') && text.ends_with('Z'));
        let auto = DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(SecondsFormat::Nanos, true);
        prop_assert!(auto.starts_with(text.trim_end_matches('Z')));
    }

    #[test]
    fn offsets_agree_with_chrono(ns in -9_100_000_000_000_000_000i64..9_100_000_000_000_000_000,
                                 minutes in -1439i32..=1439, t in prop::bool::ANY) {
        let offset = chrono::FixedOffset::east_opt(minutes * 60).unwrap();
        let time = offset.timestamp_nanos(ns);
        let text = time.format(if t { "%Y-%m-%dT%H:%M:%S%.f%:z" } else { "%Y-%m-%d %H:%M:%S%.9f%z" });
        prop_assert_eq!(iso(&text.to_string()), Ok(ns));
    }

    #[test]
    fn local_times_are_shown_by_the_zones_clocks(seconds in -4_000_000_000i64..4_000_000_000,
            zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York",
                "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo"])) {
        let tz: chrono_tz::Tz = zone.parse().unwrap();
        let local = tz.timestamp_opt(seconds, 0).unwrap().naive_local();
        let ns = iso_in(&local.format("%Y-%m-%d %H:%M:%S").to_string(), zone).unwrap();
        // The same clock reading, and never later than the instant it was taken from.
        let back = tz.timestamp_nanos(ns);
        prop_assert_eq!(back.naive_local(), local);
        prop_assert!(ns <= seconds * 1_000_000_000);
    }

    #[test]
    fn unix_fractions_agree_with_integers(ns in any_time()) {
        let sign = if ns < 0 { "-" } else { "" };
        for (unit, digits) in [(TimeUnit::S, 9), (TimeUnit::Ms, 6), (TimeUnit::Us, 3)] {
            let scale = 10u64.pow(digits);
            let abs = ns.unsigned_abs();
            let text = format!("{sign}{}.{:0w$}", abs / scale, abs % scale, w = digits as usize);
            prop_assert_eq!(unix(&text, unit), Ok(ns));
        }
        prop_assert_eq!(unix(&ns.to_string(), TimeUnit::Ns), Ok(ns));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(
        prop_oneof![any::<u8>(), prop::sample::select(b"0123456789-:T .Z+".to_vec())], 0..40)) {
        let _ = parse_iso(&bytes, &Zone::Utc);
        let _ = parse_iso(&bytes, &Zone::parse("Europe/Berlin").unwrap());
        let _ = parse_unix(&bytes, TimeUnit::S);
        let _ = looks_like(&bytes);
        let _ = parse_every(&String::from_utf8_lossy(&bytes));
    }
}
