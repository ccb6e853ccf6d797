//! Doors for the fuzz targets: each part of a segment as bytes, read and written again.
#![doc(hidden)]

use chronolith_codec::varint::{self, Reader};
use chronolith_codec::{CodecError, Effort};

use super::commits;
use super::dictionary;
use super::group::{Group, GroupEntry, block_kinds, decode_entries, encode_directory};
use super::index::BlockIndex;
use super::info::SegmentInfo;
use super::last_rows;
use super::layout::{Extent, Footer, HEADER_BYTES, TRAILER_BYTES, section};
use super::page::{self, BlockEncoder};
use super::reader::decode_schema;
use super::tag_index;
use super::zone::Zone;
use crate::limits::{PAGE_ROWS, TAG_VALUE_LEN_BYTES_MAX};
use crate::model::{Column, ColumnId, FieldType, FileId, TableId};

/// Bytes of a page's texts at most, so that no input takes long.
const PAGE_TEXT_BYTES: usize = 256 << 10;

/// A part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A page of `count` values of the type.
    Page(FieldType),
    /// A row group's descriptor, with `count` rows and a field of the type.
    Descriptor(FieldType),
    /// The directory of row groups.
    Directory,
    /// A zone map over `count` rows of the type.
    Zone(FieldType),
    /// A block of `count` series.
    SeriesBlock,
    /// The index over `count` blocks.
    BlockIndex,
    /// A block of a tag's values; `count` series.
    TagBlock,
    /// A block of `count` last rows, with a field of the type.
    LastRows(FieldType),
    /// The metadata of at most `count` commits.
    Commits,
    /// The footer.
    Footer,
    /// The schema.
    Schema,
    /// What the manifest keeps of a segment.
    Info,
}

/// What writing gives for what reading `bytes` gives, and whether a writer writes it in one way only, so that it must be `bytes`
/// again. None where nothing writes the part alone.
///
/// # Errors
/// Those of reading.
pub fn rewritten(
    part: Part,
    count: u16,
    bytes: &[u8],
) -> std::result::Result<Option<(Vec<u8>, bool)>, CodecError> {
    let rows = u32::from(count);
    let mut reader = Reader::new(bytes);
    let mut out = Vec::new();
    let is_exact = match part {
        Part::Page(of) => {
            let count = usize::from(count).clamp(1, PAGE_ROWS);
            let mut column = Column::empty(of);
            page::decode(bytes, count, PAGE_TEXT_BYTES, &mut column)?;
            assert_eq!(column.len(), count, "values of a page");
            out = encoded(&column);
            false
        }
        Part::Descriptor(of) => {
            descriptor(of, rows.max(1), bytes)?.encode(&mut out);
            true
        }
        Part::Directory => {
            let entries = decode_entries(bytes, 1 << 30)?;
            encode_directory(&entries, &mut out);
            // What lies beyond 64 bits is refused when the whole is looked at.
            entries.last().is_none_or(|last| last.data.end.max(last.descriptor.end()) < u64::MAX)
        }
        Part::Zone(of) => {
            let zone = Zone::decode(&mut reader, rows, of)?;
            let _ = (zone.bounds(of), zone.page_bounds((1, 200), of), zone.page_bounds((9, 3), of));
            zone.encode(&mut out);
            out.extend_from_slice(reader.rest());
            true
        }
        Part::SeriesBlock => {
            let count = usize::from(count).min(256);
            let series = dictionary::decode_block(bytes, count, 0, rows.into())?;
            assert_eq!(
                (series.keys.len(), series.first.len(), series.last.len()),
                (count, count, count)
            );
            let empty =
                (0..count).find(|at| series.rows_of(*at).is_none_or(|rows| rows.is_empty()));
            assert_eq!(empty, None, "each series has rows");
            return Ok(None);
        }
        Part::BlockIndex => {
            let (index, _) = BlockIndex::decode(
                &mut reader,
                count.into(),
                TAG_VALUE_LEN_BYTES_MAX,
                HEADER_BYTES as u64,
                1 << 20,
            )?;
            reader.finish()?;
            let _ = index.locate(b"b");
            index.encode(&mut out, Effort::Dense);
            false
        }
        Part::TagBlock => {
            tag_index::read_block(bytes, rows)?;
            return Ok(None);
        }
        Part::LastRows(of) => {
            let columns = [(ColumnId(1), of)];
            last_rows::decode_block(bytes, usize::from(count).min(256), &columns)?;
            return Ok(None);
        }
        Part::Commits => {
            let commits = commits::decode(bytes, rows.into())?;
            out = commits::encode(&commits.into_iter().collect());
            false
        }
        Part::Footer => {
            let footer = Footer::decode(bytes, 1 << 30, std::path::Path::new("f"));
            let refused = |_| CodecError::Corrupt { what: "footer" };
            out = footer.map_err(refused)?.encode();
            // Flags of sections that nobody must know are not kept.
            false
        }
        Part::Schema => {
            let (tag_count, columns) = decode_schema(bytes)?;
            varint::put_u64(&mut out, tag_count as u64);
            varint::put_u64(&mut out, columns.len() as u64);
            for (id, of) in columns {
                varint::put_u64(&mut out, id.0.into());
                out.extend_from_slice(&of.code());
            }
            true
        }
        Part::Info => {
            let info = SegmentInfo::decode(&mut reader)?;
            info.encode(&mut out);
            out.extend_from_slice(reader.rest());
            true
        }
    };
    Ok(Some((out, is_exact)))
}

fn encoded(column: &Column) -> Vec<u8> {
    let mut out = Vec::new();
    let encoder = BlockEncoder::new(column, Effort::Fast);
    if encoder.page_count() > 0 {
        encoder.encode(0, &mut out);
    }
    out
}

fn descriptor(
    of: FieldType,
    row_count: u32,
    bytes: &[u8],
) -> std::result::Result<Group, CodecError> {
    let entry = GroupEntry {
        first_row: 0,
        row_count,
        unique: true,
        data: 0..0,
        descriptor: Extent { offset: 0, len: 0, crc: 0 },
    };
    let kinds = block_kinds(&[(ColumnId(1), of), (ColumnId(2), of)]);
    Ok(Group::decode_to(bytes, &kinds, &entry)?.0)
}

/// What a manifest would keep of the segment in `bytes`, and the database that it says it is of. None where not even that
/// can be read.
#[must_use]
pub fn info_of(bytes: &[u8]) -> Option<(SegmentInfo, u128)> {
    let number = |at: usize, len: usize| {
        let bytes = bytes.get(at..at.checked_add(len)?)?;
        Some(bytes.iter().rev().fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte)))
    };
    let (file_id, database_id) = (FileId(number(16, 16)?), number(32, 16)?);
    let table = TableId(u32::try_from(number(48, 4)?).ok()?);
    let trailer = bytes.len().checked_sub(TRAILER_BYTES)?;
    let footer_at = usize::try_from(number(trailer, 8)?).ok()?;
    let footer = bytes.get(footer_at..trailer)?;
    let footer = Footer::decode(footer, footer_at as u64, std::path::Path::new("f")).ok()?;
    let summary = footer.get(section::SUMMARY)?;
    let (from, to) = (usize::try_from(summary.offset).ok()?, usize::try_from(summary.end()).ok()?);
    let mut reader = Reader::new(bytes.get(from..to)?);
    let (len, hash) = (bytes.len() as u64, [0; 32]);
    let info = SegmentInfo::decode_summary(&mut reader, file_id, table, len, hash).ok()?;
    Some((info, database_id))
}
