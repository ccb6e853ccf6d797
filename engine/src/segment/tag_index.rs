//! The tag index: for each tag but the leading one its sorted values with the ordinals of their series, in sealed blocks that
//! are read when asked for. The leading tag needs none: its values are ranges of the sorted dictionary.
//! Format: docs/decisions/0005-tag-index.md and docs/format/segment.md.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use chronolith_codec::varint::{self, Reader};
use chronolith_codec::{CodecError, Effort, TextBuf};
use roaring::RoaringBitmap;

use crate::error::{Error, Result};
use crate::limits::{INDEX_BLOCK_COUNT_MAX, POSTINGS_BLOCK_BYTES, TAG_VALUE_LEN_BYTES_MAX};
use crate::model::{SeriesKey, TagFilter};
use crate::planted::{Bug, is_on};

use super::dictionary::Dictionary;
use super::index::{BlockIndex, lower_bound};
use super::layout::Extent;
use super::output::Output;
use super::parts;
use super::source::Source;

const WHAT_BLOCK: &str = "tag block";
const WHAT_INDEX: &str = "tag index";
/// The least bytes of a roaring bitmap: cookie, run flags, key and count, run count, one run. A list as short need not be compared.
const ROARING_BYTES_MIN: usize = 15;

/// Collects one tag's values.
#[derive(Default)]
struct TagBuilder {
    codes: HashMap<Box<str>, u32>,
    /// For each ordinal the code of its value.
    series: Vec<u32>,
}

impl TagBuilder {
    fn push(&mut self, value: &str) {
        let code = self.codes.get(value).copied().unwrap_or_else(|| {
            let next = u32::try_from(self.codes.len()).unwrap_or(u32::MAX);
            self.codes.insert(value.into(), next);
            next
        });
        self.series.push(code);
    }

    /// The values, ascending, each with its ordinals, ascending.
    #[expect(clippy::indexing_slicing, reason = "codes index what was made for each of them")]
    fn postings(self) -> Vec<(Box<str>, Vec<u32>)> {
        let mut ordinals = vec![Vec::new(); self.codes.len()];
        for (ordinal, code) in (0..).zip(&self.series) {
            ordinals[*code as usize].push(ordinal);
        }
        let mut values: Vec<_> = self.codes.into_iter().collect();
        values.sort_unstable();
        let take =
            |(value, code): (Box<str>, u32)| (value, std::mem::take(&mut ordinals[code as usize]));
        values.into_iter().map(take).collect()
    }
}

/// Collects the tags of a segment's series.
pub(crate) struct TagIndexBuilder {
    /// From the second tag on.
    tags: Vec<TagBuilder>,
}

impl TagIndexBuilder {
    pub(crate) fn new(tag_count: usize) -> Self {
        let tags = (1..tag_count).map(|_| TagBuilder::default());
        Self { tags: tags.collect() }
    }

    /// Adds the next series.
    pub(crate) fn push(&mut self, key: &SeriesKey) {
        let text = std::str::from_utf8(key.as_bytes()).unwrap_or_default();
        let mut values = text.split('\0').skip(1);
        for tag in &mut self.tags {
            tag.push(values.next().unwrap_or_default());
        }
    }

    /// Writes the blocks. Their section, and the index section's bytes.
    pub(crate) fn finish(self, out: &mut Output) -> Result<(Range<u64>, Vec<u8>)> {
        let start = out.offset();
        let mut bytes = Vec::new();
        for tag in self.tags {
            let mut index = BlockIndex::default();
            let mut block = BlockBuilder::default();
            let count = tag.series.len();
            for (value, mut ordinals) in tag.postings() {
                let shifts = ordinals.last().is_some_and(|last| (*last as usize) + 1 < count);
                if shifts && is_on(Bug::PostingsOffByOne) {
                    ordinals.iter_mut().for_each(|ordinal| *ordinal += 1);
                }
                block.push(&value, &ordinals)?;
                if block.is_full() {
                    block.close(&mut index, out)?;
                }
            }
            block.close(&mut index, out)?;
            varint::put_u64(&mut bytes, index.len() as u64);
            index.encode(&mut bytes, Effort::Dense);
        }
        Ok((start..out.offset(), bytes))
    }
}

/// Values of one tag with their postings.
#[derive(Default)]
struct BlockBuilder {
    values: TextBuf,
    first: Vec<i64>,
    headers: Vec<i64>,
    postings: Vec<u8>,
}

impl BlockBuilder {
    /// Adds a value with its ordinals, which are ascending and at least one.
    #[expect(clippy::cast_possible_wrap, reason = "postings are far shorter than 2^62 bytes")]
    fn push(&mut self, value: &str, ordinals: &[u32]) -> Result<()> {
        self.values.push(value).map_err(|error| Error::Internal(error.to_string()))?;
        let start = self.postings.len();
        let is_roaring = encode_postings(ordinals, &mut self.postings)?;
        let len = (self.postings.len() - start) as i64;
        self.first.push(ordinals.first().copied().map_or(0, i64::from));
        self.headers.push(len << 1 | i64::from(is_roaring));
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.values.len() == INDEX_BLOCK_COUNT_MAX || self.postings.len() >= POSTINGS_BLOCK_BYTES
    }

