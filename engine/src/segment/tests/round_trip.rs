//! What was written is what is read, by every way of reading.

use std::collections::BTreeMap;

use chronolith_codec::Effort;

use super::support::*;
use crate::limits::{PAGE_ROWS, ROW_GROUP_ROWS};
use crate::model::{
    ColumnId, CommitMetadata, FieldType, Sequence, TagFilter, TimeRange, Value, Window,
};
use crate::segment::{BlockId, SegmentReader, SegmentWriter, ZoneValues, verify};

const SHAPE: Shape<'_> = Shape {
    tag_values: &[5, 7, 900],
    rows_per_series: 3,
    null_one_in: 6,
    repeat_one_in: 9,
    types: &TYPES,
};

/// Every way of reading gives what the rows say.
fn assert_all(reader: &SegmentReader, all: &[Row], types: &[FieldType], random: &mut Random) {
    let every: Vec<usize> = (0..types.len()).collect();
    let columns = columns(types);
    for group in 0..reader.group_count() {
        let rows = reader.group_rows(group);
        let part = &all[rows.start as usize..rows.end as usize];
        let found = reader.read(rows, &columns, true).unwrap();
        assert_rows(&found, part, types, &every);
        assert_zones(reader, group, part, types);
    }
    for _ in 0..30 {
        let start = random.below(all.len() as u64);
        let most = if random.one_in(5) { 100_000 } else { 300 };
        let end = (start + 1 + random.below(most)).min(all.len() as u64);
        let picks: Vec<usize> = every.iter().copied().filter(|_| random.one_in(2)).collect();
        let wanted: Vec<_> = picks.iter().map(|pick| columns[*pick]).collect();
        let found = reader.read(start..end, &wanted, random.one_in(2)).unwrap();
        assert_rows(&found, &all[start as usize..end as usize], types, &picks);
    }
    assert_series(reader, all, random);
    assert_groups(reader, all);
}

/// Dictionary, time ranges, tag filters, last rows.
fn assert_series(reader: &SegmentReader, all: &[Row], random: &mut Random) {
    let mut start = 0;
    let series: Vec<&[Row]> = all.chunk_by(|a, b| a.key() == b.key()).collect();
    assert_eq!(reader.series_count() as usize, series.len());
    for (ordinal, rows) in (0..).zip(&series) {
        let key = rows[0].key();
        assert_eq!(reader.key(ordinal).unwrap(), key);
        assert_eq!(reader.find(&key).unwrap(), Some(ordinal));
        assert_eq!(reader.rows_of(ordinal).unwrap(), start..start + rows.len() as u64);
        let bounds = (rows[0].time, rows[rows.len() - 1].time);
        assert_eq!(reader.time_bounds(ordinal).unwrap(), bounds);
        for _ in 0..3 {
            let mut at = || bounds.0 - 2 + random.below((bounds.1 - bounds.0) as u64 + 4) as i64;
            let range = TimeRange::new(at(), at());
            let inside = |row: &&Row| row.time >= range.from && row.time < range.to;
            let before = rows.iter().take_while(|row| row.time < range.from).count() as u64;
            let count = rows.iter().filter(inside).count() as u64;
            let found = reader.rows_in(ordinal, range).unwrap();
            assert_eq!(found.end - found.start, count, "{range:?}");
            assert!(count == 0 || found.start == start + before, "{range:?}");
        }
        assert_eq!(
            reader.rows_in(ordinal, TimeRange::ALL).unwrap(),
            start..start + rows.len() as u64
        );
        start += rows.len() as u64;
    }
    for missing in ["", "v", "v99", "\u{e9}"] {
        let key = crate::model::SeriesKey::from_tags([missing, "v1", "zz"]).unwrap();
        assert_eq!(reader.find(&key).unwrap(), None);
    }
    assert_filters(reader, &series, random);
    assert_last_rows(reader, &series);
}

