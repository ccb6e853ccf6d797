//! A log file of format version 0, byte for byte, with a dump that a reader of its own makes from docs/format/wal.md.
//! Written only with `CHRONOLITH_REGENERATE_GOLDEN=wal` in the environment; a missing file is a failure.

use std::fmt::Write;

use chronolith_codec::{Bitmap, TextBuf};

use super::*;
use crate::catalog::CatalogChange;
use crate::model::{
    Column, ColumnData, ColumnId, CommitMetadata, FieldDef, FieldType, FieldValues, Producer, Rows,
    SeriesKey, TableId, TagFilter, TimeRange,
};
use crate::tombstone::Tombstone;
use crate::vfs::{OpenMode, OsVfs, read_exact};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/v0/wal")
}

fn rich() -> Record {
    let key = |tags: &[&str]| SeriesKey::from_tags(tags.iter().copied()).unwrap();
    let field = |id, field_type, data, valid: Option<[bool; 3]>| FieldValues {
        id: ColumnId(id),
        field_type,
        column: Column::new(data, valid.map(|bits| Bitmap::from_fn(3, |at| bits[at]))),
    };
    let mut texts = TextBuf::new();
    ["open", "", "close\u{e9}"].iter().for_each(|text| texts.push(text).unwrap());
    let floats = vec![f64::from_bits(0x7ff8_0000_0000_0001), -0.0, 2885.75];
    let decimal = FieldType::Decimal { precision: 12, scale: 4 };
    let times = ColumnData::I64(vec![-1, 0, 1_620_000_000_000_000_000]);
    let rows = Rows {
        table: TableId(300),
        keys: vec![key(&["NSE", "", "RELIANCE"]), key(&["NSE", "EQ"])],
        series: vec![0, 1, 0],
        time: vec![1_620_000_000_000_000_000, i64::MIN, i64::MAX],
        fields: vec![
            field(4, FieldType::F64, ColumnData::F64(floats), None),
            field(5, FieldType::I64, ColumnData::I64(vec![0, -7, 0]), Some([false, true, false])),
            field(6, FieldType::U64, ColumnData::U64(vec![u64::MAX, 0, 1]), None),
            field(7, FieldType::Bool, ColumnData::Bool(Bitmap::from_fn(3, |at| at == 2)), None),
            field(8, FieldType::Utf8, ColumnData::Utf8(texts), Some([true, false, true])),
            field(9, FieldType::Timestamp, times, None),
            field(10, decimal, ColumnData::I64(vec![28_857_500, 0, -1]), None),
        ],
    };
    Record {
        metadata: CommitMetadata {
            principal: "desk".into(),
            source: String::new(),
            event_id: "e-1".into(),
            pipeline_version: "1.2".into(),
        },
        producer: Some(Producer { id: "feed".into(), number: 300 }),
        catalog: vec![CatalogChange::AddField {
            table: TableId(300),
            field: FieldDef { id: ColumnId(10), name: "bid".into(), field_type: decimal },
        }],
        rows: vec![rows],
        deletions: vec![Tombstone {
            table: TableId(2),
            sequence: Sequence::ZERO,
            tags: vec![(1, TagFilter::NotIn(vec!["EQ".into(), String::new()]))],
            range: TimeRange::new(-5, 1_000),
        }],
    }
}

fn plain(value: f64) -> Record {
    let data = ColumnData::F64(vec![value]);
    let field_type = FieldType::F64;
    let column = Column::new(data, None);
    let rows = Rows {
        table: TableId(1),
        keys: vec![SeriesKey::from_tags(["A"]).unwrap()],
        series: vec![0],
        time: vec![5],
        fields: vec![FieldValues { id: ColumnId(2), field_type, column }],
    };
    Record { rows: vec![rows], ..Record::default() }
}

