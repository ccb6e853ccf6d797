//! Statements against a database on disk. Scripts in sqllogictest's form: `tests/slt`; the rest is what scripts cannot say.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod files;
mod limits;
mod round_trip;
mod slt;
mod support;
