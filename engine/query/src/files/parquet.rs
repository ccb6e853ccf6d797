//! Parquet files. Only the columns and row groups that are needed are read, page by page.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::prune::Pruning;
use super::{cast_batch, given, of_file, of_system};
use crate::error::{Result, SqlError};

/// Bytes of a batch at most, roughly.
const BATCH_BYTES: u64 = 16 << 20;

type Builder = ParquetRecordBatchReaderBuilder<File>;

fn open(path: &Path) -> Result<Builder> {
    let file = File::open(path).map_err(|error| of_system(path, &error))?;
    guarded(path, || Builder::try_new(file))
}

/// The columns, in the types in which they are given.
pub(super) fn columns(path: &Path) -> Result<Schema> {
    let builder = open(path)?;
    let fields = builder.schema().fields().iter();
    let fields = fields.map(|field| Field::new(field.name(), given(field.data_type()), true));
    Ok(Schema::new(fields.collect::<Vec<_>>()))
}

/// The columns at `positions` of the file's rows, as `schema` has them.
pub(super) fn rows(
    path: &Path,
    positions: &[usize],
    schema: &SchemaRef,
    batch_rows: usize,
    pruning: Option<&Pruning>,
) -> Result<Box<dyn Iterator<Item = Result<RecordBatch>> + Send>> {
    let mut builder = open(path)?;
    if let Some(groups) = pruning.and_then(|pruning| pruning.groups(&builder)) {
        builder = builder.with_row_groups(groups);
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), positions.iter().copied());
    let rows = batch_rows.min(rows_of(&builder));
    let builder = builder.with_projection(mask).with_batch_size(rows);
    let mut reader = Some(guarded(path, || builder.build())?);
    let (path, schema) = (path.to_path_buf(), Arc::clone(schema));
    // The reader gives columns in the order of the file.
    let mut order: Vec<usize> = (0..positions.len()).collect();
    order.sort_by_key(|at| positions.get(*at).copied());
    let mut places = vec![0; order.len()];
    for (place, at) in order.iter().enumerate() {
        if let Some(slot) = places.get_mut(*at) {
            *slot = place;
        }
    }
    let next = move || {
        let open = reader.as_mut()?;
        let next = guarded(&path, || open.next().transpose());
        let batch = match next {
            Ok(batch) => batch?,
            Err(error) => {
                reader = None;
                return Some(Err(error));
            }
        };
        let batch = batch.project(&places).map_err(SqlError::from);
        Some(
            batch
                .and_then(|batch| cast_batch(&batch, &schema))
                .map_err(|error| of_file(&path, error)),
        )
    };
    Ok(Box::new(std::iter::from_fn(next)))
}

/// Rows of [`BATCH_BYTES`] where they are largest on average.
fn rows_of(builder: &Builder) -> usize {
    let bytes = builder.metadata().row_groups().iter().map(|group| {
        let rows = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
        u64::try_from(group.total_byte_size()).unwrap_or(0) / rows
    });
    let bytes = bytes.max().unwrap_or(0).max(1);
    usize::try_from((BATCH_BYTES / bytes).max(1)).unwrap_or(usize::MAX)
}

/// A call of the library, whose checks of outside bytes are asserts here and there.
fn guarded<T, E: std::fmt::Display>(
    path: &Path,
    call: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<T> {
    let wrong = |why: &str| {
        SqlError::invalid(format!("{} cannot be read as Parquet: {why}", path.display()))
    };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(done) => done.map_err(|error| wrong(&error.to_string())),
        Err(_) => Err(wrong("its parts contradict each other")),
    }
}
