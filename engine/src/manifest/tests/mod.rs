//! Tests of the manifest, and what they share.

mod commits;
mod crash;
mod damage;
mod golden;
mod model;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::catalog::{Catalog, CatalogChange};
use crate::model::{FieldType, MergeMode, Sequence, TableId, TableOptions, TagFilter, TimeRange};
use crate::rng::SeededRng;
use crate::segment::SegmentInfo;
use crate::tombstone::Tombstone;
use crate::vfs::sim::SimVfs;

const DATABASE: u128 = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;

fn dir() -> PathBuf {
    PathBuf::from("/data/db")
}

fn rng(seed: u64) -> Arc<SeededRng> {
    Arc::new(SeededRng::new(seed))
}

fn create(disk: &SimVfs) -> Manifest {
    Manifest::create(Arc::new(disk.clone()), rng(1), &dir(), DATABASE).unwrap()
}

fn open(disk: &SimVfs, writable: bool) -> Result<Manifest> {
    Manifest::open(Arc::new(disk.clone()), rng(2), &dir(), writable)
}

fn names(disk: &SimVfs) -> Vec<String> {
    disk.list(&dir().join("manifest")).unwrap()
}

fn seq(incarnation: u32, counter: u64) -> Sequence {
    Sequence { incarnation, counter }
}

fn segment(file: u128, table: u32, hour: i64, first: u64) -> Arc<SegmentInfo> {
    let window = crate::model::Window { start_ns: hour * 3_600_000_000_000, shift: 0 };
    Arc::new(SegmentInfo {
        file_id: FileId(file),
        table: TableId(table),
        window,
        len_bytes: 1000 + first,
        hash: [u8::try_from(file % 251).unwrap(); 32],
        row_count: 10,
        series_count: 2,
        min_time: window.start_ns,
        max_time: window.start_ns + 59,
        min_sequence: seq(1, first),
        max_sequence: seq(1, first + 9),
        has_duplicates: false,
        tombstones_through: Sequence::ZERO,
        effort: 0,
    })
}

fn tombstone(table: u32, counter: u64) -> Arc<Tombstone> {
    Arc::new(Tombstone {
        table: TableId(table),
        sequence: seq(1, counter),
        tags: vec![(0, TagFilter::In(vec!["a".into(), "b".into()]))],
        range: TimeRange::new(0, 100),
    })
}

fn producer(id: &str, number: u64) -> ProducerState {
    ProducerState { id: id.into(), number, sequence: seq(1, number), row_count: 5, time_ns: 77 }
}

fn catalog() -> Catalog {
    let options = TableOptions {
        tags: vec!["exchange".into(), "symbol".into()],
        fields: vec![
            ("price".into(), FieldType::Decimal { precision: 12, scale: 2 }),
            ("size".into(), FieldType::U64),
        ],
        merge: MergeMode::LastRow,
        ..TableOptions::default()
    };
    let catalog = Catalog::default();
    let schema = catalog.plan_table("trades", &options);
    catalog.apply(&CatalogChange::CreateTable(schema)).unwrap()
}

fn quarantined(path: &str) -> Arc<Quarantined> {
    Arc::new(Quarantined {
        path: path.into(),
        reason: "hash differs".into(),
        table: Some(TableId(1)),
        range: TimeRange::new(5, 50),
        min_sequence: seq(1, 2),
        max_sequence: seq(1, 9),
        at_ns: 1_700_000_000_000_000_000,
    })
}

/// One change of every kind, which fit together.
fn all_kinds() -> Vec<Change> {
    let times = CommitTimesRef { file_id: FileId(99), len_bytes: 1024, hash: [7; 32] };
    vec![
        Change::Incarnation { number: 1, previous_last: Sequence::ZERO },
        Change::Catalog { catalog: Arc::new(catalog()), through: seq(1, 1) },
        Change::SegmentAdded(segment(10, 1, 0, 1)),
        Change::SegmentAdded(segment(11, 1, -3, 11)),
        Change::SegmentAdded(segment(12, 2, 5, 1)),
        Change::SegmentRemoved(FileId(12)),
        Change::FlushedThrough { table: TableId(1), through: seq(1, 20) },
        Change::TombstoneAdded(tombstone(1, 21)),
        Change::TombstoneAdded(tombstone(1, 22)),
        Change::TombstoneRemoved { table: TableId(1), sequence: seq(1, 21) },
        Change::Producers(Arc::new(vec![producer("a", 3), producer("b", 9)])),
        Change::LogFloor(4),
        Change::CommitTimes(times),
        Change::LogHead { number: 4, file_id: FileId(44) },
        Change::Quarantined(quarantined("quarantine/x.seg")),
        Change::Horizon { table: TableId(1), through: seq(1, 18) },
    ]
}

/// The change that edit `number` of a long history makes.
fn nth(number: u64) -> Vec<Change> {
    vec![
        Change::SegmentAdded(segment(u128::from(number) + 1000, 1, 0, number * 10)),
        Change::FlushedThrough { table: TableId(1), through: seq(1, number * 10) },
    ]
}

fn path(name: &str) -> PathBuf {
    Path::new(&dir()).join("manifest").join(name)
}
