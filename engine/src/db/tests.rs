//! The handle from end to end on a simulated disk.

mod background;
mod beside;
mod damage;
mod full_disk;
mod memory;
mod opening;
mod repair;

use std::sync::Arc;

use super::*;
use crate::clock::ManualClock;
use crate::executor::DeterministicExecutor;
use crate::model::{MergeMode, RowBuilder, Value};
use crate::rng::SeededRng;
use crate::vfs::sim::SimVfs;

fn environment(vfs: &SimVfs, seed: u64) -> Environment {
    Environment {
        vfs: Arc::new(vfs.clone()),
        clock: Arc::new(ManualClock::at(1_700_000_000_000_000_000)),
        rng: Arc::new(SeededRng::new(seed)),
        executor: Arc::new(DeterministicExecutor::new(seed)),
    }
}

fn options(vfs: &SimVfs, seed: u64) -> Options {
    Options {
        log_prepare_bytes: 4096,
        background: false,
        memory_bytes: Some(64 << 20),
        environment: environment(vfs, seed),
        ..Options::new("/db")
    }
}

fn table(merge: MergeMode) -> TableOptions {
    TableOptions { tags: vec!["symbol".into()], merge, ..TableOptions::default() }
}

fn rows(merge: MergeMode, rows: &[(i64, &str, f64)]) -> Batch {
    let mut builder = RowBuilder::new("ticks").create_if_missing(table(merge));
    for (time, symbol, price) in rows {
        builder.push(*time, &[("symbol", symbol)], &[("price", Value::F64(*price))]);
    }
    Batch::new().with(builder.build().unwrap())
}

fn all(db: &Db) -> Vec<(String, i64, Value)> {
    let mut found = Vec::new();
    for batch in db.scan(&ScanRequest::new("ticks")).unwrap() {
        let batch = batch.unwrap();
        for run in &batch.series {
            for row in run.rows.clone() {
                found.push((run.key.tag(0).to_owned(), batch.time()[row], batch.value(0, row)));
            }
        }
    }
    found
}

fn row(symbol: &str, time: i64, price: f64) -> (String, i64, Value) {
    (symbol.to_owned(), time, Value::F64(price))
}

#[test]
fn rows_survive_reopening_flushing_and_merging() {
    let vfs = SimVfs::new(1);
    let mode = MergeMode::Append;
    let db = Db::open(options(&vfs, 1)).unwrap();
    db.write(rows(mode, &[(20, "B", 2.0), (10, "A", 1.0)])).unwrap();
    db.write(rows(mode, &[(5, "B", 0.5), (20, "B", 3.0)])).unwrap();
    let expected = [row("A", 10, 1.0), row("B", 5, 0.5), row("B", 20, 2.0), row("B", 20, 3.0)];
    assert_eq!(all(&db), expected);
    db.close().unwrap();
    drop(db);
    let db = Db::open(options(&vfs, 2)).unwrap();
    assert_eq!(all(&db), expected, "after reopening");
    db.flush().unwrap();
    assert_eq!(all(&db), expected, "after a flush");
    db.write(rows(mode, &[(15, "B", 9.0)])).unwrap();
    db.compact().unwrap();
    drop(db);
    let db = Db::open(options(&vfs, 3)).unwrap();
    let expected = [
        row("A", 10, 1.0),
        row("B", 5, 0.5),
        row("B", 15, 9.0),
        row("B", 20, 2.0),
        row("B", 20, 3.0),
    ];
    assert_eq!(all(&db), expected, "after a merge");
    assert_eq!(db.verify().unwrap().damage, []);
    let latest = db.latest(&ScanRequest::new("ticks")).unwrap();
    assert_eq!(latest.time(), [10, 20]);
    assert_eq!(latest.value(0, 1), Value::F64(3.0));
}

