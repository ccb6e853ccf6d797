//! The last row of each series over a list of segments: found newest segment first, and kept beside the list while it is small.
//! Invariant: an entry is the row with the greatest (time, sequence) that any of the segments holds of the series, whoever may see
//! it; readers check that against their snapshot, range, deletions and memtables. See docs/decisions/0023-last-rows.md.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::limits::LAST_ROWS_KEPT_BYTES_MAX;
use crate::model::{
    Column, ColumnId, FieldType, FileId, RowChunk, Sequence, SeriesKey, SeriesRows,
};
use crate::segment::{SegmentInfo, SegmentReader, SeriesBlock};

/// Bytes of rows at which a list that is being made is gathered, so that rows which lost make room.
const GATHER_BYTES: usize = 16 << 20;
/// A read of one series from the segments takes about as long as finding the last rows of so many.
const NARROW_READ_SERIES_COUNT: usize = 32;
/// Series whose rows are taken at once where texts make rows long.
const TEXT_SERIES_COUNT: usize = 4_096;
/// Bytes that a series takes at least among kept rows.
const SERIES_BYTES_MIN: usize = 64;

/// The last row of each series.
pub struct LastRows {
    last: SeriesRows,
    /// The columns of the rows.
    columns: Vec<(ColumnId, FieldType)>,
    /// The file of each row, as a place in `files`.
    origins: Vec<u32>,
    files: Vec<FileId>,
    kept_bytes: usize,
}

impl LastRows {
    /// The series, ascending.
    #[must_use]
    pub fn keys(&self) -> &[SeriesKey] {
        &self.last.keys
    }

    /// The rows alone.
    #[must_use]
    pub fn into_rows(mut self) -> SeriesRows {
        std::mem::take(&mut self.last)
    }

    /// All rows, with these columns.
    #[must_use]
    pub fn all(&self, columns: &[(ColumnId, FieldType)]) -> SeriesRows {
        let rows = with_columns(&self.last.rows, &self.columns, columns);
        SeriesRows { keys: self.last.keys.clone(), rows, tied: self.last.tied.clone() }
    }

    /// The rows at `places`, which ascend, with these columns.
    #[must_use]
    pub fn pick(&self, places: &[usize], columns: &[(ColumnId, FieldType)]) -> SeriesRows {
        let SeriesRows { keys, rows, tied } = &self.last;
        let column = |wanted: &(ColumnId, FieldType)| match column_of(rows, &self.columns, wanted) {
            Some(column) => column.take(places),
            None => Column::nulls(wanted.1, places.len()),
        };
        let (time, sequence) = places.iter().map(|at| key_at(rows, *at)).unzip();
        SeriesRows {
            keys: places.iter().filter_map(|at| keys.get(*at).cloned()).collect(),
            rows: RowChunk { time, sequence, fields: columns.iter().map(column).collect() },
            tied: places.iter().map(|at| tied.get(*at).copied().unwrap_or(true)).collect(),
        }
    }

    /// The places of the series that have `value` as their leading tag.
    #[must_use]
    pub fn with_leading_tag(&self, value: &str) -> Range<usize> {
        let mut bound = value.as_bytes().to_vec();
        let below = |bound: &[u8]| self.keys().partition_point(|key| key.as_bytes() < bound);
        let from = if value.is_empty() {
            0
        } else {
            bound.push(0);
            below(&bound)
        };
        bound.truncate(value.len());
        bound.push(1);
        from..below(&bound).max(from)
    }

    fn memory_bytes(&self) -> usize {
        let keys: usize = self.keys().iter().map(|key| key.memory_bytes() + 16).sum();
        keys + self.last.rows.memory_bytes() + self.origins.len() * 5
    }
}

/// Bytes of all kept rows of the process.
static KEPT_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Counts `rows` among what is kept, if there is room.
fn keep(mut rows: LastRows) -> LastRows {
    let bytes = rows.memory_bytes();
    let add = |kept: usize| kept.checked_add(bytes).filter(|sum| *sum <= LAST_ROWS_KEPT_BYTES_MAX);
    if KEPT_BYTES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok() {
        rows.kept_bytes = bytes;
    }
    rows
}

impl Drop for LastRows {
    fn drop(&mut self) {
        KEPT_BYTES.fetch_sub(self.kept_bytes, Ordering::Relaxed);
    }
}