/// File 2 of a log: a group of one record, a group of two, and a witness.
fn file_bytes() -> Vec<u8> {
    let vfs = disk();
    let previous = Some(PreviousFile { number: 1, file_id: id_of(1), end_bytes: 0x1_2600 });
    let mut writer =
        LogWriter::create(&vfs, Path::new(FOLDER), header(2, previous), zeros(0)).unwrap();
    let mut counter = 41;
    for group in [vec![rich()], vec![plain(0.1), plain(f64::NEG_INFINITY)]] {
        let mut payload = Vec::new();
        for record in &group {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            payload.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
            payload.extend_from_slice(&bytes);
        }
        let record_count = u32::try_from(group.len()).unwrap();
        let (kind, first) = (GroupKind::Records, seq(counter));
        let group = Group { kind, payload: &payload, record_count, first, commit_time_ns: TIME_NS };
        writer.append(group).unwrap();
        writer.sync().unwrap();
        counter += u64::from(record_count);
    }
    witness(&mut writer, counter);
    vfs.read_raw(&path_of(2)).unwrap()
}

fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text.push('\n');
    }
    text
}

fn read(name: &str) -> String {
    let path = folder().join(name);
    let file = OsVfs.open(&path, OpenMode::Read).expect("a golden file is missing");
    let len = usize::try_from(file.len_bytes().unwrap()).unwrap();
    String::from_utf8(read_exact(file.as_ref(), 0, len, "golden file").unwrap()).unwrap()
}

fn write(name: &str, text: &str) {
    OsVfs.create_dir_all(&folder()).unwrap();
    let path = folder().join(name);
    if OsVfs.exists(&path).unwrap() {
        OsVfs.remove(&path).unwrap();
    }
    OsVfs.open(&path, OpenMode::Create).unwrap().write_at(text.as_bytes(), 0).unwrap();
}

#[test]
fn the_golden_file_is_what_is_written_and_what_the_page_says() {
    let bytes = file_bytes();
    if std::env::var("CHRONOLITH_REGENERATE_GOLDEN").is_ok_and(|what| what == "wal") {
        write("log.hex", &to_hex(&bytes));
        write("log.txt", &dump(&bytes));
    }
    assert_eq!(to_hex(&bytes), read("log.hex"), "the writer writes other bytes");
    assert_eq!(dump(&bytes), read("log.txt"), "the bytes mean something else");
}

#[test]
fn the_golden_file_reads_back() {
    let digits: Vec<u32> = read("log.hex").chars().filter_map(|c| c.to_digit(16)).collect();
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect();
    let vfs = disk();
    vfs.write_raw(&path_of(2), &bytes).unwrap();
    let mut records = Vec::new();
    let head = Some((2, id_of(2)));
    let found = recover(&vfs, Path::new(FOLDER), DATABASE, 2, head, false, &mut |record| {
        records.push((record.sequence.counter, Record::decode(record.bytes).unwrap()));
        Ok(())
    });
    assert!(found.unwrap().torn.is_none());
    let [(41, first), (42, second), (43, third)] = &records[..] else {
        panic!("other records: {records:?}");
    };
    // A NaN is not equal to itself, its text is.
    assert_eq!(format!("{first:?}"), format!("{:?}", rich()));
    assert_eq!((second, third), (&plain(0.1), &plain(f64::NEG_INFINITY)));
}

/// CRC-32 (ISO 3309), bit by bit, over the place of `bytes` and then the bytes.
pub(super) fn crc_of_place(file_id: u128, offset: u64, version: u32, bytes: &[u8]) -> u32 {
    let place = [&file_id.to_le_bytes()[..], &offset.to_le_bytes(), &version.to_le_bytes()];
    let mut crc = u32::MAX;
    for byte in place.concat().iter().chain(bytes) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Reads bytes as docs/format/wal.md has them, and writes down what they say.
struct Dump<'a> {
    bytes: &'a [u8],
    at: usize,
    text: String,
}

fn dump(bytes: &[u8]) -> String {
    let mut dump = Dump { bytes, at: 0, text: String::new() };
    let file_id = dump.file_header();
    while dump.at < bytes.len() {
        dump.group(file_id);
    }
    dump.text
}

