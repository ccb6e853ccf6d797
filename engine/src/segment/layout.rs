//! The frame of a segment file: header, footer, trailer. Format: docs/format/segment.md.

use std::path::Path;

use chronolith_codec::CodecError;
use chronolith_codec::varint::Reader;

use crate::error::{Error, Result};
use crate::format::frame::{self, CHECKSUM_CRC32};
use crate::format::version::SEGMENT_VERSION;
use crate::model::{FileId, TableId};

/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 64;
/// Bytes of the trailer, the last of the file.
pub(crate) const TRAILER_BYTES: usize = 32;
/// Bytes of one entry of the footer.
const ENTRY_BYTES: usize = 24;

const HEADER_MAGIC: [u8; 8] = *b"CHRONSEG";
const TRAILER_MAGIC: [u8; 8] = *b"CHRONEND";
/// A reader that does not know a section with this flag must refuse the file.
const FLAG_CRITICAL: u16 = 1;

/// Types of sections. Others are skipped, so that later versions can add indexes.
pub(crate) mod section {
    pub(crate) const SUMMARY: u16 = 1;
    pub(crate) const SCHEMA: u16 = 2;
    pub(crate) const SERIES_BLOCKS: u16 = 3;
    pub(crate) const SERIES_INDEX: u16 = 4;
    pub(crate) const TAG_BLOCKS: u16 = 5;
    pub(crate) const TAG_INDEX: u16 = 6;
    pub(crate) const GROUPS: u16 = 7;
    pub(crate) const DESCRIPTORS: u16 = 8;
    pub(crate) const COMMITS: u16 = 9;
    pub(crate) const LAST_ROWS: u16 = 10;
    pub(crate) const LAST_ROWS_INDEX: u16 = 11;
    pub(crate) const LAST_KNOWN: u16 = LAST_ROWS_INDEX;
}

/// A sealed piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Where it begins.
    pub(crate) offset: u64,
    /// Its bytes.
    pub(crate) len: u64,
    /// Its checksum, bound to its place.
    pub(crate) crc: u32,
}

impl Extent {
    /// The offset after the last byte; the largest number where that does not exist.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) file_id: FileId,
    pub(crate) database_id: u128,
    pub(crate) table: TableId,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&HEADER_MAGIC);
        out.extend_from_slice(&SEGMENT_VERSION.to_le_bytes());
        out.extend_from_slice(&[CHECKSUM_CRC32, 0, 0, 0]);
        out.extend_from_slice(&self.file_id.0.to_le_bytes());
        out.extend_from_slice(&self.database_id.to_le_bytes());
        out.extend_from_slice(&self.table.0.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        let crc = frame::seal(self.file_id, 0, SEGMENT_VERSION, &out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Self> {
        let bad = |detail: String| Error::corrupt(path, 0, "segment header", detail);
        let short = |_| bad(format!("{} bytes instead of {HEADER_BYTES}", bytes.len()));
        let mut reader = Reader::new(bytes);
        let magic = reader.bytes(HEADER_MAGIC.len()).map_err(short)?;
        if magic != HEADER_MAGIC {
            return Err(bad(format!("expected the magic {HEADER_MAGIC:02x?}, found {magic:02x?}")));
        }
        let version = reader.u32_le().map_err(short)?;
        let (algorithms, header, crc) = Self::fields(&mut reader).map_err(short)?;
        let sealed = bytes.get(..HEADER_BYTES - 4).unwrap_or_default();
        let expected = frame::seal(header.file_id, 0, version, sealed);
        if crc != expected && !frame::trusts() {
            return Err(bad(format!("expected the checksum {expected:08x}, found {crc:08x}")));
        }
        // After the checksum, which covers it in every version: a flipped bit is no other version.
        if version != SEGMENT_VERSION {
            return Err(Error::UnsupportedVersion {
                path: path.to_path_buf(),
                found: version,
                supported: SEGMENT_VERSION,
            });
        }
        if algorithms != u32::from(CHECKSUM_CRC32) {
            return Err(bad(format!("unknown checksum or cipher {algorithms:#010x}")));
        }
        Ok(header)
    }

    fn fields(reader: &mut Reader<'_>) -> std::result::Result<(u32, Self, u32), CodecError> {
        let algorithms = reader.u32_le()?;
        let file_id = FileId(u128_le(reader)?);
        let database_id = u128_le(reader)?;
        let table = TableId(reader.u32_le()?);
        reader.bytes(8)?;
        Ok((algorithms, Self { file_id, database_id, table }, reader.u32_le()?))
    }
}

/// A fixed sixteen-byte little-endian integer.
pub(crate) fn u128_le(reader: &mut Reader<'_>) -> std::result::Result<u128, CodecError> {
    let low = reader.u64_le()?;
    let high = reader.u64_le()?;
    Ok(u128::from(high) << 64 | u128::from(low))
}

/// Where the sections are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Footer {
    sections: Vec<(u16, Extent)>,
}

