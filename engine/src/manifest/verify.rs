//! The check of every manifest file, needed or not, with all damage reported instead of the first.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::file::{self, Kind};
use super::folder::{self, FOLDER, Listing};
use super::recover::{self, Chain};
use super::version::Version;
use super::{CommitTimes, Manifest};
use crate::error::{Error, Result};
use crate::vfs::Vfs;

impl Manifest {
    /// Reads every manifest file in `dir` and reports each that is damaged, missing, or disagrees with the others. Changes
    /// nothing. Returns how many files were read.
    ///
    /// # Errors
    /// `Io` where the folder cannot be listed; damage is reported, not returned.
    pub fn verify(vfs: &Arc<dyn Vfs>, dir: &Path, report: &mut dyn FnMut(Error)) -> Result<u64> {
        let folder = dir.join(FOLDER);
        let listing = Listing::read(vfs.as_ref(), &folder)?;
        let mut check = Check { vfs: vfs.as_ref(), folder: &folder, report, files: 0, chain: None };
        check.run(&listing);
        check.commit_times();
        for name in &listing.foreign {
            let path = folder.join(name);
            (check.report)(Error::corrupt(path, 0, "manifest folder", "the file is none of ours"));
        }
        Ok(check.files)
    }
}

struct Check<'a> {
    vfs: &'a dyn Vfs,
    folder: &'a Path,
    report: &'a mut dyn FnMut(Error),
    files: u64,
    /// The state so far; none before the first readable file and after damage.
    chain: Option<Chain>,
}

impl Check<'_> {
    fn run(&mut self, listing: &Listing) {
        let numbers: BTreeSet<u64> =
            listing.edits.iter().chain(&listing.checkpoints).copied().collect();
        let floor = floor(listing);
        let mut due = 1;
        for number in numbers {
            if number == 1 {
                self.chain = Some(recover::beginning());
            } else if number > due {
                self.gap(due.max(floor + 1), number);
            }
            due = number + 1;
            if listing.edits.contains(&number) {
                self.edit(number);
            } else {
                self.gap(number.max(floor + 1), number + 1);
            }
            if listing.checkpoints.contains(&number) {
                self.checkpoint(number);
            }
        }
    }

    /// Edits from `first` on, before `next`, are missing; none where those numbers are not needed.
    fn gap(&mut self, first: u64, next: u64) {
        self.chain = None;
        if first < next {
            let path = folder::path(self.folder, Kind::Edit, first);
            let detail = format!("edits {first} to {} are missing", next - 1);
            (self.report)(Error::corrupt(path, 0, Kind::Edit.what(), detail));
        }
    }

    fn edit(&mut self, number: u64) {
        self.files += 1;
        let path = folder::path(self.folder, Kind::Edit, number);
        let followed = file::read(self.vfs, &path, Kind::Edit, number).and_then(|content| {
            match &mut self.chain {
                Some(chain) => chain.follow(&path, &content),
                None => Ok(()),
            }
        });
        if let Err(error) = followed {
            (self.report)(error);
            self.chain = None;
        }
    }

    fn checkpoint(&mut self, number: u64) {
        self.files += 1;
        match recover::checkpoint(self.vfs, self.folder, number) {
            Ok(chain) => {
                if let Some(detail) = self.chain.as_ref().and_then(|known| differs(known, &chain)) {
                    let path = folder::path(self.folder, Kind::Checkpoint, number);
                    (self.report)(Error::corrupt(path, 0, Kind::Checkpoint.what(), detail));
                }
                self.chain = Some(chain);
            }
            Err(error) => (self.report)(error),
        }
    }

    fn commit_times(&mut self) {
        let Some(version) = self.chain.as_ref().map(Chain::version) else { return };
        let Some(reference) = &version.commit_times else { return };
        self.files += 1;
        let loaded = CommitTimes::load_from(self.vfs, self.folder, version.database_id, reference);
        if let Err(error) = loaded {
            (self.report)(error);
        }
    }
}

/// The number up to which edits may be missing: collection leaves two checkpoints and the edits after the older. A copy that
/// was made of one checkpoint and what follows it is whole, too.
fn floor(listing: &Listing) -> u64 {
    let newest = listing.checkpoints.last().copied().unwrap_or(0);
    match listing.checkpoints.iter().rev().nth(1) {
        Some(older) => *older,
        None if listing.edits.range(..=newest).next().is_none() => newest,
        None => 0,
    }
}

/// How a checkpoint differs from the edits that it stands for.
fn differs(edits: &Chain, checkpoint: &Chain) -> Option<String> {
    if edits.last_hash() != checkpoint.last_hash() {
        return Some("it does not stand for the edit of its number".into());
    }
    let (a, b): (&Version, &Version) = (edits.version(), checkpoint.version());
    (a != b).then(|| "its state is not that of the edits before it".into())
}
