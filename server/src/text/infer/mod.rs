//! Columns' types: named by the user (`types.rs`), inferred from all rows (`guess.rs`),
//! and the values that fields hold under them (`value.rs`).

mod classify;
mod guess;
mod types;
mod value;

pub use guess::{Example, Guess, Inferred, Note, Place};
pub use types::{PRECISION_MAX, TextType, TypeError, parse_typed_names};
pub use value::{
    FieldParser, Flaw, NullWords, Value, ValueError, parse_bool, parse_decimal, parse_f64,
    parse_i64, parse_u64,
};

#[cfg(test)]
mod tests;
