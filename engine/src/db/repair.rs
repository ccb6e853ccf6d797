//! `verify --repair`: gets a damaged database to work again with everything that can still be read, and sets aside what cannot.
//!
//! - Each step is told before it is done. Nothing is removed: damaged files are moved to `quarantine/`, with a note beside each.
//! - What is kept is written and durable before an edit of the manifest takes it in and lets go of the damaged file, and the file moves
//!   after that edit. So a repair that is cut short at any point has lost nothing, and the next one, or the next opening, goes on.
//! - Rows keep their sequences, and none is given twice: lost commits stay lost numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronolith_codec::Effort;

use super::maintain::Maintenance;
use super::open::PassedOver;
use super::outcome::{Loss, RepairAction, RepairReport, RepairStep};
use super::quarantine;
use crate::error::{Error, Result};
use crate::flush::group_bytes;
use crate::format::names;
use crate::manifest::{Change, Manifest, Quarantined};
use crate::model::{FileId, Sequence, TimeRange};
use crate::segment::{self, LostRows, SegmentInfo, SegmentReader, SegmentSpec, SegmentWriter};
use crate::vfs::Vfs;

/// Bytes of a reason that the manifest keeps.
const REASON_BYTES_MAX: usize = 1 << 10;

/// Repairs the database that `maintenance` has, opened for it; or, where not `acts`, tells what a repair would do.
pub(super) fn repair(
    maintenance: &Maintenance,
    passed_over: &PassedOver,
    acts: bool,
    announce: &mut dyn FnMut(&RepairStep),
) -> Result<RepairReport> {
    let vfs = maintenance.target.vfs.as_ref();
    let dir = maintenance.dir.as_path();
    let report = RepairReport::default();
    let mut repair = Repair { maintenance, vfs, dir, acts, announce, report };
    repair.manifest()?;
    repair.times_and_log(passed_over)?;
    repair.segments()?;
    repair.unknown_segments()?;
    Ok(repair.report)
}

struct Repair<'a> {
    maintenance: &'a Maintenance,
    vfs: &'a dyn Vfs,
    dir: &'a Path,
    acts: bool,
    announce: &'a mut dyn FnMut(&RepairStep),
    report: RepairReport,
}

/// What a segment still gives.
struct Remains {
    reader: Option<Arc<SegmentReader>>,
    lost: LostRows,
}

