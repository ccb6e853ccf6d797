//! Checks the order of a segment's rows and series, and what it declares of all its rows.

use std::sync::Arc;

use crate::error::Result;
use crate::limits::INDEX_BLOCK_COUNT_MAX;
use crate::model::{RowChunk, Sequence, SeriesKey};

use super::dictionary::Series;
use super::reader::SegmentReader;

/// The order of rows and series, row group after row group.
pub(crate) struct Order {
    /// The next series.
    ordinal: u32,
    /// The dictionary's block whose keys were checked last, and the last of them.
    block: Option<usize>,
    last_key: Option<Vec<u8>>,
    row: u64,
    /// The last row before, where it is of the same series and was read.
    before: Option<(i64, Sequence)>,
    has_duplicates: bool,
    times: (i64, i64),
    sequences: (Sequence, Sequence),
    /// For each row group whether nothing repeats in it or over its edges.
    unique: Vec<bool>,
}

impl Order {
    pub(crate) fn new(reader: &SegmentReader) -> Self {
        Self {
            ordinal: 0,
            block: None,
            last_key: None,
            row: 0,
            before: None,
            has_duplicates: false,
            times: (i64::MAX, i64::MIN),
            sequences: (Sequence::MAX, Sequence::ZERO),
            unique: vec![true; reader.group_count()],
        }
    }

    /// Passes over rows that could not be read.
    pub(crate) fn skip(&mut self, row: u64, ordinal: u32) {
        (self.row, self.ordinal) = (row, ordinal);
        self.before = None;
    }

    pub(crate) fn check(
        &mut self,
        reader: &SegmentReader,
        group: usize,
        rows: &RowChunk,
    ) -> Result<()> {
        let end = reader.group_rows(group).end;
        let first = self.row;
        while self.row < end {
            let series = self.series_of(reader)?;
            let at = usize::try_from(self.ordinal).unwrap_or_default() % INDEX_BLOCK_COUNT_MAX;
            let ordinal = self.ordinal;
            let bad = |detail: &str| {
                let place = format!("series {ordinal} in row group {group}: {detail}");
                Err(reader.source.damaged(reader.group_rows(group).start, "row order", place))
            };
            let (Some(of), Some(times)) = (series.rows_of(at), series.times_of(at)) else {
                return bad("it is not in the dictionary");
            };
            let part = self.row..of.end.min(end);
            if part.is_empty() {
                return bad("it has no rows");
            }
            let inside = usize::try_from(part.start - first).unwrap_or_default()
                ..usize::try_from(part.end - first).unwrap_or_default();
            let slice = rows.time.get(inside.clone()).unwrap_or_default();
            let begins = of.start == part.start;
            let ends = of.end == part.end;
            if (begins && slice.first() != Some(&times.0))
                || (ends && slice.last() != Some(&times.1))
            {
                return bad("its first or last time is not that of the dictionary");
            }
            if !self.rises(rows, inside, group) {
                return bad("its rows are not in order, or outside of what the segment declares");
            }
            self.row = part.end;
            if ends {
                self.ordinal += 1;
                self.before = None;
            }
        }
        Ok(())
    }

    /// Whether rows of one series follow each other; notes what repeats.
    fn rises(&mut self, rows: &RowChunk, inside: std::ops::Range<usize>, group: usize) -> bool {
        let start = inside.start;
        for row in inside {
            let (Some(time), Some(sequence)) = (rows.time.get(row), rows.sequence.get(row)) else {
                return false;
            };
            if let Some(before) = self.before {
                if (*time, *sequence) < before {
                    return false;
                }
                if *time == before.0 {
                    self.has_duplicates = true;
                    let over =
                        if row == start && row == 0 { group.saturating_sub(1) } else { group };
                    for group in [group, over] {
                        if let Some(unique) = self.unique.get_mut(group) {
                            *unique = false;
                        }
                    }
                }
            }
            self.before = Some((*time, *sequence));
            self.times = (self.times.0.min(*time), self.times.1.max(*time));
            self.sequences = (self.sequences.0.min(*sequence), self.sequences.1.max(*sequence));
        }
        true
    }

    /// The dictionary's block of the next series, whose keys are checked when it is first needed.
    fn series_of(&mut self, reader: &SegmentReader) -> Result<Arc<Series>> {
        let (series, _) = reader.dictionary.series(&reader.source, self.ordinal)?;
        let block = self.ordinal as usize / INDEX_BLOCK_COUNT_MAX;
        if self.block == Some(block) {
            return Ok(series);
        }
        self.block = Some(block);
        for key in series.keys.view().iter_bytes() {
            let rises = self.last_key.as_deref().is_none_or(|last| last < key);
            if !rises || SeriesKey::from_bytes(key).is_none() {
                let detail =
                    format!("keys near series {} are malformed or not in order", self.ordinal);
                return Err(reader.source.damaged(0, "series dictionary", detail));
            }
            self.last_key = Some(key.to_vec());
        }
        Ok(series)
    }

    /// Compares what all rows gave with what the segment declares.
    pub(crate) fn finish(self, reader: &SegmentReader, whole: bool) -> Result<()> {
        let info = &reader.info;
        let bad = |detail: String| Err(reader.source.damaged(0, "segment summary", detail));
        if !whole || self.row < info.row_count {
            return Ok(());
        }
        if self.times != (info.min_time, info.max_time)
            || self.sequences != (info.min_sequence, info.max_sequence)
        {
            return bad(format!(
                "rows have times {:?} and sequences {:?}",
                self.times, self.sequences
            ));
        }
        if self.ordinal != info.series_count || self.has_duplicates != info.has_duplicates {
            return bad(format!(
                "rows have {} series, repeated: {}",
                self.ordinal, self.has_duplicates
            ));
        }
        if !info.window.range().covers(info.min_time, info.max_time) {
            return bad("rows lie outside of the window".to_owned());
        }
        if let Some(group) = (0..reader.group_count())
            .find(|at| reader.is_unique(*at) != self.unique.get(*at).copied().unwrap_or_default())
        {
            return bad(format!("row group {group} is marked wrongly as unique or not"));
        }
        Ok(())
    }
}
