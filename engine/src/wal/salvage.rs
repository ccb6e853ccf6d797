//! Reads what a damaged log still holds: every whole group of every file, also behind damage, and says where there are holes.
//! Nothing is taken that never counted: groups behind a torn tail stay out, as in `recovery`. Format: docs/format/wal.md, "Repair".

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::group::{GROUP_HEADER_BYTES, GroupHeader, GroupKind, group_bytes};
use super::reader::{LogFile, RawRecord, Window};
use super::recovery::{KnownLogFile, Recovery, TornTail, check_strays, list};
use crate::error::{Error, Result};
use crate::format::names;
use crate::limits::LOG_SECTOR_BYTES;
use crate::model::{FileId, Sequence};
use crate::vfs::{OpenMode, Vfs};

/// Bytes of the log that cannot be read, or a file that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHole {
    /// The file.
    pub path: PathBuf,
    /// Where in it; empty where the whole file is missing, or where records are missing between two groups.
    pub bytes: Range<u64>,
    /// The last record that was read before it, if there is one.
    pub after: Option<Sequence>,
    /// The record that a group behind it begins with; none where no group follows.
    pub before: Option<Sequence>,
    /// What is wrong.
    pub detail: String,
}

impl LogHole {
    /// The first and the last record that may have been in it, both inclusive, above `known`, up to which nothing is needed; the last is
    /// `Sequence::MAX` where that cannot be told. None where it held none that is needed.
    #[must_use]
    pub fn lost(&self, known: Sequence) -> Option<(Sequence, Sequence)> {
        let first = self.after.unwrap_or_default().max(known).next();
        let last = match self.before {
            None => Sequence::MAX,
            Some(before) if before.counter <= first.counter => return None,
            Some(before) => Sequence { counter: before.counter - 1, ..before },
        };
        Some((first, last.max(first)))
    }
}

/// What a damaged log still gave.
#[derive(Debug, Default)]
pub struct Salvaged {
    /// As an intact log would be described. Its files are those without a hole.
    pub recovery: Recovery,
    /// What could not be read, in the order of the log.
    pub holes: Vec<LogHole>,
}

/// Reads the log from the file number `floor` to the file `head`, and hands every record that can be read to `visit`, with its file. Of an
/// intact log this is what [`super::recover`] reads.
///
/// # Errors
/// `Corrupt` where a file behind the head has records: then the manifest lacks edits, and what counts cannot be told. `UnsupportedVersion`;
/// `UnsupportedFeature`; `Io`; errors of `visit`.
pub fn salvage(
    vfs: &dyn Vfs,
    folder: &Path,
    database_id: u128,
    floor: u64,
    head: Option<(u64, FileId)>,
    visit: &mut dyn FnMut(&Path, RawRecord<'_>) -> Result<()>,
) -> Result<Salvaged> {
    let listed = list(vfs, folder)?;
    let finder = Finder { vfs, folder, database_id, listed: &listed };
    let files = finder.chain(floor, head)?;
    let mut strays: Vec<PathBuf> = listed.iter().map(|(_, _, path)| path.clone()).collect();
    strays.retain(|path| files.iter().all(|file| file.path != *path));
    let number = head.map_or(0, |(number, _)| number);
    check_strays(vfs, &strays, database_id, number)?;
    let recovery = Recovery { strays, ..Recovery::default() };
    let mut walk = Walk { vfs, visit, recovery, holes: Vec::new() };
    for (index, file) in files.iter().enumerate() {
        let next = files.get(index + 1);
        walk.file(file, next.and_then(|next| next.previous_end), next.is_none())?;
    }
    let Walk { recovery, holes, .. } = walk;
    Ok(Salvaged { recovery, holes })
}

/// A file of the chain.
struct Found {
    number: u64,
    path: PathBuf,
    /// What its groups are read with; none where nothing of it can be.
    log: Option<LogFile>,
    /// Checksum of its header; none where that is damaged.
    checksum: Option<u32>,
    /// What its header says of the file before: its end.
    previous_end: Option<u64>,
    /// What is wrong with the file or its header.
    detail: Option<String>,
}

struct Finder<'a> {
    vfs: &'a dyn Vfs,
    folder: &'a Path,
    database_id: u128,
    listed: &'a [(u64, FileId, PathBuf)],
}

