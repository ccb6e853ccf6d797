//! A dictionary per page: its distinct texts, sorted and front-coded, and a bit-packed code a
//! value. (Abadi, Madden and Ferreira, SIGMOD 2006, section 4.3.)

use std::collections::BTreeMap;

use crate::encoding::{Bounds, Encoding, id};
use crate::error::{CodecError, check_max, corrupt};
use crate::front::{put_front, read_front};
use crate::int;
use crate::num;
use crate::textbuf::{TextBuf, TextView};
use crate::varint::{self, Reader};

/// Codes into the page's sorted distinct texts.
pub(crate) struct TextDictionary;

impl Encoding<TextView<'_>, TextBuf> for TextDictionary {
    const ID: u8 = id::TEXT_DICTIONARY;

    fn encode(&self, texts: &TextView<'_>, out: &mut Vec<u8>) {
        let mut codes: BTreeMap<&[u8], i64> = texts.iter_bytes().map(|text| (text, 0)).collect();
        for (code, slot) in (0..).zip(codes.values_mut()) {
            *slot = code;
        }
        varint::put_u64(out, codes.len() as u64);
        put_front(codes.keys().copied(), out);
        let codes: Vec<i64> =
            texts.iter_bytes().filter_map(|text| codes.get(text).copied()).collect();
        int::encode_leaf(&codes, 1, out);
    }

    fn decode(mut body: Reader<'_>, bounds: Bounds, out: &mut TextBuf) -> Result<(), CodecError> {
        let distinct = num::to_usize(body.u64()?);
        check_max("distinct texts of a page", distinct, bounds.count)?;
        let mut dictionary = TextBuf::new();
        // Each distinct text occurs, so together they are no longer than the page.
        read_front(&mut body, Bounds { count: distinct, ..bounds }, &mut dictionary)?;
        let mut codes = Vec::new();
        int::decode_leaf(body.rest(), bounds.count, &mut codes)?;
        let entries = dictionary.view();
        let mut left = bounds.bytes_max;
        for code in codes {
            let text = usize::try_from(code)
                .ok()
                .and_then(|code| entries.get_bytes(code))
                .ok_or(corrupt("a text code lies outside its dictionary"))?;
            left = left.checked_sub(text.len()).ok_or(CodecError::TooLarge {
                what: "text bytes of a page",
                value: (bounds.bytes_max as u64).saturating_add(1),
                max: bounds.bytes_max as u64,
            })?;
            out.push_bytes(text)?;
        }
        Ok(())
    }
}
