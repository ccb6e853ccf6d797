//! Reads against naive computations over the same rows, which share no code with the engine.

mod aggregate;
mod filters;
mod latest;
mod model;
mod scan;
mod snapshots;

use std::sync::Arc;

use self::model::{FIELDS, Model, Row, value_of};
use crate::clock::ManualClock;
use crate::db::{Db, Environment, Options};
use crate::error::Error;
use crate::executor::DeterministicExecutor;
use crate::model::{
    Batch, Comparison, FieldType, MergeMode, Predicate, RowBuilder, TableOptions, TagFilter,
    TimeRange, Value,
};
use crate::read::{
    AggregateFunction, AggregateRequest, Aggregation, Bucket, ScanBatch, ScanPart, ScanRequest,
};
use crate::rng::{Rng, SeededRng};
use crate::snapshot::Snapshot;
use crate::vfs::sim::SimVfs;

const START_NS: i64 = 1_700_000_000_000_000_000;

/// A database in memory, whose clock a test moves.
struct Bench {
    db: Db,
    clock: Arc<ManualClock>,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::at(START_NS));
        let environment = Environment {
            vfs: Arc::new(SimVfs::new(seed)),
            clock: Arc::clone(&clock) as _,
            rng: Arc::new(SeededRng::new(seed)),
            executor: Arc::new(DeterministicExecutor::new(seed)),
        };
        let options = Options {
            log_prepare_bytes: 4096,
            background: false,
            memory_bytes: Some(1 << 30),
            window_rows_min: 50,
            environment,
            ..Options::new("/db")
        };
        Self { db: Db::open(options).unwrap(), clock }
    }

    /// The table `t` with the tags a and b and a field of every type.
    fn with_table(seed: u64, merge: MergeMode, history_ns: Option<i64>) -> Self {
        let bench = Self::new(seed);
        let options = TableOptions {
            tags: vec!["a".into(), "b".into()],
            fields: FIELDS.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
            merge,
            history_ns,
            time_name: "ts_s".into(),
            ..TableOptions::default()
        };
        bench.db.create_table("t", options).unwrap();
        bench
    }

    /// Commits rows as one batch, in the engine and in the model.
    fn write(&self, model: &mut Model, rows: &[Row]) {
        let mut builder = RowBuilder::new("t");
        for row in rows {
            let fields: Vec<_> = FIELDS
                .iter()
                .zip(&row.values)
                .filter(|(_, value)| **value != Value::Null)
                .map(|((name, _), value)| (*name, value.clone()))
                .collect();
            builder.push(row.time, &[("a", &row.tags[0]), ("b", &row.tags[1])], &fields);
        }
        let outcome = self.db.write(Batch::new().with(builder.build().unwrap())).unwrap();
        self.clock.advance_ns(1_000_000_000);
        model.commit(outcome.sequence, rows);
    }
}

/// Every row of these batches, with all fields that are given.
fn rows_of(batches: impl Iterator<Item = crate::error::Result<ScanBatch>>) -> Vec<Row> {
    let mut found = Vec::new();
    for batch in batches {
        let batch = batch.unwrap();
        assert!(batch.row_count() > 0, "an empty batch");
        let mut covered = 0;
        for run in &batch.series {
            assert_eq!(run.rows.start, covered, "a gap between runs");
            covered = run.rows.end;
            for row in run.rows.clone() {
                found.push(Row {
                    tags: [run.key.tag(0).into(), run.key.tag(1).into()],
                    time: batch.time()[row],
                    sequence: batch.sequence().get(row).copied().unwrap_or_default(),
                    values: (0..batch.fields.len()).map(|at| batch.value(at, row)).collect(),
                });
            }
        }
        assert_eq!(covered, batch.row_count());
    }
    found
}

fn scan(snapshot: &Snapshot, request: &ScanRequest) -> Vec<Row> {
    rows_of(snapshot.scan(request).unwrap())
}

/// Compares rows by the text of their values, so that NaN equals itself and zeros differ.
fn assert_same(found: &[Row], expected: &[Row], what: &str) {
    let text =
        |rows: &[Row]| -> Vec<String> { rows.iter().map(|row| format!("{row:?}")).collect() };
    let (found, expected) = (text(found), text(expected));
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "row {at}: {what}");
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}

struct Random(SeededRng);

impl Random {
    fn below(&self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    /// Rows of a few series over a few hours, with ties, NULLs and extreme values.
    fn rows(&self, count: u64) -> Vec<Row> {
        let row = |_| {
            let time = match self.below(40) {
                0 => *self.pick(&[i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX]),
                _ => START_NS + self.below(300).cast_signed() * 60_000_000_000,
            };
            let values = FIELDS.iter().map(|(_, kind)| match self.below(4) {
                0 => Value::Null,
                _ => value_of(*kind, self.below(64)),
            });
            let tag = |values: &[&str]| (*self.pick(values)).to_owned();
            Row {
                tags: [tag(&["", "A", "B", "BRK.B", "C"]), tag(&["", "x", "y"])],
                time,
                sequence: crate::model::Sequence::ZERO,
                values: values.collect(),
            }
        };
        (0..count).map(row).collect()
    }
}

/// Rows over segments of several windows and what stays in memory, in every merge mode.
fn filled(seed: u64, merge: MergeMode) -> (Bench, Model) {
    let bench = Bench::with_table(seed, merge, None);
    let mut model = Model::new(merge);
    let random = Random(SeededRng::new(seed));
    for round in 0..12 {
        let count = 1 + random.below(60);
        bench.write(&mut model, &random.rows(count));
        if round % 4 == 2 {
            bench.db.flush().unwrap();
        }
        if round == 7 {
            bench.db.compact().unwrap();
        }
    }
    (bench, model)
}

const MODES: [MergeMode; 3] = [MergeMode::Append, MergeMode::LastRow, MergeMode::LastNonNull];
