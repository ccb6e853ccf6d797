//! Temporary stand-in until the segment module arrives.

use chronolith_codec::varint::{Reader, put_i64, put_u64};

use crate::model::{FileId, Sequence, TableId};
use crate::wire::{self, Decoded};

/// A window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Start.
    pub start_ns: i64,
    /// Width.
    pub shift: u8,
}

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SegmentInfo {
    pub file_id: FileId,
    pub table: TableId,
    pub window: Window,
    pub len_bytes: u64,
    pub hash: [u8; 32],
    pub row_count: u64,
    pub series_count: u32,
    pub min_time: i64,
    pub max_time: i64,
    pub min_sequence: Sequence,
    pub max_sequence: Sequence,
    pub has_duplicates: bool,
    pub tombstones_through: Sequence,
    pub effort: u8,
}

#[allow(missing_docs, clippy::missing_errors_doc)]
impl SegmentInfo {
    pub fn encode(&self, out: &mut Vec<u8>) {
        wire::put_u128(out, self.file_id.0);
        put_u64(out, u64::from(self.table.0));
        put_i64(out, self.window.start_ns);
        out.push(self.window.shift);
        put_u64(out, self.len_bytes);
        out.extend_from_slice(&self.hash);
        put_u64(out, self.row_count);
        put_u64(out, u64::from(self.series_count));
        put_i64(out, self.min_time);
        put_i64(out, self.max_time);
        wire::put_sequence(out, self.min_sequence);
        wire::put_sequence(out, self.max_sequence);
        out.push(u8::from(self.has_duplicates));
        wire::put_sequence(out, self.tombstones_through);
        out.push(self.effort);
    }
    pub fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        Ok(Self {
            file_id: FileId(wire::u128(reader)?),
            table: TableId(wire::u32(reader)?),
            window: Window { start_ns: reader.i64()?, shift: reader.u8()? },
            len_bytes: reader.u64()?,
            hash: wire::array(reader)?,
            row_count: reader.u64()?,
            series_count: wire::u32(reader)?,
            min_time: reader.i64()?,
            max_time: reader.i64()?,
            min_sequence: wire::sequence(reader)?,
            max_sequence: wire::sequence(reader)?,
            has_duplicates: reader.u8()? == 1,
            tombstones_through: wire::sequence(reader)?,
            effort: reader.u8()?,
        })
    }
}
