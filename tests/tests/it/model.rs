//! Random operations compared with the model after each.

use chronolith_tests::damage::{Flips, flips};
use chronolith_tests::dice::{number, seed_or};
use chronolith_tests::ops::Profile;
use chronolith_tests::world::random_run;

fn seeds(count: u64) -> std::ops::Range<u64> {
    let first = seed_or(1);
    let count = if std::env::var("CHRONOLITH_SEED").is_ok() { 1 } else { count };
    first..first + number("CHRONOLITH_MODEL_RUNS").unwrap_or(count)
}

#[test]
fn random_operations_match_the_model() {
    for seed in seeds(200) {
        if let Err(failure) = random_run(seed, Profile::of(seed), 80) {
            panic!("{failure}");
        }
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_makes_no_difference() {
    let mut found = Flips::default();
    for seed in seeds(20) {
        if let Err(failure) = flips(seed, 60, &mut found) {
            panic!("{failure}");
        }
    }
    println!("{found:?}");
    assert!(found.refused > 0 && found.unreadable > 0, "{found:?}");
}
