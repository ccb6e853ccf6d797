//! The handles: [`SqlEngine`] for a database, [`Session`] for one user of it. Statements run on the engine's own threads, never on the caller's.

use std::sync::Arc;

use chronolith_engine::{Db, budget::MemoryBudget};
use datafusion::execution::SessionState;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::answer::{Answer, SnapshotId};
use crate::control::CancelHandle;
use crate::error::{Result, SqlError};
use crate::run::Run;
use crate::{functions, statement};

/// Bytes of stack of each query thread; only what is touched takes memory.
const STACK_BYTES: usize = 16 << 20;
/// Rows of a batch that operators hand on.
const BATCH_ROWS: usize = 8192;

/// Whether statements may write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Writes {
    /// They may.
    #[default]
    Allow,
    /// They may not, for this reason.
    Refuse(String),
}

/// How statements are run.
#[derive(Debug, Clone)]
pub struct SqlOptions {
    /// Streams that a scan is split into, and threads that run queries; at least 1.
    pub partitions: usize,
    /// Rows of a batch at most.
    pub batch_rows: usize,
    /// Bytes that one query may hold; none: half of the budget's limit.
    pub memory_bytes: Option<usize>,
    /// Nanoseconds that one statement may run, its answer's reading included; none: no deadline.
    pub deadline_ns: Option<u64>,
    /// Whether `read_csv` and `read_parquet` may read files of this machine: only where the user runs the process.
    pub read_files: bool,
    /// Whether statements may write.
    pub writes: Writes,
    /// The budget from which queries take their memory; none: each query has its own limit alone.
    pub budget: Option<Arc<MemoryBudget>>,
}

impl Default for SqlOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            partitions: cores,
            batch_rows: BATCH_ROWS,
            memory_bytes: None,
            deadline_ns: None,
            read_files: false,
            writes: Writes::default(),
            budget: None,
        }
    }
}

/// SQL on a database. Clones share it; the last one dropped ends its threads.
#[derive(Clone)]
pub struct SqlEngine {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    options: SqlOptions,
    database_id: u128,
    template: SessionState,
    runtime: Option<tokio::runtime::Runtime>,
    /// A thread of its own, so that deadlines come however busy the query threads are.
    timers: Option<tokio::runtime::Runtime>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Waiting for its threads would be refused where the last handle is dropped by async code.
        for runtime in [self.runtime.take(), self.timers.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

impl SqlEngine {
    /// SQL on `db`, with threads of its own.
    ///
    /// # Errors
    /// `Internal` where the system gives no threads.
    pub fn new(db: Db, mut options: SqlOptions) -> Result<Self> {
        options.partitions = options.partitions.max(1);
        options.batch_rows = options.batch_rows.max(1);
        let runtime = Some(threads("chronolith-query", options.partitions)?);
        let timers = Some(threads("chronolith-deadline", 1)?);
        let database_id = db.database_id();
        let template = functions::template(&options)?;
        let inner = Inner { db, options, database_id, template, runtime, timers };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// How statements are run.
    #[must_use]
    pub fn options(&self) -> &SqlOptions {
        &self.inner.options
    }

    /// The database's identity.
    #[must_use]
    pub fn database_id(&self) -> u128 {
        self.inner.database_id
    }

    /// What every statement's state begins as: functions, rules, options.
    pub(crate) fn template(&self) -> &SessionState {
        &self.inner.template
    }

    /// The threads of queries.
    pub(crate) fn handle(&self) -> Result<&Handle> {
        let runtime = self.inner.runtime.as_ref().map(tokio::runtime::Runtime::handle);
        runtime.ok_or_else(|| SqlError::internal("the threads of queries have ended"))
    }

    /// The thread of deadlines.
    pub(crate) fn timers(&self) -> Result<&Handle> {
        let runtime = self.inner.timers.as_ref().map(tokio::runtime::Runtime::handle);
        runtime.ok_or_else(|| SqlError::internal("the thread of deadlines has ended"))
    }

    /// A session in UTC, with the engine's options.
    #[must_use]
    pub fn session(&self) -> Session {
        Session {
            engine: self.clone(),
            time_zone: Zone::new("UTC"),
            deadline_ns: self.inner.options.deadline_ns,
            memory_bytes: self.inner.options.memory_bytes,
            at: None,
            cancel: CancelHandle::default(),
        }
    }
}

/// A session's time zone, which a statement may set.
pub(crate) struct Zone(Arc<Mutex<String>>);

impl Zone {
    fn new(name: &str) -> Self {
        Self(Arc::new(Mutex::new(name.to_owned())))
    }

    /// The name at present.
    pub(crate) fn name(&self) -> String {
        self.0.lock().clone()
    }

    /// Another name from the next statement on.
    pub(crate) fn set(&self, name: &str) {
        name.clone_into(&mut self.0.lock());
    }

    /// The same zone, not a copy.
    pub(crate) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Clone for Zone {
    fn clone(&self) -> Self {
        Self::new(&self.name())
    }
}

fn threads(name: &str, count: usize) -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(count)
        .thread_name(name)
        // Trees of deep statements are walked, and released, by recursion: see statement/depth.rs.
        .thread_stack_size(STACK_BYTES)
        .enable_time()
        .build()
        .map_err(|error| SqlError::internal(format!("no threads for queries: {error}")))
}

/// One user's statements. Clones have settings of their own and share the cancel handle.
#[derive(Clone)]
pub struct Session {
    pub(crate) engine: SqlEngine,
    pub(crate) time_zone: Zone,
    pub(crate) deadline_ns: Option<u64>,
    pub(crate) memory_bytes: Option<usize>,
    pub(crate) at: Option<SnapshotId>,
    pub(crate) cancel: CancelHandle,
}

impl Session {
    /// The same with a deadline for each statement, in nanoseconds from its begin; none: no deadline.
    #[must_use]
    pub fn with_deadline(mut self, deadline_ns: Option<u64>) -> Self {
        self.deadline_ns = deadline_ns;
        self
    }

    /// The same with a limit of bytes for each statement.
    #[must_use]
    pub fn with_memory(mut self, memory_bytes: Option<usize>) -> Self {
        self.memory_bytes = memory_bytes;
        self
    }

    /// The same in another time zone: `UTC`, a name such as `Europe/Berlin`, or an offset such as `+01:00`.
    #[must_use]
    pub fn with_time_zone(mut self, time_zone: &str) -> Self {
        self.time_zone = Zone::new(time_zone);
        self
    }

    /// The same with every statement reading the moment `at`; none: the present of each statement.
    #[must_use]
    pub fn with_snapshot(mut self, at: Option<SnapshotId>) -> Self {
        self.at = at;
        self
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &SqlEngine {
        &self.engine
    }

    /// The time zone's name.
    #[must_use]
    pub fn time_zone(&self) -> String {
        self.time_zone.name()
    }

    /// The moment that statements read, where it is not each statement's present.
    #[must_use]
    pub fn snapshot(&self) -> Option<SnapshotId> {
        self.at
    }

    /// A handle that cancels what it and its clones run.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// Runs one statement. The answer's rows are computed as they are read. Dropping the future, or the answer, ends the statement.
    ///
    /// # Errors
    /// Every [`SqlError`]; those of running come from the answer's stream.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn execute(&self, sql: &str) -> Result<Answer> {
        let run = Run::begin(self)?;
        let sql = sql.to_owned();
        run.supervise(|run| async move { statement::execute(&run, &sql).await }).await
    }
}

/// The statements of a script, as they stand in its text, without the semicolons between them.
#[must_use]
pub fn statements(script: &str) -> Vec<&str> {
    statement::split(script)
}
