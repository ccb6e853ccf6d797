//! What the manifest keeps of a segment.

use chronolith_codec::CodecError;
use chronolith_codec::varint::{self, Reader};

use crate::model::{FileId, Sequence, TableId, Window};

use super::layout::u128_le;

/// A finished segment. The segment's own summary section holds the same but length and hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The file's identity, and its name.
    pub file_id: FileId,
    /// The table of its rows.
    pub table: TableId,
    /// The partition that holds every row's time.
    pub window: Window,
    /// The file's length in bytes.
    pub len_bytes: u64,
    /// BLAKE3 of the whole file.
    pub hash: [u8; 32],
    /// Rows, at least one.
    pub row_count: u64,
    /// Series, at least one.
    pub series_count: u32,
    /// The least time of a row.
    pub min_time: i64,
    /// The greatest time of a row.
    pub max_time: i64,
    /// The least sequence of a row.
    pub min_sequence: Sequence,
    /// The greatest sequence of a row.
    pub max_sequence: Sequence,
    /// Whether two rows have the same series and time.
    pub has_duplicates: bool,
    /// Tombstones up to this sequence, inclusive, were applied to the rows.
    pub tombstones_through: Sequence,
    /// How hard the encodings were chosen: 0 fast, 1 dense.
    pub effort: u8,
}

impl SegmentInfo {
    /// Appends the fixed form: everything in order, integers as LEB128, ids and hash as they are.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.file_id.0.to_le_bytes());
        varint::put_u64(out, u64::from(self.table.0));
        varint::put_u64(out, self.len_bytes);
        out.extend_from_slice(&self.hash);
        self.encode_summary(out);
    }

    /// The information that [`Self::encode`] wrote.
    ///
    /// # Errors
    /// A `CodecError` for bytes that it does not write.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let file_id = FileId(u128_le(reader)?);
        let table = TableId(number(reader, "a table id passes 32 bits")?);
        let len_bytes = reader.u64()?;
        let mut hash = [0; 32];
        hash.copy_from_slice(reader.bytes(32)?);
        Self::decode_summary(reader, file_id, table, len_bytes, hash)
    }

    /// The part that the file itself holds.
    pub(crate) fn encode_summary(&self, out: &mut Vec<u8>) {
        varint::put_i64(out, self.window.start_ns);
        out.push(self.window.shift);
        varint::put_u64(out, self.row_count);
        varint::put_u64(out, u64::from(self.series_count));
        varint::put_i64(out, self.min_time);
        varint::put_i64(out, self.max_time);
        put_sequence(out, self.min_sequence);
        put_sequence(out, self.max_sequence);
        out.push(u8::from(self.has_duplicates));
        put_sequence(out, self.tombstones_through);
        out.push(self.effort);
    }

    pub(crate) fn decode_summary(
        reader: &mut Reader<'_>,
        file_id: FileId,
        table: TableId,
        len_bytes: u64,
        hash: [u8; 32],
    ) -> Result<Self, CodecError> {
        let (start_ns, shift) = (reader.i64()?, reader.u8()?);
        let window = Window::from_parts(start_ns, shift)
            .ok_or(CodecError::Corrupt { what: "a window is not aligned" })?;
        let info = Self {
            file_id,
            table,
            window,
            len_bytes,
            hash,
            row_count: reader.u64()?,
            series_count: number(reader, "a series count passes 32 bits")?,
            min_time: reader.i64()?,
            max_time: reader.i64()?,
            min_sequence: get_sequence(reader)?,
            max_sequence: get_sequence(reader)?,
            has_duplicates: match reader.u8()? {
                0 => false,
                1 => true,
                _ => return Err(CodecError::Corrupt { what: "a flag is neither 0 nor 1" }),
            },
            tombstones_through: get_sequence(reader)?,
            effort: reader.u8()?,
        };
        if info.series_count == 0 || info.row_count < u64::from(info.series_count) {
            return Err(CodecError::Corrupt { what: "a segment has fewer rows than series" });
        }
        Ok(info)
    }
}

/// Appends a sequence: incarnation and counter as LEB128.
pub(crate) fn put_sequence(out: &mut Vec<u8>, sequence: Sequence) {
    varint::put_u64(out, u64::from(sequence.incarnation));
    varint::put_u64(out, sequence.counter);
}

/// The sequence that [`put_sequence`] wrote.
pub(crate) fn get_sequence(reader: &mut Reader<'_>) -> Result<Sequence, CodecError> {
    let incarnation = number(reader, "an incarnation passes 32 bits")?;
    Ok(Sequence { incarnation, counter: reader.u64()? })
}

/// A LEB128 integer of at most 32 bits.
pub(crate) fn number(reader: &mut Reader<'_>, what: &'static str) -> Result<u32, CodecError> {
    u32::try_from(reader.u64()?).map_err(|_| CodecError::Corrupt { what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn information_round_trips_and_every_cut_is_an_error() {
        let info = SegmentInfo {
            file_id: FileId(3 << 90),
            table: TableId(7),
            window: Window::of(-5, 4),
            len_bytes: 1 << 40,
            hash: [9; 32],
            row_count: 1 << 33,
            series_count: u32::MAX,
            min_time: i64::MIN,
            max_time: i64::MAX,
            min_sequence: Sequence { incarnation: 1, counter: 2 },
            max_sequence: Sequence::MAX,
            has_duplicates: true,
            tombstones_through: Sequence::ZERO,
            effort: 1,
        };
        let mut bytes = Vec::new();
        info.encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        assert_eq!(SegmentInfo::decode(&mut reader).unwrap(), info);
        assert_eq!(reader.remaining(), 0);
        for len in 0..bytes.len() {
            assert!(SegmentInfo::decode(&mut Reader::new(&bytes[..len])).is_err(), "{len}");
        }
    }
}
