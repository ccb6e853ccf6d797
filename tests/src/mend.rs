//! Repair of a damaged database: what is intact is kept, what is lost is named, no file is removed, and a repair may be cut short.
//!
//! Rows are compared with those of the golden database one by one. One that is missing must lie in the table, the times and the commits
//! that a step of the repair calls lost; one that shows instead must have been shown by an earlier commit.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronolith_engine::Db;
use chronolith_engine::clock::ManualClock;
use chronolith_engine::db::{Loss, RepairAction, RepairReport, RepairStep};
use chronolith_engine::error::{Error, ErrorKind};
use chronolith_engine::model::{Batch, MergeMode, RowBuilder, Sequence, TableOptions, Value};
use chronolith_engine::read::ScanRequest;
use chronolith_engine::snapshot::Snapshot;
use chronolith_engine::vfs::sim::{CrashChoice, SimVfs};
use parking_lot::Mutex;

use crate::check::Outcome;
use crate::golden::{Golden, is_log, is_segment, is_users, options};
use crate::ops::HOUR_NS;
use crate::world::START_NS;
use crate::wreck::{Damage, may_shorten, place, strike};

/// What became of repairs.
#[derive(Debug, Default, Clone, Copy)]
pub struct Mends {
    /// There was nothing to repair.
    pub sound: u64,
    /// Everything was kept.
    pub whole: u64,
    /// Rows or commits were lost, and named.
    pub lossy: u64,
    /// Rows that were lost, over all repairs.
    pub lost_rows: u64,
    /// It was refused: the manifest cannot be read.
    pub refused: u64,
    /// Power cuts during repairs, each repaired again.
    pub cuts: u64,
}

impl Mends {
    /// How much was tried.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.sound + self.whole + self.lossy + self.refused
    }
}

/// Series, time, commit, and a hash of the values.
type Row = (Vec<u8>, i64, (u32, u64), u64);
type Tables = BTreeMap<String, BTreeSet<Row>>;

/// The rows of a golden database: now, and after any of its commits.
pub struct Rows {
    now: Tables,
    ever: Tables,
}

fn rows(snapshot: &Snapshot) -> Result<Tables, Error> {
    let mut tables = Tables::new();
    for name in snapshot.catalog().names().filter(|name| is_users(name)) {
        let rows = tables.entry(name.to_owned()).or_default();
        let mut request = ScanRequest::new(name);
        request.with_sequence = true;
        for batch in snapshot.scan(&request)? {
            let batch = batch?;
            for run in &batch.series {
                for row in run.rows.clone() {
                    let mut hasher = DefaultHasher::new();
                    for (at, field) in batch.fields.iter().enumerate() {
                        let value = batch.value(at, row);
                        // A column that came later is NULL before.
                        if value != Value::Null {
                            (&field.name, format!("{value:?}")).hash(&mut hasher);
                        }
                    }
                    let commit = batch.sequence()[row];
                    let commit = (commit.incarnation, commit.counter);
                    let key = run.key.as_bytes().to_vec();
                    rows.insert((key, batch.time()[row], commit, hasher.finish()));
                }
            }
        }
    }
    Ok(tables)
}

impl Rows {
    /// Those of `golden`.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    pub fn new(golden: &Golden) -> Self {
        let db = golden.open(&golden.disk.clone_running(), false).expect("it opens");
        let now = rows(&db.snapshot()).expect("it reads");
        let mut ever = now.clone();
        for counter in 1..=golden.last.counter {
            for incarnation in 0..=golden.last.incarnation {
                let Ok(then) = db.snapshot_at(Sequence { incarnation, counter }) else { continue };
                let Ok(tables) = rows(&then) else { continue };
                for (name, rows) in tables {
                    ever.entry(name).or_default().extend(rows);
                }
            }
        }
        Self { now, ever }
    }
}

/// Damages `path`, repairs, and judges what is left; `cuts`: with power cuts at every call of the repair, repaired again, so many images
/// a call.
///
/// # Errors
/// What is not as it should be.
pub fn judge(
    golden: &Golden,
    known: &Rows,
    (path, damage): (&Path, &Damage),
    cuts: u64,
    mends: &mut Mends,
) -> Outcome {
    let disk = golden.disk.clone_running();
    strike(&disk, path, damage)?;
    let case = Case {
        golden,
        known,
        path,
        shortens: may_shorten(golden, path, damage),
        before: files(&disk),
    };
    case.judge(&disk, cuts, mends).map_err(|text| format!("{}: {text}", place(path, damage)))
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// All files but those that mean nothing.
fn files(disk: &SimVfs) -> Files {
    let counts = |path: &PathBuf| !path.ends_with("LOCK") && !path.ends_with("RESERVE");
    let paths = disk.paths().into_iter().filter(counts);
    paths.filter_map(|path| Some((path.clone(), disk.read_raw(&path).ok()?))).collect()
}

struct Case<'a> {
    golden: &'a Golden,
    known: &'a Rows,
    path: &'a Path,
    shortens: bool,
    before: Files,
}

