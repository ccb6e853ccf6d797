//! A database behind a server: the engine's words for the client's calls.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use chronolith_client::{Answer, Client, ClientError, Retry, v1};
use chronolith_engine::db::{CompactReport, DeleteOutcome, Stats, VerifyReport};
use chronolith_engine::model::{
    Batch, FieldDef, ImportMark, ImportProgress, Predicate, Sequence, TableOptions, TableSchema,
    TimeRange,
};
use chronolith_engine::read::{AggregateBatch, AggregateRequest, ScanRequest};
use tokio::runtime::Runtime;

use super::super::{CtlError, CtlResult, interrupt, remark};
use super::{Batches, Scanned, messages, rows};

/// For how long a server that went away is waited for.
const AWAY: Duration = Duration::from_secs(180);

/// A connection, and the runtime that drives it.
pub(in super::super) struct Remote {
    runtime: Arc<Runtime>,
    client: Client,
    retry: Retry,
    ends_at_ctrl_c: bool,
}

/// The answer to a statement.
pub(in super::super) struct SqlAnswer {
    /// The columns; none for statements that give no rows.
    pub(in super::super) schema: SchemaRef,
    /// Rows written or deleted, for statements that do.
    pub(in super::super) affected_rows: Option<u64>,
    /// The zone that the next statement is to be sent with.
    pub(in super::super) time_zone: String,
    /// The rows.
    pub(in super::super) batches: Batches<RecordBatch>,
}

