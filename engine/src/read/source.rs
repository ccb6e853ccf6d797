//! Where the rows of one series come from: a run of rows in a segment, or rows copied out of a memtable.

use std::ops::Range;
use std::sync::Arc;

use super::filter::BoundFilter;
use super::part::ScanStats;
use crate::error::Result;
use crate::merge::{RowSource, retain};
use crate::model::{ColumnId, FieldType, RowChunk, Sequence};
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
}

/// A run of rows of one series in a segment, read a row group at a time.
pub(super) struct SegmentSource {
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
    ) -> Self {
        Self { reader, rows, bounds, read }
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
            let end = self.reader.group_rows(group).end.clamp(self.rows.start + 1, self.rows.end);
            let rows = self.rows.start..end;
            self.rows.start = end;
            if !self.may_hold(group)? {
                self.read.stats.count_pruned_group();
                continue;
            }
            let late = self.reader.info().max_sequence > self.read.through;
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

/// The rows with sequences up to `through`.
fn keep_through(chunk: RowChunk, through: Sequence) -> RowChunk {
    let keep: Vec<bool> = chunk.sequence.iter().map(|sequence| *sequence <= through).collect();
    retain(chunk, &keep)
}
