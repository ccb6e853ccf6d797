//! Tickets, order, durability, numbers, memory, and many writers at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::model::{Durability, Predicate, TimeRange};
use crate::vfs::sim::{CrashChoice, IoOp};

fn row(time: i64) -> Batch {
    let rows = RowBuilder::new("t").create_if_missing(TableOptions::default());
    batch(rows.row(time, &[("tag", "a")], &[("x", Value::I64(time))]).build().unwrap())
}

fn os(time: i64) -> Batch {
    row(time).durability(Durability::Os)
}

/// Jobs, and the timers that they set, until nothing is left to do.
fn settle(bench: &Bench) {
    for _ in 0..8 {
        bench.executor.run_until_idle(1_000);
        bench.executor.run_timers();
    }
}

#[test]
fn a_ticket_tells_when_its_batch_is_committed() {
    let bench = Bench::new();
    let ticket = bench.db.submit(row(1)).unwrap();
    assert!(ticket.poll().is_none());
    assert!(bench.db.table_names().is_empty(), "nothing is seen before it is durable");
    let calls = Arc::new(AtomicUsize::new(0));
    for _ in 0..2 {
        let calls = Arc::clone(&calls);
        ticket.on_done(move || _ = calls.fetch_add(1, Ordering::SeqCst));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    bench.executor.run_until_idle(100);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    let outcome = ticket.poll().unwrap().unwrap();
    assert_eq!((outcome.row_count, outcome.already_applied), (1, false));
    assert_eq!(outcome.durable_sequence, outcome.sequence);
    let late = Arc::clone(&calls);
    ticket.on_done(move || _ = late.fetch_add(1, Ordering::SeqCst));
    assert_eq!(calls.load(Ordering::SeqCst), 3, "told at once where it is done");
    assert_eq!(ticket.wait().unwrap(), outcome);
}

#[test]
fn a_waiter_commits_what_was_queued_before_it() {
    let bench = Bench::new();
    let first = bench.db.submit(row(1)).unwrap();
    let second = bench.db.submit(row(2)).unwrap();
    let second = second.wait().unwrap();
    let first = first.poll().unwrap().unwrap();
    assert_eq!(first.sequence.next(), second.sequence, "one group, in the order of submission");
    assert_eq!(bench.rows().len(), 2);
}

#[test]
fn dropping_a_ticket_cancels_nothing() {
    let bench = Bench::new();
    drop(bench.db.submit(row(1)).unwrap());
    drop(bench.db.submit(os(2)).unwrap());
    settle(&bench);
    assert_eq!(bench.rows().len(), 2);
    drop(bench.db.submit(row(3)).unwrap());
    bench.db.close().unwrap();
    assert_eq!(bench.reopen().rows().len(), 3, "closing commits what is queued");
}

#[test]
fn an_os_batch_survives_the_process_and_after_a_while_a_power_cut() {
    let bench = Bench::new();
    bench.db.write(row(1)).unwrap();
    let outcome = bench.db.write(os(2)).unwrap();
    assert!(outcome.durable_sequence < outcome.sequence, "{outcome:?}");
    let killed = Bench::open(bench.vfs.clone_running(), |_| {});
    assert_eq!(killed.rows().len(), 2);
    let cut = Bench::open(bench.vfs.clone_image(CrashChoice::Nothing), |_| {});
    assert_eq!(cut.rows().len(), 1, "the disk had not been asked for it");
    // Nobody writes any more: the commit job makes it durable by itself.
    settle(&bench);
    assert_eq!(bench.db.snapshot().durable_sequence(), outcome.sequence);
    let cut = Bench::open(bench.vfs.clone_image(CrashChoice::Nothing), |_| {});
    assert_eq!(cut.rows().len(), 2);
}

#[test]
fn an_os_batch_in_a_group_with_an_fsync_one_waits_for_its_sync() {
    let bench = Bench::new();
    bench.db.write(row(0)).unwrap();
    let tickets: Vec<_> =
        [os(1), row(2), os(3)].into_iter().map(|one| bench.db.submit(one).unwrap()).collect();
    let seen = Arc::new(AtomicUsize::new(usize::MAX));
    let (at_sync, db) = (Arc::clone(&seen), bench.db.clone());
    bench.vfs.set_observer(Some(Arc::new(move |_, call| {
        if call.op == IoOp::Sync {
            at_sync.fetch_min(rows_of(&db, "t").len(), Ordering::SeqCst);
        }
    })));
    bench.executor.run_until_idle(100);
    bench.vfs.set_observer(None);
    assert_eq!(seen.load(Ordering::SeqCst), 1, "readers saw a batch before its sync");
    let outcomes: Vec<_> = tickets.iter().map(|one| one.poll().unwrap().unwrap()).collect();
    assert!(outcomes.is_sorted_by_key(|one| one.sequence));
    assert!(outcomes.iter().all(|one| one.durable_sequence >= outcomes[2].sequence));
}

#[test]
fn an_idle_log_gets_a_witness() {
    let bench = Bench::new();
    bench.db.write(row(1)).unwrap();
    let before = bench.db.stats().log_bytes;
    settle(&bench);
    let after = bench.db.stats().log_bytes;
    assert!(after > before, "nothing proves that the last group was durable");
    settle(&bench);
    assert_eq!(bench.db.stats().log_bytes, after, "one is enough");
}

#[test]
fn a_repeat_waits_for_the_original_also_behind_later_numbers() {
    let bench = Bench::new();
    bench.db.write(row(0).producer("p", 1)).unwrap();
    let original = bench.db.submit(row(1).producer("p", 2)).unwrap();
    let _later = bench.db.submit(row(2).producer("p", 3)).unwrap();
    let last = bench.db.submit(row(2).producer("p", 3)).unwrap();
    let repeat = bench.db.submit(row(1).producer("p", 2)).unwrap();
    assert!(last.poll().is_none());
    assert!(repeat.poll().is_none(), "acknowledged before the original is durable");
    let older = bench.db.submit(row(0).producer("p", 1)).unwrap();
    assert!(older.poll().unwrap().unwrap().already_applied);
    let original = original.wait().unwrap();
    let repeat = repeat.wait().unwrap();
    assert_eq!((repeat.sequence, repeat.row_count), (original.sequence, 1));
    assert!(repeat.already_applied && !original.already_applied);
    assert_eq!(bench.rows().len(), 3);
}

#[test]
fn a_repeat_gives_the_first_outcome_whatever_became_of_its_table() {
    let bench = Bench::new();
    let first = bench.db.write(row(1).producer("p", 1)).unwrap();
    bench.db.drop_table("t").unwrap();
    let mut again = row(1).producer("p", 1);
    again.tables[0].create_if_missing = None;
    let outcome = bench.db.write(again).unwrap();
    assert_eq!((outcome.sequence, outcome.row_count), (first.sequence, 1));
    assert!(outcome.already_applied && bench.db.table_names().is_empty());
}

#[test]
fn a_refused_batch_consumes_no_number() {
    let bench = Bench::new();
    bench.db.write(row(1).producer("p", 1)).unwrap();
    let wrong = batch(field("x", &[Value::from("text")])).producer("p", 2);
    assert!(bench.db.write(wrong).is_err());
    bench.db.write(row(2).producer("p", 2)).unwrap();
    for number in [4, u64::MAX] {
        let gap = bench.db.write(row(2).producer("p", number)).unwrap_err();
        assert!(matches!(gap, Error::SequenceGap { expected: 3, .. }), "{gap}");
    }
    let other = bench.db.write(row(2).producer("q", 2)).unwrap_err();
    assert!(matches!(other, Error::SequenceGap { expected: 1, .. }), "{other}");
}

#[test]
fn full_memory_pushes_back_and_a_flush_makes_room() {
    let bench = Bench::with(|options| options.memory_bytes = Some(1 << 20));
    let large = |at: i64| {
        let text = "x".repeat(50_000);
        batch(field("s", &[Value::from(text.as_str())])).producer("p", u64::try_from(at).unwrap())
    };
    let mut accepted = 0;
    let error = loop {
        match bench.db.write(large(accepted + 1)) {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    let Error::Overloaded { used, limit, .. } = &error else { panic!("{error}") };
    assert!(accepted > 3 && used <= limit && *limit < 1 << 20, "{accepted} batches: {error}");
    let repeat = bench.db.write(large(accepted)).unwrap();
    assert!(repeat.already_applied, "a repeat needs no memory");
    assert!(bench.db.stats().memory_used_bytes <= bench.db.stats().memory_limit_bytes);
    bench.db.flush().unwrap();
    bench.db.write(large(accepted + 1)).unwrap();
    bench.db.flush().unwrap();
    assert_eq!(bench.db.stats().memory_used_bytes, 0, "what is in segments holds no memory");
}

#[test]
fn a_batch_that_must_not_wait_is_refused_at_once() {
    let bench = Bench::with(|options| options.memory_bytes = Some(1 << 20));
    let large = |time: i64| {
        let text = "x".repeat(20_000);
        let mut batch = batch(field("s", &[Value::from(text.as_str())]));
        batch.tables[0].time[0] = time;
        batch.on_pressure(OnPressure::Refuse)
    };
    let mut tickets = Vec::new();
    let error = loop {
        match bench.db.submit(large(i64::try_from(tickets.len()).unwrap())) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Overloaded { .. }) && tickets.len() > 3, "{error}");
    assert_eq!(bench.executor.now_ms(), 0, "nobody waited");
    assert!(bench.db.submit(large(99)).is_err());
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    bench.db.flush().unwrap();
    bench.db.submit(large(99)).unwrap().wait().unwrap();
    assert!(bench.rows().iter().any(|row| row.1 == 99));
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls as a runtime does, with a waker that counts.
fn polled(ticket: &mut crate::db::Ticket, woken: &Arc<Woken>) -> Option<Result<WriteOutcome>> {
    let waker = std::task::Waker::from(Arc::clone(woken));
    let context = &mut std::task::Context::from_waker(&waker);
    match std::future::Future::poll(std::pin::Pin::new(ticket), context) {
        std::task::Poll::Ready(outcome) => Some(outcome),
        std::task::Poll::Pending => None,
    }
}

#[test]
fn a_ticket_is_a_future_and_wakes_whoever_polled_last() {
    let bench = Bench::new();
    let mut ticket = bench.db.submit(row(1)).unwrap();
    bench.executor.run_until_idle(0);
    let (early, late) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    assert!(polled(&mut ticket, &early).is_none());
    assert!(polled(&mut ticket, &late).is_none());
    assert!(bench.executor.run_until_idle(100) > 0, "the commit job sees to it");
    let count = |woken: &Woken| woken.0.load(Ordering::SeqCst);
    assert_eq!((count(&early), count(&late)), (0, 1));
    assert_eq!(polled(&mut ticket, &late).unwrap().unwrap().row_count, 1);
    let mut ticket = bench.db.submit(row(2)).unwrap();
    bench.executor.run_until_idle(100);
    assert!(polled(&mut ticket, &early).unwrap().is_ok(), "done before it was polled");
}

#[test]
fn refused_and_repeated_batches_give_their_memory_back() {
    let bench = Bench::new();
    bench.db.write(row(1).producer("p", 1)).unwrap();
    let held = bench.db.stats().memory_used_bytes;
    for _ in 0..50 {
        assert!(bench.db.write(row(1).producer("p", 1)).unwrap().already_applied);
        assert!(bench.db.write(row(1).producer("p", 9)).is_err());
        assert!(bench.db.write(batch(field("x", &[Value::from("text")]))).is_err());
    }
    assert_eq!(bench.db.stats().memory_used_bytes, held);
}

#[test]
fn a_closed_database_takes_nothing() {
    let bench = Bench::new();
    bench.db.write(row(1)).unwrap();
    bench.db.close().unwrap();
    bench.db.close().unwrap();
    let closed = |error: Error| assert!(matches!(error, Error::Closed), "{error}");
    closed(bench.db.write(row(2)).unwrap_err());
    closed(bench.db.submit(row(2)).map(|_| ()).unwrap_err());
    closed(bench.db.flush().unwrap_err());
    closed(bench.db.compact().unwrap_err());
    closed(bench.db.create_table("u", TableOptions::default()).unwrap_err());
    closed(bench.db.delete("t", &Predicate::all(), TimeRange::ALL).unwrap_err());
}

#[test]
fn dropping_a_table_frees_its_files_and_its_rows_never_come_back() {
    let bench = Bench::new();
    let segments = |bench: &Bench| {
        let paths = bench.vfs.paths();
        paths.iter().filter(|path| path.extension().is_some_and(|one| one == "seg")).count()
    };
    bench.db.write(row(1)).unwrap();
    bench.db.flush().unwrap();
    bench.db.write(row(2)).unwrap();
    assert_eq!(segments(&bench), 1);
    let snapshot = bench.db.snapshot();
    bench.db.drop_table("t").unwrap();
    assert!(bench.db.scan(&ScanRequest::new("t")).is_err());
    let kept: usize =
        snapshot.scan(&ScanRequest::new("t")).unwrap().map(|one| one.unwrap().row_count()).sum();
    assert_eq!(kept, 2, "a snapshot keeps what it sees");
    bench.db.flush().unwrap();
    assert_eq!(segments(&bench), 1, "the snapshot still reads it");
    drop(snapshot);
    bench.db.write(row(3)).unwrap();
    bench.db.flush().unwrap();
    assert_eq!(segments(&bench), 1, "the dropped table's segment is gone");
    assert_eq!(bench.rows().len(), 1);
    let bench = bench.reopen();
    assert_eq!(bench.rows().len(), 1);
}

#[test]
fn eight_writers_lose_and_double_nothing() {
    const WRITERS: i64 = 8;
    const BATCHES: i64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let options = Options {
            memory_bytes: Some(8 << 20),
            flush_bytes: Some(64 << 10),
            log_file_bytes: 128 << 10,
            log_prepare_bytes: 4096,
            ..Options::new(dir.path())
        };
        Db::open(options).unwrap()
    };
    let db = open();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let db = db.clone();
            scope.spawn(move || {
                for number in 0..BATCHES {
                    let tag = format!("w{writer}");
                    let mut rows = RowBuilder::new("t").create_if_missing(TableOptions::default());
                    for row in 0..3 {
                        let time = number * 3 + row;
                        rows.push(time, &[("tag", &tag)], &[("x", Value::I64(writer + time))]);
                    }
                    let mut batch = batch(rows.build().unwrap()).producer(&tag, number as u64 + 1);
                    if number % 5 > 0 {
                        batch.durability = Durability::Os;
                    }
                    match number % 3 {
                        0 => drop(db.submit(batch).unwrap()),
                        1 => _ = db.submit(batch).unwrap().wait().unwrap(),
                        _ => _ = db.write(batch).unwrap(),
                    }
                    if writer == 0 && number % 50 == 49 {
                        db.compact().unwrap();
                    }
                }
            });
        }
        // Readers see whole batches, in order.
        let reader = db.clone();
        scope.spawn(move || {
            for _ in 0..20 {
                if reader.table_names().is_empty() {
                    continue;
                }
                let mut counts = std::collections::BTreeMap::<String, i64>::new();
                for (tag, time, _) in rows_of(&reader, "t") {
                    let count = counts.entry(tag).or_default();
                    assert_eq!(time, *count, "a gap in what is seen");
                    *count += 1;
                }
                assert!(counts.values().all(|count| count % 3 == 0), "half a batch: {counts:?}");
            }
        });
    });
    let check = |db: &Db| {
        let found = rows_of(db, "t");
        let expected = (0..WRITERS).flat_map(|writer| {
            (0..BATCHES * 3)
                .map(move |time| (format!("w{writer}"), time, vec![Value::I64(writer + time)]))
        });
        assert!(found.into_iter().eq(expected));
    };
    // Tickets that were dropped may still be in the queue.
    db.write(Batch::new()).unwrap();
    check(&db);
    db.close().unwrap();
    drop(db);
    let db = open();
    check(&db);
    assert_eq!(db.verify().unwrap().damage, []);
    for writer in 0..WRITERS {
        let repeat = Batch::new().producer(&format!("w{writer}"), BATCHES as u64);
        assert!(db.write(repeat).unwrap().already_applied);
    }
}