impl Repair<'_> {
    fn tell(&mut self, step: RepairStep) {
        (self.announce)(&step);
        self.report.steps.push(step);
    }

    fn leave(&mut self, path: PathBuf, found: String, why: String) {
        self.tell(RepairStep { path, found, action: RepairAction::Left { why }, loss: None });
    }

    /// What is done with the file at `path`: it goes aside, where it is there.
    fn aside(&self, path: &Path, kept_rows: Option<u64>) -> Result<RepairAction> {
        Ok(match self.vfs.exists(path)? {
            true => {
                let name = quarantine::free_name(self.vfs, self.dir, path)?;
                RepairAction::SetAside { name, kept_rows }
            }
            false => RepairAction::LetGo,
        })
    }

    /// Moves a file that nothing refers to, with a note beside it.
    fn move_now(&self, step: &RepairStep) -> Result<()> {
        let RepairAction::SetAside { name, .. } = &step.action else { return Ok(()) };
        quarantine::note(self.vfs, self.dir, name, &self.note(step))?;
        quarantine::set_aside(self.vfs, self.dir, &step.path, name)
    }

    /// Edits and checkpoints that the present state does not rest on go aside; a new checkpoint stands for them.
    fn manifest(&mut self) -> Result<()> {
        let manifest = &self.maintenance.manifest;
        let mut found = Vec::new();
        Manifest::verify(&self.maintenance.target.vfs, self.dir, &mut |error| found.push(error))?;
        let times = manifest.version().commit_times.as_ref().map(|times| times.file_id);
        let times = times.map(|id| self.times_path(id));
        let mut seen = BTreeSet::new();
        let mut is_mended = false;
        for error in found {
            let damage = match error {
                Error::Corrupt(damage) => damage,
                other => {
                    let why = "it cannot be read".to_owned();
                    self.leave(self.dir.join(names::MANIFEST_FOLDER), other.to_string(), why);
                    continue;
                }
            };
            let (path, found) = (damage.path.clone(), damage.to_string());
            if Some(&path) == times.as_ref() || !seen.insert(path.clone()) {
                continue;
            }
            if manifest.rests_on(&path) {
                let why = "the present state rests on it: restore it from a backup".to_owned();
                self.leave(path, found, why);
                continue;
            }
            let action = self.aside(&path, None)?;
            self.tell(RepairStep { path, found, action, loss: None });
            is_mended = true;
            if let (true, Some(step)) = (self.acts, self.report.steps.last()) {
                self.move_now(step)?;
            }
        }
        if is_mended && self.acts {
            manifest.checkpoint()?;
        }
        Ok(())
    }

    fn times_path(&self, id: FileId) -> PathBuf {
        self.dir.join(names::MANIFEST_FOLDER).join(format!("{id}.times"))
    }

    /// What the log still gives is in memory by now: it becomes segments, and the whole log is let go of.
    fn times_and_log(&mut self, passed_over: &PassedOver) -> Result<()> {
        if let Some(error) = &passed_over.times {
            self.times(error)?;
        }
        let mut changes = Vec::new();
        for (path, (found, loss)) in self.log_damage(passed_over) {
            let action = self.aside(&path, None)?;
            let step = RepairStep { path, found, action, loss };
            self.tell(step.clone());
            if self.acts {
                changes.push(self.set_aside_by(&step, None)?);
            }
        }
        if self.acts && (passed_over.times.is_some() || !changes.is_empty()) {
            self.maintenance.settle(changes)?;
            quarantine::finish(self.vfs, self.dir, &self.maintenance.manifest.version())?;
        }
        Ok(())
    }

    fn times(&mut self, error: &Error) -> Result<()> {
        let Error::Corrupt(damage) = error else { return Ok(()) };
        let path = damage.path.clone();
        let found = format!("{damage}; reads as of earlier moments are refused from now on");
        let action = self.aside(&path, None)?;
        self.tell(RepairStep { path, found, action, loss: None });
        match self.report.steps.last() {
            Some(step) if self.acts => self.move_now(step),
            _ => Ok(()),
        }
    }

    /// For each damaged log file what is wrong with it, and what is lost.
    fn log_damage(&self, passed_over: &PassedOver) -> BTreeMap<PathBuf, (String, Option<Loss>)> {
        let known = self.maintenance.manifest.version().catalog_sequence;
        let mut files: BTreeMap<PathBuf, (String, Option<Loss>)> = BTreeMap::new();
        let mut add = |path: &Path, text: &str, lost: Option<(Sequence, Sequence)>| {
            let (found, loss) = files.entry(path.to_path_buf()).or_default();
            if !found.is_empty() {
                found.push_str("; ");
            }
            found.push_str(text);
            if let Some((first, last)) = lost {
                let loss = loss.get_or_insert(Loss {
                    table: None,
                    range: TimeRange::ALL,
                    row_count: None,
                    commits: (first, last),
                    shows_replaced: true,
                });
                loss.commits = (loss.commits.0.min(first), loss.commits.1.max(last));
            }
        };
        for hole in &passed_over.holes {
            add(&hole.path, &super::verify::hole_text(hole), hole.lost(known));
        }
        for record in &passed_over.records {
            let is_needed = record.sequence > known;
            let lost = is_needed.then_some((record.sequence, record.sequence));
            add(&record.path, &record.detail, lost);
        }
        files
    }

    /// The manifest's record of a step, whose file is let go of by the same edit. Writes the note first.
    fn set_aside_by(&self, step: &RepairStep, info: Option<&SegmentInfo>) -> Result<Change> {
        let folder = Path::new(names::QUARANTINE_FOLDER);
        let path = match &step.action {
            RepairAction::SetAside { name, .. } => {
                quarantine::note(self.vfs, self.dir, name, &self.note(step))?;
                folder.join(name)
            }
            _ => step.path.strip_prefix(self.dir).unwrap_or(&step.path).to_path_buf(),
        };
        let mut reason = step.found.clone();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        let (range, (min_sequence, max_sequence)) = match &step.loss {
            Some(loss) => (loss.range, loss.commits),
            None => (TimeRange::new(0, 0), (Sequence::ZERO, Sequence::ZERO)),
        };
        Ok(Change::Quarantined(Arc::new(Quarantined {
            path: path.to_string_lossy().into_owned(),
            reason,
            table: info.map(|info| info.table),
            range,
            min_sequence,
            max_sequence,
            at_ns: self.maintenance.clock.wall_ns(),
        })))
    }

    fn segments(&mut self) -> Result<()> {
        let target = &self.maintenance.target;
        for info in self.maintenance.manifest.version().all_segments() {
            let mut damage = Vec::new();
            let (id, folder) = (target.database_id, target.folder.as_path());
            segment::verify(self.vfs, folder, id, info, &mut |found| damage.push(found));
            // The most precise of what was found: that the hash of the whole file is another says little.
            let precise = damage.iter().find(|one| one.block.is_some());
            let precise = precise.or_else(|| damage.iter().find(|one| one.offset > 0));
            let Some(first) = precise.or(damage.first()) else { continue };
            let more = match damage.len() {
                1 => String::new(),
                count => format!(", and {} more", count - 1),
            };
            let found = format!(
                "{} at byte {} is damaged: {}{more}",
                first.what, first.offset, first.detail
            );
            match self.remains(info) {
                Ok(remains) => self.segment(info, found, remains)?,
                Err(error) => self.leave(first.path.clone(), found, error.to_string()),
            }
        }
        Ok(())
    }

    /// What can be read of a damaged segment.
    fn remains(&self, info: &SegmentInfo) -> Result<Remains> {
        let target = &self.maintenance.target;
        let opened =
            SegmentReader::open_damaged(self.vfs, &target.folder, target.database_id, info);
        let reader = match opened {
            Ok(reader) => reader,
            Err(Error::Corrupt(_)) => {
                let times = Some((info.min_time, info.max_time));
                let lost = LostRows { row_count: info.row_count, times, series: None };
                return Ok(Remains { reader: None, lost });
            }
            Err(error) => return Err(error),
        };
        let lost = reader.salvage(&mut |_, _| Ok(()))?;
        Ok(Remains { reader: Some(reader), lost })
    }

    fn segment(&mut self, info: &Arc<SegmentInfo>, found: String, remains: Remains) -> Result<()> {
        let Remains { reader, lost } = remains;
        let path = self.maintenance.target.folder.join(names::segment_file(info.file_id));
        let kept = info.row_count.saturating_sub(lost.row_count);
        let version = self.maintenance.manifest.version();
        let schema = version.catalog.by_id(info.table);
        let loss = lost.times.map(|(first, last)| Loss {
            table: schema.map(|schema| schema.name.clone()),
            range: TimeRange::inclusive(first, last),
            row_count: Some(lost.row_count),
            commits: (info.min_sequence, info.max_sequence),
            shows_replaced: schema.is_some_and(|schema| schema.merge.replaces()),
        });
        let action = self.aside(&path, Some(kept))?;
        let step = RepairStep { path, found, action, loss };
        self.tell(step.clone());
        if !self.acts {
            return Ok(());
        }
        let added = match reader.filter(|_| kept > 0).map(|reader| self.rewrite(&reader)) {
            Some(Err(error @ Error::Internal(_))) => {
                let why = format!("the rows that can be read make no sound segment: {error}");
                self.leave(step.path, step.found, why);
                return Ok(());
            }
            rewritten => rewritten.transpose()?.map(Arc::new),
        };
        let mut changes: Vec<Change> = added.iter().cloned().map(Change::SegmentAdded).collect();
        changes.push(Change::SegmentRemoved(info.file_id));
        changes.push(self.set_aside_by(&step, Some(info))?);
        let added: Vec<_> = added.into_iter().collect();
        self.maintenance.commit_or_remove(&changes, &added)?;
        quarantine::finish(self.vfs, self.dir, &self.maintenance.manifest.version())
    }

    /// Writes the rows that can be read into a new segment, and checks it.
    fn rewrite(&self, reader: &SegmentReader) -> Result<SegmentInfo> {
        let target = &self.maintenance.target;
        let info = reader.info();
        let spec = SegmentSpec {
            file_id: FileId(target.rng.next_u128()),
            database_id: target.database_id,
            table: info.table,
            window: info.window,
            tag_count: reader.tag_count,
            columns: reader.columns().to_vec(),
            effort: if info.effort == 0 { Effort::Fast } else { Effort::Dense },
            tombstones_through: info.tombstones_through,
            group_bytes_max: group_bytes(target.memory.merges.limit_bytes()),
        };
        let mut writer = SegmentWriter::create(self.vfs, &target.folder, spec)?;
        // Where the metadata is damaged, the rows are kept without it.
        for (sequence, metadata) in reader.commits().unwrap_or_default() {
            writer.metadata(sequence, metadata);
        }
        reader.salvage(&mut |key, rows| writer.push(key, rows))?;
        let written = writer.finish()?;
        let mut damage = None;
        segment::verify(self.vfs, &target.folder, target.database_id, &written, &mut |found| {
            damage.get_or_insert(found);
        });
        match damage {
            None => Ok(written),
            Some(damage) => {
                target.remove(&[written]);
                Err(Error::Internal(damage.detail))
            }
        }
    }

    /// Segments that the manifest does not name go aside: an ordinary opening would remove them, and they may be the only copy of rows
    /// where the manifest lost its end.
    fn unknown_segments(&mut self) -> Result<()> {
        let version = self.maintenance.manifest.version();
        let folder = self.maintenance.target.folder.as_path();
        let names = match self.vfs.list(folder) {
            Err(error) if error.is_not_found() => return Ok(()),
            listed => listed?,
        };
        let is_listed =
            |name: &str| version.quarantined.iter().any(|one| Path::new(&one.path).ends_with(name));
        for name in names {
            let Some(id) = names::parse_segment_file(&name) else { continue };
            if version.all_segments().any(|segment| segment.file_id == id) || is_listed(&name) {
                continue;
            }
            let path = folder.join(&name);
            let found = "the manifest does not name it: writing it was cut short, it was merged, or the manifest lost an edit";
            let action = self.aside(&path, None)?;
            let step = RepairStep { path, found: found.to_owned(), action, loss: None };
            self.tell(step.clone());
            if self.acts {
                self.move_now(&step)?;
            }
        }
        Ok(())
    }

    /// What stands beside a file in `quarantine/`.
    fn note(&self, step: &RepairStep) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{name}: {value}");
        };
        line("file", step.path.display().to_string());
        line("damage", step.found.clone());
        line("set aside at, nanoseconds since 1970", self.maintenance.clock.wall_ns().to_string());
        if let RepairAction::SetAside { kept_rows: Some(kept), .. } = &step.action {
            line("rows kept in another segment", kept.to_string());
        }
        let Some(loss) = &step.loss else {
            line("lost", "nothing".to_owned());
            return text;
        };
        line("table", loss.table.clone().unwrap_or_else(|| "any".to_owned()));
        let unknown = || "unknown".to_owned();
        line("rows lost", loss.row_count.map_or_else(unknown, |count| count.to_string()));
        let (from, to) = (loss.range.from, loss.range.to);
        line("times, nanoseconds since 1970, end exclusive", format!("{from} to {to}"));
        let (first, last) = loss.commits;
        let last = if last == Sequence::MAX { unknown() } else { last.to_string() };
        line("commits", format!("{first} to {last}"));
        text
    }
}
