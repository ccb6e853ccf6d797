//! Random operations compared with the model after each.

use chronolith_tests::dice::{number, seed_or};
use chronolith_tests::ops::Profile;
use chronolith_tests::world::{Setup, World};

fn run(seed: u64, profile: Profile) {
    let mut world = World::new(Setup::new(seed), profile);
    let outcome = world.open().map_err(|error| error.to_string()).and_then(|()| {
        (0..80).try_for_each(|_| {
            world.step()?;
            world.compare()?;
            world.probe()
        })
    });
    if let Err(text) = outcome {
        let trace = std::mem::take(&mut world.trace);
        panic!("{}", chronolith_tests::crash::Failure { seed, text, trace });
    }
}

#[test]
fn random_operations_match_the_model() {
    let first = seed_or(1);
    let count = if std::env::var("CHRONOLITH_SEED").is_ok() { 1 } else { 300 };
    for seed in first..first + number("CHRONOLITH_MODEL_RUNS").unwrap_or(count) {
        run(seed, Profile { forgets: seed % 3 == 0, crashes: true, fails: false });
    }
}
