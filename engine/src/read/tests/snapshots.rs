//! What snapshots see: their moment, and no other, through flushes, deletions and merges.

use super::*;
use crate::model::Sequence;

fn sequenced(table: &str) -> ScanRequest {
    ScanRequest { with_sequence: true, ..ScanRequest::new(table) }
}

#[test]
fn every_moment_can_be_read_again() {
    for (seed, merge) in (40..46).zip(MODES.into_iter().cycle()) {
        let bench = Bench::with_table(seed, merge, None);
        let mut model = Model::new(merge);
        let random = Random(SeededRng::new(seed));
        let mut moments: Vec<(Snapshot, i64, Model)> = Vec::new();
        for round in 0..14 {
            if round % 5 == 4 {
                let a = *random.pick(&[None, Some("A"), Some("")]);
                let from = START_NS + random.below(200).cast_signed() * 60_000_000_000;
                let (from, to) =
                    *random.pick(&[(from, from + 3_600_000_000_000), (i64::MIN, from)]);
                let predicate = a.map_or_else(Predicate::all, |a| Predicate::tag("a", a));
                let before = model.visible(Sequence::MAX).len();
                let outcome = bench.db.delete("t", &predicate, TimeRange::new(from, to)).unwrap();
                bench.clock.advance_ns(1_000_000_000);
                model.delete(outcome.sequence, a, from, to);
                let gone = before - model.visible(Sequence::MAX).len();
                assert_eq!(outcome.row_count, Some(gone as u64), "seed {seed}, {merge}");
            } else {
                bench.write(&mut model, &random.rows(40));
            }
            match round {
                3 | 7 | 11 => bench.db.flush().unwrap(),
                9 => _ = bench.db.compact().unwrap(),
                _ => {}
            }
            moments.push((bench.db.snapshot(), bench.clock_ns(), model.clone()));
        }
        for (held, at_ns, model) in &moments {
            let sequence = held.sequence();
            let expected = model.visible(sequence);
            let what = format!("seed {seed}, {merge}, {sequence}");
            assert_same(&scan(held, &sequenced("t")), &expected, &what);
            let again = bench.db.snapshot_at(sequence).unwrap();
            assert_same(&scan(&again, &sequenced("t")), &expected, &format!("again, {what}"));
            let by_time = bench.db.snapshot_as_of(*at_ns - 500_000_000).unwrap();
            assert_eq!(by_time.sequence(), sequence, "{what}");
            assert_same(&scan(&by_time, &sequenced("t")), &expected, &format!("by time, {what}"));
        }
    }
}

impl Bench {
    fn clock_ns(&self) -> i64 {
        use crate::clock::Clock;
        self.clock.wall_ns()
    }
}

#[test]
fn moments_that_never_were_are_refused() {
    let (bench, _) = filled(50, MergeMode::Append);
    let last = bench.db.snapshot().sequence();
    for beyond in [last.next(), Sequence::MAX, Sequence { incarnation: 2, counter: 0 }] {
        let error = bench.db.snapshot_at(beyond).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::SnapshotLost { .. }), "{beyond}: {error}");
    }
    let early = bench.db.snapshot_as_of(START_NS - 1_000_000_000).unwrap();
    assert!(scan(&early, &ScanRequest::new("t")).is_empty());
    let late = bench.db.snapshot_as_of(i64::MAX).unwrap();
    assert_eq!(late.sequence(), last);
}

#[test]
fn a_merge_without_history_ends_older_moments_and_says_so() {
    let bench = Bench::with_table(60, MergeMode::LastRow, Some(0));
    let mut model = Model::new(MergeMode::LastRow);
    let random = Random(SeededRng::new(60));
    bench.write(&mut model, &random.rows(50));
    let held = bench.db.snapshot();
    let expected = model.visible(held.sequence());
    bench.write(&mut model, &random.rows(50));
    bench.db.compact().unwrap();
    let now = bench.db.snapshot();
    assert_same(&scan(&now, &sequenced("t")), &model.visible(now.sequence()), "the present");
    assert_same(&scan(&held, &sequenced("t")), &expected, "held before the merge");
    let again = bench.db.snapshot_at(held.sequence()).unwrap();
    let error = again.scan(&ScanRequest::new("t")).map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, Error::SnapshotExpired { sequence, .. } if *sequence == held.sequence())
    );
    assert!(error.to_string().contains("\"t\""), "{error}");
    assert!(again.latest(&ScanRequest::new("t")).is_err());
}

#[test]
fn a_snapshot_outlives_a_merge_of_its_segments() {
    let (bench, model) = filled(61, MergeMode::Append);
    bench.db.flush().unwrap();
    let held = bench.db.snapshot();
    let mut running = held.scan(&sequenced("t")).unwrap();
    let first = running.next().unwrap().unwrap();
    bench.db.compact().unwrap();
    bench.db.drop_table("t").unwrap();
    bench.db.flush().unwrap();
    let rows = rows_of(std::iter::once(Ok(first)).chain(running));
    let expected = model.visible(held.sequence());
    assert_same(&rows, &expected, "a scan goes on");
    assert_same(&scan(&held, &sequenced("t")), &expected, "begun anew");
}
