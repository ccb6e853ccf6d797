//! The crate's one error type, and the only place where DataFusion's and Arrow's errors become ours.

use std::sync::Arc;

use arrow::error::ArrowError;
use chronolith_engine::{Error as EngineError, ErrorKind as EngineErrorKind};
use datafusion::common::{DataFusionError, SchemaError};

/// The crate's result.
pub type Result<T> = std::result::Result<T, SqlError>;

/// What is named and does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unknown {
    /// A table.
    Table,
    /// A column.
    Column,
    /// A function.
    Function,
}

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SqlErrorKind {
    /// The text is not SQL, or not one statement.
    Syntax,
    /// The statement is understood and not allowed here.
    Refused,
    /// A name does not exist.
    Unknown(Unknown),
    /// A name may mean several things.
    Ambiguous,
    /// The statement cannot be right as it is: types, arguments, values.
    Invalid,
    /// The query needs more memory than it may have.
    Memory,
    /// The query ran longer than it may.
    Deadline,
    /// The caller cancelled it.
    Cancelled,
    /// A number is beyond its type.
    Overflow,
    /// The engine refused or failed; its own kind tells how.
    Engine(EngineErrorKind),
    /// A bug of ours, or of a library.
    Internal,
}

/// Why a statement failed. Cheap to clone: one failure may reach several streams.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}{}", at(*.position))]
pub struct SqlError {
    /// What the caller can do.
    pub kind: SqlErrorKind,
    /// What happened: lower-case, with values, without a period at its end.
    pub message: String,
    /// Line and column in the statement's text, both from 1, where they are known.
    pub position: Option<(u64, u64)>,
    /// The engine's error, where it is the cause.
    #[source]
    pub source: Option<Arc<EngineError>>,
}

fn at(position: Option<(u64, u64)>) -> String {
    position.map_or_else(String::new, |(line, column)| format!(" (line {line}, column {column})"))
}

impl SqlError {
    /// An error of `kind`.
    #[must_use]
    pub fn new(kind: SqlErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), position: None, source: None }
    }

    /// A statement that cannot be right.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(SqlErrorKind::Invalid, message)
    }

    /// A statement that is not allowed here.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(SqlErrorKind::Refused, message)
    }

    /// A number beyond its type.
    #[must_use]
    pub fn overflow(message: impl Into<String>) -> Self {
        Self::new(SqlErrorKind::Overflow, message)
    }

    /// A bug.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(SqlErrorKind::Internal, message)
    }

    /// The same at a place in the text: line and column from 1.
    #[must_use]
    pub fn at(mut self, line: u64, column: u64) -> Self {
        self.position = (line > 0).then_some((line, column));
        self
    }
}

impl From<EngineError> for SqlError {
    fn from(error: EngineError) -> Self {
        let kind = match &error {
            EngineError::UnknownTable { .. } => SqlErrorKind::Unknown(Unknown::Table),
            EngineError::UnknownColumn { .. } => SqlErrorKind::Unknown(Unknown::Column),
            other => SqlErrorKind::Engine(other.kind()),
        };
        let message = error.to_string();
        Self { kind, message, position: None, source: Some(Arc::new(error)) }
    }
}

/// So that errors of ours pass through DataFusion's operators and come out as they went in.
impl From<SqlError> for DataFusionError {
    fn from(error: SqlError) -> Self {
        Self::External(Box::new(error))
    }
}

/// So that errors of ours pass through Arrow's readers and kernels.
impl From<SqlError> for ArrowError {
    fn from(error: SqlError) -> Self {
        Self::ExternalError(Box::new(error))
    }
}

