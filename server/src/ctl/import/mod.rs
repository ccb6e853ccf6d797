//! `chronolith import`: CSV files into a table. The path: args -> settings, survey (first pass: hash, check, infer),
//! plan (types, clashes), identity (which import this is), load (second pass: parse, commit), report.
//! Invariant: nothing is committed before every row of every FILE was checked; a chunk is committed with the note of
//! how far its file has come, so that an import goes on where it was interrupted.

mod args;
mod chunk;
mod columns;
mod compare;
mod duplicates;
mod identity;
mod layout;
mod load;
mod plan;
mod read_ahead;
mod records;
mod refusals;
mod report;
mod row;
mod source;
mod stream;
mod survey;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use chronolith_engine::model::{SchemaMode, TableOptions, TableSchema};

pub(super) use args::{ConstantValue, ImportArgs, Settings};
pub(super) use compare::{progress, row_hash, row_hashes};
pub(super) use load::Committed;
pub(super) use report::{Report, Summary, count, seconds};

use super::place::{self, Place, PlaceArg};
use super::{CtlError, CtlResult, print};
use crate::text::progress::Progress;
use identity::Identity;
use plan::Plan;
use survey::Survey;

/// Source rows of one chunk, at most: the unit in which an import is committed and resumed. Part of an import's identity.
pub(super) const CHUNK_ROWS: u64 = 64 << 10;
/// Bytes of one chunk in memory, roughly, at which it ends early.
pub(super) const CHUNK_BYTES: usize = 16 << 20;
/// Files that are imported at a time, where several are.
const FILES_AT_ONCE: usize = 4;

pub(super) fn run(args: ImportArgs) -> CtlResult<()> {
    let (place, files, settings) = args.resolve()?;
    let report = Report::on_standard_output();
    if let Some(stream) = source::the_stream(&files)? {
        return stream::run(&place, stream, &settings, &report);
    }
    // A database that is not there yet is made only once the files were found good; one whose making was
    // interrupted is made whole.
    let db = if place.is_there()? { Some(place::or_create(&place)?) } else { None };
    let prepared = prepare(db, &place, &files, &settings, &report)?;
    let summary = load_files(&prepared, &settings, &report, &|_| Ok(()))?;
    finish(&prepared.db, &settings)?;
    print(&summary.text(&settings, prepared.schema.merge))
}

/// Segments are smaller than the log, and open at once.
fn finish(db: &Place, settings: &Settings) -> CtlResult<()> {
    if settings.flush {
        db.flush()?;
    }
    db.close()
}

/// Files that were checked, and the table that takes them.
pub(super) struct Prepared {
    pub(super) db: Place,
    pub(super) schema: Arc<TableSchema>,
    plan: Plan,
    surveys: Vec<Survey>,
}

/// The first pass: checks every row of every file, settles the types, and makes the table where there is none.
///
/// # Errors
/// Every reason for which nothing may be committed.
pub(super) fn prepare(
    db: Option<Place>,
    place: &PlaceArg,
    files: &[std::path::PathBuf],
    settings: &Settings,
    report: &Report,
) -> CtlResult<Prepared> {
    let existing = existing_table(db.as_ref(), settings)?;
    let known = plan::Known::new(settings, existing.as_deref())?;
    let surveys = survey::survey_all(files, settings, &known, report)?;
    let plan = Plan::of(&surveys, settings, &known)?;
    plan.check_names(settings, existing.as_deref())?;
    report.schema(&plan, settings, existing.as_deref(), &surveys);
    let db = match db {
        Some(db) => db,
        None => place::or_create(place)?,
    };
    let schema = match existing {
        Some(schema) => schema,
        None => create_table(&db, settings, &plan)?,
    };
    Ok(Prepared { db, schema, plan, surveys })
}

/// The second pass over every file. `on_commit` hears of each chunk once it is kept.
///
/// # Errors
/// The engine's, the file's; what was committed stays and is resumed.
pub(super) fn load_files(
    prepared: &Prepared,
    settings: &Settings,
    report: &Report,
    on_commit: &dyn Fn(&Committed<'_>) -> CtlResult<()>,
) -> CtlResult<Summary> {
    let mut summary = Summary::begin(prepared.schema.merge);
    let (db, surveys, table) = (&prepared.db, &prepared.surveys, prepared.schema.id);
    let generation = identity::generation(db, surveys, settings, table)?;
    let total = prepared.surveys.iter().map(|survey| survey.raw_bytes).sum();
    let progress = report.bar("importing", total);
    for survey in &prepared.surveys {
        let identity = identity::find(db, survey, settings, table, generation)?;
        let to = To { summary: &mut summary, report, progress: &progress };
        load_one(prepared, survey, settings, &identity, to, on_commit)?;
    }
    progress.finish();
    Ok(summary)
}

/// The first import of files, several at a time, without a report.
///
/// # Errors
/// As [`load_files`].
pub(super) fn load_files_at_once(
    prepared: &Prepared,
    settings: &Settings,
    on_commit: &(dyn Fn(&Committed<'_>) -> CtlResult<()> + Sync),
) -> CtlResult<()> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut summary = Summary::begin(prepared.schema.merge);
        let (report, progress) = (Report::silent(), Progress::silent());
        while let Some(survey) = prepared.surveys.get(next.fetch_add(1, Ordering::Relaxed)) {
            let on_commit = |committed: &Committed<'_>| on_commit(committed);
            let table = prepared.schema.id;
            let identity = identity::find(&prepared.db, survey, settings, table, 0)?;
            let to = To { summary: &mut summary, report: &report, progress: &progress };
            load_one(prepared, survey, settings, &identity, to, &on_commit)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..FILES_AT_ONCE).map(|_| scope.spawn(work)).collect();
        let died = |_| Err(CtlError::Failed("a thread that imports died".to_owned()));
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(died))
    })
}

/// Where an import is counted and told.
struct To<'a> {
    summary: &'a mut Summary,
    report: &'a Report,
    progress: &'a Progress,
}

fn load_one(
    prepared: &Prepared,
    survey: &Survey,
    settings: &Settings,
    identity: &Identity,
    to: To<'_>,
    on_commit: &dyn Fn(&Committed<'_>) -> CtlResult<()>,
) -> CtlResult<()> {
    if let Some(done) = identity.progress.as_ref().filter(|_| identity.is_finished()) {
        to.report.already(survey, done);
        return Ok(());
    }
    load::load_file(prepared, survey, settings, identity, to.summary, to.progress, on_commit)?;
    to.report.file(survey, identity);
    Ok(())
}

fn existing_table(db: Option<&Place>, settings: &Settings) -> CtlResult<Option<Arc<TableSchema>>> {
    let Some(db) = db else { return Ok(None) };
    let Some(schema) = db.find_table(&settings.table)? else { return Ok(None) };
    match settings.merge {
        Some(merge) if merge != schema.merge => Err(CtlError::Conflict(format!(
            "table {:?} has merge mode {}, which is fixed at its creation; --merge says {merge}",
            schema.name, schema.merge
        ))),
        _ => Ok(Some(schema)),
    }
}

/// A table that gains columns from later imports.
fn create_table(db: &Place, settings: &Settings, plan: &Plan) -> CtlResult<Arc<TableSchema>> {
    let options = TableOptions {
        tags: settings.tag_names().map(str::to_owned).collect(),
        fields: plan.typed_fields(),
        merge: settings.merge.unwrap_or_default(),
        mode: SchemaMode::Dynamic,
        history_ns: None,
        time_name: settings.time.column.clone(),
    };
    db.create_table(&settings.table, options)?;
    db.table_schema(&settings.table)
}
