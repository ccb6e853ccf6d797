//! Plain and front-coded texts. Front coding writes how many bytes a text shares with the one
//! before, and the rest. (Witten, Moffat and Bell, Managing Gigabytes, 2nd edition, section 4.1.)
//! Lengths are integer pages apart from the bytes.

use crate::encoding::{Bounds, Encoding, id};
use crate::error::{CodecError, check_max, corrupt};
use crate::int;
use crate::textbuf::{TextBuf, TextView};
use crate::varint::{self, Reader};

/// Lengths, then bytes.
pub(crate) struct TextPlain;

/// Shared lengths, own lengths, own bytes.
pub(crate) struct TextFront;

impl Encoding<TextView<'_>, TextBuf> for TextPlain {
    const ID: u8 = id::TEXT_PLAIN;

    fn encode(&self, texts: &TextView<'_>, out: &mut Vec<u8>) {
        put_lengths(texts.iter_bytes().map(<[u8]>::len), out);
        texts.iter_bytes().for_each(|text| out.extend_from_slice(text));
    }

    fn decode(mut body: Reader<'_>, bounds: Bounds, out: &mut TextBuf) -> Result<(), CodecError> {
        let lengths = read_lengths(&mut body, bounds.count)?;
        check_max("text bytes of a page", body.remaining(), bounds.bytes_max)?;
        for length in lengths {
            out.push_bytes(body.bytes(length)?)?;
        }
        body.finish()
    }
}

impl Encoding<TextView<'_>, TextBuf> for TextFront {
    const ID: u8 = id::TEXT_FRONT;

    fn encode(&self, texts: &TextView<'_>, out: &mut Vec<u8>) {
        put_front(texts.iter_bytes(), out);
    }

    fn decode(mut body: Reader<'_>, bounds: Bounds, out: &mut TextBuf) -> Result<(), CodecError> {
        read_front(&mut body, bounds, out)?;
        body.finish()
    }
}

/// Writes front-coded texts, with the length of their bytes before these.
pub(crate) fn put_front<'a>(texts: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let (mut shared, mut own, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    let mut before: &[u8] = &[];
    for text in texts {
        let common = before.iter().zip(text).take_while(|(a, b)| a == b).count();
        shared.push(common);
        own.push(text.len() - common);
        bytes.extend_from_slice(text.get(common..).unwrap_or_default());
        before = text;
    }
    put_lengths(shared.into_iter(), out);
    put_lengths(own.into_iter(), out);
    varint::put_bytes(out, &bytes);
}

/// Reads what [`put_front`] wrote: `bounds.count` texts, of at most `bounds.bytes_max` bytes.
pub(crate) fn read_front(
    body: &mut Reader<'_>,
    bounds: Bounds,
    out: &mut TextBuf,
) -> Result<(), CodecError> {
    let shared = read_lengths(body, bounds.count)?;
    let own = read_lengths(body, bounds.count)?;
    let mut bytes = Reader::new(body.prefixed_bytes()?);
    let mut left = bounds.bytes_max;
    let mut before = 0..0;
    let mut text = Vec::new();
    for (shared, own) in shared.into_iter().zip(own) {
        if shared > before.len() {
            return Err(corrupt("a text shares more than the text before has"));
        }
        let len = shared.saturating_add(own);
        left = left.checked_sub(len).ok_or(CodecError::TooLarge {
            what: "text bytes of a page",
            value: (bounds.bytes_max as u64).saturating_add(1),
            max: bounds.bytes_max as u64,
        })?;
        let from = before.start..before.start + shared;
        text.clear();
        text.extend_from_slice(out.bytes.get(from).unwrap_or_default());
        text.extend_from_slice(bytes.bytes(own)?);
        before = out.bytes.len()..out.bytes.len() + len;
        out.push_bytes(&text)?;
    }
    bytes.finish()
}

/// Writes lengths as an integer page behind its own length.
fn put_lengths(lengths: impl Iterator<Item = usize>, out: &mut Vec<u8>) {
    let lengths: Vec<i64> = lengths.map(|len| i64::try_from(len).unwrap_or(i64::MAX)).collect();
    let mut page = Vec::new();
    int::encode_leaf(&lengths, 1, &mut page);
    varint::put_bytes(out, &page);
}

fn read_lengths(body: &mut Reader<'_>, count: usize) -> Result<Vec<usize>, CodecError> {
    let mut lengths = Vec::new();
    int::decode_leaf(body.prefixed_bytes()?, count, &mut lengths)?;
    let length = |len| usize::try_from(len).map_err(|_| corrupt("a text length is negative"));
    lengths.into_iter().map(length).collect()
}
