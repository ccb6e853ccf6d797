//! What DataFusion's own paths do with zeros and NaN. The first test is what docs/decisions/0009-floats.md promises; the second pins down where
//! they still differ from it, so that a new version of DataFusion, or a mapping of ours, is noticed and the page mended.

use chronolith_engine::model::{FieldType, MergeMode, RowBuilder, Value};

use crate::support::Base;

/// Rows 0 to 7: the NaN of constants, a negative one, one with a payload, both zeros, 1, -1, infinity.
fn floats() -> Base {
    let base = Base::new();
    base.create("f", &[], &[("i", FieldType::I64), ("x", FieldType::F64)], MergeMode::Append);
    let payload = f64::from_bits(0x7ff8_0000_0000_0001);
    let values = [f64::NAN, -f64::NAN, payload, -0.0, 0.0, 1.0, -1.0, f64::INFINITY];
    let mut rows = RowBuilder::new("f");
    for (at, x) in values.into_iter().enumerate() {
        rows.push(at as i64, &[], &[("i", Value::I64(at as i64)), ("x", Value::F64(x))]);
    }
    base.write(rows);
    base
}

#[test]
fn the_page_on_floats_holds() {
    let base = floats();
    let cases: &[(&str, &[&str])] = &[
        // Conditions on fields, which the engine evaluates.
        ("SELECT i FROM f WHERE x = 0 ORDER BY i", &["3", "4"]),
        ("SELECT i FROM f WHERE x = 'NaN'::double ORDER BY i", &["0", "1", "2"]),
        ("SELECT i FROM f WHERE x > 5 ORDER BY i", &["0", "1", "2", "7"]),
        ("SELECT i FROM f WHERE x BETWEEN -0.0 AND 1 ORDER BY i", &["3", "4", "5"]),
        // Zeros are alike elsewhere too.
        ("SELECT i FROM f WHERE x + 0 = 0 ORDER BY i", &["3", "4"]),
        ("SELECT i FROM f WHERE x + 0 IN (0.0, 7, 8, 9, 10) ORDER BY i", &["3", "4"]),
        ("SELECT x, count(*) FROM f WHERE x = 0 GROUP BY x", &["0.0|2"]),
        ("SELECT DISTINCT x FROM f WHERE x = 0", &["0.0"]),
        (
            "SELECT a.i, b.i FROM f a JOIN f b ON a.x = b.x WHERE a.x = 0 ORDER BY 1, 2",
            &["3|3", "3|4", "4|3", "4|4"],
        ),
        ("SELECT max(x), min(x) FROM f", &["inf|-1.0"]),
        ("SELECT count(x), count(*) FROM f WHERE x > 5", &["4|4"]),
    ];
    for (sql, expected) in cases {
        assert_eq!(base.rows(sql), *expected, "{sql}");
    }
}

#[test]
fn differences_from_the_page_are_known() {
    let base = floats();
    let cases: &[(&str, &[&str])] = &[
        // Sorting tells zeros apart, and puts a negative NaN first.
        ("SELECT i FROM f ORDER BY x, i", &["1", "6", "3", "4", "5", "7", "0", "2"]),
        // NaNs of other bits are other values.
        ("SELECT count(DISTINCT x) FROM f WHERE x > 5", &["4"]),
        ("SELECT i FROM f WHERE x + 0 = 'NaN'::double ORDER BY i", &["0"]),
        ("SELECT i FROM f WHERE x + 0 > 5 ORDER BY i", &["0", "2", "7"]),
        // CASE and nullif compare zeros by their bits.
        ("SELECT nullif(x, 0.0) FROM f WHERE x = 0 ORDER BY i", &["-0.0", "NULL"]),
        // Arithmetic on integers wraps; only sums do not.
        ("SELECT 9223372036854775807 + i FROM f WHERE i = 1", &["-9223372036854775808"]),
    ];
    for (sql, expected) in cases {
        assert_eq!(base.rows(sql), *expected, "{sql}");
    }
}