    fn close(&mut self, index: &mut BlockIndex, out: &mut Output) -> Result<()> {
        let Some(first) = self.values.get(0) else { return Ok(()) };
        let mut block = Vec::new();
        varint::put_u64(&mut block, self.values.len() as u64);
        parts::put_texts(&mut block, &self.values, Effort::Dense);
        parts::put_ints(&mut block, &self.first, Effort::Dense);
        parts::put_ints(&mut block, &self.headers, Effort::Dense);
        block.extend_from_slice(&self.postings);
        let extent = out.append_sealed(&block)?;
        index.push(first, extent).map_err(|error| Error::Internal(error.to_string()))?;
        *self = Self::default();
        Ok(())
    }
}

/// Appends the ordinals but the first as whichever is smaller: a list of LEB128 differences, or a roaring bitmap of all of them.
/// Returns whether it is a bitmap.
fn encode_postings(ordinals: &[u32], out: &mut Vec<u8>) -> Result<bool> {
    let mut list = Vec::new();
    for (before, ordinal) in ordinals.iter().zip(ordinals.iter().skip(1)) {
        varint::put_u64(&mut list, u64::from(ordinal - before));
    }
    if list.len() > ROARING_BYTES_MIN {
        let mut roaring = RoaringBitmap::from_sorted_iter(ordinals.iter().copied())
            .map_err(|error| Error::Internal(error.to_string()))?;
        roaring.optimize();
        if roaring.serialized_size() < list.len() {
            let written = roaring.serialize_into(&mut *out);
            return written.map(|()| true).map_err(|error| Error::Internal(error.to_string()));
        }
    }
    out.extend_from_slice(&list);
    Ok(false)
}

/// A decoded block of one tag's values.
struct TagBlock<'a> {
    values: TextBuf,
    /// For each value its first ordinal, whether its postings are a bitmap, and the postings.
    postings: Vec<(u64, bool, &'a [u8])>,
}

impl<'a> TagBlock<'a> {
    fn decode(bytes: &'a [u8]) -> std::result::Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let count = reader.u64()?;
        let count = usize::try_from(count).ok().filter(|count| *count <= INDEX_BLOCK_COUNT_MAX);
        let count = count.ok_or(CodecError::Corrupt { what: "a tag block has too many values" })?;
        let values = parts::get_texts(&mut reader, count, TAG_VALUE_LEN_BYTES_MAX)?;
        let first = parts::get_counts(&mut reader, count)?;
        let headers = parts::get_counts(&mut reader, count)?;
        let mut postings = Vec::with_capacity(count);
        for (first, header) in first.into_iter().zip(headers) {
            let len = usize::try_from(header >> 1).map_err(|_| CodecError::Truncated)?;
            postings.push((first, header & 1 == 1, reader.bytes(len)?));
        }
        reader.finish()?;
        Ok(Self { values, postings })
    }

    /// Adds the ordinals of the value at `index`, all below `series_count`, to `out`.
    fn add(
        &self,
        index: usize,
        series_count: u32,
        out: &mut RoaringBitmap,
    ) -> std::result::Result<(), CodecError> {
        let corrupt = |what| CodecError::Corrupt { what };
        let Some((first, is_roaring, bytes)) = self.postings.get(index) else { return Ok(()) };
        let ordinals = if *is_roaring {
            RoaringBitmap::deserialize_from(*bytes)
                .map_err(|_| corrupt("postings are no bitmap"))?
        } else {
            let mut list = Reader::new(bytes);
            let mut ordinals = RoaringBitmap::new();
            let mut ordinal = *first;
            loop {
                let known = u32::try_from(ordinal);
                ordinals.insert(known.map_err(|_| corrupt("an ordinal passes 32 bits"))?);
                if list.remaining() == 0 {
                    break ordinals;
                }
                ordinal = ordinal.saturating_add(list.u64()?);
            }
        };
        if ordinals.max().is_some_and(|last| last >= series_count) {
            return Err(corrupt("an ordinal passes the series count"));
        }
        *out |= ordinals;
        Ok(())
    }
}

/// Reads a block, and the postings of each value in it.
#[cfg(feature = "fuzz")]
pub(super) fn read_block(bytes: &[u8], series_count: u32) -> std::result::Result<(), CodecError> {
    let block = TagBlock::decode(bytes)?;
    for index in 0..block.values.len() {
        block.add(index, series_count, &mut RoaringBitmap::new())?;
    }
    Ok(())
}

/// The tag index of an open segment.
pub(crate) struct TagIndex {
    blocks: Extent,
    index_at: Extent,
    tag_count: usize,
    series_count: u32,
    /// From the second tag on, once read.
    index: OnceLock<Vec<BlockIndex>>,
}

impl TagIndex {
    /// Of `tag_count` tags over `series_count` series, with its two sections. Reads nothing.
    pub(crate) fn new(
        blocks: Extent,
        index_at: Extent,
        tag_count: usize,
        series_count: u32,
    ) -> Self {
        Self { blocks, index_at, tag_count, series_count, index: OnceLock::new() }
    }

