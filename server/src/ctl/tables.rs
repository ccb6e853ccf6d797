//! `chronolith tables`: which tables there are.

use chronolith_engine::db::TableStats;
use clap::Args;

use super::cells::{self, out_column};
use super::place::{self, Place, PlaceArg};
use super::select::ResultArgs;
use super::{CtlError, CtlResult};
use crate::text::table::{Cell, ColumnKind};

/// List the tables, with their rows and times
///
/// `rows` counts rows as they are kept: those that a later one replaces, or that were deleted, count until
/// compaction drops them; `first` and `last` likewise.
#[derive(Debug, Args)]
pub(super) struct TablesArgs {
    #[command(flatten)]
    place: PlaceArg,
    #[command(flatten)]
    result: ResultArgs,
}

pub(super) fn run(args: &TablesArgs) -> CtlResult<()> {
    place::read(&args.place, |db| show(db, args))
}

fn show(db: &Place, args: &TablesArgs) -> CtlResult<()> {
    let stats = db.stats()?;
    let columns = [
        out_column("table", ColumnKind::Text),
        out_column("merge", ColumnKind::Text),
        out_column("mode", ColumnKind::Text),
        out_column("rows", ColumnKind::U64),
        out_column("segments", ColumnKind::U64),
        out_column("bytes", ColumnKind::U64),
        out_column("first", ColumnKind::Time),
        out_column("last", ColumnKind::Time),
    ];
    cells::write_rows(args.result.file.open()?, args.result.format, &columns, |rows, name| {
        for schema in db.tables()? {
            let table = &schema.name;
            let (merge, mode) = (schema.merge.to_string(), schema.mode.to_string());
            let none = TableStats::default();
            let figures = stats.tables.iter().find(|one| one.name == *table).unwrap_or(&none);
            let (first, last) = times(figures);
            let cells = [
                Cell::Text(table),
                Cell::Text(&merge),
                Cell::Text(&mode),
                Cell::U64(figures.row_count),
                Cell::U64(figures.segment_count),
                Cell::U64(figures.segment_bytes),
                first,
                last,
            ];
            let failed = |source| CtlError::Write { name: name.to_owned(), source };
            rows.row(&cells).map_err(failed)?;
        }
        Ok(())
    })
}

fn times(figures: &TableStats) -> (Cell<'static>, Cell<'static>) {
    figures
        .times
        .map_or((Cell::Null, Cell::Null), |(first, last)| (Cell::Time(first), Cell::Time(last)))
}
