//! What the jobs do by themselves: flush, merge, try again, and stop where one of them breaks.

use super::*;
use crate::vfs::sim::{Fault, FaultAt, IoOp};

struct Bench {
    vfs: SimVfs,
    executor: Arc<DeterministicExecutor>,
    db: Db,
}

fn open(vfs: &SimVfs, change: impl FnOnce(&mut Options)) -> Bench {
    let executor = Arc::new(DeterministicExecutor::new(5));
    let mut options = options(vfs, vfs.call_count() + 1);
    options.background = true;
    options.flush_bytes = Some(2_000);
    options.log_file_bytes = 4_096;
    options.environment.executor = Arc::clone(&executor) as _;
    change(&mut options);
    Bench { vfs: vfs.clone(), executor, db: Db::open(options).unwrap() }
}

impl Bench {
    fn write(&self, from: i64, count: i64) {
        for time in from..from + count {
            self.db.write(rows(MergeMode::Append, &[(time, "A", 1.0)])).unwrap();
        }
    }

    fn settle(&self) {
        for _ in 0..4 {
            self.executor.run_until_idle(10_000);
            self.executor.run_timers();
        }
    }

    fn ticks(&self) -> TableStats {
        self.db.stats().tables.remove(0)
    }
}

#[test]
fn rows_are_flushed_segments_merged_and_log_files_let_go() {
    let bench = open(&SimVfs::new(1), |options| options.compact_segment_count = 3);
    for part in 0..12 {
        bench.write(part * 30, 30);
        bench.settle();
    }
    let ticks = bench.ticks();
    assert_eq!(ticks.row_count, 360);
    assert!(ticks.segment_bytes > 0 && ticks.segment_count < 4, "{ticks:?}");
    assert!(ticks.memory_rows < 120, "{ticks:?}");
    let stats = bench.db.stats();
    assert!(stats.log_file_count <= 3, "{stats:?}");
    let logs = bench.vfs.paths().iter().filter(|path| path.starts_with("/db/wal")).count();
    assert_eq!(logs as u64, stats.log_file_count);
    assert_eq!(all(&bench.db).len(), 360);
    let Bench { vfs, db, .. } = bench;
    drop(db);
    let bench = open(&vfs, |_| {});
    assert_eq!(all(&bench.db).len(), 360);
    assert_eq!(bench.db.verify().unwrap().damage, []);
}

#[test]
fn a_log_beyond_its_bytes_is_flushed_too() {
    let bench = open(&SimVfs::new(1), |options| {
        options.flush_bytes = None;
        options.log_bytes_max = 12_000;
    });
    bench.write(0, 100);
    bench.settle();
    assert!(bench.db.stats().log_bytes < 16_000, "{:?}", bench.db.stats());
    assert!(bench.ticks().segment_count > 0);
    assert_eq!(all(&bench.db).len(), 100);
}

#[test]
fn a_flush_that_fails_is_tried_again() {
    let bench = open(&SimVfs::new(1), |_| {});
    let at = FaultAt::NthOn { op: IoOp::Write, path_part: "segments".into(), skip: 0 };
    bench.vfs.fail_at(at, Fault::Enospc, true);
    bench.write(0, 100);
    bench.executor.run_until_idle(10_000);
    assert!(bench.vfs.fault_count() > 0);
    assert_eq!((bench.ticks().segment_count, all(&bench.db).len()), (0, 100));
    bench.vfs.clear_faults();
    bench.executor.advance_ms(2_000);
    bench.settle();
    assert!(bench.ticks().segment_count > 0, "nobody writes: the job comes back by itself");
    assert_eq!(all(&bench.db).len(), 100);
}

#[test]
fn a_full_disk_keeps_the_present_log_file_in_use() {
    for part in ["/wal/", "/manifest/"] {
        let bench = open(&SimVfs::new(1), |options| options.background = false);
        bench.write(0, 1);
        let before = bench.db.stats().log_file_count;
        let at = FaultAt::NthOn { op: IoOp::Create, path_part: part.into(), skip: 0 };
        bench.vfs.fail_at(at, Fault::Enospc, true);
        bench.write(1, 30);
        let stats = bench.db.stats();
        assert_eq!(stats.log_file_count, before, "{part}");
        assert!(stats.log_bytes > 8_192, "{part}: {stats:?}");
        let logs = bench.vfs.paths().iter().filter(|path| path.starts_with("/db/wal")).count();
        assert_eq!(logs as u64, before, "{part}: files that nothing names stay behind");
        bench.vfs.clear_faults();
        bench.write(31, 30);
        assert!(bench.db.stats().log_file_count > before, "{part}");
        let Bench { vfs, db, .. } = bench;
        drop(db);
        assert_eq!(all(&open(&vfs, |_| {}).db).len(), 61, "{part}");
    }
}

#[test]
fn a_job_that_breaks_stops_writes_and_not_reads() {
    for part in ["wal", "segments"] {
        let bench = open(&SimVfs::new(1), |_| {});
        bench.write(0, 1);
        let name = part.to_owned();
        bench.vfs.set_observer(Some(Arc::new(move |_, call| {
            assert!(!call.path.to_string_lossy().contains(&name), "planted");
        })));
        if part == "wal" {
            // The commit job leads.
            drop(bench.db.submit(rows(MergeMode::Append, &[(9, "A", 1.0)])).unwrap());
        } else {
            bench.write(1, 100);
        }
        bench.settle();
        bench.vfs.set_observer(None);
        let error = bench.db.write(rows(MergeMode::Append, &[(500, "A", 1.0)])).unwrap_err();
        assert!(matches!(error, Error::Poisoned { .. }), "{part}: {error}");
        let text = error.to_string();
        assert!(text.contains("panicked"), "{part}: {text}");
        assert!(!all(&bench.db).is_empty());
    }
}

#[test]
fn a_merge_without_room_leaves_everything_as_it_is() {
    let bench = open(&SimVfs::new(1), |options| options.background = false);
    for part in 0..2 {
        bench.write(part * 10, 10);
        bench.db.flush().unwrap();
    }
    // Not even the bytes of the inputs are free: what is there is larger than the disk.
    bench.vfs.set_capacity_bytes(Some(1 << 10));
    let error = bench.db.compact().unwrap_err();
    assert!(error.is_no_space() && error.to_string().contains("bytes"), "{error}");
    assert_eq!((bench.ticks().segment_count, all(&bench.db).len()), (2, 20));
    bench.vfs.set_capacity_bytes(None);
    let report = bench.db.compact().unwrap();
    assert_eq!((report.segments_before, report.segments_after), (2, 1));
    assert!(report.bytes_before > report.bytes_after && report.bytes_after > 0);
}

#[test]
fn deletions_of_a_dropped_table_go_with_it() {
    let bench = open(&SimVfs::new(1), |options| options.background = false);
    bench.write(0, 10);
    bench.db.flush().unwrap();
    bench.db.delete("ticks", &Predicate::all(), TimeRange::new(0, 5)).unwrap();
    bench.db.flush().unwrap();
    assert_eq!(bench.ticks().tombstone_count, 1);
    let in_manifest = || bench.db.inner.maintenance.manifest.version().tombstones.len();
    assert_eq!(in_manifest(), 1);
    bench.db.drop_table("ticks").unwrap();
    bench.db.flush().unwrap();
    assert_eq!(in_manifest(), 0);
    bench.write(0, 3);
    let Bench { vfs, db, .. } = bench;
    drop(db);
    let bench = open(&vfs, |_| {});
    assert_eq!((bench.ticks().tombstone_count, all(&bench.db).len()), (0, 3));
}