    /// The ordinals of the series that satisfy every filter.
    pub(crate) fn select(
        &self,
        source: &Source,
        dictionary: &Dictionary,
        filters: &[(usize, TagFilter)],
    ) -> Result<RoaringBitmap> {
        let mut selected = RoaringBitmap::new();
        selected.insert_range(0..self.series_count);
        for (position, filter) in filters {
            let (TagFilter::In(values) | TagFilter::NotIn(values)) = filter;
            if *position >= self.tag_count {
                if !filter.accepts("") {
                    selected.clear();
                }
                continue;
            }
            let mut named = RoaringBitmap::new();
            for value in values {
                match position.checked_sub(1) {
                    None => leading(source, dictionary, value, &mut named)?,
                    Some(tag) => self.of_value(source, tag, value, &mut named)?,
                }
            }
            match filter {
                TagFilter::In(_) => selected &= named,
                TagFilter::NotIn(_) => selected -= named,
            }
        }
        Ok(selected)
    }

    /// Adds the ordinals whose tag (counted from the second) has this value.
    fn of_value(
        &self,
        source: &Source,
        tag: usize,
        value: &str,
        out: &mut RoaringBitmap,
    ) -> Result<()> {
        let Some(index) = self.index(source)?.get(tag) else { return Ok(()) };
        let Some(extent) = index.locate(value.as_bytes()).and_then(|block| index.extent(block))
        else {
            return Ok(());
        };
        let bytes = source.read(extent, WHAT_BLOCK)?;
        self.find(&bytes, value, out).map_err(source.undecodable(extent.offset, WHAT_BLOCK))
    }

    fn find(
        &self,
        block: &[u8],
        value: &str,
        out: &mut RoaringBitmap,
    ) -> std::result::Result<(), CodecError> {
        let block = TagBlock::decode(block)?;
        let at = lower_bound(&block.values, value.as_bytes());
        if block.values.get(at) != Some(value) {
            return Ok(());
        }
        block.add(at, self.series_count, out)
    }

    fn index(&self, source: &Source) -> Result<&[BlockIndex]> {
        let index = source
            .read_once(&self.index, self.index_at, WHAT_INDEX, |bytes| self.decode_index(bytes))?;
        Ok(index)
    }

    fn decode_index(&self, bytes: &[u8]) -> std::result::Result<Vec<BlockIndex>, CodecError> {
        let mut reader = Reader::new(bytes);
        let mut tags = Vec::new();
        let (mut start, end) = (self.blocks.offset, self.blocks.end());
        for _ in 1..self.tag_count {
            let count = reader.u64()?;
            let count = usize::try_from(count)
                .ok()
                .filter(|count| *count as u64 <= self.blocks.len)
                .ok_or(CodecError::Corrupt { what: "more tag blocks than bytes of them" })?;
            let (index, next) =
                BlockIndex::decode(&mut reader, count, TAG_VALUE_LEN_BYTES_MAX, start, end)?;
            tags.push(index);
            start = next;
        }
        reader.finish()?;
        if start != end {
            return Err(CodecError::Corrupt { what: "tag blocks end before their section" });
        }
        Ok(tags)
    }

    /// Calls `report` with every value of every tag from the second on, and its ordinals; the first damage ends it.
    pub(crate) fn for_each(
        &self,
        source: &Source,
        report: &mut dyn FnMut(usize, &str, RoaringBitmap),
    ) -> Result<()> {
        for (tag, index) in self.index(source)?.iter().enumerate() {
            for extent in (0..index.len()).filter_map(|block| index.extent(block)) {
                let bytes = source.read(extent, WHAT_BLOCK)?;
                let mut each = |value: &str, ordinals| report(tag + 1, value, ordinals);
                self.values_of(&bytes, &mut each)
                    .map_err(source.undecodable(extent.offset, WHAT_BLOCK))?;
            }
        }
        Ok(())
    }

    fn values_of(
        &self,
        block: &[u8],
        report: &mut dyn FnMut(&str, RoaringBitmap),
    ) -> std::result::Result<(), CodecError> {
        let block = TagBlock::decode(block)?;
        for index in 0..block.values.len() {
            let mut ordinals = RoaringBitmap::new();
            block.add(index, self.series_count, &mut ordinals)?;
            report(block.values.get(index).unwrap_or_default(), ordinals);
        }
        Ok(())
    }
}

/// Adds the ordinals whose leading tag has this value: keys that begin with the value and a zero byte, and for the empty value
/// also the empty key. They are those from `value 00` (for the empty value from the beginning) to before `value 01`.
fn leading(
    source: &Source,
    dictionary: &Dictionary,
    value: &str,
    out: &mut RoaringBitmap,
) -> Result<()> {
    let mut bound = value.as_bytes().to_vec();
    let from = if value.is_empty() {
        0
    } else {
        bound.push(0);
        dictionary.lower_bound(source, &bound)?.0
    };
    bound.truncate(value.len());
    bound.push(1);
    out.insert_range(from..dictionary.lower_bound(source, &bound)?.0);
    Ok(())
}