impl From<ArrowError> for SqlError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::ExternalError(inner) => of_external(inner),
            ArrowError::ArithmeticOverflow(text) => Self::overflow(lower(&text)),
            ArrowError::MemoryError(text) => Self::new(SqlErrorKind::Memory, lower(&text)),
            ArrowError::NotYetImplemented(text) => {
                Self::invalid(format!("not supported: {}", lower(&text)))
            }
            ArrowError::CastError(text)
            | ArrowError::ParseError(text)
            | ArrowError::ComputeError(text)
            | ArrowError::InvalidArgumentError(text)
            | ArrowError::SchemaError(text)
            | ArrowError::CsvError(text)
            | ArrowError::JsonError(text)
            | ArrowError::IpcError(text)
            | ArrowError::ParquetError(text) => {
                let kind = if text.to_ascii_lowercase().contains("overflow") {
                    SqlErrorKind::Overflow
                } else {
                    SqlErrorKind::Invalid
                };
                Self::new(kind, lower(&text))
            }
            ArrowError::DivideByZero => Self::invalid("division by zero"),
            other => Self::internal(lower(&other.to_string())),
        }
    }
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => of_external(inner),
            DataFusionError::ArrowError(inner, _) => (*inner).into(),
            DataFusionError::Context(_, inner) => (*inner).into(),
            DataFusionError::Diagnostic(diagnostic, inner) => {
                let mut error = Self::from(*inner);
                if let (None, Some(span)) = (error.position, diagnostic.span) {
                    error = error.at(span.start.line, span.start.column);
                }
                error
            }
            DataFusionError::Collection(errors) => errors
                .into_iter()
                .next()
                .map_or_else(|| Self::internal("an error without a cause"), Self::from),
            DataFusionError::Shared(inner) => of_shared(&inner),
            DataFusionError::SQL(inner, _) => of_parser(&inner.to_string()),
            DataFusionError::SchemaError(inner, _) => of_schema(&inner),
            DataFusionError::Plan(text) => of_plan(&text),
            DataFusionError::Configuration(text) => Self::invalid(lower(&text)),
            DataFusionError::NotImplemented(text) => {
                Self::invalid(format!("not supported: {}", lower(&text)))
            }
            DataFusionError::Execution(text) => of_execution(&text),
            DataFusionError::ResourcesExhausted(text) => of_exhaustion(&text),
            other => {
                let text = other.strip_backtrace();
                of_signature(&text).unwrap_or_else(|| Self::internal(lower(&text)))
            }
        }
    }
}

/// A function that does not take what it is given. The planner's text holds an inner error's too, and candidates over several lines.
fn of_signature(text: &str) -> Option<SqlError> {
    let (_, rest) = text.split_once("No function matches the given name and argument types '")?;
    let (call, rest) = rest.split_once("'.")?;
    if rest.contains("UserDefined") {
        // Such functions say themselves what they take.
        return None;
    }
    let (name, types) = call.split_once('(')?;
    // Tags are dictionaries in memory, which is nobody's business.
    let types = types.replace("Dictionary(UInt32, Utf8)", "text").replace("Utf8View", "text");
    let types = types.replace("LargeUtf8", "text").replace("Utf8", "text");
    let types = types.strip_suffix(')').unwrap_or(&types);
    let taken = rest.split_once("Candidate functions:").map_or("", |(_, taken)| taken);
    let taken: Vec<&str> = taken.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let takes =
        if taken.is_empty() { String::new() } else { format!("; there are {}", taken.join(", ")) };
    Some(SqlError::invalid(format!("{name} does not take ({types}){takes}: cast its arguments")))
}

fn of_external(inner: Box<dyn std::error::Error + Send + Sync>) -> SqlError {
    let inner = match inner.downcast::<SqlError>() {
        Ok(error) => return *error,
        Err(inner) => inner,
    };
    let inner = match inner.downcast::<EngineError>() {
        Ok(error) => return (*error).into(),
        Err(inner) => inner,
    };
    let inner = match inner.downcast::<DataFusionError>() {
        Ok(error) => return (*error).into(),
        Err(inner) => inner,
    };
    match inner.downcast::<ArrowError>() {
        Ok(error) => (*error).into(),
        Err(inner) => SqlError::internal(lower(&inner.to_string())),
    }
}

/// Operators that would go on on disk say what they were about, and that there is no disk: nothing is spilled.
fn of_exhaustion(text: &str) -> SqlError {
    let doing = text
        .strip_prefix("Memory Exhausted while ")
        .and_then(|rest| rest.strip_suffix(" (DiskManager is disabled)"));
    let told = doing.map(|doing| {
        format!(
            "{} needs more memory than the query may have, or than is left: narrow the times, ask for fewer columns or \
             for groups, order as the table lies (tags, then time), or raise the limit",
            lower(doing)
        )
    });
    SqlError::new(SqlErrorKind::Memory, told.unwrap_or_else(|| lower(text)))
}

