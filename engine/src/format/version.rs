//! Format numbers. Version 0 may change freely until the first release; from 1 on each version stays readable, and what it added is said here.

/// The manifest's edits and checkpoints, docs/format/manifest.md.
pub const MANIFEST_VERSION: u32 = 0;

/// The side file of commit times, docs/format/commit-times.md.
pub const COMMIT_TIMES_VERSION: u32 = 0;

/// The segment file's format, docs/format/segment.md.
pub const SEGMENT_VERSION: u32 = 0;

/// The log's format, docs/format/wal.md.
pub const WAL_VERSION: u32 = 0;
