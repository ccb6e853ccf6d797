//! The first pass over a file: hashes its bytes, checks every row, and sees what types its columns could have.

use std::path::{Path, PathBuf};
use std::thread;

use super::super::{CtlError, CtlResult};
use super::args::Settings;
use super::cell::{Cell, Row};
use super::format::Format;
use super::layout::{Layout, Placed};
use super::read_ahead::ReadAhead;
use super::refusals::Refusals;
use super::report::Report;
use super::row::{FieldRule, RowRules};
use super::rows::{Opening, Role, RowSource, SourceColumn, SourceTable, Visit};
use super::source::{FileHash, Opened, open};
use super::targets::{Target, Targets};
use crate::text::infer::{Guess, Place};
use crate::text::input::RawBytes;

/// Rows between two moves of the progress bar.
const PROGRESS_ROWS: u64 = 16 << 10;

/// What was found in a file.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) format: Format,
    /// Of the bytes as they are stored.
    pub(super) hash: FileHash,
    /// The file's size.
    pub(super) raw_bytes: u64,
    pub(super) seen: Seen,
}

impl Survey {
    /// Rows that can be taken.
    pub(super) fn row_count(&self) -> u64 {
        self.seen.source_rows - self.seen.refusals.count
    }
}

/// What was found in rows.
#[derive(Debug)]
pub(super) struct Seen {
    /// The file's tables, as they were met.
    pub(super) sources: Vec<SourceTable>,
    /// For each of them what was seen of it.
    pub(super) tables: Vec<SeenTable>,
    pub(super) source_rows: u64,
    pub(super) refusals: Refusals,
}

/// What was found of one table.
#[derive(Debug)]
pub(super) struct SeenTable {
    /// The table that takes the rows.
    pub(super) target: String,
    pub(super) layout: Layout,
    /// For each field of the layout what its type could be.
    pub(super) guesses: Vec<Guess>,
}

impl SeenTable {
    /// The field `name`.
    pub(super) fn field(&self, name: &str) -> Option<(&Placed, &Guess)> {
        self.layout.fields.iter().zip(&self.guesses).find(|(placed, _)| placed.name == name)
    }
}

/// Surveys files one after the other.
///
/// # Errors
/// The first file's that cannot be imported.
pub(super) fn survey_all(
    files: &[PathBuf],
    settings: &Settings,
    targets: &mut Targets<'_>,
    report: &Report,
) -> CtlResult<Vec<Survey>> {
    let total = files.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|m| m.len()).sum();
    let progress = report.bar("checking", total);
    let mut surveys = Vec::new();
    let mut before = 0;
    for (number, path) in (0..).zip(files) {
        let survey = survey_file(number, path, settings, targets, &|raw: &RawBytes| {
            progress.set(before + raw.get());
        })?;
        before += survey.raw_bytes;
        surveys.push(survey);
    }
    progress.finish();
    Ok(surveys)
}

fn survey_file(
    number: u32,
    path: &Path,
    settings: &Settings,
    targets: &mut Targets<'_>,
    moved: &dyn Fn(&RawBytes),
) -> CtlResult<Survey> {
    let format = settings.format_of(path);
    let opened = open(path, format)?;
    let (name, raw) = match &opened {
        Opened::Bytes(input, _) => (input.name().to_owned(), input.raw_bytes()),
        Opened::Stored(stored) => (stored.name().to_owned(), stored.raw_bytes()),
    };
    let known = known_columns(format, settings);
    let opening = Opening { format, name: &name, settings, known: &known, is_settled: false };
    let pass = Pass { observer: Observer::new(number, path, &opening), targets, raw: &raw, moved };
    let (seen, hash, raw_bytes) = match opened {
        Opened::Bytes(input, hashing) => {
            let seen = thread::scope(|scope| {
                let ahead = ReadAhead::spawn(scope, input);
                opening.bytes(ahead, pass)
            })?;
            // The reading thread has ended, so every byte was hashed.
            (seen, hashing.finish(), raw.get())
        }
        Opened::Stored(stored) => {
            let hash = stored.hash()?;
            (opening.stored(&stored, pass)?, hash, stored.len())
        }
    };
    Ok(Survey { name, path: path.to_path_buf(), format, hash, raw_bytes, seen })
}

/// Columns that an object a line must have, as they are named: they have their places before the first line.
pub(super) fn known_columns(format: Format, settings: &Settings) -> Vec<SourceTable> {
    if format != Format::Ndjson {
        return Vec::new();
    }
    let time = settings.time.iter().map(|spec| &spec.column);
    let names = time.chain(&settings.tag_columns).cloned();
    let column = |name| SourceColumn { name, role: Role::Open, is_met: false };
    vec![SourceTable { name: None, columns: names.map(column).collect() }]
}

/// The first pass over the rows of one file.
struct Pass<'a, 'b, 't> {
    observer: Observer<'a>,
    targets: &'a mut Targets<'t>,
    raw: &'b RawBytes,
    moved: &'b dyn Fn(&RawBytes),
}

