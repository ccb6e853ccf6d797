//! The schema `system`: what the database consists of, as tables. Each is computed from the statement's snapshot when it is asked for.

pub(crate) mod columns;
mod segments;
mod tables;

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use chronolith_engine::catalog::SYSTEM_TABLE_PREFIX;
use chronolith_engine::model::TableSchema;
use chronolith_engine::snapshot::Snapshot;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::common::Result as DataFusionResult;

use crate::convert::UTC;
use crate::error::Result;
use crate::session::SqlEngine;

/// The schema's name.
pub(crate) const SYSTEM: &str = "system";

/// A table of the system.
pub(crate) struct SystemTable {
    /// Its name.
    pub name: &'static str,
    /// Its columns: names, and types.
    columns: fn() -> Vec<(&'static str, DataType)>,
    /// Its rows, column by column.
    rows: fn(&Snapshot) -> Vec<ArrayRef>,
}

const TABLES: [SystemTable; 3] = [
    SystemTable { name: "columns", columns: columns::columns, rows: columns::rows },
    SystemTable { name: "segments", columns: segments::columns, rows: segments::rows },
    SystemTable { name: "tables", columns: tables::columns, rows: tables::rows },
];

/// The tables, by name.
pub(crate) fn tables() -> &'static [SystemTable] {
    &TABLES
}

/// The names of the columns of the table `name`.
pub(crate) fn columns_of(name: &str) -> Vec<String> {
    let table = TABLES.iter().find(|table| table.name == name);
    let columns = table.map(|table| (table.columns)()).unwrap_or_default();
    columns.into_iter().map(|(column, _)| column.to_owned()).collect()
}

impl SystemTable {
    /// The columns.
    pub(crate) fn schema(&self) -> SchemaRef {
        let columns = (self.columns)().into_iter();
        let fields = columns.map(|(name, data_type)| Field::new(name, data_type, true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn batch(&self, snapshot: &Snapshot) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(self.schema(), (self.rows)(snapshot))?)
    }
}

/// The schemas, by name.
pub(crate) fn schemas(
    _engine: &SqlEngine,
    snapshot: &Snapshot,
) -> Vec<(&'static str, Arc<dyn SchemaProvider>)> {
    vec![(SYSTEM, Arc::new(System { snapshot: snapshot.clone() }))]
}

struct System {
    snapshot: Snapshot,
}

impl std::fmt::Debug for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "System at {}", self.snapshot.sequence())
    }
}

#[async_trait]
impl SchemaProvider for System {
    fn table_names(&self) -> Vec<String> {
        TABLES.iter().map(|table| table.name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let Some(table) = TABLES.iter().find(|table| table.name == name) else { return Ok(None) };
        let batch = table.batch(&self.snapshot)?;
        Ok(Some(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        TABLES.iter().any(|table| table.name == name)
    }
}

/// The users' tables, by name.
fn user_tables(snapshot: &Snapshot) -> Vec<Arc<TableSchema>> {
    let tables = snapshot.catalog().tables();
    let mut tables: Vec<Arc<TableSchema>> =
        tables.filter(|table| !table.name.starts_with(SYSTEM_TABLE_PREFIX)).cloned().collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    tables
}

/// A column of timestamps.
fn times(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    let array: TimestampNanosecondArray = values.into_iter().collect();
    Arc::new(array.with_timezone(UTC))
}
