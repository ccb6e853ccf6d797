//! Reading rows: which rows of a series lie in a time range, and the values of rows.

use std::ops::Range;

use chronolith_codec::{Bitmap, CodecError};

use crate::error::{Error, Result};
use crate::limits::PAGE_ROWS;
use crate::model::{Column, ColumnData, ColumnId, FieldType, RowChunk, TimeRange};

use super::group::{Block, BlockId, Page};
use super::last_rows::sequences;
use super::layout::Extent;
use super::page;
use super::reader::SegmentReader;

/// Pages at most so many bytes apart are read together.
const GAP_BYTES_MAX: u64 = 16 << 10;
/// Bytes that one read asks for at most, but for a single larger page.
const READ_BYTES_MAX: u64 = 8 << 20;

impl SegmentReader {
    /// The rows of a series whose times lie in `range`.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Internal` for an ordinal that is none.
    pub fn rows_in(&self, ordinal: u32, range: TimeRange) -> Result<Range<u64>> {
        let rows = self.rows_of(ordinal)?;
        let (first, last) = self.time_bounds(ordinal)?;
        if range.covers(first, last) {
            return Ok(rows);
        }
        if !range.touches(first, last) {
            return Ok(rows.start..rows.start);
        }
        let start =
            if range.from <= first { rows.start } else { self.first_from(&rows, range.from)? };
        let end = if range.contains(last) { rows.end } else { self.first_from(&rows, range.to)? };
        Ok(start..end.max(start))
    }

    /// The first of the rows, which are of one series, whose time is at or after `time`; their end where there is none.
    fn first_from(&self, rows: &Range<u64>, time: i64) -> Result<u64> {
        // Row groups that begin inside of the rows begin with a row of the series: the last of them that begins before `time`
        // holds the answer or ends right before it.
        let (mut from, mut to) = (self.group_of(rows.start), self.group_of(rows.end - 1));
        while from < to {
            let middle = from + (to - from).div_ceil(2);
            let begins = self.group(middle)?.page_times.first().copied();
            if begins.is_some_and(|begins| begins < time) { from = middle } else { to = middle - 1 }
        }
        let group = self.group_rows(from);
        let inside =
            rows.start.max(group.start) - group.start..rows.end.min(group.end) - group.start;
        let (first, last) = (to_usize(inside.start), to_usize(inside.end));
        let pages = first / PAGE_ROWS..last.div_ceil(PAGE_ROWS);
        let times = self.group(from)?.page_times.get(pages.start + 1..pages.end);
        let page = pages.start + times.unwrap_or_default().partition_point(|begins| *begins < time);
        let times = self.page_of_times(from, page)?;
        let page_start = page * PAGE_ROWS;
        let part = first.max(page_start) - page_start..(last - page_start).min(times.len());
        let before = times.get(part.clone()).unwrap_or_default().partition_point(|at| *at < time);
        Ok(group.start + (page_start + part.start + before) as u64)
    }

    fn page_of_times(&self, group: usize, page: usize) -> Result<Vec<i64>> {
        let missing = || Error::Internal(format!("page {page} of row group {group}"));
        let block = self.block(group, BlockId::Time)?.ok_or_else(missing)?;
        let of = block.pages.get(page).ok_or_else(missing)?;
        let bytes = self.source.read(of.extent, "page")?;
        let mut column = Column::empty(FieldType::Timestamp);
        self.decode_page(group, block, page, &bytes, &mut column)?;
        Ok(signed(column))
    }

    /// The values of `rows`: times, sequences where asked for, and `columns` in this order; a column that the segment lacks is
    /// NULL. Ask for about a row group at a time: everything is in memory at once.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Internal` for rows that do not exist and for a column of another type.
    pub fn read(
        &self,
        rows: Range<u64>,
        columns: &[(ColumnId, FieldType)],
        need_sequence: bool,
    ) -> Result<RowChunk> {
        if rows.start > rows.end || rows.end > self.info.row_count {
            let count = self.info.row_count;
            return Err(Error::Internal(format!("rows {rows:?} of {count} in a segment")));
        }
        let mut wanted = vec![(BlockId::Time, FieldType::Timestamp)];
        if need_sequence {
            wanted.push((BlockId::Incarnation, FieldType::I64));
            wanted.push((BlockId::Counter, FieldType::U64));
        }
        wanted.extend(columns.iter().map(|(id, of)| (BlockId::Field(*id), *of)));
        let mut out: Vec<Column> = wanted.iter().map(|(_, of)| Column::empty(*of)).collect();
        let mut start = rows.start;
        while start < rows.end {
            let group = self.group_of(start);
            let inside = self.group_rows(group);
            let end = rows.end.min(inside.end);
            let part = to_usize(start - inside.start)..to_usize(end - inside.start);
            self.read_group(group, part, &wanted, &mut out)?;
            start = end;
        }
        self.chunk(out, need_sequence)
    }

