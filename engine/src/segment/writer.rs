//! Writes a segment: rows arrive in their final order, row groups leave as they fill, indexes follow at the end.
//! Until [`SegmentWriter::finish`] the file has a temporary name. Format: docs/format/segment.md.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronolith_codec::Effort;
use chronolith_codec::varint;

use crate::error::{Error, Result};
use crate::format::names;
use crate::limits::{LAST_ROWS_MIN_COUNT, ROW_GROUP_BYTES_MAX};
use crate::model::{
    Column, ColumnId, CommitMetadata, FieldType, FileId, RowChunk, Sequence, SeriesKey, TableId,
    Window,
};
use crate::planted::{Bug, is_on};
use crate::vfs::{File, OpenMode, Vfs};

use super::buffer::Buffer;
use super::commits;
use super::dictionary::DictionaryBuilder;
use super::group::{Block, Group, GroupEntry, Page, block_kinds, encode_directory};
use super::info::SegmentInfo;
use super::last_rows::{LastRowsBuilder, clear};
use super::layout::{Extent, Footer, Header, encode_trailer, section};
use super::output::Output;
use super::page::BlockEncoder;
use super::tag_index::TagIndexBuilder;
use super::zone::Zone;

/// What a segment is to be.
#[derive(Debug, Clone)]
pub struct SegmentSpec {
    /// The file's new random identity.
    pub file_id: FileId,
    /// The database that it belongs to.
    pub database_id: u128,
    /// The table of its rows.
    pub table: TableId,
    /// The partition that holds every row's time.
    pub window: Window,
    /// The table's tags.
    pub tag_count: usize,
    /// The fields of the rows, in the order in which chunks hold them.
    pub columns: Vec<(ColumnId, FieldType)>,
    /// How hard to look for small encodings.
    pub effort: Effort,
    /// Tombstones up to this sequence, inclusive, were applied to the rows.
    pub tombstones_through: Sequence,
    /// Bytes at which a row group ends early, at most [`ROW_GROUP_BYTES_MAX`].
    pub group_bytes_max: usize,
}

/// Bytes of a series in the indexes that a writer gathers, beside its key; and of one of its tags.
const SERIES_BYTES: usize = 96;
const TAG_BYTES: usize = 64;

/// The series whose rows arrive.
struct Current {
    key: SeriesKey,
    rows: u64,
    first_time: i64,
    last_time: i64,
    last_sequence: Sequence,
}

/// What is known of all rows so far.
struct Totals {
    rows: u64,
    times: (i64, i64),
    sequences: (Sequence, Sequence),
    has_duplicates: bool,
}

/// Writes one segment. Dropped before [`Self::finish`], it removes what it wrote.
pub struct SegmentWriter<'v> {
    vfs: &'v dyn Vfs,
    folder: PathBuf,
    spec: SegmentSpec,
    temporary: TemporaryFile<'v>,
    out: Output,
    group: Buffer,
    entries: Vec<GroupEntry>,
    descriptors: Vec<Vec<u8>>,
    dictionary: DictionaryBuilder,
    tags: TagIndexBuilder,
    last_rows: LastRowsBuilder,
    last_row: RowChunk,
    /// Metadata that was offered, and that of commits which have rows here.
    offered: BTreeMap<Sequence, CommitMetadata>,
    commits: BTreeMap<Sequence, CommitMetadata>,
    current: Option<Current>,
    totals: Totals,
    index_bytes: usize,
}

impl<'v> SegmentWriter<'v> {
    /// Begins a segment in the folder of segments.
    ///
    /// # Errors
    /// `Io`.
    pub fn create(vfs: &'v dyn Vfs, folder: &Path, spec: SegmentSpec) -> Result<Self> {
        let (temporary, file) = TemporaryFile::create(vfs, folder, spec.file_id)?;
        let mut out = Output::new(file, spec.file_id);
        let (file_id, database_id, table) = (spec.file_id, spec.database_id, spec.table);
        out.append(&Header { file_id, database_id, table }.encode())?;
        let types: Vec<FieldType> = spec.columns.iter().map(|(_, of)| *of).collect();
        let zero = Sequence::ZERO;
        Ok(Self {
            vfs,
            folder: folder.to_path_buf(),
            temporary,
            out,
            group: Buffer::new(&types, spec.group_bytes_max.min(ROW_GROUP_BYTES_MAX)),
            index_bytes: 0,
            entries: Vec::new(),
            descriptors: Vec::new(),
            dictionary: DictionaryBuilder::default(),
            tags: TagIndexBuilder::new(spec.tag_count),
            last_rows: LastRowsBuilder::new(&types),
            last_row: RowChunk::empty(&types),
            offered: BTreeMap::new(),
            commits: BTreeMap::new(),
            current: None,
            totals: Totals {
                rows: 0,
                times: (i64::MAX, i64::MIN),
                sequences: (Sequence::MAX, zero),
                has_duplicates: false,
            },
            spec,
        })
    }

