//! The engine's one error type. Messages say what, where and what to do next; [`Error::kind`] tells a caller how to react.

use std::path::{Path, PathBuf};

use crate::sequence::Sequence;

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong; repeating it unchanged fails again.
    Invalid,
    /// A named thing does not exist.
    NotFound,
    /// The request contradicts present state (exists already, locked, gap in numbers).
    Conflict,
    /// Too much at once; the same request may succeed later.
    Overloaded,
    /// The system cannot do it now (I/O error, no space, poisoned log).
    Unavailable,
    /// Bytes on disk are not what was written.
    Corrupt,
    /// The database was closed.
    Closed,
    /// A bug of the engine's own.
    Internal,
}

/// A mismatch between bytes read and bytes expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corruption {
    /// The damaged file.
    pub path: PathBuf,
    /// Byte offset of the damaged structure in the file.
    pub offset: u64,
    /// The structure: "log group", "segment footer", ...
    pub what: &'static str,
    /// What was expected there and what was found, with values.
    pub detail: String,
}

impl std::fmt::Display for Corruption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} in {} at byte {} is damaged: {}",
            self.what,
            self.path.display(),
            self.offset,
            self.detail
        )
    }
}

/// Every way in which an engine operation fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A request that can never succeed as it is.
    #[error("{0}")]
    Invalid(String),
    /// The table does not exist.
    #[error("unknown table {table:?}{}", hint(.known))]
    UnknownTable {
        /// The name asked for.
        table: String,
        /// Names that exist, nearest first.
        known: Vec<String>,
    },
    /// The column does not exist.
    #[error("unknown column {column:?} in table {table:?}{}", hint(.known))]
    UnknownColumn {
        /// The table's name.
        table: String,
        /// The name asked for.
        column: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// A value of another type than the column's.
    #[error("column {column:?} of table {table:?} holds {expected}, but the value{} is {found}", at_row(*.row))]
    WrongType {
        /// The table's name.
        table: String,
        /// The column's name.
        column: String,
        /// The column's type.
        expected: String,
        /// The type that was sent.
        found: String,
        /// The row in the batch, where one can be named.
        row: Option<u64>,
    },
    /// Something is larger than its limit.
    #[error("{what} is {found} {unit}, the limit is {limit} {unit}{}", at_row(*.row))]
    OverLimit {
        /// What is too large.
        what: String,
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
        /// The unit of both.
        unit: &'static str,
        /// The row in the batch, where one can be named.
        row: Option<u64>,
    },
    /// The table exists already.
    #[error("table {0:?} exists already")]
    TableExists(String),
    /// A producer skipped numbers.
    #[error(
        "producer {producer:?} sent number {found}, expected {expected}: send the missing batches first"
    )]
    SequenceGap {
        /// The producer's name.
        producer: String,
        /// The next number that is accepted.
        expected: u64,
        /// The number sent.
        found: u64,
    },
    /// Bytes on disk are not what was written.
    #[error("{0}; run `verify` for the extent, and restore the file from a backup")]
    Corrupt(Box<Corruption>),
    /// A file of another format version.
    #[error("{} has format version {found}, this program reads version {supported}", path.display())]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The version supported.
        supported: u32,
    },
    /// A file of this format version holds something that this program does not know.
    #[error("{} holds a {feature}, which this program does not know; use the program that wrote it, or a later one", path.display())]
    UnsupportedFeature {
        /// The file.
        path: PathBuf,
        /// What is not known.
        feature: String,
    },
    /// The directory is not a database.
    #[error("{} is not a chronolith database: {detail}", path.display())]
    NotADatabase {
        /// The directory.
        path: PathBuf,
        /// What is missing or in the way.
        detail: String,
    },
    /// Another process holds the lock.
    #[error("{} is held by {holder}; stop it, or read through it", path.display())]
    Locked {
        /// The database directory.
        path: PathBuf,
        /// Who holds it, as far as the lock file tells.
        holder: String,
    },
    /// An I/O error that leaves everything acknowledged intact; retrying is safe.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// The operation: "read", "write", "sync", ...
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The disk is full. Everything acknowledged is intact, nothing of the request was kept, and a retry is safe.
    #[error(
        "the disk of {} is full, {free_bytes} bytes are free: {what}; free space on it, drop tables, or delete rows and compact, then retry",
        path.display()
    )]
    DiskFull {
        /// The database directory.
        path: PathBuf,
        /// Bytes free on its disk.
        free_bytes: u64,
        /// What was refused.
        what: String,
    },
    /// A sync failed or a worker panicked: no write is accepted until the database is opened anew.
    #[error(
        "writes are refused since {cause}; close and open the database again: opening verifies what the disk kept"
    )]
    Poisoned {
        /// The first failure.
        cause: String,
    },
    /// The batch may or may not be found after reopening.
    #[error("the outcome of this batch is unknown: {cause}; reopen, then look whether it is there")]
    OutcomeUnknown {
        /// The failure.
        cause: String,
    },
    /// Back-pressure: the queue or budget is full.
    #[error("overloaded: {what} ({used} of {limit} bytes in use); retry later or lower the rate")]
    Overloaded {
        /// What ran out.
        what: String,
        /// Bytes in use.
        used: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The snapshot names a commit that was lost with an unsynced log.
    #[error("snapshot {sequence} was lost: it lies beyond what was recovered ({recovered})")]
    SnapshotLost {
        /// The snapshot asked for.
        sequence: Sequence,
        /// The last recovered sequence of that incarnation.
        recovered: Sequence,
    },
    /// The snapshot lies below the history horizon.
    #[error("snapshot {sequence} is no longer kept: {detail}")]
    SnapshotExpired {
        /// The snapshot asked for.
        sequence: Sequence,
        /// Which horizon or drop passed it.
        detail: String,
    },
    /// A tail of the log asks for records that a flush has let go of.
    #[error(
        "the log no longer has what follows {after}, it begins with {oldest}; take a full copy, then follow the log from there"
    )]
    LogTruncated {
        /// The last commit that the tail has.
        after: Sequence,
        /// The first commit that the log still has, or will have next.
        oldest: Sequence,
    },
    /// The database was opened read-only.
    #[error("the database was opened read-only; open it for writing to {0}")]
    ReadOnly(&'static str),
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
    /// A bug of the engine's own.
    #[error("internal error: {0}; this is a bug, please report it")]
    Internal(String),
}

