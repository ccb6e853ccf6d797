//! Power cuts at every call that changes the disk.

use std::time::Instant;

use chronolith_tests::crash::small::{sequences, small};
use chronolith_tests::crash::{Failure, Phase, Plan, Tally, workload};
use chronolith_tests::dice::{number, seed_or};
use parking_lot::Mutex;

/// Distinct images that one run examines.
const IMAGE_COUNT: u64 = 20_000;

#[test]
#[expect(clippy::disallowed_methods, reason = "the test tells how long it took")]
fn every_crash_image_opens_to_a_prefix() {
    let start = Instant::now();
    let wanted = number("CHRONOLITH_CRASH_IMAGES").unwrap_or(IMAGE_COUNT) as usize;
    let first = seed_or(1);
    println!("first seed {first}");
    let shared = Mutex::new((first, Tally::default(), None::<Box<Failure>>));
    let single =
        std::env::var("CHRONOLITH_SEED").is_ok() && number("CHRONOLITH_CRASH_IMAGES").is_none();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = {
                        let mut shared = shared.lock();
                        let done = shared.1.total() >= wanted || (single && shared.0 > first);
                        if done || shared.2.is_some() {
                            return;
                        }
                        shared.0 += 1;
                        shared.0 - 1
                    };
                    let mut tally = Tally::default();
                    let outcome = workload(seed, Plan::default(), &mut tally);
                    let mut shared = shared.lock();
                    shared.1.merge(&tally);
                    if let Err(failure) = outcome {
                        shared.2 = Some(failure);
                    }
                }
            });
        }
    });
    let (seeds, tally, failure) = shared.into_inner();
    println!("{tally}");
    println!("{} workloads, {:.1} s", seeds - first, start.elapsed().as_secs_f64());
    if let Some(failure) = failure {
        panic!("{failure}");
    }
    if single {
        return;
    }
    assert!(tally.total() >= wanted, "{} images", tally.total());
    for phase in Phase::ALL {
        assert!(
            tally.of(phase).iter().sum::<usize>() * 50 >= tally.total(),
            "too few images of {phase:?}"
        );
    }
}

#[test]
fn every_image_of_small_workloads_opens_to_a_prefix() {
    // `CHRONOLITH_SMALL_STEP=1`: every sequence of up to three operations.
    let step = number("CHRONOLITH_SMALL_STEP").unwrap_or(5) as usize;
    let sequences = sequences(3);
    let mut tally = Tally::default();
    for sequence in sequences.iter().step_by(step.max(1)) {
        if let Err(failure) = small(sequence, &mut tally) {
            panic!("{failure}");
        }
    }
    println!("{} of {} sequences\n{tally}", sequences.len().div_ceil(step), sequences.len());
    assert!(tally.total() > 200, "{} images", tally.total());
}
