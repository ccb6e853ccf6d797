//! The second pass: one thread unpacks, one parses records into chunks, and this one commits them in order. A chunk
//! carries the note of how far its file has come, in the same atomic batch; the last one says that it is finished.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use chronolith_engine::model::{Batch, ImportMark, TableRows};
use chronolith_engine::{Db, Ticket};

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
/// Chunks that are committed at a time.
const TICKETS_MAX: usize = 2;
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
                let mut parser =
                    Parser { settings, rules, plan, refusals: &mut refusals, duplicates, is_same: &is_same };
                parser.run(&mut records, &sender)
            })();
            if let Err(error) = parsed {
                // Nobody listens any more after an error of the committing side.
                let _ = sender.send(Err(error));
            }
        });
        let mut committer = Committer::new(&prepared.db, Some((identity, &survey.name)));
        committer.run(chunks, &mut |chunk, row_count| {
            totals.add(row_count, chunk.times);
            progress.set(before + raw.get());
            on_commit(&Committed { file: &survey.name, source_rows: chunk.source_rows })
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
    db: &Db,
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
        Committer::new(db, None).run(chunks, &mut |chunk, row_count| {
            totals.add(row_count, chunk.times);
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
                if sender.send(Ok(Chunk { rows, times, source_rows, is_last })).is_err() {
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

/// The committing side: a few chunks are under way at a time, and each is reported once it is kept.
struct Committer<'a> {
    db: &'a Db,
    import: Option<(&'a Identity, &'a str)>,
    chunk: u64,
    /// Rows of the file, up to the last chunk that was submitted.
    row_count: u64,
    under_way: VecDeque<(Ticket, Chunk, u64)>,
}

impl<'a> Committer<'a> {
    fn new(db: &'a Db, import: Option<(&'a Identity, &'a str)>) -> Self {
        let (chunk, row_count) =
            import.map_or((0, 0), |(identity, _)| (identity.chunk(), identity.row_count()));
        Self { db, import, chunk, row_count, under_way: VecDeque::new() }
    }

    /// `done` gets each chunk that is kept, and its rows.
    fn run(
        &mut self,
        chunks: Receiver<CtlResult<Chunk>>,
        done: &mut dyn FnMut(&Chunk, u64) -> CtlResult<()>,
    ) -> CtlResult<()> {
        let mut result = Ok(());
        for chunk in chunks {
            result = chunk.and_then(|chunk| self.submit(chunk));
            if result.is_ok() && self.under_way.len() >= TICKETS_MAX {
                result = self.finish_one(done);
            }
            if result.is_err() {
                break;
            }
        }
        // What was submitted before an error is kept and counts.
        while !self.under_way.is_empty() {
            let finished = self.finish_one(done);
            result = result.and(finished);
        }
        result
    }

    fn submit(&mut self, mut chunk: Chunk) -> CtlResult<()> {
        let rows = std::mem::replace(&mut chunk.rows, empty_rows());
        let row_count = rows.time.len() as u64;
        self.chunk += 1;
        self.row_count += row_count;
        let mut batch = Batch::new();
        if row_count > 0 {
            batch = batch.with(rows);
        }
        match self.import {
            Some((identity, file)) => {
                batch = batch.producer(&identity.producer, self.chunk);
                batch.import = Some(ImportMark {
                    file: shortened(file),
                    row_count: self.row_count,
                    source_row_count: chunk.source_rows,
                    finished: chunk.is_last,
                });
            }
            None if row_count == 0 => return Ok(()),
            None => {}
        }
        let ticket = self.db.submit(batch)?;
        self.under_way.push_back((ticket, chunk, row_count));
        Ok(())
    }

    fn finish_one(&mut self, done: &mut dyn FnMut(&Chunk, u64) -> CtlResult<()>) -> CtlResult<()> {
        let Some((ticket, chunk, row_count)) = self.under_way.pop_front() else { return Ok(()) };
        ticket.wait()?;
        done(&chunk, row_count)
    }
}

fn empty_rows() -> TableRows {
    TableRows {
        table: String::new(),
        create_if_missing: None,
        time: Vec::new(),
        tags: Vec::new(),
        fields: Vec::new(),
    }
}

/// The end of a long path, which tells files apart.
fn shortened(name: &str) -> String {
    let from = name.len().saturating_sub(FILE_NAME_BYTES_MAX);
    let from = (from..name.len()).find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    name.get(from..).unwrap_or(name).to_owned()
}
