//! What the tests across crates share: an oracle, random operations, a database on a simulated disk, and crash images of it.
//! How to run and replay: tests/README.md.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "only tests use this crate, and a panic is how a test fails"
)]

pub mod beside;
pub mod blocks;
pub mod check;
pub mod crash;
pub mod damage;
pub mod dice;
pub mod executor;
pub mod fault;
pub mod follow;
pub mod full_disk;
pub mod golden;
pub mod hunt;
pub mod ledger;
pub mod lengths;
pub mod mend;
pub mod model;
pub mod moments;
pub mod ops;
pub mod seals;
pub mod slow;
pub mod torture;
pub mod world;
pub mod wreck;
