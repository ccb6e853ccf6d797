//! One function for every decoder of outside bytes: any input ends in a value or a typed error, and where there is a writer,
//! what was read, written and read again is the same. How to run them: fuzz/README.md.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a panic is how a target tells of a finding; the code that it runs stands elsewhere"
)]

mod block;
mod codec;
mod disk;
mod input;
mod log;
mod manifest;
pub mod mutate;
pub mod seeds;
mod segment;
#[cfg(feature = "server")]
mod server;

pub use block::block;
pub use codec::codec;
pub use log::log;
pub use manifest::manifest;
pub use segment::segment;
#[cfg(feature = "server")]
pub use server::{arrow_ipc, config, csv, dump, grpc, line_protocol, ndjson, sql};

/// A target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: that of its function, and of its folder of inputs.
    pub name: &'static str,
    /// Runs one input.
    pub run: fn(&[u8]),
    /// Bytes of an input, at most, that are worth trying.
    pub len_bytes_max: usize,
}

const fn target(name: &'static str, run: fn(&[u8]), len_bytes_max: usize) -> Target {
    Target { name, run, len_bytes_max }
}

/// Every target that was built.
pub const TARGETS: &[Target] = &[
    target("log", log, 4_096),
    target("segment", segment, 4_096),
    target("block", block, 512),
    target("manifest", manifest, 1_024),
    target("codec", codec, 512),
    #[cfg(feature = "server")]
    target("csv", csv, 512),
    #[cfg(feature = "server")]
    target("line_protocol", line_protocol, 512),
    #[cfg(feature = "server")]
    target("ndjson", ndjson, 512),
    #[cfg(feature = "server")]
    target("arrow_ipc", arrow_ipc, 2_048),
    #[cfg(feature = "server")]
    target("grpc", grpc, 1_024),
    #[cfg(feature = "server")]
    target("config", config, 512),
    #[cfg(feature = "server")]
    target("sql", sql, 512),
    #[cfg(feature = "server")]
    target("dump", dump, 1_024),
];

/// The target of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
