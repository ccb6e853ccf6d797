//! A database at one moment, which stays the same while others write.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use chronolith_engine::catalog::SYSTEM_TABLE_PREFIX;
use chronolith_engine::model::{Sequence, TableSchema, TimeRange};
use chronolith_engine::read::ScanRequest;
use chronolith_engine::snapshot::Snapshot;

use super::super::{CtlError, CtlResult};
use super::{Batches, Place, Remote};
use crate::ipc;

/// Every table at one moment.
pub(in super::super) struct Moment<'a> {
    /// The database, 32 hex digits.
    pub(in super::super) database_id: String,
    /// The last commit that is seen.
    pub(in super::super) sequence: Sequence,
    /// The tables that users made, by name.
    pub(in super::super) tables: Vec<Arc<TableSchema>>,
    at: At<'a>,
}

enum At<'a> {
    Here(Snapshot),
    /// A server, and the id of the moment there.
    Server(&'a Remote, Vec<u8>),
}

impl<'a> Moment<'a> {
    /// The present of `place`.
    ///
    /// # Errors
    /// The client's.
    pub(in super::super) fn of(place: &'a Place) -> CtlResult<Self> {
        let database_id = place.stats()?.database_id;
        let remote = match place {
            Place::Server(remote) => remote,
            Place::Here(db) => {
                let snapshot = db.snapshot();
                let catalog = snapshot.catalog();
                let names = catalog.names().filter(|name| !name.starts_with(SYSTEM_TABLE_PREFIX));
                let tables =
                    names.map(|name| Ok(snapshot.table(name)?)).collect::<CtlResult<_>>()?;
                let (sequence, at) = (snapshot.sequence(), At::Here(snapshot));
                return Ok(Self { database_id, sequence, tables, at });
            }
        };
        // The moment first: columns that come after it hold nothing in it.
        let (id, sequence, names) = remote.moment()?;
        let mut tables = remote.tables()?;
        tables.retain(|table| names.contains(&table.name));
        if let Some(name) = names.iter().find(|name| tables.iter().all(|one| one.name != **name)) {
            return Err(dropped(name));
        }
        Ok(Self { database_id, sequence, tables, at: At::Server(remote, id) })
    }

    /// The rows of one of its tables in the order series, time, commit: time, tags and every field.
    ///
    /// # Errors
    /// Those of reads; `Conflict` where the table is gone.
    pub(in super::super) fn scan(
        &self,
        table: &TableSchema,
        range: TimeRange,
    ) -> CtlResult<(SchemaRef, Batches<RecordBatch>)> {
        let schema = ipc::schema_of(table, &table.fields, false);
        let (remote, id) = match &self.at {
            At::Server(remote, id) => (remote, id),
            At::Here(snapshot) => {
                let scan = snapshot.scan(&ScanRequest::new(&table.name).range(range))?;
                let columns = Arc::clone(&schema);
                let batches =
                    scan.map(move |batch| Ok(ipc::record_batch(&columns, batch?, usize::MAX)?));
                return Ok((schema, Box::new(batches)));
            }
        };
        let (found, batches) = remote.scan_at(table, range, id)?;
        // Asked for after the scan began: from then on it holds what it reads.
        if remote.table_schema(&table.name)?.id != table.id {
            return Err(dropped(&table.name));
        }
        if !is_same(&found, &schema) {
            return Err(CtlError::Failed(format!(
                "the server's answer is malformed: table {:?} has other columns than it says",
                table.name
            )));
        }
        Ok((schema, batches))
    }
}

fn is_same(a: &Schema, b: &Schema) -> bool {
    let same = |(a, b): (&Arc<arrow::datatypes::Field>, &Arc<arrow::datatypes::Field>)| {
        a.name() == b.name() && a.data_type() == b.data_type()
    };
    a.fields().len() == b.fields().len() && a.fields().iter().zip(b.fields()).all(same)
}

fn dropped(name: &str) -> CtlError {
    CtlError::Conflict(format!("table {name:?} was dropped meanwhile; run it again"))
}
