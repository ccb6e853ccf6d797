//! What an edit changes, and its bytes. Kinds are never reused; an unknown kind is an error. Format: docs/format/manifest.md.

use std::sync::Arc;

use chronolith_codec::varint::{Reader, put_i64, put_u64};

use super::CommitTimesRef;
use crate::catalog::Catalog;
use crate::format::wire::{self, Decoded, corrupt};
use crate::limits::{PRODUCER_COUNT_MAX, PRODUCER_LEN_BYTES_MAX};
use crate::model::{FileId, Sequence, TableId, TimeRange};
use crate::segment::SegmentInfo;
use crate::tombstone::Tombstone;

/// Bytes of a quarantined file's path or reason, inclusive.
const QUARANTINE_TEXT_LEN_BYTES_MAX: usize = 4 << 10;

/// What is remembered of a producer (docs/decisions/0010-idempotence.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerState {
    /// The producer's name, at most 256 bytes.
    pub id: String,
    /// The number of its last batch.
    pub number: u64,
    /// The sequence of that batch.
    pub sequence: Sequence,
    /// Rows of that batch.
    pub row_count: u64,
    /// Commit time of that batch, nanoseconds since the Unix epoch.
    pub time_ns: i64,
}

/// A damaged file, or a hole, that was set aside by an explicit repair. Data may be missing where it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The file, relative to the database directory, as it is named now.
    pub path: String,
    /// What was wrong.
    pub reason: String,
    /// The table, where only one is concerned.
    pub table: Option<TableId>,
    /// The timestamps that may be missing.
    pub range: TimeRange,
    /// The first sequence that may be missing.
    pub min_sequence: Sequence,
    /// The last sequence that may be missing.
    pub max_sequence: Sequence,
    /// When it was set aside, nanoseconds since the Unix epoch.
    pub at_ns: i64,
}

/// One change of the manifest. An edit is a list of them, applied whole or not at all.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A segment is part of the database from now on.
    SegmentAdded(Arc<SegmentInfo>),
    /// A segment is no longer part of the database.
    SegmentRemoved(FileId),
    /// Every row of the table up to this sequence is in segments: replay skips it.
    FlushedThrough {
        /// The table.
        table: TableId,
        /// The last sequence, inclusive.
        through: Sequence,
    },
    /// The whole catalog.
    Catalog {
        /// The tables.
        catalog: Arc<Catalog>,
        /// The last sequence whose changes it holds, inclusive.
        through: Sequence,
    },
    /// All producers, by id.
    Producers(Arc<Vec<ProducerState>>),
    /// A delete.
    TombstoneAdded(Arc<Tombstone>),
    /// All tombstones of this table and sequence were applied by compaction.
    TombstoneRemoved {
        /// The table.
        table: TableId,
        /// The tombstone's sequence.
        sequence: Sequence,
    },
    /// A writing open begins.
    Incarnation {
        /// Its number, above every earlier one.
        number: u32,
        /// The last sequence that was recovered: later ones of earlier incarnations were lost.
        previous_last: Sequence,
    },
    /// The number of the first log file that is still needed.
    LogFloor(u64),
    /// The log file that takes groups from now on: every file of the log up to it must be there.
    LogHead {
        /// Its number.
        number: u64,
        /// Its identity.
        file_id: FileId,
    },
    /// The side file of commit times.
    CommitTimes(CommitTimesRef),
    /// A file or hole set aside.
    Quarantined(Arc<Quarantined>),
    /// A merge has folded versions of the table's rows, or applied deletions, up to this sequence: no view below it is whole.
    Horizon {
        /// The table.
        table: TableId,
        /// The last sequence, inclusive.
        through: Sequence,
    },
}

/// The greatest kind that this version knows.
pub(super) const KIND_MAX: u8 = 13;

impl Change {
    /// The change's kind in files.
    pub(super) fn kind(&self) -> u8 {
        match self {
            Self::SegmentAdded(_) => 1,
            Self::SegmentRemoved(_) => 2,
            Self::FlushedThrough { .. } => 3,
            Self::Catalog { .. } => 4,
            Self::Producers(_) => 5,
            Self::TombstoneAdded(_) => 6,
            Self::TombstoneRemoved { .. } => 7,
            Self::Incarnation { .. } => 8,
            Self::LogFloor(_) => 9,
            Self::CommitTimes(_) => 10,
            Self::Quarantined(_) => 11,
            Self::LogHead { .. } => 12,
            Self::Horizon { .. } => 13,
        }
    }

