//! Golden segments: bytes of format version 0 that must stay readable, and must be written again, bit by bit, until the format
//! changes on purpose. To make them anew: `CHRONOLITH_GOLDEN=write cargo test -p chronolith-engine --lib segment -- --ignored`.

use std::fmt::Write as _;
use std::path::PathBuf;

use chronolith_codec::Effort;
use chronolith_codec::varint::Reader;

use super::support::*;
use crate::format::names;
use crate::model::{CommitMetadata, FieldType, FileId, Sequence};
use crate::segment::{SegmentInfo, SegmentReader, SegmentWriter};
use crate::vfs::sim::SimVfs;
use crate::vfs::{OpenMode, OsVfs, Vfs, read_exact};

/// A folder of golden files: the segment, `info.hex` with what the manifest holds of it, `rows.txt` with its rows.
struct Case {
    name: &'static str,
    series: usize,
    shape: Shape<'static>,
    effort: Effort,
    /// The dump holds one in so many rows.
    step: usize,
}

const CASES: [Case; 2] = [
    Case {
        name: "short_series",
        series: 300,
        shape: Shape {
            tag_values: &[3, 5, 400],
            rows_per_series: 2,
            null_one_in: 5,
            repeat_one_in: 6,
            types: &TYPES,
        },
        effort: Effort::Fast,
        step: 1,
    },
    Case {
        name: "long_series",
        series: 3,
        shape: Shape {
            tag_values: &[2, 2],
            rows_per_series: 2500,
            null_one_in: 30,
            repeat_one_in: 80,
            types: &TYPES,
        },
        effort: Effort::Dense,
        step: 40,
    },
];

fn home(case: &Case) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/v0/segment").join(case.name)
}

/// Writes the case's segment.
fn written(case: &Case) -> (SimVfs, SegmentInfo) {
    let all = rows(&mut Random(41), case.series, &case.shape);
    let sim = SimVfs::new(6);
    sim.create_dir_all(&folder()).unwrap();
    let spec = spec(0x601d, case.shape.tag_values.len(), case.shape.types, case.effort);
    let mut writer = SegmentWriter::create(&sim, &folder(), spec).unwrap();
    for counter in 1..4 {
        let metadata = CommitMetadata {
            principal: "importer".into(),
            event_id: format!("event-{counter}"),
            ..CommitMetadata::default()
        };
        writer.metadata(Sequence { incarnation: 1, counter }, metadata);
    }
    for series in all.chunk_by(|a, b| a.key() == b.key()) {
        writer.push(&series[0].key(), &chunk(series, case.shape.types)).unwrap();
    }
    let info = writer.finish().unwrap();
    (sim, info)
}

/// A line for one in `step` rows.
fn dump(reader: &SegmentReader, step: usize) -> String {
    let mut text = String::new();
    for ordinal in 0..reader.series_count() {
        let rows = reader.read(reader.rows_of(ordinal).unwrap(), reader.columns(), true).unwrap();
        let key = reader.key(ordinal).unwrap();
        for row in (0..rows.row_count()).step_by(step) {
            write!(text, "{key:?} {} {}", rows.time[row], rows.sequence[row]).unwrap();
            for (column, (_, of)) in rows.fields.iter().zip(reader.columns()) {
                write!(text, " {:?}", column.value(row, *of)).unwrap();
            }
            text.push('\n');
        }
    }
    text
}

fn read_file(path: &std::path::Path) -> Vec<u8> {
    let file = OsVfs::new().open(path, OpenMode::Read).expect("a golden file is missing");
    let len = usize::try_from(file.len_bytes().unwrap()).unwrap();
    read_exact(file.as_ref(), 0, len, "golden file").unwrap()
}

fn unhex(text: &[u8]) -> Vec<u8> {
    let digits: Vec<u32> = text.iter().filter_map(|byte| char::from(*byte).to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

#[test]
fn golden_segments_are_read_and_written_again() {
    for case in &CASES {
        let bytes = unhex(&read_file(&home(case).join("info.hex")));
        let mut info = Reader::new(&bytes);
        let info = SegmentInfo::decode(&mut info).unwrap();
        let reader = SegmentReader::open(&OsVfs::new(), &home(case), DATABASE, &info).unwrap();
        assert_eq!(
            dump(&reader, case.step).into_bytes(),
            read_file(&home(case).join("rows.txt")),
            "{}",
            case.name
        );
        assert_eq!(reader.commits().unwrap().len(), 3);
        reader.verify(&mut |damage| panic!("{damage:?}"));
        let (sim, again) = written(case);
        assert_eq!(again, info, "{}", case.name);
        let name = names::segment_file(FileId(0x601d));
        let same =
            sim.read_raw(&folder().join(&name)).unwrap() == read_file(&home(case).join(&name));
        assert!(same, "{} is written with other bytes", case.name);
    }
}

#[test]
#[ignore = "writes the golden files; run it by name, with CHRONOLITH_GOLDEN=write, when format version 0 changes on purpose"]
fn write_golden_segments() {
    if std::env::var("CHRONOLITH_GOLDEN").as_deref() != Ok("write") {
        return println!("CHRONOLITH_GOLDEN is not \"write\": nothing was written");
    }
    let disk = OsVfs::new();
    let put = |path: PathBuf, bytes: &[u8]| {
        if disk.exists(&path).unwrap() {
            disk.remove(&path).unwrap();
        }
        disk.open(&path, OpenMode::Create).unwrap().write_at(bytes, 0).unwrap();
    };
    for case in &CASES {
        disk.create_dir_all(&home(case)).unwrap();
        let (sim, info) = written(case);
        let name = names::segment_file(info.file_id);
        put(home(case).join(&name), &sim.read_raw(&folder().join(&name)).unwrap());
        let mut bytes = Vec::new();
        info.encode(&mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        put(home(case).join("info.hex"), format!("{hex}\n").as_bytes());
        let reader = SegmentReader::open(&sim, &folder(), DATABASE, &info).unwrap();
        put(home(case).join("rows.txt"), dump(&reader, case.step).as_bytes());
    }
    assert!(CASES.iter().all(|case| case.shape.types == TYPES && TYPES[0] == FieldType::F64));
}