fn assert_filters(reader: &SegmentReader, series: &[&[Row]], random: &mut Random) {
    for _ in 0..40 {
        let mut filter = || {
            let position = random.below(5) as usize;
            let one = |random: &mut Random| match random.below(9) {
                0 => String::new(),
                1 => "nothing".to_owned(),
                _ => series[random.below(series.len() as u64) as usize][0]
                    .tags
                    .get(position)
                    .cloned()
                    .unwrap_or_default(),
            };
            let values = (0..random.below(4)).map(|_| one(random)).collect();
            let is_in = random.one_in(2);
            (position, if is_in { TagFilter::In(values) } else { TagFilter::NotIn(values) })
        };
        let filters = [filter(), filter()];
        let accepts = |rows: &&[Row]| {
            filters.iter().all(|(position, filter)| {
                filter.accepts(rows[0].tags.get(*position).map_or("", String::as_str))
            })
        };
        let expected: Vec<u32> =
            (0..).zip(series).filter(|(_, rows)| accepts(rows)).map(|(at, _)| at).collect();
        let found: Vec<u32> = reader.select(&filters).unwrap().iter().collect();
        assert_eq!(found, expected, "{filters:?}");
    }
}

fn assert_last_rows(reader: &SegmentReader, series: &[&[Row]]) {
    let row_count: usize = series.iter().map(|rows| rows.len()).sum();
    assert_eq!(reader.has_last_rows(), row_count / series.len() >= 64);
    if !reader.has_last_rows() {
        return assert!(reader.last_rows(0).unwrap().is_none());
    }
    for (block, series) in series.chunks(256).enumerate() {
        let rows: Vec<Row> = series.iter().map(|rows| rows[rows.len() - 1].clone()).collect();
        let types: Vec<FieldType> = reader.columns().iter().map(|(_, of)| *of).collect();
        let every: Vec<usize> = (0..types.len()).collect();
        let found = reader.last_rows(block).unwrap().unwrap();
        assert_rows(&found, &rows, &types, &every);
        assert_eq!(found.sequence.len(), rows.len());
    }
}

/// Uniqueness of row groups and of the segment, and what the segment declares.
fn assert_groups(reader: &SegmentReader, all: &[Row]) {
    let same = |a: &Row, b: &Row| a.time == b.time && a.key() == b.key();
    let repeats: Vec<u64> =
        (1..all.len()).filter(|at| same(&all[at - 1], &all[*at])).map(|at| at as u64).collect();
    let info = reader.info();
    assert_eq!(info.has_duplicates, !repeats.is_empty());
    for group in 0..reader.group_count() {
        let rows = reader.group_rows(group);
        let repeated = repeats.iter().any(|at| rows.contains(at) || rows.contains(&(at - 1)));
        assert_eq!(reader.is_unique(group), !repeated, "{group}");
        assert_eq!(reader.group_of(rows.start), group);
        assert_eq!(reader.group_of(rows.end - 1), group);
    }
    assert_eq!(info.row_count, all.len() as u64);
    assert_eq!(info.min_time, all.iter().map(|row| row.time).min().unwrap());
    assert_eq!(info.max_time, all.iter().map(|row| row.time).max().unwrap());
    assert_eq!(info.min_sequence, all.iter().map(|row| row.sequence).min().unwrap());
    assert_eq!(info.max_sequence, all.iter().map(|row| row.sequence).max().unwrap());
}

/// A number that orders values of one type, zeros alike; none for NULL, NaN and types without bounds.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::F64(value) if !value.is_nan() => Some(value + 0.0),
        _ => None,
    }
}

fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::I64(value) | Value::Timestamp(value) => Some(i128::from(*value)),
        Value::U64(value) => Some(i128::from(*value)),
        Value::Decimal { units, .. } => Some(i128::from(*units)),
        _ => None,
    }
}