impl Dump<'_> {
    fn take(&mut self, len: usize) -> &[u8] {
        self.at += len;
        &self.bytes[self.at - len..self.at]
    }

    fn number(&mut self, len: usize) -> u128 {
        self.take(len).iter().rev().fold(0, |value, byte| value << 8 | u128::from(*byte))
    }

    fn varint(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = u64::try_from(self.number(1)).unwrap();
            value |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }

    fn zigzag(&mut self) -> i128 {
        let value = i128::from(self.varint());
        if value % 2 == 0 { value / 2 } else { -(value + 1) / 2 }
    }

    fn texted(&mut self) -> String {
        let len = usize::try_from(self.varint()).unwrap();
        String::from_utf8(self.take(len).to_vec()).unwrap()
    }

    fn say(&mut self, from: usize, what: &str, value: impl std::fmt::Display) {
        writeln!(self.text, "{from:5}  {what:<18} {value}").unwrap();
    }

    fn fixed(&mut self, what: &str, len: usize) -> u128 {
        let from = self.at;
        let value = self.number(len);
        let shown = if len == 16 { format!("{value:#x}") } else { value.to_string() };
        self.say(from, what, shown);
        value
    }

    fn count(&mut self, what: &str) -> u64 {
        let from = self.at;
        let value = self.varint();
        self.say(from, what, value);
        value
    }

    fn zeros(&mut self, what: &str, len: usize) {
        let from = self.at;
        assert!(self.take(len).iter().all(|byte| *byte == 0), "{what} at {from}");
        self.say(from, what, format_args!("{len} zeros"));
    }

    fn checksum(&mut self, what: &str, file_id: u128, covered: std::ops::Range<usize>) {
        let from = self.at;
        let stored = self.number(4);
        let place = covered.start as u64;
        let crc = crc_of_place(file_id, place, 0, &self.bytes[covered.clone()]);
        assert_eq!(stored, u128::from(crc), "{what} at {from}");
        self.say(from, what, format_args!("of bytes {covered:?}"));
    }

    fn file_header(&mut self) -> u128 {
        assert_eq!(self.take(8), b"CHRONLOG");
        self.say(0, "magic", "CHRONLOG");
        self.fixed("format version", 4);
        self.fixed("incarnation", 4);
        self.fixed("number", 8);
        let file_id = self.fixed("file id", 16);
        self.fixed("database id", 16);
        self.fixed("previous number", 8);
        self.fixed("previous file id", 16);
        self.fixed("previous end", 8);
        assert_eq!(self.fixed("algorithm", 1), 1);
        self.zeros("reserved", 419);
        self.checksum("checksum", file_id, 0..508);
        file_id
    }

    fn group(&mut self, file_id: u128) {
        let start = self.at;
        self.text.push('\n');
        assert_eq!(self.take(4), b"CLGR");
        self.say(start, "magic", "CLGR");
        self.fixed("kind", 2);
        self.zeros("reserved", 2);
        let payload_len = usize::try_from(self.fixed("payload length", 4)).unwrap();
        let records = self.fixed("records", 4);
        self.fixed("first counter", 8);
        self.fixed("incarnation", 4);
        let end = start + (96 + payload_len).div_ceil(512) * 512;
        self.checksum("body checksum", file_id, start + 96..end);
        self.fixed("commit time", 8);
        self.fixed("durable", 8);
        let from = self.at;
        // Of the file's header for the first group, else of the group before: found by its place in this dump.
        let previous = self.number(4).to_le_bytes();
        self.say(from, "previous checksum", format_args!("{:02x?}", &previous[..4]));
        let known = [508].into_iter().chain((512..start).step_by(512).map(|at| at + 92));
        let sums: Vec<&[u8]> = known.map(|at| &self.bytes[at..at + 4]).collect();
        assert!(sums.contains(&&previous[..4]), "group at {start} follows none");
        self.zeros("reserved", 40);
        self.checksum("checksum", file_id, start..start + 92);
        for _ in 0..records {
            let len = usize::try_from(self.fixed("record length", 4)).unwrap();
            let end = self.at + len;
            self.record();
            assert_eq!(self.at, end, "a record of another length");
        }
        assert_eq!(self.at, start + 96 + payload_len);
        self.zeros("fill", end - self.at);
    }

    fn record(&mut self) {
        let flags = self.fixed("flags", 1);
        if flags & 1 != 0 {
            for what in ["principal", "source", "event id", "pipeline version"] {
                let from = self.at;
                let text = self.texted();
                self.say(from, what, format_args!("{text:?}"));
            }
        }
        if flags & 2 != 0 {
            let from = self.at;
            let text = self.texted();
            self.say(from, "producer", format_args!("{text:?}"));
            self.count("producer number");
        }
        for _ in 0..self.count("changes") {
            // Only one kind is in the file.
            assert_eq!(self.fixed("kind of change", 1), 3);
            self.count("table");
            self.count("column");
            let from = self.at;
            let text = self.texted();
            self.say(from, "name", format_args!("{text:?}"));
            self.column_type();
        }
        for _ in 0..self.count("tables") {
            self.rows();
        }
        for _ in 0..self.count("deletions") {
            self.deletion();
        }
    }

    fn column_type(&mut self) -> u8 {
        let from = self.at;
        let code: [u8; 3] = self.take(3).try_into().unwrap();
        self.say(from, "type", format_args!("{code:?}"));
        code[0]
    }

    fn rows(&mut self) {
        self.count("table");
        let keys = self.count("series");
        for _ in 0..keys {
            let from = self.at;
            let key = self.texted();
            self.say(from, "series key", format_args!("{key:?}"));
        }
        let rows = usize::try_from(self.count("rows")).unwrap();
        if keys > 1 {
            self.values("series of rows", rows, 4, |value| value.to_string());
        }
        self.values("times", rows, 8, signed);
        for _ in 0..self.count("fields") {
            self.count("column");
            let code = self.column_type();
            if self.fixed("has nulls", 1) == 1 {
                self.bits("validity", rows);
            }
            match code {
                1 => self.values("values", rows, 8, |value| {
                    let bits = u64::try_from(value).unwrap();
                    format!("{bits:#018x}={}", f64::from_bits(bits))
                }),
                2 | 6 | 7 => self.values("values", rows, 8, signed),
                3 => self.values("values", rows, 8, |value| value.to_string()),
                4 => self.bits("values", rows),
                _ => self.texts(rows),
            }
        }
    }

    fn texts(&mut self, rows: usize) {
        let from = self.at;
        let ends: Vec<usize> =
            (0..=rows).map(|_| usize::try_from(self.number(4)).unwrap()).collect();
        self.say(from, "offsets", format_args!("{ends:?}"));
        let from = self.at;
        let bytes = self.take(*ends.last().unwrap()).to_vec();
        let texts: Vec<&str> = ends
            .windows(2)
            .map(|ends| std::str::from_utf8(&bytes[ends[0]..ends[1]]).unwrap())
            .collect();
        self.say(from, "texts", format_args!("{texts:?}"));
    }

    fn values(&mut self, what: &str, rows: usize, len: usize, show: fn(u128) -> String) {
        let from = self.at;
        let values: Vec<String> = (0..rows).map(|_| show(self.number(len))).collect();
        self.say(from, what, values.join(" "));
    }

    fn bits(&mut self, what: &str, rows: usize) {
        let from = self.at;
        let bytes = self.take(rows.div_ceil(8)).to_vec();
        let bits: String = (0..rows)
            .map(|at| if bytes[at / 8] >> (at % 8) & 1 == 1 { '1' } else { '0' })
            .collect();
        self.say(from, what, bits);
    }

    fn deletion(&mut self) {
        self.count("table");
        self.count("incarnation");
        self.count("counter");
        let from = self.at;
        let range = (self.zigzag(), self.zigzag());
        self.say(from, "times", format_args!("{range:?}"));
        for _ in 0..self.count("filters") {
            self.count("tag");
            self.fixed("kind", 1);
            for _ in 0..self.count("values") {
                let from = self.at;
                let value = self.texted();
                self.say(from, "value", format_args!("{value:?}"));
            }
        }
    }
}

fn signed(value: u128) -> String {
    u64::try_from(value).unwrap().cast_signed().to_string()
}
