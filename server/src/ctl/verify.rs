//! `chronolith verify`: reads every byte, names what is damaged, and repairs it where that is asked for.

use std::fmt::Write as _;

use chronolith_engine::Db;
use chronolith_engine::db::{DamagedPart, Loss, RepairAction, RepairStep, VerifyReport};
use chronolith_engine::model::{Sequence, SeriesKey, TimeRange};
use clap::Args;
use serde_json::{Value, json};

use super::json::{self, ReportFormat};
use super::open::{DataArg, held};
use super::place::{self, PlaceArg, Target};
use super::{CtlError, CtlResult, print};
use crate::text::time::push_utc;

const AFTER_HELP: &str = "\
Exit codes:
  0  no damage; with --repair: nothing was damaged, or all of it is repaired and no row is lost
  5  damage was found; with --repair: rows are lost, as the steps say, or something cannot be repaired
  4  with --repair: another process has the database open
  6  an input or output error: look at the disk first; what was done stays, and the same command goes on

A repair moves damaged files to quarantine/ in the database's directory, with a note beside each, and removes none.
Copy the directory before, if there is room: cp -a DIR COPY.";

/// Check every byte; exit code 5 when anything is damaged. With --repair, keep what can be read and set aside the rest
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: PlaceArg,
    /// Repair what is damaged, step by step, each told before it is done. Only with --data, with no other process at
    /// the database
    #[arg(long)]
    repair: bool,
    /// With --repair: tell the steps and do nothing
    #[arg(long, requires = "repair")]
    dry_run: bool,
    /// How to show what is found
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    format: ReportFormat,
}

pub(super) fn run(args: &VerifyArgs) -> CtlResult<()> {
    match args.place.target()? {
        Target::Directory(data) if args.repair => repair(&data, args),
        Target::Directory(data) => verify_here(&data, args),
        Target::Server(_) if args.repair => Err(CtlError::Invalid(
            "--repair needs the database for itself: stop the server, and give its directory with --data DIR"
                .to_owned(),
        )),
        Target::Server(_) => tell(&place::for_reading(&args.place)?.verify()?, args.format),
    }
}

/// Prints what was found; an error where that is damage.
fn tell(report: &VerifyReport, format: ReportFormat) -> CtlResult<()> {
    match format {
        ReportFormat::Table => print(&describe(report))?,
        ReportFormat::Json => print(&json::text(&as_json(report)))?,
    }
    match report.damage.len() {
        0 => Ok(()),
        count => Err(CtlError::Damaged(count)),
    }
}

fn verify_here(data: &DataArg, args: &VerifyArgs) -> CtlResult<()> {
    data.require()?;
    let report = Db::verify_at(&data.options().existing()).map_err(held)?;
    tell(&report, args.format)
}

fn repair(data: &DataArg, args: &VerifyArgs) -> CtlResult<()> {
    data.require()?;
    let acts = !args.dry_run;
    let is_text = args.format == ReportFormat::Table;
    let mut failed = None;
    let mut announce = |step: &RepairStep| {
        if is_text && failed.is_none() {
            failed = print(&step_text(step)).err();
        }
    };
    let report = Db::repair(&data.options().existing(), acts, &mut announce)?;
    failed.map_or(Ok(()), Err)?;
    if is_text && report.steps.is_empty() {
        print("no damage: nothing to repair\n")?;
    }
    if !is_text {
        let steps: Vec<Value> = report.steps.iter().map(step_json).collect();
        print(&json::text(&json!({ "done": acts, "steps": steps })))?;
    }
    if !acts {
        return match report.steps.len() {
            0 => Ok(()),
            _ => Err(CtlError::Corrupt(
                "nothing was changed; without --dry-run these steps are done".into(),
            )),
        };
    }
    let after = Db::verify_at(&data.options().existing())?;
    if is_text {
        print(&describe(&after))?;
    }
    if !after.damage.is_empty() {
        return Err(CtlError::Corrupt(format!(
            "{} damaged part(s) cannot be repaired: restore the named files from a backup",
            after.damage.len()
        )));
    }
    match report.loss_count() {
        0 => Ok(()),
        count => Err(CtlError::Corrupt(format!(
            "repaired, with losses in {count} file(s), named above; what they held is in quarantine/, or in a backup"
        ))),
    }
}

/// A step in words.
fn step_text(step: &RepairStep) -> String {
    let mut text = format!("damaged: {}: {}\n", step.path.display(), step.found);
    // Writing to a String does not fail.
    let _ = match &step.action {
        RepairAction::SetAside { name, kept_rows: Some(kept) } => {
            writeln!(
                text,
                "  repair: keep its {kept} rows that can be read in a new segment, move it to quarantine/{name}"
            )
        }
        RepairAction::SetAside { name, kept_rows: None } => {
            writeln!(text, "  repair: keep what can be read of it, move it to quarantine/{name}")
        }
        RepairAction::LetGo => writeln!(text, "  repair: it is missing, let go of it"),
        RepairAction::Left { why } => writeln!(text, "  not repaired: {why}"),
    };
    if let Some(loss) = &step.loss {
        let _ = writeln!(text, "  lost: {}", loss_text(loss));
    }
    text
}

