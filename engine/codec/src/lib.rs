//! Chronolith's column encodings: values to bytes and back, without I/O.
//!
//! A block (up to 65,536 values of one column) gets one plan, made from its values; the plan encodes
//! each page (up to 4,096 values) on its own; bit-packed pages consist of vectors of 1,024 values.
//! Pages describe themselves. Decoders take untrusted bytes: they never panic and allocate no more
//! than the caller's count and byte bound. Format: docs/format/codec.md.

mod bins;
mod bitmap;
mod bitpack;
mod bits;
mod choose;
mod classes;
mod compress;
mod decimal;
mod delta;
mod dict;
mod divisor;
mod encoding;
mod error;
mod float;
mod frame;
mod front;
mod int;
mod num;
mod patched;
mod plain;
mod planes;
mod rans;
mod rle;
mod text;
mod textbuf;
mod validity;
pub mod varint;
mod xor;

pub use bitmap::Bitmap;
pub use decimal::Decimal;
pub use error::CodecError;
pub use float::{FloatEncoding, FloatPlan, decode_f64, encode_f64, plan_f64};
pub use int::{IntEncoding, IntPlan, decode_i64, encode_i64, plan_i64};
pub use text::{TextEncoding, TextPlan, decode_text, encode_text, plan_text};
pub use textbuf::{TextBuf, TextView};
pub use validity::{
    BoolPlan, decode_bool, decode_validity, encode_bool, encode_validity, plan_bool,
};

/// Values of a vector, the unit of decoding.
pub const VECTOR_VALUES: usize = 1024;
/// Values of a page, the unit of reading.
pub const PAGE_VALUES_MAX: usize = 4096;
/// Values of a block, and the most that one call encodes or decodes.
pub const BLOCK_VALUES_MAX: usize = 65_536;

/// Zstd stays where it saves at least one part in so many.
const ZSTD_SAVING_DIVISOR: usize = 20;

/// How much time an encoding may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effort {
    /// For a flush: encodings that run at hundreds of millions of values a second; Zstd only for
    /// text and where it saves a lot.
    Fast,
    /// For a compaction: whatever is smallest, Zstd included.
    Dense,
}
