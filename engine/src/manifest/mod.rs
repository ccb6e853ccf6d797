//! The manifest: the sole holder of what the database consists of, as a chain of numbered edits in files that are created only
//! if absent. `commit` publishes one edit and gives the next [`Version`]; every 64 edits a checkpoint holds the whole state.
//!
//! Invariants:
//! - an edit's file is complete and synced before it has its name, and its name is durable before `commit` returns;
//! - an edit names the hash of the one before, so no edit can be exchanged, dropped or rolled back unseen;
//! - two sound checkpoints stay, so that a writer that was fenced long ago finds a greater number when it publishes.
//!
//! Format: docs/format/manifest.md. Choices: docs/decisions/0007-manifest.md.

mod change;
mod collect;
mod commit_times;
mod file;
mod folder;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod recover;
#[cfg(test)]
mod tests;
mod verify;
mod version;

pub use change::{Change, ProducerState, Quarantined};
pub use commit_times::{CommitTimes, CommitTimesRef};
pub use folder::DirState;
pub use version::Version;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use self::collect::Collector;
use self::file::{Hash, Header, Kind};
use self::folder::Listing;
use crate::error::{Error, Result};
use crate::limits::MANIFEST_CHECKPOINT_EDIT_COUNT;
use crate::model::FileId;
use crate::rng::Rng;
use crate::vfs::{Vfs, publish_file};

/// The owner of a database's manifest files. Commits are made one at a time; readers take the present version at any time.
pub struct Manifest {
    vfs: Arc<dyn Vfs>,
    rng: Arc<dyn Rng>,
    dir: PathBuf,
    folder: PathBuf,
    writable: bool,
    checkpoint_edit_count: u64,
    writer: Mutex<Writer>,
    current: RwLock<Arc<Version>>,
}

/// What only the committing thread needs.
struct Writer {
    last_hash: Hash,
    epoch: u64,
    /// Why nothing more is committed.
    poisoned: Option<String>,
    /// The newest checkpoint that is known to be durable; 0 when there is none.
    checkpoint: u64,
    collector: Collector,
}

impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = self.version().number;
        f.debug_struct("Manifest").field("dir", &self.dir).field("number", &number).finish()
    }
}

impl Manifest {
    /// What `dir` is, judged by names alone.
    ///
    /// # Errors
    /// `Io`.
    pub fn probe(vfs: &dyn Vfs, dir: &Path) -> Result<DirState> {
        folder::probe(vfs, dir)
    }

    /// Makes a database in `dir`, which must be missing or empty: edit 1, which holds the identity. The caller holds the lock.
    /// A creation that was cut short leaves a directory that counts as empty.
    ///
    /// # Errors
    /// `NotADatabase` where other files are there; `Invalid` where a database is there; `Locked` where another writer was
    /// faster; `Io`, after which the directory is still empty or holds the new database.
    pub fn create(
        vfs: Arc<dyn Vfs>,
        rng: Arc<dyn Rng>,
        dir: &Path,
        database_id: u128,
    ) -> Result<Self> {
        match folder::probe(vfs.as_ref(), dir)? {
            DirState::Missing | DirState::Empty => {}
            DirState::Foreign { detail } => {
                return Err(Error::NotADatabase { path: dir.to_path_buf(), detail });
            }
            DirState::Database => {
                return Err(Error::invalid(format!("{} holds a database already", dir.display())));
            }
        }
        let folder = folder::create(vfs.as_ref(), dir)?;
        let header = Header {
            kind: Kind::Edit,
            file_id: FileId(rng.next_u128()),
            database_id,
            number: 1,
            epoch: 0,
            previous: [0; 32],
        };
        let (bytes, _) = file::encode(&header, &[])?;
        if !publish_file(vfs.as_ref(), &folder::path(&folder, Kind::Edit, 1), &bytes)? {
            return Err(another_writer(dir, 1));
        }
        Self::open(vfs, rng, dir, true)
    }

