//! `chronolith verify`: reads every byte and checks every checksum.

use std::fmt::Write as _;

use chronolith_engine::db::{DamagedPart, VerifyReport};
use chronolith_engine::model::SeriesKey;
use clap::Args;

use super::place::{self, Place, PlaceArg, Target};
use super::{CtlError, CtlResult, print};
use crate::text::time::push_utc;

/// Check every checksum; exit code 5 when anything is damaged
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: PlaceArg,
}

pub(super) fn run(args: &VerifyArgs) -> CtlResult<()> {
    let db = place::for_reading(&args.place)?;
    let mut report = db.verify()?;
    if let Place::Here(db) = &db {
        add_log_damage(&mut report, db, args);
    }
    print(&describe(&report))?;
    match report.damage.len() {
        0 => Ok(()),
        count => Err(CtlError::Damaged(count)),
    }
}

/// Opening has read the log; what it found counts, unless verification says the same.
fn add_log_damage(report: &mut VerifyReport, db: &chronolith_engine::Db, args: &VerifyArgs) {
    let Some(detail) = db.recovery().damage.clone() else { return };
    if report.damage.is_empty() {
        let path = match args.place.target() {
            Ok(Target::Directory(data)) => data.data,
            _ => std::path::PathBuf::new(),
        };
        report.damage.push(DamagedPart::of_file(path, detail));
    }
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
        if let Some(range) = part.range {
            let mut times = Vec::new();
            push_utc(&mut times, range.from);
            times.extend_from_slice(b" to ");
            push_utc(&mut times, range.to);
            let _ = write!(text, ", times from {}", String::from_utf8_lossy(&times));
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
