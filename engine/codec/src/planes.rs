//! Byte planes: the lowest bytes of all values, then the next bytes, and so on, of the values
//! themselves or of their zigzag differences. Saves nothing itself (high planes of zeros apart); it
//! lines bytes up for the Zstd wrapper. (The shuffle of Blosc: Alted, CiSE 2010.)

use crate::delta::{Differences, differences};
use crate::encoding::{Bounds, Encoding, id};
use crate::error::{CodecError, corrupt};
use crate::num::{self, bit_length, unzigzag, zigzag};
use crate::varint::{self, Reader};

/// Byte planes of values, or of differences.
pub(crate) struct Planes {
    pub(crate) differences: bool,
    pub(crate) divisor: u64,
}

impl Encoding<[i64], Vec<i64>> for Planes {
    const ID: u8 = id::PLANES;

    fn encode(&self, values: &[i64], out: &mut Vec<u8>) {
        let words: Vec<u64> = if self.differences {
            let Differences { start, divisor, quotients } = differences(values, self.divisor);
            out.push(1);
            varint::put_u64(out, divisor);
            varint::put_i64(out, start);
            quotients.into_iter().map(zigzag).collect()
        } else {
            out.push(0);
            values.iter().map(|value| *value as u64).collect()
        };
        let all = words.iter().fold(0, |all, word| all | word);
        let planes = bit_length(all).div_ceil(8);
        out.push(num::to_u8(u64::from(planes)));
        for plane in 0..planes {
            out.extend(words.iter().map(|word| num::to_u8(word >> (plane * 8) & 0xff)));
        }
    }

    fn decode(mut body: Reader<'_>, bounds: Bounds, out: &mut Vec<i64>) -> Result<(), CodecError> {
        let is_differences = match body.u8()? {
            0 => false,
            1 => true,
            _ => return Err(corrupt("a byte-plane page's order is not 0 or 1")),
        };
        let (divisor, mut last) =
            if is_differences { (body.u64()? as i64, body.i64()?) } else { (1, 0) };
        let planes = body.u8()?;
        if planes > 8 {
            return Err(corrupt("there are more than 8 byte planes"));
        }
        let mut words = vec![0u64; bounds.count];
        for plane in 0..planes {
            for (word, byte) in words.iter_mut().zip(body.bytes(bounds.count)?) {
                *word |= u64::from(*byte) << (plane * 8);
            }
        }
        body.finish()?;
        if is_differences {
            out.extend(words.into_iter().map(|word| {
                last = last.wrapping_add(unzigzag(word).wrapping_mul(divisor));
                last
            }));
        } else {
            out.extend(words.into_iter().map(|word| word as i64));
        }
        Ok(())
    }
}
