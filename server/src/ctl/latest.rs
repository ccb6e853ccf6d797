//! `chronolith latest`: the last row of each series.

use chronolith_engine::Db;
use chronolith_engine::read::ScanRequest;
use clap::Args;

use super::CtlResult;
use super::cells;
use super::export::field_names;
use super::open::{self, DataArg};
use super::select::{ResultArgs, SelectArgs};

/// Show the last row of each series
#[derive(Debug, Args)]
pub(super) struct LatestArgs {
    #[command(flatten)]
    data: DataArg,
    /// The table
    #[arg(long)]
    table: String,
    #[command(flatten)]
    select: SelectArgs,
    /// Only these fields, in this order
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    columns: Option<Vec<String>>,
    #[command(flatten)]
    result: ResultArgs,
}

pub(super) fn run(args: &LatestArgs) -> CtlResult<()> {
    open::read(&args.data, |db| show(db, args))
}

fn show(db: &Db, args: &LatestArgs) -> CtlResult<()> {
    let snapshot = db.snapshot();
    let schema = snapshot.table(&args.table)?;
    args.select.check(&schema)?;
    let request = ScanRequest {
        columns: field_names(args.columns.as_deref(), &schema),
        ..ScanRequest::new(&args.table)
            .predicate(args.select.predicate())
            .range(args.select.range())
    };
    let last = snapshot.latest(&request)?;
    let columns = cells::scan_columns(&schema, &last.fields);
    cells::write_rows(args.result.file.open()?, args.result.format, &columns, |rows, name| {
        cells::write_batch(rows, &last, name)
    })
}
