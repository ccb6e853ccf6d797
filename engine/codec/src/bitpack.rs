//! Fixed-width bit-packing of one vector of up to 1,024 unsigned integers.
//! A full vector is written in 16 interleaved lanes, so that one shift serves 16 neighbours and the
//! loops compile to SIMD: FastLanes (Afroozeh and Boncz, VLDB 2023, section 3), with 64-bit words,
//! neighbouring values in neighbouring lanes, and no reordering. A shorter vector is a bit stream.

use crate::VECTOR_VALUES;
use crate::bits::{BitWriter, bits_at, check_end};
use crate::error::CodecError;
use crate::num::low_mask;
use crate::varint::Reader;

/// Values side by side; a lane is every 16th value.
const LANES: usize = 16;
/// Values in one lane of a full vector.
const ROWS: usize = VECTOR_VALUES / LANES;
/// Bytes of one word of every lane.
const LANE_WORD_BYTES: usize = LANES * 8;

type Row = [u64; LANES];

/// Bytes that [`pack`] writes for `count` values of `width` bits.
pub(crate) const fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Appends `values` (at most 1,024, each below 2^`width`).
pub(crate) fn pack(values: &[u64], width: u32, out: &mut Vec<u8>) {
    match values.as_chunks::<LANES>() {
        (rows, []) if rows.len() == ROWS => pack_full(rows, width, out),
        _ => pack_stream(values, width, out),
    }
}

/// Reads `values.len()` (at most 1,024) values of `width` (0 to 64) bits.
pub(crate) fn unpack(
    input: &mut Reader<'_>,
    width: u32,
    values: &mut [u64],
) -> Result<(), CodecError> {
    let bytes = input.bytes(packed_bytes(values.len(), width))?;
    match values.as_chunks_mut::<LANES>() {
        (rows, []) if rows.len() == ROWS => unpack_full(bytes, width, rows),
        _ => return unpack_stream(bytes, width, values),
    }
    Ok(())
}

/// Appends any number of values as a bit stream.
pub(crate) fn pack_stream(values: &[u64], width: u32, out: &mut Vec<u8>) {
    let mut writer = BitWriter::new(out);
    for &value in values {
        writer.put(value, width);
    }
    writer.finish();
}

/// Reads what [`pack_stream`] wrote; `bytes` has exactly that length.
pub(crate) fn unpack_stream(
    bytes: &[u8],
    width: u32,
    values: &mut [u64],
) -> Result<(), CodecError> {
    check_end(bytes, values.len() * width as usize)?;
    for (index, value) in values.iter_mut().enumerate() {
        *value = bits_at(bytes, index * width as usize, width);
    }
    Ok(())
}

#[expect(clippy::indexing_slicing, reason = "row * width / 64 + 1 < 64 unless the row ends a word")]
fn pack_full(rows: &[Row], width: u32, out: &mut Vec<u8>) {
    let mut words: [Row; 64] = [[0; LANES]; 64];
    let mut bit = 0u32;
    for row in rows {
        let (word, shift) = (bit as usize / 64, bit % 64);
        for (into, value) in words[word % 64].iter_mut().zip(row) {
            *into |= value << shift;
        }
        if shift + width > 64 {
            for (into, value) in words[(word + 1) % 64].iter_mut().zip(row) {
                *into |= value >> (64 - shift);
            }
        }
        bit += width;
    }
    for word in words.iter().take(width as usize).flatten() {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

#[expect(clippy::indexing_slicing, reason = "64 rows of `width` bits end in word `width - 1`")]
fn unpack_full(bytes: &[u8], width: u32, rows: &mut [Row]) {
    let words = bytes.as_chunks::<LANE_WORD_BYTES>().0;
    let mask = low_mask(width);
    let mut bit = 0u32;
    for row in rows {
        let (word, shift) = (bit as usize / 64, bit % 64);
        if width == 0 {
            *row = [0; LANES];
        } else if shift + width <= 64 {
            for (value, low) in row.iter_mut().zip(words[word].as_chunks::<8>().0) {
                *value = u64::from_le_bytes(*low) >> shift & mask;
            }
        } else {
            let lows = words[word].as_chunks::<8>().0;
            let highs = words[word + 1].as_chunks::<8>().0;
            for ((value, low), high) in row.iter_mut().zip(lows).zip(highs) {
                let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
                *value = (low >> shift | high << (64 - shift)) & mask;
            }
        }
        bit += width;
    }
}
