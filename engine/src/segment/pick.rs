//! Single rows out of a segment, many at once: the last rows of its series, from the last-row strip where there is one, else from
//! the pages, each of which is read and decoded once.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::limits::{INDEX_BLOCK_COUNT_MAX, PAGE_ROWS};
use crate::model::{Column, ColumnId, FieldType, RowChunk};

use super::dictionary::Series;
use super::group::BlockId;
use super::read::to_usize;
use super::reader::SegmentReader;

/// Consecutive series of a segment: their keys and times.
pub struct SeriesBlock {
    first: u32,
    series: Arc<Series>,
}

impl SeriesBlock {
    /// The ordinals.
    #[must_use]
    pub fn ordinals(&self) -> Range<u32> {
        let count = u32::try_from(self.series.last.len()).unwrap_or(u32::MAX);
        self.first..self.first.saturating_add(count)
    }

    /// The bytes of a series' key, and the time of its last row; none outside of [`Self::ordinals`].
    #[must_use]
    pub fn get(&self, ordinal: u32) -> Option<(&[u8], i64)> {
        let at = ordinal.checked_sub(self.first)? as usize;
        Some((self.series.keys.view().get_bytes(at)?, *self.series.last.get(at)?))
    }
}

impl SegmentReader {
    /// The block of series in which `ordinal` lies.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Internal` for an ordinal that is none.
    pub fn series_block(&self, ordinal: u32) -> Result<SeriesBlock> {
        let (series, at) = self.dictionary.series(&self.source, ordinal)?;
        let first = ordinal.saturating_sub(u32::try_from(at).unwrap_or(ordinal));
        Ok(SeriesBlock { first, series })
    }

    /// The last row of each of these series, in their order, with its sequence and `columns`; a column that the segment lacks is
    /// NULL. Ordinals ascend, none twice.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Internal` for an ordinal that is none and for a column of another type.
    pub fn last_rows_of(
        &self,
        ordinals: &[u32],
        columns: &[(ColumnId, FieldType)],
    ) -> Result<RowChunk> {
        if self.has_last_rows() {
            return self.last_rows_by_strip(ordinals, columns);
        }
        let mut rows = Vec::with_capacity(ordinals.len());
        for of_block in ordinals.chunk_by(|a, b| block_of(*a) == block_of(*b)) {
            let Some(first) = of_block.first() else { continue };
            let (series, _) = self.dictionary.series(&self.source, *first)?;
            for ordinal in of_block {
                let at = *ordinal as usize % INDEX_BLOCK_COUNT_MAX;
                let of = series.rows_of(at).filter(|rows| !rows.is_empty());
                let of = of.ok_or_else(|| Error::Internal(format!("rows of series {ordinal}")))?;
                rows.push(of.end - 1);
            }
        }
        self.read_rows(&rows, columns)
    }

    fn last_rows_by_strip(
        &self,
        ordinals: &[u32],
        columns: &[(ColumnId, FieldType)],
    ) -> Result<RowChunk> {
        let mut places = Vec::with_capacity(columns.len());
        for (id, field_type) in columns {
            let at = self.columns().iter().position(|(known, _)| known == id);
            if let Some((_, found)) = at.and_then(|at| self.columns().get(at))
                && found != field_type
            {
                let detail = format!("column {} of a segment is {found}, not {field_type}", id.0);
                return Err(Error::Internal(detail));
            }
            places.push(at);
        }
        let mut out = RowChunk::empty(&columns.iter().map(|column| column.1).collect::<Vec<_>>());
        for of_block in ordinals.chunk_by(|a, b| block_of(*a) == block_of(*b)) {
            let Some(first) = of_block.first() else { continue };
            let Some(strip) = self.last_rows(block_of(*first))? else { continue };
            for run in of_block.chunk_by(|a, b| a + 1 == *b) {
                let Some(start) = run.first() else { continue };
                let start = *start as usize % INDEX_BLOCK_COUNT_MAX;
                let rows = start..start + run.len();
                if rows.end > strip.row_count() {
                    return Err(Error::Internal(format!("last rows {rows:?} of a block")));
                }
                push_columns(&mut out, &strip, rows, &places);
            }
        }
        Ok(out)
    }

    /// These rows, in their order, with sequences and `columns`; a column that the segment lacks is NULL. Rows ascend, none twice.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Internal` for rows that do not exist and for a column of another type.
    fn read_rows(&self, rows: &[u64], columns: &[(ColumnId, FieldType)]) -> Result<RowChunk> {
        let mut wanted = vec![
            (BlockId::Time, FieldType::Timestamp),
            (BlockId::Incarnation, FieldType::I64),
            (BlockId::Counter, FieldType::U64),
        ];
        wanted.extend(columns.iter().map(|(id, of)| (BlockId::Field(*id), *of)));
        let mut out: Vec<Column> = wanted.iter().map(|(_, of)| Column::empty(*of)).collect();
        for of_group in rows.chunk_by(|a, b| self.group_of(*a) == self.group_of(*b)) {
            let Some(first) = of_group.first() else { continue };
            let group = self.group_of(*first);
            let base = self.group_rows(group).start;
            let places: Vec<usize> = of_group.iter().map(|row| to_usize(row - base)).collect();
            self.read_places(group, &places, &wanted, &mut out)?;
        }
        self.chunk(out, true)
    }

    /// Appends single rows of a row group, counted from its first.
    fn read_places(
        &self,
        group: usize,
        places: &[usize],
        wanted: &[(BlockId, FieldType)],
        out: &mut [Column],
    ) -> Result<()> {
        let mut whole: Vec<Column> = wanted.iter().map(|(_, of)| Column::empty(*of)).collect();
        for of_page in places.chunk_by(|a, b| a / PAGE_ROWS == b / PAGE_ROWS) {
            let Some(page) = of_page.first().map(|place| place / PAGE_ROWS) else { continue };
            let start = page * PAGE_ROWS;
            let rows = start..start + self.page_rows(group, page);
            for column in &mut whole {
                *column = Column { data: column.empty_data(), validity: None };
            }
            self.read_group(group, rows, wanted, &mut whole)?;
            for (to, from) in out.iter_mut().zip(&whole) {
                for place in of_page {
                    to.push_slice(from, place - start..place - start + 1);
                }
            }
        }
        Ok(())
    }
}

/// The block of the dictionary and the strip in which a series lies.
fn block_of(ordinal: u32) -> usize {
    ordinal as usize / INDEX_BLOCK_COUNT_MAX
}

/// Appends `rows` of `from`: of each column that `places` names, NULLs where it names none.
fn push_columns(out: &mut RowChunk, from: &RowChunk, rows: Range<usize>, places: &[Option<usize>]) {
    out.time.extend_from_slice(from.time.get(rows.clone()).unwrap_or_default());
    out.sequence.extend_from_slice(from.sequence.get(rows.clone()).unwrap_or_default());
    for (to, place) in out.fields.iter_mut().zip(places) {
        match place.and_then(|at| from.fields.get(at)) {
            Some(column) => to.push_slice(column, rows.clone()),
            None => to.push_nulls(rows.len()),
        }
    }
}