    /// How many of `rows`, from the first on and within its row group, take up to `bytes_max` bytes with `row_bytes` each and their
    /// texts: whole pages where that is possible, and at least one row. Where they end, and their bytes.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn measure(
        &self,
        rows: Range<u64>,
        columns: &[(ColumnId, FieldType)],
        row_bytes: usize,
        bytes_max: usize,
    ) -> Result<(u64, usize)> {
        let group = self.group_of(rows.start);
        let inside = self.group_rows(group);
        let first = to_usize(rows.start - inside.start);
        let last = to_usize(rows.end.min(inside.end) - inside.start);
        let mut texts = Vec::new();
        for (id, _) in columns.iter().filter(|(_, of)| *of == FieldType::Utf8) {
            texts.extend(self.block(group, BlockId::Field(*id))?);
        }
        let (mut at, mut bytes) = (first, 0);
        while at < last {
            let page = at / PAGE_ROWS;
            let end = last.min((page + 1) * PAGE_ROWS);
            let text = texts.iter().filter_map(|block| block.pages.get(page));
            let text: usize = text.map(|page| page.text_bytes).sum();
            let more = (end - at) * row_bytes + text;
            if bytes + more > bytes_max {
                if at == first {
                    // A part of a page. Its texts are decoded all, so that few rows of it cost as much as many.
                    let room = bytes_max.saturating_sub(text).max(bytes_max / 2) / row_bytes.max(1);
                    let count = room.clamp(1, end - at);
                    (at, bytes) = (at + count, count * row_bytes + text);
                }
                break;
            }
            (at, bytes) = (end, bytes + more);
        }
        Ok((inside.start + at as u64, bytes))
    }

    pub(crate) fn chunk(&self, columns: Vec<Column>, need_sequence: bool) -> Result<RowChunk> {
        let columns = columns.into_iter().map(|column| Column::new(column.data, column.validity));
        let mut columns: Vec<Column> = columns.collect();
        let fields = columns.split_off(if need_sequence { 3 } else { 1 });
        let mut leading = columns.into_iter();
        let time = leading.next().map(signed).unwrap_or_default();
        let mut sequence = Vec::new();
        if let (Some(incarnations), Some(counters)) = (leading.next(), leading.next()) {
            #[expect(clippy::cast_possible_wrap, reason = "a bijection of bit patterns")]
            let counters = unsigned(counters).into_iter().map(|counter| counter as i64);
            sequence = sequences(&signed(incarnations), counters)
                .map_err(self.source.undecodable(0, "sequence block"))?;
        }
        Ok(RowChunk { time, sequence, fields })
    }

    /// Appends the rows `part` of a row group, counted from its first.
    pub(crate) fn read_group(
        &self,
        group: usize,
        part: Range<usize>,
        wanted: &[(BlockId, FieldType)],
        out: &mut [Column],
    ) -> Result<()> {
        let mut pages = Vec::new();
        for (slot, (id, field_type)) in wanted.iter().enumerate() {
            match self.block(group, *id)? {
                Some(block) if block.field_type != *field_type => {
                    let (found, id) = (block.field_type, block.id);
                    let detail = format!("{id} of a segment is {found}, not {field_type}");
                    return Err(Error::Internal(detail));
                }
                Some(block) if !block.pages.is_empty() => {
                    let indexes = part.start / PAGE_ROWS..part.end.div_ceil(PAGE_ROWS);
                    let of_block = indexes.filter_map(|index| {
                        Some(Wanted { slot, block, index, page: block.pages.get(index)? })
                    });
                    pages.extend(of_block);
                }
                _ => {
                    if let Some(column) = out.get_mut(slot) {
                        push_nulls(column, part.len());
                    }
                }
            }
        }
        for run in runs(&mut pages) {
            self.read_run(group, &part, run, out)?;
        }
        Ok(())
    }

    /// Reads pages that lie close together with one read, and appends their rows.
    fn read_run(
        &self,
        group: usize,
        part: &Range<usize>,
        run: &[Wanted<'_>],
        out: &mut [Column],
    ) -> Result<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let start = first.page.extent.offset;
        let bytes = self.source.read_raw(start, last.page.extent.end() - start, "page")?;
        for wanted in run {
            let extent = wanted.page.extent;
            let from = to_usize(extent.offset - start);
            let page = bytes.get(from..from + to_usize(extent.len)).unwrap_or_default();
            self.check_page(group, wanted.block, wanted.index, extent, page)?;
            let Some(column) = out.get_mut(wanted.slot) else { continue };
            let page_start = wanted.index * PAGE_ROWS;
            let count = self.page_rows(group, wanted.index);
            let rows = part.start.max(page_start) - page_start..(part.end - page_start).min(count);
            if rows.len() == count {
                self.decode_page(group, wanted.block, wanted.index, page, column)?;
            } else {
                let mut whole = Column::empty(wanted.block.field_type);
                self.decode_page(group, wanted.block, wanted.index, page, &mut whole)?;
                column.push_slice(&whole, rows);
            }
        }
        Ok(())
    }

    /// How many rows a page has.
    pub(crate) fn page_rows(&self, group: usize, page: usize) -> usize {
        let rows = self.entries.get(group).map_or(0, |entry| entry.row_count as usize);
        rows.saturating_sub(page * PAGE_ROWS).min(PAGE_ROWS)
    }

    /// Checks a page's seal; the error names its place in the segment.
    pub(crate) fn check_page(
        &self,
        group: usize,
        block: &Block,
        index: usize,
        extent: Extent,
        page: &[u8],
    ) -> Result<()> {
        self.source
            .check(extent, page, "page")
            .map_err(|error| self.place(group, block, index, error))
    }

    /// Appends the values of a page whose seal was checked.
    pub(crate) fn decode_page(
        &self,
        group: usize,
        block: &Block,
        index: usize,
        bytes: &[u8],
        out: &mut Column,
    ) -> Result<()> {
        let count = self.page_rows(group, index);
        let page = block.pages.get(index);
        let text_bytes = page.map_or(0, |page| page.text_bytes);
        let offset = page.map_or(0, |page| page.extent.offset);
        let before = out.len();
        let decoded = page::decode(bytes, count, text_bytes, out).and_then(|()| {
            let whole = out.len() == before + count;
            whole.then_some(()).ok_or(CodecError::Corrupt { what: "a page has too few values" })
        });
        decoded
            .map_err(self.source.undecodable(offset, "page"))
            .map_err(|error| self.place(group, block, index, error))
    }

    /// Adds the place of a page to damage found in it.
    fn place(&self, group: usize, block: &Block, index: usize, error: Error) -> Error {
        match error {
            Error::Corrupt(mut corruption) => {
                let place = format!("row group {group}, {}, page {index}: ", block.id);
                corruption.detail.insert_str(0, &place);
                Error::Corrupt(corruption)
            }
            other => other,
        }
    }
}