fn loss_text(loss: &Loss) -> String {
    let mut text = match loss.row_count {
        Some(count) => format!("{count} rows"),
        None => "what these commits wrote, deleted or changed".to_owned(),
    };
    let of = loss
        .table
        .as_ref()
        .map_or_else(|| " of any table".to_owned(), |table| format!(" of table {table}"));
    text.push_str(&of);
    if loss.range != TimeRange::ALL {
        let _ = write!(text, ", times from {}", range_text(loss.range));
    }
    let (first, last) = loss.commits;
    let _ = match last == Sequence::MAX {
        true => write!(text, ", commits from {first} on"),
        false => write!(text, ", commits {first} to {last}"),
    };
    if loss.shows_replaced {
        text.push_str("; rows that these had replaced or deleted show again");
    }
    text
}

fn range_text(range: TimeRange) -> String {
    let mut times = Vec::new();
    push_utc(&mut times, range.from);
    times.extend_from_slice(b" to ");
    push_utc(&mut times, range.to);
    String::from_utf8_lossy(&times).into_owned()
}

fn range_json(range: Option<TimeRange>) -> Value {
    let bounded = range.filter(|range| *range != TimeRange::ALL);
    bounded.map_or(
        Value::Null,
        |range| json!({ "from": json::utc(range.from), "to": json::utc(range.to) }),
    )
}

fn step_json(step: &RepairStep) -> Value {
    let (action, name, kept_rows, why) = match &step.action {
        RepairAction::SetAside { name, kept_rows } => ("set aside", Some(name), *kept_rows, None),
        RepairAction::LetGo => ("let go", None, None, None),
        RepairAction::Left { why } => ("left", None, None, Some(why)),
    };
    let loss = step.loss.as_ref().map(|loss| {
        let last = Some(loss.commits.1).filter(|last| *last != Sequence::MAX);
        json!({
            "table": loss.table,
            "times": range_json(Some(loss.range)),
            "rows": loss.row_count,
            "first_commit": loss.commits.0.to_string(),
            "last_commit": last.map(|last| last.to_string()),
            "shows_replaced": loss.shows_replaced,
        })
    });
    json!({
        "file": step.path.display().to_string(),
        "found": step.found,
        "action": action,
        "quarantine": name,
        "kept_rows": kept_rows,
        "why": why,
        "lost": loss,
    })
}

fn part_json(part: &DamagedPart) -> Value {
    let series = part.series.as_ref().map(|(first, last)| json!([tags(first), tags(last)]));
    json!({
        "file": part.path.display().to_string(),
        "table": part.table,
        "column": part.column,
        "times": range_json(part.range),
        "offset": part.offset,
        "row_group": part.row_group,
        "page": part.page,
        "series": series,
        "detail": part.detail,
    })
}

fn as_json(report: &VerifyReport) -> Value {
    let damage: Vec<Value> = report.damage.iter().map(part_json).collect();
    json!({ "files": report.file_count, "bytes": report.byte_count, "damage": damage })
}

fn describe(report: &VerifyReport) -> String {
    let mut text = String::new();
    for part in &report.damage {
        // Writing to a String does not fail.
        let _ = write!(text, "damaged: {}", part.path.display());
        if let Some(table) = &part.table {
            let _ = write!(text, ", table {table}");
        }
        if let Some(column) = &part.column {
            let _ = write!(text, ", column {column}");
        }
        if let Some(group) = part.row_group {
            let _ = write!(text, ", row group {group}");
        }
        if let Some((first, last)) = &part.series {
            let _ = write!(text, ", series {} to {}", tags(first), tags(last));
        }
        match part.range {
            None => {}
            Some(TimeRange::ALL) => text.push_str(", all times"),
            Some(range) => {
                let _ = write!(text, ", times from {}", range_text(range));
            }
        }
        let _ = writeln!(text, ": {}", part.detail);
    }
    let found = match report.damage.len() {
        0 => "no damage".to_owned(),
        count => format!("{count} damaged"),
    };
    let _ = writeln!(
        text,
        "verified {} files, {} bytes: {found}",
        report.file_count, report.byte_count
    );
    text
}

/// The tag values of a series.
fn tags(key: &SeriesKey) -> String {
    let values: Vec<String> = key
        .as_bytes()
        .split(|byte| *byte == 0)
        .map(|one| String::from_utf8_lossy(one).into())
        .collect();
    format!("{:?}", values.join(",").trim_end_matches(','))
}
