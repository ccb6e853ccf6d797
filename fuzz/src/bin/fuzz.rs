//! What libFuzzer drives: the target that CHRONOLITH_FUZZ_TARGET names.
#![no_main]
#![allow(clippy::panic, clippy::missing_panics_doc, reason = "a fuzzing program ends with a panic")]

use std::sync::OnceLock;

use chronolith_fuzz::{TARGETS, Target, find};

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

fn chosen() -> &'static Target {
    CHOSEN.get_or_init(|| {
        let name = std::env::var("CHRONOLITH_FUZZ_TARGET").unwrap_or_default();
        find(&name).unwrap_or_else(|| {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            panic!("CHRONOLITH_FUZZ_TARGET is {name:?}, of: {}", names.join(" "))
        })
    })
}

libfuzzer_sys::fuzz_target!(
    // A panic ends the program where nothing catches it: some panics of libraries are caught, and are errors.
    init: drop(std::panic::take_hook()),
    |data: &[u8]| (chosen().run)(data)
);
