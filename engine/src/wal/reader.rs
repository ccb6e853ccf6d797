//! Reads a log file to its end and says what that end is. Invariant: a read error is never taken for the end.
//! The torn-tail rule (docs/decisions/0013-opening.md): damage that a later group or file proves durable is corruption;
//! damage behind everything proven is a torn tail.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file_header::FileHeader;
use super::group::{GROUP_HEADER_BYTES, GroupHeader, group_bytes};
use crate::error::{Error, Result};
use crate::format::frame;
use crate::format::version::WAL_VERSION;
use crate::limits::LOG_SECTOR_BYTES;
use crate::model::{FileId, Sequence};
use crate::planted::{Bug, is_on};
use crate::vfs::{File, OpenMode, Vfs};

/// How a log file ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEnd {
    /// Behind the last whole group there is nothing but zeros.
    Clean,
    /// Behind the last whole group there are bytes that never became durable as a group.
    Torn {
        /// What is wrong with them.
        detail: String,
    },
}

/// A log file as found.
#[derive(Debug, Clone)]
pub struct LogFile {
    /// Where it is.
    pub path: PathBuf,
    /// Who it is.
    pub header: FileHeader,
    /// Checksum of its header.
    checksum: u32,
    len_bytes: u64,
}

/// What reading found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogScan {
    /// Bytes of whole groups, from the start of the file.
    pub end_bytes: u64,
    /// Bytes of the file.
    pub len_bytes: u64,
    /// How it ends.
    pub end: LogEnd,
    /// The last record's sequence, if there is a record.
    pub last: Option<Sequence>,
    /// The last record that a later group proves durable, if there is one.
    pub durable: Option<Sequence>,
    /// The last commit time, if there is a group.
    pub last_commit_time_ns: Option<i64>,
}

/// One record with the group's facts.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// The record's sequence.
    pub sequence: Sequence,
    /// Its commit time.
    pub commit_time_ns: i64,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where it stands in the file.
    pub offset: u64,
}

impl LogFile {
    /// Opens the log file `path`, whose name says `number` and `file_id`. None where no header was ever written whole and no group proves
    /// that one was: a file whose creation was cut off.
    ///
    /// # Errors
    /// `Corrupt` for a damaged header before groups, and for a file of another number or database; `UnsupportedVersion`; `Io`.
    pub fn open(
        vfs: &dyn Vfs,
        path: &Path,
        number: u64,
        file_id: FileId,
        database_id: u128,
    ) -> Result<Option<Self>> {
        let file = vfs.open(path, OpenMode::Read)?;
        let len_bytes = file.len_bytes()?;
        let mut sector = vec![0; LOG_SECTOR_BYTES];
        let got = read_whole(file.as_ref(), &mut sector, 0, len_bytes)?;
        sector.truncate(got);
        let Some((header, checksum)) = FileHeader::decode(&sector, path, file_id)? else {
            let mut window = Window::new(file, len_bytes);
            let start = LOG_SECTOR_BYTES as u64;
            return match find_witness(&mut window, file_id, 0, start)? {
                None => Ok(None),
                Some(at) => Err(Error::corrupt(
                    path,
                    0,
                    "log file header",
                    format!("it is not readable, but the group at byte {at} was written after it"),
                )),
            };
        };
        if header.number != number || header.database_id != database_id {
            return Err(Error::corrupt(
                path,
                0,
                "log file header",
                "the file belongs to another place or database; put the right file back",
            ));
        }
        Ok(Some(Self { path: path.to_path_buf(), header, checksum, len_bytes }))
    }

    /// The file as its name and length alone tell, for whoever reads groups behind a damaged header.
    pub(super) fn by_name(
        path: &Path,
        number: u64,
        file_id: FileId,
        database_id: u128,
        len_bytes: u64,
    ) -> Self {
        let (incarnation, previous) = (0, None);
        let header = FileHeader { number, file_id, database_id, incarnation, previous };
        Self { path: path.to_path_buf(), header, checksum: 0, len_bytes }
    }

