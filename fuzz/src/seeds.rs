//! The first inputs of each target, small and made by the engine's own writers; the same each time.

use std::path::Path;
use std::sync::Arc;

use chronolith_codec::varint::put_u64;
use chronolith_codec::{Bitmap, encode_f64, encode_i64, encode_text, encode_validity};
use chronolith_engine::catalog::{Catalog, CatalogChange};
use chronolith_engine::clock::ManualClock;
use chronolith_engine::executor::DeterministicExecutor;
use chronolith_engine::manifest::{Change, CommitTimesRef, Manifest, ProducerState, Quarantined};
use chronolith_engine::model::{
    Batch, CommitMetadata, FieldType, FileId, MergeMode, Predicate, RowBuilder, Sequence,
    SeriesKey, TableId, TableOptions, TagFilter, TimeRange, Value, Window,
};
use chronolith_engine::rng::SeededRng;
use chronolith_engine::segment::SegmentInfo;
use chronolith_engine::segment::fuzz::info_of;
use chronolith_engine::tombstone::Tombstone;
use chronolith_engine::vfs::sim::SimVfs;
use chronolith_engine::wal::Record;
use chronolith_engine::{Db, Environment, Options};

use crate::{block, codec};

/// 2024-01-01T08:00:00Z.
const START_NS: i64 = 1_704_096_000_000_000_000;

