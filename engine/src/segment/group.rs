//! Row groups: the directory with one entry a group, and each group's descriptor: the place, checksum and zone map of every
//! block and page. Format: docs/format/segment.md.

use chronolith_codec::CodecError;
use chronolith_codec::varint::{self, Reader};

use crate::limits::{PAGE_ROWS, ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS, TEXT_LEN_BYTES_MAX};
use crate::model::{ColumnId, FieldType};

use super::info::number;
use super::layout::{Extent, HEADER_BYTES};
use super::zone::{ALL_BOUNDS, Zone};

/// The flag of an entry whose rows differ in series or time from one another and from their neighbours.
const GROUP_UNIQUE: u8 = 1;
/// The flag of a block whose run of values refers to another series' run: reserved, not written, not read.
const BLOCK_SHARED: u8 = 1;
/// The flag of a block of NULLs only, which has no pages.
const BLOCK_NULL: u8 = 2;

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockId {
    /// The rows' times.
    Time,
    /// The incarnations of the rows' sequences.
    Incarnation,
    /// The counters of the rows' sequences.
    Counter,
    /// A field.
    Field(ColumnId),
}

impl std::fmt::Display for BlockId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Time => f.write_str("time"),
            Self::Incarnation => f.write_str("sequence incarnation"),
            Self::Counter => f.write_str("sequence counter"),
            Self::Field(id) => write!(f, "column {}", id.0),
        }
    }
}

/// The blocks of each row group, in file order, with the types of their zone maps.
pub(crate) fn block_kinds(columns: &[(ColumnId, FieldType)]) -> Vec<(BlockId, FieldType)> {
    let fields = columns.iter().map(|(id, field_type)| (BlockId::Field(*id), *field_type));
    [
        (BlockId::Time, FieldType::Timestamp),
        (BlockId::Incarnation, FieldType::I64),
        (BlockId::Counter, FieldType::U64),
    ]
    .into_iter()
    .chain(fields)
    .collect()
}

/// One page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    pub(crate) extent: Extent,
    /// The coarse bounds; meaningless for truth values and text.
    pub(crate) coarse: (u8, u8),
    /// Bytes of the texts in it.
    pub(crate) text_bytes: usize,
}

/// One column of a row group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Block {
    pub(crate) id: BlockId,
    pub(crate) field_type: FieldType,
    pub(crate) zone: Zone,
    /// None for a block of NULLs.
    pub(crate) pages: Vec<Page>,
}

impl Block {
    /// Whether pages have coarse bounds.
    fn is_coarse(field_type: FieldType) -> bool {
        !matches!(field_type, FieldType::Bool | FieldType::Utf8)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        if self.pages.is_empty() {
            out.push(BLOCK_NULL);
            return;
        }
        out.push(0);
        self.zone.encode(out);
        for page in &self.pages {
            varint::put_u64(out, page.extent.len);
            out.extend_from_slice(&page.extent.crc.to_le_bytes());
            if Self::is_coarse(self.field_type) {
                out.extend_from_slice(&[page.coarse.0, page.coarse.1]);
            }
            if self.field_type == FieldType::Utf8 {
                varint::put_u64(out, page.text_bytes as u64);
            }
        }
    }

    fn decode(
        reader: &mut Reader<'_>,
        (id, field_type): (BlockId, FieldType),
        row_count: u32,
        offset: &mut u64,
    ) -> Result<Self, CodecError> {
        match reader.u8()? {
            0 => {}
            BLOCK_NULL if matches!(id, BlockId::Field(_)) => {
                return Ok(Self {
                    id,
                    field_type,
                    zone: Zone::nulls(row_count),
                    pages: Vec::new(),
                });
            }
            BLOCK_SHARED => {
                return Err(CodecError::Corrupt { what: "shared runs are not supported" });
            }
            _ => return Err(CodecError::Corrupt { what: "a block has unknown flags" }),
        }
        let zone = Zone::decode(reader, row_count, field_type)?;
        let mut pages = Vec::new();
        for _ in 0..(row_count as usize).div_ceil(PAGE_ROWS) {
            let (len, crc) = (reader.u64()?, reader.u32_le()?);
            let extent = Extent { offset: *offset, len, crc };
            *offset = extent.end();
            let is_coarse = Self::is_coarse(field_type);
            let coarse = if is_coarse { (reader.u8()?, reader.u8()?) } else { ALL_BOUNDS };
            let is_text = field_type == FieldType::Utf8;
            let text_bytes = if is_text { text_bytes(reader.u64()?)? } else { 0 };
            pages.push(Page { extent, coarse, text_bytes });
        }
        Ok(Self { id, field_type, zone, pages })
    }
}

fn text_bytes(bytes: u64) -> Result<usize, CodecError> {
    let max = ROW_GROUP_BYTES_MAX + TEXT_LEN_BYTES_MAX;
    usize::try_from(bytes).ok().filter(|bytes| *bytes <= max).ok_or(CodecError::TooLarge {
        what: "bytes of text in a page",
        value: bytes,
        max: max as u64,
    })
}

