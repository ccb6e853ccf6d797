//! Arrow's IPC stream format: the engine's rows to it and from it, without a copy where layouts agree.

mod export;
mod import;

pub(crate) use export::{aggregate_batch, aggregate_schema, record_batch, schema_of};
pub(crate) use import::rows_of;

use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamEncoder;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use chronolith_engine::Error;
use chronolith_engine::model::FieldType;
use chronolith_proto::IPC_BYTES_MAX;

/// The name of the column of timestamps.
pub(crate) const TIME: &str = "time";
/// The name of the column of commit counters.
pub(crate) const SEQUENCE: &str = "_seq";
/// The name of an aggregate's column of row counts.
pub(crate) const ROWS: &str = "_rows";

/// Timestamps: nanoseconds, UTC.
pub(crate) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// Tags: text behind codes.
pub(crate) fn tag_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}

/// The Arrow type of a field.
pub(crate) fn arrow_type(field_type: FieldType) -> DataType {
    match field_type {
        FieldType::F64 => DataType::Float64,
        FieldType::I64 => DataType::Int64,
        FieldType::U64 => DataType::UInt64,
        FieldType::Bool => DataType::Boolean,
        FieldType::Utf8 => DataType::Utf8View,
        FieldType::Timestamp => timestamp_type(),
        FieldType::Decimal { precision, scale } => {
            DataType::Decimal128(precision, i8::try_from(scale).unwrap_or(i8::MAX))
        }
    }
}

/// The bytes of an IPC stream as they come, in pieces that fit messages.
pub(crate) struct Encoder(StreamEncoder);

impl Encoder {
    /// A stream of this schema.
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) fn new(schema: &arrow::datatypes::Schema) -> Result<Self, Error> {
        StreamEncoder::try_new(schema).map(Self).map_err(|error| failed(&error))
    }

    /// The next bytes.
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<Bytes>, Error> {
        self.0.encode(batch).map(pieces).map_err(|error| failed(&error))
    }

    /// The last bytes.
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) fn finish(self) -> Result<Vec<Bytes>, Error> {
        self.0.finish().map(pieces).map_err(|error| failed(&error))
    }
}

/// A buffer that becomes bytes without a copy.
struct Owned(arrow::buffer::Buffer);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Small buffers together, large ones apart.
fn pieces(buffers: Vec<arrow::buffer::Buffer>) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut open: Vec<u8> = Vec::new();
    for buffer in buffers {
        if open.len() + buffer.len() <= IPC_BYTES_MAX / 4 {
            open.extend_from_slice(&buffer);
            continue;
        }
        if !open.is_empty() {
            pieces.push(std::mem::take(&mut open).into());
        }
        let mut whole = Bytes::from_owner(Owned(buffer));
        while !whole.is_empty() {
            pieces.push(whole.split_to(whole.len().min(IPC_BYTES_MAX)));
        }
    }
    if !open.is_empty() {
        pieces.push(open.into());
    }
    pieces
}

fn failed(error: &ArrowError) -> Error {
    Error::Internal(format!("a result could not be made into Arrow: {error}"))
}
