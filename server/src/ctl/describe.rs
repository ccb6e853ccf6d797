//! `chronolith describe`: one table's columns and figures.

use std::fmt::Write as _;
use std::sync::Arc;

use chronolith_engine::db::TableStats;
use chronolith_engine::model::TableSchema;
use chronolith_engine::read::ScanRequest;
use clap::Args;
use serde_json::{Value, json};

use super::json::{self, ReportFormat, utc};
use super::place::{self, Place, PlaceArg};
use super::stats::table_json;
use super::{CtlResult, print};

/// Show a table's columns, merge mode, rows and times
#[derive(Debug, Args)]
pub(super) struct DescribeArgs {
    #[command(flatten)]
    place: PlaceArg,
    /// The table
    table: String,
    /// How to show them
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    format: ReportFormat,
}

/// Rows as a reader sees them.
struct Seen {
    row_count: u64,
    times: Option<(i64, i64)>,
}

pub(super) fn run(args: &DescribeArgs) -> CtlResult<()> {
    place::read(&args.place, |db| show(db, args))
}

fn show(db: &Place, args: &DescribeArgs) -> CtlResult<()> {
    let schema = db.table_schema(&args.table)?;
    let stats =
        db.stats()?.tables.into_iter().find(|one| one.name == args.table).unwrap_or_default();
    let seen = seen(db, &schema, &stats)?;
    match args.format {
        ReportFormat::Table => print(&as_text(&schema, &stats, &seen)),
        ReportFormat::Json => print(&json::text(&as_json(&schema, &stats, &seen))),
    }
}

/// Counted from the figures where every kept row is seen, else by reading the times.
fn seen(db: &Place, schema: &Arc<TableSchema>, stats: &TableStats) -> CtlResult<Seen> {
    if !schema.merge.replaces() && stats.tombstone_count == 0 {
        return Ok(Seen { row_count: stats.row_count, times: stats.times });
    }
    let mut seen = Seen { row_count: 0, times: None };
    for batch in db.scan(schema, &ScanRequest::new(&schema.name).columns(&[]))?.batches {
        let batch = batch?;
        seen.row_count += batch.row_count() as u64;
        for &time in batch.time() {
            let (first, last) = seen.times.unwrap_or((time, time));
            seen.times = Some((first.min(time), last.max(time)));
        }
    }
    Ok(seen)
}

fn as_text(schema: &TableSchema, stats: &TableStats, seen: &Seen) -> String {
    let mut text = format!("table {}: merge {}, {}\n\n", schema.name, schema.merge, schema.mode);
    let origin = match schema.time_name.as_str() {
        "" => String::new(),
        name => format!("  (was {name:?} where it came from)"),
    };
    let mut columns = vec![("time".to_owned(), format!("timestamp{origin}"))];
    columns.extend(schema.tags.iter().map(|tag| (tag.name.clone(), "tag".to_owned())));
    let fields = schema.fields.iter();
    columns.extend(fields.map(|field| (field.name.clone(), field.field_type.to_string())));
    let width = columns.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, kind) in columns {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {name:<width$}  {kind}");
    }
    let _ = writeln!(text, "\nrows      {}", seen.row_count);
    if let Some((first, last)) = seen.times {
        let _ = writeln!(text, "first     {}\nlast      {}", utc(first), utc(last));
    }
    let _ = writeln!(
        text,
        "kept      {} rows, {} of them in memory\nsegments  {} of {} bytes",
        stats.row_count, stats.memory_rows, stats.segment_count, stats.segment_bytes
    );
    text
}

fn as_json(schema: &TableSchema, stats: &TableStats, seen: &Seen) -> Value {
    let (first, last) = seen.times.unzip();
    let tags: Vec<&str> = schema.tags.iter().map(|tag| tag.name.as_str()).collect();
    let fields = schema.fields.iter();
    let fields: Vec<Value> = fields
        .map(|field| json!({ "name": field.name, "type": field.field_type.to_string() }))
        .collect();
    json!({
        "table": schema.name,
        "merge": schema.merge.to_string(),
        "mode": schema.mode.to_string(),
        "time_name": schema.time_name,
        "tags": tags,
        "fields": fields,
        "rows": seen.row_count,
        "first": json::time(first),
        "last": json::time(last),
        "kept": table_json(stats),
    })
}
