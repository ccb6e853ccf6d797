//! Our functions, each against a second way to its answer.

use std::collections::BTreeMap;

use chronolith_engine::model::{FieldType, MergeMode, RowBuilder, Value};
use chronolith_query::SqlErrorKind;

use crate::support::{Base, ticks};

#[test]
fn buckets_begin_where_timescale_has_them_begin() {
    let base = Base::new();
    let cases = [
        ("'15 minutes'", "2024-05-01T13:29:59Z", "2024-05-01T13:15:00Z"),
        ("'15m'", "2024-05-01T13:29:59Z", "2024-05-01T13:15:00Z"),
        ("INTERVAL '1 hour'", "2024-05-01T13:00:00Z", "2024-05-01T13:00:00Z"),
        ("'1 day'", "1969-12-31T23:59:59.999999999Z", "1969-12-31T00:00:00Z"),
        // Weeks begin on Mondays.
        ("'1 week'", "2024-05-05T23:59:59Z", "2024-04-29T00:00:00Z"),
        ("'7d'", "2024-05-06T00:00:00Z", "2024-05-06T00:00:00Z"),
        ("'2w'", "2000-01-16T23:00:00Z", "2000-01-03T00:00:00Z"),
        ("'1 month'", "2024-02-29T23:00:00Z", "2024-02-01T00:00:00Z"),
        ("'3 months'", "1999-12-31T23:00:00Z", "1999-10-01T00:00:00Z"),
        ("'1 year'", "1960-06-01T00:00:00Z", "1960-01-01T00:00:00Z"),
        ("'5y'", "2004-12-31T00:00:00Z", "2000-01-01T00:00:00Z"),
    ];
    for (width, at, expected) in cases {
        let sql = format!("SELECT time_bucket({width}, TIMESTAMP '{at}')");
        assert_eq!(base.rows(&sql), [expected], "{sql}");
        // The same over a column.
        let sql = format!(
            "SELECT time_bucket({width}, t) FROM (VALUES (TIMESTAMP '{at}'), (NULL)) AS v(t)"
        );
        assert_eq!(base.rows(&sql), [expected, "NULL"], "{sql}");
    }
    let zoned = [
        // Summer time began on 2024-03-31 at 01:00 UTC: the day has 23 hours.
        ("'1 day'", "2024-03-31T20:00:00Z", "2024-03-30T23:00:00Z"),
        ("'1 day'", "2024-03-31T22:30:00Z", "2024-03-31T22:00:00Z"),
        ("'1 month'", "2024-07-31T22:30:00Z", "2024-07-31T22:00:00Z"),
        // The hour from 2 to 3 came twice on 2024-10-27.
        ("'1 hour'", "2024-10-27T00:30:00Z", "2024-10-27T00:00:00Z"),
    ];
    for (width, at, expected) in zoned {
        let sql = format!("SELECT time_bucket({width}, TIMESTAMP '{at}', 'Europe/Berlin')");
        assert_eq!(base.rows(&sql), [expected], "{sql}");
    }
    let origin = "SELECT time_bucket('1 day', TIMESTAMP '2024-05-01T13:00:00Z', TIMESTAMP '2000-01-01T14:00:00Z')";
    assert_eq!(base.rows(origin), ["2024-04-30T14:00:00Z"]);
    for wrong in ["'0 days'", "'-1 day'", "'1 month 1 day'", "'soon'", "'5 parsecs'"] {
        let error =
            base.error(&format!("SELECT time_bucket({wrong}, TIMESTAMP '2024-05-01T13:00:00Z')"));
        assert_eq!(error.kind, SqlErrorKind::Invalid, "{wrong}: {error}");
    }
}

#[test]
fn buckets_keep_the_order_of_time() {
    let base = Base::new();
    ticks(&base, 3, 1000);
    let plan = base.plan(
        "SELECT symbol, time_bucket('10us', time) AS b, count(*) FROM ticks WHERE venue = 'X' GROUP BY symbol, b ORDER BY symbol, b",
    );
    assert!(!plan.contains("SortExec"), "{plan}");
}

