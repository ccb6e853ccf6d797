//! `chronolith import`: files into tables. The path: args -> settings, survey (first pass: hash, check, infer),
//! plan (types, clashes), identity (which import this is), load (second pass: parse, commit), report. Formats are
//! below the seam in `rows`.
//! Invariant: nothing is committed before every row of every FILE was checked; a chunk is committed with the note of
//! how far its file has come, so that an import goes on where it was interrupted.

mod args;
mod cell;
mod chunk;
mod columns;
mod compare;
mod convert;
mod duplicates;
mod format;
#[cfg(feature = "fuzz")]
pub(super) mod fuzz;
mod identity;
mod layout;
mod load;
mod plan;
mod read_ahead;
mod refusals;
mod report;
mod row;
mod rows;
mod source;
mod stream;
mod survey;
mod targets;

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
use crate::text::time::TimeSpec;
use identity::Identity;
use plan::Plan;
use survey::{Seen, SeenTable, Survey};
use targets::{Target, Targets};

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
    print(&summary.text(&schemas(&prepared.destinations)))
}

/// Segments are smaller than the log, and open at once.
fn finish(db: &Place, settings: &Settings) -> CtlResult<()> {
    if settings.flush {
        db.flush()?;
    }
    db.close()
}

/// Files that were checked, and the tables that take them.
pub(super) struct Prepared {
    pub(super) db: Place,
    destinations: Vec<Destination>,
    surveys: Vec<Survey>,
}

/// A table that takes rows, and its types.
pub(super) struct Destination {
    schema: Arc<TableSchema>,
    plan: Plan,
}

/// What a table is to take.
struct Planned {
    target: Target,
    plan: Plan,
    /// The time as the first file has it.
    time: TimeSpec,
    /// All tags: those of columns, then the constant ones.
    tags: Vec<String>,
}

/// The first pass: checks every row of every file, settles the types, and makes the tables where there are none.
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
    let mut targets = Targets::new(db.as_ref(), settings)?;
    let surveys = survey::survey_all(files, settings, &mut targets, report)?;
    let seen = surveys.iter().map(|survey| (survey.name.as_str(), &survey.seen));
    let planned = plan(targets, &seen.collect::<Vec<_>>(), settings)?;
    let names: Vec<&str> = surveys.iter().map(|survey| survey.name.as_str()).collect();
    report.schemas(&planned, settings, &names);
    let db = match db {
        Some(db) => db,
        None => place::or_create(place)?,
    };
    let destinations = create_tables(&db, settings, planned)?;
    Ok(Prepared { db, destinations, surveys })
}

/// Settles the types of every table.
///
/// # Errors
/// `Invalid`, `NotFound`, `Conflict` for what contradicts itself or a table.
fn plan(
    targets: Targets<'_>,
    seen: &[(&str, &Seen)],
    settings: &Settings,
) -> CtlResult<Vec<Planned>> {
    let mut all = Vec::new();
    for target in targets.into_list() {
        let of = |seen: &Seen| seen.tables.iter().position(|table| table.target == target.name);
        let of = seen.iter().filter_map(|(name, seen)| Some((*name, seen.tables.get(of(seen)?)?)));
        let of: Vec<(&str, &SeenTable)> = of.collect();
        // A file without a row that can be taken does not say what a table would be.
        let Some((_, first)) = of.first() else { continue };
        let plan = Plan::of(&of, &target.known)?;
        let mut tags: Vec<String> = Vec::new();
        for (_, table) in &of {
            for (tag, _) in &table.layout.tags {
                if !tags.contains(tag) {
                    tags.push(tag.clone());
                }
            }
        }
        tags.extend(settings.constants.iter().map(|(tag, _)| tag.clone()));
        plan.check_names(&tags, target.existing.as_deref())?;
        let time = first.layout.time_spec.clone();
        all.push(Planned { target, plan, time, tags });
    }
    check_types(&all, settings)?;
    Ok(all)
}

/// Refuses a type for a column that is nowhere.
fn check_types(all: &[Planned], settings: &Settings) -> CtlResult<()> {
    let fields = || all.iter().flat_map(|planned| &planned.plan.fields);
    for (name, _) in &settings.types {
        if !all.is_empty() && !fields().any(|field| field.name == *name) {
            let list: Vec<&str> = fields().map(|field| field.name.as_str()).collect();
            return Err(CtlError::NotFound(format!(
                "--types names column {name:?}, which no file has; there are: {}",
                list.join(", ")
            )));
        }
    }
    Ok(())
}

/// Makes the tables that are not there.
///
/// # Errors
/// The engine's; the client's.
fn create_tables(
    db: &Place,
    settings: &Settings,
    planned: Vec<Planned>,
) -> CtlResult<Vec<Destination>> {
    let create = |planned: Planned| {
        let schema = match planned.target.existing.clone() {
            Some(schema) => schema,
            None => create_table(db, settings, &planned)?,
        };
        Ok(Destination { schema, plan: planned.plan })
    };
    planned.into_iter().map(create).collect()
}

fn schemas(destinations: &[Destination]) -> Vec<Arc<TableSchema>> {
    destinations.iter().map(|one| Arc::clone(&one.schema)).collect()
}

fn any_replaces(destinations: &[Destination]) -> bool {
    destinations.iter().any(|one| one.schema.merge.replaces())
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
    let mut summary = Summary::begin(any_replaces(&prepared.destinations));
    let (db, surveys, tables) = (&prepared.db, &prepared.surveys, &prepared.destinations);
    let generation = identity::generation(db, surveys, settings, tables)?;
    let total = prepared.surveys.iter().map(|survey| survey.raw_bytes).sum();
    let progress = report.bar("importing", total);
    for survey in &prepared.surveys {
        let identity = identity::find(db, survey, settings, tables, generation)?;
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
        let mut summary = Summary::begin(any_replaces(&prepared.destinations));
        let (report, progress) = (Report::silent(), Progress::silent());
        while let Some(survey) = prepared.surveys.get(next.fetch_add(1, Ordering::Relaxed)) {
            let on_commit = |committed: &Committed<'_>| on_commit(committed);
            let tables = &prepared.destinations;
            let identity = identity::find(&prepared.db, survey, settings, tables, 0)?;
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

/// A table that gains columns from later imports.
fn create_table(db: &Place, settings: &Settings, planned: &Planned) -> CtlResult<Arc<TableSchema>> {
    let options = TableOptions {
        tags: planned.tags.clone(),
        fields: planned.plan.typed_fields(),
        merge: settings.merge.unwrap_or_default(),
        mode: SchemaMode::Dynamic,
        history_ns: None,
        time_name: planned.time.column.clone(),
    };
    db.create_table(&planned.target.name, options)?;
    db.table_schema(&planned.target.name)
}
