//! One vector of up to 1,024 unsigned integers at the width that makes it smallest, with the few
//! values that are wider patched in: PFOR (Zukowski, Heman, Nes and Boncz, ICDE 2006, section 3),
//! the high bits of exceptions stored apart as in NewPFD (Yan, Ding and Suel, WWW 2009).

use crate::bitpack;
use crate::bits::{bits_at, check_end};
use crate::error::{CodecError, check_max, corrupt};
use crate::num::{self, bit_length, low_mask};
use crate::varint::{self, Reader};

/// Bits of an exception's position.
const POSITION_BITS: u32 = 10;
/// Flag in the width byte: exceptions follow.
const HAS_EXCEPTIONS: u8 = 0x80;

/// How a vector would be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) width: u32,
    /// Width of the widest value.
    pub(crate) width_max: u32,
    pub(crate) exceptions: usize,
    pub(crate) bits: usize,
}

/// The cheapest layout of `values`.
#[expect(clippy::indexing_slicing, reason = "a bit length is at most 64")]
pub(crate) fn layout(values: &[u64]) -> Layout {
    let mut counts = [[0u16; 65]; 2];
    let (pairs, last) = values.as_chunks::<2>();
    for [first, second] in pairs {
        counts[0][bit_length(*first) as usize] += 1;
        counts[1][bit_length(*second) as usize] += 1;
    }
    for value in last {
        counts[0][bit_length(*value) as usize] += 1;
    }
    let all = values.iter().fold(0, |all, value| all | value);
    let width_max = bit_length(all);
    let plain = values.len() * width_max as usize;
    let mut best = Layout { width: width_max, width_max, exceptions: 0, bits: plain };
    let mut exceptions = 0;
    for width in (0..width_max).rev() {
        let wider = width as usize + 1;
        exceptions += usize::from(counts[0][wider] + counts[1][wider]);
        let patch = POSITION_BITS + width_max - width;
        let bits = values.len() * width as usize + exceptions * patch as usize + 24;
        if bits < best.bits {
            best = Layout { width, width_max, exceptions, bits };
        }
    }
    best
}

/// Appends `values` (at most 1,024) in `layout`, which [`layout`] gave for them. Clobbers `values`.
pub(crate) fn encode(values: &mut [u64], layout: Layout, out: &mut Vec<u8>) {
    let Layout { width, width_max, exceptions, .. } = layout;
    if exceptions == 0 {
        out.push(num::to_u8(u64::from(width)));
        bitpack::pack(values, width, out);
        return;
    }
    out.push(num::to_u8(u64::from(width)) | HAS_EXCEPTIONS);
    out.push(num::to_u8(u64::from(width_max - width)));
    varint::put_u64(out, exceptions as u64);
    let mask = low_mask(width);
    let mut positions = Vec::with_capacity(exceptions);
    let mut highs = Vec::with_capacity(exceptions);
    for (position, value) in (0u64..).zip(values.iter_mut()) {
        if *value > mask {
            positions.push(position);
            highs.push(*value >> width);
            *value &= mask;
        }
    }
    bitpack::pack_stream(&positions, POSITION_BITS, out);
    bitpack::pack_stream(&highs, width_max - width, out);
    bitpack::pack(values, width, out);
}

/// Reads `values.len()` (at most 1,024) values.
pub(crate) fn decode(input: &mut Reader<'_>, values: &mut [u64]) -> Result<(), CodecError> {
    let head = input.u8()?;
    let width = u32::from(head & !HAS_EXCEPTIONS);
    if width > 64 {
        return Err(corrupt("a bit width is above 64"));
    }
    if head & HAS_EXCEPTIONS == 0 {
        return bitpack::unpack(input, width, values);
    }
    let high_width = u32::from(input.u8()?);
    if high_width == 0 || width + high_width > 64 {
        return Err(corrupt("an exception's width is out of range"));
    }
    let exceptions = num::to_usize(input.u64()?);
    check_max("exceptions of a vector", exceptions, values.len())?;
    let positions_len = bitpack::packed_bytes(exceptions, POSITION_BITS);
    let positions_bytes = input.bytes(positions_len)?;
    let highs_bytes = input.bytes(bitpack::packed_bytes(exceptions, high_width))?;
    bitpack::unpack(input, width, values)?;
    check_end(positions_bytes, exceptions * POSITION_BITS as usize)?;
    check_end(highs_bytes, exceptions * high_width as usize)?;
    for index in 0..exceptions {
        let position = bits_at(positions_bytes, index * POSITION_BITS as usize, POSITION_BITS);
        let value = values
            .get_mut(num::to_usize(position))
            .ok_or(corrupt("an exception lies outside its vector"))?;
        *value |= bits_at(highs_bytes, index * high_width as usize, high_width) << width;
    }
    Ok(())
}
