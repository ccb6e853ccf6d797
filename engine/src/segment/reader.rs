//! An open segment: what it holds, its series, zone maps. Reading rows is in `read`, checking every byte in `verify`.
//! Opening reads the header and the end of the file; everything else is read when first asked for.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use chronolith_codec::CodecError;
use chronolith_codec::varint::Reader;
use roaring::RoaringBitmap;

use crate::error::{Error, Result};
use crate::format::names;
use crate::limits::{FIELD_COUNT_MAX, PAGE_ROWS, TAG_COUNT_MAX};
use crate::model::{
    ColumnId, CommitMetadata, FieldType, RowChunk, Sequence, SeriesKey, TagFilter, Value,
};
use crate::vfs::{File, OpenMode, Vfs, read_exact};

use super::commits;
use super::dictionary::Dictionary;
use super::group::{Block, BlockId, Group, GroupEntry, block_kinds, decode_directory};
use super::info::{SegmentInfo, number};
use super::last_rows::LastRows;
use super::layout::{Extent, Footer, HEADER_BYTES, Header, TRAILER_BYTES, decode_trailer, section};
use super::source::Source;
use super::tag_index::TagIndex;
use super::zone::Zone;

/// Bytes at the file's end that are read at once when it is opened.
const TAIL_BYTES: u64 = 16 << 10;
const WHAT_HEADER: &str = "segment header";

/// An open segment. Methods take `&self` from any thread.
pub struct SegmentReader {
    pub(crate) source: Source,
    pub(crate) info: SegmentInfo,
    pub(crate) footer: Footer,
    pub(crate) tag_count: usize,
    columns: Vec<(ColumnId, FieldType)>,
    kinds: Vec<(BlockId, FieldType)>,
    pub(crate) entries: Vec<GroupEntry>,
    groups: Vec<OnceLock<Group>>,
    pub(crate) dictionary: Dictionary,
    pub(crate) tags: TagIndex,
    pub(crate) last_rows: Option<LastRows>,
}

impl SegmentReader {
    /// Opens the segment `info` in the folder of segments. Checks length, header, trailer, footer and what they are bound to.
    ///
    /// # Errors
    /// `Corrupt` for a missing, empty, truncated or otherwise damaged file, each said; `UnsupportedVersion`; `Io`.
    pub fn open(
        vfs: &dyn Vfs,
        folder: &Path,
        database_id: u128,
        info: &SegmentInfo,
    ) -> Result<Arc<Self>> {
        Self::open_as(vfs, folder, database_id, info, true)
    }

