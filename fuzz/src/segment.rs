//! Whole segments: opened, verified, and read in every way. Byte 0: bit 0 takes every checksum for the right one; the rest
//! chooses what is asked for. What the manifest would know of the file is taken from the file.

use std::path::Path;

use chronolith_engine::format::frame::trust;
use chronolith_engine::format::names::segment_file;
use chronolith_engine::model::{FieldType, SeriesKey, TagFilter, TimeRange};
use chronolith_engine::segment::fuzz::info_of;
use chronolith_engine::segment::{BlockId, SegmentReader};

use crate::disk::OneFile;
use crate::input::Input;

/// Values of all columns, beyond which a segment is not read whole: NULLs take no bytes.
const VALUES_MAX: u64 = 1 << 17;
/// Series, beyond which not each is asked for.
const SERIES_MAX: u32 = 600;

/// A segment.
pub fn segment(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    trust(flags & 1 != 0);
    open(input.rest(), flags);
    trust(false);
}

fn open(bytes: &[u8], flags: u8) {
    let Some((info, database_id)) = info_of(bytes) else { return };
    let disk = OneFile::new(segment_file(info.file_id), bytes);
    let Ok(reader) = SegmentReader::open(&disk, Path::new("segments"), database_id, &info) else {
        return;
    };
    let columns = reader.columns().len() as u64 + 3;
    let is_small =
        info.row_count.saturating_mul(columns) <= VALUES_MAX && reader.series_count() <= SERIES_MAX;
    if flags & 2 != 0 && is_small {
        let mut found = 0;
        reader.verify(&mut |damage| found += damage.detail.len());
        std::hint::black_box(found);
    }
    if flags & 4 != 0 {
        series(&reader, is_small);
    }
    if flags & 8 != 0 {
        rows(&reader, info.row_count, columns);
    }
    if flags & 16 != 0 {
        select(&reader);
    }
    if flags & 32 != 0 {
        let _ = reader.commits();
        let _ = reader.last_rows(0);
        zones(&reader);
    }
}

fn ordinals(reader: &SegmentReader) -> impl Iterator<Item = u32> {
    let count = reader.series_count();
    let last = count.saturating_sub(2).max(3);
    (0..count.min(3)).chain(last..count.max(last))
}

fn series(reader: &SegmentReader, is_small: bool) {
    for ordinal in ordinals(reader) {
        if let Ok(key) = reader.key(ordinal) {
            let _ = (reader.find(&key), reader.lower_bound(&key));
        }
        let (Ok(of), Ok((first, last))) = (reader.rows_of(ordinal), reader.time_bounds(ordinal))
        else {
            continue;
        };
        let middle = i64::midpoint(first, last);
        for range in [TimeRange::ALL, TimeRange::new(middle, last), TimeRange::new(first, middle)] {
            if let Ok(found) = reader.rows_in(ordinal, range) {
                assert!(found.start <= found.end && found.end <= of.end, "{found:?} of {of:?}");
            }
        }
    }
    if is_small {
        let all: Vec<u32> = ordinals(reader).collect();
        if let Ok(rows) = reader.last_rows_of(&all, reader.columns()) {
            assert_eq!(rows.row_count(), all.len(), "a last row a series");
        }
    }
    let _ = reader.series_block(0).map(|block| block.get(block.ordinals().start).is_some());
}

fn rows(reader: &SegmentReader, row_count: u64, columns: u64) {
    let most = (VALUES_MAX / columns).clamp(1, 5_000);
    for start in [0, row_count.saturating_sub(most)] {
        let part = start..row_count.min(start + most);
        for need_sequence in [false, true] {
            let Ok(chunk) = reader.read(part.clone(), reader.columns(), need_sequence) else {
                continue;
            };
            let len = usize::try_from(part.end - part.start).unwrap();
            assert_eq!(chunk.time.len(), len, "times of {part:?}");
            assert_eq!(chunk.fields.len(), reader.columns().len());
            assert!(chunk.fields.iter().all(|column| column.len() == len));
            assert!(chunk.fields.iter().all(|column| column.is_well_formed()));
        }
        let _ = reader.measure(part, reader.columns(), 24, 4_096);
    }
}

fn select(reader: &SegmentReader) {
    let known = reader.key(0).unwrap_or_else(|_| SeriesKey::from_tags(["a"]).unwrap());
    for position in 0..4 {
        let value = known.tag(position).to_owned();
        for filter in
            [TagFilter::In(vec![value.clone()]), TagFilter::NotIn(vec![value, "x".into()])]
        {
            if let Ok(found) = reader.select(&[(position, filter)]) {
                assert!(found.max().is_none_or(|last| last < reader.series_count()));
            }
        }
    }
}

fn zones(reader: &SegmentReader) {
    let fields = reader.columns().iter().map(|(id, _)| BlockId::Field(*id));
    let blocks = [BlockId::Time, BlockId::Incarnation, BlockId::Counter].into_iter().chain(fields);
    for block in blocks.take(12) {
        for group in 0..reader.group_count().min(4) {
            let _ = reader.is_unique(group);
            if let Ok(Some(zone)) = reader.zone(group, block) {
                let _ = (zone.bounds(FieldType::I64), zone.bounds(FieldType::F64));
            }
            for page in 0..reader.page_count(group).min(4) {
                let _ = reader.page_bounds(group, block, page);
            }
        }
    }
}
