//! Reads a log file group by group while it may still grow, as a tail of the log does.
//! Invariant: only groups at or below the durable sequence are taken, and the bytes are read after that sequence was asked for:
//! such bytes never change again. Others may be taken back.

use std::path::Path;
use std::sync::Arc;

use super::group::{GROUP_HEADER_BYTES, GroupHeader, group_bytes};
use super::reader::{LogFile, RawRecord, Window};
use crate::error::{Error, Result};
use crate::limits::LOG_SECTOR_BYTES;
use crate::model::{FileId, Sequence};
use crate::vfs::{File, OpenMode, Vfs};

/// A place between two groups of a log file.
pub struct LogCursor {
    log: LogFile,
    file: Arc<dyn File>,
    window: Window,
    offset: u64,
    previous: u32,
}

/// What is at a cursor's place.
pub enum CursorStep {
    /// A group; the cursor stands behind it now.
    Group(LogGroup),
    /// A group that is not durable yet.
    NotDurable,
    /// No whole group that follows; and why.
    Nothing(String),
}

/// A group of records that was read.
pub struct LogGroup {
    header: GroupHeader,
    payload: Vec<u8>,
    /// Where the payload begins in the file.
    payload_offset: u64,
    /// Bytes and number of the records that were taken.
    taken_bytes: usize,
    taken: u32,
}

impl LogCursor {
    /// At the first group of the log file `path`, whose name says `number` and `file_id`. None where it has no whole header.
    ///
    /// # Errors
    /// As [`LogFile::open`].
    pub fn open(
        vfs: &dyn Vfs,
        path: &Path,
        (number, file_id): (u64, FileId),
        database_id: u128,
    ) -> Result<Option<Self>> {
        let Some(log) = LogFile::open(vfs, path, number, file_id, database_id)? else {
            return Ok(None);
        };
        let file = vfs.open(path, OpenMode::Read)?;
        let window = Window::small(Arc::clone(&file), 0);
        let previous = log.checksum();
        Ok(Some(Self { log, file, window, offset: LOG_SECTOR_BYTES as u64, previous }))
    }

    /// The file's number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.log.header.number
    }

    /// Forgets what was read ahead: to be called whenever the durable sequence has been asked for anew.
    ///
    /// # Errors
    /// `Io`.
    pub fn refresh(&mut self) -> Result<()> {
        self.window = Window::small(Arc::clone(&self.file), self.file.len_bytes()?);
        Ok(())
    }

    /// The next group that has records with counters above that of `after`, where all of it is at or below `durable`.
    ///
    /// # Errors
    /// `Io`; `UnsupportedFeature`.
    pub fn step(&mut self, after: Sequence, durable: Sequence) -> Result<CursorStep> {
        loop {
            let offset = self.offset;
            let (header, checksum) =
                match self.log.group_header(&mut self.window, offset, Some(self.previous))? {
                    Ok(found) => found,
                    Err(detail) => return Ok(CursorStep::Nothing(detail)),
                };
            let end = header.first.counter + u64::from(header.record_count);
            let has_records = header.record_count > 0;
            let last = Sequence { counter: end.saturating_sub(1), ..header.first };
            if has_records && last > durable {
                return Ok(CursorStep::NotDurable);
            }
            let mut group = None;
            if has_records && end > after.counter + 1 {
                let body = match self.log.group_body(&mut self.window, offset, &header)? {
                    Ok(body) => body,
                    Err(detail) => return Ok(CursorStep::Nothing(detail)),
                };
                let payload = body.get(..header.payload_bytes as usize).unwrap_or(body).to_vec();
                let payload_offset = offset + GROUP_HEADER_BYTES as u64;
                group =
                    Some(LogGroup { header, payload, payload_offset, taken_bytes: 0, taken: 0 });
            }
            self.offset += group_bytes(header.payload_bytes as usize) as u64;
            self.previous = checksum;
            if let Some(group) = group {
                return Ok(CursorStep::Group(group));
            }
        }
    }

    /// The error for `detail` at this place, where the log must go on.
    #[must_use]
    pub fn damaged(&self, detail: String) -> Error {
        Error::corrupt(&self.log.path, self.offset, "log group", detail)
    }
}

impl LogGroup {
    /// The first record's sequence.
    #[must_use]
    pub fn first(&self) -> Sequence {
        self.header.first
    }

    /// The next record that was not taken; none after the last.
    ///
    /// # Errors
    /// A text for a record whose length does not fit the group.
    pub fn peek(&self) -> std::result::Result<Option<RawRecord<'_>>, String> {
        if self.taken >= self.header.record_count {
            return Ok(None);
        }
        let rest = self.payload.get(self.taken_bytes..).unwrap_or_default();
        let record = rest.split_first_chunk::<4>().and_then(|(len, tail)| {
            tail.split_at_checked(u32::from_le_bytes(*len) as usize).map(|(bytes, _)| bytes)
        });
        let bytes = record.ok_or_else(|| "a record's length does not fit its group".to_owned())?;
        let (first, taken) = (self.header.first, u64::from(self.taken));
        Ok(Some(RawRecord {
            sequence: Sequence { counter: first.counter + taken, ..first },
            commit_time_ns: self.header.commit_time_ns,
            bytes,
            offset: self.payload_offset + self.taken_bytes as u64,
        }))
    }

    /// Goes on behind a record of `len_bytes`.
    pub fn take(&mut self, len_bytes: usize) {
        self.taken_bytes += 4 + len_bytes;
        self.taken += 1;
    }
}
