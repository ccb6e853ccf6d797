//! What is known of a scan before it runs: how its work is split for several threads, how many rows it may give, which tags may be absent.
//! Everything here looks at catalogs, dictionaries and tag indexes, never at values.

use std::sync::Arc;

use chronolith_engine::Result;
use chronolith_engine::model::{SeriesKey, TableSchema, TagFilter, TimeRange};
use chronolith_engine::read::{ScanPart, bind_tags};
use chronolith_engine::snapshot::{SegmentHandle, Snapshot, TableView};

use crate::pushdown::Pushed;

/// Rows below which a scan is not split: a thread's wake-up costs more than it saves.
const SPLIT_ROWS_MIN: u64 = 64 << 10;
/// Series of a memtable beyond which its tags are not looked through while planning.
const PLANNED_SERIES_MAX: u64 = 10_000;

/// A part of a scan: some series, some times. Every part gives its rows in the order series, time, commit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) series: ScanPart,
    pub(crate) range: TimeRange,
}

/// The rows that a scan gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Rows at most.
    pub(crate) row_count: u64,
    /// Least and greatest time, if there is a row.
    pub(crate) times: Option<(i64, i64)>,
    /// Whether both are not bounds but the answer.
    pub(crate) is_exact: bool,
}

/// The sources of a scan whose times it touches.
pub(crate) struct Sources {
    table: Arc<TableView>,
    segments: Vec<Arc<SegmentHandle>>,
    schema: Arc<TableSchema>,
    snapshot: Snapshot,
}

impl Sources {
    /// What of the table `schema` lies in the times of `pushed`.
    pub(crate) fn new(snapshot: &Snapshot, schema: &Arc<TableSchema>, pushed: &Pushed) -> Self {
        let table = snapshot.view().table(schema.id);
        let touched = |one: &&Arc<SegmentHandle>| {
            let info = one.info();
            pushed.range.touches(info.min_time, info.max_time)
                && info.min_sequence <= snapshot.sequence()
        };
        let segments = table.segments.iter().filter(touched).cloned().collect();
        Self { table, segments, schema: Arc::clone(schema), snapshot: snapshot.clone() }
    }

    /// How many rows, and of which times.
    pub(crate) fn extent(&self, pushed: &Pushed) -> Extent {
        let mut pieces: Vec<(i64, i64)> = Vec::new();
        let mut row_count = 0;
        let through = self.snapshot.sequence();
        let mut is_exact =
            pushed.only_times() && !self.table.tombstones.iter().any(|one| one.sequence <= through);
        for segment in &self.segments {
            let info = segment.info();
            pieces.push((info.min_time, info.max_time));
            row_count += info.row_count;
            is_exact &= info.max_sequence <= through
                && !(self.schema.merge.replaces() && info.has_duplicates);
        }
        for memtable in self.table.memtables() {
            let stats = memtable.stats();
            let Some((first, last)) = stats.times else { continue };
            if !pushed.range.touches(first, last) {
                continue;
            }
            pieces.push((first, last));
            row_count += stats.row_count;
            // Inside a memtable rows may replace one another.
            is_exact &= stats.sequences.is_some_and(|(_, last)| last <= through)
                && !self.schema.merge.replaces();
        }
        is_exact &= pieces.iter().all(|(first, last)| pushed.range.covers(*first, *last));
        is_exact &= !(self.schema.merge.replaces() && any_overlap(&mut pieces));
        let least = pieces.iter().map(|piece| piece.0).min();
        let greatest = pieces.iter().map(|piece| piece.1).max();
        Extent { row_count, times: least.zip(greatest), is_exact }
    }

    /// For each tag whether a row may lack it.
    pub(crate) fn absent_tags(&self, pushed: &Pushed) -> Result<Vec<bool>> {
        let tags = self.schema.tags.iter().enumerate();
        tags.map(|(position, tag)| {
            Ok(!pushed.requires_tag(&tag.name) && self.may_lack(position, pushed)?)
        })
        .collect()
    }

