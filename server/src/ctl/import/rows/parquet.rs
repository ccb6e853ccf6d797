//! Parquet. The footer and the headers of all pages are walked over and bounded here before Parquet's reader sees the
//! file, as that allocates by what they announce; texts are read as views into pages, as a page may repeat one text.
//! Format: <https://parquet.apache.org/docs/file-format/>.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};

use super::super::super::{CtlError, CtlResult};
use super::super::source::Stored;
use super::columns::Batches;
use super::thrift::Walk;
use crate::contain::contained;
use crate::text::shown;

/// Rows of a batch, at most.
const BATCH_ROWS: u64 = 8 << 10;
/// Bytes of a batch, roughly, at most.
const BATCH_BYTES: u64 = 64 << 20;
/// Longest footer.
const FOOTER_BYTES_MAX: u64 = 64 << 20;
/// Longest page, unpacked.
const PAGE_BYTES_MAX: i64 = 256 << 20;
/// Bytes of one page and one dictionary of each column, unpacked, together.
const PAGES_BYTES_MAX: i64 = 1 << 30;
/// Bytes in which a page's header is looked for, at first and at last.
const HEADER_BYTES: u64 = 4 << 10;
const HEADER_BYTES_MAX: u64 = 4 << 20;
/// The footer's length and the magic word.
const TAIL_BYTES: u64 = 8;

/// The batches of a file.
pub(super) struct ParquetBatches {
    stored: Stored,
    schema: SchemaRef,
    reader: ParquetRecordBatchReader,
    row_count: u64,
    rows_read: u64,
}

impl ParquetBatches {
    /// Reads the footer and the headers of the pages.
    ///
    /// # Errors
    /// `Input`, `Invalid`.
    pub(super) fn open(stored: &Stored) -> CtlResult<Self> {
        let invalid = |why: &str| {
            CtlError::Invalid(format!(
                "{} is damaged, or no Parquet that is known here: {why}",
                stored.name()
            ))
        };
        check_footer(stored).map_err(|why| invalid(&why))?;
        let load = || {
            let found = ArrowReaderMetadata::load(stored, ArrowReaderOptions::new())?;
            let options = ArrowReaderOptions::new().with_schema(with_views(found.schema()));
            ArrowReaderMetadata::try_new(Arc::clone(found.metadata()), options)
        };
        let metadata = contained(load).map_err(|why| invalid(&why))?;
        let metadata = metadata.map_err(|error| invalid(&shown(error.to_string().as_bytes())))?;
        let batch_rows = check_pages(stored, metadata.metadata()).map_err(|why| invalid(&why))?;
        let schema = SchemaRef::clone(metadata.schema());
        let rows = metadata.metadata().file_metadata().num_rows();
        let row_count = u64::try_from(rows).map_err(|_| invalid("a negative number of rows"))?;
        let build = || {
            let batch_rows = usize::try_from(batch_rows).unwrap_or(1);
            ParquetRecordBatchReaderBuilder::new_with_metadata(stored.clone(), metadata)
                .with_batch_size(batch_rows)
                .build()
        };
        let reader = contained(build).map_err(|why| invalid(&why))?;
        let reader = reader.map_err(|error| invalid(&shown(error.to_string().as_bytes())))?;
        Ok(Self { stored: stored.clone(), schema, reader, row_count, rows_read: 0 })
    }

    fn damaged(&self, why: &str) -> CtlError {
        CtlError::Invalid(format!(
            "{} is damaged behind row {}: {why}; fetch it again",
            self.stored.name(),
            self.rows_read
        ))
    }
}

impl Batches for ParquetBatches {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn next(&mut self) -> CtlResult<Option<RecordBatch>> {
        let reader = &mut self.reader;
        let next = contained(|| reader.next());
        let next = next.map_err(|_| self.damaged("its pages contradict themselves"))?;
        let next = next.transpose();
        let next = next.map_err(|error| self.damaged(&shown(error.to_string().as_bytes())))?;
        match &next {
            Some(batch) => {
                self.rows_read += batch.num_rows() as u64;
                self.stored.note_progress(self.rows_read, self.row_count);
            }
            None if self.rows_read != self.row_count => {
                let count = self.row_count;
                return Err(self.damaged(&format!("its footer counts {count} rows")));
            }
            None => {}
        }
        Ok(next)
    }
}

/// The same columns with texts as views.
fn with_views(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => {
            Arc::new(Field::new(field.name(), DataType::Utf8View, field.is_nullable()))
        }
        _ => Arc::clone(field),
    });
    SchemaRef::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// Checks that the footer is whole and announces no more than it holds.
