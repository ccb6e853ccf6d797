//! Appends groups to the active log file. One owner at a time; readers of the database never look here.
//! Invariant: `durable_bytes` moves only past what a sync has returned for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ahead::Ahead;
use super::file_header::{FileHeader, PreviousFile};
use super::group::{GROUP_HEADER_BYTES, GroupHeader, GroupKind, group_bytes};
use crate::error::{Error, Result};
use crate::format::frame;
use crate::format::names;
use crate::format::version::WAL_VERSION;
use crate::limits::{LOG_FILL_STEP_BYTES, LOG_SECTOR_BYTES, RESERVE_PART_COUNT};
use crate::model::Sequence;
use crate::planted::{Bug, is_on};
use crate::vfs::{File, OpenMode, Vfs};

/// Bytes of the buffer that are kept from group to group: more are the memory of the batches alone.
const BUFFER_KEPT_BYTES: usize = 1 << 20;

/// Records on their way into the log.
#[derive(Debug, Clone, Copy)]
pub struct Group<'a> {
    /// What the group is for.
    pub kind: GroupKind,
    /// The records, each after its length (u32, little-endian).
    pub payload: &'a [u8],
    /// The number of records.
    pub record_count: u32,
    /// The first record's sequence, or the next one's where there is none.
    pub first: Sequence,
    /// Commit time of the records.
    pub commit_time_ns: i64,
}

/// How much of a log file is written with zeros ahead of its groups, and when it is full.
#[derive(Debug, Clone, Copy)]
pub struct Preparation {
    /// Bytes of zeros ahead.
    pub ahead_bytes: u64,
    /// Bytes at which the file is full.
    pub file_bytes: u64,
}

/// The active log file.
pub struct LogWriter {
    file: Arc<dyn File>,
    header: FileHeader,
    path: PathBuf,
    written_bytes: u64,
    durable_bytes: u64,
    ahead: Arc<Ahead>,
    witnessed_bytes: u64,
    /// Where the last group of records ends.
    records_end_bytes: u64,
    previous_checksum: u32,
    buffer: Vec<u8>,
}

impl LogWriter {
    /// Creates the log file that `header` describes in `folder` and makes it durable, the first zeros ahead included. The others
    /// are for [`Ahead::prepare`].
    ///
    /// # Errors
    /// `Io`; the file is then removed again, and a retry is safe.
    pub fn create(
        vfs: &dyn Vfs,
        folder: &Path,
        header: FileHeader,
        preparation: Preparation,
    ) -> Result<Self> {
        let path = folder.join(names::log_file(header.number, header.file_id));
        let file = vfs.open(&path, OpenMode::Create)?;
        let (bytes, checksum) = header.encode();
        // A small part of what is free: preparing must not fill the disk.
        let free_bytes = vfs.free_bytes(folder).unwrap_or(u64::MAX);
        let Preparation { ahead_bytes, file_bytes } = preparation;
        let prepare_bytes =
            ahead_bytes.min(LOG_FILL_STEP_BYTES).min(free_bytes / RESERVE_PART_COUNT);
        let filled_bytes = match fill(file.as_ref(), &bytes, prepare_bytes) {
            Ok(prepared) => prepared,
            Err(error) => {
                drop(file);
                // The file holds nothing: should its removal fail too, opening ignores it.
                let _ = vfs.remove(&path);
                return Err(error);
            }
        };
        if !is_on(Bug::SkipDirectorySync) {
            vfs.sync_dir(folder)?;
        }
        let start = LOG_SECTOR_BYTES as u64;
        let distances = (ahead_bytes, file_bytes);
        let ahead = Ahead::new(
            Arc::clone(&file),
            folder.to_path_buf(),
            distances,
            (start, filled_bytes.max(start)),
        );
        Ok(Self {
            file,
            header,
            path,
            written_bytes: start,
            durable_bytes: start,
            ahead: Arc::new(ahead),
            witnessed_bytes: start,
            records_end_bytes: start,
            previous_checksum: checksum,
            buffer: Vec::new(),
        })
    }

    /// Who the file is.
    #[must_use]
    pub fn header(&self) -> &FileHeader {
        &self.header
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes written so far.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Whether everything written is durable.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.durable_bytes == self.written_bytes
    }

    /// Whether the file says of every record that it is durable, by the durable offset of its last group.
    #[must_use]
    pub fn is_witnessed(&self) -> bool {
        self.witnessed_bytes >= self.records_end_bytes
    }

    /// How the next file names this one as its predecessor.
    #[must_use]
    pub fn as_previous(&self) -> PreviousFile {
        PreviousFile {
            number: self.header.number,
            file_id: self.header.file_id,
            end_bytes: self.written_bytes,
        }
    }

