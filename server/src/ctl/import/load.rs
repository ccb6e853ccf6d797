//! The second pass: one thread unpacks, one parses records into chunks, and this one commits them in order. A chunk
//! carries the note of how far its file has come, in the same atomic batch; the last one says that it is finished.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use chronolith_engine::model::{Batch, ImportMark, TableRows};

use super::super::place::Place;
use super::super::{CtlError, CtlResult};
use super::args::Settings;
use super::chunk::ChunkBuilder;
use super::duplicates::Duplicates;
use super::identity::Identity;
use super::layout::read_layout;
use super::plan::Plan;
use super::read_ahead::ReadAhead;
use super::records::Records;
use super::refusals::Refusals;
use super::report::Summary;
use super::row::RowRules;
use super::source::open_hashed;
use super::survey::Survey;
use super::{CHUNK_ROWS, Prepared};
use crate::text::csv::CsvReader;
use crate::text::progress::Progress;

/// Chunks between the parsing and the committing thread.
const CHUNKS_AHEAD: usize = 2;
/// Bytes of a file's name that are kept beside a chunk.
const FILE_NAME_BYTES_MAX: usize = 256;

/// A chunk that is kept.
pub(in super::super) struct Committed<'a> {
    /// The file.
    pub(in super::super) file: &'a str,
    /// Source rows of the file that are dealt with, this chunk included.
    pub(in super::super) source_rows: u64,
}

/// A chunk on its way.
struct Chunk {
    rows: TableRows,
    kept: Kept,
}

/// What is told of a chunk once it is kept.
struct Kept {
    times: Option<(i64, i64)>,
    /// Source rows of the file up to here.
    source_rows: u64,
    is_last: bool,
}

/// Imports what is left of a file.
///
/// # Errors
/// `Failed` where the file is not the one that was checked; the engine's.
pub(super) fn load_file(
    prepared: &Prepared,
    survey: &Survey,
    settings: &Settings,
    identity: &Identity,
    summary: &mut Summary,
    progress: &Progress,
    on_commit: &dyn Fn(&Committed<'_>) -> CtlResult<()>,
) -> CtlResult<()> {
    let (input, hashing) = open_hashed(&survey.path)?;
    let raw = input.raw_bytes();
    let before = summary.raw_bytes;
    let rules = prepared.plan.rules(&survey.name, &survey.seen.layout, settings);
    let (duplicates, totals) = summary.parts();
    thread::scope(|scope| {
        let ahead = ReadAhead::spawn(scope, input);
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        let (rules, plan) = (&rules, &prepared.plan);
        scope.spawn(move || {
            let parsed = (|| {
                let mut reader = CsvReader::new(ahead, &survey.name, settings.delimiter);
                let (_, first) = read_layout(&mut reader, &survey.path, settings)?;
                let mut records = Records::new(reader, first);
                skip_rows(&mut records, identity.source_rows())?;
                let is_same = || hashing.finish() == survey.hash;
                let mut refusals = Refusals::new(true);
                let mut parser = Parser {
                    settings,
                    rules,
                    plan,
                    refusals: &mut refusals,
                    duplicates,
                    is_same: &is_same,
                };
                parser.run(&mut records, &sender)
            })();
            if let Err(error) = parsed {
                // Nobody listens any more after an error of the committing side.
                let _ = sender.send(Err(error));
            }
        });
        let mut committer = Committer::new(&prepared.db, Some((identity, &survey.name)));
        committer.run(chunks, &mut |kept, row_count| {
            totals.add(row_count, kept.times);
            progress.set(before + raw.get());
            on_commit(&Committed { file: &survey.name, source_rows: kept.source_rows })
        })
    })?;
    summary.raw_bytes = before + raw.get();
    summary.refusals.merge(&survey.seen.refusals);
    Ok(())
}

/// Imports a stream that is read once; gives the rows that were refused.
///
/// # Errors
/// The engine's, the stream's, a refused row unless these are skipped: with what was committed before.
pub(super) fn load_stream<R: Read + Send>(
    db: &Place,
    mut records: Records<R>,
    rules: &RowRules,
    plan: &Plan,
    settings: &Settings,
    summary: &mut Summary,
    progress: &Progress,
) -> CtlResult<()> {
    let mut refusals = Refusals::new(settings.skip);
    let (duplicates, totals) = summary.parts();
    let loaded = thread::scope(|scope| {
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        let refusals = &mut refusals;
        scope.spawn(move || {
            let mut parser =
                Parser { settings, rules, plan, refusals, duplicates, is_same: &|| true };
            if let Err(error) = parser.run(&mut records, &sender) {
                let _ = sender.send(Err(error));
            }
        });
        Committer::new(db, None).run(chunks, &mut |kept, row_count| {
            totals.add(row_count, kept.times);
            progress.add(row_count);
            Ok(())
        })
    });
    summary.refusals.merge(&refusals);
    loaded
}

/// Passes over rows that are committed.
fn skip_rows<R: Read>(records: &mut Records<R>, count: u64) -> CtlResult<()> {
    while records.count() < count {
        if records.next()?.is_none() {
            return Err(changed());
        }
    }
    Ok(())
}

fn changed() -> CtlError {
    CtlError::Failed(
        "a file was changed while it was imported: it does not have the bytes that were checked; \
         the rows that were committed came from both versions: delete them, or drop the table"
            .to_owned(),
    )
}

/// The parsing side.
struct Parser<'a> {
    settings: &'a Settings,
    rules: &'a RowRules,
    plan: &'a Plan,
    refusals: &'a mut Refusals,
    duplicates: Option<&'a mut Duplicates>,
    /// Whether what was read is what was checked; asked at the end.
    is_same: &'a dyn Fn() -> bool,
}

