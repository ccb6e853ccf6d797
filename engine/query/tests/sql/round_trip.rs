//! What SHOW CREATE TABLE gives makes the same table again, whatever its names and types.

use arrow::array::AsArray;
use chronolith_engine::catalog::check_column_name;
use chronolith_engine::model::{FieldType, MergeMode, SchemaMode, TableOptions, TableSchema};
use chronolith_engine::rng::{Rng, SeededRng};
use chronolith_query::identifier::quote;

use crate::support::Fixture;

/// Names and types from one seed.
struct Choice(SeededRng);

impl Choice {
    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.0.next_u64() % count as u64).unwrap()
    }

    fn name(&mut self) -> String {
        const NAMES: [&str; 8] =
            ["select", "Adj Close", "primary", "Time", "constraint", "T", "t", "like"];
        const LETTERS: [char; 20] = [
            'a', 'B', 'z', '_', '9', ' ', ',', ';', '.', '\'', '"', '`', '(', ')', '-', '\\', 'ä',
            '価', '$', '%',
        ];
        loop {
            let name = match self.below(3) {
                0 => NAMES[self.below(NAMES.len())].to_owned(),
                _ => (0..=self.below(9)).map(|_| LETTERS[self.below(LETTERS.len())]).collect(),
            };
            if check_column_name(&name).is_ok() && !name.eq_ignore_ascii_case("time") {
                return name;
            }
        }
    }

    fn field_type(&mut self) -> FieldType {
        match self.below(8) {
            0 => FieldType::F64,
            1 => FieldType::I64,
            2 => FieldType::U64,
            3 => FieldType::Bool,
            4 => FieldType::Utf8,
            5 => FieldType::Timestamp,
            _ => {
                let precision = u8::try_from(1 + self.below(18)).unwrap();
                let scale = u8::try_from(self.below(usize::from(precision) + 1)).unwrap();
                FieldType::decimal(precision, scale).unwrap()
            }
        }
    }

    fn options(&mut self) -> TableOptions {
        let merges = [MergeMode::Append, MergeMode::LastRow, MergeMode::LastNonNull];
        let history_ns = match self.below(3) {
            0 => 0,
            1 => i64::try_from(self.0.next_u64() >> 1).unwrap(),
            _ => i64::try_from(self.below(400)).unwrap() * 86_400_000_000_000,
        };
        let mut options = TableOptions {
            merge: merges[self.below(3)],
            mode: if self.below(2) == 0 { SchemaMode::Dynamic } else { SchemaMode::Strict },
            history_ns: Some(history_ns),
            time_name: if self.below(2) == 0 { String::new() } else { self.name() },
            ..TableOptions::default()
        };
        let mut names: Vec<String> = (0..self.below(7)).map(|_| self.name()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            if self.below(3) == 0 {
                options.tags.push(name);
            } else {
                options.fields.push((name, self.field_type()));
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
    let db = fixture.engine.db();
    for seed in 0..150 {
        let mut choice = Choice(SeededRng::new(seed));
        let (table, options) = (choice.name(), choice.options());
        db.create_table(&table, options.clone())
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let shown = fixture.run(&format!("SHOW CREATE TABLE {}", quote(&table))).unwrap().0;
        let statement = shown[0].column(0).as_string::<i32>().value(0).to_owned();
        db.drop_table(&table).unwrap();
        fixture.run(&statement).unwrap_or_else(|error| panic!("seed {seed}: {statement}: {error}"));
        let schema = db.table_schema(&table).unwrap();
        assert_eq!(said(&schema), options, "seed {seed}: {statement}");
        db.drop_table(&table).unwrap();
    }
}
