//! The last-row strip: the last row of each series, in sealed blocks of 256 series, so that one read answers for many series.
//! Present only where series average at least 64 rows. Format: docs/format/segment.md.

use std::ops::Range;
use std::sync::OnceLock;

use chronolith_codec::varint::{self, Reader};
use chronolith_codec::{CodecError, Effort};

use crate::error::Result;
use crate::limits::{INDEX_BLOCK_COUNT_MAX, TEXT_LEN_BYTES_MAX};
use crate::model::{Column, ColumnData, ColumnId, FieldType, RowChunk, Sequence};

use super::layout::Extent;
use super::output::Output;
use super::page::{self, BlockEncoder};
use super::parts;
use super::source::Source;

const WHAT_BLOCK: &str = "last-row block";
const WHAT_INDEX: &str = "last-row index";

/// Collects the last rows of a segment's series.
pub(crate) struct LastRowsBuilder {
    rows: RowChunk,
    types: Vec<FieldType>,
    blocks: Vec<Vec<u8>>,
}

impl LastRowsBuilder {
    pub(crate) fn new(types: &[FieldType]) -> Self {
        Self { rows: RowChunk::empty(types), types: types.to_vec(), blocks: Vec::new() }
    }

    /// Adds the last row of the next series, which is the only one of `row`.
    pub(crate) fn push(&mut self, row: &RowChunk) {
        self.rows.push_slice(row, 0..row.row_count());
        if self.rows.row_count() == INDEX_BLOCK_COUNT_MAX {
            self.close_block();
        }
    }

    #[expect(clippy::cast_possible_wrap, reason = "counters are stored as their bit patterns")]
    fn close_block(&mut self) {
        let rows = std::mem::replace(&mut self.rows, RowChunk::empty(&self.types));
        let mut block = Vec::new();
        parts::put_ints(&mut block, &rows.time, Effort::Dense);
        let incarnations: Vec<i64> =
            rows.sequence.iter().map(|sequence| i64::from(sequence.incarnation)).collect();
        let counters: Vec<i64> =
            rows.sequence.iter().map(|sequence| sequence.counter as i64).collect();
        parts::put_ints(&mut block, &incarnations, Effort::Dense);
        parts::put_ints(&mut block, &counters, Effort::Dense);
        for column in &rows.fields {
            let mut body = Vec::new();
            let text_bytes = BlockEncoder::new(column, Effort::Dense).encode(0, &mut body);
            varint::put_u64(&mut block, text_bytes as u64);
            varint::put_bytes(&mut block, &body);
        }
        self.blocks.push(block);
    }

    /// Writes the blocks. Their section, and the index section's bytes.
    #[expect(clippy::cast_possible_wrap, reason = "a block's length is far below 2^63")]
    pub(crate) fn finish(mut self, out: &mut Output) -> Result<(Range<u64>, Vec<u8>)> {
        if self.rows.row_count() > 0 {
            self.close_block();
        }
        let start = out.offset();
        let extents: Vec<Extent> =
            self.blocks.iter().map(|block| out.append_sealed(block)).collect::<Result<_>>()?;
        let mut bytes = Vec::new();
        let lengths: Vec<i64> = extents.iter().map(|extent| extent.len as i64).collect();
        parts::put_ints(&mut bytes, &lengths, Effort::Dense);
        extents.iter().for_each(|extent| bytes.extend_from_slice(&extent.crc.to_le_bytes()));
        Ok((start..out.offset(), bytes))
    }
}

/// The strip of an open segment.
pub(crate) struct LastRows {
    blocks: Extent,
    index_at: Extent,
    series_count: usize,
    index: OnceLock<Vec<Extent>>,
}

impl LastRows {
    /// Over `series_count` series, with its two sections. Reads nothing.
    pub(crate) fn new(blocks: Extent, index_at: Extent, series_count: u32) -> Self {
        Self { blocks, index_at, series_count: series_count as usize, index: OnceLock::new() }
    }

    /// How many blocks there are.
    pub(crate) fn block_count(&self) -> usize {
        self.series_count.div_ceil(INDEX_BLOCK_COUNT_MAX)
    }

