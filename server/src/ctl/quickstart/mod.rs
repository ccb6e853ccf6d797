//! `chronolith quickstart`: the main job from end to end. A child process writes through several producers; it is killed
//! hard; this process opens what is left and checks every acknowledged row. Then a server has the database, as another
//! child: the producers go on over the network, it is killed too, started again, checked, and asked in SQL. The parts:
//! generated and files (the two ways through), generator (what is written), writer (the first child), witness (reads its acknowledgements and kills it),
//! server (the second child), network (producers that stream to it), show. No child outlives this process: each ends with
//! its standard input.

mod files;
mod generated;
mod generator;
mod guess;
mod network;
mod server;
mod show;
mod witness;
mod writer;

use std::path::{Path, PathBuf};

use clap::Args;

use super::{CtlError, CtlResult, open, print};

pub(super) use writer::run as run_writer;

/// The table that is written.
const TABLE: &str = "ticks";
/// The seed of the generated ticks.
const SEED: u64 = 7;
/// Directories tried for the database.
const DIRECTORIES_MAX: u32 = 10_000;

/// See it work: write ticks, kill the writer and the server, lose nothing, ask in SQL; a quarter of a minute
///
/// Makes a database in a directory of its own and writes ticks to it through several producers (generated ones, or
/// those of FILEs), first in a process, then, with generated ticks, over the network to a server on free ports. Kills each
/// hard in the middle, opens again, and checks that every acknowledged row is there exactly once. Then shows bars,
/// latest values, bytes per row and rows per second, each with the command line to copy. The database is kept.
#[derive(Debug, Args)]
pub(super) struct QuickstartArgs {
    /// The directory, which must not be there or be empty; without it one is made in the working directory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// CSV files of ticks, plain or packed; the columns of time, price and volume are found by their names
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// The process that is killed.
#[derive(Debug, Args)]
pub(super) struct WriterArgs {
    #[arg(long)]
    data: PathBuf,
    #[arg(long)]
    seed: u64,
    files: Vec<PathBuf>,
}

pub(super) fn run(args: &QuickstartArgs) -> CtlResult<()> {
    let dir = directory(args.data.as_deref())?;
    print(&format!("1. a database in {}\n", dir.display()))?;
    if args.files.is_empty() { generated::run(&dir) } else { files::run(&dir, &args.files) }
}

/// A directory that nothing is in.
fn directory(wanted: Option<&Path>) -> CtlResult<PathBuf> {
    if let Some(dir) = wanted {
        if open::is_there(dir) {
            return Err(CtlError::Conflict(format!(
                "{} is not empty; quickstart writes to a directory of its own",
                dir.display()
            )));
        }
        return Ok(dir.to_path_buf());
    }
    let names = (1..=DIRECTORIES_MAX).map(|number| format!("chronolith-quickstart-{number}"));
    let mut free = names.map(PathBuf::from).filter(|dir| !dir.exists());
    free.next().ok_or_else(|| {
        CtlError::Conflict(
            "every name from chronolith-quickstart-1 on is taken: remove some, or give --data"
                .to_owned(),
        )
    })
}
