//! The seam to SQL: what the query service needs of whatever runs statements.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use chronolith_proto::v1;
use futures::stream::BoxStream;
use tokio::time::Instant;
use tonic::Status;

/// An answer as it comes. Dropping it ends the statement.
pub(crate) struct SqlAnswer {
    pub(crate) header: v1::QueryHeader,
    pub(crate) schema: SchemaRef,
    pub(crate) batches: BoxStream<'static, Result<RecordBatch, Status>>,
}

/// Runs SQL.
#[tonic::async_trait]
pub(crate) trait SqlRunner: Send + Sync {
    /// Runs one statement, which is to end before `deadline`.
    async fn execute(
        &self,
        request: v1::SqlRequest,
        deadline: Instant,
    ) -> Result<SqlAnswer, Status>;
}