impl Finder<'_> {
    /// The files from the head back to the floor, oldest first. Behind a damaged header the file of the number before is taken.
    fn chain(&self, floor: u64, head: Option<(u64, FileId)>) -> Result<Vec<Found>> {
        let mut chain = Vec::new();
        let mut wanted = head.map(|(number, id)| (number, Some(id)));
        while let Some((number, id)) = wanted.filter(|(number, _)| *number >= floor.max(1)) {
            let (found, link) = self.find(number, id)?;
            chain.push(found);
            wanted = match link {
                Link::End => None,
                Link::To(id) => Some((number - 1, Some(id))),
                Link::Unknown => Some((number - 1, None)),
            };
        }
        chain.reverse();
        Ok(chain)
    }

    fn find(&self, number: u64, id: Option<FileId>) -> Result<(Found, Link)> {
        let Some((id, path)) = self.path_of(number, id)? else {
            let path = match id {
                Some(id) => self.folder.join(names::log_file(number, id)),
                None => self.folder.join(format!("{number:016x}-*.log")),
            };
            let found = Found::lost(number, path, "the file is missing");
            return Ok((found, Link::Unknown));
        };
        let database = self.database_id;
        let len = self.vfs.open(&path, OpenMode::Read)?.len_bytes()?;
        let by_name = || LogFile::by_name(&path, number, id, database, len);
        match LogFile::open(self.vfs, &path, number, id, database) {
            Ok(Some(log)) => {
                let link = match log.header.previous {
                    None => Link::End,
                    Some(previous) if previous.number + 1 == number => Link::To(previous.file_id),
                    Some(_) => Link::Unknown,
                };
                let previous_end = log.header.previous.map(|previous| previous.end_bytes);
                let checksum = Some(log.checksum());
                let log = Some(log);
                Ok((Found { number, path, log, checksum, previous_end, detail: None }, link))
            }
            Ok(None) => {
                let detail = "the file is empty or has no header";
                Ok((Found::lost(number, path, detail), Link::Unknown))
            }
            Err(Error::Corrupt(damage)) => {
                let log = Some(by_name());
                let (checksum, previous_end, detail) = (None, None, Some(damage.detail.clone()));
                Ok((Found { number, path, log, checksum, previous_end, detail }, Link::Unknown))
            }
            Err(error) => Err(error),
        }
    }

    /// The file of this number; where its identity is not known, the only one that has groups.
    fn path_of(&self, number: u64, id: Option<FileId>) -> Result<Option<(FileId, PathBuf)>> {
        let of = |(known, _, _): &&(u64, FileId, PathBuf)| *known == number;
        let mut found = Vec::new();
        for (_, file_id, path) in self.listed.iter().filter(of) {
            let fits = match id {
                Some(id) => *file_id == id,
                None => self.has_groups(path, *file_id)?,
            };
            if fits {
                found.push((*file_id, path.clone()));
            }
        }
        Ok(found.pop().filter(|_| found.is_empty()))
    }

    fn has_groups(&self, path: &Path, file_id: FileId) -> Result<bool> {
        let file = self.vfs.open(path, OpenMode::Read)?;
        let len = file.len_bytes()?;
        Ok(!headers(&mut Window::new(file, len), file_id, len)?.is_empty())
    }
}

/// What a file says of the one before it.
enum Link {
    /// There is none.
    End,
    /// This.
    To(FileId),
    /// It cannot be told.
    Unknown,
}

impl Found {
    fn lost(number: u64, path: PathBuf, detail: &str) -> Self {
        let detail = Some(detail.to_owned());
        Self { number, path, log: None, checksum: None, previous_end: None, detail }
    }
}

/// Every place in the file where the header of a group stands, sound by itself.
fn headers(window: &mut Window, file_id: FileId, len: u64) -> Result<Vec<(u64, GroupHeader)>> {
    let mut found = Vec::new();
    let mut offset = LOG_SECTOR_BYTES as u64;
    while offset < len {
        let bytes = window.bytes(offset, GROUP_HEADER_BYTES)?;
        found.extend(
            GroupHeader::decode(bytes, file_id, offset).map(|(header, _)| (offset, header)),
        );
        offset += LOG_SECTOR_BYTES as u64;
    }
    Ok(found)
}

struct Walk<'a> {
    vfs: &'a dyn Vfs,
    visit: &'a mut dyn FnMut(&Path, RawRecord<'_>) -> Result<()>,
    recovery: Recovery,
    holes: Vec<LogHole>,
}

