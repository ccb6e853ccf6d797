//! The log's tail: durable records in commit order. Names are those that tables have now: a record of a table that was
//! dropped since is given without its rows, as its columns have no names any more.

use std::sync::Arc;

use chronolith_engine::Db;
use chronolith_engine::catalog::{Catalog, CatalogChange};
use chronolith_engine::db::{Committed, Tail};
use chronolith_engine::model::Sequence;
use chronolith_proto::v1;
use chronolith_proto::v1::log_service_server::LogService;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::Answers;
use crate::shared::Shared;
use crate::{convert, status};

/// Records that wait for the client.
const RECORDS_AHEAD: usize = 4;
/// Bytes of records that are read at a time.
const READ_BYTES: usize = 4 << 20;
/// Tables that a request may name.
const TABLES_MAX: usize = 1_000;

/// The log service.
pub(crate) struct Log {
    shared: Arc<Shared>,
}

impl Log {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[tonic::async_trait]
impl LogService for Log {
    type TailStream = Answers<v1::TailReply>;

    async fn tail(
        &self,
        request: Request<v1::TailRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        let request = request.into_inner();
        if request.tables.len() > TABLES_MAX {
            let found = request.tables.len();
            return Err(status::over_limit("tables of a tail", found, TABLES_MAX, "entries"));
        }
        let (db, shared) = (self.shared.db()?, Arc::clone(&self.shared));
        let until = request.is_finite.then(|| db.snapshot().durable_sequence());
        let after = request
            .after
            .map(|one| Sequence { incarnation: one.incarnation, counter: one.counter });
        let begin = move || {
            let after = after.unwrap_or_else(|| db.snapshot().durable_sequence());
            db.tail(after).map(|tail| (db, tail))
        };
        let (db, tail) =
            self.shared.reads.run(begin).await?.map_err(|error| self.shared.status(&error))?;
        let (sender, records) = mpsc::channel(RECORDS_AHEAD);
        let following = Following { shared, db, sender, tables: request.tables, until };
        tokio::spawn(following.run(tail));
        Ok(Response::new(Box::pin(ReceiverStream::new(records))))
    }
}

struct Following {
    shared: Arc<Shared>,
    db: Db,
    sender: mpsc::Sender<Result<v1::TailReply, Status>>,
    tables: Vec<String>,
    /// The last sequence that is wanted, where there is one.
    until: Option<Sequence>,
}

impl Following {
    async fn run(self, tail: Tail) {
        if let Err(error) = self.follow(tail).await {
            // A client that hung up hears nothing.
            let _ = self.sender.send(Err(error)).await;
        }
    }

    async fn follow(&self, mut tail: Tail) -> Result<(), Status> {
        loop {
            if self.until.is_some_and(|until| tail.last() >= until) {
                return Ok(());
            }
            let (read, back) = self
                .shared
                .reads
                .run(move || {
                    let read = tail.next_batch(READ_BYTES);
                    (read, tail)
                })
                .await?;
            tail = back;
            match read.map_err(|error| self.shared.status(&error))? {
                Some(records) => {
                    for record in records {
                        if self.until.is_some_and(|until| record.sequence > until) {
                            return Ok(());
                        }
                        if self.sender.send(Ok(self.reply(record))).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                None if self.until.is_some() => return Ok(()),
                None => {
                    let (told, more) = oneshot::channel();
                    tail.on_more(move || {
                        let _ = told.send(());
                    });
                    tokio::select! {
                        _ = more => {}
                        () = self.sender.closed() => return Ok(()),
                        () = self.shared.shutdown.begun() => return Err(status::closing()),
                    }
                }
            }
        }
    }

    fn reply(&self, from: Committed) -> v1::TailReply {
        let snapshot = self.db.snapshot();
        let catalog = snapshot.catalog();
        let wanted =
            |name: &str| self.tables.is_empty() || self.tables.iter().any(|table| table == name);
        let record = from.record;
        let named = |id| catalog.by_id(id).filter(|schema| wanted(&schema.name));
        let rows = record
            .rows
            .into_iter()
            .filter_map(|rows| named(rows.table).map(|schema| convert::logged_rows(schema, rows)));
        let deletions = record.deletions.iter().filter_map(|deletion| {
            named(deletion.table).map(|schema| convert::deletion(schema, deletion))
        });
        let changes = record.catalog.iter().filter_map(|change| table_change(catalog, change));
        let changes = changes.filter(|change| {
            change.table.as_ref().is_some_and(|table| change.is_dropped || wanted(&table.name))
        });
        v1::TailReply {
            sequence: Some(convert::sequence(from.sequence)),
            commit_time_ns: from.commit_time_ns,
            metadata: (!record.metadata.is_empty())
                .then(|| convert::metadata_message(&record.metadata)),
            producer: record.producer.map(|one| v1::Producer { id: one.id, number: one.number }),
            tables: changes.collect(),
            deletions: deletions.collect(),
            rows: rows.collect(),
        }
    }
}

/// The changed table as it is now; a table that is gone as dropped.
fn table_change(catalog: &Catalog, change: &CatalogChange) -> Option<v1::TableChange> {
    let id = match change {
        CatalogChange::CreateTable(schema) => schema.id,
        CatalogChange::AddTag { table, .. }
        | CatalogChange::AddField { table, .. }
        | CatalogChange::RenameTable { table, .. }
        | CatalogChange::RenameColumn { table, .. }
        | CatalogChange::DropTable { table } => *table,
        _ => return None,
    };
    Some(match catalog.by_id(id) {
        Some(schema) => {
            v1::TableChange { table: Some(convert::table(schema, None)), is_dropped: false }
        }
        None => v1::TableChange {
            table: Some(v1::Table { id: id.0, ..v1::Table::default() }),
            is_dropped: true,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_gone_is_told_as_dropped() {
        let change = CatalogChange::DropTable { table: chronolith_engine::model::TableId(7) };
        let told = table_change(&Catalog::default(), &change).unwrap();
        assert!(told.is_dropped && told.table.unwrap().id == 7);
    }
}
