//! `--every`: the width of a bucket.

use crate::text::shown;

/// Why a text is not a width.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EveryError {
    /// Not `<count><unit>`.
    #[error(
        "{text:?} is not a duration; write a count and a unit of ns, us, ms, s, m, h, d or w, such as 15m"
    )]
    NotADuration {
        /// As it was given.
        text: String,
    },
    /// Months and years differ in length.
    #[error(
        "{text:?}: months and years are not supported, as they differ in length; use days (d) or weeks (w); minutes are m"
    )]
    Months {
        /// As it was given.
        text: String,
    },
    /// Nothing at all.
    #[error("{text:?} is zero; a duration must be positive")]
    Zero {
        /// As it was given.
        text: String,
    },
    /// Beyond 64 bits of nanoseconds.
    #[error("{text:?} is over 9223372036854775807 nanoseconds, about 292 years")]
    TooLong {
        /// As it was given.
        text: String,
    },
}

/// Reads a duration such as `500ms`, `1s`, `15m`, `1h`, `1d` or `1w` in nanoseconds, at
/// least 1. A day has 24 hours: buckets are in UTC.
///
/// # Errors
/// [`EveryError`].
pub fn parse_every(text: &str) -> Result<i64, EveryError> {
    let shown = || shown(text.as_bytes());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) =
        text.split_at_checked(digits).ok_or_else(|| EveryError::NotADuration { text: shown() })?;
    let unit_ns: i64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        "w" => 604_800_000_000_000,
        "M" | "mo" | "month" | "months" | "q" | "Q" | "y" | "Y" | "year" | "years" => {
            return Err(EveryError::Months { text: shown() });
        }
        _ => return Err(EveryError::NotADuration { text: shown() }),
    };
    if count.is_empty() {
        return Err(EveryError::NotADuration { text: shown() });
    }
    // Only digits stand here, so what fails to parse is too large.
    let ns = count.parse::<i64>().ok().and_then(|count| count.checked_mul(unit_ns));
    match ns {
        Some(0) => Err(EveryError::Zero { text: shown() }),
        Some(ns) => Ok(ns),
        None => Err(EveryError::TooLong { text: shown() }),
    }
}
