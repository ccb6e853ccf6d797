//! The series dictionary: sorted keys with row counts and times, in sealed blocks of 256 series. Only the index over the blocks
//! is held in memory, from the first use on; a few decoded blocks are kept. Format: docs/format/segment.md.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use chronolith_codec::varint::Reader;
use chronolith_codec::{CodecError, Effort, TextBuf};
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::limits::{INDEX_BLOCK_COUNT_MAX, SERIES_KEY_LEN_BYTES_MAX};
use crate::model::SeriesKey;

use super::index::{BlockIndex, lower_bound};
use super::layout::Extent;
use super::output::Output;
use super::parts;
use super::source::Source;

const WHAT_BLOCK: &str = "series block";
const WHAT_INDEX: &str = "series index";
/// Decoded blocks that a reader keeps.
const KEPT_BLOCK_COUNT: usize = 8;

/// Collects the series of a segment.
#[derive(Default)]
pub(crate) struct DictionaryBuilder {
    keys: TextBuf,
    rows: Vec<i64>,
    first: Vec<i64>,
    last: Vec<i64>,
    blocks: Vec<(String, i64, Vec<u8>)>,
    start_row: i64,
    count: u32,
}

impl DictionaryBuilder {
    /// Series so far.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Adds the next series with its rows and its first and last time.
    #[expect(clippy::cast_possible_wrap, reason = "row counts are far below 2^63")]
    pub(crate) fn push(&mut self, key: &SeriesKey, rows: u64, times: (i64, i64)) -> Result<()> {
        let text = std::str::from_utf8(key.as_bytes()).unwrap_or_default();
        self.keys.push(text).map_err(|error| Error::Internal(error.to_string()))?;
        self.rows.push(rows as i64);
        self.first.push(times.0);
        self.last.push(times.1);
        self.count += 1;
        if self.rows.len() == INDEX_BLOCK_COUNT_MAX {
            self.close_block();
        }
        Ok(())
    }

    fn close_block(&mut self) {
        let mut block = Vec::new();
        parts::put_texts(&mut block, &self.keys, Effort::Dense);
        parts::put_ints(&mut block, &self.rows, Effort::Dense);
        parts::put_ints(&mut block, &self.first, Effort::Dense);
        parts::put_ints(&mut block, &self.last, Effort::Dense);
        let first = self.keys.get(0).unwrap_or_default().to_owned();
        self.blocks.push((first, self.start_row, block));
        self.start_row += self.rows.iter().sum::<i64>();
        self.keys.truncate(0);
        self.rows.clear();
        self.first.clear();
        self.last.clear();
    }

    /// Writes the blocks. Their section, and the index section's bytes.
    pub(crate) fn finish(mut self, out: &mut Output) -> Result<(Range<u64>, Vec<u8>)> {
        if !self.rows.is_empty() {
            self.close_block();
        }
        let start = out.offset();
        let mut index = BlockIndex::default();
        let mut start_rows = Vec::new();
        for (first, start_row, block) in &self.blocks {
            let extent = out.append_sealed(block)?;
            index.push(first, extent).map_err(|error| Error::Internal(error.to_string()))?;
            start_rows.push(*start_row);
        }
        let mut bytes = Vec::new();
        index.encode(&mut bytes, Effort::Dense);
        parts::put_ints(&mut bytes, &start_rows, Effort::Dense);
        Ok((start..out.offset(), bytes))
    }
}

/// The index over the blocks.
struct Index {
    blocks: BlockIndex,
    start_rows: Vec<u64>,
}

/// One decoded block.
pub(crate) struct Series {
    /// The keys, ascending.
    pub(crate) keys: TextBuf,
    /// Where each series' rows begin, and where those of the last end.
    pub(crate) rows: Vec<u64>,
    /// Each series' first time.
    pub(crate) first: Vec<i64>,
    /// Each series' last time.
    pub(crate) last: Vec<i64>,
}

impl Series {
    /// The rows of the series at `index`.
    pub(crate) fn rows_of(&self, index: usize) -> Option<Range<u64>> {
        Some(*self.rows.get(index)?..*self.rows.get(index + 1)?)
    }

    /// The first and the last time of the series at `index`.
    pub(crate) fn times_of(&self, index: usize) -> Option<(i64, i64)> {
        Some((*self.first.get(index)?, *self.last.get(index)?))
    }
}

/// The dictionary of an open segment.
pub(crate) struct Dictionary {
    blocks: Extent,
    index_at: Extent,
    series_count: u32,
    row_count: u64,
    index: OnceLock<Index>,
    kept: Mutex<Vec<(usize, Arc<Series>)>>,
}

impl Dictionary {
    /// Of `series_count` series, with its two sections. Reads nothing.
    pub(crate) fn new(blocks: Extent, index_at: Extent, series_count: u32, row_count: u64) -> Self {
        let index = OnceLock::new();
        Self { blocks, index_at, series_count, row_count, index, kept: Mutex::default() }
    }

    /// How many blocks there are.
    pub(crate) fn block_count(&self) -> usize {
        (self.series_count as usize).div_ceil(INDEX_BLOCK_COUNT_MAX)
    }

    /// The block of a series, and the series' place in it.
    pub(crate) fn series(&self, source: &Source, ordinal: u32) -> Result<(Arc<Series>, usize)> {
        if ordinal >= self.series_count {
            let count = self.series_count;
            return Err(Error::Internal(format!("series {ordinal} of {count} in a segment")));
        }
        let ordinal = ordinal as usize;
        let block = self.block(source, ordinal / INDEX_BLOCK_COUNT_MAX)?;
        Ok((block, ordinal % INDEX_BLOCK_COUNT_MAX))
    }