/// What is kept beside a list of segments, which never changes: its last rows, and those of the list before it.
#[derive(Default)]
pub struct KeptLastRows(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    present: Option<Arc<LastRows>>,
    former: Option<Arc<LastRows>>,
    /// Readers of a few series who were sent away so far.
    sent_away_count: usize,
    /// Series of segments that finding the last rows would look at.
    work: Option<usize>,
    is_too_large: bool,
    /// Whether somebody looks for them.
    is_searched: bool,
}

impl KeptLastRows {
    /// What to keep beside the next list.
    #[must_use]
    pub fn next(&self) -> Arc<Self> {
        let kept = self.0.lock();
        let former = kept.present.clone().or_else(|| kept.former.clone());
        Arc::new(Self(Mutex::new(Kept { former, ..Kept::default() })))
    }

    /// The last rows of the list `segments`, each behind `open`; none where they are too many to be kept, and where finding them is
    /// not worth the trouble yet: readers of a few series (`is_narrow`) are sent away until what they spent together is as much.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn get(
        &self,
        segments: &[&SegmentInfo],
        is_narrow: bool,
        open: &Open<'_>,
    ) -> Result<Option<Arc<LastRows>>> {
        let mut kept = self.0.lock();
        if let Some(present) = &kept.present {
            return Ok(Some(Arc::clone(present)));
        }
        let least = segments.iter().map(|info| info.series_count as usize).max().unwrap_or(0);
        if kept.is_too_large || least.saturating_mul(SERIES_BYTES_MIN) > LAST_ROWS_KEPT_BYTES_MAX {
            kept.former = None;
            return Ok(None);
        }
        if is_narrow {
            let known: &[FileId] = kept.former.as_ref().map_or(&[], |former| &former.files);
            let added = || segments.iter().filter(|info| !known.contains(&info.file_id));
            let work = || added().map(|info| info.series_count as usize).sum();
            let work: usize = kept.work.unwrap_or_else(work);
            kept.work = Some(work);
            if kept.sent_away_count.saturating_mul(NARROW_READ_SERIES_COUNT) < work {
                kept.sent_away_count += 1;
                return Ok(None);
            }
        }
        if kept.is_searched {
            // One search at a time: what it gathers is bounded, and others need not wait for it.
            return Ok(None);
        }
        kept.is_searched = true;
        let former = kept.former.clone();
        drop(kept);
        let found = find(former.as_deref(), segments, open);
        drop(former);
        let mut kept = self.0.lock();
        kept.is_searched = false;
        let found = found?;
        kept.former = None;
        let found = found.map(|found| Arc::new(keep(found)));
        kept.is_too_large = found.as_ref().is_none_or(|found| found.kept_bytes == 0);
        kept.present = found.clone().filter(|_| !kept.is_too_large);
        Ok(found)
    }
}

/// Opens the segment at a place of a list.
pub type Open<'a> = dyn Fn(usize) -> Result<Arc<SegmentReader>> + 'a;

/// Whether rows of so many bytes may be kept, and be gathered so far.
fn is_small(bytes: usize) -> Result<bool> {
    Ok(bytes <= LAST_ROWS_KEPT_BYTES_MAX + GATHER_BYTES)
}

/// The last rows of `segments`, from what was found before where that helps; none where they are too large to be kept.
fn find(
    former: Option<&LastRows>,
    segments: &[&SegmentInfo],
    open: &Open<'_>,
) -> Result<Option<LastRows>> {
    if let Some(former) = former {
        let is_new = |at: &usize| {
            segments.get(*at).is_some_and(|info| !former.files.contains(&info.file_id))
        };
        let places: Vec<usize> = (0..segments.len()).filter(is_new).collect();
        let added: Vec<_> = places.iter().filter_map(|at| segments.get(*at).copied()).collect();
        let open_added = |at: usize| match places.get(at) {
            Some(place) => open(*place),
            None => Err(Error::Internal(format!("added segment {at}"))),
        };
        let stays: BTreeSet<FileId> = segments.iter().map(|info| info.file_id).collect();
        if let Some(found) = after(former, &stays, &added, &open_added)? {
            return Ok(Some(found));
        }
    }
    let mut builder = LastRowsBuilder::new(all_columns(&[], segments.len(), open)?);
    let whole = builder.add_segments(segments, open, &|_| Ok(None), None, &mut is_small)?;
    Ok(whole.then(|| builder.finish()))
}