impl Footer {
    pub(crate) fn push(&mut self, kind: u16, extent: Extent) {
        self.sections.push((kind, extent));
    }

    /// The section of this type.
    pub(crate) fn get(&self, kind: u16) -> Option<Extent> {
        self.sections.iter().find(|(other, _)| *other == kind).map(|(_, extent)| *extent)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + self.sections.len() * ENTRY_BYTES);
        let count = u32::try_from(self.sections.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        for (kind, extent) in &self.sections {
            out.extend_from_slice(&kind.to_le_bytes());
            out.extend_from_slice(&0u16.to_le_bytes());
            out.extend_from_slice(&extent.crc.to_le_bytes());
            out.extend_from_slice(&extent.offset.to_le_bytes());
            out.extend_from_slice(&extent.len.to_le_bytes());
        }
        out
    }

    /// The footer in `bytes`, which lie at `offset`.
    pub(crate) fn decode(bytes: &[u8], offset: u64, path: &Path) -> Result<Self> {
        let bad = |detail: String| Error::corrupt(path, offset, "segment footer", detail);
        let mut reader = Reader::new(bytes);
        let count = reader.u32_le().map_err(|error| bad(error.to_string()))?;
        if reader.remaining() as u64 != u64::from(count) * ENTRY_BYTES as u64 {
            return Err(bad(format!("{count} sections in {} bytes", bytes.len())));
        }
        let mut footer = Self::default();
        while reader.remaining() > 0 {
            let (kind, flags, extent) =
                entry(&mut reader).map_err(|error| bad(error.to_string()))?;
            if extent.end() > offset || extent.offset < HEADER_BYTES as u64 {
                return Err(bad(format!("section {kind} lies outside of the file's body")));
            }
            if footer.get(kind).is_some() {
                return Err(bad(format!("two sections of type {kind}")));
            }
            if kind > section::LAST_KNOWN && flags & FLAG_CRITICAL != 0 {
                return Err(bad(format!("section type {kind} is unknown but must be understood")));
            }
            footer.push(kind, extent);
        }
        Ok(footer)
    }
}

fn entry(reader: &mut Reader<'_>) -> std::result::Result<(u16, u16, Extent), CodecError> {
    let (kind, flags, crc) = (reader.u16_le()?, reader.u16_le()?, reader.u32_le()?);
    Ok((kind, flags, Extent { offset: reader.u64_le()?, len: reader.u64_le()?, crc }))
}

/// The trailer of a file whose footer is `footer`.
pub(crate) fn encode_trailer(file_id: FileId, footer: Extent) -> Vec<u8> {
    let mut out = Vec::with_capacity(TRAILER_BYTES);
    let len = u32::try_from(footer.len).unwrap_or(u32::MAX);
    out.extend_from_slice(&footer.offset.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&footer.crc.to_le_bytes());
    out.extend_from_slice(&TRAILER_MAGIC);
    out.extend_from_slice(&[0; 4]);
    let crc = frame::seal(file_id, footer.end(), SEGMENT_VERSION, &out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// The footer's place, from the trailer in `bytes`, which lie at `offset`.
pub(crate) fn decode_trailer(
    bytes: &[u8],
    offset: u64,
    file_id: FileId,
    path: &Path,
) -> Result<Extent> {
    let bad = |detail: String| Error::corrupt(path, offset, "segment trailer", detail);
    let mut reader = Reader::new(bytes);
    let (footer, magic, crc) = trailer(&mut reader).map_err(|error| bad(error.to_string()))?;
    if magic != TRAILER_MAGIC {
        return Err(bad(format!("expected the magic {TRAILER_MAGIC:02x?}, found {magic:02x?}")));
    }
    let sealed = bytes.get(..TRAILER_BYTES - 4).unwrap_or_default();
    if !frame::check(file_id, offset, SEGMENT_VERSION, sealed, crc) {
        return Err(bad(format!("the checksum {crc:08x} is not that of the trailer")));
    }
    if footer.end() != offset || footer.offset < HEADER_BYTES as u64 {
        return Err(bad(format!("the footer at {} does not end here", footer.offset)));
    }
    Ok(footer)
}

fn trailer<'a>(
    reader: &mut Reader<'a>,
) -> std::result::Result<(Extent, &'a [u8], u32), CodecError> {
    let (offset, len, crc) = (reader.u64_le()?, reader.u32_le()?, reader.u32_le()?);
    let magic = reader.bytes(TRAILER_MAGIC.len())?;
    reader.u32_le()?;
    Ok((Extent { offset, len: u64::from(len), crc }, magic, reader.u32_le()?))
}

#[cfg(test)]
impl Footer {
    /// Every section.
    pub(crate) fn sections(&self) -> &[(u16, Extent)] {
        &self.sections
    }
}
