//! The only crate of Chronolith with `unsafe`: memory maps and questions to the CPU.
//! Each unsafe block states the invariant that it rests on.

pub mod cpu;
mod map;
pub mod memory;

pub use map::Map;