    /// Appends the change's fields, without its kind.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::SegmentAdded(segment) => segment.encode(out),
            Self::SegmentRemoved(file) => wire::put_u128(out, file.0),
            Self::FlushedThrough { table, through: sequence }
            | Self::Horizon { table, through: sequence }
            | Self::TombstoneRemoved { table, sequence } => {
                put_u64(out, u64::from(table.0));
                wire::put_sequence(out, *sequence);
            }
            Self::Catalog { catalog, through } => {
                wire::put_sequence(out, *through);
                catalog.encode(out);
            }
            Self::Producers(producers) => {
                put_u64(out, producers.len() as u64);
                producers.iter().for_each(|producer| put_producer(out, producer));
            }
            Self::TombstoneAdded(tombstone) => tombstone.encode(out),
            Self::Incarnation { number, previous_last } => {
                put_u64(out, u64::from(*number));
                wire::put_sequence(out, *previous_last);
            }
            Self::LogFloor(file) => put_u64(out, *file),
            Self::LogHead { number, file_id } => {
                put_u64(out, *number);
                wire::put_u128(out, file_id.0);
            }
            Self::CommitTimes(reference) => reference.encode(out),
            Self::Quarantined(quarantined) => put_quarantined(out, quarantined),
        }
    }

    /// Reads the fields of a change of `kind`, at most [`KIND_MAX`], which fill `bytes`.
    ///
    /// # Errors
    /// `CodecError` for bytes that no encoder writes.
    pub(super) fn decode(kind: u8, bytes: &[u8]) -> Decoded<Self> {
        let reader = &mut Reader::new(bytes);
        let change = match kind {
            1 => Self::SegmentAdded(Arc::new(SegmentInfo::decode(reader)?)),
            2 => Self::SegmentRemoved(FileId(wire::u128(reader)?)),
            3 => Self::FlushedThrough { table: table(reader)?, through: wire::sequence(reader)? },
            4 => {
                let through = wire::sequence(reader)?;
                Self::Catalog { catalog: Arc::new(Catalog::decode(reader)?), through }
            }
            5 => {
                let count = wire::count(reader, "producers", PRODUCER_COUNT_MAX)?;
                let all = (0..count).map(|_| producer(reader)).collect::<Decoded<Vec<_>>>()?;
                Self::Producers(Arc::new(all))
            }
            6 => Self::TombstoneAdded(Arc::new(Tombstone::decode(reader)?)),
            7 => {
                Self::TombstoneRemoved { table: table(reader)?, sequence: wire::sequence(reader)? }
            }
            8 => Self::Incarnation {
                number: wire::u32(reader)?,
                previous_last: wire::sequence(reader)?,
            },
            9 => Self::LogFloor(reader.u64()?),
            10 => Self::CommitTimes(CommitTimesRef::decode(reader)?),
            11 => Self::Quarantined(Arc::new(quarantined(reader)?)),
            12 => Self::LogHead { number: reader.u64()?, file_id: FileId(wire::u128(reader)?) },
            13 => Self::Horizon { table: table(reader)?, through: wire::sequence(reader)? },
            _ => return Err(corrupt("unknown kind of change")),
        };
        reader.finish()?;
        Ok(change)
    }
}

fn table(reader: &mut Reader<'_>) -> Decoded<TableId> {
    Ok(TableId(wire::u32(reader)?))
}

fn put_producer(out: &mut Vec<u8>, producer: &ProducerState) {
    wire::put_text(out, &producer.id);
    put_u64(out, producer.number);
    wire::put_sequence(out, producer.sequence);
    put_u64(out, producer.row_count);
    put_i64(out, producer.time_ns);
}

fn producer(reader: &mut Reader<'_>) -> Decoded<ProducerState> {
    Ok(ProducerState {
        id: wire::text(reader, "a producer name's bytes", PRODUCER_LEN_BYTES_MAX)?,
        number: reader.u64()?,
        sequence: wire::sequence(reader)?,
        row_count: reader.u64()?,
        time_ns: reader.i64()?,
    })
}

fn put_quarantined(out: &mut Vec<u8>, quarantined: &Quarantined) {
    wire::put_text(out, &quarantined.path);
    wire::put_text(out, &quarantined.reason);
    // Zero is no table: numbers begin at 1.
    put_u64(out, quarantined.table.map_or(0, |table| u64::from(table.0)));
    put_i64(out, quarantined.range.from);
    put_i64(out, quarantined.range.to);
    wire::put_sequence(out, quarantined.min_sequence);
    wire::put_sequence(out, quarantined.max_sequence);
    put_i64(out, quarantined.at_ns);
}

fn quarantined(reader: &mut Reader<'_>) -> Decoded<Quarantined> {
    let path = wire::text(reader, "a path's bytes", QUARANTINE_TEXT_LEN_BYTES_MAX)?;
    let reason = wire::text(reader, "a reason's bytes", QUARANTINE_TEXT_LEN_BYTES_MAX)?;
    let table = Some(TableId(wire::u32(reader)?)).filter(|table| table.0 != 0);
    Ok(Quarantined {
        path,
        reason,
        table,
        range: TimeRange::new(reader.i64()?, reader.i64()?),
        min_sequence: wire::sequence(reader)?,
        max_sequence: wire::sequence(reader)?,
        at_ns: reader.i64()?,
    })
}

/// Checks what bytes can say but no decoder would accept, so that whatever is written can be read.
pub(super) fn check_encodable(change: &Change) -> Result<(), String> {
    match change {
        Change::Producers(producers) => {
            if producers.len() > PRODUCER_COUNT_MAX {
                return Err(format!(
                    "{} producers, the limit is {PRODUCER_COUNT_MAX}",
                    producers.len()
                ));
            }
            match producers.iter().find(|producer| producer.id.len() > PRODUCER_LEN_BYTES_MAX) {
                Some(long) => Err(format!("producer name of {} bytes", long.id.len())),
                None => Ok(()),
            }
        }
        Change::Quarantined(quarantined) => {
            let len = quarantined.path.len().max(quarantined.reason.len());
            if len > QUARANTINE_TEXT_LEN_BYTES_MAX || quarantined.table == Some(TableId(0)) {
                return Err(format!("quarantined file with a text of {len} bytes, or table zero"));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
