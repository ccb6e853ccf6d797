//! One statement while it runs: one snapshot, one memory pool, one switch that ends it. All its tables read the same snapshot.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use chronolith_engine::Db;
use chronolith_engine::snapshot::Snapshot;
use datafusion::execution::context::SessionContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::sql::parser::Statement;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinHandle};

use crate::answer::{Answer, AnswerStream};
use crate::catalog::{CATALOG, EngineCatalogs};
use crate::control::Control;
use crate::error::{Result, SqlError};
use crate::files::FileTables;
use crate::memory::QueryPool;
use crate::session::{Session, SqlEngine, Zone};
use crate::watch::watched;
use crate::{sequence_column, sugar};

/// Batches that wait between a query and whoever reads its answer.
const BATCHES_AHEAD: usize = 2;

/// A running statement. Whoever holds it may plan and run; dropping the last handle ends its deadline's timer.
pub struct Run {
    engine: SqlEngine,
    time_zone: String,
    zone: Zone,
    snapshot: Snapshot,
    context: SessionContext,
    control: Arc<Control>,
    pool: Arc<QueryPool>,
    timer: Option<AbortHandle>,
    /// Whether tables show their rows' commit counters.
    with_sequence: Arc<AtomicBool>,
    /// The files that the statement reads.
    files: Arc<FileTables>,
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(timer) = &self.timer {
            timer.abort();
        }
    }
}

impl Run {
    /// Begins a statement of `session`: takes the snapshot and starts the deadline.
    ///
    /// # Errors
    /// `Invalid` for a snapshot id of another database; the engine's for one that is lost.
    pub(crate) fn begin(session: &Session) -> Result<Arc<Self>> {
        let engine = session.engine.clone();
        let snapshot = match session.at {
            None => engine.db().snapshot(),
            Some(id) if id.database_id == engine.database_id() => {
                engine.db().snapshot_at(id.sequence)?
            }
            Some(_) => return Err(SqlError::invalid("the snapshot id is of another database")),
        };
        let control = Control::new(session.deadline_ns);
        session.cancel.watch(&control);
        let timer =
            session.deadline_ns.map(|deadline_ns| start_timer(&engine, &control, deadline_ns));
        let timer = timer.transpose()?;
        let pool = QueryPool::new(engine.options().budget.as_ref(), session.memory_bytes);
        let with_sequence = Arc::new(AtomicBool::new(false));
        let files = FileTables::new(engine.options().read_files);
        let catalogs = EngineCatalogs::new(&engine, &snapshot, &control, &with_sequence, &files);
        let context = context(session, catalogs, &pool)?;
        let (time_zone, zone) = (session.time_zone.name(), session.time_zone.share());
        Ok(Arc::new(Self {
            engine,
            time_zone,
            zone,
            snapshot,
            context,
            control,
            pool,
            timer,
            with_sequence,
            files,
        }))
    }

    /// Runs `work` on the query threads, and gives up at the deadline, at a cancel, or when the caller does.
    pub(crate) async fn supervise<F, W>(self: Arc<Self>, work: W) -> Result<Answer>
    where
        F: Future<Output = Result<Answer>> + Send + 'static,
        W: FnOnce(Arc<Self>) -> F,
    {
        let control = Arc::clone(&self.control);
        let work = work(Arc::clone(&self));
        let task = EndOnDrop::new(self.engine.handle()?.spawn(work), Arc::clone(&control));
        drop(self);
        task.result(&control).await
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> &Db {
        self.engine.db()
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &SqlEngine {
        &self.engine
    }

    /// What the statement reads.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The files that the statement reads.
    pub(crate) fn files(&self) -> &FileTables {
        &self.files
    }

    /// The session's time zone.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        &self.time_zone
    }

    /// Sets the session's time zone, from the next statement on.
    pub(crate) fn set_time_zone(&self, name: &str) {
        self.zone.set(name);
    }

    /// DataFusion's context of this statement: its tables are those of the snapshot.
    #[must_use]
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// The switch that ends the statement. Loops outside DataFusion ask it once a batch.
    #[must_use]
    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// The statement's memory.
    #[must_use]
    pub fn pool(&self) -> &Arc<QueryPool> {
        &self.pool
    }

    /// Plans a query (`SELECT`, `EXPLAIN`, ...) that the statement side let through.
    ///
    /// # Errors
    /// `Unknown`, `Ambiguous`, `Invalid`.
    pub async fn plan(&self, statement: Statement) -> Result<LogicalPlan> {
        let mut statement = statement;
        sugar::complete(&mut statement);
        if sequence_column::is_named(&statement) {
            self.with_sequence.store(true, Ordering::Release);
            statement = sequence_column::hide_in_wildcards(statement, &self.snapshot)?;
        }
        Ok(self.context.state().statement_to_plan(statement).await?)
    }

    /// Optimises and starts a planned query. Its rows are computed as the answer is read.
    ///
    /// # Errors
    /// Those of planning.
    pub async fn query(self: &Arc<Self>, plan: LogicalPlan) -> Result<Answer> {
        let said = SchemaRef::clone(plan.schema().inner());
        let stream = self.stream(plan).await?;
        let schema = shown(&said, &stream.schema());
        let stream = self.forward(stream, &schema)?;
        Ok(Answer::new(schema, self.engine.database_id(), &self.snapshot, None, stream))
    }

    /// The batches of a planned query, polled by whoever holds them: for `INSERT ... SELECT` and the like.
    ///
    /// # Errors
    /// Those of planning.
    pub async fn stream(&self, plan: LogicalPlan) -> Result<SendableRecordBatchStream> {
        self.control.check()?;
        let state = self.context.state();
        let plan = state.create_physical_plan(&plan).await?;
        let plan = watched(plan, &self.control)?;
        Ok(execute_stream(plan, state.task_ctx())?)
    }

    /// An answer of rows that are there already, as of the statement's snapshot.
    #[must_use]
    pub fn rows(&self, schema: SchemaRef, batches: Vec<RecordBatch>) -> Answer {
        let stream = futures::stream::iter(batches.into_iter().map(Ok)).boxed();
        Answer::new(schema, self.engine.database_id(), &self.snapshot, None, stream)
    }

    /// The answer of a statement that wrote: no rows, how many it touched, and the moment after it.
    #[must_use]
    pub fn written(&self, affected_rows: Option<u64>) -> Answer {
        let schema = SchemaRef::new(arrow::datatypes::Schema::empty());
        let stream = futures::stream::empty().boxed();
        let now = self.db().snapshot();
        Answer::new(schema, self.engine.database_id(), &now, affected_rows, stream)
    }

    /// Polls `stream` on the query threads, a few batches ahead of the reader.
    fn forward(
        self: &Arc<Self>,
        mut stream: SendableRecordBatchStream,
        schema: &SchemaRef,
    ) -> Result<AnswerStream> {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let schema = SchemaRef::clone(schema);
        let task = self.engine.handle()?.spawn(async move {
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(SqlError::from);
                let batch =
                    batch.and_then(|batch| Ok(batch.with_schema(SchemaRef::clone(&schema))?));
                let failed = batch.is_err();
                if sender.send(batch).await.is_err() || failed {
                    break;
                }
            }
        });
        let task = EndOnDrop::new(task, Arc::clone(&self.control));
        let run = Arc::clone(self);
        let state = Forward { receiver, task: Some(task), run };
        Ok(futures::stream::unfold(state, Forward::next).boxed())
    }
}

