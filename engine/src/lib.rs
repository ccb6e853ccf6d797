//! Chronolith's storage engine: synchronous, embedded, without network.
//! Where to start reading: docs/ARCHITECTURE.md.

pub mod budget;
pub mod catalog;
pub mod clock;
pub mod commit;
pub mod compaction;
pub mod db;
pub mod error;
pub mod executor;
pub mod flush;
pub mod format;
pub mod last_rows;
pub mod limits;
pub mod manifest;
pub mod memtable;
pub mod merge;
pub mod model;
pub mod planted;
pub mod read;
pub mod reserve;
pub mod rng;
pub mod segment;
mod sequence;
pub mod snapshot;
pub mod tombstone;
pub mod vfs;
pub mod wal;

pub use db::{Db, Environment, Options};
pub use error::{Error, ErrorKind, Result};