    /// Opens the manifest of the database in `dir`. The caller holds the lock, exclusively where `writable`. A read-only open
    /// writes nothing; a writable one makes durable what it found, and removes what unfinished writes left.
    ///
    /// # Errors
    /// `NotADatabase`; `Corrupt` naming the file that is damaged or missing; `UnsupportedVersion`, `UnsupportedFeature`; `Io`.
    pub fn open(vfs: Arc<dyn Vfs>, rng: Arc<dyn Rng>, dir: &Path, writable: bool) -> Result<Self> {
        let state = folder::probe(vfs.as_ref(), dir)?;
        if state != DirState::Database {
            let detail = match state {
                DirState::Foreign { detail } => detail,
                DirState::Missing => "there is no such directory".into(),
                _ => "it is empty".into(),
            };
            return Err(Error::NotADatabase { path: dir.to_path_buf(), detail });
        }
        let folder = dir.join(folder::FOLDER);
        if writable {
            // A name that an earlier process published may not be durable yet, and no decision may rest on it before it is.
            vfs.sync_dir(&folder)?;
        }
        let listing = Listing::read(vfs.as_ref(), &folder)?;
        let recovered = recover::recover(vfs.as_ref(), &folder, &listing)?;
        if writable {
            let keep = recovered.version.commit_times.as_ref().map(|times| times.file_id);
            collect::remove_leftovers(vfs.as_ref(), &folder, &listing, keep)?;
        }
        let mut collector = Collector::default();
        collector.sound(recovered.checkpoint);
        let writer = Writer {
            last_hash: recovered.last_hash,
            epoch: recovered.epoch,
            poisoned: None,
            checkpoint: recovered.checkpoint,
            collector,
        };
        Ok(Self {
            vfs,
            rng,
            dir: dir.to_path_buf(),
            folder,
            writable,
            checkpoint_edit_count: MANIFEST_CHECKPOINT_EDIT_COUNT,
            writer: Mutex::new(writer),
            current: RwLock::new(Arc::new(recovered.version)),
        })
    }

    /// The same with a checkpoint after every `edit_count` edits, at least 1.
    #[must_use]
    pub fn checkpoint_after(mut self, edit_count: u64) -> Self {
        self.checkpoint_edit_count = edit_count.max(1);
        self
    }

    /// The present version.
    #[must_use]
    pub fn version(&self) -> Arc<Version> {
        Arc::clone(&self.current.read())
    }

