//! `--time COLUMN[:s|ms|us|ns|iso]`, and the parser of that column.

use super::unix::{TimeUnit, looks_like, parse_unix};
use super::zone::Zone;
use super::{TimeError, parse_iso};
use crate::text::shown;
use std::fmt;

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeFormat {
    /// ISO-8601 text.
    Iso,
    /// Numbers since the epoch.
    Unix(TimeUnit),
}

impl TimeFormat {
    /// Reads `iso`, `s`, `ms`, `us` or `ns`.
    #[must_use]
    pub fn parse(suffix: &str) -> Option<Self> {
        if suffix == "iso" { Some(Self::Iso) } else { TimeUnit::parse(suffix).map(Self::Unix) }
    }
}

impl fmt::Display for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iso => f.write_str("iso"),
            Self::Unix(unit) => f.write_str(unit.suffix()),
        }
    }
}

/// The time column and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeSpec {
    /// The column's name in the file.
    pub column: String,
    /// ISO when no suffix says otherwise.
    pub format: TimeFormat,
}

impl TimeSpec {
    /// Reads `COLUMN` or `COLUMN:SUFFIX`. Only a known suffix counts: `a:b` is a column of
    /// that name; a column that is called `a:s` is written `a:s:iso` (or with its unit).
    ///
    /// # Errors
    /// [`TimeError::NoColumn`].
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let known = text
            .rsplit_once(':')
            .and_then(|(column, suffix)| Some((column, TimeFormat::parse(suffix)?)));
        let (column, format) = known.unwrap_or((text, TimeFormat::Iso));
        if column.is_empty() {
            return Err(TimeError::NoColumn { text: shown(text.as_bytes()) });
        }
        Ok(Self { column: column.to_owned(), format })
    }
}

/// Reads one column's times.
#[derive(Debug, Clone)]
pub struct TimeParser {
    spec: TimeSpec,
    zone: Zone,
}

impl TimeParser {
    /// Reads `spec`'s column; `zone` is for ISO times without an offset.
    #[must_use]
    pub fn new(spec: TimeSpec, zone: Zone) -> Self {
        Self { spec, zone }
    }

    /// The column and its format.
    #[must_use]
    pub fn spec(&self) -> &TimeSpec {
        &self.spec
    }

    /// Nanoseconds since the epoch.
    ///
    /// # Errors
    /// [`TimeError`]; a number where no unit was given is `BareNumber`, which suggests one.
    pub fn parse(&self, text: &[u8]) -> Result<i64, TimeError> {
        match self.spec.format {
            TimeFormat::Unix(unit) => parse_unix(text, unit),
            TimeFormat::Iso => parse_iso(text, &self.zone).map_err(|e| self.explain(text, e)),
        }
    }

    fn explain(&self, text: &[u8], error: TimeError) -> TimeError {
        match looks_like(text) {
            Some(looks_like) => TimeError::BareNumber {
                text: shown(text),
                column: self.spec.column.clone(),
                looks_like,
            },
            None => error,
        }
    }
}
