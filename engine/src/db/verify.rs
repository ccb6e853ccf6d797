//! Checking every byte: manifest, commit times, log, segments.

use std::sync::Arc;

use super::maintain::Maintenance;
use super::options::Options;
use super::outcome::{DamagedPart, VerifyReport};
use crate::catalog::Catalog;
use crate::commit::log_folder;
use crate::error::{Error, Result};
use crate::format::names;
use crate::manifest::{CommitTimes, Manifest, Version};
use crate::model::{ColumnId, Sequence, TimeRange};
use crate::segment::{self, BlockId};
use crate::vfs::OpenMode;
use crate::wal::{self, LogHole, Record};

pub(super) fn verify(maintenance: &Arc<Maintenance>) -> Result<VerifyReport> {
    let mut report = VerifyReport::default();
    {
        // The log must not be cut short while it is read, nor old edits be collected.
        let _flushing = maintenance.flushing.lock();
        {
            let _installing = maintenance.installing.lock();
            verify_manifest(maintenance, &mut report)?;
        }
        verify_log(maintenance, &mut report)?;
    }
    // The files of these segments stay as long as the view is held.
    let (version, view) = maintenance.present();
    verify_segments(maintenance, &version, &view.catalog, &mut report);
    Ok(report)
}

/// What can be told of a database that `failure` keeps from being opened.
///
/// # Errors
/// `failure`, where it is none of damage.
pub(super) fn unopened(options: &Options, failure: Error) -> Result<VerifyReport> {
    if !matches!(failure, Error::Corrupt(_)) {
        return Err(failure);
    }
    let vfs = &options.environment.vfs;
    let mut report = VerifyReport::default();
    let found = &mut report.damage;
    report.file_count = Manifest::verify(vfs, &options.dir, &mut |error| found.push(part(&error)))?;
    let first = part(&failure);
    if found.iter().all(|known| known.path != first.path) {
        found.push(first);
    }
    for one in found {
        one.range = Some(TimeRange::ALL);
        one.detail.push_str(
            "; nothing of the database can be read without it, and the rest was not looked at",
        );
    }
    Ok(report)
}

/// What is wrong with bytes of the log, and which commits were in them.
pub(super) fn hole_text(hole: &LogHole) -> String {
    let mut text = match hole.bytes.is_empty() {
        true => hole.detail.clone(),
        false => format!("bytes {} to {}: {}", hole.bytes.start, hole.bytes.end, hole.detail),
    };
    match hole.lost(Sequence::ZERO) {
        None => text.push_str("; no commit was in them"),
        Some((first, Sequence::MAX)) => {
            text.push_str(&format!("; commits from {first} on were in them, of any table"));
        }
        Some((first, last)) => {
            text.push_str(&format!("; commits {first} to {last} were in them, of any table"));
        }
    }
    text
}

fn part(error: &Error) -> DamagedPart {
    let path = match error {
        Error::Corrupt(found) => found.path.clone(),
        Error::Io { path, .. }
        | Error::UnsupportedVersion { path, .. }
        | Error::UnsupportedFeature { path, .. } => path.clone(),
        _ => std::path::PathBuf::new(),
    };
    let offset = match error {
        Error::Corrupt(found) => Some(found.offset),
        _ => None,
    };
    DamagedPart { offset, ..DamagedPart::of_file(path, error.to_string()) }
}

fn count_file(maintenance: &Maintenance, path: &std::path::Path, report: &mut VerifyReport) {
    report.file_count += 1;
    if let Ok(file) = maintenance.target.vfs.open(path, OpenMode::Read) {
        report.byte_count += file.len_bytes().unwrap_or(0);
    }
}

fn verify_manifest(maintenance: &Maintenance, report: &mut VerifyReport) -> Result<()> {
    let vfs = &maintenance.target.vfs;
    let mut damage = Vec::new();
    Manifest::verify(vfs, &maintenance.dir, &mut |error| damage.push(part(&error)))?;
    report.damage.extend(damage);
    let version = maintenance.manifest.version();
    if let Some(times) = &version.commit_times {
        let loaded = CommitTimes::load(vfs.as_ref(), &maintenance.dir, version.database_id, times);
        let found = loaded.err().map(|error| part(&error));
        report.damage.extend(found.filter(|found| !report.damage.contains(found)));
    }
    let folder = maintenance.dir.join(names::MANIFEST_FOLDER);
    for name in vfs.list(&folder)? {
        count_file(maintenance, &folder.join(name), report);
    }
    Ok(())
}

