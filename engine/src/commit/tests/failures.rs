//! Failing disks under commits: what is told, what is kept, what goes on.

use parking_lot::Mutex;

use super::*;
use crate::commit::Ticket;
use crate::error::ErrorKind;
use crate::model::Durability;
use crate::vfs::sim::{CrashChoice, Fault, FaultAt, IoOp};

fn row(time: i64) -> Batch {
    let rows = RowBuilder::new("t").create_if_missing(TableOptions::default());
    batch(rows.row(time, &[("tag", "a")], &[("x", Value::I64(time))]).build().unwrap())
}

fn on(op: IoOp, path_part: &str) -> FaultAt {
    FaultAt::NthOn { op, path_part: path_part.into(), skip: 0 }
}

/// Submits `behind` while the next call of this kind runs, when the group before it has left the queue.
fn submit_during(bench: &Bench, op: IoOp, behind: Vec<Batch>) -> Arc<Mutex<Vec<Ticket>>> {
    let tickets = Arc::new(Mutex::new(Vec::new()));
    let (made, db) = (Arc::clone(&tickets), bench.db.clone());
    let waiting = Mutex::new(behind);
    bench.vfs.set_observer(Some(Arc::new(move |_, call| {
        if call.op == op {
            for batch in waiting.lock().drain(..) {
                made.lock().push(db.submit(batch).unwrap());
            }
        }
    })));
    tickets
}

#[test]
fn after_a_failed_sync_nothing_is_written_and_reads_go_on() {
    let bench = Bench::new();
    bench.db.write(row(1).producer("p", 1)).unwrap();
    let behind = submit_during(&bench, IoOp::Sync, vec![row(3).producer("p", 3)]);
    bench.vfs.fail_at(on(IoOp::Sync, "/wal/"), Fault::Eio, false);
    let unknown = bench.db.write(row(2).producer("p", 2)).unwrap_err();
    bench.vfs.set_observer(None);
    assert!(matches!(unknown, Error::OutcomeUnknown { .. }), "{unknown}");
    let behind = std::mem::take(&mut *behind.lock()).remove(0).wait().unwrap_err();
    assert!(matches!(behind, Error::Poisoned { .. }), "never written: {behind}");
    for error in [
        bench.db.write(row(4)).map(|_| ()).unwrap_err(),
        bench.db.write(row(2).producer("p", 2)).map(|_| ()).unwrap_err(),
        bench.db.flush().unwrap_err(),
        bench.db.compact().map(|_| ()).unwrap_err(),
        bench.db.create_table("u", TableOptions::default()).map(|_| ()).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Poisoned { .. }), "{error}");
        assert!(error.to_string().contains("open the database again"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
    assert_eq!(bench.rows().len(), 1, "what was not acknowledged is not seen");
    assert!(bench.db.stats().poisoned.is_some());
    assert!(matches!(bench.db.close(), Err(Error::Poisoned { .. })));
    let bench = bench.reopen();
    let found = bench.rows().len();
    let again = bench.db.write(row(2).producer("p", 2)).unwrap();
    assert_eq!(again.already_applied, found == 2, "{found} rows");
    bench.db.write(row(3).producer("p", 3)).unwrap();
    assert_eq!(bench.rows().len(), 3);
}

#[test]
fn a_failed_sync_of_os_batches_at_rotation_poisons_too() {
    let bench = Bench::with(|options| options.log_file_bytes = 2_048);
    bench.db.write(row(0)).unwrap();
    let mut at = 0;
    while bench.db.stats().log_bytes < 2_048 {
        at += 1;
        bench.db.write(row(at).durability(Durability::Os)).unwrap();
    }
    bench.vfs.fail_at(on(IoOp::Sync, "/wal/"), Fault::Eio, false);
    let first = bench.db.write(row(100)).unwrap_err();
    assert_eq!(bench.vfs.fault_count(), 1);
    assert!(matches!(first, Error::Poisoned { .. }), "{first}");
    let second = bench.db.write(row(101)).unwrap_err();
    assert!(
        matches!(second, Error::Poisoned { .. }),
        "the lost rows would pass as durable: {second}"
    );
}

#[test]
fn a_full_disk_is_told_and_a_retry_works() {
    let bench = Bench::new();
    bench.db.write(row(1).producer("p", 1)).unwrap();
    for fault in [Fault::Enospc, Fault::ShortWrite(100)] {
        let number = bench.rows().len() as u64 + 1;
        let time = i64::try_from(number).unwrap();
        let next = || row(time).producer("p", number);
        let behind = row(time + 1).producer("p", number + 1);
        let behind = submit_during(&bench, IoOp::Write, vec![behind]);
        bench.vfs.fail_at(on(IoOp::Write, "/wal/"), fault, false);
        let error = bench.db.write(next()).unwrap_err();
        bench.vfs.set_observer(None);
        assert_eq!(matches!(error, Error::DiskFull { .. }), fault == Fault::Enospc, "{error}");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.is_no_space(), fault == Fault::Enospc, "{error}");
        let told = std::mem::take(&mut *behind.lock()).remove(0).wait().unwrap_err();
        assert_eq!(told.is_no_space(), error.is_no_space(), "{told}");
        assert_eq!(told.kind(), ErrorKind::Unavailable, "what was queued behind fails too: {told}");
        assert_eq!(bench.rows().len() as u64, number - 1);
        assert!(!bench.db.write(next()).unwrap().already_applied, "the number is free again");
    }
    let held = bench.db.stats().memory_used_bytes;
    bench.vfs.fail_at(on(IoOp::Write, "/wal/"), Fault::Enospc, true);
    for _ in 0..10 {
        assert!(bench.db.write(row(9)).is_err());
    }
    bench.vfs.clear_faults();
    assert_eq!(bench.db.stats().memory_used_bytes, held, "failed batches give their memory back");
    let bench = bench.reopen();
    assert_eq!(bench.rows().len(), 3);
    assert!(bench.db.write(row(3).producer("p", 3)).unwrap().already_applied);
}

