//! Log files and their records. Byte 0: bit 0 takes every checksum for the right one; bits 1 and 2 choose a whole file, a
//! record alone, or a chain of changes of the catalog. What follows is that.

use std::path::Path;

use chronolith_codec::varint::Reader;
use chronolith_engine::budget::MemoryBudget;
use chronolith_engine::catalog::{Catalog, CatalogChange};
use chronolith_engine::format::frame::trust;
use chronolith_engine::format::names::log_file;
use chronolith_engine::memtable::Memtable;
use chronolith_engine::model::{FileId, Sequence, TableId, TimeRange};
use chronolith_engine::wal::{
    CursorStep, FileHeader, GroupHeader, LogCursor, LogEnd, LogFile, Record, recover,
};

use crate::disk::OneFile;
use crate::input::Input;

/// A log file, or what is in one.
pub fn log(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    trust(flags & 1 != 0);
    match flags >> 1 & 3 {
        0 | 1 => file(input.rest(), flags & 2 != 0),
        2 => record(input.rest()),
        _ => changes(input.rest()),
    }
    trust(false);
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// A whole file, under the name and in the database that its header gives.
fn file(bytes: &[u8], has_records: bool) {
    let number = u64::from_le_bytes(word(bytes, 16));
    let file_id = FileId(u128::from_le_bytes(word(bytes, 24)));
    let database_id = u128::from_le_bytes(word(bytes, 40));
    let disk = OneFile::new(log_file(number, file_id), bytes);
    let path = Path::new("wal").join(log_file(number, file_id));
    if let Ok(Some((header, _))) = FileHeader::decode(bytes, &path, file_id) {
        let read = FileHeader::decode(&header.encode().0, &path, file_id);
        assert_eq!(read.ok().flatten().map(|read| read.0), Some(header));
    }
    let Ok(Some(found)) = LogFile::open(&disk, &path, number, file_id, database_id) else {
        return;
    };
    let mut records = Vec::new();
    let scanned = found.scan(&disk, None, &mut |raw| {
        records.push((raw.sequence, raw.commit_time_ns, raw.offset, raw.bytes.to_vec()));
        if has_records {
            record(raw.bytes);
        }
        Ok(())
    });
    if let Ok(scan) = &scanned {
        assert!(scan.end_bytes <= scan.len_bytes.max(512), "groups end within the file");
        assert_eq!(scan.last, records.last().map(|record| record.0), "the last record");
        for end in [scan.end_bytes, scan.end_bytes / 2] {
            let _ = found.scan(&disk, Some(end), &mut |_| Ok(()));
        }
        follow(&disk, &path, (number, file_id), database_id, &records);
        headers(bytes, file_id, scan.end_bytes);
        let _ = matches!(scan.end, LogEnd::Torn { .. });
    }
    for tolerate in [false, true] {
        let mut count = 0;
        let head = Some((number, file_id));
        let recovered =
            recover(&disk, Path::new("wal"), database_id, number, head, tolerate, &mut |_| {
                count += 1;
                Ok(())
            });
        if let Ok(recovered) = recovered {
            assert_eq!(recovered.record_count, count, "records that recovery counts");
            assert!(recovered.durable <= recovered.last, "no more is durable than is there");
        }
    }
}

type Found = (Sequence, i64, u64, Vec<u8>);

/// Who follows the log gets what a scan gets.
fn follow(disk: &OneFile, path: &Path, name: (u64, FileId), database_id: u128, records: &[Found]) {
    let Ok(Some(mut cursor)) = LogCursor::open(disk, path, name, database_id) else {
        panic!("a scan opens the file, a cursor does not");
    };
    cursor.refresh().unwrap();
    let mut expected = records.iter();
    while let Ok(CursorStep::Group(mut group)) = cursor.step(Sequence::ZERO, Sequence::MAX) {
        while let Ok(Some(raw)) = group.peek() {
            let found = (raw.sequence, raw.commit_time_ns, raw.offset, raw.bytes.to_vec());
            // A cursor passes over groups of counter 0, which no log has.
            let known = expected.find(|known| **known == found);
            assert!(known.is_some(), "a cursor gives a record that a scan does not");
            let len = raw.bytes.len();
            group.take(len);
        }
    }
    assert!(expected.all(|known| known.0.counter == 0), "a scan gives what a cursor does not");
}

/// Each header of a group is written in one way.
fn headers(bytes: &[u8], file_id: FileId, end_bytes: u64) {
    let mut at = 512;
    while (at as u64) < end_bytes {
        let Some((header, _)) = GroupHeader::decode(&bytes[at..], file_id, at as u64) else {
            panic!("a scan reads the header at {at}");
        };
        let written = header.encode(file_id, at as u64);
        assert_eq!(written[..92], bytes[at..at + 92], "a group header is written in one way");
        at += chronolith_engine::wal::group_bytes(header.payload_bytes as usize);
    }
}

fn record(bytes: &[u8]) {
    let Ok(record) = Record::decode(bytes) else { return };
    let mut written = Vec::new();
    record.encode(&mut written);
    let read = Record::decode(&written).expect("a record that was written is read");
    // NaN is not itself.
    assert!(read == record || format!("{read:?}") == format!("{record:?}"), "{record:?}");
    let mut again = Vec::new();
    read.encode(&mut again);
    assert_eq!(again, written, "a record is written in one way");
    for rows in &record.rows {
        for field in &rows.fields {
            assert!(field.column.is_well_formed(), "{:?}", field.column);
            assert_eq!(field.column.len(), rows.row_count());
        }
    }
    let _ = Catalog::default().apply_system_all(&record.catalog);
    memory(&record);
    for deletion in &record.deletions {
        let _ = deletion.check();
    }
}

/// Rows of a record in memory, as replay puts them there: all of them in one table, whatever they say of their columns.
fn memory(record: &Record) {
    let columns = record.rows.iter().map(|rows| rows.fields.len()).max().unwrap_or_default();
    if record.row_count() > 256 || columns > 32 || record.rows.is_empty() {
        return;
    }
    let memtable = Memtable::new(TableId(1), MemoryBudget::new(1 << 20).empty_grant());
    for (counter, rows) in (1..).zip(record.rows.iter().chain(&record.rows)) {
        memtable.insert(rows.clone(), Sequence { incarnation: 1, counter });
    }
    let expected = record.row_count() * 2;
    assert_eq!(memtable.stats().row_count, expected);
    let fields = record.rows.iter().flat_map(|rows| &rows.fields);
    let columns: Vec<_> = fields.map(|field| (field.id, field.field_type)).take(32).collect();
    let sorted = memtable.sorted(&columns);
    let mut found = 0;
    for (_, at) in sorted.series() {
        let rows = sorted.read(at, TimeRange::ALL);
        assert!(rows.fields.iter().all(|column| column.len() == rows.row_count()));
        found += rows.row_count() as u64;
    }
    assert_eq!(found, expected, "rows, sorted");
    let mut found = 0;
    for series in memtable.select(TimeRange::ALL, &|_| true) {
        let rows = memtable.read(series.local, TimeRange::ALL, Sequence::MAX, &columns);
        assert!(rows.fields.iter().all(|column| column.len() == rows.row_count()));
        found += rows.row_count() as u64;
    }
    assert_eq!(found, expected, "rows of each series");
}

/// Changes one after the other; each catalog on the way is read back as it was written.
fn changes(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let mut catalog = Catalog::default();
    for _ in 0..16 {
        let before = reader.remaining();
        let Ok(change) = CatalogChange::decode(&mut reader) else { break };
        let mut written = Vec::new();
        change.encode(&mut written);
        let start = bytes.len() - before;
        assert_eq!(written, bytes[start..start + written.len()], "a change is written in one way");
        let Ok(next) = catalog.apply_system(&change) else { continue };
        catalog = next;
        let mut written = Vec::new();
        catalog.encode(&mut written);
        let mut again = Reader::new(&written);
        let read = Catalog::decode(&mut again).expect("a catalog that was written is read");
        assert_eq!((read, again.remaining()), (catalog.clone(), 0));
    }
}
