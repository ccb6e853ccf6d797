//! Flushes beside merges: what happens while the other is in the middle of its I/O.

use super::*;
use crate::model::Durability;
use crate::vfs::sim::{CrashChoice, IoOp};
use std::sync::atomic::AtomicUsize;

const HOUR_NS: i64 = 3_600_000_000_000;

/// Does `act` once, when the next byte of a segment is about to be written: another thread might do it then.
fn meanwhile(vfs: &SimVfs, act: impl Fn() + Send + Sync + 'static) -> Arc<AtomicUsize> {
    let (done, seen) = (Arc::new(AtomicUsize::new(0)), Arc::default());
    let count = Arc::clone(&done);
    let seen: Arc<AtomicUsize> = seen;
    vfs.set_observer(Some(Arc::new(move |_, call| {
        let writes = call.op == IoOp::Write && call.path.starts_with("/db/segments");
        if writes && seen.fetch_add(1, Ordering::Relaxed) == 0 {
            act();
            count.fetch_add(1, Ordering::Relaxed);
        }
    })));
    done
}

fn no_history(merge: MergeMode) -> TableOptions {
    TableOptions { history_ns: Some(0), ..table(merge) }
}

fn segments(vfs: &SimVfs) -> usize {
    vfs.paths().iter().filter(|path| path.starts_with("/db/segments")).count()
}

/// The rows, now and after opening again, with nothing damaged or left over.
fn holds(vfs: &SimVfs, db: Db, expected: &[(String, i64, Value)]) {
    assert_eq!(all(&db), expected);
    assert_eq!(db.verify().unwrap().damage, []);
    let count = db.stats().tables.iter().map(|table| table.segment_count).sum::<u64>();
    assert_eq!(segments(vfs) as u64, count, "files that nothing names");
    drop(db);
    let db = Db::open(options(vfs, 90)).unwrap();
    assert_eq!(all(&db), expected, "opened again");
}

#[test]
fn writers_flushes_and_verification_go_on_while_a_merge_writes() {
    let vfs = SimVfs::new(1);
    let mode = MergeMode::LastRow;
    let db = Db::open(options(&vfs, 1)).unwrap();
    db.create_table("ticks", no_history(mode)).unwrap();
    for price in [1.0, 2.0] {
        db.write(rows(mode, &[(10, "A", price), (11, "B", price), (12, "C", price)])).unwrap();
        db.flush().unwrap();
    }
    let inner = db.clone();
    let done = meanwhile(&vfs, move || {
        inner.write(rows(mode, &[(10, "A", 3.0)])).unwrap();
        inner.flush().unwrap();
        inner.delete("ticks", &Predicate::tag("symbol", "B"), TimeRange::ALL).unwrap();
        inner.write(rows(mode, &[(9, "D", 4.0)])).unwrap();
        inner.flush().unwrap();
        assert_eq!(inner.stats().tables[0].memory_rows, 0);
        assert_eq!(inner.verify().unwrap().damage, []);
    });
    db.inner.maintenance.compact(true).unwrap();
    vfs.set_observer(None);
    assert_eq!(done.load(Ordering::Relaxed), 1);
    let expected = [row("A", 10, 3.0), row("C", 12, 2.0), row("D", 9, 4.0)];
    assert_eq!(all(&db), expected);
    assert_eq!(db.stats().tables[0].tombstone_count, 1, "its rows are in the merged segment still");
    db.compact().unwrap();
    assert_eq!(db.stats().tables[0].tombstone_count, 0);
    holds(&vfs, db, &expected);
}

#[test]
fn a_merge_goes_on_while_a_flush_writes() {
    let vfs = SimVfs::new(1);
    let mode = MergeMode::LastRow;
    let db = Db::open(options(&vfs, 1)).unwrap();
    db.create_table("ticks", no_history(mode)).unwrap();
    for price in [1.0, 2.0] {
        db.write(rows(mode, &[(10, "A", price), (11, "B", price)])).unwrap();
        db.flush().unwrap();
    }
    db.delete("ticks", &Predicate::tag("symbol", "B"), TimeRange::ALL).unwrap();
    db.write(rows(mode, &[(11, "B", 3.0), (10, "A", 4.0)])).unwrap();
    let inner = db.clone();
    let done = meanwhile(&vfs, move || {
        let report = inner.inner.maintenance.compact(true).unwrap();
        assert_eq!((report.segments_before, report.segments_after), (2, 1));
        inner.write(rows(mode, &[(12, "C", 5.0)])).unwrap();
    });
    db.flush().unwrap();
    vfs.set_observer(None);
    assert_eq!(done.load(Ordering::Relaxed), 1);
    let expected = [row("A", 10, 4.0), row("B", 11, 3.0), row("C", 12, 5.0)];
    assert_eq!(all(&db), expected);
    db.compact().unwrap();
    holds(&vfs, db, &expected);
}

#[test]
fn a_merge_of_a_table_that_is_dropped_meanwhile_leaves_nothing() {
    let vfs = SimVfs::new(1);
    let mode = MergeMode::Append;
    let db = Db::open(options(&vfs, 1)).unwrap();
    for time in 0..3 {
        db.write(rows(mode, &[(time, "A", 1.0)])).unwrap();
        db.flush().unwrap();
    }
    let inner = db.clone();
    let done = meanwhile(&vfs, move || {
        inner.drop_table("ticks").unwrap();
        inner.flush().unwrap();
        inner.write(rows(mode, &[(7, "A", 2.0)])).unwrap();
        inner.flush().unwrap();
    });
    db.inner.maintenance.compact(true).unwrap();
    vfs.set_observer(None);
    assert_eq!(done.load(Ordering::Relaxed), 1);
    holds(&vfs, db, &[row("A", 7, 2.0)]);
}

