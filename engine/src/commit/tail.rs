//! The tail of the log: what was committed and is durable, in order, each record once; first from the files that are there, then as
//! groups become durable. Invariant: it reads the log's files up to the durable end, and holds one group of records at most.

use std::path::PathBuf;
use std::sync::Arc;

use super::pipeline::Pipeline;
use crate::error::{Error, Result};
use crate::model::{FileId, Sequence};
use crate::vfs::Vfs;
use crate::wal::{CursorStep, LogCursor, LogGroup, Record};

/// Times that a file is looked for anew where a flush takes it away at that very moment.
const LOOK_COUNT_MAX: usize = 4;

/// One durable commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// Its place in commit order.
    pub sequence: Sequence,
    /// When it was committed, nanoseconds since the Unix epoch; never before an earlier commit's.
    pub commit_time_ns: i64,
    /// What it holds: producer, changes of tables, rows by table, deletions with the commit's own sequence.
    pub record: Record,
}

/// A file of the log as a tail finds it.
pub(super) struct LogPlace {
    pub(super) number: u64,
    pub(super) file_id: FileId,
    pub(super) path: PathBuf,
    /// Its last record; none for the file that takes groups.
    pub(super) last: Option<Sequence>,
}

/// Follows the log. Ends with the database: it holds no file back, neither from flushes nor from closing.
pub struct Tail {
    pipeline: Arc<Pipeline>,
    vfs: Arc<dyn Vfs>,
    database_id: u128,
    /// The last commit that was given.
    last: Sequence,
    cursor: Option<LogCursor>,
    group: Option<LogGroup>,
}

impl Tail {
    /// Everything durable after `from`.
    ///
    /// # Errors
    /// `LogTruncated` where the log does not reach back so far; `Corrupt`; `Io`.
    pub(crate) fn new(
        pipeline: Arc<Pipeline>,
        vfs: Arc<dyn Vfs>,
        database_id: u128,
        from: Sequence,
    ) -> Result<Self> {
        let mut tail = Self { pipeline, vfs, database_id, last: from, cursor: None, group: None };
        let durable = tail.pipeline.durable_end();
        tail.next_group(durable)?;
        Ok(tail)
    }

    /// The last commit that was given, or the one that the tail was to begin after.
    #[must_use]
    pub fn last(&self) -> Sequence {
        self.last
    }

    /// The next durable commits, one at least, until their records in the log have `max_bytes`; the last of them may pass it. None
    /// where nothing more is durable yet.
    ///
    /// # Errors
    /// `LogTruncated` where a flush let go of what comes next; `Corrupt`; `Io`; `Poisoned` where nothing more will come; `Closed`.
    pub fn next_batch(&mut self, max_bytes: usize) -> Result<Option<Vec<Committed>>> {
        if self.pipeline.is_closed() {
            return Err(Error::Closed);
        }
        // Before the durable sequence: what was committed before the failure is given first.
        let poisoned = self.pipeline.poisoned();
        let durable = self.pipeline.durable_end();
        if let Some(cursor) = &mut self.cursor {
            cursor.refresh()?;
        }
        let mut found = Vec::new();
        let mut bytes = 0;
        while found.is_empty() || bytes < max_bytes {
            match self.next_record(durable) {
                Ok(Some((committed, len_bytes))) => {
                    bytes += len_bytes;
                    self.last = committed.sequence;
                    found.push(committed);
                }
                Ok(None) => break,
                // What was read is given, and the error by the next call.
                Err(_) if !found.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        match (found.is_empty(), poisoned) {
            (false, _) => Ok(Some(found)),
            (true, Some(cause)) => Err(Error::Poisoned { cause }),
            (true, None) => Ok(None),
        }
    }

    /// Calls `listener` once when [`Self::next_batch`] has more or an error, at once where it has. It must wake somebody and do no more.
    pub fn on_more(&self, listener: impl FnOnce() + Send + 'static) {
        self.pipeline.on_durable(self.last, Box::new(listener));
    }

    /// Waits until [`Self::next_batch`] has more or an error, at most `timeout_ms` milliseconds (none: for ever). Returns whether it has.
    #[must_use]
    pub fn wait(&self, timeout_ms: Option<u64>) -> bool {
        self.pipeline.wait_for_more(self.last, timeout_ms)
    }

    /// The next record with its length in the log.
    fn next_record(&mut self, durable: Sequence) -> Result<Option<(Committed, usize)>> {
        loop {
            if self.group.is_none() && !self.next_group(durable)? {
                return Ok(None);
            }
            let (Some(group), Some(cursor)) = (&mut self.group, &self.cursor) else {
                return Ok(None);
            };
            let Some(raw) = group.peek().map_err(|detail| cursor.damaged(detail))? else {
                self.group = None;
                continue;
            };
            let len_bytes = raw.bytes.len();
            if raw.sequence.counter <= self.last.counter {
                group.take(len_bytes);
                continue;
            }
            let mut record = Record::decode(raw.bytes).map_err(|error| {
                cursor.damaged(format!("record {} at byte {}: {error}", raw.sequence, raw.offset))
            })?;
            record.deletions.iter_mut().for_each(|one| one.sequence = raw.sequence);
            let (sequence, commit_time_ns) = (raw.sequence, raw.commit_time_ns);
            group.take(len_bytes);
            return Ok(Some((Committed { sequence, commit_time_ns, record }, len_bytes)));
        }
    }

    /// Reads the group that has the record after the last one. Returns whether it is there and durable.
    fn next_group(&mut self, durable: Sequence) -> Result<bool> {
        if durable.counter <= self.last.counter {
            return Ok(false);
        }
        loop {
            if self.cursor.is_none() {
                self.cursor = Some(self.find_file()?);
            }
            let Some(cursor) = &mut self.cursor else { return Ok(false) };
            match cursor.step(self.last, durable)? {
                CursorStep::NotDurable => return Ok(false),
                CursorStep::Group(group) if group.first().counter > self.last.counter + 1 => {
                    let oldest = group.first();
                    self.cursor = None;
                    return Err(Error::LogTruncated { after: self.last, oldest });
                }
                CursorStep::Group(group) => {
                    self.group = Some(group);
                    return Ok(true);
                }
                CursorStep::Nothing(detail) => {
                    // The file ends here. What is durable lies in a later one, or this one is damaged.
                    let next = self.find_file()?;
                    let Some(cursor) = &self.cursor else { return Ok(false) };
                    if next.number() == cursor.number() {
                        return Err(
                            cursor.damaged(format!("{detail}, though {durable} is durable"))
                        );
                    }
                    self.cursor = Some(next);
                }
            }
        }
    }

    /// The first file that has records after the last one.
    fn find_file(&self) -> Result<LogCursor> {
        let mut looked = 0;
        loop {
            let (places, end) = self.pipeline.log_places();
            let has_more =
                |place: &&LogPlace| place.last.is_none_or(|last| last.counter > self.last.counter);
            let Some(place) = places.iter().find(has_more) else {
                return Err(Error::LogTruncated { after: self.last, oldest: end.next() });
            };
            let id = (place.number, place.file_id);
            match LogCursor::open(self.vfs.as_ref(), &place.path, id, self.database_id) {
                Ok(Some(mut cursor)) => {
                    cursor.refresh()?;
                    return Ok(cursor);
                }
                Ok(None) => {
                    let detail = "the file has no header, though it is in use";
                    return Err(Error::corrupt(&place.path, 0, "log file header", detail));
                }
                Err(error) if error.is_not_found() && looked < LOOK_COUNT_MAX => looked += 1,
                Err(error) => return Err(error),
            }
        }
    }
}