fn repair(disk: &SimVfs, acts: bool, salt: u64) -> Result<RepairReport, Error> {
    let options = options(disk, &Arc::new(ManualClock::at(START_NS + HOUR_NS)), salt);
    let mut told = Vec::new();
    let report = Db::repair(&options, acts, &mut |step: &RepairStep| told.push(step.clone()))?;
    assert_eq!(told, report.steps, "each step is told");
    Ok(report)
}

impl Case<'_> {
    fn judge(&self, disk: &SimVfs, cuts: u64, mends: &mut Mends) -> Outcome {
        let clock = Arc::new(ManualClock::at(START_NS + HOUR_NS));
        let found =
            Db::verify_at(&options(disk, &clock, 3)).map_err(|error| format!("verify: {error}"))?;
        let plan = repair(disk, false, 4);
        if files(disk) != self.before {
            return Err("a dry run changes files".into());
        }
        let images = Arc::new(Mutex::new(BTreeMap::new()));
        if cuts > 0 {
            let kept = Arc::clone(&images);
            disk.set_observer(Some(Arc::new(move |disk: &SimVfs, call| {
                let random = (0..cuts).map(|at| CrashChoice::Random(call.index * 31 + at));
                for choice in
                    [CrashChoice::Nothing, CrashChoice::Everything].into_iter().chain(random)
                {
                    let image = disk.clone_image(choice);
                    kept.lock().entry(image.content_hash()).or_insert(image);
                }
            })));
        }
        let done = repair(disk, true, 5);
        disk.set_observer(None);
        let report = match (plan, done) {
            (Ok(plan), Ok(report)) if plan == report => report,
            (Ok(plan), Ok(report)) => return Err(format!("planned {plan:?}, done {report:?}")),
            (Err(_), Err(error)) => return self.refused(disk, &error, &found.damage, mends),
            (plan, done) => return Err(format!("planned {plan:?}, done {done:?}")),
        };
        if report.steps.is_empty() {
            mends.sound += 1;
            return match found.damage.first() {
                None => Ok(()),
                Some(part) => Err(format!("nothing is done about {part:?}")),
            };
        }
        if found.damage.is_empty() {
            return Err(format!("verification sees nothing, and {:?} is done", report.steps));
        }
        if let Some(part) =
            found.damage.iter().find(|part| part.range.is_none() && is_segment(&part.path))
        {
            return Err(format!("no times are named: {part:?}"));
        }
        // A file of the manifest that is missing shows in what it stood for.
        let names =
            |step: &RepairStep| step.path == self.path || step.path.parent() == self.path.parent();
        if !report.steps.iter().any(names) {
            return Err(format!("no step names the file: {:?}", report.steps));
        }
        let losses: Vec<Loss> = report.steps.iter().filter_map(|step| step.loss.clone()).collect();
        mends.lost_rows += self.mended(disk, &report, &losses)?;
        match losses.is_empty() {
            true => mends.whole += 1,
            false => mends.lossy += 1,
        }
        for image in images.lock().values() {
            self.cut_short(image, &losses).map_err(|text| format!("after a power cut: {text}"))?;
            mends.cuts += 1;
        }
        Ok(())
    }

    fn refused(
        &self,
        disk: &SimVfs,
        error: &Error,
        found: &[chronolith_engine::db::DamagedPart],
        mends: &mut Mends,
    ) -> Outcome {
        mends.refused += 1;
        let is_manifest = self.path.to_string_lossy().contains("/manifest/");
        if error.kind() != ErrorKind::Corrupt || !is_manifest {
            return Err(format!("refused: {error}"));
        }
        if found.is_empty() {
            return Err(format!(
                "verification sees nothing, though the repair is refused: {error}"
            ));
        }
        match files(disk) == self.before {
            true => Ok(()),
            false => Err("a refused repair changed files".into()),
        }
    }

    /// A repair that was cut short is finished by the next one; meanwhile an ordinary opening takes nothing away.
    fn cut_short(&self, image: &SimVfs, losses: &[Loss]) -> Outcome {
        let opened = image.clone_running();
        if let Ok(db) = self.golden.open(&opened, true) {
            db.write(one_row("extra", 1)).map_err(|error| format!("write: {error}"))?;
            db.flush().map_err(|error| format!("flush: {error}"))?;
            drop(db);
            if !self.path.to_string_lossy().contains("/manifest/") {
                self.nothing_is_gone(&opened, true)
                    .map_err(|text| format!("an opening: {text}"))?;
            }
        }
        let report = repair(image, true, 6).map_err(|error| format!("repair: {error}"))?;
        self.mended(image, &report, losses).map(|_| ())
    }

    /// The damaged file, and every segment, is in its place or set aside, byte by byte.
    fn nothing_is_gone(&self, disk: &SimVfs, was_written: bool) -> Outcome {
        let after = files(disk);
        for (path, bytes) in &self.before {
            let is_torn = is_log(path) && self.shortens;
            let counts = *path == self.path && !is_torn || is_segment(path) && !was_written;
            let name = path.file_name().unwrap_or_default();
            let aside = Path::new("/db/quarantine").join(name);
            let kept = [path, &aside].into_iter().any(|place| after.get(place) == Some(bytes));
            if counts && !kept {
                return Err(format!("{} is gone", path.display()));
            }
        }
        Ok(())
    }

    /// Judges a repaired database. How many rows are missing.
    fn mended(&self, disk: &SimVfs, report: &RepairReport, losses: &[Loss]) -> Outcome<u64> {
        let clock = Arc::new(ManualClock::at(START_NS + HOUR_NS));
        for step in &report.steps {
            if let RepairAction::SetAside { name, .. } = &step.action {
                let aside = Path::new("/db/quarantine").join(name);
                let note = Path::new("/db/quarantine").join(format!("{name}.txt"));
                let was = self.before.get(&step.path);
                if was.is_some() && disk.read_raw(&aside).ok().as_ref() != was {
                    let steps = &report.steps;
                    return Err(format!(
                        "{} is not set aside as it was: {steps:?}",
                        step.path.display()
                    ));
                }
                disk.read_raw(&note).map_err(|_| "there is no note".to_owned())?;
            }
        }
        self.nothing_is_gone(disk, false)?;
        let again = Db::verify_at(&options(disk, &clock, 8))
            .map_err(|error| format!("verify again: {error}"))?;
        if let Some(part) = again.damage.first() {
            return Err(format!("damage is left: {part:?}"));
        }
        let db = self.golden.open(disk, true).map_err(|error| format!("open: {error}"))?;
        let missing = self.compare(&db, losses)?;
        let is_log_loss = losses.iter().any(|loss| loss.row_count.is_none());
        self.goes_on(&db, is_log_loss)?;
        if !losses.is_empty() && db.quarantined().is_empty() {
            return Err("the database does not know of what was lost".into());
        }
        drop(db);
        let last = Db::verify_at(&options(disk, &clock, 9))
            .map_err(|error| format!("verify last: {error}"))?;
        last.damage
            .first()
            .map_or(Ok(missing), |part| Err(format!("damage after a write: {part:?}")))
    }

    fn compare(&self, db: &Db, losses: &[Loss]) -> Outcome<u64> {
        let snapshot = db.snapshot();
        let found = rows(&snapshot).map_err(|error| format!("read: {error}"))?;
        let (empty, mut missing_count) = (BTreeSet::new(), 0);
        let names: BTreeSet<_> = self.known.now.keys().chain(found.keys()).collect();
        for name in names {
            let expected = self.known.now.get(name).unwrap_or(&empty);
            let ever = self.known.ever.get(name).unwrap_or(&empty);
            let shown = found.get(name).unwrap_or(&empty);
            let of_table = || {
                losses.iter().filter(|loss| loss.table.as_ref().is_none_or(|table| table == name))
            };
            for row in expected.difference(shown) {
                let commit = Sequence { incarnation: row.2.0, counter: row.2.1 };
                let is_end = self.shortens && commit.counter > snapshot.sequence().counter;
                let fits = |loss: &Loss| {
                    loss.range.contains(row.1)
                        && loss.commits.0 <= commit
                        && commit <= loss.commits.1
                };
                // The row may have taken values from one that was lost.
                let is_folded =
                    of_table().any(|loss| loss.shows_replaced && loss.range.contains(row.1));
                if !is_end && !is_folded && !of_table().any(fits) {
                    return Err(format!("{name} lacks {row:?}, which is in none of {losses:?}"));
                }
                missing_count += 1;
            }
            for row in shown.difference(expected) {
                let may = of_table().any(|loss| loss.shows_replaced && loss.range.contains(row.1));
                // Rows that are merged from several may take any values of those.
                if !may || (name != "state" && !ever.contains(row)) {
                    return Err(format!("{name} has {row:?}, which it did not have"));
                }
            }
        }
        Ok(missing_count)
    }

    /// No commit's number is given again, and a producer's batch is not taken twice.
    fn goes_on(&self, db: &Db, is_log_loss: bool) -> Outcome {
        let repeated = one_row("bars", 0).producer("producer-bars", 4);
        let outcome = db.write(repeated);
        match outcome {
            Ok(outcome) if outcome.already_applied => {}
            _ if is_log_loss || self.shortens => {}
            other => return Err(format!("a batch is taken twice: {other:?}")),
        }
        let outcome = db.write(one_row("extra", 2)).map_err(|error| format!("write: {error}"))?;
        if outcome.sequence.incarnation <= self.golden.last.incarnation {
            return Err(format!("commit {} may be one of before", outcome.sequence));
        }
        db.flush().map_err(|error| format!("flush: {error}"))?;
        db.close().map_err(|error| format!("close: {error}"))
    }
}

fn one_row(table: &str, at: i64) -> Batch {
    let tags: Vec<String> = vec!["symbol".into(), "venue".into(), "desk".into()];
    let merge = if table == "bars" { MergeMode::LastRow } else { MergeMode::Append };
    let options = TableOptions { tags, merge, ..TableOptions::default() };
    let mut builder = RowBuilder::new(table).create_if_missing(options);
    builder.push(at, &[("symbol", "new")], &[("small", Value::I64(at))]);
    Batch::new().with(builder.build().expect("it is one row"))
}
