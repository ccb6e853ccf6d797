//! `chronolith import`: CSV files into a table. The path: args -> settings, survey (first pass: hash, check, infer),
//! plan (types, clashes), identity (which import this is), load (second pass: parse, commit), report.
//! Invariant: nothing is committed before every row of every FILE was checked; a chunk is committed with the note of
//! how far its file has come, so that an import goes on where it was interrupted.

mod args;
mod chunk;
mod columns;
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

use std::path::Path;
use std::sync::Arc;

use chronolith_engine::model::{SchemaMode, TableOptions, TableSchema};
use chronolith_engine::{Db, Error};

pub(super) use args::{ImportArgs, Settings};
pub(super) use load::Committed;
pub(super) use report::{Report, Summary, count, seconds};

use super::{CtlError, CtlResult, open, print};
use plan::Plan;

/// Source rows of one chunk, at most: the unit in which an import is committed and resumed. Part of an import's identity.
pub(super) const CHUNK_ROWS: u64 = 64 << 10;
/// Bytes of one chunk in memory, roughly, at which it ends early.
pub(super) const CHUNK_BYTES: usize = 16 << 20;

pub(super) fn run(args: ImportArgs) -> CtlResult<()> {
    let (dir, files, settings) = args.resolve()?;
    let report = Report::on_standard_output();
    if let Some(stream) = source::the_stream(&files)? {
        return stream::run(&dir, stream, &settings, &report);
    }
    // A database that is not there yet is made only once the files were found good.
    let db = if open::is_there(&dir) { Some(open::for_writing(&dir)?) } else { None };
    let prepared = prepare(db, &dir, &files, &settings, &report)?;
    let summary = load_files(&prepared, &settings, &report, &|_| Ok(()))?;
    prepared.db.close()?;
    print(&summary.text(&settings, prepared.schema.merge))
}

/// Files that were checked, and the table that takes them.
pub(super) struct Prepared {
    pub(super) db: Db,
    pub(super) schema: Arc<TableSchema>,
    plan: Plan,
    surveys: Vec<survey::Survey>,
}

impl Prepared {
    /// Where the files' rows stand: for each file its name, and how many rows it has.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.surveys.iter().map(|survey| (survey.name.as_str(), survey.row_count()))
    }
}

/// The first pass: checks every row of every file, settles the types, and makes the table where there is none.
///
/// # Errors
/// Every reason for which nothing may be committed.
pub(super) fn prepare(
    db: Option<Db>,
    dir: &Path,
    files: &[std::path::PathBuf],
    settings: &Settings,
    report: &Report,
) -> CtlResult<Prepared> {
    let existing = existing_table(db.as_ref(), settings)?;
    let known = plan::Known::new(settings, existing.as_deref())?;
    let surveys = survey::survey_all(files, settings, &known)?;
    let plan = Plan::of(&surveys, settings, &known)?;
    plan.check_names(settings, existing.as_deref())?;
    report.schema(&plan, settings, existing.as_deref(), &surveys);
    let db = match db {
        Some(db) => db,
        None => open::or_create(dir)?,
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
    let total = prepared.surveys.iter().map(|survey| survey.raw_bytes).sum();
    let progress = report::bar("importing", total);
    for survey in &prepared.surveys {
        let identity = identity::find(&prepared.db, survey, settings, prepared.schema.id)?;
        if let Some(done) = identity.progress.as_ref().filter(|progress| progress.mark.finished) {
            report.already(survey, done);
            summary.already_count += 1;
            continue;
        }
        load::load_file(prepared, survey, settings, &identity, &mut summary, &progress, on_commit)?;
        report.file(survey, &identity);
    }
    progress.finish();
    Ok(summary)
}

fn existing_table(db: Option<&Db>, settings: &Settings) -> CtlResult<Option<Arc<TableSchema>>> {
    let Some(db) = db else { return Ok(None) };
    let schema = match db.table_schema(&settings.table) {
        Ok(schema) => schema,
        Err(Error::UnknownTable { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match settings.merge {
        Some(merge) if merge != schema.merge => Err(CtlError::Conflict(format!(
            "table {:?} has merge mode {}, which is fixed at its creation; --merge says {merge}",
            schema.name, schema.merge
        ))),
        _ => Ok(Some(schema)),
    }
}

/// A table that gains columns from later imports.
fn create_table(db: &Db, settings: &Settings, plan: &Plan) -> CtlResult<Arc<TableSchema>> {
    let options = TableOptions {
        tags: settings.tag_names().map(str::to_owned).collect(),
        fields: plan.typed_fields(),
        merge: settings.merge.unwrap_or_default(),
        mode: SchemaMode::Dynamic,
        history_ns: None,
        time_name: settings.time.column.clone(),
    };
    db.create_table(&settings.table, options)?;
    Ok(db.table_schema(&settings.table)?)
}
