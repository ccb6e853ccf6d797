//! I/O that fails at a random call, once or from then on.

use chronolith_tests::dice::{number, seed_or};
use chronolith_tests::fault::{Faults, Reads, every_call, failing_reads, faults};
use chronolith_tests::full_disk::full_disk;

#[test]
fn failing_io_loses_nothing_that_was_acknowledged() {
    let first = seed_or(1);
    let count = if std::env::var("CHRONOLITH_SEED").is_ok() { 1 } else { 40 };
    let mut found = Faults::default();
    for seed in first..first + number("CHRONOLITH_MODEL_RUNS").unwrap_or(count) {
        if let Err(failure) = faults(seed, 20, &mut found) {
            panic!("{failure}");
        }
    }
    println!("{found:?}");
    assert!(found.hit > found.poisoned && found.poisoned > 0, "{found:?}");
}

#[test]
fn each_call_may_fail_in_each_way() {
    let first = seed_or(1);
    let (mut calls, mut found) = (0, Faults::default());
    // `CHRONOLITH_FAULT_CALLS=5000`: every call of workloads with so many together.
    let wanted = number("CHRONOLITH_FAULT_CALLS");
    let step = if wanted.is_some() { 1 } else { 41 };
    for seed in first.. {
        match every_call(seed, step, &mut found) {
            Ok(more) => calls += more,
            Err(failure) => panic!("{failure}"),
        }
        if calls >= wanted.unwrap_or(1_000) {
            break;
        }
    }
    println!("{calls} calls, each {step}th failed in five ways, once and for good: {found:?}");
}

#[test]
fn a_failing_read_is_no_missing_data() {
    let first = seed_or(1);
    let mut found = Reads::default();
    for seed in first..first + number("CHRONOLITH_MODEL_RUNS").unwrap_or(12) {
        if let Err(failure) = failing_reads(seed, 12, &mut found) {
            panic!("{failure}");
        }
    }
    println!("{found:?}");
    assert!(found.refused > 0 && found.unreadable > 0, "{found:?}");
}

#[test]
fn a_full_disk_takes_deletions_and_gives_everything_back() {
    let first = seed_or(1);
    for seed in first..first + number("CHRONOLITH_MODEL_RUNS").unwrap_or(25) {
        if let Err(failure) = full_disk(seed) {
            panic!("{failure}");
        }
    }
}
