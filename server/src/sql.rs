//! SQL for the query service: a session of the query crate for each statement.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use chronolith_engine::Db;
use chronolith_engine::model::Sequence;
use chronolith_proto::v1;
use chronolith_query::{SnapshotId, SqlEngine, SqlOptions};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::Instant;
use tonic::Status;

use crate::config::Limits;
use crate::{convert, status};

/// An answer as it comes. Dropping it ends the statement.
pub(crate) struct SqlAnswer {
    pub(crate) header: v1::QueryHeader,
    pub(crate) schema: SchemaRef,
    pub(crate) batches: BoxStream<'static, Result<RecordBatch, Status>>,
}

/// Runs SQL on a database.
pub(crate) struct Sql {
    engine: SqlEngine,
}

impl Sql {
    /// SQL on `db`; files of this machine are not read by it.
    ///
    /// # Errors
    /// `INTERNAL` where the system gives no threads.
    pub(crate) fn new(db: Db, limits: &Limits) -> Result<Self, Status> {
        let options = SqlOptions {
            deadline_ns: u64::try_from(limits.query_time.as_nanos()).ok(),
            memory_bytes: limits.query_memory_bytes,
            read_files: false,
            budget: Some(db.reads_budget()),
            ..SqlOptions::default()
        };
        let engine = SqlEngine::new(db, options).map_err(|error| status::of_sql(&error))?;
        Ok(Self { engine })
    }

    /// Runs one statement, which is to end before `deadline`. Dropping the future ends it.
    pub(crate) async fn execute(
        &self,
        request: v1::SqlRequest,
        deadline: Instant,
    ) -> Result<SqlAnswer, Status> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut session = self.engine.session().with_deadline(u64::try_from(left.as_nanos()).ok());
        if !request.time_zone.is_empty() {
            session = session.with_time_zone(&request.time_zone);
        }
        if request.memory_bytes_max > 0 {
            let most = usize::try_from(request.memory_bytes_max).unwrap_or(usize::MAX);
            let limit = match self.engine.options().memory_bytes {
                Some(limit) => limit,
                None => self.engine.db().reads_budget().limit_bytes(),
            };
            session = session.with_memory(Some(most.min(limit)));
        }
        let session = session.with_snapshot(self.snapshot(request.at)?);
        let answer = session.execute(&request.statement).await;
        let answer = answer.map_err(|error| status::of_sql(&error))?;
        let header = v1::QueryHeader {
            snapshot_id: answer.snapshot_id.to_bytes(),
            sequence: Some(convert::sequence(answer.sequence)),
            durable_sequence: Some(convert::sequence(answer.durable_sequence)),
            affected_rows: answer.affected_rows,
            time_zone: session.time_zone(),
        };
        let schema = SchemaRef::clone(&answer.schema);
        let batches = answer.into_stream();
        let batches = batches.map(|batch| batch.map_err(|error| status::of_sql(&error)));
        Ok(SqlAnswer { header, schema, batches: batches.boxed() })
    }

    fn snapshot(&self, at: Option<v1::ReadAt>) -> Result<Option<SnapshotId>, Status> {
        let id =
            |sequence: Sequence| SnapshotId { database_id: self.engine.database_id(), sequence };
        match at.and_then(|at| at.at) {
            None => Ok(None),
            Some(v1::read_at::At::SnapshotId(bytes)) => SnapshotId::from_bytes(&bytes)
                .map(Some)
                .ok_or_else(|| status::invalid("the snapshot id is none")),
            Some(v1::read_at::At::TimeNs(time_ns)) => {
                let snapshot = self.engine.db().snapshot_as_of(time_ns);
                let snapshot = snapshot.map_err(|error| status::of(&error))?;
                Ok(Some(id(snapshot.sequence())))
            }
        }
    }
}
