//! `chronolith latest`: the last row of each series.

use clap::Args;

use super::CtlResult;
use super::cells;
use super::place::{self, Place};
use super::select::{ResultArgs, RowsArgs};

/// Show the last row of each series
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chronolith latest --data ./db --table trades --where symbol=ACME --where symbol=BOLT")]
pub(super) struct LatestArgs {
    #[command(flatten)]
    rows: RowsArgs,
    #[command(flatten)]
    result: ResultArgs,
}

pub(super) fn run(args: &LatestArgs) -> CtlResult<()> {
    place::read(&args.rows.place, |db| show(db, args))
}

fn show(db: &Place, args: &LatestArgs) -> CtlResult<()> {
    let (schema, request) = args.rows.request(db)?;
    let last = db.latest(&schema, &request)?;
    let columns = cells::scan_columns(&schema, &last.fields);
    cells::write_rows(args.result.file.open()?, args.result.format, &columns, |rows, name| {
        for batch in last.batches {
            cells::write_batch(rows, &batch?, name)?;
        }
        Ok(())
    })
}
