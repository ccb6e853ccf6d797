//! The import of what can be read only once: standard input, or a pipe. Types come from its first rows, which are
//! kept in memory until they are settled; without a hash of the whole it cannot be resumed.

use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chronolith_engine::model::TableSchema;

use super::super::place::{self, PlaceArg};
use super::super::{CtlError, CtlResult, print};
use super::args::Settings;
use super::layout::read_layout;
use super::load::load_stream;
use super::plan::{Known, Plan};
use super::records::Records;
use super::report::{Report, Summary};
use super::survey::{Observer, Seen};
use super::{create_table, existing_table, finish};
use crate::text::csv::CsvReader;
use crate::text::input::Input;
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
    // Held from before the first byte is read: what another import did meanwhile would contradict the plan when the
    // input is gone already.
    let db = place::or_create(place)?;
    let existing = existing_table(Some(&db), settings)?;
    let known = Known::new(settings, existing.as_deref())?;
    let mut input = Input::open(path)?;
    let name = input.name().to_owned();
    let (seen, head) = observe(&mut input, path, &name, settings, &known)?;
    let plan = Plan::of_seen(&[(&name, &seen)], settings, &known)?;
    plan.check_names(settings, existing.as_deref())?;
    report.schema_of(&plan, settings, existing.as_deref(), &[&name]);
    let schema: Arc<TableSchema> = match existing {
        Some(schema) => schema,
        None => create_table(&db, settings, &plan)?,
    };
    let raw = input.raw_bytes();
    let whole = io::Cursor::new(head).chain(input);
    let mut reader = CsvReader::new(whole, &name, settings.delimiter);
    let (layout, first) = read_layout(&mut reader, path, settings)?;
    let rules = plan.rules(&name, &layout, settings);
    let mut summary = Summary::begin(schema.merge);
    let progress = Progress::on_standard_error("importing", ProgressUnit::Rows, None);
    let records = Records::new(reader, first);
    let loaded = load_stream(&db, records, &rules, &plan, settings, &mut summary, &progress);
    progress.finish();
    summary.raw_bytes = raw.get();
    finish(&db, settings)?;
    loaded.map_err(|error| partly(error, summary.row_count()))?;
    print(&summary.text(settings, schema.merge))
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
    name: &str,
    settings: &Settings,
    known: &Known,
) -> CtlResult<(Seen, Vec<u8>)> {
    let kept = Kept::default();
    let keeping = Keeping { input, kept: kept.clone() };
    let mut reader = CsvReader::new(keeping, name, settings.delimiter);
    let (layout, first) = read_layout(&mut reader, path, settings)?;
    let mut observer = Observer::new(0, name, layout, settings, known);
    let mut records = Records::new(reader, first);
    while records.count() < INFER_ROWS
        && kept.with(|kept| kept.len()) < INFER_BYTES
        && observer.observe_next(&mut records)?
    {}
    let seen = observer.finish(records.count());
    Ok((seen, kept.with(std::mem::take)))
}