/// The schema of an answer: what the statement said, for what its operators know beside comes of the data at hand, such as
/// that a column has no NULL. Types are those of the operators: what the statement's text adds is coerced while it is planned.
fn shown(said: &Schema, found: &Schema) -> SchemaRef {
    let fields = said.fields().iter().zip(found.fields());
    let fields = fields.map(|(said, found)| {
        let may_lack = said.is_nullable() || found.is_nullable();
        Field::clone(said).with_data_type(found.data_type().clone()).with_nullable(may_lack)
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), said.metadata().clone()))
}

/// A query's batches on their way to the reader.
struct Forward {
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    task: Option<EndOnDrop<()>>,
    /// Held until the answer is read: the deadline covers it.
    run: Arc<Run>,
}

impl Forward {
    async fn next(mut self) -> Option<(Result<RecordBatch>, Self)> {
        self.task.as_ref()?;
        let received = tokio::select! {
            biased;
            error = self.run.control.ended() => Some(Err(error)),
            received = self.receiver.recv() => received,
        };
        let item = match received {
            Some(item) => item,
            // The end, unless the task fell over: then rows are missing.
            None => match self.task.take()?.join().await {
                Ok(()) => return None,
                Err(error) => Err(fell_over(error)),
            },
        };
        if item.is_err() {
            self.task = None;
        }
        Some((item, self))
    }
}

fn fell_over(error: JoinError) -> SqlError {
    let Ok(panic) = error.try_into_panic() else {
        return SqlError::internal("the query's task was ended");
    };
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    SqlError::internal(format!("the query panicked: {text}"))
}

/// A task that is ended when nobody waits for it any more.
struct EndOnDrop<T> {
    task: JoinHandle<T>,
    control: Arc<Control>,
    done: bool,
}

impl<T> EndOnDrop<T> {
    fn new(task: JoinHandle<T>, control: Arc<Control>) -> Self {
        Self { task, control, done: false }
    }

    async fn join(mut self) -> std::result::Result<T, JoinError> {
        let joined = (&mut self.task).await;
        self.done = true;
        joined
    }
}

impl<T> EndOnDrop<Result<T>> {
    async fn result(self, control: &Control) -> Result<T> {
        tokio::select! {
            biased;
            error = control.ended() => Err(error),
            joined = self.join() => joined.unwrap_or_else(|error| Err(fell_over(error))),
        }
    }
}

impl<T> Drop for EndOnDrop<T> {
    fn drop(&mut self) {
        if !self.done {
            // Scans look at the switch; everything else ends where it waits.
            self.control.cancel();
            self.task.abort();
        }
    }
}

fn start_timer(
    engine: &SqlEngine,
    control: &Arc<Control>,
    deadline_ns: u64,
) -> Result<AbortHandle> {
    let control = Arc::downgrade(control);
    let timer = engine.timers()?.spawn(async move {
        tokio::time::sleep(Duration::from_nanos(deadline_ns)).await;
        if let Some(control) = control.upgrade() {
            control.expire();
        }
    });
    Ok(timer.abort_handle())
}

fn context(
    session: &Session,
    catalogs: EngineCatalogs,
    pool: &Arc<QueryPool>,
) -> Result<SessionContext> {
    // Nothing spills: what does not fit is refused, so no file of a query is ever left behind.
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let environment = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::clone(pool) as _)
        .with_disk_manager_builder(disk)
        .build_arc()?;
    let template = session.engine.template();
    let mut config = template.config().clone();
    config.options_mut().execution.time_zone = Some(session.time_zone.name());
    debug_assert_eq!(config.options().catalog.default_catalog, CATALOG);
    let state = SessionStateBuilder::new_from_existing(template.clone())
        .with_config(config)
        .with_runtime_env(environment)
        .with_catalog_list(Arc::new(catalogs))
        .build();
    Ok(SessionContext::new_with_state(state))
}
