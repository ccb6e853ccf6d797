//! Ranges of timestamps.

/// Timestamps in `[from, to)`, nanoseconds since the Unix epoch, UTC. The one timestamp that no half-open range of i64 can hold,
/// `i64::MAX`, belongs to ranges whose `to` is `i64::MAX`: `ALL` holds every timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// The first timestamp, inclusive.
    pub from: i64,
    /// The end, exclusive, but for `i64::MAX`.
    pub to: i64,
}

impl TimeRange {
    /// Every timestamp.
    pub const ALL: Self = Self { from: i64::MIN, to: i64::MAX };

    /// `[from, to)`.
    #[must_use]
    pub fn new(from: i64, to: i64) -> Self {
        Self { from, to }
    }

    /// The smallest range that holds every timestamp from `first` to `last`, both inclusive.
    #[must_use]
    pub fn inclusive(first: i64, last: i64) -> Self {
        Self { from: first, to: last.saturating_add(1) }
    }

    /// Whether `timestamp` lies inside.
    #[must_use]
    pub fn contains(&self, timestamp: i64) -> bool {
        self.from <= timestamp && (timestamp < self.to || self.to == i64::MAX)
    }

    /// Whether any timestamp from `first` to `last`, both inclusive, lies inside.
    #[must_use]
    pub fn touches(&self, first: i64, last: i64) -> bool {
        last >= self.from && (first < self.to || self.to == i64::MAX) && !self.is_empty()
    }

    /// Whether every timestamp from `first` to `last`, both inclusive, lies inside.
    #[must_use]
    pub fn covers(&self, first: i64, last: i64) -> bool {
        self.contains(first) && self.contains(last)
    }

    /// Whether no timestamp lies inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from >= self.to && self.to != i64::MAX
    }

    /// The timestamps that lie in both.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.min(other.to) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_timestamp_belongs_to_unbounded_ranges_only() {
        assert!(TimeRange::ALL.contains(i64::MAX));
        assert!(TimeRange::inclusive(5, i64::MAX).contains(i64::MAX));
        assert!(!TimeRange::new(0, 10).contains(10));
        assert!(TimeRange::new(0, 10).touches(9, 50));
        assert!(!TimeRange::new(0, 10).touches(10, 50));
        assert!(TimeRange::new(7, 7).is_empty());
        assert!(!TimeRange::new(7, 7).touches(0, 9));
    }
}