    fn may_lack(&self, position: usize, pushed: &Pushed) -> Result<bool> {
        for memtable in self.table.memtables() {
            if memtable.stats().series_count > PLANNED_SERIES_MAX {
                return Ok(true);
            }
            let lacks = |key: &SeriesKey| key.tag(position).is_empty();
            if !memtable.select(pushed.range, &lacks).is_empty() {
                return Ok(true);
            }
        }
        let absent = [(position, TagFilter::In(vec![String::new()]))];
        for segment in &self.segments {
            if !segment.reader()?.select(&absent)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The scan in at most `count` parts of about as many rows each: by series where there are enough of them, else by time.
    pub(crate) fn split(&self, pushed: &Pushed, count: usize) -> Result<Vec<Part>> {
        let whole = Part { series: ScanPart::default(), range: pushed.range };
        if count <= 1 || self.extent(pushed).row_count < SPLIT_ROWS_MIN {
            return Ok(vec![whole]);
        }
        let bounds = self.series_bounds(pushed, count)?;
        if !bounds.is_empty() {
            return Ok(by_series(&bounds, pushed.range));
        }
        Ok(by_time(&self.time_bounds(pushed, count), pushed.range))
    }

    /// Keys between parts, ascending; none where series are too few.
    fn series_bounds(&self, pushed: &Pushed, count: usize) -> Result<Vec<SeriesKey>> {
        let filters = bind_tags(&self.schema, &pushed.predicate)?;
        let largest = self.segments.iter().max_by_key(|segment| segment.info().row_count);
        let mut bounds = match largest {
            Some(segment) => {
                let reader = segment.reader()?;
                let ordinals = reader.select(&filters)?;
                let found = usize::try_from(ordinals.len()).unwrap_or(usize::MAX);
                let places = places(found, count).filter_map(|at| ordinals.select(at));
                places.map(|ordinal| reader.key(ordinal)).collect::<Result<Vec<_>>>()?
            }
            None => {
                let largest = self.table.memtables().max_by_key(|one| one.stats().row_count);
                let accepts = |key: &SeriesKey| {
                    filters.iter().all(|(position, filter)| filter.accepts(key.tag(*position)))
                };
                let series = largest.map(|one| one.select(pushed.range, &accepts));
                let mut keys: Vec<_> =
                    series.unwrap_or_default().into_iter().map(|series| series.key).collect();
                keys.sort_unstable();
                let places = places(keys.len(), count);
                places.filter_map(|at| keys.get(at as usize).cloned()).collect()
            }
        };
        bounds.dedup();
        Ok(bounds)
    }

    /// Times between parts, ascending: as if the rows of each source were spread evenly over its times.
    fn time_bounds(&self, pushed: &Pushed, count: usize) -> Vec<i64> {
        let mut pieces: Vec<(i64, i64, u64)> = Vec::new();
        for segment in &self.segments {
            let info = segment.info();
            pieces.push((info.min_time, info.max_time, info.row_count));
        }
        for memtable in self.table.memtables() {
            let stats = memtable.stats();
            pieces.extend(stats.times.map(|(first, last)| (first, last, stats.row_count)));
        }
        let range = pushed.range;
        let least = pieces.iter().map(|piece| piece.0).min().unwrap_or(0).max(range.from);
        let greatest = pieces.iter().map(|piece| piece.1).max().unwrap_or(0).min(range.to);
        let before = |time: i64| -> f64 {
            pieces.iter().map(|(first, last, rows)| rows_before(*first, *last, *rows, time)).sum()
        };
        let (begin, all) = (before(least), before(greatest) - before(least));
        let mut bounds = Vec::new();
        for part in 1..count {
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let wanted = begin + all * part as f64 / count as f64;
            let (mut low, mut high) = (least, greatest);
            while high.saturating_sub(low) > 1 {
                let middle = low.midpoint(high);
                if before(middle) < wanted { low = middle } else { high = middle }
            }
            bounds.push(high);
        }
        bounds.dedup();
        bounds.retain(|bound| *bound > least && *bound < greatest);
        bounds
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn rows_before(first: i64, last: i64, rows: u64, time: i64) -> f64 {
    let (first, last, time, rows) = (first as f64, last as f64, time as f64, rows as f64);
    if last <= first {
        return if time > first { rows } else { 0.0 };
    }
    rows * ((time - first) / (last - first)).clamp(0.0, 1.0)
}

/// Where `len` things are cut into `count` runs; nowhere where they are too few to be worth it.
fn places(len: usize, count: usize) -> impl Iterator<Item = u32> {
    let cuts = if len >= count * 2 { 1..count } else { 1..1 };
    cuts.filter_map(move |part| u32::try_from(len * part / count).ok())
}

fn by_series(bounds: &[SeriesKey], range: TimeRange) -> Vec<Part> {
    let ends = bounds.iter().cloned().map(Some).chain([None]);
    let starts = [None].into_iter().chain(bounds.iter().cloned().map(Some));
    starts
        .zip(ends)
        .map(|(from, to)| Part { series: ScanPart { from, to, batch_rows: None }, range })
        .collect()
}

fn by_time(bounds: &[i64], range: TimeRange) -> Vec<Part> {
    let ends = bounds.iter().copied().chain([range.to]);
    let starts = [range.from].into_iter().chain(bounds.iter().copied());
    starts
        .zip(ends)
        .map(|(from, to)| Part { series: ScanPart::default(), range: TimeRange { from, to } })
        .collect()
}

/// Whether any two of the pieces share a time; sorts them.
fn any_overlap(pieces: &mut [(i64, i64)]) -> bool {
    pieces.sort_unstable();
    pieces.windows(2).any(|pair| matches!(pair, [(_, end), (start, _)] if start <= end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_by_time_cover_the_range_once() {
        let parts = by_time(&[10, 20], TimeRange::ALL);
        for time in [i64::MIN, 9, 10, 19, 20, i64::MAX] {
            let holding = parts.iter().filter(|part| part.range.contains(time)).count();
            assert_eq!(holding, 1, "{time}");
        }
        assert_eq!(parts.len(), 3);
        assert_eq!(by_time(&[], TimeRange::new(3, 5)).len(), 1);
    }

    #[test]
    fn parts_by_series_cover_every_series_once() {
        let key = |text: &str| SeriesKey::from_tags([text]).unwrap();
        let parts = by_series(&[key("b"), key("d")], TimeRange::ALL);
        for text in ["", "a", "b", "c", "d", "e"] {
            let holding = parts.iter().filter(|part| part.series.holds(&key(text))).count();
            assert_eq!(holding, 1, "{text}");
        }
    }

    #[test]
    fn cuts_are_made_only_where_things_are_enough() {
        assert_eq!(places(3, 2).count(), 0);
        assert_eq!(places(4, 2).collect::<Vec<_>>(), [2]);
        assert_eq!(places(9, 3).collect::<Vec<_>>(), [3, 6]);
    }

    #[test]
    fn pieces_that_share_a_time_overlap() {
        assert!(any_overlap(&mut [(5, 9), (0, 5)]));
        assert!(!any_overlap(&mut [(6, 9), (0, 5)]));
    }
}
