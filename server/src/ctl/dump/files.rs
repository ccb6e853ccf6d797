//! One table's Parquet files: rows in, files of a bounded number of rows and bytes out, hashed as they are written.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::super::{CtlError, CtlResult};
use super::manifest::FileEntry;
use super::pieces::piece;
use super::target::failed;

/// Bytes at which a file ends, roughly.
const FILE_BYTES: usize = 256 << 20;
/// Rows of a row group at most.
const GROUP_ROWS: usize = 256 << 10;
/// Bytes of rows at which a row group ends: what writing it, and reading it, holds.
const GROUP_BYTES: usize = 64 << 20;
/// Bytes of a table's name that its folder's name has.
const SLUG_BYTES_MAX: usize = 40;

/// The folder of the table that is the `number`th of `count`, from 1: the number tells tables apart, the rest is for people.
pub(super) fn folder_name(number: usize, count: usize, table: &str) -> String {
    let width = count.to_string().len().max(4);
    let slug = table.chars().map(|c| match c {
        'a'..='z' | '0'..='9' | '-' => c,
        'A'..='Z' => c.to_ascii_lowercase(),
        _ => '_',
    });
    let slug: String = slug.take(SLUG_BYTES_MAX).collect();
    format!("{number:0width$}-{slug}")
}

/// Writes a table.
pub(super) struct TableFiles<'a> {
    root: &'a Path,
    folder: &'a str,
    schema: SchemaRef,
    /// Rows of a file at most.
    file_rows: u64,
    open: Option<Open>,
    files: Vec<FileEntry>,
}

/// The file that is being written.
struct Open {
    writer: ArrowWriter<Hashed>,
    path: PathBuf,
    rows: u64,
    /// Bytes of rows in the row group.
    group_bytes: usize,
}

impl<'a> TableFiles<'a> {
    pub(super) fn new(
        root: &'a Path,
        folder: &'a str,
        schema: SchemaRef,
        file_rows: u64,
    ) -> CtlResult<Self> {
        let path = root.join(folder);
        std::fs::create_dir(&path).map_err(failed(&path))?;
        Ok(Self { root, folder, schema, file_rows, open: None, files: Vec::new() })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// `Write`.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> CtlResult<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            let (mut rows, mut bytes) = piece(batch, from);
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.begin()?,
            };
            let left = usize::try_from(self.file_rows - open.rows).unwrap_or(usize::MAX);
            if rows.len() > left {
                bytes = bytes / rows.len() * left;
                rows.end = rows.start + left;
            }
            from = rows.end;
            open.write(&batch.slice(rows.start, rows.len()), bytes)?;
            let is_full = open.rows >= self.file_rows
                || open.writer.bytes_written() + open.writer.in_progress_size() >= FILE_BYTES;
            if is_full { self.end(open)? } else { self.open = Some(open) }
        }
        Ok(())
    }

    /// Ends the last file; gives all of them.
    ///
    /// # Errors
    /// `Write`.
    pub(super) fn finish(mut self) -> CtlResult<Vec<FileEntry>> {
        if let Some(open) = self.open.take() {
            self.end(open)?;
        }
        Ok(self.files)
    }

    fn begin(&self) -> CtlResult<Open> {
        let path = self.root.join(self.folder).join(self.file_name());
        let file = File::create_new(&path).map_err(failed(&path))?;
        let level = ZstdLevel::try_new(3).unwrap_or_default();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by(concat!("chronolith ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let hashed = Hashed { file, hasher: blake3::Hasher::new(), bytes: 0 };
        let writer = ArrowWriter::try_new(hashed, SchemaRef::clone(&self.schema), Some(properties));
        let writer = writer.map_err(|error| of_parquet(&path, error))?;
        Ok(Open { writer, path, rows: 0, group_bytes: 0 })
    }

    fn file_name(&self) -> String {
        format!("{:06}.parquet", self.files.len() + 1)
    }

    fn end(&mut self, open: Open) -> CtlResult<()> {
        let hashed = open.writer.into_inner().map_err(|error| of_parquet(&open.path, error))?;
        hashed.file.sync_all().map_err(failed(&open.path))?;
        let entry = FileEntry {
            path: format!("{}/{}", self.folder, self.file_name()),
            rows: Some(open.rows),
            bytes: hashed.bytes,
            blake3: hashed.hasher.finalize().to_hex().to_string(),
        };
        self.files.push(entry);
        Ok(())
    }
}

impl Open {
    fn write(&mut self, batch: &RecordBatch, bytes: usize) -> CtlResult<()> {
        let failed = |error| of_parquet(&self.path, error);
        self.writer.write(batch).map_err(failed)?;
        self.rows += batch.num_rows() as u64;
        self.group_bytes += bytes;
        if self.writer.in_progress_rows() == 0 {
            self.group_bytes = 0;
        } else if self.group_bytes >= GROUP_BYTES {
            self.writer.flush().map_err(failed)?;
            self.group_bytes = 0;
        }
        Ok(())
    }
}

/// A file that is hashed as it is written.
struct Hashed {
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = self.file.write(buf)?;
        self.hasher.update(buf.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The system's reason, where the library wraps one.
fn of_parquet(path: &Path, error: ParquetError) -> CtlError {
    let text = error.to_string();
    let source = match error {
        ParquetError::External(inner) => inner.downcast::<io::Error>().ok(),
        _ => None,
    };
    match source {
        Some(source) => failed(path)(*source),
        None => CtlError::Failed(format!("cannot write {}: {text}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_told_apart_whatever_tables_are_called() {
        let name = |number, table: &str| folder_name(number, 12, table);
        assert_eq!(name(1, "trades"), "0001-trades");
        assert_eq!(name(2, "Trades"), "0002-trades");
        assert_eq!(name(3, "../../etc/x.y"), "0003-______etc_x_y");
        assert_eq!(name(4, "価\0\n"), "0004-___");
        assert_eq!(name(5, &"x".repeat(256)).len(), 45);
        assert_eq!(folder_name(7, 100_000, "t"), "000007-t");
    }
}
