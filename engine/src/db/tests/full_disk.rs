//! A disk without room: what is refused, what works on the reserve, and what comes back with the room.

use std::path::Path;

use super::*;
use crate::error::ErrorKind;
use crate::vfs::{OpenMode, Vfs};

const CAPACITY_BYTES: u64 = 4 << 20;
/// A part in 32 of the disk, less what was there before it.
const RESERVE_BYTES: std::ops::RangeInclusive<u64> = 110 << 10..=128 << 10;

fn open(vfs: &SimVfs) -> Db {
    let mut options = options(vfs, vfs.call_count() + 1);
    options.log_file_bytes = 32 << 10;
    Db::open(options).unwrap()
}

fn new_disk() -> SimVfs {
    let vfs = SimVfs::new(1);
    vfs.set_capacity_bytes(Some(CAPACITY_BYTES));
    vfs
}

fn many(from: i64) -> Batch {
    let table = TableOptions { history_ns: Some(0), ..table(MergeMode::Append) };
    let mut builder = RowBuilder::new("ticks").create_if_missing(table);
    for time in from..from + 200 {
        builder.push(time, &[("symbol", "A")], &[("price", Value::F64(1.0))]);
    }
    Batch::new().with(builder.build().unwrap())
}

/// Somebody else takes what is free.
fn fill(vfs: &SimVfs) {
    let path = Path::new("/other");
    let file = match vfs.open(path, OpenMode::Write) {
        Ok(file) => file,
        Err(_) => vfs.open(path, OpenMode::Create).unwrap(),
    };
    let len = file.len_bytes().unwrap() + vfs.free_bytes(Path::new("/")).unwrap();
    file.allocate(len).unwrap();
    assert_eq!(vfs.free_bytes(Path::new("/")).unwrap(), 0);
}

fn reserve_len(vfs: &SimVfs) -> u64 {
    vfs.open(Path::new("/db/RESERVE"), OpenMode::Read).map_or(0, |file| file.len_bytes().unwrap())
}

/// Writes until the disk refuses. Rows that were acknowledged, and the refusal.
fn write_all(db: &Db, from: i64) -> (i64, Error) {
    let mut at = from;
    loop {
        match db.write(many(at)) {
            Ok(_) => at += 200,
            Err(error) => return (at, error),
        }
    }
}

#[test]
fn the_first_write_reserves_and_readers_do_not() {
    let vfs = new_disk();
    let db = open(&vfs);
    assert_eq!(reserve_len(&vfs), 0);
    db.write(many(0)).unwrap();
    assert!(RESERVE_BYTES.contains(&reserve_len(&vfs)), "{}", reserve_len(&vfs));
    drop(db);
    vfs.remove(Path::new("/db/RESERVE")).unwrap();
    let reader = Db::open_read_only(options(&vfs, 9)).unwrap();
    assert_eq!(all(&reader).len(), 200);
    drop(reader);
    drop(open(&vfs));
    assert!(!vfs.exists(Path::new("/db/RESERVE")).unwrap(), "nothing was written");
    let none = Db::open(Options { reserve_bytes: 0, ..options(&vfs, 11) }).unwrap();
    none.write(many(200)).unwrap();
    assert_eq!(reserve_len(&vfs), 0);
}

#[test]
fn rows_that_fill_the_disk_are_refused_and_a_flush_makes_room() {
    let vfs = new_disk();
    let db = open(&vfs);
    let (count, error) = write_all(&db, 0);
    assert!(matches!(error, Error::DiskFull { .. }) && error.is_no_space(), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("bytes are free"), "{error}");
    assert!(reserve_len(&vfs) > 0, "rows are not worth the reserve");
    fill(&vfs);
    db.flush().unwrap();
    let log = db.stats().log_bytes;
    assert!(log < 64 << 10, "{log} bytes of log are left");
    assert!(RESERVE_BYTES.contains(&reserve_len(&vfs)), "it is back: {}", reserve_len(&vfs));
    db.write(many(count)).unwrap();
    drop(db);
    assert_eq!(all(&open(&vfs)).len() as i64, count + 200, "what was acknowledged, and no more");
}

