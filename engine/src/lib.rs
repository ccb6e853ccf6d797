//! Chronolith's storage engine: synchronous, embedded, without network.
//! Where to start reading: docs/ARCHITECTURE.md.

pub mod clock;
pub mod error;
pub mod executor;
pub mod format;
pub mod limits;
pub mod model;
pub mod rng;
pub mod segment;
pub mod vfs;
