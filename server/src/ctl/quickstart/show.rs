//! What quickstart prints once the database is open again.

use std::io::BufWriter;
use std::path::Path;

use chronolith_engine::clock::{Clock, SystemClock};
use chronolith_engine::model::{Predicate, TimeRange};
use chronolith_engine::read::ScanRequest;
use chronolith_engine::snapshot::Snapshot;
use chronolith_engine::{Db, Options};

use super::super::bars::{self, Bars, VolumeKind};
use super::super::import::{count, seconds};
use super::super::{CtlResult, cells, print};
use super::witness::Witnessed;
use crate::text::output::Output;
use crate::text::table::RowFormat;

const MINUTE_NS: i64 = 60_000_000_000;
/// Bars that are shown.
const BARS_SHOWN: i64 = 8;

/// What is shown of a table.
pub(super) struct Columns {
    pub(super) table: String,
    pub(super) price: String,
    pub(super) volume: Option<(String, VolumeKind)>,
}

/// Tells of the kill.
pub(super) fn killed(rows: u64, what: &str, witnessed: &Witnessed) -> CtlResult<()> {
    let seconds = seconds(witnessed.writing_ns).max(1e-9);
    let moment = if witnessed.was_writing { "in the middle of" } else { "right after" };
    print(&format!(
        "3. killed it (SIGKILL) {moment} writing, {seconds:.1} s after it began: {rows} rows in {what} \
         were acknowledged, {:.0} rows/s\n",
        count(rows) / seconds
    ))
}

/// Opens the database again, and measures that.
///
/// # Errors
/// The engine's.
pub(super) fn reopen(dir: &Path) -> CtlResult<(Db, i64)> {
    let clock = SystemClock::default();
    let start = clock.monotonic_ns();
    let db = Db::open(Options::new(dir).existing())?;
    Ok((db, clock.monotonic_ns() - start))
}

/// Tells that nothing is lost.
pub(super) fn intact(rows: u64, found: u64, open_ns: i64, more: &str) -> CtlResult<()> {
    print(&format!(
        "4. opened it again in {:.3} s: all {rows} acknowledged rows are there, compared one by one, {more} ({} more \
         were kept, though their acknowledgement was not heard)\n",
        seconds(open_ns),
        found.saturating_sub(rows)
    ))
}

/// Shows bars and latest values, then the size on disk, then what to try.
///
/// # Errors
/// The engine's.
pub(super) fn results(dir: &Path, db: &Db, columns: &Columns) -> CtlResult<()> {
    show_bars(&db.snapshot(), columns)?;
    print("\n6. the latest values\n\n")?;
    let last = db.snapshot().latest(&ScanRequest::new(&columns.table))?;
    let out_columns = cells::scan_columns(&last.schema, &last.fields);
    cells::write_rows(standard_output()?, RowFormat::Table, &out_columns, |rows, name| {
        cells::write_batch(rows, &last, name)
    })?;
    show_size(db, columns)?;
    db.close()?;
    show_next(dir, columns)
}

fn standard_output() -> CtlResult<Output> {
    Ok(Output::open(None, Box::new(BufWriter::new(std::io::stdout())))?)
}

/// The last bars of the series that was written last.
fn show_bars(snapshot: &Snapshot, columns: &Columns) -> CtlResult<()> {
    let last = snapshot.latest(&ScanRequest::new(&columns.table).columns(&[]))?;
    let newest = last.series.iter().max_by_key(|run| last.time().get(run.rows.start).copied());
    let Some(newest) = newest else { return Ok(()) };
    let time = last.time().get(newest.rows.start).copied().unwrap_or_default();
    let mut predicate = Predicate::all();
    for (position, tag) in last.schema.tags.iter().enumerate() {
        predicate = predicate.and_tag(&tag.name, newest.key.tag(position));
    }
    let minute = time.div_euclid(MINUTE_NS) * MINUTE_NS;
    let from = minute.saturating_sub((BARS_SHOWN - 1) * MINUTE_NS);
    let range = TimeRange::new(from, i64::MAX);
    let scan = ScanRequest::new(&columns.table).predicate(predicate).range(range);
    let volume = columns.volume.as_ref().map(|(name, kind)| (name.as_str(), *kind));
    let bars = Bars { scan, every_ns: MINUTE_NS, price: &columns.price, volume };
    let computed = snapshot.aggregate(&bars.request())?.map(|batch| Ok(batch?));
    print("\n5. one-minute bars\n\n")?;
    bars::write(standard_output()?, RowFormat::Table, &last.schema, &bars, computed)
}

fn show_size(db: &Db, columns: &Columns) -> CtlResult<()> {
    let clock = SystemClock::default();
    let start = clock.monotonic_ns();
    db.compact()?;
    let spent = clock.monotonic_ns() - start;
    let stats = db.stats();
    let table = stats.tables.iter().find(|table| table.name == columns.table);
    let (rows, bytes) = table.map_or((0, 0), |table| (table.row_count, table.segment_bytes));
    print(&format!(
        "\n7. flushed and compacted in {:.2} s: {rows} rows in {bytes} bytes, {:.2} bytes per row\n",
        seconds(spent),
        count(bytes) / count(rows.max(1))
    ))
}

fn show_next(dir: &Path, columns: &Columns) -> CtlResult<()> {
    let volume = match &columns.volume {
        Some((name, VolumeKind::Cumulative)) => {
            format!(" --volume {name} --volume-kind cumulative")
        }
        Some((name, VolumeKind::Trade)) => format!(" --volume {name}"),
        None => String::new(),
    };
    let (table, price) = (&columns.table, &columns.price);
    let program = std::env::args().next().unwrap_or_else(|| "chronolith".to_owned());
    print(&format!(
        "\n8. what to try next\n\n  \
         export CHRONOLITH_DATA={dir}\n  \
         {program} describe {table}\n  \
         {program} bars --table {table} --every 1h --price {price}{volume}\n  \
         {program} export --table {table} -o {table}.csv\n  \
         {program} verify\n  \
         {program} import --help      (your own CSV files)\n\n\
         The database is kept; remove {dir} when you are done.\n",
        dir = dir.display()
    ))
}
