//! Reading a manifest: the newest readable checkpoint, then every later edit, each bound to the one before by its hash.

use std::path::Path;

use super::change::Change;
use super::file::{self, Content, Hash, Kind, hex};
use super::folder::{self, Listing};
use super::version::{Draft, Version};
use crate::error::{Error, ErrorKind, Result};
use crate::vfs::Vfs;

/// The state that the files give.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) version: Version,
    /// The closing hash of the last edit.
    pub(super) last_hash: Hash,
    /// The epoch of the last edit.
    pub(super) epoch: u64,
    /// The checkpoint that was read; 0 when edits alone were.
    pub(super) checkpoint: u64,
}

/// A walk along the chain of edits.
pub(super) struct Chain {
    draft: Draft,
    last_hash: Hash,
    epoch: u64,
    checkpoint: u64,
}

impl Chain {
    /// Before edit 1.
    fn before_any() -> Self {
        let draft = Draft::new(Version::empty(0));
        Self { draft, last_hash: [0; 32], epoch: 0, checkpoint: 0 }
    }

    /// At a checkpoint that was read from `path`.
    pub(super) fn at_checkpoint(path: &Path, content: Content) -> Result<Self> {
        let mut draft = Draft::new(Version::empty(content.header.database_id));
        apply(path, Kind::Checkpoint, draft.all(&content.changes))?;
        draft.version.number = content.header.number;
        Ok(Self {
            draft,
            last_hash: content.header.previous,
            epoch: content.header.epoch,
            checkpoint: content.header.number,
        })
    }

    /// Goes on by the edit that was read from `path`.
    pub(super) fn follow(&mut self, path: &Path, content: &Content) -> Result<()> {
        let header = &content.header;
        let damaged = |detail| Err(Error::corrupt(path, 0, Kind::Edit.what(), detail));
        if header.previous != self.last_hash {
            let (own, known) = (hex(&header.previous), hex(&self.last_hash));
            return damaged(format!(
                "it follows an edit with hash {own}, the one before has {known}"
            ));
        }
        let version = &mut self.draft.version;
        if version.number == 0 {
            version.database_id = header.database_id;
        } else if header.database_id != version.database_id {
            let (own, known) = (header.database_id, version.database_id);
            return damaged(format!("it belongs to database {own:032x}, not to {known:032x}"));
        }
        if header.epoch < self.epoch {
            let (own, known) = (header.epoch, self.epoch);
            return damaged(format!("its writer has epoch {own}, the one before had {known}"));
        }
        apply(path, Kind::Edit, self.draft.edit(&content.changes))?;
        (self.last_hash, self.epoch) = (content.hash, header.epoch);
        Ok(())
    }

    pub(super) fn version(&self) -> &Version {
        &self.draft.version
    }

    pub(super) fn last_hash(&self) -> &Hash {
        &self.last_hash
    }

    /// Follows every edit after the present one.
    fn follow_all(&mut self, vfs: &dyn Vfs, folder: &Path, listing: &Listing) -> Result<()> {
        let first = self.version().number + 1;
        let last = listing.edits.last().copied().unwrap_or(0);
        for number in first..=last {
            let path = folder::path(folder, Kind::Edit, number);
            if !listing.edits.contains(&number) {
                let detail = format!("it is missing, though edit {last} is there");
                return Err(Error::corrupt(path, 0, Kind::Edit.what(), detail));
            }
            self.follow(&path, &file::read(vfs, &path, Kind::Edit, number)?)?;
        }
        Ok(())
    }
}

/// What was wrong with the changes of the file at `path`.
fn apply(path: &Path, kind: Kind, applied: std::result::Result<(), String>) -> Result<()> {
    applied.map_err(|detail| Error::corrupt(path, 0, kind.what(), detail))
}

/// The state of the manifest in `folder`.
///
/// # Errors
/// `Corrupt` naming the file that is damaged or missing, `UnsupportedVersion`, `UnsupportedFeature`, `Io`.
pub(super) fn recover(vfs: &dyn Vfs, folder: &Path, listing: &Listing) -> Result<Recovered> {
    let (start, damage) = start(vfs, folder, listing)?;
    let Some(mut chain) = start else {
        let path = folder::path(folder, Kind::Edit, 1);
        let missing = || Error::corrupt(path, 0, Kind::Edit.what(), "it is missing");
        return Err(damage.unwrap_or_else(missing));
    };
    match chain.follow_all(vfs, folder, listing) {
        Ok(()) => {}
        // Without the damaged checkpoint the chain would not have been needed: name the checkpoint.
        Err(error) if error.kind() == ErrorKind::Corrupt => return Err(damage.unwrap_or(error)),
        Err(error) => return Err(error),
    }
    let Chain { draft, last_hash, epoch, checkpoint } = chain;
    Ok(Recovered { version: draft.version, last_hash, epoch, checkpoint })
}

/// The newest checkpoint that reads well, else the beginning where edit 1 is there; and the first damage that was met.
fn start(
    vfs: &dyn Vfs,
    folder: &Path,
    listing: &Listing,
) -> Result<(Option<Chain>, Option<Error>)> {
    let mut damage = None;
    for number in listing.checkpoints.iter().rev() {
        match checkpoint(vfs, folder, *number) {
            Ok(chain) => return Ok((Some(chain), damage)),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%error, "a manifest checkpoint is damaged, an older one serves");
                damage.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok((listing.edits.contains(&1).then(Chain::before_any), damage))
}

/// The state at a checkpoint.
pub(super) fn checkpoint(vfs: &dyn Vfs, folder: &Path, number: u64) -> Result<Chain> {
    let path = folder::path(folder, Kind::Checkpoint, number);
    Chain::at_checkpoint(&path, file::read(vfs, &path, Kind::Checkpoint, number)?)
}

/// The state before edit 1, to walk from.
pub(super) fn beginning() -> Chain {
    Chain::before_any()
}

/// The content of a checkpoint of `version`.
pub(super) fn checkpoint_changes(version: &Version) -> Vec<Change> {
    version.to_changes()
}
