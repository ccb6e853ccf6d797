//! Run-length encoding: values and lengths apart, each an integer page of its own, so that a step
//! chart costs a few bits a run. (Abadi, Madden and Ferreira, SIGMOD 2006, section 4.2.)

use crate::encoding::{Bounds, Encoding, id};
use crate::error::{CodecError, check_max, corrupt};
use crate::int;
use crate::varint::{self, Reader};

/// Runs of equal values; the divisor is a hint for the runs' values, as in [`crate::IntPlan`].
pub(crate) struct RunLength {
    pub(crate) divisor: u64,
}

impl Encoding<[i64], Vec<i64>> for RunLength {
    const ID: u8 = id::RUN_LENGTH;

    fn encode(&self, values: &[i64], out: &mut Vec<u8>) {
        let mut run_values = Vec::new();
        let mut lengths = Vec::new();
        for run in values.chunk_by(|a, b| a == b) {
            run_values.extend(run.first());
            lengths.push(i64::try_from(run.len()).unwrap_or(i64::MAX));
        }
        varint::put_u64(out, run_values.len() as u64);
        let mut page = Vec::new();
        int::encode_leaf(&run_values, self.divisor, &mut page);
        varint::put_bytes(out, &page);
        int::encode_leaf(&lengths, 1, out);
    }

    fn decode(mut body: Reader<'_>, bounds: Bounds, out: &mut Vec<i64>) -> Result<(), CodecError> {
        let runs = crate::num::to_usize(body.u64()?);
        check_max("runs of a page", runs, bounds.count)?;
        let mut run_values = Vec::new();
        int::decode_leaf(body.prefixed_bytes()?, runs, &mut run_values)?;
        let mut lengths = Vec::new();
        int::decode_leaf(body.rest(), runs, &mut lengths)?;
        let mut left = bounds.count;
        for (value, length) in run_values.into_iter().zip(lengths) {
            let length = usize::try_from(length).unwrap_or(0);
            if length == 0 {
                return Err(corrupt("a run is empty"));
            }
            left = left.checked_sub(length).ok_or(corrupt("runs pass the page's end"))?;
            out.resize(out.len() + length, value);
        }
        if left == 0 { Ok(()) } else { Err(corrupt("runs end before the page")) }
    }
}