/// Time, symbol, price, size.
type Trade = (i64, &'static str, Option<f64>, i64);

/// Ticks with ties in time, NaN, both zeros and NULLs; the same rows as this file sees them.
fn trades(base: &Base, flush: bool) -> Vec<Trade> {
    let fields = [("price", FieldType::F64), ("size", FieldType::I64), ("note", FieldType::Utf8)];
    base.create("trades", &["symbol"], &fields, MergeMode::Append);
    let mut rows = Vec::new();
    for (at, symbol) in (0..4000_i64).flat_map(|at| ["a", "b", "c"].map(|symbol| (at, symbol))) {
        let price = match (at * 7 + i64::from(symbol.as_bytes()[0])) % 11 {
            0 => None,
            1 => Some(f64::NAN),
            2 => Some(-0.0),
            3 => Some(0.0),
            other => Some(other as f64 * 1.5 - (at % 13) as f64),
        };
        rows.push((at / 3, symbol, price, at));
    }
    for part in rows.chunks(1500) {
        let mut builder = RowBuilder::new("trades");
        for (at, symbol, price, size) in part {
            let price = price.map_or(Value::Null, Value::F64);
            let note = Value::Utf8(format!("note {size}"));
            let fields = [("price", price), ("size", Value::I64(*size)), ("note", note)];
            builder.push(*at, &[("symbol", symbol)], &fields);
        }
        base.write(builder);
        if flush {
            base.db.flush().unwrap();
        }
    }
    rows
}

fn bits(value: Option<f64>) -> String {
    value.map_or("NULL".into(), |value| match value.is_nan() {
        true => "NaN".into(),
        false => format!("{value:?}"),
    })
}

#[test]
fn picks_are_by_time_and_commit() {
    for flush in [false, true] {
        let base = Base::new();
        let rows = trades(&base, flush);
        let mut groups: BTreeMap<(&str, i64), Vec<&Trade>> = BTreeMap::new();
        for row in &rows {
            groups.entry((row.1, row.0.div_euclid(50))).or_default().push(row);
        }
        let expected: Vec<String> = groups
            .iter()
            .map(|((symbol, bucket), rows)| {
                let known: Vec<_> = rows.iter().filter(|row| row.2.is_some()).collect();
                let open = known.iter().min_by_key(|row| row.0).unwrap();
                let close = known.iter().rev().min_by_key(|row| -row.0).unwrap();
                let numbers: Vec<_> = known.iter().filter(|row| !row.2.unwrap().is_nan()).collect();
                let high = numbers.iter().map(|row| row.2.unwrap()).fold(f64::MIN, f64::max);
                let low = numbers.iter().map(|row| row.2.unwrap()).fold(f64::MAX, f64::min);
                let at_high = numbers.iter().find(|row| row.2.unwrap() == high).unwrap();
                format!(
                    "{symbol}|{bucket}|{}|{}|{}|{}|{}|{}",
                    bits(open.2),
                    bits(close.2),
                    bits(at_high.2),
                    bits(numbers.iter().find(|row| row.2.unwrap() == low).unwrap().2),
                    at_high.3,
                    format_args!("note {}", rows.iter().rev().min_by_key(|row| -row.0).unwrap().3),
                )
            })
            .collect();
        for sql in [
            "SELECT symbol, CAST(b AS BIGINT) / 50, first(price, time), last(price, time), arg_max(price, price), arg_min(price, price), arg_max(size, price), last(note, time)
             FROM (SELECT *, time_bucket('50ns', time, to_timestamp_nanos(0)) AS b FROM trades) GROUP BY symbol, b ORDER BY symbol, b",
            "SELECT symbol, CAST(b AS BIGINT) / 50, (o).open, o['close'], (o).high, o['low'], s, n FROM (
                SELECT symbol, b, ohlc(price, time) AS o, arg_max(size, price) AS s, last(note) AS n
                FROM (SELECT *, time_bucket('50ns', time, to_timestamp_nanos(0)) AS b FROM trades) GROUP BY symbol, b)
             ORDER BY symbol, CAST(b AS BIGINT)",
        ] {
            let got: Vec<String> = base.rows(sql);
            assert_eq!(got, expected, "{sql}");
        }
    }
}

