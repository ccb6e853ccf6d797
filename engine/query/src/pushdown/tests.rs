//! Times at the ends of their range, and empty texts.

use chronolith_engine::model::{ColumnId, FieldDef, TableId, TagDef};
use datafusion::logical_expr::{col, lit};

use super::*;

fn schema() -> TableSchema {
    let mut schema = TableSchema::new(TableId(1), "t");
    schema.tags.push(TagDef { id: ColumnId(1), name: "symbol".into() });
    let field = FieldDef { id: ColumnId(2), name: "price".into(), field_type: FieldType::F64 };
    schema.fields.push(field);
    schema
}

fn at(time: i64) -> Expr {
    Expr::Literal(ScalarValue::TimestampNanosecond(Some(time), Some("UTC".into())), None)
}

type Case = (Expr, fn(&i64, &i64) -> bool);

#[test]
fn ranges_hold_exactly_the_times_that_compare_so() {
    let probes = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    let column = || col(TIME);
    for constant in probes {
        let cases: [Case; 5] = [
            (column().eq(at(constant)), i64::eq),
            (column().lt(at(constant)), i64::lt),
            (column().lt_eq(at(constant)), i64::le),
            (column().gt(at(constant)), i64::gt),
            (column().gt_eq(at(constant)), i64::ge),
        ];
        for (expr, holds) in cases {
            let Some(condition) = condition(&schema(), &expr) else {
                assert!(constant >= i64::MAX - 1, "{expr} is not pushed");
                continue;
            };
            let pushed = Pushed::of(&schema(), std::slice::from_ref(&expr));
            for probe in probes {
                let expected = holds(&probe, &constant);
                assert_eq!(pushed.range.contains(probe), expected, "{expr} at {probe}");
            }
            assert!(condition.is_exact());
        }
    }
}

#[test]
fn conditions_that_contradict_each_other_hold_nothing() {
    let filters = [col(TIME).gt(at(i64::MAX - 2)), col(TIME).lt(at(5))];
    let pushed = Pushed::of(&schema(), &filters);
    assert!(pushed.range.is_empty() && !pushed.range.contains(i64::MAX));
}

#[test]
fn nothing_equals_the_empty_text_and_the_absent_tag_differs_from_nothing() {
    let filter = |expr| match condition(&schema(), &expr) {
        Some(Condition::Tag(_, filter)) => filter,
        other => panic!("{other:?}"),
    };
    let symbol = || col("symbol");
    let cases = [
        (symbol().eq(lit("")), [false, false]),
        (symbol().eq(lit("a")), [false, true]),
        (symbol().not_eq(lit("a")), [false, false]),
        (symbol().not_eq(lit("b")), [false, true]),
        (symbol().not_eq(lit("")), [false, true]),
        (symbol().is_null(), [true, false]),
        (symbol().is_not_null(), [false, true]),
        (symbol().in_list(vec![lit("a"), lit(ScalarValue::Utf8(None))], false), [false, true]),
        (symbol().in_list(vec![lit("b"), lit(ScalarValue::Utf8(None))], true), [false, false]),
        (symbol().in_list(vec![lit("b"), lit("")], true), [false, true]),
    ];
    for (expr, [absent, a]) in cases {
        let shown = expr.to_string();
        let filter = filter(expr);
        assert_eq!((filter.accepts(""), filter.accepts("a")), (absent, a), "{shown}");
    }
}

#[test]
fn other_types_are_left_to_datafusion() {
    for expr in [
        col("price").gt(lit(5_i64)),
        col("price").gt(lit(ScalarValue::Float64(None))),
        col("symbol").gt(lit("a")),
        col(TIME).not_eq(at(5)),
        col("symbol").eq(col("symbol")),
    ] {
        assert_eq!(condition(&schema(), &expr), None, "{expr}");
    }
    let turned = condition(&schema(), &lit(5.0).lt(col("price")));
    let Some(Condition::Field(filter)) = turned else { panic!("{turned:?}") };
    assert_eq!((filter.comparison, filter.value), (Comparison::Gt, Value::F64(5.0)));
}
