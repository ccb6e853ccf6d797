//! Databases with rows, and answers as text.

use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chronolith_engine::model::{Batch, FieldType, MergeMode, RowBuilder, TableOptions, Value};
use chronolith_engine::{Db, Options};
use chronolith_query::{Answer, Result, Session, SqlEngine, SqlError, SqlOptions};

/// A database in a folder that goes with it.
pub(crate) struct Base {
    pub(crate) db: Db,
    pub(crate) engine: SqlEngine,
    _folder: tempfile::TempDir,
}

impl Base {
    pub(crate) fn new() -> Self {
        Self::with(SqlOptions { partitions: 2, ..SqlOptions::default() })
    }

    pub(crate) fn with(options: SqlOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut opening = Options::new(folder.path().join("db"));
        opening.background = false;
        let db = Db::open(opening).unwrap();
        let engine = SqlEngine::new(db.clone(), options).unwrap();
        Self { db, engine, _folder: folder }
    }

    pub(crate) fn create(
        &self,
        name: &str,
        tags: &[&str],
        fields: &[(&str, FieldType)],
        merge: MergeMode,
    ) {
        let options = TableOptions {
            tags: tags.iter().map(|one| (*one).to_owned()).collect(),
            fields: fields.iter().map(|(name, of)| ((*name).to_owned(), *of)).collect(),
            merge,
            ..TableOptions::default()
        };
        self.db.create_table(name, options).unwrap();
    }

    pub(crate) fn write(&self, rows: RowBuilder) {
        self.db.write(Batch::new().with(rows.build().unwrap())).unwrap();
    }

    pub(crate) fn session(&self) -> Session {
        self.engine.session()
    }

    /// The rows, a line each, values parted by `|`.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        rows_of(&self.batches(sql))
    }

    pub(crate) fn batches(&self, sql: &str) -> Vec<RecordBatch> {
        match self.try_batches(sql) {
            Ok(batches) => batches,
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }

    pub(crate) fn try_batches(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        run(&self.session(), sql)
    }

    pub(crate) fn error(&self, sql: &str) -> SqlError {
        match self.try_batches(sql) {
            Ok(batches) => panic!("{sql} gives {:?}", rows_of(&batches)),
            Err(error) => error,
        }
    }

    /// The physical plan.
    pub(crate) fn plan(&self, sql: &str) -> String {
        let rows = self.batches(&format!("EXPLAIN {sql}"));
        let texts = rows.iter().flat_map(|batch| {
            let types = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8);
            let plans = arrow::compute::cast(batch.column(1), &arrow::datatypes::DataType::Utf8);
            let (types, plans) = (types.unwrap(), plans.unwrap());
            let types = arrow::array::AsArray::as_string::<i32>(&types).clone();
            let plans = arrow::array::AsArray::as_string::<i32>(&plans).clone();
            (0..batch.num_rows())
                .filter(|row| types.value(*row) == "physical_plan")
                .map(|row| plans.value(row).to_owned())
                .collect::<Vec<_>>()
        });
        texts.collect()
    }
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

pub(crate) fn execute(session: &Session, sql: &str) -> Result<Answer> {
    wait(session.execute(sql))
}

pub(crate) fn run(session: &Session, sql: &str) -> Result<Vec<RecordBatch>> {
    wait(async { session.execute(sql).await?.collect().await })
}

pub(crate) fn rows_of(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let values: Vec<_> = columns.iter().map(|one| one.value(row).to_string()).collect();
            rows.push(values.join("|"));
        }
    }
    rows
}

/// A table of ticks: `symbol` and `venue` (absent in every third series), prices with NaN, zeros and NULLs.
pub(crate) fn ticks(base: &Base, series: usize, rows: usize) {
    let fields = [("price", FieldType::F64), ("size", FieldType::I64), ("flag", FieldType::Bool)];
    base.create("ticks", &["symbol", "venue"], &fields, MergeMode::Append);
    let mut builder = RowBuilder::new("ticks");
    for row in 0..rows {
        for one in 0..series {
            let symbol = format!("S{one:03}");
            let venue = if one % 3 == 0 { "" } else { "X" };
            let price = match (row + one) % 7 {
                0 => Value::F64(f64::NAN),
                1 => Value::F64(-0.0),
                2 => Value::F64(0.0),
                3 => Value::Null,
                _ => Value::F64((row * 3 + one) as f64 / 4.0 - 5.0),
            };
            let size = if row % 5 == 4 { Value::Null } else { Value::I64((row * one) as i64 - 20) };
            let flag = Value::Bool((row + one) % 2 == 0);
            builder.push(
                row as i64 * 1_000,
                &[("symbol", &symbol), ("venue", venue)],
                &[("price", price), ("size", size), ("flag", flag)],
            );
        }
    }
    base.write(builder);
}