    /// Writes a group after the last one. It is not durable yet.
    ///
    /// # Errors
    /// `Io`: nothing of the group is in the log, the next one takes its place; a retry is safe. `Poisoned` where a sync failed that
    /// was to make sure of that.
    pub fn append(&mut self, group: Group<'_>) -> Result<()> {
        let offset = self.written_bytes;
        let bytes = group_bytes(group.payload.len());
        let payload_offset = offset + GROUP_HEADER_BYTES as u64;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT_BYTES);
        self.buffer.resize(GROUP_HEADER_BYTES, 0);
        self.buffer.extend_from_slice(group.payload);
        self.buffer.resize(bytes, 0);
        let (head, body) = self.buffer.split_at_mut(GROUP_HEADER_BYTES);
        let header = GroupHeader {
            kind: group.kind,
            payload_bytes: u32::try_from(group.payload.len()).unwrap_or(u32::MAX),
            record_count: group.record_count,
            first: group.first,
            commit_time_ns: group.commit_time_ns,
            durable_bytes: self.durable_bytes,
            previous: self.previous_checksum,
            uses_reserved: false,
            payload_checksum: frame::seal(self.header.file_id, payload_offset, WAL_VERSION, body),
        };
        let encoded = header.encode(self.header.file_id, offset);
        head.copy_from_slice(&encoded);
        let checksum = encoded.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        self.ahead.claim(offset + bytes as u64);
        if let Err(error) = self.file.write_at(&self.buffer, offset) {
            if is_on(Bug::KeepFailedGroup) {
                return Err(error);
            }
            if is_on(Bug::AdvanceOverFailedGroup) {
                self.written_bytes += bytes as u64;
            }
            return Err(self.take_back(offset, error));
        }
        self.previous_checksum = checksum;
        if group.kind == GroupKind::Records {
            self.records_end_bytes = offset + bytes as u64;
        }
        self.witnessed_bytes = self.durable_bytes;
        self.written_bytes += bytes as u64;
        Ok(())
    }

    /// Takes back what a failed write left behind: its caller is told that nothing was kept, so no opening may find the group.
    fn take_back(&mut self, offset: u64, error: Error) -> Error {
        if self.file.write_at(&[0; LOG_SECTOR_BYTES], offset).is_err() {
            // A sector that is there takes no space: on a full disk there is nothing to take back.
            return error;
        }
        match self.sync() {
            Ok(()) => error,
            Err(failed) => Error::Poisoned { cause: format!("{failed}, after: {error}") },
        }
    }

    /// Makes every group written so far durable.
    ///
    /// # Errors
    /// `Io`: nothing may be trusted of what was written since the last sync; the caller must poison the log.
    pub fn sync(&mut self) -> Result<()> {
        self.ahead.sync()?;
        self.durable_bytes = self.written_bytes;
        Ok(())
    }

    /// The zeros ahead, for the job that writes them.
    #[must_use]
    pub fn ahead(&self) -> &Arc<Ahead> {
        &self.ahead
    }

    /// Ends the preparation of the file, which takes no more groups.
    pub fn stop_preparing(&self) {
        self.ahead.stop();
    }

    /// Cuts what lies behind the last group, and makes that durable. No group may follow.
    ///
    /// # Errors
    /// `Io`; the groups are as durable as before.
    pub fn trim(&self) -> Result<()> {
        self.ahead.stop();
        self.ahead.check()?;
        if self.file.len_bytes()? > self.written_bytes {
            self.file.allocate(self.written_bytes)?;
            self.ahead.sync()?;
        }
        Ok(())
    }
}

/// Writes the header and zeros up to `prepare_bytes`, and syncs. A disk too full for the zeros gets the header alone.
fn fill(file: &dyn File, header: &[u8], prepare_bytes: u64) -> Result<u64> {
    const CHUNK_BYTES: usize = 1 << 20;
    file.write_at(header, 0)?;
    let mut at = header.len() as u64;
    let zeros = vec![0; CHUNK_BYTES.min(usize::try_from(prepare_bytes).unwrap_or(CHUNK_BYTES))];
    while at < prepare_bytes {
        let len = usize::try_from(prepare_bytes - at).unwrap_or(usize::MAX).min(zeros.len());
        match file.write_at(zeros.get(..len).unwrap_or_default(), at) {
            Ok(()) => at += len as u64,
            Err(error) if error.is_no_space() => {
                // The last bytes of the disk are for groups, not for zeros.
                at = header.len() as u64;
                file.allocate(at)?;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    file.sync_data()?;
    Ok(at)
}