    /// Adds rows of the series `key`, whose key is not below that of the rows before; rows of the same series follow each other
    /// by (time, sequence). The chunk holds the fields of the specification, and a sequence a row.
    ///
    /// # Errors
    /// `Internal` for rows of another shape or order, or outside of the window; `Io`. The writer is of no use afterwards.
    pub fn push(&mut self, key: &SeriesKey, rows: &RowChunk) -> Result<()> {
        let (Some(&first), Some(&last)) = (rows.time.first(), rows.time.last()) else {
            return Ok(());
        };
        self.check(key, rows, first, last)?;
        let follows = self.begin_series(key, first)?;
        self.count(rows, first, last);
        self.keep_metadata(&rows.sequence);
        let mut before = follows.map(|(time, _)| time);
        let mut start = 0;
        while start < rows.row_count() {
            let is_first = self.group.row_count() == 0;
            let part = self.group.fill(rows, start);
            start = part.end;
            let times = rows.time.get(part).unwrap_or_default();
            self.note_duplicates(times, before, is_first);
            before = times.last().copied();
            if self.group.is_full() {
                self.close_group()?;
            }
        }
        let mut last = rows.row_count() - 1;
        if is_on(Bug::StaleStrip) {
            last = last.saturating_sub(1);
        }
        clear(&mut self.last_row);
        self.last_row.push_slice(rows, last..last + 1);
        Ok(())
    }

    /// Notes whether the rows just added repeat a time of their series: one of their own, or that of the row `before` them, which
    /// lies in the row group before where they are the first of theirs.
    fn note_duplicates(&mut self, times: &[i64], before: Option<i64>, is_first: bool) {
        let repeats = times.iter().zip(times.iter().skip(1)).any(|(one, next)| one == next);
        let joins = before.is_some() && before == times.first().copied();
        if !repeats && !joins {
            return;
        }
        self.totals.has_duplicates = true;
        self.group.unique = false;
        if joins
            && is_first
            && let Some(entry) = self.entries.last_mut()
        {
            entry.unique = false;
        }
    }

    /// Bytes of what it gathers about rows that are written: it grows with series and row groups.
    #[must_use]
    pub fn index_bytes(&self) -> usize {
        self.index_bytes
    }

    /// Offers the metadata of the commit `sequence`; it is kept where rows of that commit are pushed afterwards.
    pub fn metadata(&mut self, sequence: Sequence, metadata: CommitMetadata) {
        if !metadata.is_empty() {
            self.index_bytes += size_of::<(Sequence, CommitMetadata)>() + metadata.len_bytes();
            self.offered.insert(sequence, metadata);
        }
    }

    fn keep_metadata(&mut self, sequences: &[Sequence]) {
        let mut before = None;
        for sequence in sequences {
            if self.offered.is_empty() {
                return;
            }
            if before.replace(sequence) != Some(sequence) {
                self.commits.extend(self.offered.remove_entry(sequence));
            }
        }
    }

    /// Completes the file, makes it durable, and gives it its name.
    ///
    /// # Errors
    /// `Internal` when there is no row; `Io`. What was written is removed then.
    pub fn finish(mut self) -> Result<SegmentInfo> {
        self.end_series()?;
        self.close_group()?;
        if self.totals.rows == 0 {
            return Err(Error::Internal("a segment without rows".into()));
        }
        let mut info = self.info();
        self.write_sections(&info)?;
        let Self { vfs, folder, spec, temporary, out, .. } = self;
        let (file, len_bytes, hash) = out.finish()?;
        info.len_bytes = len_bytes;
        info.hash = hash;
        publish(vfs, &folder, file.as_ref(), &temporary.path, spec.file_id)?;
        temporary.keep();
        Ok(info)
    }

    fn info(&self) -> SegmentInfo {
        let effort = match self.spec.effort {
            Effort::Fast => 0,
            Effort::Dense => 1,
        };
        SegmentInfo {
            file_id: self.spec.file_id,
            table: self.spec.table,
            window: self.spec.window,
            len_bytes: 0,
            hash: [0; 32],
            row_count: self.totals.rows,
            series_count: self.dictionary.count(),
            min_time: self.totals.times.0,
            max_time: self.totals.times.1,
            min_sequence: self.totals.sequences.0,
            max_sequence: self.totals.sequences.1,
            has_duplicates: self.totals.has_duplicates,
            tombstones_through: self.spec.tombstones_through,
            effort,
        }
    }