#[test]
fn picks_without_groups_and_without_rows() {
    let base = Base::new();
    trades(&base, true);
    assert_eq!(
        base.rows("SELECT first(size, time), last(size), arg_min(size, note), (ohlc(size, time)).close FROM trades WHERE symbol = 'b'"),
        ["0|3999|0|3999"]
    );
    assert_eq!(
        base.rows("SELECT first(t.size), last(t.note) FROM trades t WHERE t.symbol = 'none'"),
        ["NULL|NULL"]
    );
    assert_eq!(base.rows("SELECT ohlc(price) IS NULL FROM trades WHERE symbol = 'none'"), ["true"]);
    assert_eq!(base.rows("SELECT first(symbol, time) FROM trades WHERE size = 7"), ["a"]);
    let error = base.error("SELECT arg_min(size) FROM trades");
    assert!(error.message.contains("arg_min takes two arguments"), "{error}");
}

#[test]
fn integer_sums_are_exact_or_an_error() {
    let base = Base::new();
    base.create("t", &["k"], &[("x", FieldType::I64), ("u", FieldType::U64)], MergeMode::Append);
    let mut builder = RowBuilder::new("t");
    for (at, (k, x)) in [
        ("a", i64::MAX),
        ("a", 1),
        ("a", -5),
        ("b", i64::MAX),
        ("b", i64::MAX),
        ("c", i64::MIN),
        ("c", i64::MIN),
        ("c", i64::MAX),
        ("c", i64::MAX),
    ]
    .into_iter()
    .enumerate()
    {
        builder.push(at as i64, &[("k", k)], &[("x", Value::I64(x)), ("u", Value::U64(u64::MAX))]);
    }
    base.write(builder);
    // What passes i64 on the way and comes back is no overflow.
    assert_eq!(base.rows("SELECT sum(x) FROM t WHERE k = 'a'"), [(i64::MAX - 4).to_string()]);
    assert_eq!(base.rows("SELECT sum(x) FROM t WHERE k = 'c'"), ["-2"]);
    assert_eq!(base.rows("SELECT sum(DISTINCT x) FROM t WHERE k = 'b'"), [i64::MAX.to_string()]);
    assert_eq!(base.rows("SELECT sum(DISTINCT x) FROM t WHERE k = 'c'"), ["-1"]);
    let rows = base.rows("SELECT k, sum(x) FROM t WHERE k != 'b' GROUP BY k ORDER BY k");
    assert_eq!(rows, [format!("a|{}", i64::MAX - 4), "c|-2".into()]);
    let window = "SELECT sum(x) OVER (ORDER BY time ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t WHERE k = 'c' ORDER BY time";
    assert_eq!(base.error(window).kind, SqlErrorKind::Overflow);
    let window = "SELECT sum(x) OVER (ORDER BY time ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t WHERE k = 'a' AND time > to_timestamp_nanos(0) ORDER BY time";
    assert_eq!(base.rows(window), ["1", "-4"]);
    for sql in [
        "SELECT sum(x) FROM t WHERE k = 'b'",
        "SELECT k, sum(x) FROM t GROUP BY k",
        "SELECT sum(u) FROM t",
        "SELECT sum(u), count(DISTINCT k) FROM t",
        "SELECT k, sum(u) FROM t GROUP BY k",
        "SELECT sum(x) OVER (PARTITION BY k) FROM t",
        "SELECT sum(DISTINCT v) FROM (VALUES (9223372036854775807), (1)) AS t(v)",
        "SELECT sum(x) FROM (SELECT x FROM t UNION ALL SELECT x FROM t)  WHERE x > 0",
    ] {
        let error = base.error(sql);
        assert_eq!(error.kind, SqlErrorKind::Overflow, "{sql}: {error}");
    }
    assert_eq!(base.rows("SELECT sum(x), sum(u) FROM t WHERE k = 'none'"), ["NULL|NULL"]);
}

