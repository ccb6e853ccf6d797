//! Tables, deletions, upkeep, figures and verification.

use std::sync::Arc;
use std::time::Duration;

use chronolith_engine::db::{DamagedPart, VerifyReport};
use chronolith_engine::model::SchemaMode;
use chronolith_engine::{Db, Result as EngineResult};
use chronolith_proto::v1::admin_service_server::AdminService;
use chronolith_proto::v1::{self, verify_reply::Event};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::Answers;
use crate::blocking::Pool;
use crate::convert;
use crate::shared::Shared;

/// Between two signs that a verification goes on.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// The admin service.
pub(crate) struct Admin {
    shared: Arc<Shared>,
    /// Flushes, merges and verifications are long: they have threads of their own.
    upkeep: Pool,
}

impl Admin {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, upkeep: Pool::new(4) }
    }

    /// Runs `work` on the database, on a thread of `pool`.
    async fn on<T: Send + 'static>(
        &self,
        pool: &Pool,
        work: impl FnOnce(&Db) -> EngineResult<T> + Send + 'static,
    ) -> Result<T, Status> {
        let db = self.shared.db()?;
        let result = pool.run(move || work(&db)).await?;
        result.map_err(|error| self.shared.status(&error))
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    type VerifyStream = Answers<v1::VerifyReply>;

    async fn create_table(
        &self,
        request: Request<v1::CreateTableRequest>,
    ) -> Result<Response<v1::ChangeReply>, Status> {
        let request = request.into_inner();
        let options = request.options.unwrap_or_default();
        let options = convert::table_options(options, SchemaMode::Strict)?;
        let create = move |db: &Db| db.create_table(&request.table, options);
        let outcome = self.on(&self.shared.writes, create).await?;
        Ok(Response::new(v1::ChangeReply { sequence: Some(convert::sequence(outcome.sequence)) }))
    }

    async fn describe_table(
        &self,
        request: Request<v1::DescribeTableRequest>,
    ) -> Result<Response<v1::Table>, Status> {
        let name = request.into_inner().table;
        let describe = move |db: &Db| {
            let schema = db.table_schema(&name)?;
            let stats = db.stats().tables.into_iter().find(|one| one.name == name);
            Ok(convert::table(&schema, stats.as_ref()))
        };
        self.on(&self.shared.reads, describe).await.map(Response::new)
    }

    async fn list_tables(
        &self,
        _: Request<v1::ListTablesRequest>,
    ) -> Result<Response<v1::ListTablesReply>, Status> {
        let list = |db: &Db| {
            let stats = db.stats();
            let mut tables = Vec::new();
            for name in db.table_names() {
                // Dropped meanwhile: it is not there.
                let Ok(schema) = db.table_schema(&name) else { continue };
                let figures = stats.tables.iter().find(|one| one.name == name);
                tables.push(convert::table(&schema, figures));
            }
            Ok(v1::ListTablesReply { tables })
        };
        self.on(&self.shared.reads, list).await.map(Response::new)
    }

    async fn drop_table(
        &self,
        request: Request<v1::DropTableRequest>,
    ) -> Result<Response<v1::ChangeReply>, Status> {
        let table = request.into_inner().table;
        let outcome = self.on(&self.shared.writes, move |db| db.drop_table(&table)).await?;
        Ok(Response::new(v1::ChangeReply { sequence: Some(convert::sequence(outcome.sequence)) }))
    }

    async fn delete_rows(
        &self,
        request: Request<v1::DeleteRowsRequest>,
    ) -> Result<Response<v1::DeleteRowsReply>, Status> {
        let request = request.into_inner();
        let predicate = convert::tag_predicate(request.tags)?;
        let range = convert::time_range(request.range);
        let delete = move |db: &Db| db.delete(&request.table, &predicate, range);
        let outcome = self.on(&self.upkeep, delete).await?;
        Ok(Response::new(v1::DeleteRowsReply {
            sequence: Some(convert::sequence(outcome.sequence)),
            row_count: outcome.row_count,
        }))
    }

    async fn flush(
        &self,
        _: Request<v1::FlushRequest>,
    ) -> Result<Response<v1::FlushReply>, Status> {
        let flush = |db: &Db| {
            let row_count = db.stats_at_once().tables.iter().map(|table| table.memory_rows).sum();
            db.flush().map(|()| v1::FlushReply { row_count })
        };
        self.on(&self.upkeep, flush).await.map(Response::new)
    }

    async fn compact(
        &self,
        _: Request<v1::CompactRequest>,
    ) -> Result<Response<v1::CompactReply>, Status> {
        let report = self.on(&self.upkeep, Db::compact).await?;
        Ok(Response::new(v1::CompactReply {
            segments_before: report.segments_before,
            bytes_before: report.bytes_before,
            segments_after: report.segments_after,
            bytes_after: report.bytes_after,
        }))
    }

    async fn stats(
        &self,
        _: Request<v1::StatsRequest>,
    ) -> Result<Response<v1::StatsReply>, Status> {
        let stats = self.on(&self.shared.reads, |db| Ok(db.stats())).await?;
        Ok(Response::new(v1::StatsReply {
            tables: stats.tables.iter().map(convert::table_stats).collect(),
            database_id: stats.database_id,
            sequence: Some(convert::sequence(stats.sequence)),
            durable_sequence: Some(convert::sequence(stats.durable_sequence)),
            log_file_count: stats.log_file_count,
            log_bytes: stats.log_bytes,
            memtable_bytes: stats.memtable_bytes,
            memory_used_bytes: stats.memory_used_bytes,
            memory_limit_bytes: stats.memory_limit_bytes,
            manifest_number: stats.manifest_number,
            memory_peak_bytes: stats.memory_peak_bytes,
            memory_rows_bytes: stats.memory_by_user.rows_bytes,
            memory_reads_bytes: stats.memory_by_user.reads_bytes,
            memory_flush_bytes: stats.memory_by_user.flush_bytes,
            memory_merges_bytes: stats.memory_by_user.merges_bytes,
            poisoned: stats.poisoned.unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    async fn verify(
        &self,
        _: Request<v1::VerifyRequest>,
    ) -> Result<Response<Self::VerifyStream>, Status> {
        let db = self.shared.db()?;
        let (sender, events) = mpsc::channel(16);
        let (shared, upkeep) = (Arc::clone(&self.shared), self.upkeep.clone());
        tokio::spawn(async move {
            let begun = Instant::now();
            let mut running = Box::pin(upkeep.run(move || db.verify()));
            let report = loop {
                tokio::select! {
                    report = &mut running => break report,
                    () = tokio::time::sleep(PROGRESS_EVERY) => {
                        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                        let event = Event::Progress(v1::verify_reply::Progress { elapsed_ms });
                        if sender.send(Ok(v1::VerifyReply { event: Some(event) })).await.is_err() {
                            return;
                        }
                    }
                }
            };
            let report = report.and_then(|report| report.map_err(|error| shared.status(&error)));
            send_report(&shared, report, &sender).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(events))))
    }
}

/// Sends each damaged part, then the end. A client that hung up hears nothing.
async fn send_report(
    shared: &Shared,
    report: Result<VerifyReport, Status>,
    sender: &mpsc::Sender<Result<v1::VerifyReply, Status>>,
) {
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            let _ = sender.send(Err(error)).await;
            return;
        }
    };
    let done = v1::verify_reply::Done {
        file_count: report.file_count,
        byte_count: report.byte_count,
        damage_count: report.damage.len() as u64,
    };
    for part in report.damage {
        shared.note_damage(format!("{}: {}", part.path.display(), part.detail));
        let event = Event::Damage(damaged_part(part));
        if sender.send(Ok(v1::VerifyReply { event: Some(event) })).await.is_err() {
            return;
        }
    }
    let _ = sender.send(Ok(v1::VerifyReply { event: Some(Event::Done(done)) })).await;
}

fn damaged_part(from: DamagedPart) -> v1::DamagedPart {
    let has_series = from.series.is_some();
    let (first, last) = from.series.unzip();
    v1::DamagedPart {
        path: from.path.display().to_string(),
        table: from.table.unwrap_or_default(),
        column: from.column.unwrap_or_default(),
        range: from.range.map(|range| v1::TimeRange { from: Some(range.from), to: Some(range.to) }),
        detail: from.detail,
        offset: from.offset,
        row_group: from.row_group.map(|at| at as u64),
        page: from.page.map(|at| at as u64),
        first_series: first.map(|key| key.as_bytes().to_vec()).unwrap_or_default(),
        has_series,
        last_series: last.map(|key| key.as_bytes().to_vec()).unwrap_or_default(),
    }
}
