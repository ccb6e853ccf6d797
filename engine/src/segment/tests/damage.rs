//! Damaged segments: an error or the same answer, never a panic and never another answer.

use std::path::PathBuf;
use std::sync::Arc;

use chronolith_codec::Effort;

use super::support::*;
use crate::error::{Error, Result};
use crate::format::names;
use crate::limits::PAGE_ROWS;
use crate::model::{
    ColumnId, CommitMetadata, FieldType, RowChunk, Sequence, SeriesKey, TagFilter, TimeRange, Value,
};
use crate::segment::{BlockId, Damage, SegmentInfo, SegmentReader, SegmentWriter, verify};
use crate::vfs::sim::{Fault, FaultAt, SimVfs};
use crate::vfs::{OpenMode, Vfs};

struct Damaged {
    sim: SimVfs,
    vfs: Arc<dyn Vfs>,
    info: SegmentInfo,
    path: PathBuf,
}

/// A small segment with every section: values of all types, a strip, metadata, a tag index.
fn small(id: u128) -> Damaged {
    let shape = Shape {
        tag_values: &[2, 3],
        rows_per_series: 75,
        null_one_in: 9,
        repeat_one_in: 50,
        types: &TYPES,
    };
    let mut random = Random(7);
    let mut all = rows(&mut random, 2, &shape);
    while all.len() < 160 {
        all = rows(&mut random, 2, &shape);
    }
    let sim = SimVfs::new(2);
    sim.create_dir_all(&folder()).unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(sim.clone());
    let spec = spec(id, 2, &TYPES, Effort::Fast);
    let mut writer = SegmentWriter::create(vfs.as_ref(), &folder(), spec).unwrap();
    let metadata = CommitMetadata { principal: "someone".into(), ..CommitMetadata::default() };
    writer.metadata(Sequence { incarnation: 1, counter: 4 }, metadata);
    for series in all.chunk_by(|a, b| a.key() == b.key()) {
        writer.push(&series[0].key(), &chunk(series, &TYPES)).unwrap();
    }
    let info = writer.finish().unwrap();
    let path = folder().join(names::segment_file(info.file_id));
    Damaged { sim, vfs, info, path }
}

/// Rows, times, and rows in a part of the times.
type OfSeries = (std::ops::Range<u64>, (i64, i64), std::ops::Range<u64>);

/// Everything that a reader tells, each part by itself an answer or an error.
#[derive(Debug)]
struct Answers {
    rows: Vec<Result<RowChunk>>,
    keys: Vec<Result<SeriesKey>>,
    series: Vec<Result<OfSeries>>,
    found: Vec<Result<Option<u32>>>,
    selected: Vec<Result<Vec<u32>>>,
    zones: Vec<Result<String>>,
    commits: Result<Vec<(Sequence, CommitMetadata)>>,
    last_rows: Result<Option<RowChunk>>,
}

fn ask(reader: &SegmentReader) -> Answers {
    let columns = reader.columns().to_vec();
    let count = reader.info().row_count;
    let filters = [
        vec![(0, TagFilter::In(vec!["v1".into()]))],
        vec![(1, TagFilter::NotIn(vec!["v2".into(), String::new()]))],
        vec![(1, TagFilter::In(vec![String::new(), "v1".into()]))],
    ];
    let series = |ordinal| {
        let bounds = reader.time_bounds(ordinal)?;
        let middle = TimeRange::new(bounds.0 + 1, i64::midpoint(bounds.0, bounds.1));
        Ok((reader.rows_of(ordinal)?, bounds, reader.rows_in(ordinal, middle)?))
    };
    let every = 0..reader.series_count();
    Answers {
        rows: vec![
            reader.read(0..count, &columns, true),
            reader.read(0..count, &columns[4..5], false),
            reader.read(3..9, &[], false),
        ],
        keys: every.clone().map(|ordinal| reader.key(ordinal)).collect(),
        series: every.map(series).collect(),
        found: [&["v1"][..], &["v1", "v2"], &[]]
            .map(|tags| reader.find(&SeriesKey::from_tags(tags.iter().copied()).unwrap()))
            .into(),
        selected: filters
            .iter()
            .map(|filters| Ok(reader.select(filters)?.iter().collect()))
            .collect(),
        zones: columns
            .iter()
            .map(|(id, _)| {
                let id = BlockId::Field(*id);
                let (zone, bounds) = (reader.zone(0, id)?, reader.page_bounds(0, id, 0)?);
                Ok(format!("{zone:?} {bounds:?}"))
            })
            .collect(),
        commits: reader.commits(),
        last_rows: reader.last_rows(0),
    }
}

