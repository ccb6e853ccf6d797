//! A database in a folder of its own, and answers as text.

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chronolith_engine::{Db, Options};
use chronolith_query::{Session, SqlEngine, SqlError, SqlOptions};
use tempfile::TempDir;

pub(crate) struct Fixture {
    pub(crate) session: Session,
    pub(crate) engine: SqlEngine,
    pub(crate) runtime: tokio::runtime::Runtime,
    // Dropped last: the database closes before its folder goes.
    pub(crate) dir: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(|options| options)
    }

    pub(crate) fn with(change: impl FnOnce(SqlOptions) -> SqlOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(Options::new(dir.path())).unwrap();
        let options = SqlOptions { partitions: 2, ..SqlOptions::default() };
        let engine = SqlEngine::new(db, change(options)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { session: engine.session(), engine, runtime, dir }
    }

    pub(crate) fn run(&self, sql: &str) -> Result<(Vec<RecordBatch>, Option<u64>), SqlError> {
        self.runtime.block_on(async {
            let answer = self.session.execute(sql).await?;
            let affected = answer.affected_rows;
            Ok((answer.collect().await?, affected))
        })
    }

    /// The rows as text, a line each.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        lines(&self.run(sql).unwrap_or_else(|error| panic!("{sql}: {error}")).0)
    }

    pub(crate) fn affected(&self, sql: &str) -> Option<u64> {
        self.run(sql).unwrap_or_else(|error| panic!("{sql}: {error}")).1
    }

    pub(crate) fn error(&self, sql: &str) -> SqlError {
        match self.run(sql) {
            Ok((rows, _)) => panic!("{sql} gave {:?}", lines(&rows)),
            Err(error) => error,
        }
    }
}

pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|one| ArrayFormatter::try_new(one.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells = columns.iter().zip(batch.columns()).map(|(column, array)| {
                if array.is_null(row) {
                    return "NULL".to_owned();
                }
                let text = column.value(row).to_string();
                if text.is_empty() { "(empty)".into() } else { text }
            });
            lines.push(cells.collect::<Vec<_>>().join(" "));
        }
    }
    lines
}
