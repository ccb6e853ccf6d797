//! Rows that cannot be taken: with `fail` the first one ends the import, with `skip` they are counted.

use super::super::{CtlError, CtlResult};

/// Refused rows that are shown.
pub(super) const SHOWN_COUNT: usize = 10;

/// Why a row cannot be taken: file, line, reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) String);

impl Refusal {
    /// Of what stands at `position` `number` of the file `name`.
    pub(super) fn at(
        name: &str,
        position: &str,
        number: u64,
        reason: impl std::fmt::Display,
    ) -> Self {
        Self(format!("{name}, {position} {number}: {reason}"))
    }
}

/// What is done with refused rows, and how many there were.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusals {
    skip: bool,
    pub(super) count: u64,
    pub(super) first: Vec<String>,
}

impl Refusals {
    pub(super) fn new(skip: bool) -> Self {
        Self { skip, ..Self::default() }
    }

    /// Takes in a refused row.
    ///
    /// # Errors
    /// `Invalid` unless refused rows are skipped.
    pub(super) fn refuse(&mut self, refusal: Refusal) -> CtlResult<()> {
        if !self.skip {
            return Err(CtlError::Invalid(format!(
                "{}; with --on-error skip such rows are left out",
                refusal.0
            )));
        }
        self.count += 1;
        if self.first.len() < SHOWN_COUNT {
            self.first.push(refusal.0);
        }
        Ok(())
    }

    /// Takes in what another file had.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        let room = SHOWN_COUNT.saturating_sub(self.first.len());
        self.first.extend(other.first.iter().take(room).cloned());
    }
}
