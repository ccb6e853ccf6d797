//! Bytes that no encoder wrote: an error or some values, never a panic, never more than asked for.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation)]

mod common;

use chronolith_codec::varint::{self, Reader};
use chronolith_codec::{
    Bitmap, CodecError, TextBuf, decode_f64, decode_i64, decode_text, decode_validity, encode_f64,
    encode_i64, encode_text, encode_validity,
};
use common::{
    Random, float_columns, float_plans, int_columns, int_plans, text_columns, text_plans,
};

/// Decodes as everything; an outcome is either an error that left `out` alone or `count` values.
fn decode_all(bytes: &[u8], count: usize) {
    let mut ints = vec![7; 3];
    let len = if decode_i64(bytes, count, &mut ints).is_ok() { 3 + count } else { 3 };
    assert_eq!(ints.len(), len);
    let mut floats = vec![7.0; 3];
    let len = if decode_f64(bytes, count, &mut floats).is_ok() { 3 + count } else { 3 };
    assert_eq!(floats.len(), len);
    let mut bits = Bitmap::filled(3, true);
    let len = if decode_validity(bytes, count, &mut bits).is_ok() { 3 + count } else { 3 };
    assert_eq!(bits.len(), len);
    let mut texts: TextBuf = ["a", "", "b"].into_iter().collect();
    let len = if decode_text(bytes, count, 10_000, &mut texts).is_ok() { 3 + count } else { 3 };
    assert_eq!(texts.len(), len);
    assert!(texts.bytes.len() <= 2 + 10_000);
    assert_eq!(*texts.offsets.last().unwrap() as usize, texts.bytes.len());
    assert!((0..texts.len()).all(|index| texts.get(index).is_some()), "utf-8");
}

/// A page of every encoding, of every shape of values.
fn pages(count: usize) -> Vec<Vec<u8>> {
    let mut pages = Vec::new();
    let mut push = |encode: &dyn Fn(&mut Vec<u8>)| {
        let mut page = Vec::new();
        encode(&mut page);
        pages.push(page);
    };
    for plan in int_plans().into_iter().step_by(2) {
        int_columns(count).iter().for_each(|(_, v)| push(&|page| encode_i64(v, &plan, page)));
    }
    for plan in float_plans() {
        let columns = float_columns(count);
        columns.iter().step_by(2).for_each(|(_, v)| push(&|page| encode_f64(v, &plan, page)));
    }
    for plan in text_plans() {
        text_columns(count).iter().for_each(|(_, v)| push(&|p| encode_text(v.view(), &plan, p)));
    }
    push(&|page| encode_validity(&Bitmap::from_fn(count, |i| i % 3 == 0), page));
    push(&|page| encode_validity(&Bitmap::from_fn(count, |i| i > count / 2), page));
    pages.sort();
    pages.dedup();
    pages
}

#[test]
fn every_truncation_of_every_encoding() {
    for page in pages(70) {
        for len in 0..page.len() {
            decode_all(&page[..len], 70);
        }
    }
}

#[test]
fn every_truncation_is_an_error_for_its_own_type() {
    let count = 1100;
    for (what, values) in int_columns(count) {
        for plan in int_plans() {
            let mut page = Vec::new();
            encode_i64(&values, &plan, &mut page);
            let step = 1 + page.len() / 200;
            for len in (0..page.len()).step_by(step).chain([page.len() - 1]) {
                let result = decode_i64(&page[..len], count, &mut Vec::new());
                assert!(result.is_err(), "{what} {plan:?} decodes from {len} of {}", page.len());
            }
            page.push(0);
            assert!(decode_i64(&page, count, &mut Vec::new()).is_err(), "{what} {plan:?} + 1 byte");
        }
    }
}

