//! Checking every byte of a segment, and naming the extent of what is damaged.

use std::path::{Path, PathBuf};

use roaring::RoaringBitmap;

use crate::error::{Error, Result};
use crate::limits::{INDEX_BLOCK_COUNT_MAX, PAGE_ROWS};
use crate::model::{Column, ColumnData, RowChunk, Sequence, SeriesKey};
use crate::vfs::Vfs;

use super::group::{Block, BlockId};
use super::info::SegmentInfo;
use super::order::Order;
use super::page::BlockEncoder;
use super::reader::SegmentReader;

/// Bytes that are hashed at a time.
const HASH_BYTES: u64 = 1 << 20;

/// The first and last series of some rows, and the times between which the rows lie.
type Extent = (Option<(SeriesKey, SeriesKey)>, Option<(i64, i64)>);

/// One thing that is wrong with a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What is damaged.
    pub what: &'static str,
    /// What was expected and found.
    pub detail: String,
    /// The row group, where it is one's.
    pub group: Option<usize>,
    /// The page in its block, where it is one's.
    pub page: Option<usize>,
    /// The column, where it is one's.
    pub block: Option<BlockId>,
    /// The first and the last series that are concerned, where the dictionary tells.
    pub series: Option<(SeriesKey, SeriesKey)>,
    /// The least and the greatest time of the rows that are concerned, where it can be told.
    pub times: Option<(i64, i64)>,
    /// Whether the segment cannot be opened, so that all of its rows are concerned.
    pub is_whole: bool,
}

/// Opens the segment `info` and checks every byte of it: the hash of the whole file, every seal, every page, zone maps, order,
/// dictionary, tag index, last rows. Calls `report` for each damage found.
pub fn verify(
    vfs: &dyn Vfs,
    folder: &Path,
    database_id: u128,
    info: &SegmentInfo,
    report: &mut dyn FnMut(Damage),
) {
    match SegmentReader::open(vfs, folder, database_id, info) {
        Ok(reader) => reader.verify(report),
        Err(error) => {
            let path = folder.join(crate::format::names::segment_file(info.file_id));
            let times = Some((info.min_time, info.max_time));
            report(Damage { times, is_whole: true, ..damage(&path, &error) });
        }
    }
}

/// Damage that an error tells of.
fn damage(path: &Path, error: &Error) -> Damage {
    let (offset, what, detail) = match error {
        Error::Corrupt(found) => (found.offset, found.what, found.detail.clone()),
        other => (0, "segment", other.to_string()),
    };
    let path = path.to_path_buf();
    let (group, page, block, series, times) = (None, None, None, None, None);
    let is_whole = false;
    Damage { path, offset, what, detail, group, page, block, series, times, is_whole }
}

impl SegmentReader {
    /// Checks every byte, as [`verify`] does, of a segment that could be opened.
    pub fn verify(&self, report: &mut dyn FnMut(Damage)) {
        let mut check = Check { reader: self, report, whole: true };
        check.hash();
        check.rows();
        check.tags();
        check.last_rows();
        if let Err(error) = self.commits() {
            check.found(&error);
        }
    }
}

struct Check<'a> {
    reader: &'a SegmentReader,
    report: &'a mut dyn FnMut(Damage),
    /// Whether rows, dictionary and descriptors could all be read.
    whole: bool,
}