#[test]
fn the_first_write_may_fail_at_any_call_and_be_tried_again() {
    let mut failed = 0;
    for call in 0.. {
        let bench = Bench::new();
        let at = bench.vfs.call_count() + call;
        bench.vfs.fail_at(FaultAt::Call(at), Fault::Enospc, false);
        let first = bench.db.write(row(1));
        if bench.vfs.fault_count() == 0 && bench.vfs.call_count() <= at {
            break;
        }
        if let Err(error) = first {
            failed += 1;
            assert!(error.is_no_space(), "call {call}: {error}");
            assert!(bench.db.table_names().is_empty());
            bench.db.write(row(1)).unwrap();
        }
        let bench = bench.reopen();
        assert_eq!(bench.rows().len(), 1, "call {call}");
        assert_eq!(bench.db.verify().unwrap().damage, []);
        bench.db.write(row(2)).unwrap();
        assert_eq!(bench.reopen().rows().len(), 2);
    }
    assert!(failed >= 4, "{failed}");
}

#[test]
fn a_failed_batch_takes_its_schema_back() {
    let bench = Bench::new();
    bench.db.write(row(1)).unwrap();
    bench.vfs.fail_at(on(IoOp::Write, "/wal/"), Fault::Enospc, false);
    let wide = || {
        let rows = RowBuilder::new("t").row(2, &[("venue", "x")], &[("y", Value::Bool(true))]);
        let other = RowBuilder::new("u").create_if_missing(TableOptions::default());
        batch(rows.build().unwrap()).with(other.row(0, &[], &[]).build().unwrap())
    };
    assert!(bench.db.write(wide()).is_err());
    assert_eq!(bench.db.table_names(), ["t"]);
    bench.db.create_table("v", TableOptions::default()).unwrap();
    bench.db.write(wide()).unwrap();
    let bench = bench.reopen();
    assert_eq!(bench.db.table_names(), ["t", "u", "v"]);
    assert_eq!(bench.rows().len(), 2);
}

#[test]
fn a_flush_may_fail_at_any_call_and_loses_nothing() {
    let mut failed = 0;
    for call in 0.. {
        let bench = Bench::new();
        for time in 0..5 {
            bench.db.write(row(time).producer("p", time as u64 + 1)).unwrap();
        }
        let at = bench.vfs.call_count() + call;
        let fault = if call % 2 == 0 { Fault::Eio } else { Fault::Enospc };
        bench.vfs.fail_at(FaultAt::Call(at), fault, false);
        let flushed = bench.db.flush();
        if bench.vfs.call_count() <= at {
            break;
        }
        failed += u64::from(flushed.is_err());
        assert_eq!(bench.rows().len(), 5, "call {call}");
        match bench.db.write(row(5).producer("p", 6)) {
            Ok(_) => bench.db.flush().unwrap(),
            Err(error) => {
                assert!(matches!(error, Error::Poisoned { .. }), "call {call}: {error}");
            }
        }
        let bench = bench.reopen();
        bench.db.write(row(5).producer("p", 6)).unwrap();
        assert_eq!(bench.rows().len(), 6, "call {call}");
        bench.db.compact().unwrap();
        assert_eq!(bench.rows().len(), 6, "call {call}");
        assert_eq!(bench.db.verify().unwrap().damage, []);
    }
    assert!(failed >= 8, "{failed}");
}

