//! The last row of each series: looked for at the greatest time that any source names, and behind it only where that row is hidden or filtered.

use std::sync::Arc;

use super::batch::{ScanBatch, SeriesRun};
use super::plan::{ScanPlan, ScanRequest};
use super::scan::{Piece, Scan};
use crate::error::Result;
use crate::model::{RowChunk, SeriesKey, TimeRange};
use crate::snapshot::Snapshot;

/// Rows after which the grant for the result is made larger.
const HOLD_ROWS: usize = 1_024;

impl Snapshot {
    /// The last row, by (time, commit), of each series that `request` selects, among the rows that it selects: one batch, sorted by series.
    ///
    /// # Errors
    /// As [`Snapshot::scan`].
    #[tracing::instrument(level = "debug", skip_all, fields(table = %request.table))]
    pub fn latest(&self, request: &ScanRequest) -> Result<ScanBatch> {
        let plan = ScanPlan::bind(self.table(&request.table)?, request)?;
        let mut scan = Scan::new(self, plan)?;
        let types: Vec<_> = scan.output.iter().map(|field| field.field_type).collect();
        let mut rows = RowChunk::empty(&types);
        let mut series = Vec::new();
        while let Some((key, pieces)) = scan.next_pieces()? {
            if let Some(last) = last_row(&scan, &key, &pieces)? {
                let at = rows.row_count();
                rows.push_slice(&last, last.row_count() - 1..last.row_count());
                series.push(SeriesRun { key, rows: at..at + 1 });
                if at.is_multiple_of(HOLD_ROWS) {
                    let bytes = rows.memory_bytes() + series.len() * size_of::<SeriesRun>();
                    scan.hold(bytes.saturating_mul(2))?;
                }
            }
        }
        let (schema, fields) = (Arc::clone(&scan.plan.schema), Arc::clone(&scan.output));
        Ok(ScanBatch { schema, fields, series, rows })
    }
}

/// Rows whose last one is the series' last row.
fn last_row(scan: &Scan, key: &SeriesKey, pieces: &[Piece]) -> Result<Option<RowChunk>> {
    let range = scan.plan.range;
    let mut greatest = None;
    for piece in pieces {
        let (first, last) = piece.bounds()?;
        if range.contains(last) {
            greatest = greatest.max(Some(last));
        } else if range.touches(first, last) {
            // The piece goes on behind the range: its last time inside is not known.
            return last_of(scan, key, pieces, range);
        }
    }
    let Some(greatest) = greatest else { return Ok(None) };
    let only = TimeRange::inclusive(greatest, greatest).intersect(&range);
    match last_of(scan, key, pieces, only)? {
        None => last_of(scan, key, pieces, TimeRange::new(range.from, greatest)),
        found => Ok(found),
    }
}

fn last_of(
    scan: &Scan,
    key: &SeriesKey,
    pieces: &[Piece],
    range: TimeRange,
) -> Result<Option<RowChunk>> {
    let Some(mut series) = scan.open(key.clone(), pieces, range)? else { return Ok(None) };
    let mut last = None;
    while let Some(rows) = scan.next_rows(&mut series)? {
        last = Some(rows);
    }
    Ok(last)
}
