//! Times one-row durable commits, one after the other, with and without zeros ahead in the log; prints a line each, beside the probe.
//! `commits DIR [COUNT]`: DIR must not exist; it is removed at the end. The ways take turns, a part of the commits each.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the lines are the result")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use chronolith_engine::model::{Batch, RowBuilder, TableOptions, Value};
use chronolith_engine::{Db, Options, Result};

/// Turns that each way takes.
const TURN_COUNT: usize = 4;
/// The ways: bytes of zeros ahead.
const AHEAD_BYTES: [u64; 2] = [0, 2 << 20];

/// Adds the milliseconds of `count` commits into a fresh database.
fn turn(dir: &Path, ahead_bytes: u64, count: usize, times: &mut Vec<f64>) -> Result<()> {
    let db = Db::open(Options { log_prepare_bytes: ahead_bytes, ..Options::new(dir) })?;
    for time in (0..).take(count) {
        let rows = RowBuilder::new("ticks").create_if_missing(TableOptions::default());
        let rows = rows.row(time, &[("symbol", "A")], &[("price", Value::F64(1.5))]).build()?;
        let batch = Batch::new().with(rows);
        let start = Instant::now();
        db.write(batch)?;
        // The first one begins the log.
        if time > 0 {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    db.close()
}

fn run(dir: &Path, count: usize) -> Result<()> {
    let mut times = AHEAD_BYTES.map(|_| Vec::new());
    for _ in 0..TURN_COUNT {
        for (ahead_bytes, times) in AHEAD_BYTES.iter().zip(&mut times) {
            let done = turn(dir, *ahead_bytes, count / TURN_COUNT, times);
            let _ = std::fs::remove_dir_all(dir);
            done?;
        }
    }
    for (ahead_bytes, mut times) in AHEAD_BYTES.iter().zip(times) {
        times.sort_by(f64::total_cmp);
        let at = |permille: usize| {
            let rank = (times.len() * permille / 1_000).min(times.len().saturating_sub(1));
            times.get(rank).copied().unwrap_or_default()
        };
        println!(
            "zeros ahead {:>4} KiB: p50 {:.3} p90 {:.3} p99 {:.3} p99.9 {:.3} max {:.3} ms (n {})",
            ahead_bytes >> 10,
            at(500),
            at(900),
            at(990),
            at(999),
            at(1_000),
            times.len()
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(dir) = arguments.next() else {
        eprintln!("usage: commits DIR [COUNT]");
        return ExitCode::from(2);
    };
    let count = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let dir = Path::new(&dir);
    if let Some(Ok(probe)) = dir.parent().map(chronolith_bench::probe::run) {
        println!("{probe}");
    }
    match run(dir, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("commits: {error}");
            ExitCode::FAILURE
        }
    }
}