/// An input: its target, a name, its bytes.
pub type Seed = (&'static str, String, Vec<u8>);

/// Every input.
#[must_use]
pub fn all() -> Vec<Seed> {
    let mut seeds = Seeds::default();
    database(&mut seeds);
    seeds.edits();
    seeds.codec_pages();
    seeds.block_parts();
    #[cfg(feature = "server")]
    seeds.all.extend(crate::server::seeds());
    seeds.all
}

/// The files of a small database with something of everything, as they are at several moments.
fn database(seeds: &mut Seeds) {
    let (disk, clock) = (SimVfs::new(5), Arc::new(ManualClock::at(START_NS)));
    let options = Options {
        memory_bytes: Some(64 << 20),
        flush_bytes: Some(16 << 20),
        log_file_bytes: 2 << 10,
        log_prepare_bytes: 0,
        reserve_bytes: 0,
        checkpoint_edit_count: 4,
        background: false,
        environment: Environment {
            vfs: Arc::new(disk.clone()),
            clock: Arc::clone(&clock) as _,
            rng: Arc::new(SeededRng::new(5)),
            executor: Arc::new(DeterministicExecutor::new(5)),
        },
        ..Options::new("/db")
    };
    let db = Db::open(options).expect("a new database opens");
    for round in 0..6_i64 {
        clock.advance_ns(250_000_000);
        let mut batch = Batch::new().producer("feed", 1 + round.unsigned_abs());
        batch = batch.with(rows("ticks", round, 3)).with(rows("state", round, 1));
        if round % 2 == 0 {
            batch.metadata = CommitMetadata {
                principal: "me".into(),
                source: "seed".into(),
                event_id: format!("e{round}"),
                pipeline_version: String::new(),
            };
        }
        db.write(batch).expect("a batch is written");
        seeds.files(&disk);
        if round == 3 {
            let range = TimeRange::new(START_NS, START_NS + 1);
            db.delete("ticks", &Predicate::tag("venue", "x"), range).expect("rows are deleted");
            db.flush().expect("rows are flushed");
        }
    }
    db.write(long()).expect("a batch is written");
    db.flush().expect("rows are flushed");
    db.write(Batch::new().with(rows("ticks", 9, 2))).expect("a batch is written");
    db.close().expect("the database closes");
    seeds.files(&disk);
}

fn rows(table: &str, round: i64, count: i64) -> chronolith_engine::model::TableRows {
    let options = TableOptions {
        tags: vec!["symbol".into(), "venue".into()],
        merge: if table == "ticks" { MergeMode::Append } else { MergeMode::LastNonNull },
        ..TableOptions::default()
    };
    let mut builder = RowBuilder::new(table).create_if_missing(options);
    for at in 0..count {
        let venue = ["x", "y", ""][at as usize % 3];
        let mut fields = vec![
            ("price", Value::F64(101.25 + at as f64 / 4.0)),
            ("size", Value::I64(round * 100 + at)),
            ("id", Value::U64(round.unsigned_abs() << 40)),
            ("live", Value::Bool(at % 2 == 0)),
            ("note", Value::Utf8("buy".repeat(at as usize))),
            ("seen", Value::Timestamp(START_NS + at)),
            ("fee", Value::Decimal { units: 25 + at, scale: 2 }),
        ];
        if round % 2 == 1 {
            fields.truncate(3);
        }
        let tags = [("symbol", ["A", "B"][at as usize % 2]), ("venue", venue)];
        builder.push(START_NS + round * 1_000 + at, &tags, &fields);
    }
    builder.build().expect("columns have one type each")
}

/// One series with enough rows for a strip of last rows.
fn long() -> Batch {
    let options = TableOptions { tags: vec!["host".into()], ..TableOptions::default() };
    let mut builder = RowBuilder::new("long").create_if_missing(options);
    for at in 0..150 {
        let fields = [("load", Value::F64((at % 7) as f64)), ("n", Value::I64(at * at))];
        builder.push(START_NS + at * 1_000_000_000, &[("host", "a")], &fields);
    }
    Batch::new().with(builder.build().expect("columns have one type each"))
}

fn changes() -> Vec<Change> {
    let (table, sequence) = (TableId(1), |counter| Sequence { incarnation: 1, counter });
    let window = Window::of(START_NS, 2);
    let segment = SegmentInfo {
        file_id: FileId(5),
        table,
        window,
        len_bytes: 1_000,
        hash: [7; 32],
        row_count: 9,
        series_count: 2,
        min_time: window.start_ns,
        max_time: window.start_ns + 9,
        min_sequence: sequence(1),
        max_sequence: sequence(8),
        has_duplicates: true,
        tombstones_through: Sequence::ZERO,
        effort: 1,
    };
    let tombstone = |counter| Tombstone {
        table,
        sequence: sequence(counter),
        tags: vec![(0, TagFilter::In(vec!["a".into()]))],
        range: TimeRange::new(0, 100),
    };
    let catalog = Catalog::default();
    let options = TableOptions { tags: vec!["sym".into()], ..TableOptions::default() };
    let made = CatalogChange::CreateTable(catalog.plan_table("t", &options));
    let catalog = Arc::new(catalog.apply(&made).expect("a table can be made"));
    let producer = |id: &str| ProducerState {
        id: id.into(),
        number: 3,
        sequence: sequence(2),
        row_count: 5,
        time_ns: START_NS,
    };
    let quarantined = Quarantined {
        path: "quarantine/x".into(),
        reason: "hash differs".into(),
        table: Some(table),
        range: TimeRange::new(5, 50),
        min_sequence: sequence(2),
        max_sequence: sequence(9),
        at_ns: START_NS,
    };
    let times = CommitTimesRef { file_id: FileId(99), len_bytes: 1_024, hash: [7; 32] };
    vec![
        Change::Incarnation { number: 1, previous_last: Sequence::ZERO },
        Change::Catalog { catalog, through: sequence(1) },
        Change::SegmentAdded(Arc::new(segment.clone())),
        Change::SegmentAdded(Arc::new(SegmentInfo { file_id: FileId(6), ..segment })),
        Change::SegmentRemoved(FileId(6)),
        Change::FlushedThrough { table, through: sequence(8) },
        Change::TombstoneAdded(Arc::new(tombstone(9))),
        Change::TombstoneAdded(Arc::new(tombstone(10))),
        Change::TombstoneRemoved { table, sequence: sequence(9) },
        Change::Producers(Arc::new(vec![producer("a"), producer("b")])),
        Change::LogFloor(4),
        Change::LogHead { number: 4, file_id: FileId(44) },
        Change::CommitTimes(times),
        Change::Quarantined(Arc::new(quarantined)),
        Change::Horizon { table, through: sequence(7) },
    ]
}

#[derive(Default)]
struct Seeds {
    all: Vec<Seed>,
}

impl Seeds {
    /// Adds an input that begins with `choices`.
    fn add(&mut self, target: &'static str, what: &str, choices: &[u8], bytes: &[u8]) {
        let whole = [choices, bytes].concat();
        // Three of a kind of part are enough.
        let is_alike = |seed: &&Seed| seed.0 == target && seed.2.first() == choices.first();
        if target == "block" && self.all.iter().filter(is_alike).count() >= 3 && choices[0] != 0 {
            return;
        }
        if whole.len() <= 4_096 && !self.all.iter().any(|(of, _, b)| *of == target && *b == whole) {
            let number = self.all.iter().filter(|seed| seed.0 == target).count();
            self.all.push((target, format!("{what}-{number:02}"), whole));
        }
    }

    fn files(&mut self, disk: &SimVfs) {
        for path in disk.paths() {
            let bytes = disk.read_raw(&path).expect("a file that is listed is read");
            self.file(&path, &bytes);
        }
    }

    fn file(&mut self, path: &Path, bytes: &[u8]) {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("log") => self.log(bytes),
            Some("seg") => self.segment(bytes),
            Some("edit") => self.add("manifest", "edit", &[1], bytes),
            Some("checkpoint") => self.add("manifest", "checkpoint", &[0], bytes),
            Some("times") => self.add("manifest", "times", &[3], bytes.get(512..).unwrap_or(&[])),
            _ => {}
        }
    }

    fn log(&mut self, bytes: &[u8]) {
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let end = used.next_multiple_of(512).min(bytes.len());
        self.add("log", "file", &[3], &bytes[..end]);
        // By the format's page: the length of a group's records at 8, their count at 12; each behind its length.
        let mut at = 512;
        while at + 96 <= end {
            let number =
                |at: usize| bytes[at..at + 4].iter().rev().fold(0, |n, b| n << 8 | usize::from(*b));
            let (len, count) = (number(at + 8), number(at + 12));
            let mut record = at + 96;
            for _ in 0..count {
                let next = record + 4 + number(record);
                self.record(&bytes[record + 4..next]);
                record = next;
            }
            at += (96 + len).next_multiple_of(512);
        }
    }

    fn record(&mut self, bytes: &[u8]) {
        self.add("log", "record", &[4], bytes);
        let record = Record::decode(bytes).expect("a record of the log is read");
        let mut changes = Vec::new();
        record.catalog.iter().for_each(|change| change.encode(&mut changes));
        if !changes.is_empty() {
            self.add("log", "changes", &[6], &changes);
        }
        for deletion in &record.deletions {
            let mut bytes = Vec::new();
            deletion.encode(&mut bytes);
            self.add("block", "deletion", &[12, 0, 0, 0], &bytes);
        }
    }

    fn segment(&mut self, bytes: &[u8]) {
        for flags in [0b10, 0b11, 0b11_1101] {
            self.add("segment", "file", &[flags], bytes);
        }
        let (info, _) = info_of(bytes).expect("a segment's summary is read");
        let mut encoded = Vec::new();
        info.encode(&mut encoded);
        self.add("block", "info", &[11, 0, 0, 0], &encoded);
        // By the format's page: the footer's place in the trailer; entries of 24 bytes.
        let number = |at: usize, len: usize| {
            bytes[at..at + len].iter().rev().fold(0, |n, b| n << 8 | usize::from(*b))
        };
        let trailer = bytes.len() - 32;
        let footer = number(trailer, 8);
        self.add("block", "footer", &[9, 0, 0, 0], &bytes[footer..trailer]);
        let rows = [info.row_count as u8, 0];
        let both = [info.series_count as u8, info.row_count as u8];
        let series = [info.series_count as u8, 0];
        for entry in (footer + 4..trailer).step_by(24) {
            let (from, len) = (number(entry + 8, 8), number(entry + 16, 8));
            let (part, count) = match number(entry, 2) {
                2 => (10, rows),
                3 => (4, both),
                4 => (5, [1, 0]),
                5 => (6, series),
                7 => (2, rows),
                8 => (1, rows),
                9 => (8, rows),
                10 => (7, series),
                _ => continue,
            };
            self.add("block", "section", &[part, 0, count[0], count[1]], &bytes[from..from + len]);
        }
    }

    /// An edit for each kind of change.
    fn edits(&mut self) {
        let disk = SimVfs::new(3);
        let rng = Arc::new(SeededRng::new(3));
        let manifest = Manifest::create(Arc::new(disk.clone()), rng, Path::new("/m"), 9);
        let manifest = manifest.expect("a new manifest is made");
        for change in changes() {
            manifest.commit(&[change]).expect("changes fit one after the other");
        }
        self.files(&disk);
    }

    fn codec_pages(&mut self) {
        let ints: Vec<i64> = (0..40).map(|at| 1_000 + at * at % 17 * 5).collect();
        let floats: Vec<f64> = ints.iter().map(|value| *value as f64 / 100.0).collect();
        let texts = ["", "NSE", "é", "RELIANCE", "NSE", "RELIANCE-EQ"].into_iter().collect();
        let count = [40, 0];
        for choice in (0..10).chain([13]) {
            let mut page = Vec::new();
            encode_i64(&ints, &codec::int_plan(choice), &mut page);
            self.add("codec", "int", &[0, choice, count[0], count[1]], &page);
        }
        for choice in (0..50).step_by(7).chain([251]) {
            let mut page = Vec::new();
            encode_f64(&floats, &codec::float_plan(choice), &mut page);
            self.add("codec", "float", &[1, choice, count[0], count[1]], &page);
        }
        let page_of = |texts: &chronolith_codec::TextBuf, choice| {
            let mut page = Vec::new();
            encode_text(texts.view(), &codec::text_plan(choice), &mut page);
            page
        };
        for choice in [0, 1, 2] {
            self.add("codec", "text", &[2, choice, 6, 0], &page_of(&texts, choice));
        }
        for bits in [Bitmap::from_fn(40, |at| at > 9), Bitmap::from_fn(40, |at| at % 3 == 0)] {
            let mut page = Vec::new();
            encode_validity(&bits, &mut page);
            self.add("codec", "bits", &[3, 0, count[0], count[1]], &page);
        }
        for kind in 4..8 {
            self.add(
                "codec",
                "values",
                &[kind, 1, 40, 0],
                b"12345678\n87654321\n\0\0\0\0\0\0\0\0ab",
            );
        }
    }

    fn block_parts(&mut self) {
        for (of, field_type) in (0..).zip(block::TYPES) {
            let mut page = vec![0];
            match field_type {
                FieldType::F64 => encode_f64(&[1.5; 9], &codec::float_plan(0), &mut page),
                FieldType::Bool => {
                    encode_validity(&Bitmap::from_fn(9, |at| at % 2 == 0), &mut page)
                }
                FieldType::Utf8 => {
                    let texts: chronolith_codec::TextBuf = ["a"; 9].into_iter().collect();
                    encode_text(texts.view(), &codec::text_plan(1), &mut page);
                }
                _ => encode_i64(&[1, 2, 3, 4, 5, 6, 7, 8, 9], &codec::int_plan(3), &mut page),
            }
            self.add("block", "page", &[0, of, 9, 0], &page);
            let mut zone = Vec::new();
            [1, 2, 8, 0, 8].into_iter().for_each(|part| put_u64(&mut zone, part));
            zone.extend([0; 16]);
            zone.extend([0; 24]);
            self.add("block", "zone", &[3, of, 9, 0], &zone);
        }
        let key = SeriesKey::from_tags(["A", "x"]).expect("a key of two tags");
        let tombstone = Tombstone {
            table: chronolith_engine::model::TableId(1),
            sequence: chronolith_engine::model::Sequence { incarnation: 1, counter: 300 },
            tags: vec![(0, TagFilter::In(vec![key.tag(0).into()])), (1, TagFilter::NotIn(vec![]))],
            range: TimeRange::ALL,
        };
        let mut bytes = Vec::new();
        tombstone.encode(&mut bytes);
        self.add("block", "deletion", &[12, 0, 0, 0], &bytes);
    }
}