fn assert_zones(reader: &SegmentReader, group: usize, rows: &[Row], types: &[FieldType]) {
    for (index, (id, of)) in columns(types).into_iter().enumerate() {
        let zone = reader.zone(group, BlockId::Field(id)).unwrap().unwrap();
        let values: Vec<&Value> = rows.iter().map(|row| &row.values[index]).collect();
        let valid: Vec<&Value> = values.iter().copied().filter(|v| **v != Value::Null).collect();
        let nan = valid.iter().filter(|v| matches!(v, Value::F64(v) if v.is_nan())).count();
        assert_eq!(zone.row_count as usize, rows.len());
        assert_eq!(zone.null_count as usize, rows.len() - valid.len());
        assert_eq!(zone.nan_count as usize, nan);
        let wholes: Vec<i128> = valid.iter().filter_map(|value| whole(value)).collect();
        match zone.values {
            ZoneValues::None => {
                assert!(valid.is_empty() || matches!(of, FieldType::Bool | FieldType::Utf8))
            }
            ZoneValues::I64(stats) => {
                let found = [stats.min, stats.max, stats.first, stats.last].map(i128::from);
                let (min, max) = (wholes.iter().min().unwrap(), wholes.iter().max().unwrap());
                assert_eq!(found, [*min, *max, wholes[0], wholes[wholes.len() - 1]]);
                assert_eq!(stats.sum, wholes.iter().sum::<i128>());
            }
            ZoneValues::U64(stats) => {
                let found = [stats.min, stats.max, stats.first, stats.last].map(i128::from);
                let (min, max) = (wholes.iter().min().unwrap(), wholes.iter().max().unwrap());
                assert_eq!(found, [*min, *max, wholes[0], wholes[wholes.len() - 1]]);
                assert_eq!(stats.sum, wholes.iter().sum::<i128>());
            }
            ZoneValues::F64(stats) => {
                let numbers: Vec<f64> = valid.iter().filter_map(|value| number(value)).collect();
                let ends = (Value::F64(stats.first), Value::F64(stats.last));
                assert!(same(&ends.0, valid[0]) && same(&ends.1, valid[valid.len() - 1]));
                let sum = numbers.iter().fold(0.0, |sum, value| sum + value);
                assert!(
                    same(&Value::F64(sum), &Value::F64(stats.sum))
                        || sum.is_nan() && stats.sum.is_nan()
                );
                let mut sorted = numbers;
                sorted.sort_by(f64::total_cmp);
                let bounds = zone.bounds(of);
                assert_eq!(bounds.is_some(), !sorted.is_empty());
                if let Some((min, max)) = bounds {
                    assert!(same(&min, &Value::F64(sorted[0])));
                    assert!(same(&max, &Value::F64(sorted[sorted.len() - 1])));
                }
            }
        }
        assert_pages(reader, group, id, &values);
    }
}

/// Coarse bounds hold every value, and lie within the block's.
fn assert_pages(reader: &SegmentReader, group: usize, id: ColumnId, values: &[&Value]) {
    for (page, values) in values.chunks(PAGE_ROWS).enumerate() {
        let bounds = reader.page_bounds(group, BlockId::Field(id), page).unwrap();
        for value in values {
            if let Some(value) = number(value) {
                let (Value::F64(min), Value::F64(max)) = bounds.clone().unwrap() else { panic!() };
                assert!(min <= value && value <= max, "{value} outside of {min} to {max}");
            }
            if let Some(value) = whole(value) {
                let (min, max) = bounds.clone().unwrap();
                assert!(whole(&min).unwrap() <= value && value <= whole(&max).unwrap());
            }
        }
    }
}

fn assert_clean(vfs: &std::sync::Arc<dyn crate::vfs::Vfs>, info: &crate::segment::SegmentInfo) {
    let mut found = Vec::new();
    verify(vfs.as_ref(), &folder(), DATABASE, info, &mut |damage| found.push(damage));
    assert!(found.is_empty(), "{found:#?}");
}

fn round_trip(seed: u64, series: usize, shape: &Shape<'_>, piece: usize, effort: Effort) {
    let mut random = Random(seed);
    let all = rows(&mut random, series, shape);
    let vfs = disk();
    let spec = spec(u128::from(seed), shape.tag_values.len(), shape.types, effort);
    let info = write(&vfs, &folder(), spec, &all, piece);
    let reader = open(&vfs, &info);
    assert_all(&reader, &all, shape.types, &mut random);
    assert_clean(&vfs, &info);
}

#[test]
fn many_short_series() {
    round_trip(1, 3000, &SHAPE, 2, Effort::Fast);
}

