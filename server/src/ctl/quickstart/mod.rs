//! `chronolith quickstart`: the main job from end to end. A child process writes through several producers; it is killed
//! hard; this process opens what is left and checks every acknowledged row. The parts: generator or files (what is
//! written), writer (the child), witness (reads its acknowledgements and kills it), check, show.

mod files;
mod generator;
mod guess;
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

/// Write market ticks, kill the writer, and see that nothing is lost: the whole in half a minute
///
/// Opens a database in a directory of its own, writes ticks through several producers (generated ones, or those of
/// FILEs), kills the writing process hard, opens again, checks that every acknowledged row is there, and shows bars,
/// latest values, bytes per row, rows per second, and what to try next.
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
    if args.files.is_empty() { generator::run(&dir) } else { files::run(&dir, &args.files) }
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
