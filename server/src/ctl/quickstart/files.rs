//! Quickstart with given files: each is imported by a producer of its own; what is there after the kill is compared
//! with the files row by row, then the import is resumed and compared again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chronolith_engine::Db;
use chronolith_engine::read::ScanRequest;

use super::super::import::{self, Prepared, Report, Settings};
use super::super::place::{Place, PlaceArg};
use super::super::{CtlError, CtlResult, print};
use super::guess::guess;
use super::server::Server;
use super::show::{self, Commands};
use super::witness;
use super::writer::{STARTED, acknowledge};

/// How long files are imported before the kill.
const WRITE_NS: i64 = 300_000_000;

/// What the killed process does: it imports, and tells of every chunk that was acknowledged.
///
/// # Errors
/// Those of an import.
pub(super) fn write(dir: &Path, files: &[PathBuf]) -> CtlResult<()> {
    let (settings, _) = guess_first(files)?;
    let prepared = import::prepare(None, &PlaceArg::at(dir), files, &settings, &Report::silent())?;
    acknowledge(STARTED)?;
    import::load_files_at_once(&prepared, &settings, &|committed| {
        acknowledge(&format!("{} {}", committed.source_rows, committed.file))
    })?;
    Ok(())
}

/// Writes, kills, checks, resumes, shows.
///
/// # Errors
/// `Failed` where anything is lost; those of an import.
pub(super) fn run(dir: &Path, files: &[PathBuf]) -> CtlResult<()> {
    let (settings, columns) = guess_first(files)?;
    print(&format!(
        "2. another process imports {} file(s), each by a producer of its own\n",
        files.len()
    ))?;
    let witnessed = witness::watch(dir, files, WRITE_NS)?;
    let chunks = witnessed.lines.len() - usize::from(!witnessed.was_writing);
    let acknowledged = acknowledged(&witnessed.lines);
    let (db, open_ns) = show::reopen(dir)?;
    let prepared = import::prepare(
        Some(Place::Here(db.clone())),
        &PlaceArg::at(dir),
        files,
        &settings,
        &Report::silent(),
    )?;
    let kept = compare(&db, &prepared, &settings, &acknowledged)?;
    show::killed(kept.acknowledged, &format!("{chunks} chunks"), &witnessed)?;
    show::intact(kept.acknowledged, kept.found, open_ns, "none twice")?;
    let report = Report::silent();
    let summary = import::load_files(&prepared, &settings, &report, &|_| Ok(()))?;
    let resumed = summary.row_count();
    let whole = compare(&db, &prepared, &settings, &BTreeMap::new())?;
    print(&format!(
        "   importing again resumed where it was: {resumed} more rows, {} in all, the files' rows and none twice\n",
        whole.found
    ))?;
    drop(prepared);
    db.close()?;
    let server = Server::start(dir)?;
    print(&format!("5. a server has the database\n{}", Commands::on(dir).line("serve")))?;
    show::results(dir, server, &columns, 6)
}

fn guess_first(files: &[PathBuf]) -> CtlResult<(Settings, show::Columns)> {
    match files.first() {
        Some(first) => guess(first),
        None => Err(CtlError::Invalid("no file is given".to_owned())),
    }
}

/// For each file the source rows that were acknowledged.
fn acknowledged(lines: &[String]) -> BTreeMap<String, u64> {
    let mut greatest = BTreeMap::new();
    for line in lines {
        let Some((rows, file)) = line.split_once(' ') else { continue };
        let Ok(rows) = rows.parse::<u64>() else { continue };
        let slot = greatest.entry(file.to_owned()).or_insert(0);
        *slot = rows.max(*slot);
    }
    greatest
}

struct KeptRows {
    acknowledged: u64,
    found: u64,
}

/// Compares the table with those rows of the files that the imports say are there.
fn compare(
    db: &Db,
    prepared: &Prepared,
    settings: &Settings,
    acknowledged: &BTreeMap<String, u64>,
) -> CtlResult<KeptRows> {
    let mut expected = Vec::new();
    let mut rows_acknowledged = 0;
    for file in import::progress(prepared, settings)? {
        let promised = acknowledged.get(&file.name).copied().unwrap_or(0);
        if file.source_rows < promised {
            return Err(CtlError::Failed(format!(
                "LOST: {promised} rows of {} were acknowledged, {} are noted",
                file.name, file.source_rows
            )));
        }
        let mut from_file = import::row_hashes(prepared, settings, &file.name, file.source_rows)?;
        let until = from_file.iter().take_while(|(source_row, _)| *source_row <= promised).count();
        rows_acknowledged += until as u64;
        expected.extend(from_file.drain(..).map(|(_, hash)| hash));
    }
    let mut found = table_hashes(db, super::TABLE)?;
    expected.sort_unstable();
    found.sort_unstable();
    if expected != found {
        return Err(CtlError::Failed(format!(
            "LOST: the files have {} rows up to what was committed, the table has {}, and they are not the same",
            expected.len(),
            found.len()
        )));
    }
    Ok(KeptRows { acknowledged: rows_acknowledged, found: found.len() as u64 })
}

/// A hash of each row of the table.
fn table_hashes(db: &Db, table: &str) -> CtlResult<Vec<u64>> {
    let schema = db.table_schema(table)?;
    let tags: Vec<&str> = schema.tags.iter().map(|tag| tag.name.as_str()).collect();
    let mut hashes = Vec::new();
    for batch in db.scan(&ScanRequest::new(table))? {
        let batch = batch?;
        let fields = batch.fields.iter().zip(&batch.rows.fields);
        let fields: Vec<_> =
            fields.map(|(def, column)| (def.name.as_str(), def.field_type, column)).collect();
        for run in &batch.series {
            for row in run.rows.clone() {
                let tags = tags.iter().enumerate().map(|(at, name)| (*name, run.key.tag(at)));
                let time = batch.time().get(row).copied().unwrap_or_default();
                hashes.push(import::row_hash(time, tags, &fields, row));
            }
        }
    }
    Ok(hashes)
}
