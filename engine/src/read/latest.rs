//! The last row of each series. Candidates come from the last rows of the segments and of the memtables; where one is hidden, too new,
//! too late, refused by a condition or perhaps not whole, that series alone is read back from its end.

use std::sync::Arc;

use super::batch::{ScanBatch, SeriesRun};
use super::plan::{ScanPlan, ScanRequest};
use super::scan::{Piece, Scan};
use crate::error::Result;
use crate::last_rows::{LastRows, LastRowsBuilder};
use crate::memtable::MemSelect;
use crate::merge::retain;
use crate::model::{MergeMode, RowChunk, SeriesKey, SeriesRows, TagFilter, TimeRange};
use crate::planted::{Bug, is_on};
use crate::segment::SegmentReader;
use crate::snapshot::{SegmentHandle, Snapshot, TableView};

/// Series that conditions on tags may name one by one.
const NAMED_SERIES_COUNT_MAX: usize = 256;
/// How far back from its end a series is first looked at, where the row at its end does not count: one second.
const FIRST_SPAN_NS: i64 = 1_000_000_000;

impl Snapshot {
    /// The last row, by (time, commit), of each series that `request` selects, among the rows that it selects: one batch, sorted by series.
    ///
    /// # Errors
    /// As [`Snapshot::scan`].
    #[tracing::instrument(level = "debug", skip_all, fields(table = %request.table))]
    pub fn latest(&self, request: &ScanRequest) -> Result<ScanBatch> {
        let plan = ScanPlan::bind(self.table(&request.table)?, request)?;
        let table = self.view().table(plan.schema.id);
        let mut scan = Scan::without_series(self, plan)?;
        let named = named_series(&scan.plan);
        let search = Search { scan: &scan, table: &table, named };
        let candidates = search.candidates()?;
        // The candidates, and the batch that is made of them.
        let keys: usize = candidates.keys.iter().map(SeriesKey::memory_bytes).sum();
        scan.hold(2 * (keys + candidates.rows.memory_bytes()))?;
        Search { scan: &scan, table: &table, named: None }.answer(candidates)
    }
}

/// The series that conditions on all tags name, ascending; none where they leave a tag open or name too many.
fn named_series(plan: &ScanPlan) -> Option<Vec<SeriesKey>> {
    let mut named: Vec<Vec<&str>> = vec![Vec::new()];
    for position in 0..plan.schema.tags.len() {
        let values = plan.tags.iter().find_map(|(of, filter)| match filter {
            TagFilter::In(values) if *of == position => Some(values),
            _ => None,
        })?;
        if named.len().saturating_mul(values.len()) > NAMED_SERIES_COUNT_MAX {
            return None;
        }
        let pairs = named.iter().flat_map(|tags| values.iter().map(move |value| (tags, value)));
        named = pairs.map(|(tags, value)| [tags.as_slice(), &[value.as_str()]].concat()).collect();
    }
    // A value that no tag can have names no series.
    let keys = named.into_iter().filter_map(|tags| SeriesKey::from_tags(tags).ok());
    let mut keys: Vec<SeriesKey> = keys.filter(|key| plan.accepts(key)).collect();
    keys.sort_unstable();
    keys.dedup();
    Some(keys)
}

/// One question for last rows.
struct Search<'a> {
    scan: &'a Scan,
    table: &'a TableView,
    named: Option<Vec<SeriesKey>>,
}