impl Check<'_> {
    fn found(&mut self, error: &Error) {
        (self.report)(damage(&self.reader.path(), error));
    }

    fn wrong(&mut self, offset: u64, what: &'static str, detail: String) {
        let error = self.reader.source.damaged(offset, what, detail);
        self.found(&error);
    }

    fn hash(&mut self) {
        let source = &self.reader.source;
        let mut hasher = blake3::Hasher::new();
        let mut offset = 0;
        while offset < source.len() {
            let len = HASH_BYTES.min(source.len() - offset);
            match source.read_raw(offset, len, "segment") {
                Ok(bytes) => hasher.update(&bytes),
                Err(error) => return self.found(&error),
            };
            offset += len;
        }
        let found = hasher.finalize();
        if found != self.reader.info.hash {
            let expected = blake3::Hash::from_bytes(self.reader.info.hash);
            self.wrong(0, "segment", format!("expected the BLAKE3 hash {expected}, found {found}"));
        }
    }

    /// Pages, zone maps, and the order of rows and series.
    fn rows(&mut self) {
        let mut order = Order::new(self.reader);
        for group in 0..self.reader.group_count() {
            let rows = match self.group(group) {
                Some(rows) => rows,
                None => {
                    self.whole = false;
                    let end = self.reader.group_rows(group).end;
                    order.skip(end, self.ordinal_of(end).unwrap_or_default());
                    continue;
                }
            };
            if let Err(error) = order.check(self.reader, group, &rows) {
                self.found(&error);
            }
        }
        if let Err(error) = order.finish(self.reader, self.whole) {
            self.found(&error);
        }
    }

    /// Decodes a row group; none where any page of it is damaged.
    fn group(&mut self, group: usize) -> Option<RowChunk> {
        if let Err(error) = self.reader.group(group) {
            let rows = self.reader.group_rows(group);
            let (series, times) = self.extent(rows.start, rows.end);
            let at = damage(&self.reader.path(), &error);
            (self.report)(Damage { group: Some(group), series, times, ..at });
            return None;
        }
        let blocks = &self.reader.group(group).ok()?.blocks;
        let columns: Vec<Option<Column>> =
            blocks.iter().map(|block| self.block(group, block)).collect();
        let mut columns = columns.into_iter().collect::<Option<Vec<Column>>>()?;
        let fields = columns.split_off(3);
        let mut chunk = RowChunk { fields, ..RowChunk::default() };
        if let [time, incarnation, counter] = columns.as_slice()
            && let (ColumnData::I64(time), ColumnData::I64(incarnations), ColumnData::U64(counters)) =
                (&time.data, &incarnation.data, &counter.data)
        {
            chunk.time.clone_from(time);
            let pair = |(incarnation, counter): (&i64, &u64)| Sequence {
                incarnation: u32::try_from(*incarnation).unwrap_or(u32::MAX),
                counter: *counter,
            };
            chunk.sequence = incarnations.iter().zip(counters).map(pair).collect();
        }
        Some(chunk)
    }

    /// Decodes a block and compares its zone map and coarse bounds; none where a page of it is damaged.
    fn block(&mut self, group: usize, block: &Block) -> Option<Column> {
        let row_count = self.reader.group_rows(group).end - self.reader.group_rows(group).start;
        if block.pages.is_empty() {
            let count = usize::try_from(row_count).unwrap_or_default();
            return Some(Column::nulls(block.field_type, count));
        }
        let mut column = Column::empty(block.field_type);
        let mut whole = true;
        for (index, page) in block.pages.iter().enumerate() {
            let source = &self.reader.source;
            let decoded =
                source.read_raw(page.extent.offset, page.extent.len, "page").and_then(|bytes| {
                    self.reader.check_page(group, block, index, page.extent, &bytes)?;
                    self.reader.decode_page(group, block, index, &bytes, &mut column)
                });
            if let Err(error) = decoded {
                whole = false;
                self.page(group, block, index, &error);
            }
        }
        if !whole {
            return None;
        }
        let column = Column::new(column.data, column.validity);
        let (zone, coarse) = BlockEncoder::new(&column, chronolith_codec::Effort::Fast).zone();
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        zone.encode(&mut expected);
        block.zone.encode(&mut found);
        let has_coarse = block.pages.iter().map(|page| page.coarse).eq(coarse);
        if expected != found || !has_coarse {
            let detail = format!("row group {group}, {}: the values give {zone:?}", block.id);
            self.wrong(self.reader.entries.get(group)?.descriptor.offset, "zone map", detail);
        }
        Some(column)
    }

    /// Reports a damaged page with the series and times of its rows.
    fn page(&mut self, group: usize, block: &Block, index: usize, error: &Error) {
        let start = self.reader.group_rows(group).start + (index * PAGE_ROWS) as u64;
        let end = start + self.reader.page_rows(group, index) as u64;
        let (series, times) = self.extent(start, end);
        let at = damage(&self.reader.path(), error);
        let block = Some(block.id);
        (self.report)(Damage { group: Some(group), page: Some(index), block, series, times, ..at });
    }

    /// The first and last series of some rows, and the times between which all their rows lie.
    fn extent(&self, start: u64, end: u64) -> Extent {
        let info = &self.reader.info;
        let Ok(first) = self.ordinal_of(start) else {
            return (None, Some((info.min_time, info.max_time)));
        };
        let Ok(last) = self.ordinal_of(end - 1) else {
            return (None, Some((info.min_time, info.max_time)));
        };
        let mut times: Option<(i64, i64)> = None;
        for ordinal in first..=last {
            if let Ok((from, to)) = self.reader.time_bounds(ordinal) {
                let (least, greatest) = times.unwrap_or((from, to));
                times = Some((least.min(from), greatest.max(to)));
            }
        }
        let keys = self.reader.key(first).ok().zip(self.reader.key(last).ok());
        (keys, times)
    }

    /// The series of a row.
    fn ordinal_of(&self, row: u64) -> Result<u32> {
        let (mut from, mut to) = (0, self.reader.series_count() - 1);
        while from < to {
            let middle = from + (to - from) / 2;
            if self.reader.rows_of(middle)?.end <= row { from = middle + 1 } else { to = middle }
        }
        Ok(from)
    }

    /// That the tag index says of each series what its key says.
    fn tags(&mut self) {
        let reader = self.reader;
        let mut covered = vec![RoaringBitmap::new(); reader.tag_count];
        let mut wrong = None;
        let mut each = |tag: usize, value: &str, ordinals: RoaringBitmap| {
            let known = |ordinal: u32| reader.key(ordinal).is_ok_and(|key| key.tag(tag) == value);
            if let Some(ordinal) = ordinals.iter().find(|ordinal| !known(*ordinal)) {
                wrong = Some(format!("series {ordinal} does not have {value:?} as tag {tag}"));
            }
            if let Some(all) = covered.get_mut(tag) {
                if !all.is_disjoint(&ordinals) {
                    wrong = Some(format!("series have two values as tag {tag}, one {value:?}"));
                }
                *all |= ordinals;
            }
        };
        let done = reader.tags.for_each(&reader.source, &mut each);
        let all = u64::from(reader.series_count());
        if wrong.is_none() && done.is_ok() && covered.iter().skip(1).any(|of| of.len() != all) {
            wrong = Some("a series is in no posting of a tag".to_owned());
        }
        if let Err(error) = done {
            self.found(&error);
        }
        if let Some(detail) = wrong {
            self.wrong(0, "tag index", detail);
        }
    }

    /// That the strip holds the last row of each series.
    fn last_rows(&mut self) {
        let reader = self.reader;
        let blocks = reader.last_rows.as_ref().map_or(0, |strip| strip.block_count());
        for block in 0..blocks {
            match reader.last_rows(block) {
                Ok(Some(rows)) if self.whole => {
                    if let Err(error) = same_last_rows(reader, block, &rows) {
                        self.found(&error);
                    }
                }
                Ok(_) => {}
                Err(error) => self.found(&error),
            }
        }
    }
}

fn same_last_rows(reader: &SegmentReader, block: usize, rows: &RowChunk) -> Result<()> {
    for row in 0..rows.row_count() {
        let ordinal = u32::try_from(block * INDEX_BLOCK_COUNT_MAX + row).unwrap_or(u32::MAX);
        let end = reader.rows_of(ordinal)?.end;
        let found = reader.read(end.saturating_sub(1)..end, reader.columns(), true)?;
        let same = found.time.first() == rows.time.get(row)
            && found.sequence.first() == rows.sequence.get(row)
            && found
                .fields
                .iter()
                .zip(&rows.fields)
                .all(|(one, other)| same_value(one, other, row));
        if !same {
            let detail = format!("series {ordinal} has another last row");
            return Err(reader.source.damaged(0, "last-row strip", detail));
        }
    }
    Ok(())
}

/// Whether the only value of `one` is that of `other` at `row`, floats bit by bit.
fn same_value(one: &Column, other: &Column, row: usize) -> bool {
    if let (ColumnData::F64(one), ColumnData::F64(other)) = (&one.data, &other.data) {
        return one.first().map(|value| value.to_bits())
            == other.get(row).map(|value| value.to_bits());
    }
    *one == other.slice(row..row + 1)
}
