//! How a query ends before its end: memory, deadline, cancel, a dropped answer.

use std::time::Duration;

use chronolith_query::SqlErrorKind;
use futures::StreamExt;

use crate::support::{Base, run, ticks, wait};

const ENDLESS: &str = "SELECT sum(a.price * b.price * c.price) FROM ticks a, ticks b, ticks c WHERE a.size + b.size > c.size";

fn base() -> Base {
    let base = Base::new();
    ticks(&base, 20, 1000);
    base.db.flush().unwrap();
    base
}

#[test]
fn a_query_ends_at_its_deadline() {
    let base = base();
    let session = base.session().with_deadline(Some(200_000_000));
    let error = run(&session, ENDLESS).unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Deadline);
    assert_eq!(error.message, "the query ran longer than its deadline of 200 ms");
    // The session goes on, and so do the threads.
    assert_eq!(base.rows("SELECT count(*) FROM ticks"), ["20000"]);
}

#[test]
fn a_cancel_ends_what_runs_and_nothing_later() {
    let base = base();
    let session = base.session();
    let handle = session.cancel_handle();
    let error = wait(async {
        let query = async { session.execute(ENDLESS).await?.collect().await };
        let cancel = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            handle.cancel();
        };
        let (answer, ()) = futures::join!(query, cancel);
        answer.unwrap_err()
    });
    assert_eq!(error.kind, SqlErrorKind::Cancelled);
    assert!(run(&session, "SELECT 1").is_ok());
}

#[test]
fn the_deadline_covers_the_reading_of_the_answer() {
    let base = base();
    let session = base.session().with_deadline(Some(150_000_000));
    let error = wait(async {
        let mut answer = session.execute("SELECT * FROM ticks").await.unwrap();
        assert!(answer.next().await.unwrap().is_ok());
        tokio::time::sleep(Duration::from_millis(300)).await;
        answer.next().await.unwrap().unwrap_err()
    });
    assert_eq!(error.kind, SqlErrorKind::Deadline);
}

#[test]
fn a_query_beyond_its_memory_fails_alone() {
    let base = base();
    let small = base.session().with_memory(Some(1 << 20));
    let sql = "SELECT price, size, time, symbol FROM ticks ORDER BY price, size, time";
    let error = run(&small, sql).unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Memory, "{error}");
    assert!(error.message.contains("1048576 bytes"), "{error}");
    assert!(!error.message.contains("DiskManager"), "{error}");
    assert_eq!(
        run(&base.session(), sql).unwrap().iter().map(|one| one.num_rows()).sum::<usize>(),
        20_000
    );
}

#[test]
fn a_dropped_answer_ends_its_query() {
    let base = base();
    let session = base.session();
    wait(async {
        for _ in 0..20 {
            let mut answer = session.execute("SELECT * FROM ticks a, ticks b").await.unwrap();
            assert!(answer.next().await.unwrap().is_ok());
        }
        // Were they still running, the two threads would be busy for minutes.
        let answer = session.execute("SELECT count(*) FROM ticks WHERE price > 0").await.unwrap();
        assert_eq!(answer.collect().await.unwrap().len(), 1);
    });
}
