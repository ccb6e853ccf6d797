//! Times of the command line: text to nanoseconds since the Unix epoch (UTC) and back,
//! exactly, without floating point. The civil arithmetic is in `civil.rs`; chrono
//! serves named zones only.

mod civil;
mod every;
mod format;
mod iso;
mod spec;
mod unix;
mod zone;

pub use every::{EveryError, parse_every};
pub use format::push_utc;
pub use iso::{parse_bound, parse_iso};
pub use spec::{TimeFormat, TimeParser, TimeSpec};
pub use unix::{LooksLike, TimeUnit, looks_like, parse_unix};
pub use zone::Zone;

/// Nanoseconds of a second.
const NS_PER_SECOND: i64 = 1_000_000_000;
/// Seconds of a day of UTC, which has no leap seconds here.
const SECONDS_PER_DAY: i64 = 86_400;

/// Why a text is not a time. `text` is its start, as [`shown`](super::shown) cuts it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Not of the ISO layout.
    #[error("{text:?} is not an ISO-8601 time such as 2024-08-08, or 2024-08-08T09:15:00.25Z")]
    NotIso {
        /// The text.
        text: String,
    },
    /// The layout is right, but a part of it does not exist.
    #[error("{text:?} does not exist in the calendar: {part} is out of its range")]
    NoSuchTime {
        /// The text.
        text: String,
        /// The part that is wrong.
        part: &'static str,
    },
    /// Not an integer or a decimal fraction.
    #[error("{text:?} is not a number of {unit}")]
    NotANumber {
        /// The text.
        text: String,
        /// The unit that was asked for.
        unit: TimeUnit,
    },
    /// A number where no unit was given.
    #[error("column {column:?} has no unit for the number {text}; {}", hint(column, *looks_like))]
    BareNumber {
        /// The number.
        text: String,
        /// The column, as in `--time COLUMN`.
        column: String,
        /// What its magnitude suggests.
        looks_like: LooksLike,
    },
    /// Digits below a nanosecond that are not zero.
    #[error("{text:?} is finer than a nanosecond")]
    TooFine {
        /// The text.
        text: String,
    },
    /// Beyond what 64 bits of nanoseconds hold.
    #[error(
        "{text:?} is outside what nanoseconds in 64 bits hold, \
         1677-09-21T00:12:43.145224192Z .. 2262-04-11T23:47:16.854775807Z"
    )]
    OutOfRange {
        /// The text.
        text: String,
    },
    /// A local time that the zone's clocks leap over.
    #[error("{text:?} does not exist in {zone}: its clocks were put forward over it")]
    NonexistentLocal {
        /// The text.
        text: String,
        /// The zone.
        zone: String,
    },
    /// A zone that the time zone database does not have.
    #[error("unknown time zone {name:?}; give a name such as UTC or Asia/Kolkata")]
    UnknownZone {
        /// As it was given.
        name: String,
    },
    /// `--time` without a column.
    #[error("{text:?} names no time column; write COLUMN, or COLUMN:s with s, ms, us, ns or iso")]
    NoColumn {
        /// As it was given.
        text: String,
    },
}

fn hint(column: &str, looks_like: LooksLike) -> String {
    match looks_like {
        LooksLike::Unit(unit) => {
            format!("it looks like {unit}: write --time {column}:{}", unit.suffix())
        }
        LooksLike::CompactDate => {
            format!("if it is a date, write it as YYYY-MM-DD, else give --time {column}:UNIT")
        }
    }
}

#[cfg(test)]
mod tests;
