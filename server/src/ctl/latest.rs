//! `chronolith latest`: the last row of each series.

use chronolith_engine::Db;
use clap::Args;

use super::CtlResult;
use super::cells;
use super::open;
use super::select::{ResultArgs, RowsArgs};

/// Show the last row of each series
#[derive(Debug, Args)]
pub(super) struct LatestArgs {
    #[command(flatten)]
    rows: RowsArgs,
    #[command(flatten)]
    result: ResultArgs,
}

pub(super) fn run(args: &LatestArgs) -> CtlResult<()> {
    open::read(&args.rows.data, |db| show(db, args))
}

fn show(db: &Db, args: &LatestArgs) -> CtlResult<()> {
    let snapshot = db.snapshot();
    let (schema, request) = args.rows.request(&snapshot)?;
    let last = snapshot.latest(&request)?;
    let columns = cells::scan_columns(&schema, &last.fields);
    cells::write_rows(args.result.file.open()?, args.result.format, &columns, |rows, name| {
        cells::write_batch(rows, &last, name)
    })
}
