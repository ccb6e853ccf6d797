//! A group of records: the unit of writing and syncing, aligned to sectors. Format: docs/format/wal.md, "Group".

use chronolith_codec::varint::Reader;

use crate::format::frame;
use crate::format::version::WAL_VERSION;
use crate::limits::{LOG_GROUP_BYTES_MAX, LOG_SECTOR_BYTES};
use crate::model::{FileId, Sequence};

/// Bytes of a group's header.
pub const GROUP_HEADER_BYTES: usize = 96;
/// Bytes before the checksum that are zero: room for encryption (docs/decisions/0017-reserved.md) and for more.
const RESERVED_BYTES: usize = 40;
const MAGIC: u32 = u32::from_le_bytes(*b"CLGR");

/// What a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// It holds records.
    Records,
    /// It holds none: it only proves what is durable.
    Witness,
}

/// The header of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupHeader {
    /// What the group is for.
    pub kind: GroupKind,
    /// Bytes of the records.
    pub payload_bytes: u32,
    /// The number of records.
    pub record_count: u32,
    /// The first record's sequence; that of the next record for groups without any.
    pub first: Sequence,
    /// Commit time of every record in the group, nanoseconds since the Unix epoch.
    pub commit_time_ns: i64,
    /// Bytes of this file, from its start, that were durable when the group was written.
    pub durable_bytes: u64,
    /// Checksum of the previous group's header, of the file's header for the first group.
    pub previous: u32,
    /// Whether reserved bytes are not zero: a later format wrote the group.
    pub uses_reserved: bool,
    /// Checksum of the records and of the zeros that fill the last sector.
    pub payload_checksum: u32,
}

/// Bytes that a group takes in the file.
#[must_use]
pub fn group_bytes(payload_bytes: usize) -> usize {
    (GROUP_HEADER_BYTES + payload_bytes).next_multiple_of(LOG_SECTOR_BYTES)
}

impl GroupHeader {
    /// The header's bytes for a group at `offset` of the file `file_id`; the last four are their checksum.
    #[must_use]
    pub fn encode(&self, file_id: FileId, offset: u64) -> Vec<u8> {
        let kind: u16 = match self.kind {
            GroupKind::Records => 1,
            GroupKind::Witness => 2,
        };
        let mut out = Vec::with_capacity(GROUP_HEADER_BYTES);
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.payload_bytes.to_le_bytes());
        out.extend_from_slice(&self.record_count.to_le_bytes());
        out.extend_from_slice(&self.first.counter.to_le_bytes());
        out.extend_from_slice(&self.first.incarnation.to_le_bytes());
        out.extend_from_slice(&self.payload_checksum.to_le_bytes());
        out.extend_from_slice(&self.commit_time_ns.to_le_bytes());
        out.extend_from_slice(&self.durable_bytes.to_le_bytes());
        out.extend_from_slice(&self.previous.to_le_bytes());
        out.resize(GROUP_HEADER_BYTES - 4, 0);
        let checksum = frame::seal(file_id, offset, WAL_VERSION, &out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads the header at `offset` of the file `file_id`, with its checksum. None where there is no whole header of that place.
    #[must_use]
    pub fn decode(bytes: &[u8], file_id: FileId, offset: u64) -> Option<(Self, u32)> {
        let bytes = bytes.get(..GROUP_HEADER_BYTES)?;
        let (covered, stored) = bytes.split_last_chunk::<4>()?;
        let checksum = u32::from_le_bytes(*stored);
        if !frame::check(file_id, offset, WAL_VERSION, covered, checksum) {
            return None;
        }
        let mut reader = Reader::new(covered);
        if reader.u32_le().ok()? != MAGIC {
            return None;
        }
        let kind = match reader.u16_le().ok()? {
            1 => GroupKind::Records,
            2 => GroupKind::Witness,
            _ => return None,
        };
        let flags = reader.u16_le().ok()?;
        let payload_bytes = reader.u32_le().ok()?;
        let record_count = reader.u32_le().ok()?;
        let counter = reader.u64_le().ok()?;
        let incarnation = reader.u32_le().ok()?;
        let header = Self {
            kind,
            payload_bytes,
            record_count,
            first: Sequence { incarnation, counter },
            payload_checksum: reader.u32_le().ok()?,
            commit_time_ns: reader.i64_le().ok()?,
            durable_bytes: reader.u64_le().ok()?,
            previous: reader.u32_le().ok()?,
            uses_reserved: flags != 0 || reader.bytes(RESERVED_BYTES).ok()?.iter().any(|b| *b != 0),
        };
        // A bound on the payload, and no counter that runs over.
        let sound = payload_bytes as usize <= LOG_GROUP_BYTES_MAX
            && counter.checked_add(u64::from(record_count)).is_some();
        sound.then_some((header, checksum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> GroupHeader {
        GroupHeader {
            kind: GroupKind::Records,
            payload_bytes: 700,
            record_count: 3,
            first: Sequence { incarnation: 2, counter: 9 },
            commit_time_ns: 1_628_000_000_000_000_000,
            durable_bytes: 1024,
            previous: 77,
            uses_reserved: false,
            payload_checksum: 5,
        }
    }

    #[test]
    fn a_header_reads_back_at_its_place_alone() {
        let bytes = header().encode(FileId(7), 512);
        assert_eq!(bytes.len(), GROUP_HEADER_BYTES);
        assert_eq!(GroupHeader::decode(&bytes, FileId(7), 512).map(|read| read.0), Some(header()));
        assert_eq!(GroupHeader::decode(&bytes, FileId(7), 1024), None);
        assert_eq!(GroupHeader::decode(&bytes, FileId(8), 512), None);
    }

    #[test]
    fn any_flipped_bit_is_seen() {
        let bytes = header().encode(FileId(7), 512);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(GroupHeader::decode(&damaged, FileId(7), 512), None, "bit {bit}");
        }
    }

    #[test]
    fn groups_fill_whole_sectors() {
        assert_eq!(group_bytes(0), 512);
        assert_eq!(group_bytes(512 - GROUP_HEADER_BYTES), 512);
        assert_eq!(group_bytes(513 - GROUP_HEADER_BYTES), 1024);
    }
}
