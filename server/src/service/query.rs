//! Reading. Each step of a query runs on a thread of the pool; between steps it holds none, so that a client that reads
//! slowly costs its turn among the queries and a few messages, until its deadline.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use chronolith_engine::db::Db;
use chronolith_engine::read::{Aggregation, Scan};
use chronolith_engine::snapshot::Snapshot;
use chronolith_engine::{Error, Result as EngineResult};
use chronolith_proto::v1::query_service_server::QueryService;
use chronolith_proto::{STATEMENT_BYTES_MAX, v1};
use chronolith_query::SnapshotId;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Duration, Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Answers, deadline_of};
use crate::ipc::{self, Encoder};
use crate::shared::Shared;
use crate::sql::SqlAnswer;
use crate::{convert, meters, status};

/// Messages of an answer that wait for the client.
const MESSAGES_AHEAD: usize = 4;
/// For how long a query waits for its turn among the others.
const TURN_WAIT: Duration = Duration::from_secs(5);

/// The query service.
pub(crate) struct Query {
    shared: Arc<Shared>,
}

impl Query {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// A turn among the queries, for a call of `method`.
    async fn turn(&self, method: &'static str, deadline: Instant) -> Result<Turn, Status> {
        let begun = Instant::now();
        let wait = deadline.min(Instant::now() + TURN_WAIT);
        let permit = timeout_at(wait, Arc::clone(&self.shared.queries).acquire_owned()).await;
        let permit = permit.map_err(|_| {
            status::overloaded(format!(
                "{} queries are open, which is the limit; retry later",
                self.shared.limits.query_count
            ))
        })?;
        let permit = permit.map_err(|_| status::closing())?;
        meters::queries(1.0);
        Ok(Turn { _permit: permit, method, begun })
    }

