//! Chronolith's storage engine: synchronous, embedded, without network.
//! Where to start reading: docs/ARCHITECTURE.md.

pub mod budget;
pub mod catalog;
pub mod clock;
pub mod error;
pub mod executor;
pub mod format;
pub mod limits;
pub mod manifest;
pub mod memtable;
pub mod merge;
pub mod model;
pub mod planted;
pub mod rng;
pub mod segment;
pub mod tombstone;
pub mod vfs;