    /// The last rows of the series from `block * 256` on, at most 256, one row a series, with all fields of the segment.
    pub(crate) fn block(
        &self,
        source: &Source,
        block: usize,
        columns: &[(ColumnId, FieldType)],
    ) -> Result<RowChunk> {
        let Some(extent) = self.index(source)?.get(block).copied() else {
            let detail = format!("last rows {block} of a segment");
            return Err(crate::error::Error::Internal(detail));
        };
        let bytes = source.read(extent, WHAT_BLOCK)?;
        let before = block * INDEX_BLOCK_COUNT_MAX;
        let count = (self.series_count - before).min(INDEX_BLOCK_COUNT_MAX);
        decode_block(&bytes, count, columns).map_err(source.undecodable(extent.offset, WHAT_BLOCK))
    }

    fn index(&self, source: &Source) -> Result<&[Extent]> {
        let index = source
            .read_once(&self.index, self.index_at, WHAT_INDEX, |bytes| self.decode_index(bytes))?;
        Ok(index)
    }

    fn decode_index(&self, bytes: &[u8]) -> std::result::Result<Vec<Extent>, CodecError> {
        if self.block_count() as u64 > self.blocks.len {
            return Err(CodecError::Corrupt { what: "more last-row blocks than bytes of them" });
        }
        let mut reader = Reader::new(bytes);
        let mut extents = Vec::new();
        let mut offset = self.blocks.offset;
        for len in parts::get_counts(&mut reader, self.block_count())? {
            let extent = Extent { offset, len, crc: reader.u32_le()? };
            offset = extent.end();
            extents.push(extent);
        }
        reader.finish()?;
        if offset != self.blocks.end() {
            return Err(CodecError::Corrupt { what: "last-row blocks do not fill their section" });
        }
        Ok(extents)
    }
}

pub(crate) fn decode_block(
    bytes: &[u8],
    count: usize,
    columns: &[(ColumnId, FieldType)],
) -> std::result::Result<RowChunk, CodecError> {
    let mut reader = Reader::new(bytes);
    let time = parts::get_ints(&mut reader, count)?;
    let incarnations = parts::get_ints(&mut reader, count)?;
    let counters = parts::get_ints(&mut reader, count)?;
    let mut fields = Vec::new();
    for (_, field_type) in columns {
        let text_bytes = reader.u64()?;
        let bound = usize::try_from(text_bytes).ok();
        let bound = bound.filter(|bytes| *bytes <= count * TEXT_LEN_BYTES_MAX);
        let bound = bound.ok_or(CodecError::Corrupt { what: "last rows hold too much text" })?;
        let mut column = Column::empty(*field_type);
        page::decode(reader.prefixed_bytes()?, count, bound, &mut column)?;
        fields.push(column);
    }
    reader.finish()?;
    let sequence = sequences(&incarnations, counters)?;
    Ok(RowChunk { time, sequence, fields })
}

/// Sequences from their two columns.
pub(crate) fn sequences(
    incarnations: &[i64],
    counters: impl IntoIterator<Item = i64>,
) -> std::result::Result<Vec<Sequence>, CodecError> {
    let incarnation = |value: &i64| {
        u32::try_from(*value)
            .map_err(|_| CodecError::Corrupt { what: "an incarnation passes 32 bits" })
    };
    let pair = |(value, counter): (&i64, i64)| {
        Ok(Sequence { incarnation: incarnation(value)?, counter: counter as u64 })
    };
    incarnations.iter().zip(counters).map(pair).collect()
}

/// Empties a chunk and keeps its memory.
pub(crate) fn clear(chunk: &mut RowChunk) {
    chunk.time.clear();
    chunk.sequence.clear();
    for field in &mut chunk.fields {
        field.validity = None;
        match &mut field.data {
            ColumnData::F64(values) => values.clear(),
            ColumnData::I64(values) => values.clear(),
            ColumnData::U64(values) => values.clear(),
            ColumnData::Bool(bits) => *bits = chronolith_codec::Bitmap::new(),
            ColumnData::Utf8(texts) => texts.truncate(0),
        }
    }
}