    /// Begins a query: `prepare` runs on a thread, and gives what is sent first and what gives the rest.
    async fn begin<P>(
        &self,
        method: &'static str,
        deadline: Instant,
        prepare: P,
    ) -> Result<Response<Answers<v1::QueryReply>>, Status>
    where
        P: FnOnce(&Db) -> Result<Begun, Failed> + Send + 'static,
    {
        let turn = self.turn(method, deadline).await?;
        let (db, shared) = (self.shared.db()?, Arc::clone(&self.shared));
        let prepared = timeout_at(deadline, self.shared.reads.run(move || prepare(&db)));
        let prepared = prepared.await.map_err(|_| past())??;
        let begun = prepared.map_err(|failed| failed.status(&shared))?;
        let (sender, answers) = mpsc::channel(MESSAGES_AHEAD);
        let sending = Sending { shared, sender, deadline, turn };
        tokio::spawn(sending.run(begun));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

/// Why a query does not begin.
enum Failed {
    Engine(Error),
    Request(Status),
}

impl Failed {
    fn status(&self, shared: &Shared) -> Status {
        match self {
            Self::Engine(error) => shared.status(error),
            Self::Request(status) => status.clone(),
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self::Request(status)
    }
}

fn past() -> Status {
    status::deadline("the query's deadline has passed")
}

struct Turn {
    _permit: OwnedSemaphorePermit,
    method: &'static str,
    /// Before its turn came.
    begun: Instant,
}

impl Drop for Turn {
    fn drop(&mut self) {
        meters::queries(-1.0);
        meters::queried(self.method, self.begun.elapsed());
    }
}

/// A query that was begun.
struct Begun {
    header: v1::QueryHeader,
    first: Vec<Bytes>,
    rest: Option<Rows>,
}

/// A query on its way.
struct Rows {
    source: Source,
    encoder: Encoder,
    schema: SchemaRef,
    /// Rows that are still wanted.
    left: u64,
}

/// What gives the rows.
enum Source {
    Scan(Box<Scan>),
    Aggregation(Box<Aggregation>),
}

impl Rows {
    /// The next bytes, and what gives the rest.
    fn step(mut self) -> EngineResult<(Vec<Bytes>, Option<Self>)> {
        match self.next_batch()? {
            Some(batch) => Ok((self.encoder.encode(&batch)?, Some(self))),
            None => Ok((self.encoder.finish()?, None)),
        }
    }

    fn next_batch(&mut self) -> EngineResult<Option<RecordBatch>> {
        match &mut self.source {
            _ if self.left == 0 => Ok(None),
            Source::Scan(scan) => {
                let Some(batch) = scan.next().transpose()? else { return Ok(None) };
                let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
                let wanted = wanted.min(batch.row_count());
                self.left -= wanted as u64;
                ipc::record_batch(&self.schema, batch, wanted).map(Some)
            }
            Source::Aggregation(aggregation) => {
                let Some(batch) = aggregation.next().transpose()? else { return Ok(None) };
                ipc::aggregate_batch(&self.schema, batch).map(Some)
            }
        }
    }
}

/// Sends an answer as fast as the client takes it.
struct Sending {
    shared: Arc<Shared>,
    sender: mpsc::Sender<Result<v1::QueryReply, Status>>,
    deadline: Instant,
    turn: Turn,
}

impl Sending {
    async fn run(self, begun: Begun) {
        let ended = self.send_all(begun).await;
        self.end(ended).await;
    }

    /// Tells the client of an error, if it is there.
    async fn end(self, ended: Result<(), Status>) {
        if let Err(error) = ended {
            let _ = tokio::time::timeout(TURN_WAIT, self.sender.send(Err(error))).await;
        }
        drop(self.turn);
    }

    async fn send_all(&self, begun: Begun) -> Result<(), Status> {
        let mut header = Some(begun.header);
        if !self.send(&mut header, begun.first).await? {
            return Ok(());
        }
        let mut rest = begun.rest;
        while let Some(rows) = rest.take() {
            let step = self.shared.reads.run(move || rows.step());
            let step = tokio::select! {
                biased;
                // The client hung up: the step that runs is the last.
                () = self.sender.closed() => return Ok(()),
                () = tokio::time::sleep_until(self.deadline) => return Err(past()),
                step = step => step?,
            };
            let (pieces, next) = step.map_err(|error| self.shared.status(&error))?;
            if !self.send(&mut header, pieces).await? {
                return Ok(());
            }
            rest = next;
        }
        Ok(())
    }

    /// Whether the client still listens.
    async fn send(
        &self,
        header: &mut Option<v1::QueryHeader>,
        pieces: Vec<Bytes>,
    ) -> Result<bool, Status> {
        for piece in pieces {
            meters::answered(piece.len());
            let reply = v1::QueryReply { header: header.take(), arrow_ipc: piece };
            let sent = timeout_at(self.deadline, self.sender.send(Ok(reply))).await;
            if sent.map_err(|_| past())?.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn run_sql(self, answer: SqlAnswer) {
        let ended = self.send_sql(answer).await;
        self.end(ended).await;
    }

    async fn send_sql(&self, answer: SqlAnswer) -> Result<(), Status> {
        let mut header = Some(answer.header);
        let failed = |error: Error| self.shared.status(&error);
        let mut encoder = Encoder::new(&answer.schema).map_err(failed)?;
        let mut batches = answer.batches;
        loop {
            let next = tokio::select! {
                biased;
                () = self.sender.closed() => return Ok(()),
                next = timeout_at(self.deadline, batches.next()) => next.map_err(|_| past())?,
            };
            let Some(batch) = next else { break };
            let pieces = encoder.encode(&batch?).map_err(failed)?;
            if !self.send(&mut header, pieces).await? {
                return Ok(());
            }
        }
        self.send(&mut header, encoder.finish().map_err(failed)?).await.map(|_| ())
    }
}

/// The state of the database that a request reads.
fn snapshot(db: &Db, at: Option<v1::ReadAt>) -> Result<Snapshot, Failed> {
    match at.and_then(|at| at.at) {
        None => Ok(db.snapshot()),
        Some(v1::read_at::At::TimeNs(time_ns)) => Ok(db.snapshot_as_of(time_ns)?),
        Some(v1::read_at::At::SnapshotId(id)) => {
            let Some(SnapshotId { database_id, sequence }) = SnapshotId::from_bytes(&id) else {
                return Err(status::invalid("the snapshot id is none").into());
            };
            if database_id != db.database_id() {
                return Err(status::invalid("the snapshot id is of another database").into());
            }
            Ok(db.snapshot_at(sequence)?)
        }
    }
}

fn header(db: &Db, snapshot: &Snapshot) -> v1::QueryHeader {
    let id = SnapshotId { database_id: db.database_id(), sequence: snapshot.sequence() };
    v1::QueryHeader {
        snapshot_id: id.to_bytes(),
        sequence: Some(convert::sequence(snapshot.sequence())),
        durable_sequence: Some(convert::sequence(snapshot.durable_sequence())),
        affected_rows: None,
        time_zone: String::new(),
    }
}

fn begin_scan(db: &Db, mut request: v1::ScanRequest) -> Result<Begun, Failed> {
    let left = match request.row_count_max {
        0 => u64::MAX,
        count => count,
    };
    let snapshot = snapshot(db, request.at.take())?;
    let request = convert::scan_request(request)?;
    let table = snapshot.table(&request.table)?;
    let scan = snapshot.scan(&request)?;
    let schema = ipc::schema_of(&table, scan.fields(), request.with_sequence);
    let mut encoder = Encoder::new(&schema)?;
    // The schema goes out before the first row is read.
    let first = encoder.encode(&RecordBatch::new_empty(Arc::clone(&schema)))?;
    let source = Source::Scan(Box::new(scan));
    let rest = Some(Rows { source, encoder, schema, left });
    Ok(Begun { header: header(db, &snapshot), first, rest })
}

fn begin_latest(db: &Db, mut request: v1::ScanRequest) -> Result<Begun, Failed> {
    let left = request.row_count_max;
    let snapshot = snapshot(db, request.at.take())?;
    let request = convert::scan_request(request)?;
    let last = snapshot.latest(&request)?;
    let schema = ipc::schema_of(&last.schema, &last.fields, request.with_sequence);
    let wanted =
        if left == 0 { last.row_count() } else { usize::try_from(left).unwrap_or(usize::MAX) };
    let wanted = wanted.min(last.row_count());
    let mut encoder = Encoder::new(&schema)?;
    let mut first = Vec::new();
    if wanted > 0 {
        first = encoder.encode(&ipc::record_batch(&schema, last, wanted)?)?;
    }
    first.extend(encoder.finish()?);
    Ok(Begun { header: header(db, &snapshot), first, rest: None })
}

fn begin_aggregate(db: &Db, mut request: v1::AggregateRequest) -> Result<Begun, Failed> {
    let at = request.scan.as_mut().and_then(|scan| scan.at.take());
    let snapshot = snapshot(db, at)?;
    let (request, names) = convert::aggregate_request(request)?;
    let table = snapshot.table(&request.scan.table)?;
    let aggregation = snapshot.aggregate(&request)?;
    let schema = ipc::aggregate_schema(&table, &names, aggregation.types());
    let mut encoder = Encoder::new(&schema)?;
    let first = encoder.encode(&RecordBatch::new_empty(Arc::clone(&schema)))?;
    let source = Source::Aggregation(Box::new(aggregation));
    let rest = Some(Rows { source, encoder, schema, left: u64::MAX });
    Ok(Begun { header: header(db, &snapshot), first, rest })
}

#[tonic::async_trait]
impl QueryService for Query {
    type SqlStream = Answers<v1::QueryReply>;
    type ScanStream = Answers<v1::QueryReply>;
    type AggregateStream = Answers<v1::QueryReply>;
    type LatestStream = Answers<v1::QueryReply>;

    async fn sql(
        &self,
        request: Request<v1::SqlRequest>,
    ) -> Result<Response<Self::SqlStream>, Status> {
        let deadline = deadline_of(&request, self.shared.limits.query_time);
        let request = request.into_inner();
        if request.statement.len() > STATEMENT_BYTES_MAX {
            let found = request.statement.len();
            return Err(status::over_limit("the statement", found, STATEMENT_BYTES_MAX, "bytes"));
        }
        let sql = self.shared.sql()?;
        let turn = self.turn("Sql", deadline).await?;
        let answer = timeout_at(deadline, sql.execute(request, deadline)).await;
        let answer = answer.map_err(|_| past())??;
        let (sender, answers) = mpsc::channel(MESSAGES_AHEAD);
        let sending = Sending { shared: Arc::clone(&self.shared), sender, deadline, turn };
        tokio::spawn(sending.run_sql(answer));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn scan(
        &self,
        request: Request<v1::ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        let deadline = deadline_of(&request, self.shared.limits.query_time);
        let request = request.into_inner();
        self.begin("Scan", deadline, move |db| begin_scan(db, request)).await
    }

    async fn aggregate(
        &self,
        request: Request<v1::AggregateRequest>,
    ) -> Result<Response<Self::AggregateStream>, Status> {
        let deadline = deadline_of(&request, self.shared.limits.query_time);
        let request = request.into_inner();
        self.begin("Aggregate", deadline, move |db| begin_aggregate(db, request)).await
    }

    async fn latest(
        &self,
        request: Request<v1::ScanRequest>,
    ) -> Result<Response<Self::LatestStream>, Status> {
        let deadline = deadline_of(&request, self.shared.limits.query_time);
        let request = request.into_inner();
        self.begin("Latest", deadline, move |db| begin_latest(db, request)).await
    }
}
