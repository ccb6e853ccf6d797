//! The engine beside its model, on a simulated disk. One binary, one scenario a file. How to run and replay: tests/README.md.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a panic is how a test fails"
)]

mod crash;
mod damage;
mod fault;
mod model;
mod repair;
