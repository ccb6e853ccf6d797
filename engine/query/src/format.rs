//! Answers as bytes: a table for people, CSV, JSON, and the columnar formats. Batches are written as they come, but for the table, whose
//! widths need every row, and which is meant for few.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;
use arrow::json::writer::{JsonArray, LineDelimited};
use arrow::json::{ArrayWriter, LineDelimitedWriter, WriterBuilder as JsonBuilder};
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use datafusion::parquet::arrow::ArrowWriter;

use crate::error::{Result, SqlError};

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Columns side by side, for people.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON array of objects. NULLs are left out.
    Json,
    /// One JSON object a line. NULLs are left out.
    Ndjson,
    /// An Arrow IPC file.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl Format {
    /// The format named `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "table" => Self::Table,
            "csv" => Self::Csv,
            "json" => Self::Json,
            "ndjson" => Self::Ndjson,
            "arrow" => Self::Arrow,
            "parquet" => Self::Parquet,
            _ => return None,
        })
    }

    /// Whether it is bytes that no terminal should be sent.
    #[must_use]
    pub fn is_binary(self) -> bool {
        matches!(self, Self::Arrow | Self::Parquet)
    }
}

/// Writes the batches of one answer.
pub struct AnswerWriter<W: Write + Send> {
    kind: Kind<W>,
}

enum Kind<W: Write + Send> {
    Table { out: W, schema: SchemaRef, batches: Vec<RecordBatch>, limit: usize, row_count: usize },
    Csv(Box<arrow::csv::Writer<W>>),
    Json(ArrayWriter<W>),
    Ndjson(LineDelimitedWriter<W>),
    Arrow(Box<FileWriter<W>>),
    Parquet(Box<ArrowWriter<W>>),
}

impl<W: Write + Send> AnswerWriter<W> {
    /// Begins to write an answer of these columns. Of a table at most `limit` rows are shown.
    ///
    /// # Errors
    /// `Invalid` for a type that the format cannot hold; `Internal` where the target cannot be written.
    pub fn new(format: Format, out: W, schema: &SchemaRef, limit: usize) -> Result<Self> {
        let kind = match format {
            Format::Table => {
                let schema = SchemaRef::clone(schema);
                Kind::Table { out, schema, batches: Vec::new(), limit, row_count: 0 }
            }
            Format::Csv => {
                let mut writer = WriterBuilder::new().with_header(true).build(out);
                // The header stands there for an answer without rows too.
                writer.write(&RecordBatch::new_empty(SchemaRef::clone(schema)))?;
                Kind::Csv(Box::new(writer))
            }
            Format::Json => Kind::Json(JsonBuilder::new().build::<_, JsonArray>(out)),
            Format::Ndjson => Kind::Ndjson(JsonBuilder::new().build::<_, LineDelimited>(out)),
            Format::Arrow => Kind::Arrow(Box::new(FileWriter::try_new(out, schema)?)),
            Format::Parquet => {
                let writer = ArrowWriter::try_new(out, SchemaRef::clone(schema), None);
                Kind::Parquet(Box::new(writer.map_err(parquet)?))
            }
        };
        Ok(Self { kind })
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.kind {
            Kind::Table { batches, limit, row_count, .. } => {
                let missing = limit.saturating_sub(*row_count);
                *row_count += batch.num_rows();
                if missing > 0 {
                    batches.push(batch.slice(0, missing.min(batch.num_rows())));
                }
            }
            Kind::Csv(writer) => writer.write(batch)?,
            Kind::Json(writer) => writer.write(batch)?,
            Kind::Ndjson(writer) => writer.write(batch)?,
            Kind::Arrow(writer) => writer.write(batch)?,
            Kind::Parquet(writer) => writer.write(batch).map_err(parquet)?,
        }
        Ok(())
    }

    /// Ends the answer; gives back the target, and the rows of a table that were not shown.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn finish(self) -> Result<(W, usize)> {
        let out = match self.kind {
            Kind::Table { mut out, schema, mut batches, limit, row_count } => {
                if batches.is_empty() {
                    batches.push(RecordBatch::new_empty(schema));
                }
                let options = FormatOptions::default().with_null("NULL");
                let text = pretty_format_batches_with_options(&batches, &options)?;
                let written = writeln!(out, "{text}");
                written.map_err(|error| SqlError::internal(format!("cannot write: {error}")))?;
                return Ok((out, row_count.saturating_sub(limit)));
            }
            Kind::Csv(writer) => writer.into_inner(),
            Kind::Json(mut writer) => {
                writer.finish()?;
                let mut out = writer.into_inner();
                let written = writeln!(out);
                written.map_err(|error| SqlError::internal(format!("cannot write: {error}")))?;
                out
            }
            Kind::Ndjson(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
            Kind::Arrow(mut writer) => {
                writer.finish()?;
                writer.into_inner()?
            }
            Kind::Parquet(writer) => writer.into_inner().map_err(parquet)?,
        };
        Ok((out, 0))
    }
}

fn parquet(error: datafusion::parquet::errors::ParquetError) -> SqlError {
    SqlError::invalid(format!("cannot write Parquet: {error}"))
}
