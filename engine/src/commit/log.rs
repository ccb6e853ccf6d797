//! The log as the pipeline has it: begins with the first write, rotates files, and removes those that are not needed.
//! Invariant: the manifest names a log file as its head before any group goes into it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tail::LogPlace;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::format::names;
use crate::manifest::{Change, Manifest};
use crate::model::{FileId, Sequence};
use crate::planted::{Bug, is_on};
use crate::rng::Rng;
use crate::vfs::{OpenMode, Vfs};
use crate::wal::{
    Ahead, FileHeader, Group, GroupKind, LogFile, LogWriter, Preparation, Recovery, TornTail,
};

/// Sizes of log files.
#[derive(Debug, Clone, Copy)]
pub struct LogSizes {
    /// Bytes at which a file is closed and the next begun.
    pub file_bytes: u64,
    /// Bytes of zeros that are kept ahead of the groups.
    pub prepare_bytes: u64,
}

/// A log file that takes no more groups.
#[derive(Debug, Clone)]
struct ClosedFile {
    number: u64,
    path: PathBuf,
    /// Its last record, if it has one.
    last: Option<Sequence>,
    bytes: u64,
}

/// The log of an open database.
pub struct Log {
    vfs: Arc<dyn Vfs>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    manifest: Arc<Manifest>,
    dir: PathBuf,
    folder: PathBuf,
    sizes: LogSizes,
    writer: Option<LogWriter>,
    recovered: Recovery,
    closed: Vec<ClosedFile>,
    last: Sequence,
    commit_time_ns: i64,
}

impl Log {
    /// The log of the database in `dir`, as recovery found it. Nothing is written before the first group.
    pub fn new(
        environment: (Arc<dyn Vfs>, Arc<dyn Clock>, Arc<dyn Rng>),
        manifest: Arc<Manifest>,
        dir: PathBuf,
        sizes: LogSizes,
        recovered: Recovery,
        last: Sequence,
    ) -> Result<Self> {
        let (vfs, clock, rng) = environment;
        let folder = dir.join(names::WAL_FOLDER);
        let mut closed = Vec::new();
        for file in &recovered.files {
            let bytes = vfs.open(&file.path, OpenMode::Read)?.len_bytes()?;
            let (number, path, last) = (file.number, file.path.clone(), file.last);
            closed.push(ClosedFile { number, path, last, bytes });
        }
        let commit_time_ns = recovered.last_commit_time_ns.unwrap_or(i64::MIN);
        Ok(Self {
            vfs,
            clock,
            rng,
            manifest,
            dir,
            folder,
            sizes,
            writer: None,
            recovered,
            closed,
            last,
            commit_time_ns,
        })
    }

