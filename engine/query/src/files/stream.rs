//! The rows of files, one file after the other. What a batch takes is held in the statement's memory while it is made.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;

use super::prune::Pruning;
use super::{Kind, csv, parquet};
use crate::error::Result;

/// What is read.
#[derive(Clone)]
pub(super) struct FileRows {
    pub(super) kind: Kind,
    pub(super) files: Vec<PathBuf>,
    /// Every column.
    pub(super) all: SchemaRef,
    /// Those that are given.
    pub(super) positions: Vec<usize>,
    /// Their schema.
    pub(super) schema: SchemaRef,
    pub(super) batch_rows: usize,
    pub(super) pruning: Option<Arc<Pruning>>,
}

impl fmt::Debug for FileRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileRows of {:?}", self.files)
    }
}

impl PartitionStream for FileRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let name = match self.kind {
            Kind::Csv(_) => "read_csv",
            Kind::Parquet => "read_parquet",
        };
        let memory = MemoryConsumer::new(name).register(context.memory_pool());
        let reading = Reading { rows: self.clone(), next: 0, open: None, memory };
        let stream = futures::stream::iter(reading);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

/// The reading of files; ends after its first error.
struct Reading {
    rows: FileRows,
    /// The file to open next.
    next: usize,
    open: Option<Box<dyn Iterator<Item = Result<RecordBatch>> + Send>>,
    memory: MemoryReservation,
}

impl Reading {
    fn open(&mut self) -> Option<Result<()>> {
        let rows = &self.rows;
        let path = rows.files.get(self.next)?;
        self.next += 1;
        let opened = match &rows.kind {
            Kind::Csv(options) => {
                csv::rows(path, options, &rows.all, &rows.positions, rows.batch_rows)
            }
            Kind::Parquet => {
                let pruning = rows.pruning.as_deref();
                parquet::rows(path, &rows.positions, &rows.schema, rows.batch_rows, pruning)
            }
        };
        Some(opened.map(|open| self.open = Some(open)))
    }

    fn batch(&mut self) -> Option<DataFusionResult<RecordBatch>> {
        loop {
            if let Some(next) = self.open.as_mut().and_then(Iterator::next) {
                let held = next.map_err(DataFusionError::from).and_then(|batch| {
                    // The batch, and what it was made of.
                    self.memory.try_resize(2 * batch.get_array_memory_size())?;
                    Ok(batch)
                });
                return Some(held);
            }
            self.open = None;
            if let Err(error) = self.open()? {
                return Some(Err(error.into()));
            }
        }
    }
}

impl Iterator for Reading {
    type Item = DataFusionResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        if !matches!(batch, Some(Ok(_))) {
            self.open = None;
            self.next = self.rows.files.len();
            self.memory.free();
        }
        batch
    }
}
