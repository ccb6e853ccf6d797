//! A query's result: the header, then record batches as they come.

use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamDecoder;
use arrow::record_batch::RecordBatch;
use chronolith_proto::v1::{QueryHeader, QueryReply};
use tonic::Streaming;

use crate::error::{ClientError, Result};

/// A running query. Dropping it ends the query.
pub struct Answer {
    url: String,
    header: QueryHeader,
    schema: SchemaRef,
    messages: Streaming<QueryReply>,
    decoder: StreamDecoder,
    buffer: Buffer,
    /// A batch that came with the schema.
    first: Option<RecordBatch>,
}

impl Answer {
    /// Reads as far as the schema.
    pub(crate) async fn begin(url: &str, mut messages: Streaming<QueryReply>) -> Result<Self> {
        let mut decoder = StreamDecoder::new();
        let mut header = None;
        loop {
            let message =
                messages.message().await.map_err(|status| ClientError::of(url, &status))?;
            let Some(message) = message else {
                return Err(ClientError::Malformed("it ends before its schema".to_owned()));
            };
            header = header.or(message.header);
            let mut buffer = Buffer::from(message.arrow_ipc);
            let first = decoder.decode(&mut buffer).map_err(|error| malformed(&error))?;
            if let Some(schema) = decoder.schema() {
                let (url, header) = (url.to_owned(), header.unwrap_or_default());
                return Ok(Self { url, header, schema, messages, decoder, buffer, first });
            }
        }
    }

    /// What the answer was made of.
    #[must_use]
    pub fn header(&self) -> &QueryHeader {
        &self.header
    }

    /// The columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows; none at the end.
    ///
    /// # Errors
    /// The server's; `Connection`; `Malformed`.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        loop {
            let batch = self.decoder.decode(&mut self.buffer).map_err(|error| malformed(&error))?;
            if batch.is_some() {
                return Ok(batch);
            }
            let message = self.messages.message().await;
            match message.map_err(|status| ClientError::of(&self.url, &status))? {
                Some(message) => self.buffer = Buffer::from(message.arrow_ipc),
                None => {
                    self.decoder.finish().map_err(|error| malformed(&error))?;
                    return Ok(None);
                }
            }
        }
    }

    /// Every row.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }
}

fn malformed(error: &arrow::error::ArrowError) -> ClientError {
    ClientError::Malformed(error.to_string())
}
