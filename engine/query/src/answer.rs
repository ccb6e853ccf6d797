//! What a statement gives: batches, and the moment of the database that they show.

use std::pin::Pin;
use std::task::{Context, Poll};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use chronolith_engine::model::Sequence;
use chronolith_engine::snapshot::Snapshot;
use futures::{Stream, StreamExt, TryStreamExt};

use crate::error::{Result, SqlError};

/// The moment of a database that an answer shows, as opaque bytes for callers: the same statement at the same id gives the same answer again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SnapshotId {
    /// The database.
    pub database_id: u128,
    /// The last sequence that is seen.
    pub sequence: Sequence,
}

/// Bytes of a snapshot id: version, database id, incarnation, counter, all little-endian.
const ID_LEN: usize = 1 + 16 + 4 + 8;
const ID_VERSION: u8 = 0;

impl SnapshotId {
    /// The bytes for callers.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ID_LEN);
        bytes.push(ID_VERSION);
        bytes.extend_from_slice(&self.database_id.to_le_bytes());
        bytes.extend_from_slice(&self.sequence.incarnation.to_le_bytes());
        bytes.extend_from_slice(&self.sequence.counter.to_le_bytes());
        bytes
    }

    /// The id that `bytes` are, if they are one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (database_id, rest) = rest.split_first_chunk()?;
        let (incarnation, rest) = rest.split_first_chunk()?;
        let counter = rest.try_into().ok()?;
        (*version == ID_VERSION).then(|| Self {
            database_id: u128::from_le_bytes(*database_id),
            sequence: Sequence {
                incarnation: u32::from_le_bytes(*incarnation),
                counter: u64::from_le_bytes(counter),
            },
        })
    }
}

/// The batches of an answer; ends after its first error.
pub type AnswerStream = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

/// The answer to one statement. Dropping it ends the statement.
pub struct Answer {
    /// The columns; none for statements that give no rows.
    pub schema: SchemaRef,
    /// The moment that the rows show; for writes the moment after them.
    pub snapshot_id: SnapshotId,
    /// The last sequence that the rows show.
    pub sequence: Sequence,
    /// The last sequence that was durable then.
    pub durable_sequence: Sequence,
    /// Rows written or deleted, for statements that do.
    pub affected_rows: Option<u64>,
    stream: AnswerStream,
}

impl Answer {
    /// An answer whose batches come from `stream`.
    #[must_use]
    pub fn new(
        schema: SchemaRef,
        database_id: u128,
        snapshot: &Snapshot,
        affected_rows: Option<u64>,
        stream: AnswerStream,
    ) -> Self {
        let sequence = snapshot.sequence();
        Self {
            schema,
            snapshot_id: SnapshotId { database_id, sequence },
            sequence,
            durable_sequence: snapshot.durable_sequence(),
            affected_rows,
            stream,
        }
    }

    /// The batches.
    #[must_use]
    pub fn into_stream(self) -> AnswerStream {
        self.stream
    }

    /// Every batch.
    ///
    /// # Errors
    /// The first of the stream.
    pub async fn collect(self) -> Result<Vec<RecordBatch>> {
        self.stream.try_collect().await
    }
}

impl Stream for Answer {
    type Item = std::result::Result<RecordBatch, SqlError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.poll_next_unpin(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_other_bytes_are_none() {
        let sequence = Sequence { incarnation: 3, counter: u64::MAX - 1 };
        let id = SnapshotId { database_id: u128::MAX / 7, sequence };
        let bytes = id.to_bytes();
        assert_eq!(SnapshotId::from_bytes(&bytes), Some(id));
        assert_eq!(SnapshotId::from_bytes(&bytes[1..]), None);
        assert_eq!(SnapshotId::from_bytes(&[]), None);
        let mut other = bytes;
        other[0] = 9;
        assert_eq!(SnapshotId::from_bytes(&other), None);
        other.push(0);
        assert_eq!(SnapshotId::from_bytes(&other), None);
    }
}