#[test]
fn a_column_that_comes_while_another_table_is_merged_keeps_its_values() {
    let vfs = SimVfs::new(1);
    let db = Db::open(options(&vfs, 1)).unwrap();
    let batch = |name: &str, time: i64, field: &str| {
        let mut builder = RowBuilder::new(name).create_if_missing(table(MergeMode::Append));
        builder.push(time, &[("symbol", "A")], &[(field, Value::F64(1.0))]);
        Batch::new().with(builder.build().unwrap())
    };
    for time in 0..2 {
        for name in ["first", "second"] {
            db.write(batch(name, time, "price")).unwrap();
        }
        db.flush().unwrap();
    }
    let inner = db.clone();
    let done = meanwhile(&vfs, move || {
        for name in ["first", "second"] {
            inner.write(batch(name, 5, "late")).unwrap();
        }
        inner.flush().unwrap();
    });
    db.inner.maintenance.compact(true).unwrap();
    vfs.set_observer(None);
    assert_eq!(done.load(Ordering::Relaxed), 1);
    for name in ["first", "second"] {
        let request = ScanRequest::new(name).columns(&["late"]);
        let batch = db.scan(&request).unwrap().next().unwrap().unwrap();
        assert_eq!(batch.value(0, 2), Value::F64(1.0), "{name}");
    }
}

#[test]
fn closing_waits_for_a_merge_and_a_flush_that_others_asked_for() {
    for merges in [true, false] {
        let vfs = SimVfs::new(1);
        let db = Db::open(options(&vfs, 1)).unwrap();
        for time in 0..2 {
            db.write(rows(MergeMode::Append, &[(time, "A", 1.0)])).unwrap();
            db.flush().unwrap();
        }
        db.write(rows(MergeMode::Append, &[(2, "A", 1.0)])).unwrap();
        let (paused, go_on) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        let both = Arc::new((paused, go_on));
        let theirs = Arc::clone(&both);
        meanwhile(&vfs, move || {
            theirs.0.wait();
            theirs.1.wait();
        });
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| match merges {
                true => db.inner.maintenance.compact(true).map(|_| ()),
                false => db.flush(),
            });
            both.0.wait();
            let closing = scope.spawn(|| db.close());
            std::thread::yield_now();
            let refused = Db::open(options(&vfs, 2)).map(|_| ()).unwrap_err();
            assert!(matches!(refused, Error::Locked { .. }), "{refused}");
            assert!(!closing.is_finished());
            both.1.wait();
            worker.join().unwrap().unwrap();
            closing.join().unwrap().unwrap();
        });
        vfs.set_observer(None);
        let db = Db::open(options(&vfs, 3)).unwrap();
        assert_eq!(all(&db).len(), 3);
    }
}

#[test]
fn what_a_merge_took_away_is_expired_and_not_missing() {
    let vfs = SimVfs::new(1);
    let clock = Arc::new(ManualClock::at(1_700_000_000_000_000_000));
    let with_clock = |seed| Options {
        window_rows_min: 1,
        environment: Environment { clock: clock.clone(), ..environment(&vfs, seed) },
        ..options(&vfs, seed)
    };
    let db = Db::open(with_clock(1)).unwrap();
    db.create_table("ticks", no_history(MergeMode::Append)).unwrap();
    let old = db.write(rows(MergeMode::Append, &[(0, "A", 1.0), (5 * HOUR_NS, "A", 1.0)])).unwrap();
    db.delete("ticks", &Predicate::all(), TimeRange::new(0, HOUR_NS)).unwrap();
    db.compact().unwrap();
    // The history reaches back again, to where the rows are no more.
    clock.set_wall_ns(1_600_000_000_000_000_000);
    let expired = |db: &Db| {
        let then = db.snapshot_at(old.sequence).unwrap();
        let refused = then.scan(&ScanRequest::new("ticks")).map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::SnapshotExpired { .. }), "{refused}");
        assert_eq!(all(db), [row("A", 5 * HOUR_NS, 1.0)]);
    };
    expired(&db);
    drop(db);
    expired(&Db::open(with_clock(2)).unwrap());
}

#[test]
fn a_merge_gives_no_column_that_a_power_cut_takes_back() {
    let vfs = SimVfs::new(1);
    let mode = MergeMode::Append;
    let db = Db::open(options(&vfs, 1)).unwrap();
    for time in 0..2 {
        db.write(rows(mode, &[(time, "A", 1.0)])).unwrap();
        db.flush().unwrap();
    }
    // A new column and a new tag that readers see, and that only memory has.
    let later = |time: i64, size: Value| {
        let mut builder = RowBuilder::new("ticks");
        builder.push(time, &[("symbol", "A"), ("venue", "X")], &[("size", size)]);
        Batch::new().with(builder.build().unwrap())
    };
    db.write(later(2, Value::I64(7)).durability(Durability::Os)).unwrap();
    db.inner.maintenance.compact(true).unwrap();
    let cut = vfs.clone_image(CrashChoice::Nothing);
    let db = Db::open(options(&cut, 2)).unwrap();
    assert_eq!(all(&db).len(), 2);
    // Its id is given anew, with another type.
    db.write(later(3, Value::Bool(true))).unwrap();
    assert_eq!(all(&db).len(), 3);
    assert_eq!(db.verify().unwrap().damage, []);
}