    /// The files, oldest first, with what a reader needs to follow them; those without records are left out.
    pub(super) fn places(&self) -> Vec<LogPlace> {
        let place = |number, path: &std::path::Path, last| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let (_, file_id) = names::parse_log_file(name)?;
            Some(LogPlace { number, file_id, path: path.to_path_buf(), last })
        };
        let closed = self.closed.iter().filter(|file| file.last.is_some());
        let closed = closed.filter_map(|file| place(file.number, &file.path, file.last));
        let active = self.writer.as_ref();
        let active = active.and_then(|one| place(one.header().number, one.path(), None));
        closed.chain(active).collect()
    }

    /// The last sequence that was given.
    pub fn last(&self) -> Sequence {
        self.last
    }

    /// Files and their bytes.
    pub fn size(&self) -> (u64, u64) {
        let active = self.writer.as_ref().map_or(0, LogWriter::written_bytes);
        let bytes: u64 = self.closed.iter().map(|file| file.bytes).sum();
        (self.closed.len() as u64 + u64::from(self.writer.is_some()), bytes + active)
    }

    /// Whether everything written is durable.
    pub fn is_durable(&self) -> bool {
        self.writer.as_ref().is_none_or(LogWriter::is_durable)
    }

    /// Whether a witness would prove more than the log's groups do.
    pub fn wants_witness(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.is_durable() && !writer.is_witnessed())
    }

    /// Appends one group of records and gives the first one's sequence and their commit time. Begins the log where it has not begun.
    ///
    /// # Errors
    /// `Io`: nothing was appended, a retry is safe. `Poisoned` where the manifest is, or where a sync of what was there before failed.
    pub fn append(&mut self, payload: &[u8], record_count: u32) -> Result<(Sequence, i64)> {
        if self.writer.is_none() {
            self.begin()?;
        }
        self.rotate_if_full()?;
        let commit_time_ns = self.next_commit_time();
        let first = self.last.next();
        let Some(writer) = &mut self.writer else {
            return Err(Error::Internal("the log did not begin".into()));
        };
        let kind = GroupKind::Records;
        writer.append(Group { kind, payload, record_count, first, commit_time_ns })?;
        self.last.counter += u64::from(record_count);
        self.commit_time_ns = commit_time_ns;
        Ok((first, commit_time_ns))
    }

    /// Makes everything appended durable.
    ///
    /// # Errors
    /// `Io`: the caller must poison the engine.
    pub fn sync(&mut self) -> Result<()> {
        match &mut self.writer {
            Some(writer) if !writer.is_durable() => writer.sync(),
            _ => Ok(()),
        }
    }

    /// Writes a group that proves what is durable, and makes it durable itself.
    ///
    /// # Errors
    /// `Io` from writing is harmless; from syncing the caller must poison the engine: the flag says which.
    pub fn witness(&mut self) -> std::result::Result<(), (Error, bool)> {
        let (first, commit_time_ns) = (self.last.next(), self.commit_time_ns);
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let (kind, payload) = (GroupKind::Witness, &[][..]);
        let group = Group { kind, payload, record_count: 0, first, commit_time_ns };
        writer.append(group).map_err(|error| (error, false))?;
        writer.sync().map_err(|error| (error, true))
    }

    /// The zeros ahead of the active file's groups.
    pub fn ahead(&self) -> Option<&Arc<Ahead>> {
        self.writer.as_ref().map(LogWriter::ahead)
    }

    /// Cuts the zeros ahead: nothing is appended any more.
    ///
    /// # Errors
    /// `Io`; what was durable is.
    pub fn trim(&self) -> Result<()> {
        self.writer.as_ref().map_or(Ok(()), LogWriter::trim)
    }

    fn preparation(&self) -> Preparation {
        Preparation { ahead_bytes: self.sizes.prepare_bytes, file_bytes: self.sizes.file_bytes }
    }

    /// Commit time: the wall clock, never before the last one.
    fn next_commit_time(&self) -> i64 {
        self.clock.wall_ns().max(self.commit_time_ns)
    }

    /// The first write of this opening: raises the incarnation, and begins a log file of its own.
    fn begin(&mut self) -> Result<()> {
        // What recovery read may be in memory alone: it must be durable before the new file calls it so.
        for file in self.closed.iter().filter(|_| !is_on(Bug::SkipRecoverySync)) {
            self.vfs.open(&file.path, OpenMode::Write)?.sync_data().map_err(|e| unsynced(&e))?;
        }
        self.vfs.create_dir_all(&self.folder)?;
        if !is_on(Bug::SkipFolderSync) {
            self.vfs.sync_dir(&self.dir)?;
        }
        self.vfs.sync_dir(&self.folder)?;
        self.settle_tail()?;
        self.clear_strays()?;
        let version = self.manifest.version();
        let mut incarnation = version.incarnation + 1;
        if is_on(Bug::KeepIncarnation) {
            incarnation = version.incarnation.max(1);
        }
        let header = self.header(incarnation);
        let writer =
            LogWriter::create(self.vfs.as_ref(), &self.folder, header, self.preparation())?;
        let mut changes = vec![Change::LogHead { number: header.number, file_id: header.file_id }];
        if incarnation > version.incarnation {
            changes.push(Change::Incarnation { number: incarnation, previous_last: self.last });
        }
        self.name_head(&writer, &changes)?;
        self.last = Sequence { incarnation, counter: self.last.counter };
        self.writer = Some(writer);
        Ok(())
    }

    /// Commits the edit that names `writer` as the head. Where it fails for good the file is taken away: nothing names it.
    fn name_head(&self, writer: &LogWriter, changes: &[Change]) -> Result<()> {
        self.manifest.commit(changes).map(|_| ()).inspect_err(|error| {
            if matches!(error, Error::Io { .. }) {
                let _ = self.vfs.remove(writer.path());
            }
        })
    }

    fn header(&self, incarnation: u32) -> FileHeader {
        let previous = match &self.writer {
            Some(writer) => Some(writer.as_previous()),
            None => self.recovered.previous,
        };
        let version = self.manifest.version();
        // Numbers go on from the head even where every file was truncated away.
        let head = version.log_head.map_or(0, |(number, _)| number);
        let previous = previous.filter(|previous| previous.number == head);
        FileHeader {
            number: head + 1,
            file_id: FileId(self.rng.next_u128()),
            database_id: version.database_id,
            incarnation,
            previous,
        }
    }

    /// Begins the next file where this one is full. A disk without room for it leaves this one in use.
    fn rotate_if_full(&mut self) -> Result<()> {
        let full =
            self.writer.as_ref().is_some_and(|one| one.written_bytes() >= self.sizes.file_bytes);
        if !full {
            return Ok(());
        }
        self.sync().map_err(|error| unsynced(&error))?;
        let header = self.header(self.last.incarnation);
        let head = [Change::LogHead { number: header.number, file_id: header.file_id }];
        let created =
            LogWriter::create(self.vfs.as_ref(), &self.folder, header, self.preparation())
                .and_then(|next| self.name_head(&next, &head).map(|()| next));
        let next = match created {
            Ok(next) => next,
            Err(error @ Error::Io { .. }) => {
                tracing::warn!(%error, "no new log file: the present one goes on");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if let Some(full) = self.writer.replace(next) {
            full.stop_preparing();
            self.closed.push(ClosedFile {
                number: full.header().number,
                path: full.path().to_path_buf(),
                last: Some(self.last),
                bytes: full.written_bytes(),
            });
        }
        Ok(())
    }

    /// Keeps the torn tail that recovery found, once. On a full disk it stays where it is: the next file's header cuts it.
    fn settle_tail(&mut self) -> Result<()> {
        let Some(torn) = &self.recovered.torn else { return Ok(()) };
        match self.quarantine_tail(torn) {
            Err(error) if error.is_no_space() => {
                tracing::warn!(%error, "no space to copy the torn tail aside: it stays in its file for now");
                Ok(())
            }
            done => {
                done?;
                self.recovered.torn = None;
                Ok(())
            }
        }
    }

    /// Takes away a file that the log needs no more. One with a torn tail that found no room elsewhere is set aside whole.
    fn take_away(&mut self, path: &Path) -> Result<()> {
        if self.recovered.torn.as_ref().is_none_or(|torn| torn.path != *path) {
            return self.vfs.remove(path);
        }
        let folder = self.dir.join(names::QUARANTINE_FOLDER);
        self.vfs.create_dir_all(&folder)?;
        self.vfs.sync_dir(&self.dir)?;
        self.vfs.rename(path, &folder.join(path.file_name().unwrap_or_default()))?;
        self.vfs.sync_dir(&folder)?;
        self.recovered.torn = None;
        Ok(())
    }

    /// Copies the torn tail aside: it was never acknowledged as durable, but it is not ours to throw away.
    fn quarantine_tail(&self, torn: &TornTail) -> Result<()> {
        let file = self.vfs.open(&torn.path, OpenMode::Read)?;
        let folder = self.dir.join(names::QUARANTINE_FOLDER);
        let name = torn.path.file_name().and_then(|name| name.to_str()).unwrap_or("log");
        let target = folder.join(format!("{name}.tail-{}", torn.offset));
        if self.vfs.exists(&target)? || is_on(Bug::SkipQuarantine) {
            return Ok(());
        }
        self.vfs.create_dir_all(&folder)?;
        self.vfs.sync_dir(&self.dir)?;
        let mut tail = vec![0; usize::try_from(torn.len_bytes).unwrap_or(usize::MAX).min(1 << 28)];
        let got = file.read_at(&mut tail, torn.offset)?;
        tail.truncate(got);
        let used = tail.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        tail.truncate(used);
        crate::vfs::publish_file(self.vfs.as_ref(), &target, &tail)?;
        tracing::warn!(
            file = %torn.path.display(), offset = torn.offset, bytes = used, kept = %target.display(),
            "the log had a torn tail, which was never acknowledged as durable"
        );
        Ok(())
    }

    /// Removes files that are not part of the log: truncated before, or created and never used. One with records is set aside.
    fn clear_strays(&mut self) -> Result<()> {
        let version = self.manifest.version();
        for path in std::mem::take(&mut self.recovered.strays) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some((number, file_id)) = names::parse_log_file(name) else { continue };
            let vfs = self.vfs.as_ref();
            let unused = || -> Result<bool> {
                let file = LogFile::open(vfs, &path, number, file_id, version.database_id)?;
                let Some(file) = file else { return Ok(true) };
                Ok(file.scan(vfs, None, &mut |_| Ok(()))?.last.is_none())
            };
            if number < version.log_floor || matches!(unused(), Ok(true)) {
                vfs.remove(&path)?;
            } else {
                let folder = self.dir.join(names::QUARANTINE_FOLDER);
                vfs.create_dir_all(&folder)?;
                vfs.rename(&path, &folder.join(name))?;
                vfs.sync_dir(&folder)?;
                tracing::warn!(file = %path.display(), "a log file that no manifest names was set aside");
            }
        }
        self.vfs.sync_dir(&self.folder)
    }

    /// The number of the first file that is needed by rows from `unflushed` on, inclusive.
    pub fn floor_for(&self, unflushed: Sequence) -> u64 {
        let needed = |file: &&ClosedFile| file.last.is_some_and(|last| last >= unflushed);
        let early = u64::from(is_on(Bug::TruncateLogEarly));
        let first = self.closed.iter().find(needed).map(|file| file.number + early);
        let active = self.writer.as_ref().map(|writer| writer.header().number);
        let head = self.manifest.version().log_head.map_or(0, |(number, _)| number);
        first.or(active).unwrap_or(head + 1)
    }

    /// Removes the files below `floor`, which the manifest has moved already.
    ///
    /// # Errors
    /// `Io`: what is left is removed at the next call or opening.
    pub fn truncate(&mut self, floor: u64) -> Result<()> {
        if self.closed.first().is_some_and(|file| file.number < floor) {
            // Its file may be the one that goes.
            self.settle_tail()?;
        }
        while let Some(file) = self.closed.first().filter(|file| file.number < floor) {
            let path = file.path.clone();
            self.take_away(&path)?;
            self.closed.remove(0);
        }
        if self.vfs.exists(&self.folder)? {
            self.vfs.sync_dir(&self.folder)?;
        }
        Ok(())
    }
}

/// A failed sync while a group was prepared: the disk may have dropped what it was asked to keep, and a second sync would not tell.
fn unsynced(error: &Error) -> Error {
    Error::Poisoned { cause: format!("the log could not be synced: {error}") }
}
