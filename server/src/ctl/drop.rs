//! `chronolith drop`: removes a table with everything in it.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;

use super::place::{self, PlaceArg};
use super::{CtlError, CtlResult, print};

/// Remove a table with its rows, and forget what was imported into it
#[derive(Debug, Args)]
pub(super) struct DropArgs {
    #[command(flatten)]
    place: PlaceArg,
    /// The table
    table: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &DropArgs) -> CtlResult<()> {
    let db = place::for_writing(&args.place)?;
    db.table_schema(&args.table)?;
    let stats = db.stats()?;
    let rows =
        stats.tables.iter().find(|one| one.name == args.table).map_or(0, |one| one.row_count);
    if !args.yes && !confirmed(&args.table, rows)? {
        return Err(CtlError::Invalid(format!("table {:?} was not dropped", args.table)));
    }
    db.drop_table(&args.table)?;
    db.close()?;
    print(&format!("dropped table {} with {rows} rows\n", args.table))
}

fn confirmed(table: &str, rows: u64) -> CtlResult<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(CtlError::Invalid(format!(
            "dropping table {table:?} needs --yes, as nobody can be asked: standard input is no terminal"
        )));
    }
    // Where the question cannot be shown, an answer still counts.
    let _ = write!(std::io::stderr(), "drop table {table} with {rows} rows? [y/N] ");
    let mut answer = String::new();
    let failed = |source| CtlError::Write { name: "the terminal".to_owned(), source };
    input.lock().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
