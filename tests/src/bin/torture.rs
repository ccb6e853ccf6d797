//! Long runs of the crash harness: `cargo run --release -p chronolith-tests --bin torture -- --minutes 60 --seed 7`.
//! Prints what was looked at, ends with failure where anything was found, and tells how to see it again: tests/README.md.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for the terminal, with a time budget"
)]

use std::process::ExitCode;
use std::time::Duration;

use chronolith_engine::planted::{Bug, plant};
use chronolith_tests::hunt::hunt;
use chronolith_tests::torture::{Figures, Unit, Until, torture};

const USAGE: &str = "torture [--minutes N | --units N] [--seed S] [--threads N] [--no-planted] [--replay KIND:SEED [--plant BUG]]";

struct Args {
    seed: u64,
    until: Until,
    threads: usize,
    planted: bool,
    replay: Option<Unit>,
    plant: Option<Bug>,
}

fn args() -> Result<Args, String> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let until = Until::Time(Duration::from_secs(600));
    let mut args = Args { seed: 1, until, threads, planted: true, replay: None, plant: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let number = |text: String| {
            text.parse::<u64>().map_err(|_| format!("{word} needs a number, not {text:?}"))
        };
        match word.as_str() {
            "--minutes" => args.until = Until::Time(Duration::from_secs(60 * number(value()?)?)),
            "--units" => args.until = Until::Units(number(value()?)?),
            "--seed" => args.seed = number(value()?)?,
            "--threads" => args.threads = usize::try_from(number(value()?)?).unwrap_or(1).max(1),
            "--no-planted" => args.planted = false,
            "--replay" => args.replay = Some(value()?.parse()?),
            "--plant" => {
                let name = value()?;
                let known = Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name);
                args.plant = Some(known.ok_or_else(|| format!("{name:?} is no bug"))?);
            }
            _ => return Err(format!("{word:?} is unknown; {USAGE}")),
        }
    }
    Ok(args)
}

/// Whether every planted bug was found.
fn planted(seed: u64) -> bool {
    println!("planted bugs:");
    let finds: Vec<_> = Bug::ALL
        .into_iter()
        .map(|bug| {
            let find = hunt(bug, seed, 400);
            println!("  {find}");
            find
        })
        .collect();
    let found = finds.iter().filter(|find| find.found.is_some()).count();
    let seconds: f64 = finds.iter().map(|find| find.took.as_secs_f64()).sum();
    println!("{found} of {} planted bugs found in {seconds:.1} s\n", finds.len());
    found == finds.len()
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    if let Some(unit) = args.replay {
        plant(args.plant);
        return match unit.run(&mut Figures::default()) {
            Ok(()) => {
                println!("{unit}: nothing found");
                ExitCode::SUCCESS
            }
            Err(text) => {
                println!("{unit}: {text}");
                ExitCode::FAILURE
            }
        };
    }
    // A panic is a find, and told as one.
    std::panic::set_hook(Box::new(|_| {}));
    println!("seed {}, {} threads, {:?}", args.seed, args.threads, args.until);
    let all_found = !args.planted || planted(args.seed);
    let outcome = torture(args.seed, args.until, args.threads, &|so_far| {
        let (images, finds) = (so_far.figures.tally.total(), so_far.finds.len());
        println!("{} units, {images} images, {finds} finds", so_far.unit_count);
    });
    println!("\n{}", outcome.figures);
    println!("{} units, {} finds", outcome.unit_count, outcome.finds.len());
    for (unit, text) in &outcome.finds {
        println!("\n{unit}: {text}\nsee it again with --replay {unit}");
    }
    if outcome.finds.is_empty() && all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
