//! `chronolith serve` as a process: started, talked to, killed, started again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod bad_requests;
mod killed;
mod lifecycle;
mod reading;
mod sql;
mod support;
mod writing;