/// An error that several streams share cannot be taken apart: what matters is found by looking.
fn of_shared(error: &DataFusionError) -> SqlError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(one) = cause {
        if let Some(found) = one.downcast_ref::<SqlError>() {
            return found.clone();
        }
        if let Some(DataFusionError::ResourcesExhausted(text)) = one.downcast_ref() {
            return of_exhaustion(text);
        }
        if let Some(DataFusionError::Execution(text)) = one.downcast_ref() {
            return of_execution(text);
        }
        if let Some(ArrowError::ArithmeticOverflow(text)) = one.downcast_ref() {
            return SqlError::overflow(lower(text));
        }
        if let Some(ArrowError::DivideByZero) = one.downcast_ref() {
            return SqlError::invalid("division by zero");
        }
        cause = one.source();
    }
    SqlError::invalid(lower(&error.strip_backtrace()))
}

fn of_schema(error: &SchemaError) -> SqlError {
    let kind = match error {
        SchemaError::FieldNotFound { .. } => SqlErrorKind::Unknown(Unknown::Column),
        SchemaError::AmbiguousReference { .. } => SqlErrorKind::Ambiguous,
        _ => SqlErrorKind::Invalid,
    };
    SqlError::new(kind, lower(&error.to_string()))
}

fn of_plan(text: &str) -> SqlError {
    if let Some(error) = of_signature(text) {
        return error;
    }
    let lowered = lower(text);
    let kind = if lowered.starts_with("table '") && lowered.ends_with("not found") {
        SqlErrorKind::Unknown(Unknown::Table)
    } else if lowered.starts_with("invalid function") || lowered.starts_with("table function '") {
        SqlErrorKind::Unknown(Unknown::Function)
    } else if lowered.starts_with("column '") && lowered.contains("not found") {
        SqlErrorKind::Unknown(Unknown::Column)
    } else {
        SqlErrorKind::Invalid
    };
    SqlError::new(kind, lowered)
}

fn of_execution(text: &str) -> SqlError {
    let overflow = text.to_ascii_lowercase().contains("overflow");
    let kind = if overflow { SqlErrorKind::Overflow } else { SqlErrorKind::Invalid };
    SqlError::new(kind, lower(text))
}

/// The parser's message ends with ` at Line: 1, Column: 8`.
fn of_parser(text: &str) -> SqlError {
    let text = text
        .trim_start_matches("sql parser error: ")
        .trim_start_matches("SQL error: ")
        .trim_end_matches('"');
    let Some((message, place)) = text.rsplit_once(" at Line: ") else {
        return SqlError::new(SqlErrorKind::Syntax, lower(text));
    };
    let error = SqlError::new(SqlErrorKind::Syntax, lower(message));
    let numbers = place.split_once(", Column: ").and_then(|(line, column)| {
        let digits = column.split(|c: char| !c.is_ascii_digit()).next()?;
        Some((line.parse().ok()?, digits.parse().ok()?))
    });
    match numbers {
        Some((line, column)) => error.at(line, column),
        None => error,
    }
}

/// The text in our form: begins in lower case, unless its first word is in capitals, and ends without a period.
fn lower(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let mut chars = text.chars();
    let (first, second) = (chars.next(), chars.next());
    match (first, second) {
        (Some(first), second)
            if first.is_ascii_uppercase() && !second.is_some_and(|c| c.is_ascii_uppercase()) =>
        {
            let rest = text.get(first.len_utf8()..).unwrap_or_default();
            format!("{}{rest}", first.to_ascii_lowercase())
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_ours_pass_through_wrappers() {
        let ours = || SqlError::overflow("a sum");
        let wrapped = DataFusionError::from(ours()).context("somewhere");
        assert_eq!(SqlError::from(wrapped).kind, SqlErrorKind::Overflow);
        let shared = DataFusionError::Shared(Arc::new(DataFusionError::from(ours())));
        assert_eq!(SqlError::from(shared).kind, SqlErrorKind::Overflow);
        let arrow = DataFusionError::ArrowError(Box::new(ours().into()), None);
        assert_eq!(SqlError::from(arrow).kind, SqlErrorKind::Overflow);
        let engine = DataFusionError::External(Box::new(EngineError::Closed));
        assert_eq!(SqlError::from(engine).kind, SqlErrorKind::Engine(EngineErrorKind::Closed));
    }

    #[test]
    fn places_in_the_text_are_kept() {
        let error = of_parser("Expected: an expression, found: FROM at Line: 2, Column: 8");
        assert_eq!((error.kind, error.position), (SqlErrorKind::Syntax, Some((2, 8))));
        assert_eq!(error.message, "expected: an expression, found: FROM");
    }
}
