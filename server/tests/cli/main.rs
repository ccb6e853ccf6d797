//! The program from outside: each command, each bad input, imports that are interrupted. What is expected is computed
//! by these tests alone, never by the project's own code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a panic is how a test fails, and a killed import needs real time"
)]

mod bad_input;
mod commands;
mod dump;
mod formats;
mod importing;
mod memory;
mod prompt;
mod quickstart;
mod real_data;
mod resume;
mod sql;
mod support;