#[test]
fn every_bit_flip_of_small_pages() {
    for mut page in pages(40) {
        for bit in 0..page.len() * 8 {
            page[bit / 8] ^= 1 << (bit % 8);
            decode_all(&page, 40);
            page[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn some_bit_flips_and_wrong_counts_of_large_pages() {
    let mut random = Random(1);
    for mut page in pages(1500) {
        for count in [0, 1, 1499, 1501, 4096, 65_536] {
            decode_all(&page, count);
        }
        for _ in 0..12 {
            let bit = random.below(page.len() as u64 * 8) as usize;
            page[bit / 8] ^= 1 << (bit % 8);
            decode_all(&page, 1500);
        }
    }
}

#[test]
fn random_bytes_behind_every_id() {
    let mut random = Random(2);
    for id in 0..=255u8 {
        for _ in 0..150 {
            let len = random.below(40) as usize;
            let mut bytes = vec![id];
            // Small bytes make plausible headers.
            let small = random.below(2) == 0;
            let byte = |r: &mut Random| if small { r.below(9) as u8 } else { r.next() as u8 };
            bytes.extend((0..len).map(|_| byte(&mut random)));
            decode_all(&bytes, random.below(2000) as usize);
        }
    }
}

#[test]
fn lengths_are_refused_before_anything_is_allocated() {
    let mut bomb = vec![0x7f];
    varint::put_u64(&mut bomb, u64::MAX);
    let refused = decode_i64(&bomb, 10, &mut Vec::new());
    assert!(matches!(refused, Err(CodecError::TooLarge { .. })), "{refused:?}");
    let refused = decode_text(&bomb, 10, 1000, &mut TextBuf::new());
    assert!(matches!(refused, Err(CodecError::TooLarge { .. })), "{refused:?}");
    let refused = decode_i64(&[0x02, 0], usize::MAX, &mut Vec::new());
    assert!(matches!(refused, Err(CodecError::TooLarge { .. })), "{refused:?}");
    let refused = decode_validity(&[0x21], 65_537, &mut Bitmap::new());
    assert!(matches!(refused, Err(CodecError::TooLarge { .. })), "{refused:?}");
    for id in [0x03, 0x31, 0x11] {
        let mut page = vec![id];
        if id == 0x11 {
            page.extend([2, 0]);
        }
        varint::put_u64(&mut page, u64::MAX / 2);
        decode_all(&page, 65_536);
    }
}

#[test]
fn more_runs_than_values_are_refused() {
    // Run length: 60,000 runs of a constant value, lengths of a constant 1, for three values.
    let mut page = vec![0x03];
    varint::put_u64(&mut page, 60_000);
    varint::put_bytes(&mut page, &[0x02, 0]);
    page.extend([0x02, 2]);
    let refused = decode_i64(&page, 3, &mut Vec::new());
    assert!(matches!(refused, Err(CodecError::TooLarge { value: 60_000, max: 3, .. })));
}

#[test]
fn padding_bits_must_be_zero() {
    // Frame of reference: divisor 1, base 0, one vector with least 0 and two values of 3 bits.
    let page = |packed| [0x04, 1, 0, 0, 3, packed];
    let mut out = Vec::new();
    assert_eq!(decode_i64(&page(0b00_101_011), 2, &mut out), Ok(()));
    assert_eq!(out, [3, 5]);
    assert!(decode_i64(&page(0b01_101_011), 2, &mut out).is_err());
    assert!(decode_validity(&[0x22, 0b0101], 3, &mut Bitmap::new()).is_ok());
    assert!(decode_validity(&[0x22, 0b1101], 3, &mut Bitmap::new()).is_err());
}

#[test]
fn a_text_shares_no_more_than_there_is() {
    // Front coding: shared lengths, own lengths, bytes; the first text shares nothing.
    let page = |shared: u8| {
        let mut page = vec![0x32];
        for lengths in [[0x02, shared * 2], [0x02, 2]] {
            varint::put_bytes(&mut page, &lengths);
        }
        varint::put_bytes(&mut page, b"x");
        page
    };
    let mut out: TextBuf = ["before"].into_iter().collect();
    assert_eq!(decode_text(&page(0), 1, 10, &mut out), Ok(()));
    assert_eq!(out.get(1), Some("x"));
    assert!(decode_text(&page(1), 1, 10, &mut out).is_err());
}

#[test]
fn errors_are_told_apart() {
    let error = |bytes: &[u8]| decode_i64(bytes, 3, &mut Vec::new()).unwrap_err();
    assert_eq!(error(&[]), CodecError::Truncated);
    assert_eq!(error(&[0x02]), CodecError::Truncated);
    assert_eq!(error(&[0x00]), CodecError::UnknownEncoding(0));
    assert_eq!(error(&[0x30]), CodecError::UnknownEncoding(0x30));
    assert!(matches!(error(&[0x02, 1, 1]), CodecError::Corrupt { .. }));
    assert_eq!(error(&[0x00]).to_string(), "unknown encoding id 0x00");
}

#[test]
fn text_decoders_refuse_what_is_not_utf8() {
    let good: TextBuf = ["añb", "añc"].into_iter().collect();
    for plan in text_plans() {
        let mut page = Vec::new();
        encode_text(good.view(), &plan, &mut page);
        let at = page.iter().position(|byte| *byte == 0xc3).expect("not compressed");
        page[at] = 0xff;
        assert!(decode_text(&page, 2, 100, &mut TextBuf::new()).is_err(), "{plan:?}");
        // The same bytes cut inside the character are UTF-8 as a whole, yet no texts.
        let mut split = good.clone();
        split.offsets = vec![0, 2, 8];
        let mut page = Vec::new();
        encode_text(split.view(), &plan, &mut page);
        assert!(decode_text(&page, 2, 100, &mut TextBuf::new()).is_err(), "{plan:?}");
    }
}

#[test]
fn varints_have_one_form() {
    for value in [0, 1, 127, 128, 16_383, 16_384, u64::MAX - 1, u64::MAX, 1 << 63] {
        let mut bytes = Vec::new();
        varint::put_u64(&mut bytes, value);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u64(), Ok(value));
        assert_eq!(reader.finish(), Ok(()));
        for len in 0..bytes.len() {
            assert_eq!(Reader::new(&bytes[..len]).u64(), Err(CodecError::Truncated));
        }
    }
    let longest: Vec<u8> = [0xff; 9].into_iter().chain([1]).collect();
    assert_eq!(Reader::new(&longest).u64(), Ok(u64::MAX));
    for bad in
        [&[0x80, 0x00][..], &[0xff; 10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
    {
        let mut reader = Reader::new(bad);
        assert!(matches!(reader.u64(), Err(CodecError::Corrupt { .. })), "{bad:?}");
        assert_eq!(reader.remaining(), bad.len(), "a failed read does not move");
    }
    for value in [0, -1, 1, i64::MIN, i64::MAX] {
        let mut bytes = Vec::new();
        varint::put_i64(&mut bytes, value);
        assert_eq!(Reader::new(&bytes).i64(), Ok(value));
    }
    let mut bytes = vec![];
    varint::put_i64(&mut bytes, -64);
    assert_eq!(bytes, [0x7f]);
}

#[test]
fn fixed_width_reads_are_little_endian_and_checked() {
    let bytes: Vec<u8> = (1..=30).collect();
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.u8(), Ok(1));
    assert_eq!(reader.u16_le(), Ok(0x0302));
    assert_eq!(reader.u32_le(), Ok(0x0706_0504));
    assert_eq!(reader.u64_le(), Ok(0x0f0e_0d0c_0b0a_0908));
    assert_eq!(reader.i64_le(), Ok(0x1716_1514_1312_1110));
    assert_eq!(reader.remaining(), 7);
    assert_eq!(reader.u64_le(), Err(CodecError::Truncated));
    assert_eq!(reader.bytes(8), Err(CodecError::Truncated));
    assert_eq!(reader.bytes(7), Ok(&[24, 25, 26, 27, 28, 29, 30][..]));
    assert_eq!(reader.finish(), Ok(()));
    assert_eq!(reader.u8(), Err(CodecError::Truncated));
}