    fn write_sections(&mut self, info: &SegmentInfo) -> Result<()> {
        let types: Vec<FieldType> = self.spec.columns.iter().map(|(_, of)| *of).collect();
        let mut footer = Footer::default();
        let descriptors = self.write_descriptors()?;
        let schema = self.schema();
        let out = &mut self.out;
        footer.push(section::DESCRIPTORS, descriptors);
        let parts = std::mem::take(&mut self.dictionary).finish(out)?;
        indexed(&mut footer, out, [section::SERIES_BLOCKS, section::SERIES_INDEX], parts)?;
        let tags = std::mem::replace(&mut self.tags, TagIndexBuilder::new(0));
        let parts = tags.finish(out)?;
        indexed(&mut footer, out, [section::TAG_BLOCKS, section::TAG_INDEX], parts)?;
        if info.row_count / u64::from(info.series_count) >= LAST_ROWS_MIN_COUNT {
            let strip = std::mem::replace(&mut self.last_rows, LastRowsBuilder::new(&types));
            let parts = strip.finish(out)?;
            indexed(&mut footer, out, [section::LAST_ROWS, section::LAST_ROWS_INDEX], parts)?;
        }
        if !self.commits.is_empty() {
            footer.push(section::COMMITS, out.append_sealed(&commits::encode(&self.commits))?);
        }
        let mut directory = Vec::new();
        encode_directory(&self.entries, &mut directory);
        footer.push(section::GROUPS, out.append_sealed(&directory)?);
        footer.push(section::SCHEMA, out.append_sealed(&schema)?);
        let mut summary = Vec::new();
        info.encode_summary(&mut summary);
        footer.push(section::SUMMARY, out.append_sealed(&summary)?);
        let footer = out.append_sealed(&footer.encode())?;
        out.append(&encode_trailer(self.spec.file_id, footer))
    }

    /// The descriptors one after the other; each is sealed, so that their section needs no seal of its own.
    fn write_descriptors(&mut self) -> Result<Extent> {
        let offset = self.out.offset();
        for (descriptor, entry) in self.descriptors.iter().zip(&mut self.entries) {
            entry.descriptor = self.out.append_sealed(descriptor)?;
        }
        Ok(Extent { offset, len: self.out.offset() - offset, crc: 0 })
    }

    fn schema(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put_u64(&mut out, self.spec.tag_count as u64);
        varint::put_u64(&mut out, self.spec.columns.len() as u64);
        for (id, field_type) in &self.spec.columns {
            varint::put_u64(&mut out, u64::from(id.0));
            out.extend_from_slice(&field_type.code());
        }
        out
    }

    fn check(&self, key: &SeriesKey, rows: &RowChunk, first: i64, last: i64) -> Result<()> {
        let wrong = |what: &str| Err(Error::Internal(format!("rows for a segment {what}")));
        let columns = &self.spec.columns;
        let fits = |(column, (_, of)): (&Column, &(ColumnId, FieldType))| {
            column.len() == rows.row_count() && column.data.fits(*of)
        };
        if rows.sequence.len() != rows.row_count()
            || rows.fields.len() != columns.len()
            || !rows.fields.iter().zip(columns).all(fits)
        {
            return wrong("have other columns than it");
        }
        if key.as_bytes().iter().filter(|byte| **byte == 0).count() > self.spec.tag_count {
            return wrong("have more tags than it");
        }
        let order = |at: usize| Some((*rows.time.get(at)?, *rows.sequence.get(at)?));
        let rises = (1..rows.row_count()).all(|at| order(at - 1) <= order(at));
        let follows = match &self.current {
            Some(current) if current.key == *key => {
                Some((current.last_time, current.last_sequence)) <= order(0)
            }
            Some(current) => current.key < *key,
            None => true,
        };
        if !rises || !follows {
            return wrong("are not sorted by series, time and sequence");
        }
        if !self.spec.window.range().covers(first, last) {
            return wrong("lie outside of its window");
        }
        Ok(())
    }

    /// Makes `key` the present series. Its last time and sequence where it was the present one before.
    fn begin_series(&mut self, key: &SeriesKey, first: i64) -> Result<Option<(i64, Sequence)>> {
        if let Some(current) = &self.current
            && current.key == *key
        {
            return Ok(Some((current.last_time, current.last_sequence)));
        }
        self.end_series()?;
        self.tags.push(key);
        let row_bytes = self.spec.columns.len() * 9;
        let tags_bytes = self.spec.tag_count.saturating_sub(1) * TAG_BYTES;
        self.index_bytes += SERIES_BYTES + 3 * key.memory_bytes() + row_bytes + tags_bytes;
        self.current = Some(Current {
            key: key.clone(),
            rows: 0,
            first_time: first,
            last_time: first,
            last_sequence: Sequence::ZERO,
        });
        Ok(None)
    }