#[test]
fn sums_join_over_parts() {
    let base = Base::new();
    ticks(&base, 40, 4000);
    base.db.flush().unwrap();
    let lines = base.rows("SELECT symbol, price, size FROM ticks");
    let (mut all, mut by_symbol) = (0_i128, BTreeMap::<String, i128>::new());
    let mut floats = BTreeMap::<String, f64>::new();
    for line in lines {
        let parts: Vec<&str> = line.split('|').collect();
        let size: i128 = parts[2].parse().unwrap_or(0);
        all += size;
        *by_symbol.entry(parts[0].to_owned()).or_default() += size;
        if let Ok(price) = parts[1].parse::<f64>()
            && !price.is_nan()
        {
            // Quarters: every sum of them is exact.
            *floats.entry(parts[0].to_owned()).or_default() += price;
        }
    }
    assert_eq!(base.rows("SELECT sum(size) FROM ticks"), [all.to_string()]);
    let got = base.rows("SELECT symbol, sum(size), sum(price) FILTER (WHERE price < 'NaN'::double) FROM ticks GROUP BY symbol ORDER BY symbol");
    let expected: Vec<String> = by_symbol
        .iter()
        .map(|(symbol, sum)| format!("{symbol}|{sum}|{:?}", floats[symbol]))
        .collect();
    assert_eq!(got, expected);
}

#[test]
fn float_sums_lose_little_and_windows_forget_what_left() {
    let base = Base::new();
    let values = "(VALUES (1, 1e100), (2, 1.0), (3, -1e100), (4, 'NaN'::double), (5, 2.0), (6, 'inf'::double), (7, 3.0)) AS t(i, x)";
    assert_eq!(base.rows(&format!("SELECT sum(x) FROM {values} WHERE i < 4")), ["1.0"]);
    assert_eq!(base.rows(&format!("SELECT sum(x) FROM {values}")), ["NaN"]);
    assert_eq!(base.rows(&format!("SELECT sum(x) FROM {values} WHERE i > 4")), ["inf"]);
    let window = format!(
        "SELECT sum(x) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM {values} ORDER BY i"
    );
    assert_eq!(base.rows(&window), ["1e100", "1e100", "-1e100", "NaN", "NaN", "inf", "inf"]);
}

#[test]
fn least_and_greatest_leave_nan_out() {
    let base = Base::new();
    let rows = |sql: &str| base.rows(sql);
    let values =
        "(VALUES (1, 'NaN'::double), (2, 5.0), (3, -0.0), (4, 0.0), (5, 'NaN'::double)) AS t(i, x)";
    assert_eq!(rows(&format!("SELECT min(x), max(x) FROM {values}")), ["-0.0|5.0"]);
    assert_eq!(rows(&format!("SELECT min(x), max(x) FROM {values} WHERE i > 2")), ["-0.0|0.0"]);
    assert_eq!(
        rows(&format!("SELECT min(x), max(x) FROM {values} WHERE i IN (1, 5)")),
        ["NaN|NaN"]
    );
    assert_eq!(rows(&format!("SELECT min(x), max(x) FROM {values} WHERE i > 9")), ["NULL|NULL"]);
    assert_eq!(
        rows(&format!("SELECT i % 2, min(x), max(x) FROM {values} GROUP BY i % 2 ORDER BY 1")),
        ["0|0.0|5.0", "1|-0.0|-0.0"]
    );
    assert_eq!(
        rows(&format!(
            "SELECT max(x) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM {values} ORDER BY i"
        )),
        ["NaN", "5.0", "5.0", "0.0", "0.0"]
    );
}

#[test]
fn unsigned_and_signed_integers_are_added_exactly() {
    let base = Base::new();
    base.create("t", &[], &[("u", FieldType::U64)], MergeMode::Append);
    base.write(RowBuilder::new("t").row(1, &[], &[("u", Value::U64(u64::MAX))]));
    let sql = "SELECT u + 1, u - 1, u * 2, _seq + 1 > 0 FROM t";
    assert_eq!(
        base.rows(sql),
        ["18446744073709551616|18446744073709551614|36893488147419103230|true"]
    );
    assert_eq!(base.rows("SELECT CAST(1 AS BIGINT UNSIGNED) + 1"), ["2"]);
}
