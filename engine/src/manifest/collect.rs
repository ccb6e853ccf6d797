//! Removal of manifest files that nothing needs: the last two sound checkpoints stay, and every edit after the older one.

use std::collections::BTreeSet;
use std::path::Path;

use super::file::Kind;
use super::folder::{self, Listing};
use super::recover;
use crate::error::{ErrorKind, Result};
use crate::model::FileId;
use crate::vfs::Vfs;

/// Checkpoints that stay.
const KEPT_CHECKPOINT_COUNT: usize = 2;

/// What is known of the files, and what is left to remove.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// Checkpoints that this process wrote durably or read well.
    sound: BTreeSet<u64>,
    /// Side files that no version needs any more.
    times: Vec<FileId>,
    due: bool,
}

impl Collector {
    /// Notes a checkpoint that can be relied upon; 0 is none.
    pub(super) fn sound(&mut self, number: u64) {
        if number > 0 {
            self.due = true;
            self.sound.insert(number);
        }
    }

    /// Notes a side file that the newest version no longer names.
    pub(super) fn replaced_times(&mut self, file: FileId) {
        self.due = true;
        self.times.push(file);
    }

    /// Removes what is due. After an error the rest is removed by the next run.
    pub(super) fn run(&mut self, vfs: &dyn Vfs, folder: &Path) -> Result<()> {
        if !self.due {
            return Ok(());
        }
        while let Some(file) = self.times.last() {
            remove_if_there(vfs, &folder::times_path(folder, *file))?;
            self.times.pop();
        }
        let listing = Listing::read(vfs, folder)?;
        if let Some(older) = self.older_kept(vfs, folder, &listing)? {
            for number in listing.checkpoints.range(..older) {
                remove_if_there(vfs, &folder::path(folder, Kind::Checkpoint, *number))?;
            }
            for number in listing.edits.range(..=older) {
                remove_if_there(vfs, &folder::path(folder, Kind::Edit, *number))?;
            }
            self.sound.retain(|number| *number >= older);
        }
        self.due = false;
        Ok(())
    }

    /// The older of the last two checkpoints that read well. A damaged one does not count: it would not help in need.
    fn older_kept(
        &mut self,
        vfs: &dyn Vfs,
        folder: &Path,
        listing: &Listing,
    ) -> Result<Option<u64>> {
        let mut kept = 0;
        for number in listing.checkpoints.iter().rev() {
            if !self.sound.contains(number) {
                match recover::checkpoint(vfs, folder, *number) {
                    Ok(_) => _ = self.sound.insert(*number),
                    Err(error) if error.kind() == ErrorKind::Corrupt => continue,
                    Err(error) => return Err(error),
                }
            }
            kept += 1;
            if kept == KEPT_CHECKPOINT_COUNT {
                return Ok(Some(*number));
            }
        }
        Ok(None)
    }
}

/// Removes what unfinished writes left: temporary files, and side files other than `keep`.
pub(super) fn remove_leftovers(
    vfs: &dyn Vfs,
    folder: &Path,
    listing: &Listing,
    keep: Option<FileId>,
) -> Result<()> {
    for name in &listing.temporary {
        remove_if_there(vfs, &folder.join(name))?;
    }
    for file in listing.times.iter().filter(|file| Some(**file) != keep) {
        remove_if_there(vfs, &folder::times_path(folder, *file))?;
    }
    Ok(())
}

fn remove_if_there(vfs: &dyn Vfs, path: &Path) -> Result<()> {
    match vfs.remove(path) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
