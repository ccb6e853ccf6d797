//! What SHOW CREATE TABLE gives makes the same table again, whatever its names and types.

use chronolith_engine::model::{FieldType, MergeMode, SchemaMode, TableOptions, TableSchema};
use proptest::prelude::*;

use crate::support::Fixture;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,8}",
        "[A-Za-z ,;.'\"`()\\\\-]{1,12}",
        "\\PC{1,6}",
        Just("select".to_owned()),
        Just("Adj Close".to_owned()),
        Just("primary".to_owned()),
        Just("Time".to_owned()),
        Just("constraint".to_owned()),
    ]
    .prop_filter("the engine takes it", |name| {
        chronolith_engine::catalog::check_column_name(name).is_ok() && !name.eq_ignore_ascii_case("time")
    })
}

fn field_type() -> impl Strategy<Value = FieldType> {
    prop_oneof![
        Just(FieldType::F64),
        Just(FieldType::I64),
        Just(FieldType::U64),
        Just(FieldType::Bool),
        Just(FieldType::Utf8),
        Just(FieldType::Timestamp),
        (1_u8..=18).prop_flat_map(|precision| (0..=precision)
            .prop_map(move |scale| FieldType::Decimal { precision, scale })),
    ]
}

prop_compose! {
    fn options()(
        names in proptest::collection::hash_set(name(), 0..6),
        types in proptest::collection::vec(proptest::option::of(field_type()), 6),
        merge in prop_oneof![Just(MergeMode::Append), Just(MergeMode::LastRow), Just(MergeMode::LastNonNull)],
        strict in any::<bool>(),
        history_ns in prop_oneof![Just(0), 0..i64::MAX, (1_i64..400).prop_map(|days| days * 86_400_000_000_000)],
        time_name in prop_oneof![Just(String::new()), name()],
    ) -> TableOptions {
        let mut options = TableOptions {
            merge,
            mode: if strict { SchemaMode::Strict } else { SchemaMode::Dynamic },
            history_ns: Some(history_ns),
            time_name,
            ..TableOptions::default()
        };
        for (name, field_type) in names.into_iter().zip(types) {
            match field_type {
                Some(field_type) => options.fields.push((name, field_type)),
                None => options.tags.push(name),
            }
        }
        options
    }
}

fn said(schema: &TableSchema) -> TableOptions {
    TableOptions {
        tags: schema.tags.iter().map(|tag| tag.name.clone()).collect(),
        fields: schema.fields.iter().map(|one| (one.name.clone(), one.field_type)).collect(),
        merge: schema.merge,
        mode: schema.mode,
        history_ns: Some(schema.history_ns),
        time_name: schema.time_name.clone(),
    }
}

#[test]
fn show_create_table_reads_back() {
    let fixture = Fixture::new();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 200, ..ProptestConfig::default() });
    runner
        .run(&(name(), options()), |(table, options)| {
            prop_assume!(!table.starts_with("chronolith_"));
            let db = fixture.engine.db();
            db.create_table(&table, options.clone()).unwrap();
            let quoted = chronolith_query::identifier::quote(&table);
            let shown = fixture.run(&format!("SHOW CREATE TABLE {quoted}")).unwrap().0;
            let statement = arrow::array::AsArray::as_string::<i32>(shown[0].column(0).as_ref()).value(0).to_owned();
            db.drop_table(&table).unwrap();
            let made = fixture.run(&statement);
            prop_assert!(made.is_ok(), "{}: {:?}", statement, made.err());
            let schema = db.table_schema(&table).unwrap();
            db.drop_table(&table).unwrap();
            prop_assert_eq!(said(&schema), options, "{}", statement);
            Ok(())
        })
        .unwrap();
}
