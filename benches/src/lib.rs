//! Chronolith's benchmarks. A figure stands beside what the machine itself can do ([`probe`]),
//! measured in the same run, so that runs on different machines compare.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

pub mod probe;
pub mod served;
pub mod ticks;
