//! I/O that fails at a random call, once or from then on.

use chronolith_tests::dice::{number, seed_or};
use chronolith_tests::fault::{Faults, faults};

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
