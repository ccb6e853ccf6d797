//! The first sector of a log file: who it is, and where the file before it ends. Format: docs/format/wal.md, "File header".

use std::path::Path;

use chronolith_codec::CodecError;
use chronolith_codec::varint::Reader;

use crate::error::{Error, Result};
use crate::format::frame::{self, CHECKSUM_CRC32};
use crate::format::version::WAL_VERSION;
use crate::limits::LOG_SECTOR_BYTES;
use crate::model::FileId;

const MAGIC: u64 = u64::from_le_bytes(*b"CHRONLOG");
/// Bytes of the fields; zeros follow, up to the checksum that ends the sector.
const FIELD_BYTES: usize = 89;

/// The end of the file before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreviousFile {
    /// Its number.
    pub number: u64,
    /// Its identity.
    pub file_id: FileId,
    /// Bytes of it that count: what lies behind was never acknowledged.
    pub end_bytes: u64,
}

/// Who a log file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// The file's number; the next file has the next one.
    pub number: u64,
    /// The file's identity.
    pub file_id: FileId,
    /// The database's identity.
    pub database_id: u128,
    /// The incarnation that writes it.
    pub incarnation: u32,
    /// The file before, unless this is the first of the database.
    pub previous: Option<PreviousFile>,
}

impl FileHeader {
    /// The header's sector, and the checksum that the first group names.
    #[must_use]
    pub fn encode(&self) -> (Vec<u8>, u32) {
        let previous =
            self.previous.unwrap_or(PreviousFile { number: 0, file_id: FileId(0), end_bytes: 0 });
        let mut out = Vec::with_capacity(LOG_SECTOR_BYTES);
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&WAL_VERSION.to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.file_id.0.to_le_bytes());
        out.extend_from_slice(&self.database_id.to_le_bytes());
        out.extend_from_slice(&previous.number.to_le_bytes());
        out.extend_from_slice(&previous.file_id.0.to_le_bytes());
        out.extend_from_slice(&previous.end_bytes.to_le_bytes());
        out.push(CHECKSUM_CRC32);
        out.resize(LOG_SECTOR_BYTES - 4, 0);
        let checksum = frame::seal(self.file_id, 0, WAL_VERSION, &out);
        out.extend_from_slice(&checksum.to_le_bytes());
        (out, checksum)
    }

    /// Reads the header of the file `path`, whose name says `file_id`. None where no header was written whole.
    ///
    /// # Errors
    /// `UnsupportedVersion` for the header of another version; `UnsupportedFeature` where reserved bytes are in use.
    pub fn decode(bytes: &[u8], path: &Path, file_id: FileId) -> Result<Option<(Self, u32)>> {
        let Some(bytes) = bytes.get(..LOG_SECTOR_BYTES) else { return Ok(None) };
        let Some((covered, stored)) = bytes.split_last_chunk::<4>() else { return Ok(None) };
        let mut reader = Reader::new(covered);
        let Ok((magic, version)) = preamble(&mut reader) else { return Ok(None) };
        if magic != MAGIC {
            return Ok(None);
        }
        let checksum = u32::from_le_bytes(*stored);
        if !frame::check(file_id, 0, version, covered, checksum) {
            return Ok(None);
        }
        if version != WAL_VERSION {
            return Err(Error::UnsupportedVersion {
                path: path.to_path_buf(),
                found: version,
                supported: WAL_VERSION,
            });
        }
        let algorithm = covered.get(FIELD_BYTES - 1);
        let reserved = covered.get(FIELD_BYTES..).unwrap_or_default();
        if algorithm != Some(&CHECKSUM_CRC32) || reserved.iter().any(|byte| *byte != 0) {
            return Err(Error::UnsupportedFeature {
                path: path.to_path_buf(),
                feature:
                    "log file header with another checksum algorithm or with reserved bytes in use"
                        .into(),
            });
        }
        let header = Self::fields(&mut reader).ok().filter(|header| header.file_id == file_id);
        Ok(header.map(|header| (header, checksum)))
    }

    fn fields(reader: &mut Reader<'_>) -> std::result::Result<Self, CodecError> {
        let incarnation = reader.u32_le()?;
        let number = reader.u64_le()?;
        let file_id = FileId(wide(reader)?);
        let database_id = wide(reader)?;
        let previous = PreviousFile {
            number: reader.u64_le()?,
            file_id: FileId(wide(reader)?),
            end_bytes: reader.u64_le()?,
        };
        let previous = (previous.number != 0).then_some(previous);
        Ok(Self { number, file_id, database_id, incarnation, previous })
    }
}

fn preamble(reader: &mut Reader<'_>) -> std::result::Result<(u64, u32), CodecError> {
    Ok((reader.u64_le()?, reader.u32_le()?))
}

fn wide(reader: &mut Reader<'_>) -> std::result::Result<u128, CodecError> {
    let low = reader.u64_le()?;
    Ok((u128::from(reader.u64_le()?) << 64) | u128::from(low))
}
