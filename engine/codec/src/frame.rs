//! Frame of reference: a vector's values as bit-packed multiples of a common divisor above the
//! vector's least value, wide ones patched in. (Goldstein, Ramakrishnan and Shaft, ICDE 1998,
//! section 3; PFOR: Zukowski et al., ICDE 2006, section 3.)

use crate::VECTOR_VALUES;
use crate::divisor;
use crate::encoding::{Bounds, Encoding, id};
use crate::error::CodecError;
use crate::patched;
use crate::varint::{self, Reader};

/// Bit-packed offsets; the divisor is a hint that the page verifies.
pub(crate) struct Frame {
    pub(crate) divisor: u64,
}

impl Encoding<[i64], Vec<i64>> for Frame {
    const ID: u8 = id::FRAME;

    fn encode(&self, values: &[i64], out: &mut Vec<u8>) {
        let base = values.iter().copied().min().unwrap_or(0);
        let offsets = values.iter().map(|value| value.wrapping_sub(base) as u64);
        let divisor = divisor::common(self.divisor, offsets);
        varint::put_u64(out, divisor.value());
        varint::put_i64(out, base);
        let mut buffer = [0; VECTOR_VALUES];
        for vector in values.chunks(VECTOR_VALUES) {
            let least = vector.iter().copied().min().unwrap_or(0);
            let packed = buffer.get_mut(..vector.len()).unwrap_or_default();
            for (packed, value) in packed.iter_mut().zip(vector) {
                *packed = divisor.quotient(value.wrapping_sub(least) as u64);
            }
            varint::put_u64(out, divisor.quotient(least.wrapping_sub(base) as u64));
            let layout = patched::layout(packed);
            patched::encode(packed, layout, out);
        }
    }

    fn decode(mut body: Reader<'_>, bounds: Bounds, out: &mut Vec<i64>) -> Result<(), CodecError> {
        let divisor = body.u64()?;
        let base = body.i64()? as u64;
        let mut buffer = [0; VECTOR_VALUES];
        let mut left = bounds.count;
        while left > 0 {
            let values = buffer.get_mut(..left.min(VECTOR_VALUES)).unwrap_or_default();
            left -= values.len();
            let least = base.wrapping_add(divisor.wrapping_mul(body.u64()?));
            patched::decode(&mut body, values)?;
            if divisor == 1 {
                out.extend(values.iter().map(|value| least.wrapping_add(*value) as i64));
            } else {
                let scaled = |value: &u64| least.wrapping_add(divisor.wrapping_mul(*value)) as i64;
                out.extend(values.iter().map(scaled));
            }
        }
        body.finish()
    }
}
