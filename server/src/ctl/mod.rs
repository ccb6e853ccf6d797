//! The program's commands, one a file. A command parses its arguments, opens the database, does its work,
//! and gives a [`CtlError`] whose kind decides the exit code.

mod bars;
mod cells;
mod compact;
mod create;
mod delete;
mod describe;
mod drop;
mod dump;
mod error;
mod export;
mod flush;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod import;
mod interrupt;
mod json;
mod latest;
mod load;
mod open;
mod place;
mod quickstart;
mod select;
mod serve;
mod sql;
mod stats;
mod tables;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use error::{CtlError, CtlResult};

const AFTER_HELP: &str = "\
Start here:
  chronolith quickstart
  chronolith import --data ./db --table trades --time ts --tags symbol trades.csv
  chronolith sql --data ./db \"SELECT symbol, last(price, time) FROM trades GROUP BY symbol\"
  chronolith sql --data ./db                          (a prompt)
  chronolith serve --data ./db                        (then the same commands with --url)

Which database: --data DIR opens it in this process, --url URL asks a server;
CHRONOLITH_DATA or CHRONOLITH_URL say it for all commands.

Exit codes:
  0  done
  1  failed at run time
  2  the request, or a file that it reads, is invalid
  3  a table, column, file or database was not found
  4  the request contradicts what is there: locked, exists already, another version, not a database
  5  bytes on disk are not what was written, or `verify` found damage
  6  the system cannot do it now: an input or output error, a full disk, overload

Results go to standard output, errors and progress to standard error.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "chronolith", version, about = "A columnar time-series database: in a directory, or behind a server", after_help = AFTER_HELP, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Quickstart(quickstart::QuickstartArgs),
    Import(Box<import::ImportArgs>),
    Export(export::ExportArgs),
    Dump(dump::DumpArgs),
    Load(load::LoadArgs),
    Sql(Box<sql::SqlArgs>),
    Bars(bars::BarsArgs),
    Latest(latest::LatestArgs),
    Tables(tables::TablesArgs),
    Describe(describe::DescribeArgs),
    Create(create::CreateArgs),
    Drop(drop::DropArgs),
    Delete(delete::DeleteArgs),
    Stats(stats::StatsArgs),
    Flush(flush::FlushArgs),
    Compact(compact::CompactArgs),
    Verify(verify::VerifyArgs),
    Serve(serve::ServeArgs),
    #[command(hide = true)]
    QuickstartWriter(quickstart::WriterArgs),
}

/// Runs the program with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is gone.
            let _ = writeln!(std::io::stderr(), "{}", error.report());
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command) -> CtlResult<()> {
    match command {
        Command::Quickstart(args) => quickstart::run(&args),
        Command::QuickstartWriter(args) => quickstart::run_writer(&args),
        Command::Import(args) => import::run(*args),
        Command::Export(args) => export::run(&args),
        Command::Dump(args) => dump::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Sql(args) => sql::run(&args),
        Command::Bars(args) => bars::run(&args),
        Command::Latest(args) => latest::run(&args),
        Command::Tables(args) => tables::run(&args),
        Command::Describe(args) => describe::run(&args),
        Command::Create(args) => create::run(&args),
        Command::Drop(args) => drop::run(&args),
        Command::Delete(args) => delete::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Flush(args) => flush::run(&args),
        Command::Compact(args) => compact::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Serve(args) => serve::run(args),
    }
}

/// Writes `text` to standard output.
///
/// # Errors
/// `Write`.
fn print(text: &str) -> CtlResult<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CtlError::standard_output)
}

/// Writes a remark to standard error; one that cannot be written is lost.
fn remark(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