#[test]
fn the_later_row_replaces_the_earlier_wherever_they_are() {
    let vfs = SimVfs::new(1);
    let mode = MergeMode::LastRow;
    let db = Db::open(options(&vfs, 1)).unwrap();
    db.write(rows(mode, &[(10, "A", 1.0), (10, "A", 2.0)])).unwrap();
    db.flush().unwrap();
    let old = db.snapshot();
    db.write(rows(mode, &[(10, "A", 3.0)])).unwrap();
    assert_eq!(all(&db), [row("A", 10, 3.0)]);
    db.flush().unwrap();
    db.compact().unwrap();
    assert_eq!(all(&db), [row("A", 10, 3.0)]);
    let batch = old.scan(&ScanRequest::new("ticks")).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.value(0, 0), Value::F64(2.0), "a snapshot does not change");
    let again = db.snapshot_at(old.sequence()).unwrap();
    let batch = again.scan(&ScanRequest::new("ticks")).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.value(0, 0), Value::F64(2.0), "versions within the history are kept");
}

#[test]
fn deletions_hide_what_was_there_and_nothing_later() {
    let vfs = SimVfs::new(1);
    let mode = MergeMode::Append;
    let db = Db::open(options(&vfs, 1)).unwrap();
    db.write(rows(mode, &[(10, "A", 1.0), (11, "A", 1.5), (10, "B", 2.0)])).unwrap();
    db.flush().unwrap();
    let outcome =
        db.delete("ticks", &Predicate::tag("symbol", "A"), TimeRange::new(0, 11)).unwrap();
    assert_eq!(outcome.row_count, Some(1));
    db.write(rows(mode, &[(10, "A", 7.0)])).unwrap();
    let expected = [row("A", 10, 7.0), row("A", 11, 1.5), row("B", 10, 2.0)];
    assert_eq!(all(&db), expected);
    db.compact().unwrap();
    assert_eq!(all(&db), expected);
    drop(db);
    let db = Db::open(options(&vfs, 2)).unwrap();
    assert_eq!(all(&db), expected);
}

#[test]
fn a_producer_is_counted_across_reopening_and_flushing() {
    let vfs = SimVfs::new(1);
    let batch = |number| rows(MergeMode::Append, &[(10, "A", 1.0)]).producer("p", number);
    let db = Db::open(options(&vfs, 1)).unwrap();
    db.write(batch(1)).unwrap();
    let gap = db.write(batch(3)).unwrap_err();
    assert!(matches!(gap, Error::SequenceGap { expected: 2, found: 3, .. }), "{gap}");
    db.write(batch(2)).unwrap();
    assert!(db.write(batch(2)).unwrap().already_applied);
    db.flush().unwrap();
    drop(db);
    let db = Db::open(options(&vfs, 2)).unwrap();
    assert!(db.write(batch(2)).unwrap().already_applied);
    assert!(db.write(batch(1)).unwrap().already_applied);
    db.write(batch(3)).unwrap();
    assert_eq!(all(&db).len(), 3);
}

#[test]
fn a_second_writer_is_told_who_is_there() {
    let vfs = SimVfs::new(1);
    let db = Db::open(options(&vfs, 1)).unwrap();
    let refused = Db::open(options(&vfs, 2)).map(|_| ()).unwrap_err();
    assert!(
        matches!(&refused, Error::Locked { holder, .. } if holder.contains("process")),
        "{refused}"
    );
    assert!(Db::open_read_only(options(&vfs, 2)).is_err());
    db.close().unwrap();
    let reader = Db::open_read_only(options(&vfs, 2)).unwrap();
    assert!(Db::open_read_only(options(&vfs, 3)).is_ok());
    assert!(matches!(reader.flush(), Err(Error::ReadOnly(_))));
}

#[test]
fn a_series_in_a_segment_and_later_in_memory_is_replaced_in_both() {
    let vfs = SimVfs::new(1);
    let mode = MergeMode::LastRow;
    let db = Db::open(options(&vfs, 1)).unwrap();
    db.write(rows(mode, &[(10, "A", 1.0), (10, "A", 2.0), (11, "A", 3.0)])).unwrap();
    db.flush().unwrap();
    // Disjoint in time: the segment's rows need no sequences, those in memory have them.
    db.write(rows(mode, &[(20, "A", 4.0), (20, "A", 5.0)])).unwrap();
    assert_eq!(all(&db), [row("A", 10, 2.0), row("A", 11, 3.0), row("A", 20, 5.0)]);
}