    /// Bytes of the file.
    pub(super) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Hands every record to `visit`, in order. `known_end` is what the next file says of this one's end.
    ///
    /// # Errors
    /// `Corrupt` for damage that is proven to lie below the durable end; records before it were visited. `Io`; errors of `visit`.
    pub fn scan(
        &self,
        vfs: &dyn Vfs,
        known_end: Option<u64>,
        visit: &mut dyn FnMut(RawRecord<'_>) -> Result<()>,
    ) -> Result<LogScan> {
        let file = vfs.open(&self.path, OpenMode::Read)?;
        let mut window = Window::new(file, self.len_bytes);
        let mut scan = LogScan {
            end_bytes: LOG_SECTOR_BYTES as u64,
            len_bytes: self.len_bytes,
            end: LogEnd::Clean,
            last: None,
            durable: None,
            last_commit_time_ns: None,
        };
        // Where groups end, with their last records, as long as nothing proves them durable.
        let mut unproven: VecDeque<(u64, Sequence)> = VecDeque::new();
        let mut previous = self.checksum;
        while known_end.is_none_or(|end| scan.end_bytes < end) {
            let offset = scan.end_bytes;
            let group = match self.group(&mut window, offset, Some(previous))? {
                Ok(group) => group,
                Err(detail) => {
                    scan.end = self.end_at(&mut window, offset, known_end, detail)?;
                    break;
                }
            };
            let (header, checksum) = group;
            let payload_offset = offset + GROUP_HEADER_BYTES as u64;
            let payload = window.bytes(payload_offset, header.payload_bytes as usize)?;
            self.records(&header, payload, payload_offset, visit)?;
            if header.record_count > 0 {
                let counter = header.first.counter + u64::from(header.record_count) - 1;
                scan.last = Some(Sequence { counter, ..header.first });
            }
            while let Some((_, last)) =
                unproven.pop_front_if(|(end, _)| *end <= header.durable_bytes)
            {
                scan.durable = Some(last);
            }
            scan.last_commit_time_ns = Some(header.commit_time_ns);
            scan.end_bytes += group_bytes(header.payload_bytes as usize) as u64;
            unproven.extend(scan.last.map(|last| (scan.end_bytes, last)));
            previous = checksum;
        }
        Ok(scan)
    }

    /// The whole and unharmed group at `offset`, or what is wrong there. Without `previous`, whatever group stood before it.
    pub(super) fn group(
        &self,
        window: &mut Window,
        offset: u64,
        previous: Option<u32>,
    ) -> Result<std::result::Result<(GroupHeader, u32), String>> {
        let (header, checksum) = match self.group_header(window, offset, previous)? {
            Ok(found) => found,
            Err(detail) => return Ok(Err(detail)),
        };
        let body = self.group_body(window, offset, &header)?;
        Ok(body.map(|_| (header, checksum)))
    }

    /// The header of the group at `offset` that follows the one with the checksum `previous`, or what is wrong there.
    pub(super) fn group_header(
        &self,
        window: &mut Window,
        offset: u64,
        previous: Option<u32>,
    ) -> Result<std::result::Result<(GroupHeader, u32), String>> {
        let bytes = window.bytes(offset, GROUP_HEADER_BYTES)?;
        let Some((header, checksum)) = GroupHeader::decode(bytes, self.header.file_id, offset)
        else {
            return Ok(Err("no group header is there".into()));
        };
        if previous.is_some_and(|previous| header.previous != previous) {
            return Ok(Err("the group there does not follow the one before it".into()));
        }
        if header.uses_reserved {
            return Err(Error::UnsupportedFeature {
                path: self.path.clone(),
                feature: format!("log group at byte {offset} with reserved bytes in use"),
            });
        }
        Ok(Ok((header, checksum)))
    }

    /// The bytes behind the header of the group at `offset`, checked, or what is wrong with them.
    pub(super) fn group_body<'a>(
        &self,
        window: &'a mut Window,
        offset: u64,
        header: &GroupHeader,
    ) -> Result<std::result::Result<&'a [u8], String>> {
        let payload_offset = offset + GROUP_HEADER_BYTES as u64;
        let len = group_bytes(header.payload_bytes as usize) - GROUP_HEADER_BYTES;
        let body = window.bytes(payload_offset, len)?;
        let (file_id, expected) = (self.header.file_id, header.payload_checksum);
        let checked = is_on(Bug::SkipChecksum)
            || frame::check(file_id, payload_offset, WAL_VERSION, body, expected);
        if body.len() < len || !checked {
            return Ok(Err("the group's records do not match their checksum".into()));
        }
        Ok(Ok(body))
    }

    /// The checksum that the first group names.
    pub(super) fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Hands the records of a group to `visit`.
    pub(super) fn records(
        &self,
        header: &GroupHeader,
        payload: &[u8],
        payload_offset: u64,
        visit: &mut dyn FnMut(RawRecord<'_>) -> Result<()>,
    ) -> Result<()> {
        let bad = |at: u64| {
            Error::corrupt(&self.path, at, "log record", "its length does not fit its group")
        };
        let mut rest = payload;
        for index in 0..u64::from(header.record_count) {
            let offset = payload_offset + (payload.len() - rest.len()) as u64;
            let (len, tail) = rest.split_first_chunk::<4>().ok_or_else(|| bad(offset))?;
            let len = u32::from_le_bytes(*len) as usize;
            let (bytes, tail) = tail.split_at_checked(len).ok_or_else(|| bad(offset))?;
            let sequence = Sequence { counter: header.first.counter + index, ..header.first };
            visit(RawRecord { sequence, commit_time_ns: header.commit_time_ns, bytes, offset })?;
            rest = tail;
        }
        Ok(())
    }

    /// What the end at `offset` is: clean, torn, or corruption that a witness proves.
    fn end_at(
        &self,
        window: &mut Window,
        offset: u64,
        known_end: Option<u64>,
        detail: String,
    ) -> Result<LogEnd> {
        let corrupt = |proof: String| {
            Err(Error::corrupt(&self.path, offset, "log group", format!("{detail}; {proof}")))
        };
        if is_on(Bug::StopAtDamage) {
            return Ok(LogEnd::Torn { detail });
        }
        if let Some(end) = known_end {
            return corrupt(format!("the next log file says that this one counts to byte {end}"));
        }
        if let Some(at) = find_witness(window, self.header.file_id, offset, offset)? {
            return corrupt(format!(
                "the group at byte {at} was written after this one was durable"
            ));
        }
        Ok(if window.is_zero_from(offset)? { LogEnd::Clean } else { LogEnd::Torn { detail } })
    }
}

