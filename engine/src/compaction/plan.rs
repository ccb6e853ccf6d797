//! Decides what to merge.

use std::sync::Arc;

use crate::limits::PARTITION_SHIFT_COUNT_MAX;
use crate::model::{Sequence, Window};
use crate::planted::{Bug, is_on};
use crate::segment::SegmentInfo;
use crate::tombstone::Tombstone;

/// Segments to merge into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The window of the result: it holds the windows of all inputs.
    pub window: Window,
    /// The inputs.
    pub inputs: Vec<Arc<SegmentInfo>>,
}

/// Plans merges of one table's `segments`. Segments whose windows overlap belong together; together they are merged when there are
/// `segment_count` of them or more. With `settle` (an explicit compaction) all that are more than one are merged, those that were not encoded
/// densely or that a tombstone up to `horizon` touches are written anew, and neighbours with fewer rows than `rows_min` join.
#[must_use]
pub fn plan(
    segments: &[Arc<SegmentInfo>],
    tombstones: &[Tombstone],
    horizon: Sequence,
    segment_count: usize,
    rows_min: u64,
    settle: bool,
) -> Vec<Plan> {
    let mut groups = overlapping(segments);
    if settle {
        groups = join_sparse(groups, rows_min);
    }
    groups.retain(|plan| {
        let many = plan.inputs.len() >= segment_count.max(2);
        let unsettled = plan.inputs.len() > 1
            || plan
                .inputs
                .iter()
                .any(|one| one.effort == 0 || is_touched(one, tombstones, horizon));
        many || (settle && unsettled)
    });
    if is_on(Bug::CompactAround) {
        for plan in groups.iter_mut().filter(|plan| plan.inputs.len() > 2) {
            plan.inputs.sort_by_key(|segment| segment.min_sequence);
            plan.inputs.remove(1);
        }
    }
    groups
}

/// Whether compaction would take rows out of the segment.
fn is_touched(segment: &SegmentInfo, tombstones: &[Tombstone], horizon: Sequence) -> bool {
    tombstones.iter().any(|one| {
        one.sequence <= horizon
            && one.sequence > segment.tombstones_through
            && one.may_touch(
                segment.table,
                segment.min_time,
                segment.max_time,
                segment.min_sequence,
            )
    })
}

/// Groups of segments whose windows overlap. Windows nest: the widest of a group holds the others.
fn overlapping(segments: &[Arc<SegmentInfo>]) -> Vec<Plan> {
    let mut sorted: Vec<Arc<SegmentInfo>> = segments.to_vec();
    sorted.sort_by_key(|one| {
        (one.window.start_ns, std::cmp::Reverse(one.window.shift), one.min_sequence, one.file_id)
    });
    let mut groups: Vec<Plan> = Vec::new();
    for segment in sorted {
        match groups.last_mut().filter(|group| group.window.overlaps(&segment.window)) {
            Some(group) => group.inputs.push(segment),
            None => groups.push(Plan { window: segment.window, inputs: vec![segment] }),
        }
    }
    groups
}

/// Joins neighbours that both hold fewer rows than `rows_min`, as long as a wider window takes both and nothing else.
fn join_sparse(groups: Vec<Plan>, rows_min: u64) -> Vec<Plan> {
    let rows = |plan: &Plan| plan.inputs.iter().map(|one| one.row_count).sum::<u64>();
    let mut joined: Vec<Plan> = Vec::new();
    for mut plan in groups {
        while let Some(before) = joined.last() {
            let sparse = rows(before) < rows_min && rows(&plan) < rows_min;
            let Some(window) = common(before.window, plan.window).filter(|_| sparse) else { break };
            // Windows before the last one are disjoint from it, but a wider window might reach them.
            let reaches =
                joined.iter().rev().nth(1).is_some_and(|one| one.window.overlaps(&window));
            if reaches {
                break;
            }
            if let Some(before) = joined.pop() {
                plan.inputs.splice(0..0, before.inputs);
                plan.window = window;
            }
        }
        match joined.last_mut().filter(|before| before.window.overlaps(&plan.window)) {
            Some(before) => before.inputs.extend(plan.inputs),
            None => joined.push(plan),
        }
    }
    joined
}

