//! The harness finds bugs: each planted one is switched on and must be found, and without any the same checks of the same seeds pass.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a panic is how a test fails, and the test tells how long it took"
)]

use std::time::Instant;

use chronolith_engine::planted::Bug;
use chronolith_tests::dice::seed_or;
use chronolith_tests::hunt::{Check, hunt};

/// Seeds after which a bug counts as not found.
const SEED_COUNT_MAX: u64 = 200;

#[test]
fn every_planted_bug_is_found_and_nothing_else() {
    let first = seed_or(1);
    std::panic::set_hook(Box::new(|_| {}));
    let only = std::env::var("CHRONOLITH_BUG").ok();
    let (mut missed, mut used) = (Vec::new(), Vec::<(Check, u64)>::new());
    let start = Instant::now();
    for bug in Bug::ALL {
        if only.as_ref().is_some_and(|only| *only != format!("{bug:?}")) {
            continue;
        }
        let find = hunt(bug, first, SEED_COUNT_MAX);
        println!("{find}");
        match find.found {
            Some((check, seed, _)) if !used.contains(&(check, seed)) => used.push((check, seed)),
            Some(_) => {}
            None => missed.push(bug),
        }
    }
    println!("the hunt took {:.1} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let failed: Vec<String> =
        used.iter().filter_map(|(check, seed)| check.run(*seed).err()).collect();
    println!("without a bug: {} checks in {:.1} s", used.len(), start.elapsed().as_secs_f64());
    drop(std::panic::take_hook());
    assert!(failed.is_empty(), "without a planted bug: {failed:#?}");
    assert!(missed.is_empty(), "not found: {missed:?}");
}
