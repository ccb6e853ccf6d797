//! Conditions: the engine's answer is that of a plain filter over all rows, written here a second time.

use chronolith_engine::model::{RowBuilder, Value};

use crate::support::{Base, ticks};

/// A row as the filter of this file sees it.
struct Row {
    time: i64,
    symbol: String,
    venue: Option<String>,
    price: Option<f64>,
    size: Option<i64>,
    flag: Option<bool>,
}

fn all(base: &Base) -> Vec<(String, Row)> {
    let lines =
        base.rows("SELECT CAST(time AS BIGINT), symbol, venue, price, size, flag FROM ticks");
    let rows = lines.into_iter().map(|line| {
        let parts: Vec<&str> = line.split('|').collect();
        let given = |at: usize| (parts[at] != "NULL").then_some(parts[at]);
        let row = Row {
            time: parts[0].parse().unwrap(),
            symbol: parts[1].to_owned(),
            venue: given(2).map(str::to_owned),
            price: given(3).map(|text| text.parse().unwrap()),
            size: given(4).map(|text| text.parse().unwrap()),
            flag: given(5).map(|text| text.parse().unwrap()),
        };
        (line, row)
    });
    rows.collect()
}

/// -1, 0, 1 by the page on floats: zeros alike, NaN equal to NaN and above all.
fn order(a: f64, b: f64) -> i32 {
    if a.is_nan() || b.is_nan() {
        i32::from(a.is_nan()) - i32::from(b.is_nan())
    } else {
        i32::from(a > b) - i32::from(a < b)
    }
}

type Case = (&'static str, bool, fn(&Row) -> bool);

const CASES: &[Case] = &[
    ("time = to_timestamp_nanos(7000)", true, |r| r.time == 7000),
    ("time < to_timestamp_nanos(7000)", true, |r| r.time < 7000),
    ("time <= to_timestamp_nanos(7000)", true, |r| r.time <= 7000),
    ("time > to_timestamp_nanos(7000)", true, |r| r.time > 7000),
    ("to_timestamp_nanos(7000) <= time", true, |r| r.time >= 7000),
    ("time BETWEEN to_timestamp_nanos(3000) AND to_timestamp_nanos(9000)", true, |r| {
        (3000..=9000).contains(&r.time)
    }),
    (
        "time IN (to_timestamp_nanos(3000), to_timestamp_nanos(9000), to_timestamp_nanos(9500))",
        false,
        |r| r.time == 3000 || r.time == 9000,
    ),
    ("time != to_timestamp_nanos(7000)", false, |r| r.time != 7000),
    ("time > to_timestamp_nanos(9000) AND time < to_timestamp_nanos(8000)", true, |_| false),
    ("symbol = 'S001'", true, |r| r.symbol == "S001"),
    ("'S001' = symbol", true, |r| r.symbol == "S001"),
    ("symbol != 'S001'", true, |r| r.symbol != "S001"),
    ("NOT (symbol = 'S001')", true, |r| r.symbol != "S001"),
    ("symbol IN ('S001', 'S003', 'nothing')", true, |r| r.symbol == "S001" || r.symbol == "S003"),
    ("symbol NOT IN ('S001', 'S003')", true, |r| r.symbol != "S001" && r.symbol != "S003"),
    ("symbol = 'S001' OR symbol = 'S002'", true, |r| r.symbol == "S001" || r.symbol == "S002"),
    ("symbol LIKE 'S00%'", false, |_| true),
    ("symbol > 'S001'", false, |r| r.symbol.as_str() > "S001"),
    ("venue = 'X'", true, |r| r.venue.as_deref() == Some("X")),
    ("venue != 'X'", true, |r| r.venue.as_deref().is_some_and(|one| one != "X")),
    ("venue != 'Y'", true, |r| r.venue.as_deref().is_some_and(|one| one != "Y")),
    ("venue = ''", true, |_| false),
    ("venue != ''", true, |r| r.venue.is_some()),
    ("venue IS NULL", true, |r| r.venue.is_none()),
    ("venue IS NOT NULL", true, |r| r.venue.is_some()),
    ("venue IN ('X', NULL)", true, |r| r.venue.as_deref() == Some("X")),
    ("venue NOT IN ('Y', NULL)", true, |_| false),
    ("venue NOT IN ('Y', '')", true, |r| r.venue.as_deref().is_some_and(|one| one != "Y")),
    ("price > 5", true, |r| r.price.is_some_and(|p| order(p, 5.0) > 0)),
    ("price >= 0", true, |r| r.price.is_some_and(|p| order(p, 0.0) >= 0)),
    ("price < 0", true, |r| r.price.is_some_and(|p| order(p, 0.0) < 0)),
    ("price = 0", true, |r| r.price.is_some_and(|p| order(p, 0.0) == 0)),
    ("price = -0.0", true, |r| r.price.is_some_and(|p| order(p, 0.0) == 0)),
    ("price != 0", true, |r| r.price.is_some_and(|p| order(p, 0.0) != 0)),
    ("price = 'NaN'::double", true, |r| r.price.is_some_and(f64::is_nan)),
    ("price < 'NaN'::double", true, |r| r.price.is_some_and(|p| !p.is_nan())),
    ("size >= 3", true, |r| r.size.is_some_and(|s| s >= 3)),
    ("size != 3", true, |r| r.size.is_some_and(|s| s != 3)),
    ("size IS NULL", false, |r| r.size.is_none()),
    ("flag", true, |r| r.flag == Some(true)),
    ("NOT flag", true, |r| r.flag == Some(false)),
    ("flag = false", true, |r| r.flag == Some(false)),
    ("symbol = 'S001' AND price > 1 AND time < to_timestamp_nanos(20000)", true, |r| {
        r.symbol == "S001" && r.price.is_some_and(|p| order(p, 1.0) > 0) && r.time < 20_000
    }),
    ("symbol = 'S001' OR price > 1", false, |r| {
        r.symbol == "S001" || r.price.is_some_and(|p| order(p, 1.0) > 0)
    }),
];

fn check(base: &Base) {
    let rows = all(base);
    for (condition, exact, holds) in CASES {
        let sql = format!(
            "SELECT CAST(time AS BIGINT), symbol, venue, price, size, flag FROM ticks WHERE {condition}"
        );
        let expected: Vec<&String> =
            rows.iter().filter(|(_, row)| holds(row)).map(|(line, _)| line).collect();
        let got = base.rows(&sql);
        assert_eq!(got.iter().collect::<Vec<_>>(), expected, "{condition}");
        let plan = base.plan(&sql);
        let filtered = plan.contains("FilterExec");
        // A condition that nothing satisfies, or everything, may not reach the table at all.
        assert!(!(*exact && filtered), "{condition} is not pushed: {plan}");
        let counted = base.rows(&format!("SELECT count(*) FROM ticks WHERE {condition}"));
        assert_eq!(counted, [expected.len().to_string()], "{condition}");
    }
}

#[test]
fn conditions_answer_as_a_plain_filter_does() {
    let base = Base::new();
    ticks(&base, 7, 60);
    check(&base);
    base.db.flush().unwrap();
    check(&base);
    // The same rows in segment and memory.
    let mut more = RowBuilder::new("ticks");
    for row in 0..20_i64 {
        let price = if row % 4 == 0 { Value::Null } else { Value::F64(row as f64 - 10.0) };
        more.push(row * 777, &[("symbol", "S002"), ("venue", "Y")], &[("price", price)]);
    }
    base.write(more);
    check(&base);
}