impl Remote {
    /// Connects; a server that is not there is not waited for.
    ///
    /// # Errors
    /// `Client`.
    pub(in super::super) fn connect(url: &str) -> CtlResult<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| {
            CtlError::Failed(format!("cannot start the network's thread: {error}"))
        })?;
        let client = runtime.block_on(Client::connect(url))?;
        let told = std::sync::atomic::AtomicU64::new(0);
        let retry = Retry::for_at_most(AWAY).telling(move |error| {
            // The first, then now and then: waits are at most two seconds.
            if told.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(8) {
                remark(&format!("waiting for the server, up to {} s: {error}", AWAY.as_secs()));
            }
        });
        Ok(Self { runtime: Arc::new(runtime), client, retry, ends_at_ctrl_c: false })
    }

    fn call<T>(&self, call: impl Future<Output = Result<T, ClientError>>) -> CtlResult<T> {
        wait(&self.runtime, self.ends_at_ctrl_c, call)
    }

    /// From now on Ctrl-C ends the call that runs, and nothing else.
    pub(in super::super) fn end_calls_at_ctrl_c(&mut self) {
        self.ends_at_ctrl_c = true;
    }

    pub(super) fn table_schema(&self, name: &str) -> CtlResult<Arc<TableSchema>> {
        let table = self.call(self.client.describe_table(name))?;
        messages::schema(&table).map(Arc::new)
    }

    pub(super) fn tables(&self) -> CtlResult<Vec<Arc<TableSchema>>> {
        let tables = self.call(self.client.list_tables())?;
        tables.iter().map(|table| messages::schema(table).map(Arc::new)).collect()
    }

    /// The present moment: the id under which it can be read, its place in commit order, and the names of its tables.
    pub(super) fn moment(&self) -> CtlResult<(Vec<u8>, Sequence, Vec<String>)> {
        let request =
            v1::SqlRequest { statement: "SHOW TABLES".to_owned(), ..v1::SqlRequest::default() };
        let answer = self.call(self.client.sql(request))?;
        let header = answer.header().clone();
        let mut names = Vec::new();
        for batch in self.batches(answer) {
            let batch = batch?;
            let column = batch.columns().first().and_then(|column| column.as_string_opt::<i32>());
            let column =
                column.ok_or_else(|| CtlError::Failed("the server names no tables".to_owned()))?;
            names.extend(column.iter().flatten().map(str::to_owned));
        }
        Ok((header.snapshot_id, messages::sequence(header.sequence), names))
    }

    /// Every field of a table that `schema` knows, as it was at a moment.
    pub(super) fn scan_at(
        &self,
        schema: &TableSchema,
        range: TimeRange,
        moment: &[u8],
    ) -> CtlResult<(SchemaRef, Batches<RecordBatch>)> {
        let names: Vec<&str> = schema.fields.iter().map(|field| field.name.as_str()).collect();
        let request = ScanRequest::new(&schema.name).columns(&names).range(range);
        let at = v1::ReadAt { at: Some(v1::read_at::At::SnapshotId(moment.to_vec())) };
        let request = v1::ScanRequest { at: Some(at), ..messages::scan_request(&request) };
        let answer = self.call(self.client.scan(request))?;
        Ok((Arc::clone(answer.schema()), Box::new(self.batches(answer))))
    }

    pub(super) fn stats(&self) -> CtlResult<Stats> {
        self.call(self.client.stats()).map(messages::stats)
    }

    pub(super) fn scan(
        &self,
        schema: &Arc<TableSchema>,
        request: &ScanRequest,
    ) -> CtlResult<Scanned> {
        let answer = self.call(self.client.scan(messages::scan_request(request)))?;
        self.scanned(schema, request, answer)
    }

    pub(super) fn latest(
        &self,
        schema: &Arc<TableSchema>,
        request: &ScanRequest,
    ) -> CtlResult<Scanned> {
        let answer = self.call(self.client.latest(messages::scan_request(request)))?;
        self.scanned(schema, request, answer)
    }

    fn scanned(
        &self,
        schema: &Arc<TableSchema>,
        request: &ScanRequest,
        answer: Answer,
    ) -> CtlResult<Scanned> {
        let fields: Arc<[FieldDef]> = match &request.columns {
            None => schema.fields.clone().into(),
            Some(names) => names.iter().filter_map(|name| schema.field(name).cloned()).collect(),
        };
        let (table, given) = (Arc::clone(schema), Arc::clone(&fields));
        let batches =
            self.batches(answer).map(move |batch| rows::scan_batch(&table, &given, &batch?));
        Ok(Scanned { fields, batches: Box::new(batches) })
    }

    pub(super) fn aggregate(
        &self,
        schema: &Arc<TableSchema>,
        request: &AggregateRequest,
    ) -> CtlResult<Batches<AggregateBatch>> {
        let answer = self.call(self.client.aggregate(messages::aggregate_request(request)))?;
        let table = Arc::clone(schema);
        let batches = self.batches(answer).map(move |batch| rows::aggregate_batch(&table, &batch?));
        Ok(Box::new(batches))
    }

    fn batches(&self, mut answer: Answer) -> impl Iterator<Item = CtlResult<RecordBatch>> + use<> {
        let (runtime, ends_at_ctrl_c) = (Arc::clone(&self.runtime), self.ends_at_ctrl_c);
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let next = wait(&runtime, ends_at_ctrl_c, answer.next()).transpose()?;
            failed = next.is_err();
            Some(next)
        })
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// `Client`.
    pub(in super::super) fn sql(&self, statement: &str, time_zone: &str) -> CtlResult<SqlAnswer> {
        let request = v1::SqlRequest {
            statement: statement.to_owned(),
            time_zone: time_zone.to_owned(),
            ..v1::SqlRequest::default()
        };
        let answer = self.call(self.client.sql(request))?;
        let header = answer.header();
        Ok(SqlAnswer {
            schema: Arc::clone(answer.schema()),
            affected_rows: header.affected_rows,
            time_zone: header.time_zone.clone(),
            batches: Box::new(self.batches(answer)),
        })
    }

    pub(super) fn create_table(&self, name: &str, options: &TableOptions) -> CtlResult<()> {
        let options = messages::table_options(options);
        self.call(self.client.create_table(name, options)).map(|_| ())
    }

    pub(super) fn drop_table(&self, name: &str) -> CtlResult<()> {
        self.call(self.client.drop_table(name)).map(|_| ())
    }

    pub(super) fn delete(
        &self,
        table: &str,
        predicate: &Predicate,
        range: TimeRange,
    ) -> CtlResult<DeleteOutcome> {
        let scan = ScanRequest::new(table).predicate(predicate.clone()).range(range);
        let v1::ScanRequest { table, range, tags, .. } = messages::scan_request(&scan);
        let reply =
            self.call(self.client.delete_rows(v1::DeleteRowsRequest { table, range, tags }))?;
        let sequence = messages::sequence(reply.sequence);
        Ok(DeleteOutcome { sequence, row_count: reply.row_count })
    }

    pub(super) fn write(&self, batch: Batch) -> CtlResult<()> {
        let request = messages::write_request(batch);
        self.call(self.client.write_retrying(request, &self.retry)).map(|_| ())
    }

    pub(super) fn import_progress(&self, producer: &str) -> CtlResult<Option<ImportProgress>> {
        // Between two chunks of an import, as a flush is after the last: the server is waited for here, too.
        let progress = self.call(self.retry.repeat(|| self.client.import_progress(producer)))?;
        Ok(progress.map(|progress| {
            let mark = progress.mark.unwrap_or_default();
            let mark = ImportMark {
                file: mark.file,
                row_count: mark.row_count,
                source_row_count: mark.source_row_count,
                finished: mark.is_finished,
            };
            let commit_time_ns = progress.commit_time_ns;
            ImportProgress { chunk: progress.chunk, mark, commit_time_ns }
        }))
    }

    pub(super) fn flush(&self) -> CtlResult<()> {
        self.call(self.retry.repeat(|| self.client.flush())).map(|_| ())
    }

    pub(super) fn compact(&self) -> CtlResult<CompactReport> {
        let report = self.call(self.client.compact())?;
        Ok(CompactReport {
            segments_before: report.segments_before,
            segments_after: report.segments_after,
            bytes_before: report.bytes_before,
            bytes_after: report.bytes_after,
        })
    }

    pub(super) fn verify(&self) -> CtlResult<VerifyReport> {
        let mut told = 0;
        let mut progress = |elapsed_ms: u64| {
            // Every ten seconds.
            if elapsed_ms / 10_000 > told {
                told = elapsed_ms / 10_000;
                remark(&format!("the server verifies since {} s", elapsed_ms / 1_000));
            }
        };
        let (done, damage) = self.call(self.client.verify(&mut progress))?;
        let damage = damage.into_iter().map(messages::damaged_part).collect();
        Ok(VerifyReport { file_count: done.file_count, byte_count: done.byte_count, damage })
    }
}

/// Waits for a call; Ctrl-C drops it where it is to do so.
fn wait<T>(
    runtime: &Runtime,
    ends_at_ctrl_c: bool,
    call: impl Future<Output = Result<T, ClientError>>,
) -> CtlResult<T> {
    if !ends_at_ctrl_c {
        return Ok(runtime.block_on(call)?);
    }
    match runtime.block_on(interrupt::unless_pressed(call)) {
        Some(done) => Ok(done?),
        None => Err(CtlError::Failed(
            "cancelled; a statement that writes may have been done".to_owned(),
        )),
    }
}
