//! What DataFusion's own paths do with zeros and NaN: what holds of docs/decisions/0009-floats.md there, and what does not.

use chronolith_engine::model::{FieldType, MergeMode, RowBuilder, Value};

use crate::support::Base;

#[test]
fn experiment() {
    let base = Base::new();
    base.create("f", &[], &[("i", FieldType::I64), ("x", FieldType::F64)], MergeMode::Append);
    let values = [
        f64::NAN,
        -f64::NAN,
        f64::from_bits(0x7ff8_0000_0000_0001),
        -0.0,
        0.0,
        1.0,
        -1.0,
        f64::INFINITY,
    ];
    let mut rows = RowBuilder::new("f");
    for (at, x) in values.into_iter().enumerate() {
        rows.push(at as i64, &[], &[("i", Value::I64(at as i64)), ("x", Value::F64(x))]);
    }
    base.write(rows);
    for sql in [
        "SELECT i, x + 0 = 0, x + 0 > 5, x + 0 < 0, x + 0 = 'NaN'::double, x + 0 >= -0.0 FROM f ORDER BY i",
        "SELECT i, abs(x) * 1 = x FROM f ORDER BY i",
        "SELECT i, x FROM f ORDER BY x, i",
        "SELECT x, count(*) FROM f GROUP BY x ORDER BY 2, 1",
        "SELECT i % 1, x, count(*) FROM f GROUP BY i % 1, x ORDER BY 3, 2",
        "SELECT DISTINCT x FROM f",
        "SELECT count(DISTINCT x) FROM f",
        "SELECT a.i, b.i FROM f a JOIN f b ON a.x = b.x ORDER BY 1, 2",
        "SELECT i FROM f WHERE x IN (0.0, 'NaN'::double) ORDER BY i",
        "SELECT i FROM f WHERE x + 0 IN (0.0, 'NaN'::double, 7, 8, 9) ORDER BY i",
        "SELECT i FROM f WHERE x BETWEEN -0.0 AND 1 ORDER BY i",
        "SELECT i, rank() OVER (ORDER BY x) FROM f ORDER BY i",
        "SELECT max(x), min(x), first(x, time), last(x, time) FROM f",
        "SELECT x FROM f UNION SELECT x FROM f",
        "SELECT i FROM f ORDER BY x DESC LIMIT 3",
        "SELECT greatest(x, 0.5), least(x, 0.5) FROM f ORDER BY i",
        "SELECT CASE x WHEN 0 THEN 'zero' WHEN 'NaN'::double THEN 'nan' ELSE 'other' END FROM f ORDER BY i",
        "SELECT nullif(x, 0.0) FROM f ORDER BY i",
        "SELECT sum(v.d) , avg(v.d), sum(v.d * v.d), v2.q FROM (VALUES (arrow_cast(1.5, 'Decimal64(18, 4)'))) v(d), (SELECT arrow_cast(3, 'Decimal64(18,4)') / arrow_cast(7, 'Decimal64(18,4)') q) v2 GROUP BY v2.q",
        "SELECT arrow_typeof(arrow_cast(3, 'Decimal64(18,4)') * arrow_cast(7, 'Decimal64(18,4)')), arrow_typeof(arrow_cast(3, 'Decimal64(18,4)') + 7), arrow_typeof(arrow_cast(3, 'Decimal128(18,4)') * arrow_cast(7, 'Decimal128(18,4)'))",
        "SELECT arrow_cast(300000000000, 'Decimal64(18,4)') * arrow_cast(7000000, 'Decimal64(18,4)')",
        "SELECT 9223372036854775807 + i FROM f WHERE i = 1",
    ] {
        println!("{sql}\n    {:?}", base.try_batches(sql).map(|one| crate::support::rows_of(&one)));
    }
}
