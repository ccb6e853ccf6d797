//! CSV files, plain, gzip or Zstandard, as told by their first bytes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::options::CsvOptions;
use super::quotes::Closed;
use super::{given, of_file, of_system};
use crate::error::{Result, SqlError};

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// The file's text, without a byte-order mark; it ends in an error where a quoted text is not closed.
fn open(path: &Path, options: &CsvOptions) -> Result<Box<dyn Read + Send>> {
    let failed = |error: std::io::Error| of_system(path, &error);
    let mut raw = BufReader::with_capacity(BUFFER_BYTES, File::open(path).map_err(failed)?);
    let head = raw.fill_buf().map_err(failed)?;
    let text: Box<dyn Read + Send> = if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(raw))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::stream::read::Decoder::with_buffer(raw).map_err(failed)?)
    } else {
        Box::new(raw)
    };
    let mut text = BufReader::with_capacity(BUFFER_BYTES, text);
    if text.fill_buf().map_err(failed)?.starts_with(b"\xef\xbb\xbf") {
        text.consume(3);
    }
    Ok(match options.marks {
        Some(marks) => Box::new(Closed::new(text, marks)),
        None => Box::new(text),
    })
}

/// The columns, by what the first rows hold. Of a column without any value the type is `Null`.
pub(super) fn columns(path: &Path, options: &CsvOptions) -> Result<Schema> {
    let found = options.format.infer_schema(open(path, options)?, options.sample_rows);
    let (schema, _) = found.map_err(|error| wrong(path, error))?;
    if schema.fields().is_empty() {
        return Err(SqlError::invalid(format!("{} is empty", path.display())));
    }
    let fields = schema.fields().iter().map(|field| {
        let data_type =
            if options.all_text { DataType::Utf8View } else { given(field.data_type()) };
        Field::new(field.name(), data_type, true)
    });
    Ok(Schema::new(fields.collect::<Vec<_>>()))
}

/// The columns at `positions` of the file's rows; `all` are its columns.
pub(super) fn rows(
    path: &Path,
    options: &CsvOptions,
    all: &SchemaRef,
    positions: &[usize],
    batch_rows: usize,
) -> Result<Box<dyn Iterator<Item = Result<RecordBatch>> + Send>> {
    let builder = ReaderBuilder::new(Arc::clone(all))
        .with_format(options.format.clone())
        .with_batch_size(batch_rows)
        .with_projection(positions.to_vec());
    let reader = builder.build(open(path, options)?).map_err(|error| wrong(path, error))?;
    let path = path.to_path_buf();
    Ok(Box::new(reader.map(move |batch| batch.map_err(|error| wrong(&path, error)))))
}

fn wrong(path: &Path, error: ArrowError) -> SqlError {
    let hint = match &error {
        // A value of another type than the first rows have.
        ArrowError::ParseError(_) | ArrowError::CastError(_) => {
            ": `sample_size => -1` finds the types from all rows, `all_varchar => true` reads texts"
        }
        _ => "",
    };
    let error = of_file(path, error);
    SqlError { message: format!("{}{hint}", error.message), ..error }
}
