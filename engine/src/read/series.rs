//! Counts series: the sorted dictionaries of segments and the keys of memtables, merged block by block.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::error::Result;
use crate::model::{SeriesKey, TimeRange};
use crate::segment::SegmentReader;
use crate::snapshot::Snapshot;

/// Series of one place, ascending.
enum Keys {
    Segment(Arc<SegmentReader>, u32),
    Memory(std::vec::IntoIter<SeriesKey>),
}

impl Keys {
    fn next(&mut self) -> Result<Option<SeriesKey>> {
        match self {
            Self::Memory(keys) => Ok(keys.next()),
            Self::Segment(reader, ordinal) if *ordinal < reader.series_count() => {
                *ordinal += 1;
                reader.key(*ordinal - 1).map(Some)
            }
            Self::Segment(..) => Ok(None),
        }
    }
}

impl Snapshot {
    /// How many series `table` has, those included whose rows are all deleted and not merged away yet. Reads the dictionary of every
    /// segment.
    ///
    /// # Errors
    /// `UnknownTable`; `Corrupt`, `Io`.
    pub fn series_count(&self, table: &str) -> Result<u64> {
        let table = self.view().table(self.table(table)?.id);
        let mut places = Vec::new();
        for segment in &table.segments {
            places.push(Keys::Segment(segment.reader()?, 0));
        }
        for memtable in table.memtables() {
            let series = memtable.select(TimeRange::ALL, &|_| true);
            let keys: Vec<SeriesKey> = series.into_iter().map(|series| series.key).collect();
            places.push(Keys::Memory(keys.into_iter()));
        }
        let mut heads = BinaryHeap::new();
        for (at, keys) in places.iter_mut().enumerate() {
            heads.extend(keys.next()?.map(|key| Reverse((key, at))));
        }
        let (mut count, mut last) = (0, None);
        while let Some(Reverse((key, at))) = heads.pop() {
            if let Some(keys) = places.get_mut(at) {
                heads.extend(keys.next()?.map(|key| Reverse((key, at))));
            }
            if last.as_ref() != Some(&key) {
                count += 1;
                last = Some(key);
            }
        }
        Ok(count)
    }
}