#[test]
fn few_long_series_over_several_row_groups() {
    let types = [FieldType::F64, FieldType::U64, FieldType::Bool];
    let shape = Shape {
        rows_per_series: 70_000,
        tag_values: &[3, 4],
        null_one_in: 40,
        repeat_one_in: 300_000,
        types: &types,
    };
    round_trip(2, 3, &shape, 30_000, Effort::Dense);
}

#[test]
fn middling_series_with_a_strip() {
    let shape = Shape { rows_per_series: 100, null_one_in: 3, ..SHAPE };
    round_trip(3, 300, &shape, 64, Effort::Dense);
}

#[test]
fn one_series_without_tags_and_fields() {
    let shape = Shape { tag_values: &[], types: &[], rows_per_series: 9000, ..SHAPE };
    round_trip(4, 1, &shape, 100, Effort::Fast);
}

#[test]
fn many_small_segments() {
    for seed in 100..140 {
        let shape = Shape { null_one_in: 1 + seed % 5, repeat_one_in: 1 + seed % 7, ..SHAPE };
        round_trip(seed, 1 + seed as usize % 30, &shape, 3, Effort::Fast);
    }
}

#[test]
fn a_repetition_over_the_edge_marks_both_row_groups() {
    let types = [FieldType::I64];
    let mut all = Vec::new();
    for at in 0..ROW_GROUP_ROWS as i64 + 10 {
        let time = if at >= ROW_GROUP_ROWS as i64 { at - 1 } else { at };
        let sequence = Sequence { incarnation: 1, counter: at as u64 };
        all.push(Row { tags: vec!["a".into()], time, sequence, values: vec![Value::I64(at)] });
    }
    for piece in [ROW_GROUP_ROWS, 1 << 20, 1000] {
        let vfs = disk();
        let info = write(&vfs, &folder(), spec(9, 1, &types, Effort::Fast), &all, piece);
        let reader = open(&vfs, &info);
        assert!(!reader.is_unique(0) && !reader.is_unique(1));
        assert_groups(&reader, &all);
        assert_clean(&vfs, &info);
    }
}

#[test]
fn columns_that_the_segment_lacks_are_null_and_types_are_checked() {
    let mut random = Random(5);
    let all = rows(&mut random, 4, &SHAPE);
    let vfs = disk();
    let info = write(&vfs, &folder(), spec(5, 3, &TYPES, Effort::Fast), &all, 9);
    let reader = open(&vfs, &info);
    let wanted = [(ColumnId(99), FieldType::Utf8), (ColumnId(10), FieldType::F64)];
    let found = reader.read(0..2, &wanted, false).unwrap();
    assert_eq!(found.fields[0].null_count(), 2);
    assert!(same(&found.fields[1].value(0, FieldType::F64), &all[0].values[0]));
    assert!(reader.read(0..1, &[(ColumnId(10), FieldType::I64)], false).is_err());
    assert!(reader.read(0..info.row_count + 1, &[], false).is_err());
    assert!(reader.zone(0, BlockId::Field(ColumnId(99))).unwrap().is_none());
    assert_eq!(reader.read(1..1, &wanted, true).unwrap().row_count(), 0);
}

#[test]
fn commit_metadata_is_kept_by_sequence() {
    let mut random = Random(6);
    let all = rows(&mut random, 5, &SHAPE);
    let vfs = disk();
    let mut writer =
        SegmentWriter::create(vfs.as_ref(), &folder(), spec(6, 3, &TYPES, Effort::Fast)).unwrap();
    let mut expected = BTreeMap::new();
    let own = all.iter().map(|row| row.sequence).take(3);
    let foreign = Sequence { incarnation: 9, counter: u64::MAX };
    for (at, sequence) in own.chain([foreign]).enumerate() {
        let metadata = CommitMetadata {
            principal: "p".repeat(256),
            source: format!("source {at}"),
            event_id: String::new(),
            pipeline_version: format!("{}", at + 3),
        };
        writer.metadata(sequence, metadata.clone());
        expected.insert(sequence, metadata);
    }
    // No row is of that commit.
    expected.remove(&foreign);
    for series in all.chunk_by(|a, b| a.key() == b.key()) {
        writer.push(&series[0].key(), &chunk(series, &TYPES)).unwrap();
    }
    let info = writer.finish().unwrap();
    let found: BTreeMap<_, _> = open(&vfs, &info).commits().unwrap().into_iter().collect();
    assert_eq!(found, expected);
}