    /// The ordinal of the first key at or after `bytes`, and whether it is that key.
    pub(crate) fn lower_bound(&self, source: &Source, bytes: &[u8]) -> Result<(u32, bool)> {
        let Some(block) = self.index(source)?.blocks.locate(bytes) else { return Ok((0, false)) };
        let series = self.block(source, block)?;
        let at = lower_bound(&series.keys, bytes);
        let found = series.keys.view().get_bytes(at) == Some(bytes);
        let ordinal = block * INDEX_BLOCK_COUNT_MAX + at;
        Ok((u32::try_from(ordinal).unwrap_or(u32::MAX), found))
    }

    /// A block, from memory or from the file.
    pub(crate) fn block(&self, source: &Source, block: usize) -> Result<Arc<Series>> {
        if let Some((_, series)) = self.kept.lock().iter().find(|(at, _)| *at == block) {
            return Ok(series.clone());
        }
        let series = Arc::new(self.load(source, block)?);
        let mut kept = self.kept.lock();
        if kept.len() == KEPT_BLOCK_COUNT {
            kept.remove(0);
        }
        kept.push((block, series.clone()));
        Ok(series)
    }

    /// A block from the file.
    pub(crate) fn load(&self, source: &Source, block: usize) -> Result<Series> {
        let index = self.index(source)?;
        let (Some(extent), Some(start)) = (index.blocks.extent(block), index.start_rows.get(block))
        else {
            return Err(Error::Internal(format!("series block {block} of a segment")));
        };
        let bytes = source.read(extent, WHAT_BLOCK)?;
        let before = block * INDEX_BLOCK_COUNT_MAX;
        let count = (self.series_count as usize - before).min(INDEX_BLOCK_COUNT_MAX);
        let end = index.start_rows.get(block + 1).copied().unwrap_or(self.row_count);
        decode_block(&bytes, count, *start, end)
            .map_err(source.undecodable(extent.offset, WHAT_BLOCK))
    }

    fn index(&self, source: &Source) -> Result<&Index> {
        source.read_once(&self.index, self.index_at, WHAT_INDEX, |bytes| self.decode_index(bytes))
    }

    fn decode_index(&self, bytes: &[u8]) -> std::result::Result<Index, CodecError> {
        let count = self.block_count();
        if count as u64 > self.blocks.len {
            return Err(CodecError::Corrupt { what: "more series blocks than bytes of them" });
        }
        let mut reader = Reader::new(bytes);
        let (start, end) = (self.blocks.offset, self.blocks.end());
        let (blocks, last) =
            BlockIndex::decode(&mut reader, count, SERIES_KEY_LEN_BYTES_MAX, start, end)?;
        let start_rows = parts::get_counts(&mut reader, count)?;
        reader.finish()?;
        if last != end {
            return Err(CodecError::Corrupt { what: "series blocks end before their section" });
        }
        let ascends = start_rows.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        if !ascends || start_rows.last().is_some_and(|last| *last >= self.row_count) {
            return Err(CodecError::Corrupt { what: "series blocks begin beyond the rows" });
        }
        Ok(Index { blocks, start_rows })
    }
}

pub(crate) fn decode_block(
    bytes: &[u8],
    count: usize,
    start: u64,
    end: u64,
) -> std::result::Result<Series, CodecError> {
    let mut reader = Reader::new(bytes);
    let keys = parts::get_texts(&mut reader, count, SERIES_KEY_LEN_BYTES_MAX)?;
    let counts = parts::get_counts(&mut reader, count)?;
    let first = parts::get_ints(&mut reader, count)?;
    let last = parts::get_ints(&mut reader, count)?;
    reader.finish()?;
    let mut rows = vec![start];
    let mut row = start;
    for count in counts {
        // Who looks for times in a series' rows relies on there being some.
        if count == 0 {
            return Err(CodecError::Corrupt { what: "a series has no rows" });
        }
        row = row.saturating_add(count);
        rows.push(row);
    }
    if row != end {
        return Err(CodecError::Corrupt { what: "row counts of a series block do not add up" });
    }
    Ok(Series { keys, rows, first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(counts: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let keys = ["a\0", "b\0"].into_iter().collect();
        parts::put_texts(&mut bytes, &keys, Effort::Dense);
        for values in [counts, &[5, 6], &[7, 8]] {
            parts::put_ints(&mut bytes, values, Effort::Dense);
        }
        bytes
    }

    #[test]
    fn a_series_without_rows_is_refused() {
        assert!(decode_block(&block(&[1, 2]), 2, 0, 3).is_ok());
        for counts in [[0, 3], [3, 0]] {
            let refused = decode_block(&block(&counts), 2, 0, 3).err();
            assert_eq!(refused, Some(CodecError::Corrupt { what: "a series has no rows" }));
        }
    }

    #[test]
    fn blocks_begin_one_after_the_other_within_the_rows() {
        let index = |starts: &[i64]| {
            let mut blocks = BlockIndex::default();
            for (at, first) in ["a", "b"].into_iter().enumerate() {
                let extent = Extent { offset: 64 + 10 * at as u64, len: 10, crc: 0 };
                blocks.push(first, extent).unwrap();
            }
            let mut bytes = Vec::new();
            blocks.encode(&mut bytes, Effort::Dense);
            parts::put_ints(&mut bytes, starts, Effort::Dense);
            let all = Extent { offset: 64, len: 20, crc: 0 };
            Dictionary::new(all, all, 300, 1_000).decode_index(&bytes).map(|index| index.start_rows)
        };
        assert_eq!(index(&[0, 256]), Ok(vec![0, 256]));
        for starts in [[0, 0], [256, 0], [0, 1_000], [0, i64::MAX]] {
            assert!(index(&starts).is_err(), "{starts:?}");
        }
    }
}