    /// The same for a segment that is damaged: a header or summary that is not the manifest's, and bytes behind the end, are passed over.
    /// Seals are bound to the file, so nothing of another one passes.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_damaged(
        vfs: &dyn Vfs,
        folder: &Path,
        database_id: u128,
        info: &SegmentInfo,
    ) -> Result<Arc<Self>> {
        Self::open_as(vfs, folder, database_id, info, false)
    }

    fn open_as(
        vfs: &dyn Vfs,
        folder: &Path,
        database_id: u128,
        info: &SegmentInfo,
        is_strict: bool,
    ) -> Result<Arc<Self>> {
        let path = folder.join(names::segment_file(info.file_id));
        let file = open_file(vfs, &path, info.len_bytes, is_strict)?;
        pass_over(check_header(file.as_ref(), &path, database_id, info), is_strict)?;
        let tail_len = TAIL_BYTES.min(info.len_bytes);
        let tail_start = info.len_bytes - tail_len;
        let tail_len = usize::try_from(tail_len).unwrap_or_default();
        let tail = read_exact(file.as_ref(), tail_start, tail_len, "segment trailer")?;
        let mut source = Source::new(file, info.file_id, info.len_bytes, tail);
        let trailer_at = info.len_bytes - TRAILER_BYTES as u64;
        let trailer = source.read_raw(trailer_at, TRAILER_BYTES as u64, "segment trailer")?;
        let footer_at = decode_trailer(&trailer, trailer_at, info.file_id, &path)?;
        let footer = source.read(footer_at, "segment footer")?;
        let footer = Footer::decode(&footer, footer_at.offset, &path)?;
        pass_over(check_summary(&source, &footer, info), is_strict)?;
        let (tag_count, columns) = read_schema(&source, &footer)?;
        let entries = read_directory(&source, &footer, info.row_count)?;
        source.drop_tail();
        let at = |kind| required(&source, &footer, kind);
        let series = info.series_count;
        let dictionary = Dictionary::new(
            at(section::SERIES_BLOCKS)?,
            at(section::SERIES_INDEX)?,
            series,
            info.row_count,
        );
        let tags =
            TagIndex::new(at(section::TAG_BLOCKS)?, at(section::TAG_INDEX)?, tag_count, series);
        let last_rows = footer
            .get(section::LAST_ROWS)
            .map(|blocks| {
                Ok::<_, Error>(LastRows::new(blocks, at(section::LAST_ROWS_INDEX)?, series))
            })
            .transpose()?;
        Ok(Arc::new(Self {
            info: info.clone(),
            kinds: block_kinds(&columns),
            groups: entries.iter().map(|_| OnceLock::new()).collect(),
            tag_count,
            columns,
            entries,
            dictionary,
            tags,
            last_rows,
            footer,
            source,
        }))
    }

    /// What the manifest knows of it.
    #[must_use]
    pub fn info(&self) -> &SegmentInfo {
        &self.info
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.source.path().to_path_buf()
    }

    /// The fields that it holds.
    #[must_use]
    pub fn columns(&self) -> &[(ColumnId, FieldType)] {
        &self.columns
    }

    /// How many series there are; their ordinals are the numbers below it, in the order of their keys.
    #[must_use]
    pub fn series_count(&self) -> u32 {
        self.info.series_count
    }

    /// The key of a series.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Internal` for an ordinal that is none.
    pub fn key(&self, ordinal: u32) -> Result<SeriesKey> {
        let (series, at) = self.dictionary.series(&self.source, ordinal)?;
        let key = series.keys.view().get_bytes(at).and_then(SeriesKey::from_bytes);
        key.ok_or_else(|| self.bad_series(ordinal, "the key is malformed"))
    }

    fn bad_series(&self, ordinal: u32, detail: &str) -> Error {
        let offset = self.footer.get(section::SERIES_BLOCKS).map_or(0, |extent| extent.offset);
        self.source.damaged(offset, "series dictionary", format!("series {ordinal}: {detail}"))
    }

    /// The ordinal of a series, if the segment has rows of it.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn find(&self, key: &SeriesKey) -> Result<Option<u32>> {
        let (ordinal, found) = self.dictionary.lower_bound(&self.source, key.as_bytes())?;
        Ok(found.then_some(ordinal))
    }

    /// The least ordinal whose key is not below `key`; `series_count` where there is none.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn lower_bound(&self, key: &SeriesKey) -> Result<u32> {
        Ok(self.dictionary.lower_bound(&self.source, key.as_bytes())?.0)
    }

    /// The rows of a series.
    ///
    /// # Errors
    /// As [`Self::key`].
    pub fn rows_of(&self, ordinal: u32) -> Result<Range<u64>> {
        let (series, at) = self.dictionary.series(&self.source, ordinal)?;
        series.rows_of(at).ok_or_else(|| self.bad_series(ordinal, "its rows are missing"))
    }

    /// The times of a series' first and last row.
    ///
    /// # Errors
    /// As [`Self::key`].
    pub fn time_bounds(&self, ordinal: u32) -> Result<(i64, i64)> {
        let (series, at) = self.dictionary.series(&self.source, ordinal)?;
        series.times_of(at).ok_or_else(|| self.bad_series(ordinal, "its times are missing"))
    }

    /// The ordinals of the series whose tags, by position, satisfy every filter. A tag that the segment does not know is absent
    /// from all its series.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn select(&self, filters: &[(usize, TagFilter)]) -> Result<RoaringBitmap> {
        self.tags.select(&self.source, &self.dictionary, filters)
    }

    /// How many row groups there are.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.entries.len()
    }

    /// The rows of a row group; none for a number that is none.
    #[must_use]
    pub fn group_rows(&self, group: usize) -> Range<u64> {
        self.entries.get(group).map_or(0..0, |entry| entry.first_row..entry.end_row())
    }

    /// The row group of a row.
    #[must_use]
    pub fn group_of(&self, row: u64) -> usize {
        self.entries.partition_point(|entry| entry.end_row() <= row)
    }

    /// Whether no two rows of the same series and time lie in the row group or over its edges.
    #[must_use]
    pub fn is_unique(&self, group: usize) -> bool {
        self.entries.get(group).is_some_and(|entry| entry.unique)
    }

    /// What is known of a block; none where the segment lacks the column.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn zone(&self, group: usize, id: BlockId) -> Result<Option<&Zone>> {
        Ok(self.block(group, id)?.map(|block| &block.zone))
    }

    /// Bounds that hold the values of a page of 4,096 rows, NULL and NaN left out, at 1/255 of the block's range; none where the
    /// page has no such value, and none for truth values and text. A NaN may be in any page of a block that has one.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn page_bounds(
        &self,
        group: usize,
        id: BlockId,
        page: usize,
    ) -> Result<Option<(Value, Value)>> {
        let Some(block) = self.block(group, id)? else { return Ok(None) };
        let page = block.pages.get(page);
        Ok(page.and_then(|page| block.zone.page_bounds(page.coarse, block.field_type)))
    }

    /// How many pages each block of a row group has.
    #[must_use]
    pub fn page_count(&self, group: usize) -> usize {
        self.entries.get(group).map_or(0, |entry| (entry.row_count as usize).div_ceil(PAGE_ROWS))
    }

    /// The commit metadata of the rows, by sequence; commits without any are left out.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn commits(&self) -> Result<Vec<(Sequence, CommitMetadata)>> {
        let Some(extent) = self.footer.get(section::COMMITS) else { return Ok(Vec::new()) };
        let bytes = self.source.read(extent, "commit metadata")?;
        commits::decode(&bytes, self.info.row_count)
            .map_err(self.source.undecodable(extent.offset, "commit metadata"))
    }

    /// Whether the segment has a last-row strip.
    #[must_use]
    pub fn has_last_rows(&self) -> bool {
        self.last_rows.is_some()
    }

    /// The last rows of the series from `block * 256` on, at most 256, a row a series, with all of [`Self::columns`] and
    /// sequences; none where the segment has no last-row strip.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Internal` for a block that is none.
    pub fn last_rows(&self, block: usize) -> Result<Option<RowChunk>> {
        let strip = self.last_rows.as_ref();
        strip.map(|strip| strip.block(&self.source, block, &self.columns)).transpose()
    }

    /// A row group's descriptor, read when first asked for.
    pub(crate) fn group(&self, group: usize) -> Result<&Group> {
        let (Some(slot), Some(entry)) = (self.groups.get(group), self.entries.get(group)) else {
            return Err(Error::Internal(format!("row group {group} of a segment")));
        };
        self.source.read_once(slot, entry.descriptor, "row group descriptor", |bytes| {
            Group::decode(bytes, &self.kinds, entry)
        })
    }

    /// The block of a row group that holds `id`.
    pub(crate) fn block(&self, group: usize, id: BlockId) -> Result<Option<&Block>> {
        Ok(self.group(group)?.block(id))
    }
}

