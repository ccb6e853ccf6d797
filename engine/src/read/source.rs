//! Where the rows of one series come from: a run of rows in a segment, or rows copied out of a memtable. Both give chunks of bounded
//! bytes, for which they take grants before they read.

use std::ops::Range;
use std::sync::Arc;

use super::filter::BoundFilter;
use super::memory::{ReadGrant, ReadMemory, row_bytes};
use super::part::ScanStats;
use crate::error::Result;
use crate::memtable::{Memtable, Places};
use crate::merge::{RowSource, retain};
use crate::model::{ColumnId, FieldType, RowChunk, Sequence, TimeRange};
use crate::planted::{Bug, is_on};
use crate::segment::{BlockId, SegmentReader, ZoneValues};

/// What is read of a segment, the same for every series of a scan.
#[derive(Debug, Clone)]
pub(super) struct SegmentRead {
    /// The fields.
    pub columns: Arc<[(ColumnId, FieldType)]>,
    /// Conditions whose zone maps may exclude whole row groups; empty where pruning is not allowed.
    pub prune: Arc<[BoundFilter]>,
    /// Whether sequences are read.
    pub need_sequence: bool,
    /// Rows with later sequences are left out.
    pub through: Sequence,
    /// Where what is read and spared is counted.
    pub stats: Arc<ScanStats>,
    /// Bytes of a chunk.
    pub chunk_bytes: usize,
}

impl SegmentRead {
    fn row_bytes(&self) -> usize {
        row_bytes(self.columns.iter().map(|column| column.1))
    }
}

/// A run of rows of one series in a segment, read a row group at a time, or a part of one.
pub(super) struct SegmentSource {
    grant: ReadGrant,
    reader: Arc<SegmentReader>,
    rows: Range<u64>,
    bounds: (i64, i64),
    read: SegmentRead,
}

impl SegmentSource {
    /// The rows `rows` of `reader`, whose timestamps lie within `bounds`, both inclusive.
    #[must_use]
    pub(super) fn new(
        reader: Arc<SegmentReader>,
        rows: Range<u64>,
        bounds: (i64, i64),
        read: SegmentRead,
        memory: &ReadMemory,
    ) -> Self {
        Self { reader, rows, bounds, read, grant: memory.grant() }
    }

    /// Whether the row group may hold a row that satisfies the conditions.
    fn may_hold(&self, group: usize) -> Result<bool> {
        for filter in self.read.prune.iter() {
            let id = BlockId::Field(filter.field.id);
            let may = match self.reader.zone(group, id)? {
                // The column is newer than the segment: every value is NULL.
                None => false,
                // Of texts and truth values only NULLs are counted.
                Some(zone) if zone.values == ZoneValues::None => zone.null_count < zone.row_count,
                Some(zone) => {
                    let bounds = zone.bounds(filter.field.field_type);
                    let bounds = bounds.as_ref().map(|(min, max)| (min, max));
                    filter.may_hold(bounds, zone.nan_count > 0)
                }
            };
            if !may {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl RowSource for SegmentSource {
    fn next_chunk(&mut self) -> Result<Option<RowChunk>> {
        while self.rows.start < self.rows.end {
            let group = self.reader.group_of(self.rows.start);
            if !self.may_hold(group)? {
                self.read.stats.count_pruned_group();
                let end = self.reader.group_rows(group).end;
                self.rows.start = end.clamp(self.rows.start + 1, self.rows.end);
                continue;
            }
            let (reader, read) = (&self.reader, &self.read);
            let rows = self.rows.clone();
            let end = self.grant.fit(read.chunk_bytes, |bytes_max| {
                reader.measure(rows.clone(), &read.columns, read.row_bytes(), bytes_max)
            })?;
            let rows = self.rows.start..end;
            self.rows.start = end;
            let late = self.reader.info().max_sequence > self.read.through
                && !is_on(Bug::SegmentShowsLater);
            let need_sequence = self.read.need_sequence || late;
            let mut chunk = self.reader.read(rows, &self.read.columns, need_sequence)?;
            self.read.stats.count_read(chunk.row_count(), chunk.memory_bytes());
            if late {
                chunk = keep_through(chunk, self.read.through);
                if !self.read.need_sequence {
                    chunk.sequence.clear();
                }
            }
            if chunk.row_count() > 0 {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    fn bounds(&self) -> (i64, i64) {
        self.bounds
    }
}

/// The rows of one series in a memtable, copied piece by piece.
pub(super) struct MemtableSource {
    memtable: Arc<Memtable>,
    places: Places,
    at: usize,
    read: SegmentRead,
    /// For the places, and for the rows given last.
    grants: (ReadGrant, ReadGrant),
}

impl MemtableSource {
    /// The rows of the series `local` in `range`; none where there are none. `read.need_sequence` is ignored until it is settled by
    /// [`Self::set_sequences`].
    ///
    /// # Errors
    /// `Overloaded`.
    pub(super) fn new(
        memtable: &Arc<Memtable>,
        local: u32,
        range: TimeRange,
        read: SegmentRead,
        memory: &ReadMemory,
    ) -> Result<Option<Self>> {
        let mut grant = memory.grant();
        let through = read.through;
        let places = memtable.places(local, range, through, &mut |bytes| grant.resize(bytes))?;
        let Some(places) = places else { return Ok(None) };
        grant.resize(places.memory_bytes())?;
        let memtable = Arc::clone(memtable);
        Ok(Some(Self { memtable, places, at: 0, read, grants: (grant, memory.grant()) }))
    }

    /// Whether rows are given with their sequences.
    pub(super) fn set_sequences(&mut self, need_sequence: bool) {
        self.read.need_sequence = need_sequence;
    }
}

impl RowSource for MemtableSource {
    fn next_chunk(&mut self) -> Result<Option<RowChunk>> {
        let rest = self.places.rows.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let (memtable, read) = (&self.memtable, &self.read);
        let count = self.grants.1.fit(read.chunk_bytes, |bytes_max| {
            Ok(memtable.measure(rest, &read.columns, read.row_bytes(), bytes_max))
        })?;
        let mut rows = self.memtable.copy(rest.get(..count).unwrap_or(rest), &self.read.columns);
        self.at += count;
        if !self.read.need_sequence {
            rows.sequence.clear();
        }
        Ok(Some(rows))
    }

    fn bounds(&self) -> (i64, i64) {
        self.places.bounds
    }
}

/// The rows with sequences up to `through`.
fn keep_through(chunk: RowChunk, through: Sequence) -> RowChunk {
    let keep: Vec<bool> = chunk.sequence.iter().map(|sequence| *sequence <= through).collect();
    retain(chunk, &keep)
}
