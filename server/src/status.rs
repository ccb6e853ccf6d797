//! Errors as gRPC statuses, in this file only: a code that libraries act on, and an `ErrorDetail` for programs.

use chronolith_engine::{Error, ErrorKind};
use chronolith_proto::{KNOWN_NAMES_MAX, v1, with_detail};
use chronolith_query::{SqlError, SqlErrorKind, Unknown};
use tonic::{Code, Status};

use crate::meters;

/// Milliseconds after which a request that was refused as overloaded is worth sending again.
const OVERLOADED_RETRY_MS: u32 = 200;
/// Milliseconds after which a request that failed for the disk is worth sending again.
const IO_RETRY_MS: u32 = 1_000;

/// The status of an engine's error.
pub(crate) fn of(error: &Error) -> Status {
    let detail = detail(error);
    meters::error(&detail.reason);
    with_detail(code(error), &detail)
}

/// A request that is wrong by itself.
pub(crate) fn invalid(message: impl Into<String>) -> Status {
    of(&Error::invalid(message))
}

/// Something is larger than its limit.
pub(crate) fn over_limit(what: &str, found: usize, limit: usize, unit: &'static str) -> Status {
    of(&Error::OverLimit {
        what: what.to_owned(),
        found: found as u64,
        limit: limit as u64,
        unit,
        row: None,
    })
}

/// Too much at once, in the server rather than the engine.
pub(crate) fn overloaded(message: impl Into<String>) -> Status {
    plain(Code::ResourceExhausted, v1::error_detail::Kind::Overloaded, "overloaded", message, true)
}

/// The caller's or the server's time for a request has passed.
pub(crate) fn deadline(message: impl Into<String>) -> Status {
    plain(Code::DeadlineExceeded, v1::error_detail::Kind::Overloaded, "deadline", message, false)
}

/// The server ends.
pub(crate) fn closing() -> Status {
    let message = "the server shuts down; connect again";
    plain(Code::Unavailable, v1::error_detail::Kind::Closed, "closed", message, true)
}

/// The status of a statement's error.
pub(crate) fn of_sql(error: &SqlError) -> Status {
    use v1::error_detail::Kind;
    let (code, kind, reason) = match error.kind {
        SqlErrorKind::Syntax => (Code::InvalidArgument, Kind::Invalid, "sql_syntax"),
        SqlErrorKind::Refused => (Code::PermissionDenied, Kind::Invalid, "sql_refused"),
        SqlErrorKind::Unknown(Unknown::Table) => (Code::NotFound, Kind::NotFound, "unknown_table"),
        SqlErrorKind::Unknown(Unknown::Column) => {
            (Code::NotFound, Kind::NotFound, "unknown_column")
        }
        SqlErrorKind::Unknown(Unknown::Function) => {
            (Code::NotFound, Kind::NotFound, "unknown_function")
        }
        SqlErrorKind::Memory => (Code::ResourceExhausted, Kind::Overloaded, "memory"),
        SqlErrorKind::Deadline => (Code::DeadlineExceeded, Kind::Overloaded, "deadline"),
        SqlErrorKind::Cancelled => (Code::Cancelled, Kind::Unavailable, "cancelled"),
        SqlErrorKind::Ambiguous | SqlErrorKind::Invalid | SqlErrorKind::Overflow => {
            (Code::InvalidArgument, Kind::Invalid, "invalid")
        }
        SqlErrorKind::Engine(_) => match &error.source {
            Some(source) => return of(source),
            None => (Code::Internal, Kind::Internal, "internal"),
        },
        _ => (Code::Internal, Kind::Internal, "internal"),
    };
    meters::error(reason);
    let place = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
    let mut detail = match &error.source {
        Some(source) => detail(source),
        None => v1::ErrorDetail::default(),
    };
    detail.kind = kind.into();
    detail.reason = reason.to_owned();
    detail.message = error.to_string();
    if let Some((line, position)) = error.position {
        (detail.line, detail.position) = (place(line), place(position));
    }
    with_detail(code, &detail)
}

fn plain(
    code: Code,
    kind: v1::error_detail::Kind,
    reason: &str,
    message: impl Into<String>,
    is_retryable: bool,
) -> Status {
    meters::error(reason);
    let detail = v1::ErrorDetail {
        kind: kind.into(),
        reason: reason.to_owned(),
        message: message.into(),
        is_retryable,
        retry_after_ms: if is_retryable { OVERLOADED_RETRY_MS } else { 0 },
        ..v1::ErrorDetail::default()
    };
    with_detail(code, &detail)
}

