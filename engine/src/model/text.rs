//! What columns do with buffers of text.

use std::ops::Range;

use chronolith_codec::TextBuf;

/// Adds `count` empty texts.
pub(super) fn push_empty(to: &mut TextBuf, count: usize) {
    let end = to.offsets.last().copied().unwrap_or_default();
    to.offsets.resize(to.offsets.len() + count, end);
}

/// Adds the texts of `from` in `rows`, which must lie within it. Buffers hold less than 4 GiB: whoever joins columns bounds their bytes.
pub(super) fn push_slice(to: &mut TextBuf, from: &TextBuf, rows: Range<usize>) {
    let Some(offsets) = from.offsets.get(rows.start..=rows.end) else { return };
    let [first, .., last] = offsets else { return };
    let bytes = from.bytes.get(*first as usize..*last as usize).unwrap_or_default();
    let end = to.offsets.last().copied().unwrap_or_default();
    to.bytes.extend_from_slice(bytes);
    to.offsets.extend(offsets.iter().skip(1).map(|offset| end + (offset - first)));
}

/// A buffer of these parts, if they are one: offsets from zero, never falling, to the end; every text UTF-8.
#[must_use]
pub fn text_from_parts(offsets: Vec<u32>, bytes: Vec<u8>) -> Option<TextBuf> {
    let texts = TextBuf { offsets, bytes };
    is_well_formed(&texts).then_some(texts)
}

/// Whether offsets go from zero, never falling, to the end, and every text is UTF-8.
#[must_use]
pub(super) fn is_well_formed(texts: &TextBuf) -> bool {
    let TextBuf { offsets, bytes } = texts;
    let Ok(whole) = std::str::from_utf8(bytes) else { return false };
    offsets.first() == Some(&0)
        && offsets.last().is_some_and(|end| *end as usize == bytes.len())
        && offsets.is_sorted()
        && offsets.iter().all(|offset| whole.is_char_boundary(*offset as usize))
}
