//! Prints what this machine's memory and disk can do, in one line: `probe [--dir DIR]`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the line is the result")]

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: probe [--dir DIR]
Measures memory copies, small synced appends and bulk writes; DIR (default: the current
directory) is on the disk to measure, and needs 512 MiB free for some seconds.";

enum Command {
    Help,
    Measure(PathBuf),
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut dir = PathBuf::from(".");
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Command::Help),
            Some("--dir") => match arguments.next() {
                Some(value) => dir = value.into(),
                None => return Err("--dir needs a directory".to_owned()),
            },
            _ => return Err(format!("unknown argument {argument:?}")),
        }
    }
    Ok(Command::Measure(dir))
}

fn main() -> ExitCode {
    let dir = match parse(env::args_os().skip(1)) {
        Ok(Command::Measure(dir)) => dir,
        Ok(Command::Help) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(fault) => {
            eprintln!("probe: {fault}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match chronolith_bench::probe::run(&dir) {
        Ok(probe) => {
            println!("{probe}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("probe: cannot measure in {}: {error}", dir.display());
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The directory, "help", or "refused".
    fn parsed(arguments: &[&str]) -> String {
        match parse(arguments.iter().map(OsString::from)) {
            Ok(Command::Measure(dir)) => dir.display().to_string(),
            Ok(Command::Help) => "help".to_owned(),
            Err(_) => "refused".to_owned(),
        }
    }

    #[test]
    fn arguments_are_understood_or_refused() {
        assert_eq!(parsed(&[]), ".");
        assert_eq!(parsed(&["--dir", "x"]), "x");
        assert_eq!(parsed(&["-h"]), "help");
        assert_eq!(parsed(&["--dir"]), "refused");
        assert_eq!(parsed(&["--dri", "x"]), "refused");
    }
}