    /// Why nothing more is committed, if so.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.writer.lock().poisoned.clone()
    }

    /// Makes `changes` durable as one edit and returns the version that has them. A checkpoint and the removal of what it
    /// replaces follow when due; their failure is logged, and the next commit tries again.
    ///
    /// # Errors
    /// `Internal` where a change contradicts the present version, `Io` and `OverLimit`: nothing was changed, another commit may
    /// follow. `Locked` where another writer published this number, `Poisoned` where the edit's fate is unknown: no commit
    /// succeeds before the manifest is opened again. `ReadOnly`.
    pub fn commit(&self, changes: &[Change]) -> Result<Arc<Version>> {
        if !self.writable {
            return Err(Error::ReadOnly("change the manifest"));
        }
        let mut writer = self.writer.lock();
        if let Some(cause) = writer.poisoned.clone() {
            return Err(Error::Poisoned { cause });
        }
        let before = self.version();
        let next = Arc::new(before.apply(changes)?);
        let epoch = u64::from(next.incarnation).max(writer.epoch);
        let header = self.header(Kind::Edit, &next, epoch, writer.last_hash);
        let (bytes, hash) = file::encode(&header, changes)?;
        let published = self.publish(&folder::path(&self.folder, Kind::Edit, next.number), &bytes);
        if let Err(failure) = published.and_then(|()| self.check_unfenced(next.number)) {
            return Err(writer.note(&self.dir, failure));
        }
        (writer.last_hash, writer.epoch) = (hash, epoch);
        *self.current.write() = Arc::clone(&next);
        if let Some(old) = replaced_times(&before, &next) {
            writer.collector.replaced_times(old);
        }
        self.maintain(&mut writer, &next);
        Ok(next)
    }

    /// Whether the present state was read from the file at `path`: the newest sound checkpoint, or an edit after it.
    #[must_use]
    pub fn rests_on(&self, path: &Path) -> bool {
        let checkpoint = self.writer.lock().checkpoint;
        let last = self.version().number;
        path == folder::path(&self.folder, Kind::Checkpoint, checkpoint)
            || (checkpoint + 1..=last)
                .any(|number| path == folder::path(&self.folder, Kind::Edit, number))
    }

    /// Writes a checkpoint of the present state, behind an edit where there is one of this number. Files before the checkpoint that was the
    /// newest sound one are not needed any more, and are collected.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub fn checkpoint(&self) -> Result<()> {
        if self.version().number == self.writer.lock().checkpoint {
            self.commit(&[])?;
        }
        let mut writer = self.writer.lock();
        let version = self.version();
        if version.number > writer.checkpoint {
            self.write_checkpoint(&writer, &version)?;
            writer.checkpoint = version.number;
            writer.collector.sound(version.number);
        }
        writer.collector.run(self.vfs.as_ref(), &self.folder)
    }

    fn header(&self, kind: Kind, version: &Version, epoch: u64, previous: Hash) -> Header {
        let file_id = FileId(self.rng.next_u128());
        let (database_id, number) = (version.database_id, version.number);
        Header { kind, file_id, database_id, number, epoch, previous }
    }

    /// Gives the file its name, and tells whether a failure left room for doubt.
    fn publish(&self, path: &Path, bytes: &[u8]) -> std::result::Result<(), Failure> {
        match publish_file(self.vfs.as_ref(), path, bytes) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Fenced(self.version().number + 1)),
            // Without the name there is no edit: what failed came before the link, and a retry writes a new file.
            Err(error) if matches!(self.vfs.exists(path), Ok(false)) => {
                Err(Failure::Harmless(error))
            }
            Err(error) => Err(Failure::Unknown(error)),
        }
    }

    /// A number can be free though a successor used it: collection removed its file. Two checkpoints with greater numbers are
    /// there before it does, so a look at the names after publishing tells, whatever the timing.
    fn check_unfenced(&self, number: u64) -> std::result::Result<(), Failure> {
        let listing = Listing::read(self.vfs.as_ref(), &self.folder).map_err(Failure::Unknown)?;
        match listing.greatest() {
            greatest if greatest > number => Err(Failure::Fenced(greatest)),
            _ => Ok(()),
        }
    }

    /// Writes a checkpoint when due, then removes what is no longer needed. Nothing depends on either, so failures are logged.
    fn maintain(&self, writer: &mut Writer, version: &Version) {
        if version.number - writer.checkpoint >= self.checkpoint_edit_count {
            match self.write_checkpoint(writer, version) {
                Ok(()) => {
                    writer.checkpoint = version.number;
                    writer.collector.sound(version.number);
                }
                Err(error) => tracing::warn!(%error, "a manifest checkpoint could not be written"),
            }
        }
        if let Err(error) = writer.collector.run(self.vfs.as_ref(), &self.folder) {
            tracing::warn!(%error, "old manifest files could not be removed");
        }
    }

    fn write_checkpoint(&self, writer: &Writer, version: &Version) -> Result<()> {
        let header = self.header(Kind::Checkpoint, version, writer.epoch, writer.last_hash);
        let (bytes, _) = file::encode(&header, &recover::checkpoint_changes(version))?;
        let path = folder::path(&self.folder, Kind::Checkpoint, version.number);
        match publish_file(self.vfs.as_ref(), &path, &bytes)? {
            true => Ok(()),
            false => Err(another_writer(&self.dir, version.number)),
        }
    }
}

/// How a publication failed.
enum Failure {
    /// Nothing happened.
    Harmless(Error),
    /// The edit may or may not be there.
    Unknown(Error),
    /// Another writer has published this number.
    Fenced(u64),
}

impl Writer {
    /// Remembers a failure where no commit may follow it. The error for the caller.
    fn note(&mut self, dir: &Path, failure: Failure) -> Error {
        match failure {
            Failure::Harmless(error) => error,
            Failure::Unknown(error) => {
                let cause = error.to_string();
                self.poisoned = Some(cause.clone());
                Error::Poisoned { cause }
            }
            Failure::Fenced(number) => {
                let error = another_writer(dir, number);
                self.poisoned = Some(error.to_string());
                error
            }
        }
    }
}

fn another_writer(dir: &Path, number: u64) -> Error {
    let holder = format!("another writer, which published manifest number {number}");
    Error::Locked { path: dir.to_path_buf(), holder }
}

/// The file of commit times that `before` had and `next` has no more.
fn replaced_times(before: &Version, next: &Version) -> Option<FileId> {
    let file = |version: &Version| version.commit_times.as_ref().map(|times| times.file_id);
    file(before).filter(|old| file(next) != Some(*old))
}
