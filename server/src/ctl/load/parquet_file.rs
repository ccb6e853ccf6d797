//! A Parquet file of a dump. Its bytes come from outside: the library checks them, and where it trips over them instead, that
//! is an error about the file as well.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::super::dump::failed;
use super::super::{CtlError, CtlResult};

/// Rows that are read at a time, at most.
const ROWS_MAX: u64 = 64 << 10;
/// Bytes that are read at a time, roughly.
const BYTES: u64 = 16 << 20;

/// An open file.
pub(super) struct ParquetFile {
    path: PathBuf,
    builder: ParquetRecordBatchReaderBuilder<File>,
}

impl ParquetFile {
    /// Opens the file and reads its footer.
    ///
    /// # Errors
    /// `Corrupt` for what is no Parquet file; `Write`.
    pub(super) fn open(path: &Path) -> CtlResult<Self> {
        let file = File::open(path).map_err(failed(path))?;
        let builder = guarded(path, || ParquetRecordBatchReaderBuilder::try_new(file))?;
        Ok(Self { path: path.to_path_buf(), builder })
    }

    /// Looks whether it has these columns and so many rows.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn check(&self, columns: &SchemaRef, rows: u64) -> CtlResult<()> {
        let found = u64::try_from(self.builder.metadata().file_metadata().num_rows());
        if found != Ok(rows) {
            return Err(damaged(&self.path, &format!("it does not have its {rows} rows")));
        }
        let schema = self.builder.schema();
        let listed = |schema: &SchemaRef| {
            let fields = schema.fields().iter();
            let fields: Vec<String> =
                fields.map(|field| format!("{:?} {}", field.name(), field.data_type())).collect();
            fields.join(", ")
        };
        let (found, wanted) = (listed(schema), listed(columns));
        if found != wanted {
            let what = format!("it has the columns {found}, its table has {wanted}");
            return Err(damaged(&self.path, &what));
        }
        Ok(())
    }

    /// The rows behind the first `skip`.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn rows(self, skip: u64) -> CtlResult<Rows> {
        let Self { path, builder } = self;
        let batch_rows = batch_rows(&builder);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let reader =
            guarded(&path, || builder.with_batch_size(batch_rows).with_offset(skip).build());
        Ok(Rows { reader: Some(reader?), path })
    }
}

/// So many rows are [`BYTES`] where they are largest on average.
fn batch_rows(builder: &ParquetRecordBatchReaderBuilder<File>) -> usize {
    let row_bytes = builder.metadata().row_groups().iter().map(|group| {
        let rows = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
        u64::try_from(group.total_byte_size()).unwrap_or(0) / rows
    });
    let row_bytes = row_bytes.max().unwrap_or(0).max(1);
    usize::try_from((BYTES / row_bytes).clamp(1, ROWS_MAX)).unwrap_or(1)
}

/// A file's batches; ends after its first error.
pub(super) struct Rows {
    reader: Option<ParquetRecordBatchReader>,
    path: PathBuf,
}

impl Iterator for Rows {
    type Item = CtlResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        let next = guarded(&self.path, || reader.next().transpose());
        if next.is_err() {
            self.reader = None;
        }
        next.transpose()
    }
}

fn damaged(path: &Path, what: &str) -> CtlError {
    CtlError::Corrupt(format!("{} is no file of this dump: {what}", path.display()))
}

/// A call of the library, whose checks of the bytes are asserts here and there.
fn guarded<T, E: std::fmt::Display>(
    path: &Path,
    call: impl FnOnce() -> Result<T, E>,
) -> CtlResult<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(damaged(path, &format!("it cannot be read as Parquet: {error}"))),
        Err(_) => {
            Err(damaged(path, "it cannot be read as Parquet: its parts contradict each other"))
        }
    }
}