/// The last rows after segments were added, and those that are not in `stays` went; none where that cannot be told from what was added.
fn after(
    former: &LastRows,
    stays: &BTreeSet<FileId>,
    added: &[&SegmentInfo],
    open: &Open<'_>,
) -> Result<Option<LastRows>> {
    let columns = all_columns(&former.columns, added.len(), open)?;
    let mut builder = LastRowsBuilder::new(columns);
    let is_gone: Vec<bool> = former.files.iter().map(|file| !stays.contains(file)).collect();
    let gone = |at: usize| {
        let origin = former.origins.get(at).copied().unwrap_or_default();
        is_gone.get(origin as usize).copied().unwrap_or(true)
    };
    builder.add_former(former, stays, &gone);
    if !builder.add_segments(added, open, &|_| Ok(None), None, &mut is_small)? {
        return Ok(None);
    }
    // A row whose segment was merged must come back, or something later: else another segment's row may be the last one now.
    let mut found = builder.entries.iter().peekable();
    for (at, key) in former.last.keys.iter().enumerate().filter(|(at, _)| gone(*at)) {
        while found.next_if(|entry| entry.key < *key).is_some() {}
        let (time, sequence) = key_at(&former.last.rows, at);
        let back = found.peek().filter(|entry| entry.key == *key);
        if back.is_none_or(|entry| (entry.time, entry.sequence) < (time, sequence)) {
            return Ok(None);
        }
    }
    for (at, tied) in former.last.tied.iter().enumerate().filter(|(at, tied)| **tied && gone(*at)) {
        if let Some(key) = former.last.keys.get(at)
            && let Ok(place) = builder.entries.binary_search_by(|entry| entry.key.cmp(key))
            && let Some(entry) = builder.entries.get_mut(place)
        {
            entry.tied |= *tied;
        }
    }
    Ok(Some(builder.finish()))
}

/// The columns `known` and those of the segments, which are `count`.
fn all_columns(
    known: &[(ColumnId, FieldType)],
    count: usize,
    open: &Open<'_>,
) -> Result<Vec<(ColumnId, FieldType)>> {
    let mut columns = known.to_vec();
    for at in 0..count {
        columns.extend_from_slice(open(at)?.columns());
        columns.sort_unstable_by_key(|column| column.0);
        columns.dedup_by_key(|column| column.0);
    }
    Ok(columns)
}

fn key_at(rows: &RowChunk, at: usize) -> (i64, Sequence) {
    let time = rows.time.get(at).copied().unwrap_or(i64::MIN);
    (time, rows.sequence.get(at).copied().unwrap_or_default())
}

/// Looks for last rows, one place after the other.
pub struct LastRowsBuilder {
    columns: Vec<(ColumnId, FieldType)>,
    entries: Vec<Entry>,
    parts: Vec<RowChunk>,
    files: Vec<FileId>,
}

/// The last row of one series so far.
struct Entry {
    key: SeriesKey,
    time: i64,
    sequence: Sequence,
    /// Where the row is: `parts[part]`, `row`.
    part: u32,
    row: u32,
    origin: u32,
    tied: bool,
}

/// Whether a search may go on that has gathered so many bytes.
pub type HasRoom<'a> = dyn FnMut(usize) -> Result<bool> + 'a;

/// Which series of a segment count, ascending; none: all.
pub type Select<'a> = dyn Fn(&SegmentReader) -> Result<Option<Vec<u32>>> + 'a;

impl LastRowsBuilder {
    /// Nothing yet. Rows will have these columns.
    #[must_use]
    pub fn new(columns: Vec<(ColumnId, FieldType)>) -> Self {
        Self { columns, entries: Vec::new(), parts: Vec::new(), files: Vec::new() }
    }

