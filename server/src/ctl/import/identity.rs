//! Which import this is: a hash of the file's stored bytes, the table's number, and of everything that decides which
//! row a record becomes: the format, time column, unit and zone, tags, constant tags as resolved, the CSV options, the chunk size.
//! Not the types: an interrupted import may be resumed with corrected ones. The hash names the producer of its chunks.
//!
//! Imports of one file are counted in generations from 0. A plain import works on generation 0. `--again` works on the
//! least generation that some FILE has not finished, and passes over FILEs that have: when all were imported equally
//! often, all are imported once more; when an `--again` was interrupted, running it again goes on with it; and an
//! unfinished import is finished, never begun beside itself.

use chronolith_engine::model::{ImportProgress, TableId};

use super::super::CtlResult;
use super::super::place::Place;
use super::args::Settings;
use super::format::Format;
use super::layout::Layout;
use super::source::FileHash;
use super::survey::Survey;
use super::{CHUNK_ROWS, Destination};

/// An import and how far it has come.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// The producer's name.
    pub(super) producer: String,
    /// What is committed of it.
    pub(super) progress: Option<ImportProgress>,
}

impl Identity {
    /// Whether all of the file is committed.
    pub(super) fn is_finished(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| progress.mark.finished)
    }

    /// Source rows that are committed.
    pub(super) fn source_rows(&self) -> u64 {
        self.progress.as_ref().map_or(0, |progress| progress.mark.source_row_count)
    }

    /// Rows that are committed.
    pub(super) fn row_count(&self) -> u64 {
        self.progress.as_ref().map_or(0, |progress| progress.mark.row_count)
    }

    /// Chunks that are committed.
    pub(super) fn chunk(&self) -> u64 {
        self.progress.as_ref().map_or(0, |progress| progress.chunk)
    }
}

/// The generation to work on.
///
/// # Errors
/// The engine's.
pub(super) fn generation(
    db: &Place,
    surveys: &[Survey],
    settings: &Settings,
    destinations: &[Destination],
) -> CtlResult<u64> {
    if !settings.again {
        return Ok(0);
    }
    let mut least = u64::MAX;
    for survey in surveys {
        let mut finished = 0;
        while finished < least && find(db, survey, settings, destinations, finished)?.is_finished()
        {
            finished += 1;
        }
        least = least.min(finished);
    }
    Ok(least)
}

/// How far the import of a file in this generation has come.
///
/// # Errors
/// The engine's.
pub(super) fn find(
    db: &Place,
    survey: &Survey,
    settings: &Settings,
    destinations: &[Destination],
    generation: u64,
) -> CtlResult<Identity> {
    let id_of = |target: &str| {
        let destination = destinations.iter().find(|one| one.schema.name == target);
        destination.map_or(TableId(u32::MAX), |one| one.schema.id)
    };
    let tables = survey.seen.tables.iter();
    let tables: Vec<_> = tables.map(|table| (id_of(&table.target), &table.layout)).collect();
    let producer = producer(survey.hash, survey.format, &tables, settings, generation);
    let progress = db.import_progress(&producer)?;
    Ok(Identity { producer, progress })
}

/// The name of an import.
fn producer(
    file: FileHash,
    format: Format,
    tables: &[(TableId, &Layout)],
    settings: &Settings,
    generation: u64,
) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(b"chronolith import 1");
    part(&file.0);
    for (table, layout) in tables {
        part(&table.0.to_le_bytes());
        part(layout.time_spec.column.as_bytes());
        part(layout.time_spec.format.to_string().as_bytes());
    }
    part(settings.zone.to_string().as_bytes());
    let mut tags: Vec<&str> = settings.tag_columns.iter().map(String::as_str).collect();
    tags.sort_unstable();
    part(&(tags.len() as u64).to_le_bytes());
    tags.iter().for_each(|tag| part(tag.as_bytes()));
    let layout = tables.first().map(|(_, layout)| *layout);
    let mut constants: Vec<_> = layout.iter().flat_map(|layout| &layout.constants).collect();
    constants.sort_unstable();
    part(&(constants.len() as u64).to_le_bytes());
    for (name, value) in constants {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    part(&[settings.delimiter.byte(), u8::from(settings.has_header)]);
    part(&[u8::from(settings.null_text.is_some())]);
    part(settings.null_text.as_deref().unwrap_or_default().as_bytes());
    match format {
        Format::Csv => {}
        Format::Line => part(format!("line {}", settings.precision.suffix()).as_bytes()),
        other => part(other.name().as_bytes()),
    }
    part(&CHUNK_ROWS.to_le_bytes());
    part(&generation.to_le_bytes());
    format!("import:{}", hasher.finalize().to_hex())
}

#[cfg(test)]
mod tests {
    use super::super::layout::Placed;
    use super::*;
    use crate::text::infer::TextType;
    use crate::text::time::{TimeSpec, TimeUnit};

    #[test]
    fn everything_that_makes_rows_counts_and_types_do_not() {
        let layout = |symbol: &str, time: &str| Layout {
            width: 2,
            time: 0,
            time_spec: TimeSpec::parse(time).unwrap(),
            tags: Vec::new(),
            constants: vec![("symbol".to_owned(), symbol.to_owned())],
            fields: vec![Placed { name: "x".to_owned(), at: 1, given: None }],
        };
        let settings = Settings::new("t", TimeSpec::parse("ts:s").unwrap());
        let file = FileHash([7; 32]);
        let (a, b, ms) = (layout("A", "ts:s"), layout("B", "ts:s"), layout("A", "ts:ms"));
        let of = |file, format, table, layout, settings: &Settings, generation| {
            producer(file, format, &[(TableId(table), layout)], settings, generation)
        };
        let base = of(file, Format::Csv, 1, &a, &settings, 0);
        let mut typed = settings.clone();
        typed.types.push(("x".to_owned(), TextType::F64));
        assert_eq!(of(file, Format::Csv, 1, &a, &typed, 0), base);
        let with = |format, change: &dyn Fn(&mut Settings)| {
            let mut changed = settings.clone();
            change(&mut changed);
            of(file, format, 1, &a, &changed, 0)
        };
        let others = [
            of(FileHash([8; 32]), Format::Csv, 1, &a, &settings, 0),
            of(file, Format::Csv, 1, &b, &settings, 0),
            of(file, Format::Csv, 1, &ms, &settings, 0),
            of(file, Format::Csv, 2, &a, &settings, 0),
            of(file, Format::Csv, 1, &a, &settings, 1),
            of(file, Format::Ndjson, 1, &a, &settings, 0),
            of(file, Format::Line, 1, &a, &settings, 0),
            producer(file, Format::Line, &[(TableId(1), &a), (TableId(2), &a)], &settings, 0),
            with(Format::Line, &|s| s.precision = TimeUnit::S),
            with(Format::Csv, &|s| s.tag_columns.push("x".to_owned())),
            with(Format::Csv, &|s| s.has_header = false),
            with(Format::Csv, &|s| s.null_text = Some(String::new())),
        ];
        let mut all: Vec<_> = others.iter().chain([&base]).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), others.len() + 1);
        assert!(base.len() <= chronolith_engine::limits::PRODUCER_LEN_BYTES_MAX);
    }
}
