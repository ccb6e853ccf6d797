//! Blocks of text: the plan, and pages.

use crate::choose::{bytes_of, zstd_level};
use crate::dict::TextDictionary;
use crate::encoding::{Bounds, Encoding, id, put_page};
use crate::error::CodecError;
use crate::front::{TextFront, TextPlain};
use crate::int::page_bytes_max;
use crate::textbuf::{TextBuf, TextView};
use crate::varint::Reader;
use crate::{Effort, PAGE_VALUES_MAX, ZSTD_SAVING_DIVISOR, compress};

/// How the texts of a block are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextEncoding {
    /// Lengths, then bytes.
    Plain,
    /// Codes into the page's distinct texts.
    Dictionary,
    /// What each text does not share with the one before.
    Front,
}

/// The choice for one block of texts, made once from its values and applied to each page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextPlan {
    /// The encoding of each page.
    pub encoding: TextEncoding,
    /// The Zstd level tried over each page, kept where it saves at least a twentieth; 0 is none.
    pub zstd_level: i32,
}

impl TextPlan {
    /// A plan of one encoding, without Zstd.
    #[must_use]
    pub const fn of(encoding: TextEncoding) -> Self {
        Self { encoding, zstd_level: 0 }
    }
}

/// Chooses how to encode a block of texts: the smallest sum over three spread pages wins. Zstd is
/// used where it saves a fifth of the page in either effort: text is where it pays.
#[must_use]
pub fn plan_text(texts: TextView<'_>, effort: Effort) -> TextPlan {
    let pages = texts.len().div_ceil(PAGE_VALUES_MAX);
    let mut at: Vec<usize> = vec![0, pages / 2, pages.saturating_sub(1)];
    at.dedup();
    let samples = at.into_iter().map(|page| texts.slice(page * PAGE_VALUES_MAX, PAGE_VALUES_MAX));
    let samples: Vec<TextView<'_>> = samples.collect();
    let mut best = (usize::MAX, TextPlan::of(TextEncoding::Plain));
    for encoding in [TextEncoding::Dictionary, TextEncoding::Front, TextEncoding::Plain] {
        for zstd_level in [0, zstd_level(effort)] {
            let plan = TextPlan { encoding, zstd_level };
            let mut page = Vec::new();
            let bytes = samples
                .iter()
                .map(|sample| bytes_of(&mut page, |page| encode_text(*sample, &plan, page)))
                .sum::<usize>();
            let cost = if zstd_level == 0 { bytes * 4 } else { bytes * 5 };
            if cost < best.0 {
                best = (cost, plan);
            }
        }
    }
    best.1
}

/// Appends `texts` (0 to 65,536) as one page. Always succeeds.
pub fn encode_text(texts: TextView<'_>, plan: &TextPlan, out: &mut Vec<u8>) {
    let start = out.len();
    match plan.encoding {
        TextEncoding::Plain => put_page(&TextPlain, &texts, out),
        TextEncoding::Dictionary => put_page(&TextDictionary, &texts, out),
        TextEncoding::Front => put_page(&TextFront, &texts, out),
    }
    let bytes: usize = texts.iter_bytes().map(<[u8]>::len).sum();
    if out.len() - start > wrapped_bytes_max(texts.len(), bytes) {
        out.truncate(start);
        put_page(&TextPlain, &texts, out);
    }
    if plan.zstd_level != 0 {
        compress::wrap(out, start, plan.zstd_level, ZSTD_SAVING_DIVISOR);
    }
}

/// The longest text page before Zstd.
const fn wrapped_bytes_max(count: usize, bytes: usize) -> usize {
    page_bytes_max(count) + 64 + bytes
}

/// Appends exactly `count` texts (at most 65,536) of together at most `max_bytes` bytes from a
/// page; on an error `out` is unchanged.
///
/// # Errors
/// As [`crate::decode_i64`]; `Corrupt` also for bytes that are not UTF-8, `TooLarge` also for more
/// than `max_bytes` and for an `out` that would pass `u32::MAX` bytes.
pub fn decode_text(
    bytes: &[u8],
    count: usize,
    max_bytes: usize,
    out: &mut TextBuf,
) -> Result<(), CodecError> {
    let bounds = Bounds { bytes_max: max_bytes, ..Bounds::values(count)? };
    let start = out.len();
    let result = decode_page(bytes, bounds, out).and_then(|()| out.validate_from(start));
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn decode_page(bytes: &[u8], bounds: Bounds, out: &mut TextBuf) -> Result<(), CodecError> {
    let mut body = Reader::new(bytes);
    if body.u8()? == id::ZSTD {
        let bytes_max = wrapped_bytes_max(bounds.count, bounds.bytes_max);
        let page = compress::unwrap(body, bytes_max)?;
        return decode_unwrapped(&page, bounds, out);
    }
    decode_unwrapped(bytes, bounds, out)
}

fn decode_unwrapped(bytes: &[u8], bounds: Bounds, out: &mut TextBuf) -> Result<(), CodecError> {
    let mut body = Reader::new(bytes);
    match body.u8()? {
        id::TEXT_PLAIN => TextPlain::decode(body, bounds, out),
        id::TEXT_DICTIONARY => TextDictionary::decode(body, bounds, out),
        id::TEXT_FRONT => TextFront::decode(body, bounds, out),
        other => Err(CodecError::UnknownEncoding(other)),
    }
}
