//! The zone in which times without an offset are read (`--zone`).

use super::TimeError;
use crate::text::shown;
use chrono::{DateTime, MappedLocalTime, Offset, TimeZone};
use chrono_tz::Tz;
use std::fmt;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Coordinated universal time: the default, and the fast way.
    Utc,
    /// A zone of the IANA database. Its table ends with 2100: later summers have standard time.
    Named(Tz),
}

impl Zone {
    /// Reads a name of the IANA database, such as `UTC` or `Asia/Kolkata`.
    ///
    /// # Errors
    /// [`TimeError::UnknownZone`].
    pub fn parse(name: &str) -> Result<Self, TimeError> {
        let zone = name
            .parse::<Tz>()
            .map_err(|_| TimeError::UnknownZone { name: shown(name.as_bytes()) })?;
        Ok(if zone == Tz::UTC { Self::Utc } else { Self::Named(zone) })
    }

    /// Seconds that the zone is ahead of UTC when its clocks show `local_seconds` (since
    /// 1970-01-01T00:00 on those clocks). When they show it twice, the earlier instant
    /// counts; `text` is for the error.
    ///
    /// # Errors
    /// [`TimeError::NonexistentLocal`] when they never show it.
    pub(super) fn offset_at_local(
        &self,
        local_seconds: i64,
        text: &[u8],
    ) -> Result<i64, TimeError> {
        let Self::Named(zone) = self else { return Ok(0) };
        let Some(local) = DateTime::from_timestamp(local_seconds, 0) else {
            return Err(TimeError::OutOfRange { text: shown(text) });
        };
        let seconds = |offset: &chrono_tz::TzOffset| i64::from(offset.fix().local_minus_utc());
        match zone.offset_from_local_datetime(&local.naive_utc()) {
            MappedLocalTime::Single(offset) => Ok(seconds(&offset)),
            // The larger offset is the earlier instant.
            MappedLocalTime::Ambiguous(a, b) => Ok(seconds(&a).max(seconds(&b))),
            MappedLocalTime::None => {
                let zone = zone.name().to_owned();
                Err(TimeError::NonexistentLocal { text: shown(text), zone })
            }
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utc => f.write_str("UTC"),
            Self::Named(zone) => f.write_str(zone.name()),
        }
    }
}