#[test]
fn deleting_and_merging_work_on_a_full_disk() {
    let vfs = new_disk();
    let db = open(&vfs);
    for part in 0..4 {
        db.write(many(part * 200)).unwrap();
        db.flush().unwrap();
    }
    fill(&vfs);
    let (count, refused) = write_all(&db, 800);
    assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
    let deleted = db.delete("ticks", &Predicate::all(), TimeRange::new(0, 500)).unwrap();
    assert_eq!(deleted.row_count, Some(500));
    db.create_table("other", table(MergeMode::Append)).unwrap();
    let report = db.compact().unwrap();
    assert_eq!(report.segments_after, 1, "{report:?}");
    assert_eq!(reserve_len(&vfs), 0, "it was given up");
    let refused = db.write(many(5_000)).unwrap_err();
    assert!(refused.to_string().contains("until"), "rows wait for the reserve: {refused}");
    // The same after a new opening, and there is room again in the end.
    drop(db);
    fill(&vfs);
    let db = open(&vfs);
    assert_eq!(all(&db).len() as i64, count - 500);
    assert!(db.write(many(5_000)).unwrap_err().is_no_space());
    assert_eq!(all(&db).len() as i64, count - 500);
    vfs.remove(Path::new("/other")).unwrap();
    db.write(many(5_000)).unwrap();
    assert_eq!(all(&db).len() as i64, count - 300);
    assert!(RESERVE_BYTES.contains(&reserve_len(&vfs)), "{}", reserve_len(&vfs));
    assert_eq!(db.verify().unwrap().damage, []);
}

#[test]
fn the_reserve_comes_back_before_rows_are_taken() {
    let vfs = new_disk();
    let db = open(&vfs);
    db.write(many(0)).unwrap();
    let held = reserve_len(&vfs);
    fill(&vfs);
    db.flush().unwrap();
    assert_eq!(reserve_len(&vfs), 0);
    let other = vfs.open(Path::new("/other"), OpenMode::Write).unwrap();
    let taken = other.len_bytes().unwrap();
    let give = |bytes: u64| other.allocate(taken - bytes).unwrap();
    let free = vfs.free_bytes(Path::new("/db")).unwrap();
    assert!(free < held, "{free}");
    give(held);
    assert!(db.write(many(200)).unwrap_err().is_no_space(), "less than twice is free");
    give(2 * held);
    db.write(many(200)).unwrap();
    assert_eq!(reserve_len(&vfs), held);
}

#[test]
fn a_torn_tail_does_not_stop_a_full_disk() {
    let vfs = new_disk();
    let db = open(&vfs);
    db.write(many(0)).unwrap();
    drop(db);
    let log = vfs.paths().into_iter().find(|path| path.starts_with("/db/wal")).unwrap();
    let file = vfs.open(&log, OpenMode::Write).unwrap();
    // More than the reserve.
    file.write_at(&[0xab; 300 << 10], file.len_bytes().unwrap()).unwrap();
    drop(file);
    fill(&vfs);
    let db = open(&vfs);
    assert!(db.recovery().torn_tail.is_some());
    assert!(db.write(many(200)).unwrap_err().is_no_space());
    db.delete("ticks", &Predicate::all(), TimeRange::new(0, 100)).unwrap();
    db.flush().unwrap();
    assert_eq!(all(&db).len(), 100);
    let aside = Path::new("/db/quarantine").join(log.file_name().unwrap());
    let aside = vfs.open(&aside, OpenMode::Read).unwrap();
    assert!(aside.len_bytes().unwrap() > 300 << 10, "the tail is kept, in its file");
    vfs.remove(Path::new("/other")).unwrap();
    db.write(many(200)).unwrap();
    drop(db);
    assert_eq!(all(&open(&vfs)).len(), 300);
}

#[test]
fn small_commits_find_zeros_ahead_and_a_closed_log_carries_none() {
    let vfs = SimVfs::new(3);
    let executor = Arc::new(DeterministicExecutor::new(3));
    let mut options = options(&vfs, 3);
    options.log_prepare_bytes = 8 << 10;
    options.environment.executor = Arc::clone(&executor) as _;
    let db = Db::open(options).unwrap();
    let log = || {
        let path = vfs.paths().into_iter().find(|path| path.starts_with("/db/wal")).unwrap();
        vfs.open(&path, OpenMode::Read).unwrap().len_bytes().unwrap()
    };
    for time in 0..100 {
        db.write(rows(MergeMode::Append, &[(time, "A", 1.0)])).unwrap();
        executor.run_until_idle(10);
        assert!(log() >= db.stats().log_bytes + (4 << 10), "commit {time}");
    }
    db.close().unwrap();
    assert_eq!(log(), db.stats().log_bytes);
    drop(db);
    assert_eq!(all(&Db::open(super::options(&vfs, 4)).unwrap()).len(), 100);
}