fn verify_log(maintenance: &Maintenance, report: &mut VerifyReport) -> Result<()> {
    let version = maintenance.manifest.version();
    let vfs = maintenance.target.vfs.as_ref();
    let folder = log_folder(&maintenance.dir);
    if version.log_head.is_none() {
        return Ok(());
    }
    // Before the log is read: all of this must be found.
    let durable = maintenance.state.snapshot().durable_sequence();
    let mut undecodable = Vec::new();
    let recovered = wal::recover(
        vfs,
        &folder,
        version.database_id,
        version.log_floor,
        version.log_head,
        true,
        &mut |raw| {
            if let Err(error) = Record::decode(raw.bytes) {
                let detail = format!("record {} at byte {}: {error}", raw.sequence, raw.offset);
                let error = Error::corrupt(&folder, raw.offset, "log record", detail);
                undecodable.push(part(&error));
            }
            Ok(())
        },
    )?;
    report.damage.extend(undecodable);
    report.damage.extend(log_damage(maintenance, &version, recovered.damage.as_ref())?);
    let found = recovered.last.unwrap_or_default();
    if recovered.damage.is_none() && durable > version.catalog_sequence && durable > found {
        // Without a witness a damaged last group looks like a torn tail; this process knows better.
        let (path, offset) =
            recovered.torn.map_or((folder.clone(), 0), |torn| (torn.path, torn.offset));
        let detail = format!("it ends with record {found}, though {durable} was durable");
        report.damage.push(part(&Error::corrupt(path, offset, "log", detail)));
    }
    for (_, _, path) in wal::list(vfs, &folder)? {
        count_file(maintenance, &path, report);
    }
    Ok(())
}

/// Each damaged part of the log, where reading it stopped at `first`.
fn log_damage(
    maintenance: &Maintenance,
    version: &Version,
    first: Option<&Error>,
) -> Result<Vec<DamagedPart>> {
    let Some(first) = first else { return Ok(Vec::new()) };
    let vfs = maintenance.target.vfs.as_ref();
    let (floor, head) = (version.log_floor, version.log_head);
    let folder = log_folder(&maintenance.dir);
    let read = wal::salvage(vfs, &folder, version.database_id, floor, head, &mut |_, _| Ok(()));
    let holes = match read {
        Err(Error::Corrupt(_)) => Vec::new(),
        read => read?.holes,
    };
    let mut parts: Vec<DamagedPart> = holes
        .iter()
        .map(|hole| DamagedPart {
            offset: Some(hole.bytes.start),
            range: Some(TimeRange::ALL),
            ..DamagedPart::of_file(hole.path.clone(), hole_text(hole))
        })
        .collect();
    let told = part(first);
    if parts.iter().all(|known| known.path != told.path) {
        parts.push(told);
    }
    Ok(parts)
}

fn verify_segments(
    maintenance: &Maintenance,
    version: &Version,
    catalog: &Catalog,
    report: &mut VerifyReport,
) {
    let target = &maintenance.target;
    for info in version.all_segments() {
        report.file_count += 1;
        report.byte_count += info.len_bytes;
        let schema = catalog.by_id(info.table);
        let name_of = |id: ColumnId| schema.and_then(|schema| schema.field_by_id(id));
        segment::verify(
            target.vfs.as_ref(),
            &target.folder,
            target.database_id,
            info,
            &mut |damage| {
                let column = damage.block.map(|block| match block {
                    BlockId::Field(id) => {
                        name_of(id).map_or_else(|| block.to_string(), |field| field.name.clone())
                    }
                    other => other.to_string(),
                });
                // Damage that no rows can be named for may concern all of the segment.
                let (first, last) = damage.times.unwrap_or((info.min_time, info.max_time));
                report.damage.push(DamagedPart {
                    path: damage.path,
                    table: schema.map(|schema| schema.name.clone()),
                    column,
                    range: Some(TimeRange::inclusive(first, last)),
                    offset: Some(damage.offset),
                    row_group: damage.group,
                    page: damage.page,
                    series: damage.series,
                    detail: format!(
                        "{} at byte {}: {}{}",
                        damage.what,
                        damage.offset,
                        damage.detail,
                        extent_text(damage.is_whole, info.row_count)
                    ),
                });
            },
        );
    }
}

/// How much of a segment damage concerns, where that is all of it.
fn extent_text(is_whole: bool, row_count: u64) -> String {
    if is_whole { format!("; it has {row_count} rows") } else { String::new() }
}