impl std::fmt::Debug for SegmentReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentReader").field("info", &self.info).finish_non_exhaustive()
    }
}

/// What a check found, but for damage where that is to be passed over.
fn pass_over(checked: Result<()>, is_strict: bool) -> Result<()> {
    match checked {
        Err(Error::Corrupt(_)) if !is_strict => Ok(()),
        other => other,
    }
}

/// Opens the file and tells missing, empty, truncated and overlong ones apart; an overlong one is refused where `is_strict`.
fn open_file(vfs: &dyn Vfs, path: &Path, expected: u64, is_strict: bool) -> Result<Arc<dyn File>> {
    let bad = |detail: String| Err(Error::corrupt(path, 0, "segment", detail));
    let file = match vfs.open(path, OpenMode::Read) {
        Err(error) if error.is_not_found() => return bad("the file is missing".into()),
        other => other?,
    };
    let found = file.len_bytes()?;
    if found == 0 {
        return bad(format!("the file is empty, expected {expected} bytes"));
    }
    if found < expected {
        return bad(format!("the file is truncated: {found} of {expected} bytes"));
    }
    if found > expected && is_strict {
        return bad(format!("the file is too long: {found} bytes, expected {expected}"));
    }
    if expected < (HEADER_BYTES + TRAILER_BYTES) as u64 {
        return bad(format!("{expected} bytes are too few for a segment"));
    }
    Ok(file)
}

