//! Arrow batches become rows: a line of the documented table each, and what is refused.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::*;
use arrow::record_batch::RecordBatch;
use chronolith_engine::model::{Batch, FieldType, MergeMode, TagValues, Value};
use chronolith_query::SqlErrorKind;
use chronolith_query::convert::{Mapping, rows_of};

use crate::support::Base;

fn times(count: usize) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from_iter_values(0..count as i64))
}

fn batch(array: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([
        ("time", times(array.len()), false),
        ("x", array, true),
    ])
    .unwrap()
}

fn mapping() -> Mapping {
    Mapping { table: "t".into(), time: "time".into(), ..Mapping::default() }
}

/// The type and values of a field made of `array`.
fn field(array: ArrayRef) -> (FieldType, Vec<Value>) {
    let rows = rows_of(&batch(array), &mapping()).unwrap();
    let field = &rows.fields[0];
    assert!(field.column.is_well_formed());
    let values = (0..field.column.len()).map(|row| field.column.value(row, field.field_type));
    (field.field_type, values.collect())
}

fn refused(array: ArrayRef) -> (SqlErrorKind, String) {
    let error = rows_of(&batch(array), &mapping()).unwrap_err();
    (error.kind, error.message)
}

#[test]
fn each_type_becomes_what_the_table_says() {
    use FieldType as F;
    let i =
        |values: [Option<i64>; 3]| values.map(|one| one.map_or(Value::Null, Value::I64)).to_vec();
    let u =
        |values: [Option<u64>; 3]| values.map(|one| one.map_or(Value::Null, Value::U64)).to_vec();
    let signed = [Some(-1), None, Some(100)];
    assert_eq!(
        field(Arc::new(Int8Array::from(vec![Some(-1), None, Some(100)]))),
        (F::I64, i(signed))
    );
    assert_eq!(
        field(Arc::new(Int16Array::from(vec![Some(-1), None, Some(100)]))),
        (F::I64, i(signed))
    );
    assert_eq!(
        field(Arc::new(Int32Array::from(vec![Some(-1), None, Some(100)]))),
        (F::I64, i(signed))
    );
    assert_eq!(
        field(Arc::new(Int64Array::from(vec![Some(-1), None, Some(100)]))),
        (F::I64, i(signed))
    );
    let unsigned = [Some(1), None, Some(200)];
    assert_eq!(
        field(Arc::new(UInt8Array::from(vec![Some(1), None, Some(200)]))),
        (F::U64, u(unsigned))
    );
    assert_eq!(
        field(Arc::new(UInt16Array::from(vec![Some(1), None, Some(200)]))),
        (F::U64, u(unsigned))
    );
    assert_eq!(
        field(Arc::new(UInt32Array::from(vec![Some(1), None, Some(200)]))),
        (F::U64, u(unsigned))
    );
    assert_eq!(
        field(Arc::new(UInt64Array::from(vec![Some(1), None, Some(200)]))),
        (F::U64, u(unsigned))
    );
    assert_eq!(
        field(Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        (F::Bool, vec![Value::Bool(true), Value::Null, Value::Bool(false)])
    );
    let texts = || vec![Value::Utf8("a".into()), Value::Null, Value::Utf8(String::new())];
    let text = vec![Some("a"), None, Some("")];
    assert_eq!(field(Arc::new(StringArray::from(text.clone()))), (F::Utf8, texts()));
    assert_eq!(field(Arc::new(LargeStringArray::from(text.clone()))), (F::Utf8, texts()));
    assert_eq!(field(Arc::new(StringViewArray::from(text.clone()))), (F::Utf8, texts()));
    let coded: DictionaryArray<Int8Type> = text.into_iter().collect();
    assert_eq!(field(Arc::new(coded)), (F::Utf8, texts()));
}

#[test]
fn nan_and_null_stay_apart_and_small_floats_widen() {
    for array in [
        Arc::new(Float32Array::from(vec![Some(f32::NAN), None, Some(0.1), Some(-0.0)])) as ArrayRef,
        Arc::new(Float64Array::from(vec![
            Some(f64::NAN),
            None,
            Some(f64::from(0.1_f32)),
            Some(-0.0),
        ])),
    ] {
        let (of, values) = field(array);
        assert_eq!(of, FieldType::F64);
        assert!(matches!(values[0], Value::F64(one) if one.is_nan()));
        assert_eq!(values[1], Value::Null);
        assert_eq!(values[2], Value::F64(f64::from(0.1_f32)));
        assert!(matches!(values[3], Value::F64(one) if one == 0.0 && one.is_sign_negative()));
    }
}

#[test]
fn what_lies_under_a_null_is_not_taken() {
    let nulls = NullBuffer::from(vec![true, false]);
    let array = Int64Array::new(ScalarBuffer::from(vec![1, 77]), Some(nulls.clone()));
    let rows = rows_of(&batch(Arc::new(array)), &mapping()).unwrap();
    assert_eq!(rows.fields[0].column.data, chronolith_engine::model::ColumnData::I64(vec![1, 0]));
    // A date far away, but NULL.
    let array = Date32Array::new(ScalarBuffer::from(vec![0, i32::MAX]), Some(nulls));
    assert_eq!(field(Arc::new(array)).1, [Value::Timestamp(0), Value::Null]);
}

#[test]
fn times_of_every_unit_become_nanoseconds() {
    let at = Value::Timestamp;
    let ns = |array: ArrayRef| field(array).1;
    assert_eq!(ns(Arc::new(TimestampSecondArray::from(vec![-1]))), [at(-1_000_000_000)]);
    assert_eq!(ns(Arc::new(TimestampMillisecondArray::from(vec![-1]))), [at(-1_000_000)]);
    assert_eq!(
        ns(Arc::new(TimestampMicrosecondArray::from(vec![7]).with_timezone("Asia/Tokyo"))),
        [at(7_000)]
    );
    assert_eq!(ns(Arc::new(TimestampNanosecondArray::from(vec![i64::MAX]))), [at(i64::MAX)]);
    assert_eq!(ns(Arc::new(Date32Array::from(vec![-1]))), [at(-86_400_000_000_000)]);
    assert_eq!(ns(Arc::new(Date64Array::from(vec![86_400_000]))), [at(86_400_000_000_000)]);
    for far in [
        Arc::new(TimestampSecondArray::from(vec![0, 9_300_000_000])) as ArrayRef,
        Arc::new(Date32Array::from(vec![0, i32::MIN])),
        Arc::new(Date64Array::from(vec![0, i64::MAX])),
    ] {
        let (kind, message) = refused(far);
        assert_eq!(kind, SqlErrorKind::Overflow);
        assert!(message.contains("\"x\"") && message.contains("row 1"), "{message}");
    }
}

#[test]
fn decimals_of_every_width_are_taken_where_they_fit() {
    let cases: Vec<ArrayRef> = vec![
        Arc::new(
            Decimal32Array::from(vec![Some(-12_345), None]).with_precision_and_scale(9, 2).unwrap(),
        ),
        Arc::new(
            Decimal64Array::from(vec![Some(-12_345), None]).with_precision_and_scale(9, 2).unwrap(),
        ),
        Arc::new(
            Decimal128Array::from(vec![Some(-12_345), None])
                .with_precision_and_scale(9, 2)
                .unwrap(),
        ),
        Arc::new(
            Decimal256Array::from(vec![Some(i256::from(-12_345)), None])
                .with_precision_and_scale(9, 2)
                .unwrap(),
        ),
    ];
    for array in cases {
        let expected = FieldType::Decimal { precision: 9, scale: 2 };
        assert_eq!(
            field(array),
            (expected, vec![Value::Decimal { units: -12_345, scale: 2 }, Value::Null])
        );
    }
    let wide = |units: i128| -> ArrayRef {
        Arc::new(Decimal128Array::from(vec![units]).with_precision_and_scale(38, 4).unwrap())
    };
    let most = 10_i128.pow(18) - 1;
    assert_eq!(
        field(wide(most)),
        (
            FieldType::Decimal { precision: 18, scale: 4 },
            vec![Value::Decimal { units: most as i64, scale: 4 }]
        )
    );
    assert_eq!(refused(wide(most + 1)).0, SqlErrorKind::Overflow);
    let thousands = Decimal128Array::from(vec![5]).with_precision_and_scale(5, -3).unwrap();
    assert_eq!(field(Arc::new(thousands)).1, [Value::Decimal { units: 5000, scale: 0 }]);
    let fine = Decimal128Array::from(vec![5]).with_precision_and_scale(38, 20).unwrap();
    assert_eq!(refused(Arc::new(fine)).0, SqlErrorKind::Invalid);
}

#[test]
fn what_no_field_holds_is_refused_by_name() {
    for array in [
        Arc::new(BinaryArray::from(vec![b"x".as_slice()])) as ArrayRef,
        Arc::new(DurationSecondArray::from(vec![1])),
        Arc::new(Time64NanosecondArray::from(vec![1])),
        Arc::new(StructArray::from(vec![(
            Arc::new(Field::new("a", DataType::Int64, true)),
            Arc::new(Int64Array::from(vec![1])) as ArrayRef,
        )])),
    ] {
        let (kind, message) = refused(array);
        assert_eq!(kind, SqlErrorKind::Invalid);
        assert!(message.contains("column \"x\""), "{message}");
    }
}

#[test]
fn tags_are_text_and_an_absent_one_is_empty() {
    let tag = |array: ArrayRef| {
        let mapping = Mapping { tags: vec!["x".into()], ..mapping() };
        let rows = rows_of(&batch(array), &mapping)?;
        let TagValues::Dictionary { codes, values } = rows.tags[0].values.clone() else {
            return Ok(vec!["constant".to_owned()]);
        };
        Ok::<_, chronolith_query::SqlError>(
            codes.iter().map(|code| values[*code as usize].clone()).collect(),
        )
    };
    let expected = ["b", "", "a", "b"];
    let text = vec![Some("b"), None, Some("a"), Some("b")];
    assert_eq!(tag(Arc::new(StringArray::from(text.clone()))).unwrap(), expected);
    assert_eq!(tag(Arc::new(StringViewArray::from(text.clone()))).unwrap(), expected);
    let coded: DictionaryArray<Int16Type> = text.into_iter().collect();
    assert_eq!(tag(Arc::new(coded)).unwrap(), expected);
    // A NULL among the dictionary's values.
    let keys = UInt8Array::from(vec![0, 1]);
    let values = Arc::new(StringArray::from(vec![Some("a"), None]));
    assert_eq!(tag(Arc::new(DictionaryArray::new(keys, values))).unwrap(), ["a", ""]);
    assert_eq!(tag(Arc::new(Int32Array::from(vec![-5, 7]))).unwrap(), ["-5", "7"]);
    assert_eq!(tag(Arc::new(NullArray::new(2))).unwrap(), ["constant"]);
    assert_eq!(
        tag(Arc::new(Float64Array::from(vec![1.5]))).unwrap_err().kind,
        SqlErrorKind::Invalid
    );
}

#[test]
fn times_are_never_null_and_never_numbers() {
    let with = |array: ArrayRef| {
        let batch = RecordBatch::try_from_iter_with_nullable([("time", array, true)]).unwrap();
        rows_of(&batch, &mapping()).unwrap_err().message
    };
    let null = with(Arc::new(TimestampNanosecondArray::from(vec![Some(1), None])));
    assert!(null.contains("row 1 is NULL"), "{null}");
    assert!(with(Arc::new(Int64Array::from(vec![1]))).contains("not a timestamp"));
    let other = Mapping { time: "when".into(), ..mapping() };
    let error = rows_of(&batch(times(1)), &other).unwrap_err();
    assert!(error.message.contains("no column \"when\"") && error.message.contains("time, x"));
}

#[test]
fn a_table_goes_out_and_in_again() {
    let base = Base::new();
    crate::support::ticks(&base, 5, 30);
    let batches = base.batches("SELECT * FROM ticks");
    let schema = base.db.table_schema("ticks").unwrap();
    let fields = [("price", FieldType::F64), ("size", FieldType::I64), ("flag", FieldType::Bool)];
    base.create("again", &["symbol", "venue"], &fields, MergeMode::Append);
    for batch in &batches {
        let mapping = Mapping { table: "again".into(), ..Mapping::of(&schema) };
        base.db.write(Batch::new().with(rows_of(batch, &mapping).unwrap())).unwrap();
    }
    assert_eq!(base.rows("SELECT * FROM again"), base.rows("SELECT * FROM ticks"));
}
