//! The import of what can be read only once: standard input, or a pipe. Types come from its first rows, which are
//! kept in memory until they are settled; without a hash of the whole it cannot be resumed.

use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::place::{self, PlaceArg};
use super::super::{CtlError, CtlResult, print};
use super::args::Settings;
use super::format::Format;
use super::load::{Stream, load_stream, parts_of};
use super::report::{Report, Summary};
use super::rows::{Opening, Role, RowSource, SourceColumn, SourceTable, Visit};
use super::survey::{Observer, Seen, known_columns};
use super::targets::Targets;
use super::{any_replaces, create_tables, finish, plan, schemas};
use crate::text::input::{Input, STDIN_ARGUMENT, STDIN_NAME};
use crate::text::progress::{Progress, ProgressUnit};

/// Rows from which types are inferred, at most.
const INFER_ROWS: u64 = 100_000;
/// Bytes of text from which types are inferred, at most.
const INFER_BYTES: usize = 256 << 20;

/// Imports standard input, or a pipe.
///
/// # Errors
/// As an import of files; an error after the first commit says what is in the table.
pub(super) fn run(
    place: &PlaceArg,
    path: &Path,
    settings: &Settings,
    report: &Report,
) -> CtlResult<()> {
    let format = settings.format_of(path);
    if format == Format::Parquet {
        return Err(CtlError::Invalid(format!(
            "{} is read as Parquet, whose end must be read first: import it as a file, not from a pipe",
            if path.as_os_str() == STDIN_ARGUMENT {
                STDIN_NAME.to_owned()
            } else {
                path.display().to_string()
            }
        )));
    }
    // Held from before the first byte is read: what another import did meanwhile would contradict the plan when the
    // input is gone already.
    let db = place::or_create(place)?;
    let mut targets = Targets::new(Some(&db), settings)?;
    let mut input = Input::open(path)?;
    let name = input.name().to_owned();
    let known = known_tables(format, settings, &targets);
    let opening = Opening { format, name: &name, settings, known: &known, is_settled: false };
    let (seen, head) = observe(&mut input, path, &opening, &mut targets)?;
    let planned = plan(targets, &[(&name, &seen)], settings)?;
    report.schemas(&planned, settings, &[&name]);
    let destinations = create_tables(&db, settings, planned)?;
    let raw = input.raw_bytes();
    let whole = io::Cursor::new(head).chain(input);
    let parts = parts_of(&destinations, &seen, (&name, format), settings)?;
    let mut summary = Summary::begin(any_replaces(&destinations));
    let progress = Progress::on_standard_error("importing", ProgressUnit::Rows, None);
    let opening = Opening { known: &seen.sources, is_settled: true, ..opening };
    let stream = Stream {
        db: &db,
        parts: &parts,
        settings,
        summary: &mut summary,
        progress: &progress,
        raw: &raw,
    };
    let loaded = load_stream(stream, &opening, whole);
    progress.finish();
    finish(&db, settings)?;
    loaded.map_err(|error| partly(error, summary.row_count()))?;
    print(&summary.text(&schemas(&destinations)))
}

/// Columns that lines may have though the first ones do not: those that the table has, or that are named.
fn known_tables(format: Format, settings: &Settings, targets: &Targets<'_>) -> Vec<SourceTable> {
    let mut tables = known_columns(format, settings);
    if let Some(table) = tables.first_mut() {
        let names = targets.first().into_iter().flat_map(|target| target.known.names());
        for name in names.filter(|name| settings.constants.iter().all(|(tag, _)| tag != name)) {
            if table.position(name).is_none() {
                let (name, role) = (name.to_owned(), Role::Open);
                table.columns.push(SourceColumn { name, role, is_met: false });
            }
        }
    }
    tables
}

fn partly(error: CtlError, row_count: u64) -> CtlError {
    if row_count == 0 {
        return error;
    }
    CtlError::Partly {
        source: Box::new(error),
        done: format!(
            "{row_count} rows before it are in the table: delete them before importing again, as what is read \
             only once cannot be resumed"
        ),
    }
}

/// Bytes that were read, kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn with<T>(&self, act: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Keeping<'a> {
    input: &'a mut Input,
    kept: Kept,
}

impl Read for Keeping<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buf)?;
        self.kept.with(|kept| kept.extend_from_slice(buf.get(..count).unwrap_or_default()));
        Ok(count)
    }
}

/// What the first rows are, and every byte that was read for them.
fn observe(
    input: &mut Input,
    path: &Path,
    opening: &Opening<'_>,
    targets: &mut Targets<'_>,
) -> CtlResult<(Seen, Vec<u8>)> {
    let kept = Kept::default();
    let keeping = Keeping { input, kept: kept.clone() };
    let head = Head { observer: Observer::new(0, path, opening), targets, kept: &kept };
    let seen = opening.bytes(keeping, head)?;
    Ok((seen, kept.with(std::mem::take)))
}

/// The pass over the first rows.
struct Head<'a, 'b, 't> {
    observer: Observer<'a>,
    targets: &'b mut Targets<'t>,
    kept: &'b Kept,
}

impl Visit for Head<'_, '_, '_> {
    type Out = Seen;

    fn visit<S: RowSource>(mut self, mut rows: S) -> CtlResult<Seen> {
        while rows.count() < INFER_ROWS
            && self.kept.with(|kept| kept.len()) < INFER_BYTES
            && self.observer.observe_next(&mut rows, self.targets)?
        {}
        self.observer.finish(&rows, self.targets)
    }
}
