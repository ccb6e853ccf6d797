//! The first pass over a file: hashes its bytes, checks every row, and sees what types its columns could have.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;

use super::super::CtlResult;
use super::args::Settings;
use super::layout::{Layout, read_layout};
use super::plan::Known;
use super::read_ahead::ReadAhead;
use super::records::Records;
use super::refusals::Refusals;
use super::report::Report;
use super::row::{FieldRule, RowRules};
use super::source::{FileHash, open_hashed};
use crate::text::csv::{CsvReader, Record};
use crate::text::infer::{Guess, NullWords, Place};
use crate::text::progress::Progress;

/// Rows between two moves of the progress bar.
const PROGRESS_ROWS: u64 = 16 << 10;

/// What was found in a file.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) name: String,
    pub(super) path: PathBuf,
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
    pub(super) layout: Layout,
    /// For each field of the layout what its type could be.
    pub(super) guesses: Vec<Guess>,
    pub(super) source_rows: u64,
    pub(super) refusals: Refusals,
}

/// Surveys files one after the other.
///
/// # Errors
/// The first file's that cannot be imported.
pub(super) fn survey_all(
    files: &[PathBuf],
    settings: &Settings,
    known: &Known,
    report: &Report,
) -> CtlResult<Vec<Survey>> {
    let total = files.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|m| m.len()).sum();
    let progress = report.bar("checking", total);
    let mut surveys = Vec::new();
    let mut before = 0;
    for (number, path) in (0..).zip(files) {
        let survey = survey_file(number, path, settings, known, &progress, before)?;
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
    known: &Known,
    progress: &Progress,
    before: u64,
) -> CtlResult<Survey> {
    let (input, hashing) = open_hashed(path)?;
    let name = input.name().to_owned();
    let raw = input.raw_bytes();
    let seen = thread::scope(|scope| {
        let ahead = ReadAhead::spawn(scope, input);
        let mut reader = CsvReader::new(ahead, &name, settings.delimiter);
        let (layout, first) = read_layout(&mut reader, path, settings)?;
        let mut observer = Observer::new(number, &name, layout, settings, known);
        let mut records = Records::new(reader, first);
        while observer.observe_next(&mut records)? {
            if records.count().is_multiple_of(PROGRESS_ROWS) {
                progress.set(before + raw.get());
            }
        }
        CtlResult::Ok(observer.finish(records.count()))
    })?;
    // The reading thread has ended, so every byte was hashed.
    let (hash, raw_bytes) = (hashing.finish(), raw.get());
    Ok(Survey { name, path: path.to_path_buf(), hash, raw_bytes, seen })
}

/// Takes in rows.
pub(super) struct Observer {
    file: u32,
    rules: RowRules,
    nulls: NullWords,
    guesses: Vec<Guess>,
    refusals: Refusals,
}

impl Observer {
    pub(super) fn new(
        file: u32,
        name: &str,
        layout: Layout,
        settings: &Settings,
        known: &Known,
    ) -> Self {
        let rules = layout.fields.iter().map(|(field, _)| known.rule(field, settings)).collect();
        let rules = RowRules::new(name, &layout, settings, rules);
        let guesses = vec![Guess::new(); layout.fields.len()];
        let refusals = Refusals::new(settings.skip);
        Self { file, nulls: rules.nulls().clone(), rules, guesses, refusals }
    }

    /// Takes in the next row; false at the end.
    ///
    /// # Errors
    /// What ends the file; a refused row unless these are skipped.
    pub(super) fn observe_next<R: Read>(&mut self, records: &mut Records<R>) -> CtlResult<bool> {
        let Some(next) = records.next()? else { return Ok(false) };
        let checked = next.and_then(|record| self.rules.check(record).map(|_| record));
        match checked {
            Ok(record) => self.guess(record),
            Err(refusal) => self.refusals.refuse(refusal)?,
        }
        Ok(true)
    }

    fn guess(&mut self, record: &Record) {
        let place = Place { file: self.file, line: record.line() };
        let fields = self.rules.layout().fields.iter().zip(self.rules.fields());
        for (guess, ((_, at), rule)) in self.guesses.iter_mut().zip(fields) {
            if let (FieldRule::Open, Some(field)) = (rule, record.get(*at)) {
                guess.observe(field, &self.nulls, place);
            }
        }
    }

    pub(super) fn finish(self, source_rows: u64) -> Seen {
        Seen {
            layout: self.rules.layout().clone(),
            guesses: self.guesses,
            source_rows,
            refusals: self.refusals,
        }
    }
}