/// That what is answered is what the whole segment answers. Compared as text: NaN is not equal to itself.
fn assert_same_or_error(found: &Answers, whole: &Answers, place: &str) {
    fn each<T: std::fmt::Debug>(found: &[Result<T>], whole: &[Result<T>], place: &str) {
        for (one, other) in found.iter().zip(whole) {
            match one {
                Ok(one) => assert_eq!(
                    format!("{one:?}"),
                    format!("{:?}", other.as_ref().unwrap()),
                    "{place}"
                ),
                Err(Error::Corrupt(_)) => {}
                Err(error) => panic!("{place}: {error}"),
            }
        }
    }
    each(&found.rows, &whole.rows, place);
    each(&found.keys, &whole.keys, place);
    each(&found.series, &whole.series, place);
    each(&found.found, &whole.found, place);
    each(&found.selected, &whole.selected, place);
    each(std::slice::from_ref(&found.commits), std::slice::from_ref(&whole.commits), place);
    each(std::slice::from_ref(&found.last_rows), std::slice::from_ref(&whole.last_rows), place);
    each(&found.zones, &whole.zones, place);
}

fn damages(segment: &Damaged) -> Vec<Damage> {
    let mut found = Vec::new();
    verify(segment.vfs.as_ref(), &folder(), DATABASE, &segment.info, &mut |damage| {
        found.push(damage)
    });
    found
}

#[test]
fn every_flipped_bit_is_an_error_or_changes_nothing() {
    let segment = small(11);
    let whole = ask(&open(&segment.vfs, &segment.info));
    assert!(damages(&segment).is_empty());
    let (mut refused, mut noticed) = (0, 0);
    for offset in 0..segment.info.len_bytes {
        for bit in 0..8 {
            segment.sim.flip_bit(&segment.path, offset, bit).unwrap();
            let place = format!("byte {offset}, bit {bit}");
            match SegmentReader::open(segment.vfs.as_ref(), &folder(), DATABASE, &segment.info) {
                Ok(reader) => {
                    let found = ask(&reader);
                    assert_same_or_error(&found, &whole, &place);
                    noticed += usize::from(format!("{found:?}") != format!("{whole:?}"));
                }
                Err(Error::Corrupt(_) | Error::UnsupportedVersion { .. }) => refused += 1,
                Err(error) => panic!("{place}: {error}"),
            }
            if offset % 3 == 0 && u64::from(bit) == offset % 8 {
                assert!(!damages(&segment).is_empty(), "{place} is not found");
            }
            segment.sim.flip_bit(&segment.path, offset, bit).unwrap();
        }
    }
    // Nothing is without a checksum that somebody checks.
    assert_eq!(refused + noticed, 8 * usize::try_from(segment.info.len_bytes).unwrap());
}

#[test]
fn every_length_but_the_right_one_is_told_apart() {
    let segment = small(12);
    let bytes = segment.sim.read_raw(&segment.path).unwrap();
    let detail = |segment: &Damaged| match SegmentReader::open(
        segment.vfs.as_ref(),
        &folder(),
        DATABASE,
        &segment.info,
    ) {
        Err(Error::Corrupt(found)) => found.detail.clone(),
        other => panic!("{other:?}"),
    };
    for len in 0..bytes.len() {
        segment.sim.truncate_raw(&segment.path, len as u64).unwrap();
        let state = if len == 0 { "empty" } else { "truncated" };
        assert!(detail(&segment).contains(state), "{len}: {}", detail(&segment));
        segment.sim.write_raw(&segment.path, &bytes).unwrap();
    }
    segment.sim.truncate_raw(&segment.path, bytes.len() as u64 + 1).unwrap();
    assert!(detail(&segment).contains("too long"));
    segment.vfs.remove(&segment.path).unwrap();
    assert!(detail(&segment).contains("missing"));
    assert_eq!(damages(&segment).len(), 1);
}

#[test]
fn another_file_in_its_place_is_refused() {
    let (one, other) = (small(13), small(14));
    let bytes = other.sim.read_raw(&other.path).unwrap();
    assert_eq!(bytes.len() as u64, one.info.len_bytes, "the same rows give the same length");
    one.sim.write_raw(&one.path, &bytes).unwrap();
    let found = SegmentReader::open(one.vfs.as_ref(), &folder(), DATABASE, &one.info);
    assert!(matches!(found, Err(Error::Corrupt(found)) if found.what == "segment header"));
    // The header of the right file before the body of the other: every seal names the file.
    let mut mixed = small(13).sim.read_raw(&one.path).unwrap();
    mixed[64..].copy_from_slice(&bytes[64..]);
    one.sim.write_raw(&one.path, &mixed).unwrap();
    assert!(SegmentReader::open(one.vfs.as_ref(), &folder(), DATABASE, &one.info).is_err());
}

/// Three pages of one column, of which the first two are as long as each other and differ.
fn paged(id: u128) -> (Damaged, Vec<Row>) {
    let mut noise = Random(9);
    let all: Vec<Row> = (0..3 * PAGE_ROWS as i64)
        .map(|at| Row {
            tags: vec![if at < 5000 { "a" } else { "b" }.into()],
            time: at,
            sequence: Sequence { incarnation: 1, counter: 1 },
            values: vec![Value::Bool(noise.one_in(2)), Value::F64(at as f64)],
        })
        .collect();
    let sim = SimVfs::new(3);
    sim.create_dir_all(&folder()).unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(sim.clone());
    let types = [FieldType::Bool, FieldType::F64];
    let info = write(&vfs, &folder(), spec(id, 1, &types, Effort::Fast), &all, 1 << 20);
    let path = folder().join(names::segment_file(info.file_id));
    (Damaged { sim, vfs, info, path }, all)
}

