//! Lists of integers and texts inside index blocks and sections: pieces of at most 4,096 values, each a page of the codec.

use chronolith_codec::varint::{self, Reader};
use chronolith_codec::{
    CodecError, Effort, TextBuf, decode_i64, decode_text, encode_i64, encode_text, plan_i64,
    plan_text,
};

use crate::limits::PAGE_ROWS;

/// Appends `values`; their count is known from elsewhere.
pub(crate) fn put_ints(out: &mut Vec<u8>, values: &[i64], effort: Effort) {
    for piece in values.chunks(PAGE_ROWS) {
        let mut page = Vec::new();
        encode_i64(piece, &plan_i64(piece, effort), &mut page);
        varint::put_bytes(out, &page);
    }
}

/// The `count` integers that [`put_ints`] wrote. Allocates for what the bytes hold.
pub(crate) fn get_ints(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, CodecError> {
    let mut values = Vec::new();
    while values.len() < count {
        let piece = (count - values.len()).min(PAGE_ROWS);
        decode_i64(reader.prefixed_bytes()?, piece, &mut values)?;
    }
    Ok(values)
}

/// As [`get_ints`], for numbers that are never negative.
pub(crate) fn get_counts(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u64>, CodecError> {
    let negative = |_| CodecError::Corrupt { what: "a count is negative" };
    get_ints(reader, count)?
        .into_iter()
        .map(|value| u64::try_from(value).map_err(negative))
        .collect()
}

/// Appends `texts`; their count is known from elsewhere.
pub(crate) fn put_texts(out: &mut Vec<u8>, texts: &TextBuf, effort: Effort) {
    for start in (0..texts.len()).step_by(PAGE_ROWS) {
        let piece = texts.view().slice(start, PAGE_ROWS);
        let mut page = Vec::new();
        encode_text(piece, &plan_text(piece, effort), &mut page);
        varint::put_u64(out, piece.iter_bytes().map(<[u8]>::len).sum::<usize>() as u64);
        varint::put_bytes(out, &page);
    }
}

/// The `count` texts that [`put_texts`] wrote, each of at most `text_bytes_max` bytes.
pub(crate) fn get_texts(
    reader: &mut Reader<'_>,
    count: usize,
    text_bytes_max: usize,
) -> Result<TextBuf, CodecError> {
    let mut texts = TextBuf::new();
    while texts.len() < count {
        let piece = (count - texts.len()).min(PAGE_ROWS);
        let bytes = reader.u64()?;
        let max = piece.saturating_mul(text_bytes_max);
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= max).ok_or(
            CodecError::TooLarge {
                what: "bytes of a list of texts",
                value: bytes,
                max: max as u64,
            },
        )?;
        decode_text(reader.prefixed_bytes()?, piece, bytes, &mut texts)?;
    }
    Ok(texts)
}
