//! The write-ahead log: chained files of groups of records. Written by [`LogWriter`], read by [`recover`] at open.
//! Invariant: a record below a durable offset is never lost silently. Format: docs/format/wal.md.

mod ahead;
mod cursor;
mod file_header;
mod group;
mod reader;
mod record;
mod recovery;
mod salvage;
mod writer;

#[cfg(test)]
mod tests;

pub use ahead::{Ahead, AheadError};
pub use cursor::{CursorStep, LogCursor, LogGroup};
pub use file_header::{FileHeader, PreviousFile};
pub use group::{GROUP_HEADER_BYTES, GroupHeader, GroupKind, group_bytes};
pub use reader::{LogEnd, LogFile, LogScan, RawRecord};
pub use record::Record;
pub use recovery::{KnownLogFile, Recovery, TornTail, list, recover};
pub use salvage::{LogHole, Salvaged, salvage};
pub use writer::{Group, LogWriter, Preparation};
