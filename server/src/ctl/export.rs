//! `chronolith export`: a table as CSV, streamed.

use chronolith_engine::Db;
use chronolith_engine::model::TableSchema;
use chronolith_engine::read::ScanRequest;
use clap::Args;

use super::CtlResult;
use super::cells::{self, TIME_COLUMN};
use super::open::{self, DataArg};
use super::select::{FileArg, SelectArgs};
use crate::text::progress::{Progress, ProgressUnit};
use crate::text::table::RowFormat;

/// Write a table's rows as CSV
///
/// The header is `time`, the tags, then the fields in the order of their creation. Times are ISO-8601 in UTC
/// with the fraction that is there; numbers are the shortest that read back equal; NULL is nothing, the empty
/// text is "". Rows are ordered by series, time, commit.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    data: DataArg,
    /// The table
    #[arg(long)]
    table: String,
    #[command(flatten)]
    select: SelectArgs,
    /// Only these fields, in this order; time and tags are always there
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    columns: Option<Vec<String>>,
    #[command(flatten)]
    file: FileArg,
}

pub(super) fn run(args: &ExportArgs) -> CtlResult<()> {
    open::read(&args.data, |db| show(db, args))
}

fn show(db: &Db, args: &ExportArgs) -> CtlResult<()> {
    let snapshot = db.snapshot();
    let schema = snapshot.table(&args.table)?;
    args.select.check(&schema)?;
    let request = ScanRequest {
        columns: field_names(args.columns.as_deref(), &schema),
        ..ScanRequest::new(&args.table)
            .predicate(args.select.predicate())
            .range(args.select.range())
    };
    let scan = snapshot.scan(&request)?;
    let columns = cells::scan_columns(&schema, scan.fields());
    let progress = if args.file.is_standard() {
        Progress::silent()
    } else {
        Progress::on_standard_error(&args.table, ProgressUnit::Rows, None)
    };
    cells::write_rows(args.file.open()?, RowFormat::Csv, &columns, |rows, name| {
        for batch in scan {
            let batch = batch?;
            cells::write_batch(rows, &batch, name)?;
            progress.add(batch.row_count() as u64);
        }
        Ok(())
    })
}

/// The fields among `names`; time and tags may be named, and are there anyway.
pub(super) fn field_names(names: Option<&[String]>, schema: &TableSchema) -> Option<Vec<String>> {
    let is_key = |name: &str| name == TIME_COLUMN || schema.tag_position(name).is_some();
    let mut fields: Vec<String> = Vec::new();
    for name in names?.iter().filter(|name| !is_key(name)) {
        if !fields.contains(name) {
            fields.push(name.clone());
        }
    }
    Some(fields)
}