fn check_footer(stored: &Stored) -> Result<(), String> {
    let Some(at) = stored.len().checked_sub(TAIL_BYTES) else {
        return Err("it is too short".to_owned());
    };
    let tail = stored.at(at, TAIL_BYTES).map_err(|error| error.to_string())?;
    let (length, magic) = tail.split_first_chunk::<4>().ok_or("it is too short")?;
    match magic {
        b"PAR1" => {}
        b"PARE" => return Err("it is encrypted".to_owned()),
        _ => {
            return Err(
                "it does not end as such, so it may be truncated; fetch it again".to_owned()
            );
        }
    }
    let length = u64::from(u32::from_le_bytes(*length));
    if length > FOOTER_BYTES_MAX {
        return Err(format!("a footer of {length} bytes, the limit is {FOOTER_BYTES_MAX} bytes"));
    }
    let from = at.checked_sub(length).ok_or("its footer is longer than the file")?;
    let footer = stored.at(from, length).map_err(|error| error.to_string())?;
    Walk::new(&footer).structure(&mut |_, _| ()).ok_or_else(|| "its footer is not whole".to_owned())
}

/// Checks the sizes of all pages; gives the rows of a batch.
fn check_pages(stored: &Stored, metadata: &ParquetMetaData) -> Result<u64, String> {
    let mut batch_rows = BATCH_ROWS;
    for (at, group) in metadata.row_groups().iter().enumerate() {
        let (mut open, mut bytes) = (0_i64, 0_u64);
        for chunk in group.columns() {
            let sizes = chunk_sizes(stored, chunk).ok_or_else(|| {
                let column = shown(chunk.column_path().string().as_bytes());
                format!(
                    "the pages of column {column:?} in row group {at} are damaged, or one has over {PAGE_BYTES_MAX} bytes"
                )
            })?;
            open += sizes.open;
            bytes += sizes.all;
        }
        if open > PAGES_BYTES_MAX {
            return Err(format!(
                "row group {at} needs {open} bytes for one page of each column, the limit is {PAGES_BYTES_MAX} bytes: \
                 write smaller pages"
            ));
        }
        let rows = u64::try_from(group.num_rows()).map_err(|_| "a negative number of rows")?;
        let fit = (BATCH_BYTES.saturating_mul(rows.max(1)) / bytes.max(1)).max(1);
        batch_rows = batch_rows.min(fit);
    }
    Ok(batch_rows)
}

/// Bytes of pages, unpacked.
struct Sizes {
    /// The dictionary and the largest page.
    open: i64,
    all: u64,
}

/// Walks over the headers of a column's pages; none where they do not fill it as it says, or one is too large.
fn chunk_sizes(stored: &Stored, chunk: &ColumnChunkMetaData) -> Option<Sizes> {
    // Some writers say 0 where there is no dictionary.
    let dictionary = chunk.dictionary_page_offset().filter(|at| *at > 0);
    let first = dictionary.unwrap_or(chunk.data_page_offset());
    let mut at = u64::try_from(first).ok()?;
    let end = at.checked_add(u64::try_from(chunk.compressed_size()).ok()?)?;
    if end > stored.len() {
        return None;
    }
    let (mut dictionary, mut largest, mut all) = (0, 0, 0_u64);
    while at < end {
        let header = page_header(stored, at, end)?;
        if !(0..=PAGE_BYTES_MAX).contains(&header.unpacked) {
            return None;
        }
        all = all.checked_add(header.unpacked.unsigned_abs())?;
        let of = if header.is_dictionary { &mut dictionary } else { &mut largest };
        *of = header.unpacked.max(*of);
        at = at.checked_add(header.len)?.checked_add(u64::try_from(header.stored).ok()?)?;
    }
    (at == end).then_some(Sizes { open: dictionary + largest, all })
}

struct PageHeader {
    len: u64,
    unpacked: i64,
    stored: i64,
    is_dictionary: bool,
}

/// Fields of Parquet's `PageHeader`, and the value of a dictionary's type.
const PAGE_TYPE: i64 = 1;
const UNPACKED_SIZE: i64 = 2;
const STORED_SIZE: i64 = 3;
const DICTIONARY_PAGE: i64 = 2;

fn page_header(stored: &Stored, at: u64, end: u64) -> Option<PageHeader> {
    let mut window = HEADER_BYTES;
    loop {
        let bytes = stored.at(at, window.min(end - at)).ok()?;
        let mut header = PageHeader { len: 0, unpacked: -1, stored: -1, is_dictionary: false };
        let mut walk = Walk::new(&bytes);
        let whole = walk.structure(&mut |field, value| match field {
            PAGE_TYPE => header.is_dictionary = value == DICTIONARY_PAGE,
            UNPACKED_SIZE => header.unpacked = value,
            STORED_SIZE => header.stored = value,
            _ => {}
        });
        if whole.is_some() {
            header.len = walk.len() as u64;
            return Some(header);
        }
        if window >= HEADER_BYTES_MAX || window >= end - at {
            return None;
        }
        window *= 8;
    }
}

impl Length for Stored {
    fn len(&self) -> u64 {
        Stored::len(self)
    }
}

impl ChunkReader for Stored {
    type T = super::super::source::StoredReader;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(self.reader(start))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<bytes::Bytes> {
        let bytes = self.at(start, length as u64)?;
        Ok(bytes.into())
    }
}
