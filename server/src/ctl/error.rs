//! Why a command failed, and the exit code that says so.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;

use chronolith_client::ClientError;
use chronolith_client::v1::error_detail;
use chronolith_engine::{Error, ErrorKind};
use chronolith_query::{SqlError, SqlErrorKind};

use crate::ServeError;
use crate::config::ConfigError;
use crate::text::csv::CsvError;
use crate::text::infer::TypeError;
use crate::text::input::InputError;
use crate::text::lines::LineError;
use crate::text::output::OutputError;
use crate::text::time::TimeError;

/// A command's result.
pub type CtlResult<T> = Result<T, CtlError>;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CtlError {
    /// The engine's reason.
    #[error(transparent)]
    Engine(#[from] Error),
    /// The server's settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server's reason.
    #[error(transparent)]
    Serve(ServeError),
    /// The server's answer, or that there is none.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A file cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A file is not lines of text.
    #[error(transparent)]
    Line(#[from] LineError),
    /// A file is not CSV.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// A file cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A result cannot be written.
    #[error("cannot write to {name}: {source}")]
    Write {
        /// Where to.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A time is none.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// A type is none.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// The request or its input is wrong.
    #[error("{0}")]
    Invalid(String),
    /// Something named is not there.
    #[error("{0}")]
    NotFound(String),
    /// The request contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// A file is not what was written.
    #[error("{0}")]
    Corrupt(String),
    /// Verification found damage, which was printed.
    #[error(
        "{0} damaged part(s) found; restore the named files from a backup, or keep what can be read: `chronolith verify --repair --dry-run`"
    )]
    Damaged(usize),
    /// The log is damaged in the middle, so that a result lacks rows; it was given as far as it goes.
    #[error(
        "the result is incomplete, as the log is damaged; `chronolith verify` names the file: restore it from a backup"
    )]
    Incomplete,
    /// A statement failed; its line and a caret follow, where the place is known.
    #[error("{error}{lines}")]
    Sql {
        /// Why.
        #[source]
        error: Box<SqlError>,
        /// The lines.
        lines: String,
    },
    /// A server refused a statement; its line and a caret follow.
    #[error("{error}{lines}")]
    RemoteSql {
        /// Why.
        #[source]
        error: ClientError,
        /// The lines.
        lines: String,
    },
    /// A failure at run time.
    #[error("{0}")]
    Failed(String),
    /// A failure after a part of the work was done.
    #[error("{source}; {done}")]
    Partly {
        /// The failure.
        #[source]
        source: Box<CtlError>,
        /// What was done before, and what to do now.
        done: String,
    },
}

impl From<ServeError> for CtlError {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Engine(error) => Self::Engine(error),
            other => Self::Serve(other),
        }
    }
}

impl CtlError {
    /// A statement failed; `lines` show the place.
    pub(super) fn sql(error: SqlError, lines: &str) -> Self {
        Self::Sql { error: Box::new(error), lines: lines.to_owned() }
    }

    /// Standard output failed.
    pub(super) fn standard_output(source: io::Error) -> Self {
        Self::Write { name: "standard output".to_owned(), source }
    }

    /// The process's exit code, as `--help` lists them.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Engine(error) => kind_code(error.kind()),
            Self::Input(error)
            | Self::Csv(CsvError::Input(error))
            | Self::Line(LineError::Input(error)) => input_code(error),
            Self::Client(error) | Self::RemoteSql { error, .. } => client_code(error),
            Self::Serve(ServeError::Listen { .. }) => 6,
            Self::Serve(_) => 1,
            Self::Config(_)
            | Self::Csv(_)
            | Self::Line(_)
            | Self::Time(_)
            | Self::Type(_)
            | Self::Invalid(_) => 2,
            Self::NotFound(_) => 3,
            Self::Conflict(_) => 4,
            Self::Corrupt(_) | Self::Damaged(_) | Self::Incomplete => 5,
            Self::Output(OutputError::Directory { .. }) => 2,
            Self::Output(_) | Self::Write { .. } => 6,
            Self::Sql { error, .. } => sql_code(error.kind),
            Self::Failed(_) => 1,
            Self::Partly { source, .. } => source.exit_code(),
        }
    }

    /// Whether the reader of a result went away: nothing to report.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        let source = match self {
            Self::Write { source, .. } => source,
            Self::Output(
                OutputError::Create { source, .. } | OutputError::Finish { source, .. },
            ) => source,
            _ => return false,
        };
        source.kind() == io::ErrorKind::BrokenPipe
    }

    /// What standard error gets: the message, then each cause that it does not repeat already.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = format!("error: {self}");
        let mut source = self.source();
        while let Some(cause) = source {
            let said = cause.to_string();
            if !text.contains(&said) {
                // Writing to a String does not fail.
                let _ = write!(text, "\n  caused by: {said}");
            }
            source = cause.source();
        }
        text
    }
}

fn kind_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Invalid => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::Conflict => 4,
        ErrorKind::Corrupt => 5,
        ErrorKind::Overloaded | ErrorKind::Unavailable => 6,
        _ => 1,
    }
}

fn client_code(error: &ClientError) -> u8 {
    use error_detail::Kind;
    match error {
        ClientError::Url { .. } => 2,
        ClientError::Connection { .. } => 6,
        ClientError::Refused(detail) => match detail.kind() {
            Kind::Invalid => 2,
            Kind::NotFound => 3,
            Kind::Conflict => 4,
            Kind::Corrupt => 5,
            Kind::Overloaded | Kind::Unavailable | Kind::Closed => 6,
            _ => 1,
        },
        _ => 1,
    }
}

fn sql_code(kind: SqlErrorKind) -> u8 {
    match kind {
        SqlErrorKind::Unknown(_) => 3,
        SqlErrorKind::Engine(kind) => kind_code(kind),
        SqlErrorKind::Memory | SqlErrorKind::Deadline => 6,
        SqlErrorKind::Cancelled | SqlErrorKind::Internal => 1,
        _ => 2,
    }
}

fn input_code(error: &InputError) -> u8 {
    match error {
        InputError::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => 3,
        InputError::Open { .. } | InputError::Read { .. } => 6,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_kind() {
        assert_eq!(CtlError::from(Error::Closed).exit_code(), 1);
        assert_eq!(CtlError::from(Error::TableExists("t".into())).exit_code(), 4);
        assert_eq!(CtlError::from(Error::corrupt("f", 0, "block", "x")).exit_code(), 5);
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let open = InputError::Open { name: "f".into(), source: missing };
        assert_eq!(CtlError::from(open).exit_code(), 3);
        let partly = CtlError::Partly {
            source: Box::new(CtlError::Invalid("bad".into())),
            done: "half".into(),
        };
        assert_eq!((partly.exit_code(), partly.report().as_str()), (2, "error: bad; half"));
    }

    #[test]
    fn causes_are_told_once() {
        let io = io::Error::other("disk on fire");
        let error = CtlError::from(Error::io("read", "x", io));
        assert_eq!(error.report(), "error: cannot read x: disk on fire");
    }
}
