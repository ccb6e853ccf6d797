//! A scan in parts: which series one part reads, and what the parts read and spared.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::SeriesKey;

/// The part of a table's series that a scan reads, and how it hands rows on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanPart {
    /// The first series, inclusive; none: from the first.
    pub from: Option<SeriesKey>,
    /// The end, exclusive; none: to the last.
    pub to: Option<SeriesKey>,
    /// Rows at which a batch is handed on; none: the engine's choice.
    pub batch_rows: Option<usize>,
}

impl ScanPart {
    /// Whether the part reads the series of `key`.
    #[must_use]
    pub fn holds(&self, key: &SeriesKey) -> bool {
        self.from.as_ref().is_none_or(|from| from <= key)
            && self.to.as_ref().is_none_or(|to| key < to)
    }
}

/// What a scan has read and spared so far. Several threads may look while it runs.
#[derive(Debug, Default)]
pub struct ScanStats {
    segments: AtomicU64,
    segments_pruned: AtomicU64,
    groups_read: AtomicU64,
    groups_pruned: AtomicU64,
    rows_decoded: AtomicU64,
    bytes_decoded: AtomicU64,
}

impl ScanStats {
    /// Segments of the table.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }

    /// Segments without a row of the times, or of the series, that are asked for.
    #[must_use]
    pub fn segments_pruned(&self) -> u64 {
        self.segments_pruned.load(Ordering::Relaxed)
    }

    /// Row groups of which rows were read; once for each series that shares one.
    #[must_use]
    pub fn groups_read(&self) -> u64 {
        self.groups_read.load(Ordering::Relaxed)
    }

    /// Row groups that conditions on fields excluded by their zone maps; once for each series that shares one.
    #[must_use]
    pub fn groups_pruned(&self) -> u64 {
        self.groups_pruned.load(Ordering::Relaxed)
    }

    /// Rows read from segments, those included that conditions left out.
    #[must_use]
    pub fn rows_decoded(&self) -> u64 {
        self.rows_decoded.load(Ordering::Relaxed)
    }

    /// Bytes of those rows in memory.
    #[must_use]
    pub fn bytes_decoded(&self) -> u64 {
        self.bytes_decoded.load(Ordering::Relaxed)
    }

    pub(super) fn count_segment(&self, pruned: bool) {
        self.segments.fetch_add(1, Ordering::Relaxed);
        self.segments_pruned.fetch_add(u64::from(pruned), Ordering::Relaxed);
    }

    pub(super) fn count_pruned_group(&self) {
        self.groups_pruned.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_read(&self, rows: usize, bytes: usize) {
        self.groups_read.fetch_add(1, Ordering::Relaxed);
        self.rows_decoded.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes_decoded.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
