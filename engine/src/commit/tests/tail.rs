//! The tail of the log: every durable commit once, in order, whatever happens to the files meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::db::{Committed, Tail};
use crate::model::{Durability, Predicate, Sequence, TimeRange};

fn row(time: i64) -> Batch {
    let rows = RowBuilder::new("t").create_if_missing(TableOptions::default());
    batch(rows.row(time, &[("tag", "a")], &[("x", Value::I64(time))]).build().unwrap())
}

fn small_files(options: &mut Options) {
    options.log_file_bytes = 4_096;
    options.log_prepare_bytes = 1_024;
}

/// Everything that is there, by `max_bytes` at a time.
fn drain(tail: &mut Tail, max_bytes: usize) -> Vec<Committed> {
    let mut found = Vec::new();
    while let Some(more) = tail.next_batch(max_bytes).unwrap() {
        assert!(!more.is_empty());
        found.extend(more);
    }
    found
}

/// The times of the rows of each commit.
fn times(found: &[Committed]) -> Vec<i64> {
    let rows = found.iter().flat_map(|one| &one.record.rows);
    rows.flat_map(|rows| rows.time.iter().copied()).collect()
}

fn counters(found: &[Committed]) -> Vec<u64> {
    found.iter().map(|one| one.sequence.counter).collect()
}

#[test]
fn a_tail_gives_the_past_then_what_becomes_durable() {
    let bench = Bench::with(small_files);
    for time in 1..=30 {
        bench.db.write(row(time)).unwrap();
    }
    assert!(bench.db.stats().log_file_count > 2);
    for (from, max_bytes) in [(0, 1), (0, 1 << 20), (7, 300), (29, 1)] {
        let from_sequence = Sequence { incarnation: u32::from(from > 0), counter: from };
        let mut tail = bench.db.tail(from_sequence).unwrap();
        let found = drain(&mut tail, max_bytes);
        assert_eq!(counters(&found), (from + 1..=30).collect::<Vec<_>>());
        let from = i64::try_from(from).unwrap();
        assert_eq!(times(&found), (from + 1..=30).collect::<Vec<_>>());
    }
    let mut tail = bench.db.tail(bench.db.snapshot().sequence()).unwrap();
    for time in 31..=60 {
        let outcome = bench.db.write(row(time)).unwrap();
        let found = drain(&mut tail, 1);
        assert_eq!((times(&found), found[0].sequence), (vec![time], outcome.sequence));
        assert_eq!(tail.last(), outcome.sequence);
    }
}

#[test]
fn a_commit_is_given_whole_with_its_changes_and_deletions() {
    let bench = Bench::new();
    let mut first = row(1).producer("p", 1);
    first.metadata.source = "feed".into();
    bench.db.write(first).unwrap();
    let deleted = bench.db.delete("t", &Predicate::tag("tag", "a"), TimeRange::ALL).unwrap();
    let mut tail = bench.db.tail(Sequence::ZERO).unwrap();
    let found = drain(&mut tail, 1 << 20);
    let [write, delete] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        write.record.producer.as_ref().map(|one| (one.id.as_str(), one.number)),
        Some(("p", 1))
    );
    assert_eq!(write.record.metadata.source, "feed");
    assert!(!write.record.catalog.is_empty() && write.record.row_count() == 1);
    assert!(write.commit_time_ns >= 1_700_000_000_000_000_000);
    assert_eq!(delete.record.deletions.len(), 1);
    assert_eq!(delete.record.deletions[0].sequence, deleted.sequence);
}

#[test]
fn what_is_not_durable_is_not_given() {
    let bench = Bench::new();
    bench.db.write(row(1)).unwrap();
    let mut tail = bench.db.tail(Sequence::ZERO).unwrap();
    assert_eq!(times(&drain(&mut tail, 1)), [1]);
    bench.db.write(row(2).durability(Durability::Os)).unwrap();
    assert_eq!(bench.rows().len(), 2);
    assert!(tail.next_batch(1).unwrap().is_none(), "a power cut could take it back");
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    tail.on_more(move || _ = counted.fetch_add(1, Ordering::SeqCst));
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert!(tail.wait(Some(10_000)), "the log is made durable once it is idle");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(times(&drain(&mut tail, 1)), [2]);
    let now = Arc::clone(&calls);
    bench.db.on_durable(Sequence::ZERO, move || _ = now.fetch_add(1, Ordering::SeqCst));
    assert_eq!(calls.load(Ordering::SeqCst), 2, "told at once where it is so");
    assert!(!tail.wait(Some(100)));
}