fn check_header(file: &dyn File, path: &Path, database_id: u128, info: &SegmentInfo) -> Result<()> {
    let bytes = read_exact(file, 0, HEADER_BYTES, WHAT_HEADER)?;
    let header = Header::decode(&bytes, path)?;
    if header == (Header { file_id: info.file_id, database_id, table: info.table }) {
        return Ok(());
    }
    let detail = format!(
        "expected file {} of table {} in database {database_id:032x}, found file {} of table {} in database {:032x}",
        info.file_id, info.table.0, header.file_id, header.table.0, header.database_id
    );
    Err(Error::corrupt(path, 0, WHAT_HEADER, detail))
}

fn required(source: &Source, footer: &Footer, kind: u16) -> Result<Extent> {
    let detail = || format!("section {kind} is missing");
    let at = source.len() - TRAILER_BYTES as u64;
    footer.get(kind).ok_or_else(|| source.damaged(at, "segment footer", detail()))
}

fn check_summary(source: &Source, footer: &Footer, info: &SegmentInfo) -> Result<()> {
    const WHAT: &str = "segment summary";
    let extent = required(source, footer, section::SUMMARY)?;
    let bytes = source.read(extent, WHAT)?;
    let mut reader = Reader::new(&bytes);
    let found = SegmentInfo::decode_summary(
        &mut reader,
        info.file_id,
        info.table,
        info.len_bytes,
        info.hash,
    )
    .and_then(|found| reader.finish().map(|()| found))
    .map_err(source.undecodable(extent.offset, WHAT))?;
    if found == *info {
        return Ok(());
    }
    Err(source.damaged(extent.offset, WHAT, format!("expected {info:?}, found {found:?}")))
}

fn read_directory(source: &Source, footer: &Footer, row_count: u64) -> Result<Vec<GroupEntry>> {
    const WHAT: &str = "row group directory";
    let extent = required(source, footer, section::GROUPS)?;
    let descriptors = required(source, footer, section::DESCRIPTORS)?;
    decode_directory(&source.read(extent, WHAT)?, row_count, descriptors)
        .map_err(source.undecodable(extent.offset, WHAT))
}

type Schema = (usize, Vec<(ColumnId, FieldType)>);

fn read_schema(source: &Source, footer: &Footer) -> Result<Schema> {
    const WHAT: &str = "segment schema";
    let extent = required(source, footer, section::SCHEMA)?;
    decode_schema(&source.read(extent, WHAT)?).map_err(source.undecodable(extent.offset, WHAT))
}

pub(crate) fn decode_schema(bytes: &[u8]) -> std::result::Result<Schema, CodecError> {
    let corrupt = |what| CodecError::Corrupt { what };
    let mut reader = Reader::new(bytes);
    let tag_count = number(&mut reader, "a tag count passes 32 bits")? as usize;
    let count = number(&mut reader, "a column count passes 32 bits")? as usize;
    if tag_count > TAG_COUNT_MAX || count > FIELD_COUNT_MAX {
        return Err(corrupt("a schema has too many tags or columns"));
    }
    let mut columns: Vec<(ColumnId, FieldType)> = Vec::with_capacity(count);
    for _ in 0..count {
        let id = ColumnId(number(&mut reader, "a column id passes 32 bits")?);
        let code = [reader.u8()?, reader.u8()?, reader.u8()?];
        let field_type = FieldType::from_code(code).ok_or(corrupt("unknown type of a column"))?;
        columns.push((id, field_type));
    }
    reader.finish()?;
    Ok((tag_count, columns))
}
