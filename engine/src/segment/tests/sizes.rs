//! Sizes and times on made-up ticks; prints, and asserts only what would be a defect.

use chronolith_codec::Effort;

use super::support::*;
use crate::clock::{Clock, SystemClock};
use crate::model::{
    Column, ColumnData, FieldType, RowChunk, Sequence, SeriesKey, TagFilter, TimeRange,
};
use crate::segment::SegmentWriter;

const TYPES: [FieldType; 3] =
    [FieldType::Decimal { precision: 12, scale: 2 }, FieldType::F64, FieldType::I64];

/// A random walk of prices in ticks of 0.05, sizes, and a running counter.
fn ticks(random: &mut Random, rows: usize) -> RowChunk {
    let (mut time, mut price, mut total) = (1_000_000_000i64, 100_000i64, 0i64);
    let mut out = RowChunk::default();
    let (mut prices, mut sizes, mut totals) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        time += 1_000_000 * (1 + random.below(200) as i64);
        price += 5 * (random.below(5) as i64 - 2);
        let size = 1 + random.below(50) as i64;
        total += size;
        out.time.push(time);
        out.sequence.push(Sequence { incarnation: 1, counter: 77 });
        prices.push(price);
        sizes.push(size as f64 / 10.0);
        totals.push(total);
    }
    let column = |data| Column::new(data, None);
    out.fields = vec![
        column(ColumnData::I64(prices)),
        column(ColumnData::F64(sizes)),
        column(ColumnData::I64(totals)),
    ];
    out
}

fn measure(name: &str, series: usize, rows: usize, effort: Effort) {
    let mut random = Random(1);
    let vfs = disk();
    let clock = SystemClock::default();
    let chunks: Vec<RowChunk> = (0..series.min(64)).map(|_| ticks(&mut random, rows)).collect();
    let start = clock.monotonic_ns();
    let mut writer =
        SegmentWriter::create(vfs.as_ref(), &folder(), spec(1, 3, &TYPES, effort)).unwrap();
    for at in 0..series {
        let tags =
            [format!("X{:02}", at * 100 / series), format!("S{at:08}"), format!("k{}", at % 5)];
        let key = SeriesKey::from_tags(tags.iter().map(String::as_str)).unwrap();
        writer.push(&key, &chunks[at % chunks.len()]).unwrap();
    }
    let info = writer.finish().unwrap();
    let seconds = |from: i64| (clock.monotonic_ns() - from) as f64 / 1e9;
    let wrote = seconds(start);
    let start = clock.monotonic_ns();
    let reader = open(&vfs, &info);
    let opened = seconds(start);
    let start = clock.monotonic_ns();
    let columns = columns(&TYPES);
    for group in 0..reader.group_count() {
        let found = reader.read(reader.group_rows(group), &columns, true).unwrap();
        assert_eq!(
            found.row_count() as u64,
            reader.group_rows(group).end - reader.group_rows(group).start
        );
    }
    let read = seconds(start);
    let start = clock.monotonic_ns();
    let probes = 200;
    for probe in 0..probes {
        let ordinal = u32::try_from(probe * (series - 1) / probes).unwrap();
        let key = reader.key(ordinal).unwrap();
        assert_eq!(reader.find(&key).unwrap(), Some(ordinal));
        let (first, last) = reader.time_bounds(ordinal).unwrap();
        let rows =
            reader.rows_in(ordinal, TimeRange::new(i64::midpoint(first, last), last)).unwrap();
        assert!(rows.start >= reader.rows_of(ordinal).unwrap().start);
    }
    let probe = seconds(start) / probes as f64;
    let start = clock.monotonic_ns();
    let selected = reader.select(&[(2, TagFilter::In(vec!["k3".into()]))]).unwrap().len();
    let select = seconds(start);
    let groups = reader.group_count() as f64;
    println!(
        "{name}: {} rows, {series} series, {} bytes, {:.3} bytes a row; write {wrote:.2} s, open {:.3} ms, read {:.2} ms a row group, \
         probe {:.1} us, select {selected} in {:.2} ms",
        info.row_count,
        info.len_bytes,
        info.len_bytes as f64 / info.row_count as f64,
        opened * 1e3,
        read * 1e3 / groups,
        probe * 1e6,
        select * 1e3,
    );
    for (kind, extent) in reader.footer.sections() {
        println!("    section {kind}: {} bytes", extent.len);
    }
}

#[test]
#[ignore = "a measurement: run it in release, with --nocapture"]
fn measure_segments() {
    for effort in [Effort::Fast, Effort::Dense] {
        measure(&format!("{effort:?}, long series"), 80, 100_000, effort);
        measure(&format!("{effort:?}, short series"), 200_000, 20, effort);
    }
}
