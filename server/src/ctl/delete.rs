//! `chronolith delete`: hides rows by tags and time.

use clap::Args;

use super::place::{self, PlaceArg};
use super::select::SelectArgs;
use super::{CtlResult, print};

/// Delete rows by tags and time; without a condition, every row of the table
///
/// A later import of a file whose rows were deleted finds it imported already: it needs --again.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chronolith delete --data ./db --table trades --where symbol=ACME --to 2024-01-01")]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    place: PlaceArg,
    /// The table
    #[arg(long)]
    table: String,
    #[command(flatten)]
    select: SelectArgs,
}

pub(super) fn run(args: &DeleteArgs) -> CtlResult<()> {
    let db = place::for_writing(&args.place)?;
    args.select.check(&*db.table_schema(&args.table)?)?;
    let outcome = db.delete(&args.table, &args.select.predicate(), args.select.range())?;
    db.close()?;
    let mut text = match outcome.row_count {
        Some(count) => format!("deleted {count} rows of table {}\n", args.table),
        None => format!(
            "deleted rows of table {}; how many could not be counted: see `chronolith verify`\n",
            args.table
        ),
    };
    if outcome.row_count != Some(0) {
        text.push_str("importing a file with these rows once more needs `import --again`\n");
    }
    print(&text)
}