#[test]
fn a_panic_in_a_commit_leaves_nobody_waiting() {
    let bench = Bench::new();
    bench.db.write(row(1)).unwrap();
    let waiting = bench.db.submit(row(2)).unwrap();
    bench.vfs.set_observer(Some(Arc::new(|_, call| {
        assert!(call.op != IoOp::Sync, "planted");
    })));
    let db = bench.db.clone();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| db.write(row(3))));
    bench.vfs.set_observer(None);
    drop(db);
    assert!(caught.is_err());
    let error = waiting.wait().unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
    let error = bench.db.write(row(4)).unwrap_err();
    assert!(matches!(error, Error::Poisoned { .. }), "{error}");
    assert_eq!(bench.rows().len(), 1);
    assert!((1..=3).contains(&bench.reopen().rows().len()));
}

#[test]
fn what_is_queued_behind_a_commit_that_panics_is_told_too() {
    let bench = Bench::new();
    bench.db.write(row(1)).unwrap();
    let behind = Arc::new(parking_lot::Mutex::new(None));
    let (db, slot) = (bench.db.clone(), Arc::clone(&behind));
    bench.vfs.set_observer(Some(Arc::new(move |_, call| {
        if call.path.starts_with("/db/wal") && slot.lock().is_none() {
            *slot.lock() = Some(db.submit(row(3)).unwrap());
            panic!("planted");
        }
    })));
    let first = bench.db.submit(row(2)).unwrap();
    bench.executor.run_until_idle(100);
    bench.vfs.set_observer(None);
    assert!(matches!(first.poll(), Some(Err(Error::OutcomeUnknown { .. }))));
    let behind = behind.lock().take().unwrap();
    assert!(matches!(behind.poll(), Some(Err(Error::Poisoned { .. }))), "nobody else would tell");
}

#[test]
fn a_failed_sync_at_rotation_is_not_tried_again() {
    let bench = Bench::with(|options| options.log_file_bytes = 2_048);
    let mut at = 0;
    while bench.db.stats().log_bytes < 2_048 {
        at += 1;
        bench.db.write(row(at).durability(Durability::Os)).unwrap();
    }
    bench.vfs.fail_at(on(IoOp::Sync, "/wal/"), Fault::Eio, false);
    bench.db.write(row(100)).unwrap_err();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    bench.vfs.set_observer(Some(Arc::new(move |_, call| {
        if call.path.starts_with("/db/wal") {
            seen.lock().push(call);
        }
    })));
    for time in 101..104 {
        assert!(matches!(bench.db.write(row(time)), Err(Error::Poisoned { .. })));
        assert!(matches!(bench.db.flush(), Err(Error::Poisoned { .. })));
    }
    bench.executor.run_until_idle(100);
    bench.executor.run_timers();
    assert!(bench.db.close().is_err());
    assert_eq!(*calls.lock(), [], "the log is not touched after a failed sync");
}

#[test]
fn reopening_after_a_failed_sync_does_not_trust_the_page_cache() {
    let bench = Bench::new();
    bench.db.write(row(1)).unwrap();
    bench.vfs.fail_at(on(IoOp::Sync, "/wal/"), Fault::Eio, false);
    let unknown = bench.db.write(row(2)).unwrap_err();
    assert!(matches!(unknown, Error::OutcomeUnknown { .. }), "{unknown}");
    // Memory still has the group, and calls it clean: a sync would succeed and write nothing.
    let next = Bench::open(bench.vfs.clone_running(), |_| {});
    let (found, durable) = (next.rows(), next.db.snapshot().durable_sequence());
    assert_eq!(durable, next.db.snapshot().sequence());
    next.db.write(row(3)).unwrap();
    let shown = next.rows();
    let after = Bench::open(next.vfs.clone_image(CrashChoice::Nothing), |_| {});
    assert_eq!(after.rows(), shown, "{} rows were called durable at opening", found.len());
}

/// A ticket that nobody awaits, queued when the commit job looks in vain because a leader has yet to step down.
#[test]
fn what_is_queued_while_a_failed_leader_steps_down_is_seen_to() {
    let bench = Bench::new();
    bench.db.write(row(1)).unwrap();
    bench.executor.run_until_idle(100);
    bench.executor.run_timers();
    let first = bench.db.submit(row(2)).unwrap();
    let behind = Arc::new(Mutex::new(None));
    let (db, executor, made) = (bench.db.clone(), Arc::clone(&bench.executor), Arc::clone(&behind));
    first.on_done(move || {
        // What another thread and the job may do at this moment.
        *made.lock() = Some(db.submit(row(3)).unwrap());
        executor.run_until_idle(100);
    });
    bench.vfs.fail_at(on(IoOp::Write, "/wal/"), Fault::Enospc, false);
    assert!(bench.db.write(row(4)).unwrap_err().is_no_space());
    assert!(matches!(first.poll(), Some(Err(_))));
    bench.executor.run_until_idle(100);
    bench.executor.run_timers();
    let behind = behind.lock().take().unwrap();
    assert!(behind.poll().is_some(), "nobody saw to it");
    assert_eq!(bench.rows().len(), 2);
}