impl Visit for Pass<'_, '_, '_> {
    type Out = Seen;

    fn visit<S: RowSource>(mut self, mut rows: S) -> CtlResult<Seen> {
        while self.observer.observe_next(&mut rows, self.targets)? {
            if rows.count().is_multiple_of(PROGRESS_ROWS) {
                (self.moved)(self.raw);
            }
        }
        self.observer.finish(&rows, self.targets)
    }
}

/// Takes in rows.
pub(super) struct Observer<'a> {
    file: u32,
    path: &'a Path,
    opening: Opening<'a>,
    tables: Vec<Watched>,
    refusals: Refusals,
}

/// A table of the file.
struct Watched {
    target: String,
    rules: RowRules,
    guesses: Vec<Guess>,
}

impl<'a> Observer<'a> {
    pub(super) fn new(file: u32, path: &'a Path, opening: &Opening<'a>) -> Self {
        let refusals = Refusals::new(opening.settings.skip);
        Self { file, path, opening: *opening, tables: Vec::new(), refusals }
    }

    /// Takes in the next row; false at the end.
    ///
    /// # Errors
    /// What ends the file; a refused row unless these are skipped.
    pub(super) fn observe_next<S: RowSource>(
        &mut self,
        rows: &mut S,
        targets: &mut Targets<'_>,
    ) -> CtlResult<bool> {
        let Some(next) = rows.advance()? else { return Ok(false) };
        if let Err(refusal) = next {
            self.refusals.refuse(refusal)?;
            return Ok(true);
        }
        let at = rows.row().table();
        let width = rows.tables().get(at).map(|table| table.columns.len());
        if self.tables.get(at).map(|watched| watched.rules.layout().width) != width {
            self.keep_up(rows.tables(), at, targets)?;
        }
        let Some(watched) = self.tables.get_mut(at) else { return Ok(true) };
        match watched.rules.check(rows.row()) {
            Ok(_) => watched.guess(rows.row(), self.file),
            Err(refusal) => self.refusals.refuse(refusal)?,
        }
        Ok(true)
    }

    /// Takes in tables and columns that were met since; `at` is the table of the row.
    fn keep_up(
        &mut self,
        sources: &[SourceTable],
        at: usize,
        targets: &mut Targets<'_>,
    ) -> CtlResult<()> {
        let settings = self.opening.settings;
        for source in sources.iter().take(at + 1).skip(self.tables.len()) {
            let target = targets.of(source)?;
            self.tables.push(Watched::new(self.path, &self.opening, source, target)?);
        }
        let (Some(source), Some(watched)) = (sources.get(at), self.tables.get_mut(at)) else {
            return Ok(());
        };
        if source.columns.len() > watched.rules.layout().width {
            let known = &targets.named(&watched.target)?.known;
            watched.rules.grow(source, |placed| known.rule(placed, settings))?;
            watched.guesses.resize(watched.rules.fields().len(), Guess::new());
        }
        Ok(())
    }

    /// What was seen.
    ///
    /// # Errors
    /// `NotFound` for columns that no row has, `Invalid` for a file without rows that would say its columns.
    pub(super) fn finish<S: RowSource>(
        mut self,
        rows: &S,
        targets: &mut Targets<'_>,
    ) -> CtlResult<Seen> {
        let (sources, name) = (rows.tables(), self.opening.name);
        if rows.count() == 0 && matches!(self.opening.format, Format::Ndjson | Format::Line) {
            return Err(CtlError::Invalid(format!("{name} is empty: there is no row")));
        }
        if let Some(last) = sources.len().checked_sub(1) {
            self.keep_up(sources, last, targets)?;
        }
        for (watched, source) in self.tables.iter().zip(sources) {
            watched.rules.layout().check_met(source, name)?;
        }
        let seen = |watched: Watched| SeenTable {
            target: watched.target,
            layout: watched.rules.layout().clone(),
            guesses: watched.guesses,
        };
        Ok(Seen {
            sources: sources.to_vec(),
            tables: self.tables.into_iter().map(seen).collect(),
            source_rows: rows.count(),
            refusals: self.refusals,
        })
    }
}

impl Watched {
    fn new(
        path: &Path,
        opening: &Opening<'_>,
        source: &SourceTable,
        target: &Target,
    ) -> CtlResult<Self> {
        let (name, settings) = (opening.name, opening.settings);
        let layout = Layout::of(source, path, name, settings)?;
        let rules = layout.fields.iter().map(|placed| target.known.rule(placed, settings));
        let rules = RowRules::new(name, opening.format, &layout, settings, rules.collect());
        let guesses = vec![Guess::new(); layout.fields.len()];
        Ok(Self { target: target.name.clone(), rules, guesses })
    }

    fn guess<R: Row>(&mut self, row: &R, file: u32) {
        let place = Place { file, line: row.number() };
        let fields = self.rules.layout().fields.iter().zip(self.rules.fields());
        for (guess, (placed, rule)) in self.guesses.iter_mut().zip(fields) {
            if !matches!(rule, FieldRule::Open) {
                continue;
            }
            match row.cell(placed.at) {
                Cell::Text(field) => guess.observe(field, self.rules.nulls(), place),
                Cell::String(text) => guess.observe_string(text, self.rules.nulls(), place),
                Cell::Null | Cell::Value(_) => {}
            }
        }
    }
}
