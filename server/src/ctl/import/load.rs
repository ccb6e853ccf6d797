//! The second pass: one thread unpacks, one parses records into chunks, and this one commits them in order. A chunk
//! carries the note of how far its file has come, in the same atomic batch; the last one says that it is finished.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use chronolith_engine::model::{Batch, ImportMark, TableRows};

use super::super::place::Place;
use super::super::{CtlError, CtlResult};
use super::args::Settings;
use super::cell::Row;
use super::chunk::ChunkBuilder;
use super::duplicates::Duplicates;
use super::format::Format;
use super::identity::Identity;
use super::plan::Plan;
use super::read_ahead::ReadAhead;
use super::refusals::{Refusal, Refusals};
use super::report::Summary;
use super::row::RowRules;
use super::rows::{Opening, RowSource, Visit};
use super::source::{Opened, open};
use super::survey::{Seen, SeenTable, Survey};
use super::{CHUNK_BYTES, CHUNK_ROWS, Destination, Prepared};
use crate::text::input::RawBytes;
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
    /// Of each table that has any.
    rows: Vec<TableRows>,
    kept: Kept,
}

impl Chunk {
    fn row_count(&self) -> u64 {
        self.rows.iter().map(|rows| rows.time.len() as u64).sum()
    }
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
    let opened = open(&survey.path, survey.format)?;
    let raw = match &opened {
        Opened::Bytes(input, _) => input.raw_bytes(),
        Opened::Stored(stored) => stored.raw_bytes(),
    };
    let before = summary.raw_bytes;
    let file = (survey.name.as_str(), survey.format);
    let parts = parts_of(&prepared.destinations, &survey.seen, file, settings)?;
    let (duplicates, totals) = summary.parts();
    thread::scope(|scope| {
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        let parts = &parts;
        scope.spawn(move || {
            let parsed = parse_file(opened, survey, settings, parts, identity, duplicates, &sender);
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
    summary.raw_bytes = before + survey.raw_bytes;
    summary.refusals.merge(&survey.seen.refusals);
    Ok(())
}

/// Reads a file again, from where its import has come to.
fn parse_file(
    opened: Opened,
    survey: &Survey,
    settings: &Settings,
    parts: &[Part<'_>],
    identity: &Identity,
    duplicates: Option<&mut Duplicates>,
    sender: &SyncSender<CtlResult<Chunk>>,
) -> CtlResult<()> {
    let opening = Opening {
        format: survey.format,
        name: &survey.name,
        settings,
        known: &survey.seen.sources,
        is_settled: true,
    };
    let mut refusals = Refusals::new(true);
    let from = identity.source_rows();
    thread::scope(|scope| match opened {
        Opened::Bytes(input, hashing) => {
            let ahead = ReadAhead::spawn(scope, input);
            let is_same = || Ok(hashing.finish() == survey.hash);
            let parser = Parser {
                parts,
                refusals: &mut refusals,
                duplicates,
                from,
                is_same: &is_same,
                sender,
            };
            opening.bytes(ahead, parser)
        }
        Opened::Stored(stored) => {
            let is_same = || Ok(stored.hash()? == survey.hash);
            let parser = Parser {
                parts,
                refusals: &mut refusals,
                duplicates,
                from,
                is_same: &is_same,
                sender,
            };
            opening.stored(&stored, parser)
        }
    })
}

/// Where a stream's rows come from and go to.
pub(super) struct Stream<'a> {
    pub(super) db: &'a Place,
    pub(super) parts: &'a [Part<'a>],
    pub(super) settings: &'a Settings,
    pub(super) summary: &'a mut Summary,
    pub(super) progress: &'a Progress,
    pub(super) raw: &'a RawBytes,
}

/// Imports a stream that is read once; gives the rows that were refused.
///
/// # Errors
/// The engine's, the stream's, a refused row unless these are skipped: with what was committed before.
pub(super) fn load_stream(
    stream: Stream<'_>,
    opening: &Opening<'_>,
    bytes: impl std::io::Read + Send,
) -> CtlResult<()> {
    let Stream { db, parts, settings, summary, progress, raw } = stream;
    let mut refusals = Refusals::new(settings.skip);
    let (duplicates, totals) = summary.parts();
    let loaded = thread::scope(|scope| {
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        let refusals = &mut refusals;
        scope.spawn(move || {
            let is_same = || Ok(true);
            let sender = &sender;
            let parser = Parser { parts, refusals, duplicates, from: 0, is_same: &is_same, sender };
            if let Err(error) = opening.bytes(bytes, parser) {
                let _ = sender.send(Err(error));
            }
        });
        Committer::new(db, None).run(chunks, &mut |kept, row_count| {
            totals.add(row_count, kept.times);
            progress.add(row_count);
            Ok(())
        })
    });
    summary.raw_bytes = raw.get();
    summary.refusals.merge(&refusals);
    loaded
}

/// What becomes of the rows of one table of a file.
pub(super) struct Part<'a> {
    /// The table that takes them.
    pub(super) table: &'a str,
    pub(super) rules: RowRules,
    pub(super) plan: &'a Plan,
    /// Whether a row can replace another one.
    replaces: bool,
}

/// For each table of the file `name` what becomes of its rows.
///
/// # Errors
/// `Failed` for a bug.
pub(super) fn parts_of<'a>(
    destinations: &'a [Destination],
    seen: &Seen,
    (name, format): (&str, Format),
    settings: &Settings,
) -> CtlResult<Vec<Part<'a>>> {
    let part = |table: &SeenTable| {
        let destination = destinations.iter().find(|one| one.schema.name == table.target);
        let destination =
            destination.ok_or_else(|| CtlError::Failed("a table is lost".to_owned()))?;
        Ok(Part {
            table: &destination.schema.name,
            rules: destination.plan.rules(name, format, &table.layout, settings),
            plan: &destination.plan,
            replaces: destination.schema.merge.replaces(),
        })
    };
    seen.tables.iter().map(part).collect()
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
    parts: &'a [Part<'a>],
    refusals: &'a mut Refusals,
    duplicates: Option<&'a mut Duplicates>,
    /// Source rows that are committed.
    from: u64,
    /// Whether what was read is what was checked; asked at the end.
    is_same: &'a dyn Fn() -> CtlResult<bool>,
    sender: &'a SyncSender<CtlResult<Chunk>>,
}

