//! The commit order of batches.

use std::fmt;

/// The place of a batch in commit order: first the incarnation of the writing open, then a counter that goes on across incarnations.
/// No sequence is ever given twice, not even when unsynced batches were lost (docs/decisions/0002-sequence.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence {
    /// Raised durably by each writing open before its first write; 0 before any.
    pub incarnation: u32,
    /// Raised by one with every batch; 0 before any.
    pub counter: u64,
}

impl Sequence {
    /// Before every batch.
    pub const ZERO: Self = Self { incarnation: 0, counter: 0 };
    /// After every batch.
    pub const MAX: Self = Self { incarnation: u32::MAX, counter: u64::MAX };

    /// The next sequence of the same incarnation.
    #[must_use]
    pub fn next(self) -> Self {
        Self { incarnation: self.incarnation, counter: self.counter + 1 }
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.counter)
    }
}
