//! A table of the engine as a table of DataFusion, as of one snapshot.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use chronolith_engine::model::TableSchema;
use chronolith_engine::snapshot::Snapshot;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::control::Control;
use crate::convert::{Output, schema_of, schema_with_sequence};
use crate::pushdown::{Pushed, condition};
use crate::scan::{EngineSource, ScanSpec};

/// A table at a snapshot.
pub struct EngineTable {
    snapshot: Snapshot,
    table: Arc<TableSchema>,
    columns: SchemaRef,
    control: Arc<Control>,
}

impl EngineTable {
    /// The table `table` at `snapshot`, ended by `control`. `with_sequence`: whether the rows' commit counters are a column, the last.
    #[must_use]
    pub fn new(
        snapshot: Snapshot,
        table: Arc<TableSchema>,
        control: Arc<Control>,
        with_sequence: bool,
    ) -> Self {
        let columns = if with_sequence { schema_with_sequence(&table) } else { schema_of(&table) };
        Self { snapshot, table, columns, control }
    }

    /// What stands at `position` of the table's columns.
    fn output(&self, position: usize) -> Output {
        let tags = self.table.tags.len();
        match position.checked_sub(1) {
            None => Output::Time,
            Some(tag) if tag < tags => Output::Tag(tag),
            Some(field) if field - tags < self.table.fields.len() => Output::Field(field - tags),
            Some(_) => Output::Sequence,
        }
    }
}

impl std::fmt::Debug for EngineTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EngineTable {:?} at {}", self.table.name, self.snapshot.sequence())
    }
}

#[async_trait]
impl TableProvider for EngineTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match condition(&self.table, filter) {
            Some(condition) if condition.is_exact() => TableProviderFilterPushDown::Exact,
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = || (0..self.columns.fields().len()).collect();
        let positions: Vec<usize> = projection.cloned().unwrap_or_else(all);
        let spec = ScanSpec {
            snapshot: self.snapshot.clone(),
            table: Arc::clone(&self.table),
            pushed: Pushed::of(&self.table, filters),
            outputs: positions.iter().map(|position| self.output(*position)).collect(),
            schema: Arc::new(self.columns.project(&positions)?),
            control: Arc::clone(&self.control),
        };
        // A condition that the engine only narrows is applied above, after which the limit counts.
        let exact =
            |filter: &Expr| condition(&self.table, filter).is_some_and(|one| one.is_exact());
        let limit = limit.filter(|_| filters.iter().all(exact));
        let source = EngineSource::new(spec, limit, state)
            .map_err(datafusion::common::DataFusionError::from)?;
        Ok(DataSourceExec::from_data_source(source))
    }
}