impl Visit for Parser<'_> {
    type Out = ();

    fn visit<S: RowSource>(mut self, mut rows: S) -> CtlResult<()> {
        // Passes over rows that are committed.
        while rows.count() < self.from {
            if rows.advance()?.is_none() {
                return Err(changed());
            }
        }
        self.run(&mut rows)
    }
}

impl Parser<'_> {
    fn run<S: RowSource>(&mut self, rows: &mut S) -> CtlResult<()> {
        let chunks =
            self.parts.iter().map(|part| ChunkBuilder::new(part.table, &part.rules, part.plan));
        let mut chunks: Vec<ChunkBuilder<'_>> = chunks.collect();
        let (mut start, mut bytes) = (rows.count(), 0);
        loop {
            let is_full = rows.count() - start >= CHUNK_ROWS || bytes >= CHUNK_BYTES;
            let source_rows = rows.count();
            let next = rows.advance()?;
            let is_last = next.is_none();
            if is_last && !(self.is_same)()? {
                return Err(changed());
            }
            if is_full || is_last {
                // A closed channel: the committing side has failed and tells why.
                let chunk = taken(&mut chunks, source_rows, is_last);
                if self.sender.send(Ok(chunk)).is_err() {
                    return Ok(());
                }
                (start, bytes) = (source_rows, 0);
            }
            let Some(next) = next else { return Ok(()) };
            let at = rows.row().table();
            let pushed = next.and_then(|()| match chunks.get_mut(at) {
                Some(chunk) => chunk.push(rows.row()).map(|added| (added, chunk)),
                // A table that was not there at the first pass: the file was changed, which its hash shows.
                None => Err(Refusal("a table is new".to_owned())),
            });
            match pushed {
                Ok((added, chunk)) => {
                    bytes += added;
                    if let Some(duplicates) = &mut self.duplicates
                        && self.parts.get(at).is_some_and(|part| part.replaces)
                    {
                        chunk.note_duplicate(duplicates);
                    }
                }
                Err(refusal) => self.refusals.refuse(refusal)?,
            }
        }
    }
}

/// The second pass over a few bytes, without a database.
///
/// # Errors
/// Those of the file.
#[cfg(feature = "fuzz")]
pub(super) fn parse_all(
    parts: &[Part<'_>],
    opening: &Opening<'_>,
    bytes: &[u8],
) -> CtlResult<Vec<TableRows>> {
    // Few bytes are one chunk, but for many rows of no bytes.
    let (sender, chunks) = sync_channel(1_000);
    let mut refusals = Refusals::new(true);
    let (refusals, is_same, sender) = (&mut refusals, || Ok(true), sender);
    let parser =
        Parser { parts, refusals, duplicates: None, from: 0, is_same: &is_same, sender: &sender };
    opening.bytes(bytes, parser)?;
    drop(sender);
    let mut rows = Vec::new();
    for chunk in chunks {
        rows.extend(chunk?.rows);
    }
    Ok(rows)
}

/// The rows of all tables; the builders are empty afterwards.
fn taken(chunks: &mut [ChunkBuilder<'_>], source_rows: u64, is_last: bool) -> Chunk {
    let mut times: Option<(i64, i64)> = None;
    let mut rows = Vec::new();
    for chunk in chunks.iter_mut().filter(|chunk| !chunk.is_empty()) {
        let (of, taken) = chunk.take();
        times = match (times, of) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (times, of) => times.or(of),
        };
        rows.push(taken);
    }
    Chunk { rows, kept: Kept { times, source_rows, is_last } }
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
            let chunk = chunk?;
            let row_count = chunk.row_count();
            self.commit(chunk.rows, row_count, &chunk.kept)?;
            done(&chunk.kept, row_count)?;
        }
        Ok(())
    }

    /// The rows of all tables in one batch, which is kept whole or not at all, with the note of it.
    fn commit(&mut self, rows: Vec<TableRows>, row_count: u64, kept: &Kept) -> CtlResult<()> {
        self.chunk += 1;
        self.row_count += row_count;
        let mut batch = Batch::new();
        for rows in rows {
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
        if row_count > 0 || self.import.is_some() {
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