fn code(error: &Error) -> Code {
    match error {
        Error::TableExists(_) => Code::AlreadyExists,
        Error::OutcomeUnknown { .. } => Code::Unknown,
        other => match other.kind() {
            ErrorKind::Invalid => Code::InvalidArgument,
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::Conflict => Code::FailedPrecondition,
            ErrorKind::Overloaded => Code::ResourceExhausted,
            ErrorKind::Unavailable | ErrorKind::Closed => Code::Unavailable,
            ErrorKind::Corrupt => Code::DataLoss,
            _ => Code::Internal,
        },
    }
}

/// What programs are told of an error.
pub(crate) fn detail(error: &Error) -> v1::ErrorDetail {
    let mut detail = v1::ErrorDetail {
        kind: kind(error.kind()).into(),
        reason: reason(error).to_owned(),
        message: error.to_string(),
        ..v1::ErrorDetail::default()
    };
    let known = |names: &[String]| names.iter().take(KNOWN_NAMES_MAX).cloned().collect();
    match error {
        Error::UnknownTable { table, known: names } => {
            detail.table.clone_from(table);
            detail.known = known(names);
        }
        Error::UnknownColumn { table, column, known: names } => {
            detail.table.clone_from(table);
            detail.column.clone_from(column);
            detail.known = known(names);
        }
        Error::WrongType { table, column, row, .. } => {
            detail.table.clone_from(table);
            detail.column.clone_from(column);
            detail.row = *row;
        }
        Error::OverLimit { row, .. } => detail.row = *row,
        Error::TableExists(table) => detail.table.clone_from(table),
        Error::SequenceGap { expected, .. } => detail.expected_number = Some(*expected),
        Error::Overloaded { .. } => detail.retry_after_ms = OVERLOADED_RETRY_MS,
        Error::Io { .. } | Error::DiskFull { .. } => detail.retry_after_ms = IO_RETRY_MS,
        Error::Closed => detail.is_retryable = true,
        _ => {}
    }
    detail.is_retryable |= detail.retry_after_ms > 0;
    detail
}

fn kind(kind: ErrorKind) -> v1::error_detail::Kind {
    use v1::error_detail::Kind;
    match kind {
        ErrorKind::Invalid => Kind::Invalid,
        ErrorKind::NotFound => Kind::NotFound,
        ErrorKind::Conflict => Kind::Conflict,
        ErrorKind::Overloaded => Kind::Overloaded,
        ErrorKind::Unavailable => Kind::Unavailable,
        ErrorKind::Corrupt => Kind::Corrupt,
        ErrorKind::Closed => Kind::Closed,
        _ => Kind::Internal,
    }
}

/// The word for programs. It never changes.
fn reason(error: &Error) -> &'static str {
    match error {
        Error::Invalid(_) => "invalid",
        Error::UnknownTable { .. } => "unknown_table",
        Error::UnknownColumn { .. } => "unknown_column",
        Error::WrongType { .. } => "wrong_type",
        Error::OverLimit { .. } => "over_limit",
        Error::TableExists(_) => "table_exists",
        Error::SequenceGap { .. } => "sequence_gap",
        Error::Overloaded { .. } => "overloaded",
        _ if error.is_no_space() => "no_space",
        Error::Io { .. } => "io",
        Error::Poisoned { .. } => "poisoned",
        Error::OutcomeUnknown { .. } => "outcome_unknown",
        Error::SnapshotLost { .. } => "snapshot_lost",
        Error::SnapshotExpired { .. } => "snapshot_expired",
        Error::LogTruncated { .. } => "log_truncated",
        Error::Corrupt(_) => "corrupt",
        Error::ReadOnly(_) => "read_only",
        Error::Closed => "closed",
        other => match other.kind() {
            ErrorKind::Conflict => "conflict",
            ErrorKind::Invalid => "invalid",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Corrupt => "corrupt",
            _ => "internal",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronolith_proto::detail_of;

    #[test]
    fn a_gap_tells_the_expected_number_and_overload_when_to_come_back() {
        let gap = Error::SequenceGap { producer: "p".into(), expected: 7, found: 9 };
        let status = of(&gap);
        let detail = detail_of(&status).unwrap();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!((detail.reason.as_str(), detail.expected_number), ("sequence_gap", Some(7)));
        assert!(!detail.is_retryable);
        let full = Error::Overloaded { what: "memory".into(), used: 2, limit: 1 };
        let detail = detail_of(&of(&full)).unwrap();
        assert!(detail.is_retryable && detail.retry_after_ms > 0);
        let full = Error::io("write", "x", std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!(detail_of(&of(&full)).unwrap().reason, "no_space");
    }
}