impl Parser<'_> {
    fn run<R: Read>(
        &mut self,
        records: &mut Records<R>,
        sender: &SyncSender<CtlResult<Chunk>>,
    ) -> CtlResult<()> {
        let mut chunk = ChunkBuilder::new(&self.settings.table, self.rules, self.plan);
        let mut start = records.count();
        loop {
            let is_full = records.count() - start >= CHUNK_ROWS || chunk.is_large();
            let source_rows = records.count();
            let next = records.next()?;
            let is_last = next.is_none();
            if is_last && !(self.is_same)() {
                return Err(changed());
            }
            if is_full || is_last {
                let (times, rows) = chunk.take();
                // A closed channel: the committing side has failed and tells why.
                let kept = Kept { times, source_rows, is_last };
                if sender.send(Ok(Chunk { rows, kept })).is_err() {
                    return Ok(());
                }
                start = source_rows;
            }
            let Some(next) = next else { return Ok(()) };
            let pushed = next.and_then(|record| chunk.push(record).map(|()| record));
            match (pushed, &mut self.duplicates) {
                (Ok(record), Some(duplicates)) => chunk.note_duplicate(record, duplicates),
                (Ok(_), None) => {}
                (Err(refusal), _) => self.refusals.refuse(refusal)?,
            }
        }
    }
}

/// The committing side: one chunk at a time, each reported once it is kept.
struct Committer<'a> {
    db: &'a Place,
    import: Option<(&'a Identity, &'a str)>,
    chunk: u64,
    /// Rows of the file that are committed.
    row_count: u64,
}

impl<'a> Committer<'a> {
    fn new(db: &'a Place, import: Option<(&'a Identity, &'a str)>) -> Self {
        let (chunk, row_count) =
            import.map_or((0, 0), |(identity, _)| (identity.chunk(), identity.row_count()));
        Self { db, import, chunk, row_count }
    }

    /// `done` gets each chunk that is kept, and its rows.
    fn run(
        &mut self,
        chunks: Receiver<CtlResult<Chunk>>,
        done: &mut dyn FnMut(&Kept, u64) -> CtlResult<()>,
    ) -> CtlResult<()> {
        for chunk in chunks {
            let Chunk { rows, kept } = chunk?;
            let row_count = rows.time.len() as u64;
            self.commit(rows, &kept)?;
            done(&kept, row_count)?;
        }
        Ok(())
    }

    fn commit(&mut self, rows: TableRows, kept: &Kept) -> CtlResult<()> {
        let has_rows = !rows.time.is_empty();
        self.chunk += 1;
        self.row_count += rows.time.len() as u64;
        let mut batch = Batch::new();
        if has_rows {
            batch = batch.with(rows);
        }
        if let Some((identity, file)) = self.import {
            batch = batch.producer(&identity.producer, self.chunk);
            batch.import = Some(ImportMark {
                file: shortened(file),
                row_count: self.row_count,
                source_row_count: kept.source_rows,
                finished: kept.is_last,
            });
        }
        if has_rows || self.import.is_some() {
            // Waits where memory is full.
            self.db.write(batch)?;
        }
        Ok(())
    }
}

/// The end of a long path, which tells files apart.
fn shortened(name: &str) -> String {
    let from = name.len().saturating_sub(FILE_NAME_BYTES_MAX);
    let from = (from..name.len()).find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    name.get(from..).unwrap_or(name).to_owned()
}