#[test]
fn a_tail_goes_over_the_files_of_earlier_openings() {
    let mut bench = Bench::with(small_files);
    let mut last = Sequence::ZERO;
    for opening in 0..4 {
        for time in 0..7 {
            last = bench.db.write(row(opening * 7 + time)).unwrap().sequence;
        }
        bench = bench.reopen();
    }
    assert_eq!(last.incarnation, 4);
    let mut tail = bench.db.tail(Sequence::ZERO).unwrap();
    assert_eq!(times(&drain(&mut tail, 100)), (0..28).collect::<Vec<_>>());
    // Nothing was written in this opening: it goes on in a file that is not there yet.
    assert!(tail.next_batch(1).unwrap().is_none());
    bench.db.write(row(28)).unwrap();
    assert_eq!(times(&drain(&mut tail, 1)), [28]);
    let mut middle = bench.db.tail(Sequence { incarnation: 2, counter: 10 }).unwrap();
    assert_eq!(times(&drain(&mut middle, 1 << 20)), (10..29).collect::<Vec<_>>());
}

#[test]
fn a_log_that_was_let_go_is_named_and_not_skipped() {
    let bench = Bench::with(small_files);
    let mut behind = bench.db.tail(Sequence::ZERO).unwrap();
    for time in 1..=20 {
        bench.db.write(row(time)).unwrap();
    }
    let mut inside = bench.db.tail(Sequence::ZERO).unwrap();
    assert_eq!(times(&inside.next_batch(1).unwrap().unwrap()), [1]);
    bench.db.flush().unwrap();
    for time in 21..=40 {
        bench.db.write(row(time)).unwrap();
    }
    bench.db.flush().unwrap();
    let last = bench.db.write(row(41)).unwrap().sequence;
    let oldest = |error: Error| match error {
        Error::LogTruncated { oldest, .. } => oldest,
        other => panic!("{other}"),
    };
    let from_start = oldest(bench.db.tail(Sequence::ZERO).map(|_| ()).unwrap_err());
    assert!(from_start > Sequence { incarnation: 1, counter: 20 } && from_start <= last);
    assert_eq!(oldest(behind.next_batch(1).unwrap_err()), from_start);
    // One that was in the middle of a file may read that to its end, and is told then.
    let mut seen = vec![1];
    let error = loop {
        match inside.next_batch(1 << 20) {
            Ok(more) => seen.extend(times(&more.unwrap())),
            Err(error) => break error,
        }
    };
    assert_eq!(seen, (1..=i64::try_from(seen.len()).unwrap()).collect::<Vec<_>>());
    assert_eq!(oldest(error), from_start);
    let before = Sequence { counter: from_start.counter - 1, ..from_start };
    let found = drain(&mut bench.db.tail(before).unwrap(), 1 << 20);
    assert_eq!(counters(&found), (from_start.counter..=last.counter).collect::<Vec<_>>());
    let beyond = bench.db.tail(last.next()).map(|_| ()).unwrap_err();
    assert!(matches!(beyond, Error::SnapshotLost { .. }), "{beyond}");
}

#[test]
fn a_group_that_was_taken_back_is_never_given() {
    use crate::vfs::sim::{Fault, FaultAt, IoOp};
    let bench = Bench::new();
    bench.db.write(row(1)).unwrap();
    let mut tail = bench.db.tail(Sequence::ZERO).unwrap();
    drain(&mut tail, 1);
    let at = FaultAt::NthOn { op: IoOp::Write, path_part: "/wal/".into(), skip: 0 };
    bench.vfs.fail_at(at, Fault::ShortWrite(600), false);
    assert!(bench.db.write(row(2)).is_err());
    assert!(tail.next_batch(1).unwrap().is_none());
    bench.db.write(row(3)).unwrap();
    assert_eq!(times(&drain(&mut tail, 1)), [3]);
}