#[test]
fn swapped_pages_are_found_and_others_stay_readable() {
    let (segment, all) = paged(15);
    let types = [FieldType::Bool, FieldType::F64];
    let reader = open(&segment.vfs, &segment.info);
    let block = reader.block(0, BlockId::Field(ColumnId(10))).unwrap().unwrap();
    let [one, other] = [block.pages[0].extent, block.pages[1].extent];
    assert_eq!(one.len, other.len);
    let mut bytes = segment.sim.read_raw(&segment.path).unwrap();
    let (at, len) = (one.offset as usize, one.len as usize);
    assert!(bytes[at..at + len] != bytes[at + len..at + 2 * len]);
    bytes[at..at + 2 * len].rotate_left(len);
    segment.sim.write_raw(&segment.path, &bytes).unwrap();
    let reader = open(&segment.vfs, &segment.info);
    let read = |rows: std::ops::Range<u64>, pick: usize| {
        reader.read(rows, &columns(&types)[pick..=pick], false)
    };
    assert!(matches!(read(0..10, 0), Err(Error::Corrupt(found)) if found.what == "page"));
    assert!(read(4100..4200, 0).is_err());
    assert_rows(&read(8192..9000, 0).unwrap(), &all[8192..9000], &types, &[0]);
    assert_rows(&read(0..9000, 1).unwrap(), &all[..9000], &types, &[1]);
}

#[test]
fn verify_names_page_column_series_and_times() {
    let (segment, _) = paged(16);
    let reader = open(&segment.vfs, &segment.info);
    let block = reader.block(0, BlockId::Field(ColumnId(11))).unwrap().unwrap();
    let page = block.pages[1].extent;
    segment.sim.flip_bit(&segment.path, page.offset + 1, 5).unwrap();
    let found = damages(&segment);
    let [hash, damage] = found.as_slice() else { panic!("{found:#?}") };
    assert!(hash.detail.contains("BLAKE3"));
    assert_eq!((damage.group, damage.page), (Some(0), Some(1)));
    assert_eq!(damage.block, Some(BlockId::Field(ColumnId(11))));
    assert_eq!((damage.what, damage.offset), ("page", page.offset));
    let key = |tag| SeriesKey::from_tags([tag]).unwrap();
    assert_eq!(damage.series, Some((key("a"), key("b"))));
    assert_eq!(damage.times, Some((0, 3 * PAGE_ROWS as i64 - 1)));
}

#[test]
fn a_failed_call_leaves_no_segment_and_no_temporary_file() {
    let (_, all) = paged(17);
    let types = [FieldType::Bool, FieldType::F64];
    let mut failed = 0;
    for call in 0.. {
        let sim = SimVfs::new(4);
        sim.create_dir_all(&folder()).unwrap();
        let first = sim.call_count();
        sim.fail_at(FaultAt::Call(first + call), Fault::Eio, false);
        let writer = SegmentWriter::create(&sim, &folder(), spec(17, 1, &types, Effort::Fast));
        let outcome = writer.and_then(|mut writer| {
            for series in all.chunk_by(|a, b| a.tags == b.tags) {
                writer.push(&series[0].key(), &chunk(series, &types))?;
            }
            writer.finish()
        });
        match outcome {
            Ok(_) if sim.fault_count() == 0 => break,
            Ok(_) => panic!("call {call} failed and nobody noticed"),
            Err(_) => failed += 1,
        }
        let names = sim.list(&folder()).unwrap();
        assert!(names.iter().all(|name| !name.ends_with(".tmp")), "call {call} left {names:?}");
    }
    assert!(failed >= 5, "create, write, sync, rename and sync of the folder are {failed} calls");
}

#[test]
fn a_left_over_temporary_file_is_replaced() {
    let sim = SimVfs::new(5);
    sim.create_dir_all(&folder()).unwrap();
    let name = names::temporary(&names::segment_file(crate::model::FileId(18)));
    let left = sim.open(&folder().join(name), OpenMode::Create).unwrap();
    left.write_at(&[7; 1 << 20], 0).unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(sim);
    let (_, all) = paged(18);
    let types = [FieldType::Bool, FieldType::F64];
    let info = write(&vfs, &folder(), spec(18, 1, &types, Effort::Fast), &all, 1000);
    assert_eq!(open(&vfs, &info).info(), &info);
}

#[test]
fn a_segment_of_another_database_is_refused() {
    let segment = small(19);
    let found = SegmentReader::open(segment.vfs.as_ref(), &folder(), 1, &segment.info);
    assert!(matches!(found, Err(Error::Corrupt(found)) if found.detail.contains("database")));
}