#[test]
fn a_read_below_the_history_is_refused_not_wrong() {
    let vfs = SimVfs::new(1);
    let db = Db::open(options(&vfs, 1)).unwrap();
    let kept_for =
        |history_ns| TableOptions { history_ns: Some(history_ns), ..table(MergeMode::LastRow) };
    db.create_table("ticks", kept_for(0)).unwrap();
    let old = db.write(rows(MergeMode::LastRow, &[(10, "A", 1.0)])).unwrap().sequence;
    db.write(rows(MergeMode::LastRow, &[(10, "A", 2.0)])).unwrap();
    db.flush().unwrap();
    db.compact().unwrap();
    let before = db.snapshot_at(old).unwrap();
    let refused = before.scan(&ScanRequest::new("ticks")).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::SnapshotExpired { .. }), "{refused}");
    assert_eq!(all(&db), [row("A", 10, 2.0)]);
}

#[test]
fn repeated_batches_do_not_use_up_the_memory_of_rows() {
    let vfs = SimVfs::new(1);
    let options = Options { flush_bytes: Some(2_000), ..options(&vfs, 1) };
    let db = Db::open(options).unwrap();
    let batch = || rows(MergeMode::Append, &[(10, "A", 1.0), (11, "A", 2.0)]).producer("p", 1);
    for repeats in [false, true, true].into_iter().chain([true; 100]) {
        assert_eq!(db.write(batch()).unwrap().already_applied, repeats);
    }
    db.write(rows(MergeMode::Append, &[(12, "A", 3.0)])).unwrap();
}

#[test]
fn a_large_batch_waits_for_the_flush_of_rows_that_come_meanwhile() {
    let vfs = SimVfs::new(1);
    let options = Options { flush_bytes: Some(600), background: true, ..options(&vfs, 1) };
    let db = Db::open(options).unwrap();
    let many: Vec<(i64, &str, f64)> = (0..40).map(|time| (time, "A", 1.0)).collect();
    // Queued and not yet in memory when the large batch comes.
    let first = db.submit(rows(MergeMode::Append, &many[..1])).unwrap();
    db.write(rows(MergeMode::Append, &many)).unwrap();
    first.wait().unwrap();
    assert_eq!(all(&db).len(), 41);
}

#[test]
fn a_torn_tail_is_kept_also_where_a_flush_comes_before_the_first_write() {
    let vfs = SimVfs::new(1);
    let db = Db::open(options(&vfs, 1)).unwrap();
    db.write(rows(MergeMode::Append, &[(10, "A", 1.0)])).unwrap();
    drop(db);
    let of = |folder: &str| {
        let paths = vfs.paths().into_iter();
        paths.filter(|path| path.starts_with(folder)).collect::<Vec<_>>()
    };
    let log = of("/db/wal").remove(0);
    let mut bytes = vfs.read_raw(&log).unwrap();
    *bytes.last_mut().unwrap() = 1;
    vfs.write_raw(&log, &bytes).unwrap();
    let db = Db::open(options(&vfs, 2)).unwrap();
    assert!(db.recovery().torn_tail.is_some());
    db.flush().unwrap();
    assert_eq!(of("/db/quarantine").len(), 1);
    db.write(rows(MergeMode::Append, &[(11, "A", 2.0)])).unwrap();
    assert_eq!(all(&db), [row("A", 10, 1.0), row("A", 11, 2.0)]);
}