/// A page to be read.
struct Wanted<'a> {
    /// The column that takes its values.
    slot: usize,
    block: &'a Block,
    index: usize,
    page: &'a Page,
}

/// Sorts pages by place and splits them into runs that are worth one read each.
fn runs<'a, 'p>(pages: &'a mut [Wanted<'p>]) -> impl Iterator<Item = &'a [Wanted<'p>]> {
    pages.sort_by_key(|wanted| wanted.page.extent.offset);
    let mut rest: &'a [Wanted<'p>] = pages;
    std::iter::from_fn(move || {
        let start = rest.first()?.page.extent.offset;
        let near = |pair: &[Wanted<'p>]| match pair {
            [one, next] => {
                let next = next.page.extent;
                next.offset.saturating_sub(one.page.extent.end()) <= GAP_BYTES_MAX
                    && next.end() - start <= READ_BYTES_MAX
            }
            _ => false,
        };
        let count = 1 + rest.windows(2).take_while(|pair| near(pair)).count();
        let (run, after) = rest.split_at(count);
        rest = after;
        Some(run)
    })
}

/// Appends NULLs.
fn push_nulls(column: &mut Column, count: usize) {
    let before = column.len();
    column.data.push_empty(count);
    let bits = column.validity.get_or_insert_with(|| Bitmap::filled(before, true));
    bits.push_run(false, count);
}

pub(crate) fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn signed(column: Column) -> Vec<i64> {
    match column.data {
        ColumnData::I64(values) => values,
        _ => Vec::new(),
    }
}

fn unsigned(column: Column) -> Vec<u64> {
    match column.data {
        ColumnData::U64(values) => values,
        _ => Vec::new(),
    }
}
