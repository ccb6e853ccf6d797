//! What commits accept, refuse and promise, through the handle on a simulated disk.

mod failures;
mod imports;
mod limits;
mod pipeline;
mod tail;
mod values;

use std::sync::Arc;

use chronolith_codec::{Bitmap, TextBuf};

use crate::clock::ManualClock;
use crate::db::{Db, Environment, Options, WriteOutcome};
use crate::error::{Error, Result};
use crate::executor::DeterministicExecutor;
use crate::model::{
    Batch, Column, ColumnData, FieldColumn, FieldType, InvalidRows, MergeMode, OnPressure,
    RowBuilder, SchemaMode, TableOptions, TableRows, TagColumn, TagValues, Value,
};
use crate::read::ScanRequest;
use crate::rng::SeededRng;
use crate::vfs::sim::SimVfs;

/// A database with the disk and the executor that it runs on.
struct Bench {
    vfs: SimVfs,
    executor: Arc<DeterministicExecutor>,
    db: Db,
}

fn options(vfs: &SimVfs, executor: &Arc<DeterministicExecutor>, seed: u64) -> Options {
    Options {
        log_prepare_bytes: 4096,
        background: false,
        memory_bytes: Some(64 << 20),
        environment: Environment {
            vfs: Arc::new(vfs.clone()),
            clock: Arc::new(ManualClock::at(1_700_000_000_000_000_000)),
            rng: Arc::new(SeededRng::new(seed)),
            executor: Arc::clone(executor) as _,
        },
        ..Options::new("/db")
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::open(SimVfs::new(7), change)
    }

    fn open(vfs: SimVfs, change: impl FnOnce(&mut Options)) -> Self {
        let seed = vfs.call_count() + 1;
        let executor = Arc::new(DeterministicExecutor::new(seed));
        let mut options = options(&vfs, &executor, seed);
        change(&mut options);
        Self { db: Db::open(options).unwrap(), vfs, executor }
    }

    /// The same disk as the next process finds it.
    fn reopen(self) -> Self {
        let Self { vfs, db, .. } = self;
        drop(db);
        Self::open(vfs, |_| {})
    }

    /// A table `t` with the tag `tag` and these fields.
    fn table(&self, mode: SchemaMode, fields: &[(&str, FieldType)]) {
        let fields = fields.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        let options =
            TableOptions { tags: vec!["tag".into()], fields, mode, ..TableOptions::default() };
        self.db.create_table("t", options).unwrap();
    }

    /// Commits rows of `t` and gives the error's text.
    fn refused(&self, rows: TableRows) -> String {
        let before = self.db.snapshot().sequence();
        let error = self.db.write(Batch::new().with(rows)).unwrap_err();
        assert_eq!(self.db.snapshot().sequence(), before, "{error}");
        error.to_string()
    }

    fn rows(&self) -> Vec<(String, i64, Vec<Value>)> {
        rows_of(&self.db, "t")
    }
}

/// Every row of a table: first tag, time, values.
fn rows_of(db: &Db, table: &str) -> Vec<(String, i64, Vec<Value>)> {
    let mut found = Vec::new();
    for batch in db.scan(&ScanRequest::new(table)).unwrap() {
        let batch = batch.unwrap();
        for run in &batch.series {
            for row in run.rows.clone() {
                let values = (0..batch.fields.len()).map(|field| batch.value(field, row));
                found.push((run.key.tag(0).to_owned(), batch.time()[row], values.collect()));
            }
        }
    }
    found
}

/// Rows of `t`, created when it is missing, with the tag `a` and one field.
fn field(name: &str, values: &[Value]) -> TableRows {
    let mut builder = RowBuilder::new("t").create_if_missing(TableOptions::default());
    for (time, value) in (0..).zip(values) {
        builder.push(time, &[("tag", "a")], &[(name, value.clone())]);
    }
    builder.build().unwrap()
}

/// The same with a column as it is.
fn column(name: &str, field_type: FieldType, column: Column) -> TableRows {
    TableRows {
        table: "t".into(),
        create_if_missing: Some(TableOptions::default()),
        time: (0..).take(column.len()).collect(),
        tags: Vec::new(),
        fields: vec![FieldColumn { name: name.into(), field_type, column }],
    }
}

fn batch(rows: TableRows) -> Batch {
    Batch::new().with(rows)
}

fn accepting_the_valid(rows: TableRows) -> Batch {
    Batch { invalid_rows: InvalidRows::RefuseRows, ..batch(rows) }
}
