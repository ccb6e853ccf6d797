//! Why a call failed, and whether it is worth repeating.

use chronolith_proto::detail_of;
use chronolith_proto::v1::ErrorDetail;
use tonic::{Code, Status};

/// The client's result.
pub type Result<T> = std::result::Result<T, ClientError>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server's address is none.
    #[error("{url:?} is no address of a server, such as http://127.0.0.1:7401: {why}")]
    Url {
        /// What was given.
        url: String,
        /// Why it is none.
        why: String,
    },
    /// No connection could be made, or it broke; the outcome of a call that was on its way is not known.
    #[error("the server at {url} does not answer: {why}")]
    Connection {
        /// The server's address.
        url: String,
        /// The system's reason.
        why: String,
    },
    /// The server refused the call, and says why.
    #[error("{}", .0.message)]
    Refused(Box<ErrorDetail>),
    /// The server failed without a reason for programs.
    #[error("the server failed the call ({code}): {message}")]
    Failed {
        /// The code.
        code: Code,
        /// Its message.
        message: String,
    },
    /// An answer is not what the interface says.
    #[error("the server's answer is malformed: {0}")]
    Malformed(String),
}

impl ClientError {
    pub(crate) fn of(url: &str, status: &Status) -> Self {
        if let Some(detail) = detail_of(status) {
            return Self::Refused(Box::new(detail));
        }
        // What the transport makes of a connection that broke.
        let broken = matches!(status.code(), Code::Unavailable)
            || (matches!(status.code(), Code::Unknown | Code::Cancelled | Code::Internal)
                && std::error::Error::source(status).is_some());
        let message = status.message().to_owned();
        if broken {
            return Self::Connection { url: url.to_owned(), why: message };
        }
        Self::Failed { code: status.code(), message }
    }

    /// What the server says for programs.
    #[must_use]
    pub fn detail(&self) -> Option<&ErrorDetail> {
        match self {
            Self::Refused(detail) => Some(detail),
            _ => None,
        }
    }

    /// The word for programs, or nothing.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.detail().map_or("", |detail| detail.reason.as_str())
    }

    /// Whether the same call may succeed later: the server says so, or it did not answer.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connection { .. } => true,
            Self::Refused(detail) => detail.is_retryable,
            _ => false,
        }
    }
}