#[test]
fn a_deletion_stays_where_the_clock_jumps_back_between_merges() {
    const HOUR_NS: i64 = 3_600_000_000_000;
    let vfs = SimVfs::new(1);
    let clock = Arc::new(ManualClock::at(1_700_000_000_000_000_000));
    let environment = Environment { clock: clock.clone(), ..environment(&vfs, 1) };
    let options =
        Options { window_rows_min: 9, compact_segment_count: 2, environment, ..options(&vfs, 1) };
    let db = Db::open(options).unwrap();
    let no_history = TableOptions { history_ns: Some(0), ..table(MergeMode::Append) };
    db.create_table("ticks", no_history).unwrap();
    let write = |hour: i64| {
        db.write(rows(MergeMode::Append, &[(hour * HOUR_NS, "A", 1.0)])).unwrap();
        db.flush().unwrap();
    };
    // Two windows; the second merge of the first one applies the deletion there, and not in the other.
    write(0);
    write(5);
    db.delete("ticks", &Predicate::all(), TimeRange::ALL).unwrap();
    write(0);
    db.inner.maintenance.compact(false).unwrap();
    assert_eq!(all(&db), [row("A", 0, 1.0)]);
    clock.set_wall_ns(1_600_000_000_000_000_000);
    db.compact().unwrap();
    assert_eq!(all(&db), [row("A", 0, 1.0)]);
}

#[test]
fn vitals_tell_how_far_the_clock_is_behind_and_figures_at_once_lack_series_alone() {
    let vfs = SimVfs::new(1);
    let start = 1_700_000_000_000_000_000;
    let clock = Arc::new(ManualClock::at(start));
    let environment = Environment { clock: clock.clone(), ..environment(&vfs, 1) };
    let db = Db::open(Options { environment, ..options(&vfs, 1) }).unwrap();
    assert_eq!(db.vitals().clock_behind_ns, 0);
    db.write(rows(MergeMode::Append, &[(0, "A", 1.0)])).unwrap();
    assert!(db.vitals().clock_behind_ns <= 100_000_000);
    clock.set_wall_ns(start - 5_000_000_000);
    let behind = db.vitals().clock_behind_ns;
    assert!((5_000_000_000..=5_100_000_000).contains(&behind), "{behind}");
    clock.set_wall_ns(start + 1_000_000_000);
    assert_eq!(db.vitals().clock_behind_ns, 0);
    let (mut stats, at_once) = (db.stats(), db.stats_at_once());
    assert_eq!(stats.tables[0].series_count, Some(1));
    stats.tables[0].series_count = None;
    assert_eq!(stats.tables, at_once.tables);
}

#[test]
fn commit_metadata_stays_with_the_rows_of_its_commit() {
    let vfs = SimVfs::new(1);
    let db = Db::open(Options { window_rows_min: 1, ..options(&vfs, 1) }).unwrap();
    for hour in 0..3 {
        let mut batch = rows(MergeMode::Append, &[(hour * 3_600_000_000_000, "A", 1.0)]);
        batch.metadata.source = format!("source {hour}");
        db.write(batch).unwrap();
    }
    db.flush().unwrap();
    let view = db.snapshot().view().clone();
    let segments: Vec<_> = view.tables.values().flat_map(|table| table.segments.clone()).collect();
    assert_eq!(segments.len(), 3, "one for each hour");
    for segment in segments {
        let commits = segment.reader().unwrap().commits().unwrap();
        let sequences: Vec<_> = commits.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(sequences, [segment.info().min_sequence]);
    }
    db.compact().unwrap();
    assert_eq!(db.verify().unwrap().damage, []);
}

#[test]
fn a_flush_without_rows_lets_go_of_the_log_of_earlier_openings() {
    let vfs = SimVfs::new(1);
    let db = Db::open(options(&vfs, 1)).unwrap();
    db.write(rows(MergeMode::Append, &[(1, "A", 1.0)])).unwrap();
    db.flush().unwrap();
    db.close().unwrap();
    drop(db);
    let db = Db::open(options(&vfs, 2)).unwrap();
    assert_eq!(db.stats().log_file_count, 1);
    db.flush().unwrap();
    assert_eq!(db.stats().log_file_count, 0);
    db.write(rows(MergeMode::Append, &[(2, "A", 2.0)])).unwrap();
    drop(db);
    let db = Db::open(options(&vfs, 3)).unwrap();
    assert_eq!(all(&db), [row("A", 1, 1.0), row("A", 2, 2.0)]);
    assert_eq!(db.verify().unwrap().damage, []);
}