impl Search<'_> {
    fn plan(&self) -> &ScanPlan {
        &self.scan.plan
    }

    /// Whether the segment may hold a row that is asked for.
    fn touches(&self, segment: &SegmentHandle) -> bool {
        let info = segment.info();
        self.plan().range.touches(info.min_time, info.max_time)
            && info.min_sequence <= self.scan.through
    }

    fn candidates(&self) -> Result<SeriesRows> {
        let accept = |key: &SeriesKey| self.plan().accepts(key);
        let select = match &self.named {
            Some(keys) => MemSelect::Keys(keys),
            None => MemSelect::Where(&accept),
        };
        let (range, through) = (self.plan().range, self.scan.through);
        let memtables = self.table.memtables();
        let in_memory: Vec<_> = memtables
            .map(|memtable| memtable.last_rows(&select, range, through, &self.scan.columns))
            .filter(|found| !found.keys.is_empty())
            .collect();
        let mut builder = LastRowsBuilder::new(self.scan.columns.to_vec());
        match self.kept() {
            Some(kept) if in_memory.is_empty() => return Ok(self.of_kept(&kept)),
            Some(kept) => {
                builder.add_rows(self.of_kept(&kept));
                in_memory.into_iter().for_each(|found| builder.add_rows(found));
            }
            None => {
                // First what costs no read: segments that end before it are passed over.
                in_memory.into_iter().for_each(|found| builder.add_rows(found));
                self.add_segments(&mut builder)?;
            }
        }
        Ok(builder.finish().into_rows())
    }

    /// What is kept of the last rows of all segments, where it answers. Damage is left to who reads what is asked for alone.
    fn kept(&self) -> Option<Arc<LastRows>> {
        let segments = &self.table.segments;
        let range = self.plan().range;
        let is_seen = |segment: &Arc<SegmentHandle>| {
            let info = segment.info();
            range.contains(info.min_time.max(range.from)) && info.min_sequence <= self.scan.through
        };
        if segments.is_empty() || !segments.iter().all(is_seen) {
            return None;
        }
        let is_narrow = !self.plan().tags.is_empty();
        let open = |at: usize| match segments.get(at) {
            Some(segment) => segment.reader(),
            None => Err(crate::error::Error::Internal(format!("segment {at} of a table"))),
        };
        let infos: Vec<_> = segments.iter().map(|segment| segment.info().as_ref()).collect();
        self.table.last_rows.get(&infos, is_narrow, &open).ok().flatten()
    }

    /// The series that are asked for out of what is kept.
    fn of_kept(&self, kept: &LastRows) -> SeriesRows {
        let columns = &self.scan.columns;
        if self.plan().tags.is_empty() {
            return kept.all(columns);
        }
        let leading = self.plan().tags.iter().find_map(|(position, filter)| match filter {
            TagFilter::In(values) if *position == 0 => Some(values),
            _ => None,
        });
        let mut places: Vec<usize> = match leading {
            Some(values) if values.len() <= NAMED_SERIES_COUNT_MAX => {
                values.iter().flat_map(|value| kept.with_leading_tag(value)).collect()
            }
            _ => (0..kept.keys().len()).collect(),
        };
        places.sort_unstable();
        places.dedup();
        places.retain(|at| kept.keys().get(*at).is_some_and(|key| self.plan().accepts(key)));
        kept.pick(&places, columns)
    }

    /// The series that are asked for, out of the segments that may hold them.
    fn add_segments(&self, builder: &mut LastRowsBuilder) -> Result<()> {
        let touched: Vec<_> =
            self.table.segments.iter().filter(|segment| self.touches(segment)).collect();
        let open = |at: usize| match touched.get(at) {
            Some(segment) => segment.reader(),
            None => Err(crate::error::Error::Internal(format!("segment {at} of a table"))),
        };
        let select = |reader: &SegmentReader| -> Result<Option<Vec<u32>>> {
            if self.plan().tags.is_empty() {
                return Ok(None);
            }
            Ok(Some(reader.select(&self.plan().tags)?.iter().collect()))
        };
        let infos: Vec<_> = touched.iter().map(|segment| segment.info().as_ref()).collect();
        let mut grant = self.scan.new_grant();
        let mut has_room = |bytes: usize| grant.resize(bytes.saturating_mul(2)).map(|()| true);
        let known = self.named.as_ref().map(Vec::len);
        builder.add_segments(&infos, &open, &select, known, &mut has_room)?;
        Ok(())
    }

    /// Keeps the candidates that are what is asked for, and looks behind the others.
    fn answer(&self, candidates: SeriesRows) -> Result<ScanBatch> {
        let SeriesRows { mut keys, mut rows, tied } = candidates;
        let sound = self.sound(&keys, &rows, &tied);
        let range = self.plan().range;
        // The last row of all comes before the range: no row is in it.
        let is_past = |at: usize| rows.time.get(at).is_none_or(|time| *time < range.from);
        let asks: Vec<usize> = (0..keys.len())
            .filter(|at| !sound.get(*at).copied().unwrap_or(false) && !is_past(*at))
            .collect();
        let keep: Vec<bool> =
            sound.iter().enumerate().map(|(at, sound)| *sound && !is_past(at)).collect();
        rows.fields.truncate(self.plan().output_count);
        if !self.plan().with_sequence {
            rows.sequence.clear();
        }
        if asks.is_empty() {
            if keep.contains(&false) {
                rows = retain(rows, &keep);
                let mut kept = keep.iter();
                keys.retain(|_| kept.next().copied().unwrap_or(false));
            }
            return Ok(self.batch(keys, rows));
        }
        let mut asks = asks.into_iter().peekable();
        let mut out = rows.empty_like();
        let mut out_keys = Vec::with_capacity(keys.len());
        for (at, key) in keys.into_iter().enumerate() {
            if asks.next_if_eq(&at).is_some() {
                if let Some(last) = self.last_row(&key)? {
                    out.push_slice(&last, last.row_count() - 1..last.row_count());
                    out_keys.push(key);
                }
            } else if keep.get(at).copied().unwrap_or(false) {
                out.push_slice(&rows, at..at + 1);
                out_keys.push(key);
            }
        }
        Ok(self.batch(out_keys, out))
    }

    fn batch(&self, keys: Vec<SeriesKey>, rows: RowChunk) -> ScanBatch {
        let (schema, fields) = (Arc::clone(&self.plan().schema), Arc::clone(&self.scan.output));
        let run = |(key, at): (SeriesKey, usize)| SeriesRun { key, rows: at..at + 1 };
        let series = keys.into_iter().zip(0..).map(run).collect();
        ScanBatch { schema, fields, series, rows }
    }

    /// Which candidates are the last rows that this reader sees, whole and with all conditions met.
    fn sound(&self, keys: &[SeriesKey], rows: &RowChunk, tied: &[bool]) -> Vec<bool> {
        let (plan, through) = (self.plan(), self.scan.through);
        let places = rows.time.iter().zip(&rows.sequence);
        let mut sound: Vec<bool> = places
            .map(|(time, sequence)| *sequence <= through && plan.range.contains(*time))
            .collect();
        let planted = is_on(Bug::StaleLastRow);
        for tombstone in self.scan.tombstones.iter().filter(|_| !planted) {
            let each = keys.iter().zip(rows.time.iter().zip(&rows.sequence)).zip(&mut sound);
            for ((key, (time, sequence)), sound) in each {
                *sound = *sound && !tombstone.hides(key, *time, *sequence);
            }
        }
        if plan.schema.merge == MergeMode::LastNonNull && !planted {
            // A NULL may stand for an older row's value.
            for column in rows.fields.iter().filter(|column| column.null_count() > 0) {
                for (at, (sound, tied)) in sound.iter_mut().zip(tied).enumerate() {
                    *sound = *sound && (!tied || column.is_valid(at));
                }
            }
        }
        for filter in &plan.filters {
            if let Some(column) = rows.fields.get(filter.column) {
                filter.mark(column, &mut sound);
            }
        }
        sound
    }

    /// Rows whose last one is the last row of the series that is asked for.
    fn last_row(&self, key: &SeriesKey) -> Result<Option<RowChunk>> {
        let range = self.plan().range;
        let mut pieces = Vec::new();
        for segment in self.table.segments.iter().filter(|segment| self.touches(segment)) {
            let reader = segment.reader()?;
            pieces.extend(reader.find(key)?.map(|ordinal| Piece::Segment { reader, ordinal }));
        }
        for memtable in self.table.memtables() {
            let series = memtable.find(key, range);
            pieces.extend(
                series.map(|series| Piece::Memory { memtable: Arc::clone(memtable), series }),
            );
        }
        // The least time, and the greatest that may be in the range.
        let mut bounds: Option<(i64, i64)> = None;
        let end = if range.to == i64::MAX { i64::MAX } else { range.to.saturating_sub(1) };
        for piece in &pieces {
            let (first, last) = piece.bounds()?;
            if range.touches(first, last) {
                let (least, greatest) = bounds.unwrap_or((first, i64::MIN));
                bounds = Some((least.min(first).max(range.from), greatest.max(last.min(end))));
            }
        }
        let Some((least, greatest)) = bounds else { return Ok(None) };
        let (mut to, mut span) = (greatest, 0);
        loop {
            let from = to.saturating_sub(span).max(least);
            let part = TimeRange::inclusive(from, to).intersect(&range);
            if let Some(found) = self.last_of(key, &pieces, part)? {
                return Ok(Some(found));
            }
            if from <= least {
                return Ok(None);
            }
            to = from.saturating_sub(1);
            span = span.saturating_mul(64).max(FIRST_SPAN_NS);
        }
    }

    fn last_of(
        &self,
        key: &SeriesKey,
        pieces: &[Piece],
        range: TimeRange,
    ) -> Result<Option<RowChunk>> {
        let opened = self.scan.open(key.clone(), pieces, range)?;
        let Some(mut series) = opened else { return Ok(None) };
        let mut last = None;
        while let Some(rows) = self.scan.next_rows(&mut series)? {
            last = Some(rows);
        }
        Ok(last)
    }
}