/// The offset of a whole group header behind `search_from` which proves that the bytes at `damage` had become durable.
fn find_witness(
    window: &mut Window,
    file_id: FileId,
    damage: u64,
    search_from: u64,
) -> Result<Option<u64>> {
    let mut offset = search_from;
    while offset < window.len_bytes {
        let bytes = window.bytes(offset, GROUP_HEADER_BYTES)?;
        if let Some((header, _)) = GroupHeader::decode(bytes, file_id, offset)
            && header.durable_bytes > damage
        {
            return Ok(Some(offset));
        }
        offset += LOG_SECTOR_BYTES as u64;
    }
    Ok(None)
}

/// A stretch of the file in memory, moved forward as needed.
pub(super) struct Window {
    file: Arc<dyn File>,
    len_bytes: u64,
    start: u64,
    buffer: Vec<u8>,
    /// Bytes that are read at once, at least.
    chunk_bytes: usize,
}

impl Window {
    const BYTES: usize = 1 << 20;

    pub(super) fn new(file: Arc<dyn File>, len_bytes: u64) -> Self {
        Self { file, len_bytes, start: 0, buffer: Vec::new(), chunk_bytes: Self::BYTES }
    }

    /// The same for a file that grows, to be read in smaller pieces.
    pub(super) fn small(file: Arc<dyn File>, len_bytes: u64) -> Self {
        Self { chunk_bytes: 64 << 10, ..Self::new(file, len_bytes) }
    }

    /// Up to `len` bytes at `offset`: fewer at the end of the file.
    pub(super) fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let left = usize::try_from(self.len_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = len.min(left);
        let held =
            offset >= self.start && offset + len as u64 <= self.start + self.buffer.len() as u64;
        if !held {
            self.buffer.resize(len.max(self.chunk_bytes.min(left)), 0);
            self.start = offset;
            let got = read_whole(self.file.as_ref(), &mut self.buffer, offset, self.len_bytes)?;
            self.buffer.truncate(got);
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let rest = self.buffer.get(from..).unwrap_or_default();
        Ok(rest.get(..len).unwrap_or(rest))
    }

    /// Whether there is nothing but zeros from `offset` on.
    pub(super) fn is_zero_from(&mut self, mut offset: u64) -> Result<bool> {
        while offset < self.len_bytes {
            let bytes = self.bytes(offset, Self::BYTES)?;
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            if bytes.is_empty() {
                break;
            }
            offset += bytes.len() as u64;
        }
        Ok(true)
    }
}

/// Fills `buf` from `offset` of a file of `len_bytes`; gives fewer bytes only where the file ends. Fewer before that are no end.
fn read_whole(file: &dyn File, buf: &mut [u8], offset: u64, len_bytes: u64) -> Result<usize> {
    let blind = is_on(Bug::ReadErrorIsEnd);
    let got = match file.read_at(buf, offset) {
        Err(_) if blind => 0,
        read => read?,
    };
    let there = usize::try_from(len_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
    if got >= buf.len().min(there) || blind {
        return Ok(got);
    }
    let text = format!("{got} bytes came from byte {offset}, though the file has {len_bytes}");
    Err(Error::io(
        "read",
        file.path(),
        std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text),
    ))
}
