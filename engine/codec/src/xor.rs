//! XOR of neighbouring doubles: Gorilla (Pelkonen et al., VLDB 2015, section 4.1.2). One change:
//! the first value is XORed with zero bits like the others, so that a page of one value is no
//! special case, and a length of 64 is written as 0.

use crate::bits::{BitReader, BitWriter};
use crate::encoding::{Bounds, Encoding, id};
use crate::error::{CodecError, corrupt};
use crate::varint::Reader;

/// Leading zeros are written in 5 bits.
const LEADING_MAX: u32 = 31;

/// Gorilla's XOR coding.
pub(crate) struct Xor;

/// The bits that differ lie between `leading` zero bits and `trailing` zero bits.
#[derive(Clone, Copy)]
struct Window {
    leading: u32,
    trailing: u32,
}

impl Encoding<[f64], Vec<f64>> for Xor {
    const ID: u8 = id::XOR;

    fn encode(&self, values: &[f64], out: &mut Vec<u8>) {
        let mut bits = BitWriter::new(out);
        let mut before = 0;
        let mut window: Option<Window> = None;
        for value in values {
            let xor = value.to_bits() ^ before;
            before = value.to_bits();
            if xor == 0 {
                bits.put(0, 1);
                continue;
            }
            let leading = xor.leading_zeros().min(LEADING_MAX);
            let trailing = xor.trailing_zeros();
            match window {
                Some(old) if leading >= old.leading && trailing >= old.trailing => {
                    bits.put(0b01, 2);
                    bits.put(xor >> old.trailing, 64 - old.leading - old.trailing);
                }
                _ => {
                    let len = 64 - leading - trailing;
                    bits.put(0b11, 2);
                    bits.put(u64::from(leading), 5);
                    bits.put(u64::from(len % 64), 6);
                    bits.put(xor >> trailing, len);
                    window = Some(Window { leading, trailing });
                }
            }
        }
        bits.finish();
    }

    fn decode(body: Reader<'_>, bounds: Bounds, out: &mut Vec<f64>) -> Result<(), CodecError> {
        let mut bits = BitReader::new(body.rest());
        let mut value = 0u64;
        let mut window = Window { leading: 0, trailing: 0 };
        out.reserve(bounds.count);
        for _ in 0..bounds.count {
            if bits.read(1)? == 1 {
                if bits.read(1)? == 1 {
                    window = read_window(&mut bits)?;
                }
                let len = 64 - window.leading - window.trailing;
                value ^= bits.read(len)? << window.trailing;
            }
            out.push(f64::from_bits(value));
        }
        bits.finish()
    }
}

fn read_window(bits: &mut BitReader<'_>) -> Result<Window, CodecError> {
    let leading = crate::num::to_u32(bits.read(5)?);
    let len = match crate::num::to_u32(bits.read(6)?) {
        0 => 64,
        len => len,
    };
    let trailing =
        64u32.checked_sub(leading + len).ok_or(corrupt("an xor window passes 64 bits"))?;
    Ok(Window { leading, trailing })
}