    fn end_series(&mut self) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        self.last_rows.push(&self.last_row);
        let times = (current.first_time, current.last_time);
        self.dictionary.push(&current.key, current.rows, times)
    }

    fn count(&mut self, rows: &RowChunk, first: i64, last: i64) {
        let totals = &mut self.totals;
        totals.rows += rows.row_count() as u64;
        totals.times = (totals.times.0.min(first), totals.times.1.max(last));
        for sequence in &rows.sequence {
            totals.sequences.0 = totals.sequences.0.min(*sequence);
            totals.sequences.1 = totals.sequences.1.max(*sequence);
        }
        if let Some(current) = &mut self.current {
            current.rows += rows.row_count() as u64;
            current.last_time = last;
            current.last_sequence = rows.sequence.last().copied().unwrap_or_default();
        }
    }

    /// Writes the present row group, if it has rows.
    fn close_group(&mut self) -> Result<()> {
        let row_count = self.group.row_count();
        if row_count == 0 {
            return Ok(());
        }
        let data_start = self.out.offset();
        let page_times = self.group.page_times();
        let mut blocks = Vec::new();
        for ((id, of), column) in
            block_kinds(&self.spec.columns).into_iter().zip(&self.group.columns)
        {
            let (zone, pages) = write_block(&mut self.out, column, self.spec.effort)?;
            blocks.push(Block { id, field_type: of, zone, pages });
        }
        let mut descriptor = Vec::new();
        Group { blocks, page_times }.encode(&mut descriptor);
        self.index_bytes += descriptor.len() + size_of::<GroupEntry>();
        self.descriptors.push(descriptor);
        self.entries.push(GroupEntry {
            first_row: self.entries.last().map_or(0, GroupEntry::end_row),
            row_count: u32::try_from(row_count).unwrap_or(u32::MAX),
            unique: self.group.unique,
            data: data_start..self.out.offset(),
            descriptor: Extent { offset: 0, len: 0, crc: 0 },
        });
        self.group.clear();
        Ok(())
    }
}

/// Writes the pages of one column.
fn write_block(out: &mut Output, column: &Column, effort: Effort) -> Result<(Zone, Vec<Page>)> {
    let encoder = BlockEncoder::new(column, effort);
    let (zone, coarse) = encoder.zone();
    let mut pages = Vec::new();
    if zone.null_count == zone.row_count {
        return Ok((zone, pages));
    }
    let mut bytes = Vec::new();
    for (index, coarse) in (0..encoder.page_count()).zip(coarse) {
        bytes.clear();
        let text_bytes = encoder.encode(index, &mut bytes);
        pages.push(Page { extent: out.append_sealed(&bytes)?, coarse, text_bytes });
    }
    Ok((zone, pages))
}

/// Notes a section of sealed blocks, which has no seal of its own, and writes and notes the section of its index.
fn indexed(
    footer: &mut Footer,
    out: &mut Output,
    [blocks, index]: [u16; 2],
    (range, bytes): (Range<u64>, Vec<u8>),
) -> Result<()> {
    footer.push(blocks, Extent { offset: range.start, len: range.end - range.start, crc: 0 });
    footer.push(index, out.append_sealed(&bytes)?);
    Ok(())
}

/// Makes a written segment durable and known by its name: content, name, folder, in this order.
fn publish(
    vfs: &dyn Vfs,
    folder: &Path,
    file: &dyn File,
    temporary: &Path,
    id: FileId,
) -> Result<()> {
    if !is_on(Bug::InstallBeforeSync) {
        file.sync_data()?;
    }
    vfs.rename(temporary, &folder.join(names::segment_file(id)))?;
    if is_on(Bug::SkipDirectorySync) {
        return Ok(());
    }
    vfs.sync_dir(folder)
}

/// A file that is removed unless it is kept.
struct TemporaryFile<'v> {
    vfs: &'v dyn Vfs,
    path: PathBuf,
    kept: bool,
}

impl<'v> TemporaryFile<'v> {
    fn create(vfs: &'v dyn Vfs, folder: &Path, id: FileId) -> Result<(Self, Arc<dyn File>)> {
        let path = folder.join(names::temporary(&names::segment_file(id)));
        if vfs.exists(&path)? {
            vfs.remove(&path)?;
        }
        let file = vfs.open(&path, OpenMode::Create)?;
        Ok((Self { vfs, path, kept: false }, file))
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for TemporaryFile<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing refers to the file: where it cannot be removed now, collection removes it later.
            let _ = self.vfs.remove(&self.path);
        }
    }
}
