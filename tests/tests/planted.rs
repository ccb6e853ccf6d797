//! The harness finds bugs: each planted one is switched on and must be found, and without any the same seeds pass.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a panic is how a test fails, and the test tells how long it took"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use chronolith_engine::planted::{Bug, plant};
use chronolith_tests::crash::{Plan, Tally, workload};
use chronolith_tests::damage::{Flips, flips};
use chronolith_tests::dice::seed_or;
use chronolith_tests::ops::Profile;
use chronolith_tests::world::random_run;

/// Seeds after which a bug counts as not found.
const SEED_COUNT_MAX: u64 = 60;

/// All checks of one seed.
fn check(seed: u64) -> Result<(), String> {
    let guarded = |name: &str, run: &dyn Fn() -> Result<(), String>| {
        let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|cause| {
            let text = cause.downcast_ref::<String>().cloned();
            let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("panic: {}", text.unwrap_or_default()))
        });
        outcome.map_err(|text| format!("{name}: {text}"))
    };
    for part in 0..4 {
        let seed = seed * 4 + part;
        let profile = Profile { forgets: seed.is_multiple_of(2), crashes: true, fails: false };
        guarded("model", &|| random_run(seed, profile, 60).map_err(|failure| failure.to_string()))?;
    }
    guarded("damage", &|| {
        flips(seed, 30, &mut Flips::default()).map_err(|failure| failure.to_string())
    })?;
    guarded("crash", &|| {
        let plan = Plan { op_count: 30, depth_percent: 0, ..Plan::default() };
        workload(seed, plan, &mut Tally::default()).map_err(|failure| failure.to_string())
    })
}

#[test]
fn every_planted_bug_is_found_and_nothing_else() {
    let first = seed_or(1);
    std::panic::set_hook(Box::new(|_| {}));
    let only = std::env::var("CHRONOLITH_BUG").ok();
    let mut missed = Vec::new();
    let mut seeds = Vec::new();
    for bug in Bug::ALL {
        if only.as_ref().is_some_and(|only| *only != format!("{bug:?}")) {
            continue;
        }
        let start = Instant::now();
        plant(Some(bug));
        let found =
            (first..first + SEED_COUNT_MAX).find_map(|seed| Some((seed, check(seed).err()?)));
        plant(None);
        let seconds = start.elapsed().as_secs_f64();
        match found {
            None => {
                println!("{:<24} missed after {seconds:.1} s", format!("{bug:?}"));
                missed.push(bug);
            }
            Some((seed, text)) => {
                seeds.push(seed);
                let what = text.lines().next().unwrap_or_default();
                let what: String = what.chars().take(150).collect();
                println!("{:<24} {seconds:>5.1} s, seed {seed:>2}: {what}", format!("{bug:?}"));
            }
        }
    }
    seeds.sort_unstable();
    seeds.dedup();
    let start = Instant::now();
    let failed: Vec<String> = seeds.iter().filter_map(|seed| check(*seed).err()).collect();
    println!("without a bug: {} seeds in {:.1} s", seeds.len(), start.elapsed().as_secs_f64());
    drop(std::panic::take_hook());
    assert!(failed.is_empty(), "without a planted bug: {failed:#?}");
    assert!(missed.is_empty(), "not found: {missed:?}");
}
