//! Partition windows (docs/decisions/0003-partitions.md).

use crate::limits::{PARTITION_BASE_NS, PARTITION_SHIFT_COUNT_MAX};

use super::TimeRange;

/// The timestamps of one partition: `PARTITION_BASE_NS << shift` nanoseconds wide and aligned to the epoch, so that windows nest:
/// two of them are disjoint, or one holds the other. The window of the least timestamps begins at `i64::MIN` and the one of the
/// greatest ends with `i64::MAX`; both are narrower than the others of their shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// The first timestamp, inclusive.
    pub start_ns: i64,
    /// The width's exponent, at most `PARTITION_SHIFT_COUNT_MAX`.
    pub shift: u8,
}

impl Window {
    /// The window of this width that holds `time`. A shift above the limit counts as the limit.
    #[must_use]
    pub fn of(time: i64, shift: u8) -> Self {
        let shift = shift.min(PARTITION_SHIFT_COUNT_MAX);
        let aligned = floor(time, shift).max(i128::from(i64::MIN));
        Self { start_ns: i64::try_from(aligned).unwrap_or(i64::MIN), shift }
    }

    /// The window that starts at `start_ns`, if there is one of this shift.
    #[must_use]
    pub fn from_parts(start_ns: i64, shift: u8) -> Option<Self> {
        let window = Self { start_ns, shift };
        (Self::of(start_ns, shift) == window).then_some(window)
    }

    /// The timestamps inside.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        let end = floor(self.start_ns, self.shift) + width(self.shift);
        TimeRange::new(self.start_ns, i64::try_from(end).unwrap_or(i64::MAX))
    }

    /// Whether `time` lies inside.
    #[must_use]
    pub fn contains(&self, time: i64) -> bool {
        self.range().contains(time)
    }

    /// Whether any timestamp lies in both; one of the two then holds the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.start_ns) || other.contains(self.start_ns)
    }

    /// The window twice as wide that holds this one; none above the widest.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        (self.shift < PARTITION_SHIFT_COUNT_MAX).then(|| Self::of(self.start_ns, self.shift + 1))
    }
}

fn width(shift: u8) -> i128 {
    i128::from(PARTITION_BASE_NS) << shift.min(PARTITION_SHIFT_COUNT_MAX)
}

/// The aligned start at or below `time`: below `i64::MIN` for the least timestamps.
fn floor(time: i64, shift: u8) -> i128 {
    let width = width(shift);
    i128::from(time).div_euclid(width) * width
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    #[test]
    fn windows_are_aligned_and_floor_negatives() {
        assert_eq!(Window::of(0, 0), Window { start_ns: 0, shift: 0 });
        assert_eq!(Window::of(HOUR - 1, 0).start_ns, 0);
        assert_eq!(Window::of(HOUR, 0).start_ns, HOUR);
        assert_eq!(Window::of(-1, 0).start_ns, -HOUR);
        assert_eq!(Window::of(-1, 3).start_ns, -8 * HOUR);
        assert_eq!(Window::of(5 * HOUR, 2).range(), TimeRange::new(4 * HOUR, 8 * HOUR));
    }

    #[test]
    fn windows_nest() {
        for time in
            [i64::MIN, i64::MIN + 1, -HOUR - 1, -1, 0, 1, 12_345 * HOUR, i64::MAX - 1, i64::MAX]
        {
            let mut window = Window::of(time, 0);
            while let Some(parent) = window.parent() {
                assert_eq!(parent, Window::of(time, window.shift + 1));
                assert!(parent.contains(window.start_ns) && parent.contains(time));
                assert!(parent.overlaps(&window) && window.overlaps(&parent));
                assert!(parent.range().from <= window.range().from);
                assert!(parent.range().to >= window.range().to);
                window = parent;
            }
            assert_eq!(window.shift, PARTITION_SHIFT_COUNT_MAX);
        }
    }

    #[test]
    fn neighbours_are_disjoint_and_leave_no_gap() {
        for shift in [0, 5, 16] {
            for time in [-HOUR, 0, HOUR << 10] {
                let window = Window::of(time, shift);
                let next = Window::of(window.range().to, shift);
                assert_eq!(next.start_ns, window.range().to);
                assert!(!window.overlaps(&next) && !next.overlaps(&window));
                assert!(!window.contains(next.start_ns) && window.contains(next.start_ns - 1));
            }
        }
    }

    #[test]
    fn the_outermost_windows_hold_the_extremes() {
        for shift in 0..=PARTITION_SHIFT_COUNT_MAX {
            let (first, last) = (Window::of(i64::MIN, shift), Window::of(i64::MAX, shift));
            assert_eq!(first.start_ns, i64::MIN);
            assert!(first.contains(i64::MIN) && !first.contains(0) && last.contains(i64::MAX));
            assert!(first.range().to % (HOUR << shift) == 0);
            assert_eq!(Window::from_parts(first.start_ns, shift), Some(first));
            assert_eq!(Window::from_parts(last.start_ns, shift), Some(last));
        }
        assert_eq!(Window::from_parts(1, 0), None);
        assert_eq!(Window::from_parts(0, 17), None);
    }
}
