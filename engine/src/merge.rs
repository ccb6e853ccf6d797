//! Joins the rows of one series from several sources into one ascending stream, then resolves rows of the same time.
//! Sources that do not overlap in time are passed through; where they do, runs of rows are copied, not single ones.

use std::collections::VecDeque;

use crate::error::Result;
use crate::model::{FieldType, MergeMode, RowChunk, Sequence, SeriesKey};
use crate::planted::{Bug, is_on};
use crate::tombstone::Tombstone;

/// Rows at which a joined chunk is handed on.
const CHUNK_ROWS: usize = 16 << 10;
/// Rows after which the bytes of a joined chunk are looked at, where no text makes rows long.
const CHECK_ROWS: usize = 256;

/// Rows of one series from one place, ascending by (time, sequence, position in the batch).
pub trait RowSource: Send {
    /// The next rows; none at the end. Chunks are not empty.
    ///
    /// # Errors
    /// `Corrupt`, `Io`: the source then stays failed.
    fn next_chunk(&mut self) -> Result<Option<RowChunk>>;

    /// Bounds of its timestamps, both inclusive; they may be wider than the rows.
    fn bounds(&self) -> (i64, i64);
}

/// Whether any two of these bounds share a timestamp.
#[must_use]
pub fn overlap(bounds: impl Iterator<Item = (i64, i64)>) -> bool {
    let mut bounds: Vec<_> = bounds.collect();
    bounds.sort_unstable();
    if is_on(Bug::OverlapAtEdge) {
        return bounds
            .windows(2)
            .any(|pair| matches!(pair, [(_, last), (first, _)] if first < last));
    }
    bounds.windows(2).any(|pair| matches!(pair, [(_, last), (first, _)] if first <= last))
}

/// The joined rows of one series. Where sources overlap their chunks must carry sequences.
pub struct SeriesMerge<'a> {
    types: Vec<FieldType>,
    bytes_max: usize,
    waiting: VecDeque<Box<dyn RowSource + 'a>>,
    active: Vec<Active<'a>>,
}

struct Active<'a> {
    source: Box<dyn RowSource + 'a>,
    chunk: RowChunk,
    at: usize,
}

impl Active<'_> {
    /// Time and sequence of the next row. Equal sequences never meet: a batch lies in one source.
    fn head(&self) -> (i64, Sequence) {
        self.key(self.at)
    }

    fn key(&self, row: usize) -> (i64, Sequence) {
        let time = self.chunk.time.get(row).copied().unwrap_or(i64::MAX);
        (time, self.chunk.sequence.get(row).copied().unwrap_or_default())
    }

    /// The first row from `at` on that does not come before `limit`.
    fn end_before(&self, limit: (i64, Sequence)) -> usize {
        let (mut low, mut high) = (self.at, self.chunk.row_count());
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) < limit { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Moves to the next chunk where this one is used up. Returns false at the end.
    fn refill(&mut self) -> Result<bool> {
        while self.at >= self.chunk.row_count() {
            let Some(chunk) = self.source.next_chunk()? else { return Ok(false) };
            self.chunk = chunk;
            self.at = 0;
        }
        Ok(true)
    }
}

impl<'a> SeriesMerge<'a> {
    /// Joins `sources`, whose fields have these types, to chunks of about `bytes_max` bytes.
    #[must_use]
    pub fn new(
        types: Vec<FieldType>,
        bytes_max: usize,
        mut sources: Vec<Box<dyn RowSource + 'a>>,
    ) -> Self {
        sources.sort_by_key(|source| source.bounds());
        Self { types, bytes_max, waiting: sources.into(), active: Vec::new() }
    }

    /// The next rows; none at the end.
    ///
    /// # Errors
    /// Those of the sources.
    pub fn next_chunk(&mut self) -> Result<Option<RowChunk>> {
        let mut out: Option<RowChunk> = None;
        let has_text = self.types.contains(&FieldType::Utf8);
        let check_rows = if has_text { 1 } else { CHECK_ROWS };
        let mut check_at = check_rows;
        loop {
            self.activate()?;
            let Some(first) = self.first() else { return Ok(out) };
            let limit = self.limit(first);
            #[expect(clippy::indexing_slicing, reason = "first is a position in active")]
            let active = &mut self.active[first];
            let end = active.end_before(limit);
            let whole = active.at == 0 && end == active.chunk.row_count();
            if whole && out.is_none() && (end >= CHUNK_ROWS / 4 || limit.0 == i64::MAX) {
                active.at = end;
                let chunk = std::mem::take(&mut active.chunk);
                active.at = 0;
                self.settle(first)?;
                return Ok(Some(chunk));
            }
            let joined = out.get_or_insert_with(|| RowChunk::empty(&self.types));
            joined.push_slice(&active.chunk, active.at..end);
            active.at = end;
            let mut full = joined.row_count() >= CHUNK_ROWS;
            if joined.row_count() >= check_at {
                full |= joined.memory_bytes() >= self.bytes_max;
                check_at = joined.row_count() + check_rows;
            }
            self.settle(first)?;
            if full {
                return Ok(out);
            }
        }
    }

    /// Takes in every waiting source that may hold a row before the next one known.
    fn activate(&mut self) -> Result<()> {
        while let Some(next) = self.waiting.front() {
            let needed = self.first().is_none_or(|first| {
                let head = self.active.get(first).map(Active::head);
                head.is_none_or(|head| next.bounds().0 <= head.0)
            });
            if !needed {
                return Ok(());
            }
            if let Some(source) = self.waiting.pop_front() {
                let mut active = Active { source, chunk: RowChunk::default(), at: 0 };
                if active.refill()? {
                    self.active.push(active);
                }
            }
        }
        Ok(())
    }

