//! Reads the rows that a damaged segment still holds. A row is kept where all of its columns can be read, and its series' key:
//! a row group's page is the unit, 4,096 rows. Everything else of a segment is made anew from rows.

use crate::error::{Error, Result};
use crate::limits::{INDEX_BLOCK_COUNT_MAX, PAGE_ROWS};
use crate::model::{RowChunk, SeriesKey};

use super::reader::SegmentReader;

/// What could not be read of a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LostRows {
    /// Rows.
    pub row_count: u64,
    /// The times between which they lie, both inclusive; none without such rows.
    pub times: Option<(i64, i64)>,
    /// The first and the last series of which rows are lost, where their keys can be read.
    pub series: Option<(SeriesKey, SeriesKey)>,
}

impl LostRows {
    fn add(&mut self, row_count: u64, key: Option<&SeriesKey>, (first, last): (i64, i64)) {
        self.row_count += row_count;
        let (least, greatest) = self.times.unwrap_or((first, last));
        self.times = Some((least.min(first), greatest.max(last)));
        if let Some(key) = key {
            let first = self.series.as_ref().map_or(key, |(first, _)| first).clone();
            self.series = Some((first, key.clone()));
        }
    }
}

impl SegmentReader {
    /// Hands every row that can be read to `keep`, series by series in the order of the segment, with all of [`Self::columns`] and
    /// sequences. Gives what could not be read.
    ///
    /// # Errors
    /// `Io`, which says nothing of the file's content; those of `keep`.
    pub fn salvage(
        &self,
        keep: &mut dyn FnMut(&SeriesKey, &RowChunk) -> Result<()>,
    ) -> Result<LostRows> {
        let mut lost = LostRows::default();
        let mut known_rows = 0;
        let mut ordinal = 0;
        while ordinal < self.series_count() {
            match sound(self.series_at(ordinal))? {
                Some((key, rows, bounds)) => {
                    known_rows += rows.end - rows.start;
                    self.salvage_series(&key, rows, bounds, keep, &mut lost)?;
                    ordinal += 1;
                }
                // All series of the dictionary's block.
                None => {
                    let of_block = u32::try_from(INDEX_BLOCK_COUNT_MAX).unwrap_or(u32::MAX);
                    ordinal = (ordinal / of_block + 1).saturating_mul(of_block);
                }
            }
        }
        let unknown = self.info.row_count.saturating_sub(known_rows);
        if unknown > 0 {
            lost.add(unknown, None, (self.info.min_time, self.info.max_time));
            lost.series = None;
        }
        Ok(lost)
    }

    fn series_at(&self, ordinal: u32) -> Result<(SeriesKey, std::ops::Range<u64>, (i64, i64))> {
        Ok((self.key(ordinal)?, self.rows_of(ordinal)?, self.time_bounds(ordinal)?))
    }

    fn salvage_series(
        &self,
        key: &SeriesKey,
        rows: std::ops::Range<u64>,
        (first, last): (i64, i64),
        keep: &mut dyn FnMut(&SeriesKey, &RowChunk) -> Result<()>,
        lost: &mut LostRows,
    ) -> Result<()> {
        let mut before = first;
        let mut missing = 0;
        let mut start = rows.start;
        while start < rows.end {
            let end = rows.end.min(self.page_end(start));
            match sound(self.read(start..end, self.columns(), true))? {
                Some(chunk) => {
                    if missing > 0 {
                        let next = chunk.time.first().copied().unwrap_or(last);
                        lost.add(missing, Some(key), (before, next));
                        missing = 0;
                    }
                    before = chunk.time.last().copied().unwrap_or(before);
                    keep(key, &chunk)?;
                }
                None => missing += end - start,
            }
            start = end;
        }
        if missing > 0 {
            lost.add(missing, Some(key), (before, last));
        }
        Ok(())
    }

    /// Where the page of a row ends, or its row group.
    fn page_end(&self, row: u64) -> u64 {
        let group = self.group_rows(self.group_of(row));
        let pages = (row - group.start) / PAGE_ROWS as u64 + 1;
        group.end.min(group.start + pages * PAGE_ROWS as u64)
    }
}

/// What was read; none where it is damaged.
fn sound<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(Error::Corrupt(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