/// One row group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    /// In the order of [`block_kinds`].
    pub(crate) blocks: Vec<Block>,
    /// The time of each page's first row.
    pub(crate) page_times: Vec<i64>,
}

impl Group {
    /// The block that holds `id`.
    pub(crate) fn block(&self, id: BlockId) -> Option<&Block> {
        self.blocks.iter().find(|block| block.id == id)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for time in &self.page_times {
            varint::put_i64(out, *time);
        }
        for block in &self.blocks {
            block.encode(out);
        }
    }

    /// The group of `entry` whose blocks are `kinds`.
    pub(crate) fn decode(
        bytes: &[u8],
        kinds: &[(BlockId, FieldType)],
        entry: &GroupEntry,
    ) -> Result<Self, CodecError> {
        let (group, end) = Self::decode_to(bytes, kinds, entry)?;
        if end != entry.data.end {
            return Err(CodecError::Corrupt { what: "pages do not fill their row group" });
        }
        Ok(group)
    }

    /// The same, and where its pages end.
    pub(super) fn decode_to(
        bytes: &[u8],
        kinds: &[(BlockId, FieldType)],
        entry: &GroupEntry,
    ) -> Result<(Self, u64), CodecError> {
        let mut reader = Reader::new(bytes);
        let page_count = (entry.row_count as usize).div_ceil(PAGE_ROWS);
        let mut page_times = Vec::new();
        for _ in 0..page_count {
            page_times.push(reader.i64()?);
        }
        let mut offset = entry.data.start;
        let mut blocks = Vec::new();
        for kind in kinds {
            blocks.push(Block::decode(&mut reader, *kind, entry.row_count, &mut offset)?);
        }
        reader.finish()?;
        Ok((Self { blocks, page_times }, offset))
    }
}

/// A row group's entry in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupEntry {
    /// The number of its first row.
    pub(crate) first_row: u64,
    /// Its rows, 1 to 65,536.
    pub(crate) row_count: u32,
    /// Whether no two rows of the same series and time lie in it or over its edges.
    pub(crate) unique: bool,
    /// Where its pages lie.
    pub(crate) data: std::ops::Range<u64>,
    /// Where its descriptor lies.
    pub(crate) descriptor: Extent,
}

impl GroupEntry {
    /// The number of the row after its last.
    pub(crate) fn end_row(&self) -> u64 {
        self.first_row + u64::from(self.row_count)
    }
}

/// Appends the directory.
pub(crate) fn encode_directory(entries: &[GroupEntry], out: &mut Vec<u8>) {
    varint::put_u64(out, entries.len() as u64);
    for entry in entries {
        varint::put_u64(out, u64::from(entry.row_count));
        out.push(if entry.unique { GROUP_UNIQUE } else { 0 });
        varint::put_u64(out, entry.data.end - entry.data.start);
        varint::put_u64(out, entry.descriptor.len);
        out.extend_from_slice(&entry.descriptor.crc.to_le_bytes());
    }
}

/// The directory of `row_count` rows whose pages begin after the header and whose descriptors fill the section `descriptors`.
pub(crate) fn decode_directory(
    bytes: &[u8],
    row_count: u64,
    descriptors: Extent,
) -> Result<Vec<GroupEntry>, CodecError> {
    let entries = decode_entries(bytes, descriptors.offset)?;
    let last = entries.last();
    let (rows, data, offset) = last.map_or((0, HEADER_BYTES as u64, descriptors.offset), |last| {
        (last.end_row(), last.data.end, last.descriptor.end())
    });
    if rows != row_count || offset != descriptors.end() || data > descriptors.offset {
        return Err(CodecError::Corrupt { what: "row groups do not add up to the segment" });
    }
    Ok(entries)
}

/// The entries of a directory whose descriptors begin at `descriptors_at`.
pub(super) fn decode_entries(
    bytes: &[u8],
    descriptors_at: u64,
) -> Result<Vec<GroupEntry>, CodecError> {
    let mut reader = Reader::new(bytes);
    let count = reader.u64()?;
    if count > bytes.len() as u64 {
        return Err(CodecError::Corrupt { what: "more row groups than bytes of them" });
    }
    let mut entries = Vec::new();
    let (mut first_row, mut data, mut offset) = (0, HEADER_BYTES as u64, descriptors_at);
    for _ in 0..count {
        let rows = number(&mut reader, "a row group passes 32 bits of rows")?;
        if rows == 0 || rows as usize > ROW_GROUP_ROWS {
            return Err(CodecError::Corrupt { what: "a row group has no rows or too many" });
        }
        let unique = match reader.u8()? {
            0 => false,
            GROUP_UNIQUE => true,
            _ => return Err(CodecError::Corrupt { what: "a row group has unknown flags" }),
        };
        let end = data.saturating_add(reader.u64()?);
        let extent = Extent { offset, len: reader.u64()?, crc: reader.u32_le()? };
        let descriptor = extent;
        entries.push(GroupEntry {
            first_row,
            row_count: rows,
            unique,
            data: data..end,
            descriptor,
        });
        (first_row, data, offset) = (first_row + u64::from(rows), end, extent.end());
    }
    reader.finish()?;
    Ok(entries)
}