    /// Looks into segments, newest first: what cannot be a series' last row is not read, and where no more than `known` series can
    /// exist and each has a row later than those of the segments left, they are not opened. `has_room` is told the bytes gathered now
    /// and then; where it says no the search ends, and gives false.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; those of `has_room`.
    pub fn add_segments(
        &mut self,
        infos: &[&SegmentInfo],
        open: &Open<'_>,
        select: &Select<'_>,
        known: Option<usize>,
        has_room: &mut HasRoom<'_>,
    ) -> Result<bool> {
        let mut order: Vec<(i64, usize)> =
            infos.iter().map(|info| info.max_time).zip(0..).collect();
        order.sort_unstable_by_key(|(max_time, _)| std::cmp::Reverse(*max_time));
        for (max_time, at) in order {
            let is_later = |entry: &Entry| entry.time > max_time;
            if known.is_some_and(|known| self.entries.len() >= known)
                && self.entries.iter().all(is_later)
            {
                return Ok(true);
            }
            let reader = open(at)?;
            let selected = select(&reader)?;
            let selected = selected.unwrap_or_else(|| (0..reader.series_count()).collect());
            self.files.push(reader.info().file_id);
            let has_text = self.columns.iter().any(|(_, of)| *of == FieldType::Utf8);
            let count = if has_text { TEXT_SERIES_COUNT } else { selected.len().max(1) };
            for part in selected.chunks(count) {
                self.add_series(&reader, part)?;
                if !has_room(self.memory_bytes())? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn memory_bytes(&self) -> usize {
        let rows: usize = self.parts.iter().map(RowChunk::memory_bytes).sum();
        rows + self.entries.len() * (size_of::<Entry>() + SERIES_BYTES_MIN)
    }

    fn add_series(&mut self, reader: &SegmentReader, selected: &[u32]) -> Result<()> {
        let mut ordinals: Vec<u32> = Vec::new();
        let mut found: Vec<Found> = Vec::new();
        let mut block: Option<SeriesBlock> = None;
        let mut at = 0;
        for ordinal in selected.iter().copied() {
            let of_block = match block.take() {
                Some(block) if block.ordinals().contains(&ordinal) => block,
                _ => reader.series_block(ordinal)?,
            };
            if let Some((key, last)) = of_block.get(ordinal) {
                let rest = self.entries.get(at..).unwrap_or_default();
                at += skip_below(rest, key);
                match self.entries.get(at).filter(|entry| entry.key.as_bytes() == key) {
                    Some(entry) if entry.time > last => {}
                    Some(_) => {
                        ordinals.push(ordinal);
                        found.push(Found::Known(at));
                    }
                    None => {
                        ordinals.push(ordinal);
                        found.push(Found::New(reader.key(ordinal)?));
                    }
                }
            }
            block = Some(of_block);
        }
        let rows = reader.last_rows_of(&ordinals, &self.columns)?;
        self.take_in(found, rows, |_| reader.info().has_duplicates);
        Ok(())
    }

    /// Rows from elsewhere.
    pub fn add_rows(&mut self, from: SeriesRows) {
        let SeriesRows { keys, rows, tied } = from;
        let mut at = 0;
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            at += skip_below(self.entries.get(at..).unwrap_or_default(), key.as_bytes());
            let known = self.entries.get(at).is_some_and(|entry| entry.key == key);
            found.push(if known { Found::Known(at) } else { Found::New(key) });
        }
        self.take_in(found, rows, |at| tied.get(at).copied().unwrap_or(true));
    }

    /// The rows of a list before this one, but for those that are gone.
    fn add_former(
        &mut self,
        former: &LastRows,
        stays: &BTreeSet<FileId>,
        gone: &dyn Fn(usize) -> bool,
    ) {
        let mut new_places = Vec::with_capacity(former.files.len());
        for file in &former.files {
            new_places.push(small(self.files.len()));
            if stays.contains(file) {
                self.files.push(*file);
            }
        }
        for (at, key) in former.last.keys.iter().enumerate().filter(|(at, _)| !gone(*at)) {
            let (time, sequence) = key_at(&former.last.rows, at);
            let origin = former.origins.get(at).copied().unwrap_or_default();
            self.entries.push(Entry {
                key: key.clone(),
                time,
                sequence,
                part: 0,
                row: small(at),
                origin: new_places.get(origin as usize).copied().unwrap_or_default(),
                tied: former.last.tied.get(at).copied().unwrap_or(true),
            });
        }
        self.parts.push(with_columns(&former.last.rows, &former.columns, &self.columns));
    }

    /// Takes rows that were found: `found[i]` says which series' last row `rows[i]` may be.
    fn take_in(&mut self, found: Vec<Found>, rows: RowChunk, is_tied: impl Fn(usize) -> bool) {
        if found.is_empty() {
            return;
        }
        let part = small(self.parts.len());
        let origin = small(self.files.len().saturating_sub(1));
        let mut fresh = Vec::new();
        for (row, found) in found.into_iter().enumerate() {
            let (time, sequence) = key_at(&rows, row);
            let tied = is_tied(row);
            match found {
                Found::New(key) => {
                    let row = small(row);
                    fresh.push(Entry { key, time, sequence, part, row, origin, tied });
                }
                Found::Known(at) => {
                    let Some(entry) = self.entries.get_mut(at) else { continue };
                    let same_time = entry.time == time;
                    if (entry.time, entry.sequence) < (time, sequence) {
                        let tied = tied || same_time;
                        let key = std::mem::take(&mut entry.key);
                        *entry = Entry { key, time, sequence, part, row: small(row), origin, tied };
                    } else {
                        entry.tied |= same_time;
                    }
                }
            }
        }
        self.parts.push(rows);
        if !fresh.is_empty() {
            if self
                .entries
                .last()
                .is_some_and(|last| fresh.first().is_some_and(|one| one.key < last.key))
            {
                self.entries.append(&mut fresh);
                // Two ascending runs: a stable sort joins them in one pass.
                self.entries.sort_by(|a, b| a.key.cmp(&b.key));
            } else {
                self.entries.append(&mut fresh);
            }
        }
        let bytes: usize = self.parts.iter().skip(1).map(RowChunk::memory_bytes).sum();
        if bytes > GATHER_BYTES {
            self.gather();
        }
    }

    /// Puts the rows of all entries into one part, in their order.
    fn gather(&mut self) {
        let types: Vec<FieldType> = self.columns.iter().map(|column| column.1).collect();
        let mut rows = RowChunk::empty(&types);
        rows.time = self.entries.iter().map(|entry| entry.time).collect();
        rows.sequence = self.entries.iter().map(|entry| entry.sequence).collect();
        for (slot, to) in rows.fields.iter_mut().enumerate() {
            let mut rest = self.entries.as_slice();
            while let Some(first) = rest.first() {
                // Rows that follow each other in a part are copied together.
                let next =
                    |(entry, row): &(&Entry, u32)| entry.part == first.part && entry.row == *row;
                let count = rest.iter().zip(first.row..).take_while(next).count();
                let from =
                    self.parts.get(first.part as usize).and_then(|part| part.fields.get(slot));
                if let Some(from) = from {
                    to.push_slice(from, first.row as usize..first.row as usize + count);
                }
                rest = rest.get(count..).unwrap_or_default();
            }
        }
        for (row, entry) in (0..).zip(&mut self.entries) {
            (entry.part, entry.row) = (0, row);
        }
        self.parts = vec![rows];
    }

    /// The last rows that were found.
    #[must_use]
    pub fn finish(mut self) -> LastRows {
        self.gather();
        LastRows {
            columns: self.columns,
            origins: self.entries.iter().map(|entry| entry.origin).collect(),
            files: self.files,
            kept_bytes: 0,
            last: SeriesRows {
                tied: self.entries.iter().map(|entry| entry.tied).collect(),
                keys: self.entries.into_iter().map(|entry| entry.key).collect(),
                rows: self.parts.pop().unwrap_or_default(),
            },
        }
    }
}

/// What a row that was found may be.
enum Found {
    /// The last row of the series of this entry.
    Known(usize),
    /// The last row of a series that was not seen so far.
    New(SeriesKey),
}

/// How many of the entries come before `key`. Mostly none or one: looked at in steps that double.
fn skip_below(entries: &[Entry], key: &[u8]) -> usize {
    let is_below = |entry: &Entry| entry.key.as_bytes() < key;
    let mut step = 1;
    while entries.get(step - 1).is_some_and(is_below) {
        step *= 2;
    }
    let from = step / 2;
    let to = entries.len().min(step - 1).max(from);
    from + entries.get(from..to).unwrap_or_default().partition_point(is_below)
}

/// `rows` with the columns `wanted` of those that it `has`, NULLs where it has none.
fn with_columns(
    rows: &RowChunk,
    has: &[(ColumnId, FieldType)],
    wanted: &[(ColumnId, FieldType)],
) -> RowChunk {
    let column = |wanted: &(ColumnId, FieldType)| {
        let known = column_of(rows, has, wanted).cloned();
        known.unwrap_or_else(|| Column::nulls(wanted.1, rows.row_count()))
    };
    RowChunk {
        time: rows.time.clone(),
        sequence: rows.sequence.clone(),
        fields: wanted.iter().map(column).collect(),
    }
}

fn column_of<'a>(
    rows: &'a RowChunk,
    has: &[(ColumnId, FieldType)],
    wanted: &(ColumnId, FieldType),
) -> Option<&'a Column> {
    let at = has.iter().position(|known| known == wanted)?;
    rows.fields.get(at)
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