#[test]
fn a_damaged_group_is_an_error_and_no_end() {
    let bench = Bench::new();
    for time in 1..=5 {
        bench.db.write(row(time)).unwrap();
    }
    let log = bench.vfs.paths().into_iter().find(|path| path.starts_with("/db/wal")).unwrap();
    bench.vfs.flip_bit(&log, 512 * 3 + 200, 1).unwrap();
    let mut tail = bench.db.tail(Sequence::ZERO).unwrap();
    let mut seen = Vec::new();
    let error = loop {
        match tail.next_batch(1) {
            Ok(more) => seen.extend(times(&more.unwrap())),
            Err(error) => break error,
        }
    };
    assert!(!seen.is_empty() && seen.len() < 5, "{seen:?}");
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
    assert!(error.to_string().contains("durable"), "{error}");
}

#[test]
fn a_closed_or_poisoned_database_ends_its_tails() {
    use crate::vfs::sim::{Fault, FaultAt, IoOp};
    let bench = Bench::new();
    bench.db.write(row(1)).unwrap();
    let mut tail = bench.db.tail(Sequence::ZERO).unwrap();
    let at = FaultAt::NthOn { op: IoOp::Sync, path_part: "/wal/".into(), skip: 0 };
    bench.vfs.fail_at(at, Fault::Eio, false);
    assert!(bench.db.write(row(2)).is_err());
    assert_eq!(
        times(&tail.next_batch(1).unwrap().unwrap()),
        [1],
        "what was durable is given first"
    );
    assert!(matches!(tail.next_batch(1), Err(Error::Poisoned { .. })));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    tail.on_more(move || _ = counted.fetch_add(1, Ordering::SeqCst));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let bench = bench.reopen();
    let mut tail = bench.db.tail(bench.db.snapshot().sequence()).unwrap();
    let counted = Arc::clone(&calls);
    tail.on_more(move || _ = counted.fetch_add(1, Ordering::SeqCst));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    bench.db.close().unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert!(matches!(tail.next_batch(1), Err(Error::Closed)));
    assert!(matches!(bench.db.tail(Sequence::ZERO), Err(Error::Closed)));
}

#[test]
fn a_reader_follows_the_log_that_is_there() {
    let Bench { vfs, executor, db } = Bench::new();
    db.write(row(1)).unwrap();
    db.close().unwrap();
    drop(db);
    let db = Db::open_read_only(options(&vfs, &executor, 9)).unwrap();
    let mut tail = db.tail(Sequence::ZERO).unwrap();
    assert_eq!(times(&drain(&mut tail, 1)), [1]);
    db.close().unwrap();
    assert!(matches!(tail.next_batch(1), Err(Error::Closed)));
}

#[test]
fn a_tail_beside_many_writers_on_threads_misses_nothing() {
    let bench = Bench::with(|options| {
        options.environment.executor = Arc::new(crate::executor::ThreadExecutor::new());
        options.background = true;
        options.log_file_bytes = 64 << 10;
    });
    let mut tail = bench.db.tail(Sequence::ZERO).unwrap();
    const EACH: i64 = 200;
    let mut found = Vec::new();
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let db = bench.db.clone();
            scope.spawn(move || {
                for at in 0..EACH {
                    let os = at % 3 == 0;
                    let durability = if os { Durability::Os } else { Durability::Fsync };
                    db.write(row(writer * EACH + at).durability(durability)).unwrap();
                }
            });
        }
        while i64::try_from(found.len()).unwrap() < 3 * EACH {
            assert!(tail.wait(Some(20_000)), "{} came", found.len());
            let more = tail.next_batch(4_096).unwrap();
            let durable = bench.db.snapshot().durable_sequence();
            for one in more.into_iter().flatten() {
                assert!(one.sequence <= durable);
                found.push(one);
            }
        }
    });
    assert_eq!(counters(&found), (1..=u64::try_from(3 * EACH).unwrap()).collect::<Vec<_>>());
    let mut times = times(&found);
    times.sort_unstable();
    assert_eq!(times, (0..3 * EACH).collect::<Vec<_>>());
}
