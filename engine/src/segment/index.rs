//! The index over sealed blocks of sorted texts: the first text of each block and where the block lies.
//! The series dictionary and the tag index are lists of such blocks.

use chronolith_codec::varint::Reader;
use chronolith_codec::{CodecError, Effort, TextBuf};

use super::layout::Extent;
use super::parts;

/// Consecutive sealed blocks.
#[derive(Debug, Default)]
pub(crate) struct BlockIndex {
    first: TextBuf,
    extents: Vec<Extent>,
}

impl BlockIndex {
    /// Adds a block after the others. Texts that together pass 4 GiB are refused.
    pub(crate) fn push(&mut self, first: &str, extent: Extent) -> Result<(), CodecError> {
        self.first.push(first)?;
        self.extents.push(extent);
        Ok(())
    }

    /// How many blocks there are.
    pub(crate) fn len(&self) -> usize {
        self.extents.len()
    }

    /// Where the block `index` lies.
    pub(crate) fn extent(&self, index: usize) -> Option<Extent> {
        self.extents.get(index).copied()
    }

    /// The last block that begins at or before `text`: the only one that can hold it.
    pub(crate) fn locate(&self, text: &[u8]) -> Option<usize> {
        upper_bound(&self.first, text).checked_sub(1)
    }

    /// Appends everything but the count: first texts, lengths, checksums.
    #[expect(clippy::cast_possible_wrap, reason = "a block's length is far below 2^63")]
    pub(crate) fn encode(&self, out: &mut Vec<u8>, effort: Effort) {
        parts::put_texts(out, &self.first, effort);
        let lengths: Vec<i64> = self.extents.iter().map(|extent| extent.len as i64).collect();
        parts::put_ints(out, &lengths, effort);
        for extent in &self.extents {
            out.extend_from_slice(&extent.crc.to_le_bytes());
        }
    }

    /// The index of `count` blocks that follow each other from `start` to at most `end`; its last byte's successor too.
    pub(crate) fn decode(
        reader: &mut Reader<'_>,
        count: usize,
        text_bytes_max: usize,
        start: u64,
        end: u64,
    ) -> Result<(Self, u64), CodecError> {
        let first = parts::get_texts(reader, count, text_bytes_max)?;
        let lengths = parts::get_counts(reader, count)?;
        let mut extents = Vec::with_capacity(lengths.len());
        let mut offset = start;
        for len in lengths {
            let extent = Extent { offset, len, crc: reader.u32_le()? };
            offset = extent.end();
            if offset > end {
                return Err(CodecError::Corrupt { what: "a block passes its section's end" });
            }
            extents.push(extent);
        }
        Ok((Self { first, extents }, offset))
    }
}

/// How many of the sorted `texts` are at or below `text`.
pub(crate) fn upper_bound(texts: &TextBuf, text: &[u8]) -> usize {
    partition(texts, |other| other <= text)
}

/// How many of the sorted `texts` are below `text`.
pub(crate) fn lower_bound(texts: &TextBuf, text: &[u8]) -> usize {
    partition(texts, |other| other < text)
}

/// Where `condition`, once false, stays so.
fn partition(texts: &TextBuf, condition: impl Fn(&[u8]) -> bool) -> usize {
    let view = texts.view();
    let (mut from, mut to) = (0, view.len());
    while from < to {
        let middle = usize::midpoint(from, to);
        if view.get_bytes(middle).is_some_and(&condition) { from = middle + 1 } else { to = middle }
    }
    from
}