impl Walk<'_> {
    fn hole(&mut self, path: &Path, bytes: Range<u64>, detail: String) {
        let after = self.recovery.last;
        self.holes.push(LogHole { path: path.to_path_buf(), bytes, after, before: None, detail });
    }

    /// A sound group begins with `first`: what every hole before it may have held ends there.
    fn close_holes(&mut self, first: Sequence) {
        for hole in self.holes.iter_mut().rev().take_while(|hole| hole.before.is_none()) {
            hole.before = Some(first);
        }
    }

    /// Reads one file. `known_end` is what the next file says of this one's end.
    fn file(&mut self, found: &Found, known_end: Option<u64>, is_last: bool) -> Result<()> {
        let hole_count = self.holes.len();
        let Some(log) = &found.log else {
            let len = match self.vfs.open(&found.path, OpenMode::Read) {
                Err(error) if error.is_not_found() => 0,
                opened => opened?.len_bytes()?,
            };
            self.hole(&found.path, 0..len, found.detail.clone().unwrap_or_default());
            return Ok(());
        };
        if let Some(detail) = &found.detail {
            self.hole(&found.path, 0..LOG_SECTOR_BYTES as u64, detail.clone());
        }
        let mut window = Window::new(self.vfs.open(&found.path, OpenMode::Read)?, log.len_bytes());
        let places = headers(&mut window, log.header.file_id, log.len_bytes())?;
        let witnessed = places.iter().map(|(_, header)| header.durable_bytes).max();
        let proven = known_end.or(witnessed).unwrap_or_default();
        let end = self.groups(log, &mut window, &places, (found.checksum, proven, known_end))?;
        if let Some(stated) = known_end.filter(|stated| end > *stated) {
            let detail = format!("its groups end at byte {end}, the next file says {stated}");
            self.hole(&found.path, stated..end, detail);
        }
        let has_tail = known_end.is_none() && !window.is_zero_from(end)?;
        if has_tail && !is_last {
            // It was durable to its end before the next one began.
            self.hole(&found.path, end..log.len_bytes(), "no whole group is there".into());
        }
        let is_whole = self.holes.len() == hole_count;
        if is_whole {
            let (number, path, last) = (found.number, found.path.clone(), self.recovery.last);
            self.recovery.files.push(KnownLogFile { number, path, last });
        }
        self.recovery.torn = (has_tail && is_whole).then(|| TornTail {
            path: found.path.clone(),
            offset: end,
            len_bytes: log.len_bytes().saturating_sub(end),
            detail: "no whole group follows".into(),
        });
        Ok(())
    }

    /// Takes every group that counts: those below `proven`, and those that follow the last of them without a gap. Where they end.
    fn groups(
        &mut self,
        log: &LogFile,
        window: &mut Window,
        places: &[(u64, GroupHeader)],
        (checksum, proven, known_end): (Option<u32>, u64, Option<u64>),
    ) -> Result<u64> {
        let mut previous = checksum;
        let mut offset = LOG_SECTOR_BYTES as u64;
        while known_end.is_none_or(|end| offset < end) {
            let detail = match log.group(window, offset, previous)? {
                Ok((header, checksum)) if self.follows(&header) => {
                    self.take(log, window, offset, &header)?;
                    offset += group_bytes(header.payload_bytes as usize) as u64;
                    previous = Some(checksum);
                    continue;
                }
                Ok((header, _)) => format!("record {} stands there", header.first),
                Err(detail) => detail,
            };
            if offset >= proven {
                break;
            }
            let start = offset;
            offset = self.next_sound(log, window, places, start, proven)?;
            previous = None;
            self.hole(&log.path, start..offset, detail);
        }
        Ok(offset)
    }

    /// Where the next whole group behind `start` and before `proven` stands; else `proven`.
    fn next_sound(
        &self,
        log: &LogFile,
        window: &mut Window,
        places: &[(u64, GroupHeader)],
        start: u64,
        proven: u64,
    ) -> Result<u64> {
        for (at, header) in places.iter().filter(|(at, _)| *at > start && *at < proven) {
            if self.follows(header) && log.group(window, *at, None)?.is_ok() {
                return Ok(*at);
            }
        }
        Ok(proven)
    }

    /// Whether a group stands behind what was read so far in the order of commits.
    fn follows(&self, header: &GroupHeader) -> bool {
        self.recovery.last.is_none_or(|last| {
            header.first.counter > last.counter && header.first.incarnation >= last.incarnation
        })
    }

    fn take(
        &mut self,
        log: &LogFile,
        window: &mut Window,
        offset: u64,
        header: &GroupHeader,
    ) -> Result<()> {
        let next = self.recovery.last.map(|last| last.counter + 1);
        let is_open = self.holes.last().is_some_and(|hole| hole.before.is_none());
        if next.is_some_and(|next| header.first.counter != next) && !is_open {
            self.hole(&log.path, offset..offset, "records before it are missing".into());
        }
        self.close_holes(header.first);
        self.recovery.last_commit_time_ns =
            self.recovery.last_commit_time_ns.max(Some(header.commit_time_ns));
        if header.kind == GroupKind::Witness || header.record_count == 0 {
            return Ok(());
        }
        let payload_offset = offset + GROUP_HEADER_BYTES as u64;
        let payload = window.bytes(payload_offset, header.payload_bytes as usize)?;
        let visit = &mut self.visit;
        log.records(header, payload, payload_offset, &mut |record| visit(&log.path, record))?;
        let counter = header.first.counter + u64::from(header.record_count) - 1;
        self.recovery.last = Some(Sequence { counter, ..header.first });
        self.recovery.durable = self.recovery.last;
        self.recovery.record_count += u64::from(header.record_count);
        Ok(())
    }
}
