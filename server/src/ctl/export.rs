//! `chronolith export`: a table as CSV, streamed.

use clap::Args;

use super::CtlResult;
use super::cells;
use super::place::{self, Place};
use super::select::{FileArg, RowsArgs};
use crate::text::progress::{Progress, ProgressUnit};
use crate::text::table::RowFormat;

/// Write a table's rows as CSV
///
/// The header is `time`, the tags, then the fields in the order of their creation. Times are ISO-8601 in UTC
/// with the fraction that is there; numbers are the shortest that read back equal; NULL is nothing, the empty
/// text is "". Rows are ordered by series, time, commit.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chronolith export --data ./db --table trades -o trades.csv
  chronolith export --data ./db --table trades --where symbol=ACME --from 2024-01-02 --to 2024-01-03")]
pub(super) struct ExportArgs {
    #[command(flatten)]
    rows: RowsArgs,
    #[command(flatten)]
    file: FileArg,
}

pub(super) fn run(args: &ExportArgs) -> CtlResult<()> {
    place::read(&args.rows.place, |db| show(db, args))
}

fn show(db: &Place, args: &ExportArgs) -> CtlResult<()> {
    let (schema, request) = args.rows.request(db)?;
    let scan = db.scan(&schema, &request)?;
    let columns = cells::scan_columns(&schema, &scan.fields);
    let progress = if args.file.is_standard() {
        Progress::silent()
    } else {
        Progress::on_standard_error(&args.rows.table, ProgressUnit::Rows, None)
    };
    cells::write_rows(args.file.open()?, RowFormat::Csv, &columns, |rows, name| {
        for batch in scan.batches {
            let batch = batch?;
            cells::write_batch(rows, &batch, name)?;
            progress.add(batch.row_count() as u64);
        }
        Ok(())
    })
}