#[test]
fn long_texts_end_a_row_group_early() {
    let types = [FieldType::Utf8];
    let long = "t".repeat(1 << 20);
    let mut all = Vec::new();
    for at in 0..40 {
        let sequence = Sequence { incarnation: 1, counter: 1 };
        all.push(Row {
            tags: vec!["a".into()],
            time: at,
            sequence,
            values: vec![Value::Utf8(long.clone())],
        });
    }
    let vfs = disk();
    let info = write(&vfs, &folder(), spec(7, 1, &types, Effort::Fast), &all, 40);
    let reader = open(&vfs, &info);
    assert_eq!(reader.group_rows(0), 0..32);
    assert_eq!(reader.group_rows(1), 32..40);
    let found = reader.read(30..35, &columns(&types), false).unwrap();
    assert_rows(&found, &all[30..35], &types, &[0]);
}

#[test]
fn rows_in_the_wrong_order_or_place_are_refused() {
    let mut random = Random(8);
    let all = rows(&mut random, 2, &Shape { rows_per_series: 50, ..SHAPE });
    let refuses = |rows: &[&[Row]], spec| {
        let vfs = disk();
        let mut writer = SegmentWriter::create(vfs.as_ref(), &folder(), spec).unwrap();
        let refused =
            rows.iter().any(|rows| writer.push(&rows[0].key(), &chunk(rows, &TYPES)).is_err());
        drop(writer);
        assert!(vfs.list(&folder()).unwrap().is_empty(), "the temporary file stays");
        refused
    };
    let series: Vec<&[Row]> = all.chunk_by(|a, b| a.key() == b.key()).collect();
    let good = || spec(8, 3, &TYPES, Effort::Fast);
    assert!(!refuses(&[series[0], series[1]], good()));
    assert!(refuses(&[series[1], series[0]], good()));
    let reversed: Vec<Row> = series[0].iter().rev().cloned().collect();
    assert!(refuses(&[&reversed], good()));
    assert!(refuses(&[&series[0][1..], &series[0][..1]], good()));
    let mut narrow = good();
    narrow.window = Window::of(-1, 0);
    assert!(refuses(&[series[0]], narrow));
    let mut other = good();
    other.columns.pop();
    assert!(refuses(&[series[0]], other));
    let mut fewer_tags = good();
    fewer_tags.tag_count = 1;
    assert!(refuses(&[series[0], series[1]], fewer_tags));
    let vfs = disk();
    assert!(SegmentWriter::create(vfs.as_ref(), &folder(), good()).unwrap().finish().is_err());
    assert!(vfs.list(&folder()).unwrap().is_empty());
}

#[test]
fn time_ranges_begin_with_the_first_of_equal_times_over_page_and_group_edges() {
    for repeat in [3, 5000] {
        let sequence = Sequence { incarnation: 1, counter: 1 };
        let row =
            |at: i64| Row { tags: vec!["a".into()], time: at / repeat, sequence, values: vec![] };
        let all: Vec<Row> = (0..ROW_GROUP_ROWS as i64 + 20_000).map(row).collect();
        let vfs = disk();
        let info = write(&vfs, &folder(), spec(10, 1, &[], Effort::Fast), &all, 1 << 20);
        let reader = open(&vfs, &info);
        let edges = (0..=all.len()).step_by(PAGE_ROWS);
        for time in edges.flat_map(|at| (at as i64 / repeat - 1)..(at as i64 / repeat + 3)) {
            let from = all.partition_point(|row| row.time < time) as u64;
            let to = all.partition_point(|row| row.time < time + 1) as u64;
            let found = reader.rows_in(0, TimeRange::new(time, time + 1)).unwrap();
            assert!(found == (from..to) || found.is_empty() && from == to, "{time}: {found:?}");
        }
    }
}
