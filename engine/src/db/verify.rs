//! Checking every byte: manifest, commit times, log, segments.

use std::sync::Arc;

use super::maintain::Maintenance;
use super::outcome::{DamagedPart, VerifyReport};
use crate::catalog::Catalog;
use crate::commit::log_folder;
use crate::error::{Error, Result};
use crate::format::names;
use crate::manifest::{CommitTimes, Manifest, Version};
use crate::model::{ColumnId, TimeRange};
use crate::segment::{self, BlockId};
use crate::vfs::OpenMode;
use crate::wal::{self, Record};

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
        report.damage.extend(loaded.err().map(|error| part(&error)));
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
    report.damage.extend(recovered.damage.as_ref().map(part));
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
                    detail: format!("{} at byte {}: {}", damage.what, damage.offset, damage.detail),
                });
            },
        );
    }
}
