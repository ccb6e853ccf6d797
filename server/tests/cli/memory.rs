//! Commands within a limit on the memory of the process.

use std::fmt::Write;
use std::process::{Command, Stdio};

use crate::support::Place;

const ROWS: usize = 1_000_000;
/// KiB of data that the process may have, stacks included.
const LIMIT_KIB: usize = 220 << 10;

#[test]
fn bars_of_every_second_need_no_memory_for_each() {
    let place = Place::new();
    let mut csv = String::from("ts,sym,p\n");
    for row in 0..ROWS {
        writeln!(csv, "{},{},{}.5", row / 10, row % 10, row % 97).unwrap();
    }
    place.import("many.csv", csv, "--tags sym").ok();
    let program = env!("CARGO_BIN_EXE_chronolith");
    let line = format!(
        "ulimit -d {LIMIT_KIB}; exec {program} bars --table t --every 1s --price p --format csv"
    );
    let output = Command::new("sh")
        .args(["-c", &line])
        .env("CHRONOLITH_DATA", place.db())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {errors}", output.status);
    let lines = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, ROWS + 1, "a bar a row, and the header");
}