fn hint(known: &[String]) -> String {
    match known {
        [] => String::new(),
        some => format!("; there are: {}", some.join(", ")),
    }
}

fn at_row(row: Option<u64>) -> String {
    row.map_or_else(String::new, |row| format!(" (row {row} of the batch)"))
}

impl Error {
    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_)
            | Self::WrongType { .. }
            | Self::OverLimit { .. }
            | Self::ReadOnly(_) => ErrorKind::Invalid,
            Self::UnknownTable { .. }
            | Self::UnknownColumn { .. }
            | Self::SnapshotExpired { .. }
            | Self::LogTruncated { .. }
            | Self::SnapshotLost { .. } => ErrorKind::NotFound,
            Self::TableExists(_)
            | Self::SequenceGap { .. }
            | Self::Locked { .. }
            | Self::NotADatabase { .. }
            | Self::UnsupportedVersion { .. }
            | Self::UnsupportedFeature { .. } => ErrorKind::Conflict,
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::Io { .. }
            | Self::DiskFull { .. }
            | Self::Poisoned { .. }
            | Self::OutcomeUnknown { .. } => ErrorKind::Unavailable,
            Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::Closed => ErrorKind::Closed,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// An invalid request.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// An I/O error of `op` on `path`.
    pub fn io(op: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { op, path: path.as_ref().to_path_buf(), source }
    }

    /// Damage found in `path` at `offset`.
    pub fn corrupt(
        path: impl AsRef<Path>,
        offset: u64,
        what: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self::Corrupt(Box::new(Corruption {
            path: path.as_ref().to_path_buf(),
            offset,
            what,
            detail: detail.into(),
        }))
    }

    /// Whether the cause is a full disk.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
            || matches!(self, Self::Io { source, .. }
            if source.kind() == std::io::ErrorKind::StorageFull
                || source.kind() == std::io::ErrorKind::QuotaExceeded)
    }

    /// Whether the cause is a missing file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}