/// The narrowest window that holds both.
fn common(a: Window, b: Window) -> Option<Window> {
    let mut window = if a.shift >= b.shift { a } else { b };
    while !(window.overlaps(&a) && window.overlaps(&b)) {
        if window.shift >= PARTITION_SHIFT_COUNT_MAX {
            return None;
        }
        window = window.parent()?;
    }
    Some(window)
}

/// Whether no row that `tombstone` hides is left: every segment that it may touch had it applied, and no row below it is in memory.
#[must_use]
pub fn removable<'a>(
    tombstone: &Tombstone,
    mut segments: impl Iterator<Item = &'a Arc<SegmentInfo>>,
    flushed_through: Sequence,
) -> bool {
    if is_on(Bug::DropTombstoneEarly) {
        return true;
    }
    flushed_through >= tombstone.sequence
        && segments.all(|one| {
            one.tombstones_through >= tombstone.sequence
                || !tombstone.may_touch(one.table, one.min_time, one.max_time, one.min_sequence)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PARTITION_BASE_NS;
    use crate::model::{FileId, TableId};

    fn segment(hour: i64, shift: u8, rows: u64, first: u64) -> Arc<SegmentInfo> {
        let window = Window::of(hour * PARTITION_BASE_NS, shift);
        let at = |counter| Sequence { incarnation: 1, counter };
        Arc::new(SegmentInfo {
            file_id: FileId(u128::from(first)),
            table: TableId(1),
            window,
            len_bytes: 1,
            hash: [0; 32],
            row_count: rows,
            series_count: 1,
            min_time: window.start_ns,
            max_time: window.start_ns + 10,
            min_sequence: at(first),
            max_sequence: at(first + 9),
            has_duplicates: false,
            tombstones_through: Sequence::ZERO,
            effort: 1,
        })
    }

    fn ids(plans: &[Plan]) -> Vec<Vec<u128>> {
        plans.iter().map(|plan| plan.inputs.iter().map(|one| one.file_id.0).collect()).collect()
    }

    #[test]
    fn everything_that_overlaps_is_merged_together_and_nothing_else() {
        let segments = [
            segment(0, 0, 9, 10),
            segment(1, 0, 9, 20),
            segment(0, 1, 9, 30),
            segment(4, 0, 9, 40),
        ];
        let plans = plan(&segments, &[], Sequence::MAX, 3, 0, false);
        assert_eq!(ids(&plans), [[30, 10, 20]]);
        assert_eq!(plans[0].window, Window::of(0, 1));
        assert!(plan(&segments, &[], Sequence::MAX, 4, 0, false).is_empty());
    }

    #[test]
    fn settling_joins_sparse_neighbours_only() {
        let segments = [segment(0, 0, 5, 10), segment(1, 0, 5, 20), segment(2, 0, 900, 30)];
        let plans = plan(&segments, &[], Sequence::MAX, 8, 100, true);
        assert_eq!(ids(&plans), [[10, 20]]);
        assert_eq!(plans[0].window, Window::of(0, 1));
    }

    #[test]
    fn plans_never_overlap() {
        // Joining the second and third would take a window that holds the first and fourth too.
        let segments = [
            segment(0, 0, 900, 10),
            segment(1, 0, 5, 20),
            segment(2, 0, 5, 30),
            segment(3, 0, 900, 40),
        ];
        let plans = plan(&segments, &[], Sequence::MAX, 1, 100, true);
        for (at, one) in plans.iter().enumerate() {
            assert!(plans.iter().skip(at + 1).all(|other| !one.window.overlaps(&other.window)));
        }
    }

    #[test]
    fn a_tombstone_stays_as_long_as_a_row_below_it() {
        let tombstone = Tombstone {
            table: TableId(1),
            sequence: Sequence { incarnation: 1, counter: 25 },
            tags: Vec::new(),
            range: crate::model::TimeRange::ALL,
        };
        let old = [segment(0, 0, 5, 10)];
        assert!(!removable(&tombstone, old.iter(), Sequence::MAX));
        let newer = [segment(0, 0, 5, 30)];
        assert!(removable(&tombstone, newer.iter(), Sequence::MAX));
        assert!(!removable(&tombstone, newer.iter(), Sequence { incarnation: 1, counter: 24 }));
    }
}
