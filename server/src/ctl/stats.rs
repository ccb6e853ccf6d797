//! `chronolith stats`: the database's figures.

use std::fmt::Write as _;

use chronolith_engine::db::{Stats, TableStats};
use clap::Args;
use serde_json::{Value, json};

use super::cells::out_column;
use super::json::{self, ReportFormat};
use super::place::{self, Place, PlaceArg};
use super::{CtlError, CtlResult, print};
use crate::text::table::{Cell, ColumnKind, RowFormat, RowWriter};

/// Show the database's figures: log, memory, segments, bytes per row
///
/// `rows` counts superseded and deleted rows that are not merged away yet, `series` each series once, those of such rows included.
#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    #[command(flatten)]
    place: PlaceArg,
    /// How to show them
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    format: ReportFormat,
}

pub(super) fn run(args: &StatsArgs) -> CtlResult<()> {
    place::read(&args.place, |db| show(db, args))
}

fn show(db: &Place, args: &StatsArgs) -> CtlResult<()> {
    let stats = db.stats()?;
    match args.format {
        ReportFormat::Table => print(&as_text(&stats)?),
        ReportFormat::Json => print(&json::text(&as_json(&stats))),
    }
}

fn as_text(stats: &Stats) -> CtlResult<String> {
    let mut text = String::new();
    for (name, value) in [
        ("database", stats.database_id.clone()),
        ("sequence", format!("{}, durable {}", stats.sequence, stats.durable_sequence)),
        ("log", format!("{} bytes in {} files", stats.log_bytes, stats.log_file_count)),
        ("rows in memory", format!("{} bytes", stats.memtable_bytes)),
        (
            "memory budget",
            format!(
                "{} of {} bytes held, at most {}",
                stats.memory_used_bytes, stats.memory_limit_bytes, stats.memory_peak_bytes
            ),
        ),
        ("manifest edit", stats.manifest_number.to_string()),
        ("writes refused", stats.poisoned.clone().unwrap_or_else(|| "no".to_owned())),
    ] {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name:<15} {value}");
    }
    text.push('\n');
    text.push_str(&tables_text(&stats.tables)?);
    Ok(text)
}

fn tables_text(tables: &[TableStats]) -> CtlResult<String> {
    let number = |name: &str| out_column(name, ColumnKind::U64);
    let columns = [
        out_column("table", ColumnKind::Text),
        number("rows"),
        number("in memory"),
        number("segments"),
        number("segment bytes"),
        out_column("bytes/row", ColumnKind::Decimal),
        number("series"),
        number("deletions"),
        out_column("first", ColumnKind::Time),
        out_column("last", ColumnKind::Time),
    ];
    let mut rows = RowWriter::new(RowFormat::Table, &columns, Vec::new());
    for table in tables {
        let (first, last) = table.times.unzip();
        let time = |ns: Option<i64>| ns.map_or(Cell::Null, Cell::Time);
        rows.row(&[
            Cell::Text(&table.name),
            Cell::U64(table.row_count),
            Cell::U64(table.memory_rows),
            Cell::U64(table.segment_count),
            Cell::U64(table.segment_bytes),
            bytes_per_row(table),
            table.series_count.map_or(Cell::Null, Cell::U64),
            Cell::U64(table.tombstone_count),
            time(first),
            time(last),
        ])
        .map_err(CtlError::standard_output)?;
    }
    let text = rows.finish().map_err(CtlError::standard_output)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Bytes of segments for each row in them, to two digits; NULL without segments.
fn bytes_per_row(table: &TableStats) -> Cell<'static> {
    let rows = table.row_count.saturating_sub(table.memory_rows);
    let scaled = (table.segment_bytes * 100).checked_div(rows);
    scaled
        .and_then(|scaled| i64::try_from(scaled).ok())
        .map_or(Cell::Null, |scaled| Cell::Decimal { scaled, scale: 2 })
}

fn as_json(stats: &Stats) -> Value {
    let tables: Vec<Value> = stats.tables.iter().map(table_json).collect();
    json!({
        "database": stats.database_id,
        "sequence": stats.sequence.to_string(),
        "durable_sequence": stats.durable_sequence.to_string(),
        "log_files": stats.log_file_count,
        "log_bytes": stats.log_bytes,
        "memtable_bytes": stats.memtable_bytes,
        "memory_used_bytes": stats.memory_used_bytes,
        "memory_peak_bytes": stats.memory_peak_bytes,
        "memory_limit_bytes": stats.memory_limit_bytes,
        "memory_by_user": {
            "rows_bytes": stats.memory_by_user.rows_bytes,
            "reads_bytes": stats.memory_by_user.reads_bytes,
            "flush_bytes": stats.memory_by_user.flush_bytes,
            "merges_bytes": stats.memory_by_user.merges_bytes,
        },
        "manifest_number": stats.manifest_number,
        "poisoned": stats.poisoned,
        "tables": tables,
    })
}

/// One table's figures.
pub(super) fn table_json(table: &TableStats) -> Value {
    let (first, last) = table.times.unzip();
    json!({
        "name": table.name,
        "rows": table.row_count,
        "memory_rows": table.memory_rows,
        "segments": table.segment_count,
        "segment_bytes": table.segment_bytes,
        "series": table.series_count,
        "deletions": table.tombstone_count,
        "first": json::time(first),
        "last": json::time(last),
    })
}