    fn first(&self) -> Option<usize> {
        (0..self.active.len()).min_by_key(|at| self.active.get(*at).map(Active::head))
    }

    /// Rows of the source `first` that come before this may be copied in one go.
    fn limit(&self, first: usize) -> (i64, Sequence) {
        let others = self.active.iter().enumerate().filter(|(at, _)| *at != first);
        let others = others.map(|(_, active)| active.head());
        let waiting = self.waiting.front().map(|source| (source.bounds().0, Sequence::ZERO));
        others.chain(waiting).min().unwrap_or((i64::MAX, Sequence::MAX)).max({
            // At least the first row itself.
            let (time, sequence) = self.active.get(first).map_or((0, Sequence::ZERO), Active::head);
            (time, Sequence { counter: sequence.counter.saturating_add(1), ..sequence })
        })
    }

    fn settle(&mut self, at: usize) -> Result<()> {
        let Some(active) = self.active.get_mut(at) else { return Ok(()) };
        if !active.refill()? {
            self.active.remove(at);
        }
        Ok(())
    }
}

/// Resolves rows of the same series and time, as the table's merge mode says. Chunk by chunk: the last time of a chunk is
/// held back until the next chunk shows that no row of the same time follows.
#[derive(Debug)]
pub struct Resolver {
    mode: MergeMode,
    fold_through: Sequence,
    held: Option<RowChunk>,
}

impl Resolver {
    /// Folds rows with sequences up to `fold_through`, inclusive (rows without sequences: all); later ones are kept as they are.
    #[must_use]
    pub fn new(mode: MergeMode, fold_through: Sequence) -> Self {
        Self { mode, fold_through, held: None }
    }

    /// Takes the next rows, and gives those that are final.
    #[must_use]
    pub fn push(&mut self, chunk: RowChunk) -> Option<RowChunk> {
        if !self.mode.replaces() || chunk.row_count() == 0 {
            return Some(chunk);
        }
        let joined = match self.held.take() {
            None => chunk,
            Some(mut held) => {
                held.push_slice(&chunk, 0..chunk.row_count());
                held
            }
        };
        let last = joined.time.last().copied();
        let final_rows = joined.time.partition_point(|time| Some(*time) < last);
        self.held = Some(slice(&joined, final_rows..joined.row_count()));
        (final_rows > 0).then(|| self.fold(slice(&joined, 0..final_rows)))
    }

    /// The rows that were held back.
    #[must_use]
    pub fn finish(&mut self) -> Option<RowChunk> {
        let held = self.held.take()?;
        Some(self.fold(held))
    }

    fn fold(&self, chunk: RowChunk) -> RowChunk {
        let repeats = chunk.time.windows(2).any(|pair| matches!(pair, [a, b] if a == b));
        if !repeats {
            return chunk;
        }
        let mut out = chunk.empty_like();
        let mut from = 0;
        while let Some(time) = chunk.time.get(from) {
            let rest = chunk.time.get(from..).unwrap_or_default();
            let end = from + rest.partition_point(|other| other <= time);
            let foldable = if chunk.sequence.is_empty() {
                end
            } else {
                let sequences = chunk.sequence.get(from..end).unwrap_or_default();
                from + sequences.partition_point(|sequence| *sequence <= self.fold_through)
            };
            match self.mode {
                MergeMode::LastNonNull if foldable > from + 1 => {
                    fold_non_null(&chunk, from..foldable, &mut out);
                }
                _ if foldable > from => out.push_slice(&chunk, foldable - 1..foldable),
                _ => {}
            }
            out.push_slice(&chunk, foldable..end);
            from = end;
        }
        out
    }
}

/// Adds one row: the last one of `rows`, each of its NULLs replaced by the latest value before it.
fn fold_non_null(chunk: &RowChunk, rows: std::ops::Range<usize>, out: &mut RowChunk) {
    let last = rows.end - 1;
    out.time.extend(chunk.time.get(last));
    out.sequence.extend(chunk.sequence.get(last));
    for (to, from) in out.fields.iter_mut().zip(&chunk.fields) {
        let mut row = rows.clone().rev().find(|row| from.is_valid(*row)).unwrap_or(last);
        if is_on(Bug::FoldOldestValue) {
            row = rows.clone().find(|row| from.is_valid(*row)).unwrap_or(last);
        }
        to.push_slice(from, row..row + 1);
    }
}

/// The rows that are marked.
#[must_use]
pub fn retain(chunk: RowChunk, keep: &[bool]) -> RowChunk {
    if keep.iter().all(|keep| *keep) {
        return chunk;
    }
    let mut out = chunk.empty_like();
    let mut from = 0;
    while from < keep.len() {
        let rest = keep.get(from..).unwrap_or_default();
        let skip = rest.iter().take_while(|keep| !**keep).count();
        let take = rest.iter().skip(skip).take_while(|keep| **keep).count();
        out.push_slice(&chunk, from + skip..from + skip + take);
        from += skip + take;
    }
    out
}

/// Leaves out the rows that a tombstone hides.
#[must_use]
pub fn hide(chunk: RowChunk, key: &SeriesKey, tombstones: &[Tombstone]) -> RowChunk {
    if tombstones.is_empty() || chunk.row_count() == 0 {
        return chunk;
    }
    let rows = chunk.time.iter().zip(&chunk.sequence);
    let keep: Vec<bool> = rows
        .map(|(time, sequence)| !tombstones.iter().any(|one| one.hides(key, *time, *sequence)))
        .collect();
    retain(chunk, &keep)
}

fn slice(chunk: &RowChunk, rows: std::ops::Range<usize>) -> RowChunk {
    let mut part = chunk.empty_like();
    part.push_slice(chunk, rows);
    part
}

#[cfg(test)]
mod tests;
