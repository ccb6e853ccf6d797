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
        int::encode_frame(&lengths, out);
    }

    fn decode(mut body: Reader<'_>, bounds: Bounds, out: &mut Vec<i64>) -> Result<(), CodecError> {
        let runs = crate::num::to_usize(body.u64()?);
        check_max("runs of a page", runs, bounds.count)?;
        let mut run_values = Vec::new();
        int::decode_leaf(body.prefixed_bytes()?, runs, &mut run_values)?;
        let mut lengths = Vec::new();
        int::decode_leaf(body.rest(), runs, &mut lengths)?;
        let start = out.len();
        out.resize(start + bounds.count, 0);
        let mut left = out.get_mut(start..).unwrap_or_default();
        for (value, length) in run_values.into_iter().zip(lengths) {
            let length = usize::try_from(length).unwrap_or(0);
            if length == 0 {
                return Err(corrupt("a run is empty"));
            }
            // Most runs are short: eight stores without a loop, of which later runs overwrite some.
            if let Some(first) = left.first_chunk_mut::<8>() {
                *first = [value; 8];
            }
            let (run, rest) =
                left.split_at_mut_checked(length).ok_or(corrupt("runs pass the page's end"))?;
            if let Some(longer) = run.get_mut(8..) {
                longer.fill(value);
            } else if rest.len() + length < 8 {
                run.fill(value);
            }
            left = rest;
        }
        if left.is_empty() { Ok(()) } else { Err(corrupt("runs end before the page")) }
    }
}
