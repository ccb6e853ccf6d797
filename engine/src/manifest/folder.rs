//! The names in a manifest folder, and what a directory is judged by them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::file::Kind;
use crate::error::Result;
use crate::format::names::LOCK_FILE;
pub(super) use crate::format::names::MANIFEST_FOLDER as FOLDER;
use crate::model::FileId;
use crate::vfs::Vfs;

/// Names that an empty directory may hold: the lock, and what file systems put into a fresh disk.
const HARMLESS: [&str; 3] = [LOCK_FILE, "lost+found", FOLDER];
/// Foreign names that a message shows.
const FOREIGN_SHOWN_COUNT_MAX: usize = 3;

/// What a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirState {
    /// There is no such directory: a database can be made there.
    Missing,
    /// It holds nothing, or what a creation left that did not finish: a database can be made there.
    Empty,
    /// It holds a manifest.
    Database,
    /// It holds other things and no manifest.
    Foreign {
        /// What it holds.
        detail: String,
    },
}

/// The files of a manifest folder by kind.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) edits: BTreeSet<u64>,
    pub(super) checkpoints: BTreeSet<u64>,
    /// Files whose writing did not finish.
    pub(super) temporary: Vec<String>,
    /// Side files of commit times.
    pub(super) times: Vec<FileId>,
    /// Names that are none of ours.
    pub(super) foreign: Vec<String>,
}

impl Listing {
    pub(super) fn read(vfs: &dyn Vfs, folder: &Path) -> Result<Self> {
        let mut listing = Self::default();
        for name in vfs.list(folder)? {
            listing.add(name);
        }
        Ok(listing)
    }

    fn add(&mut self, name: String) {
        let (stem, extension) = name.rsplit_once('.').unwrap_or((&name, ""));
        match (extension, number(stem), file_id(stem)) {
            ("edit", Some(number), _) => _ = self.edits.insert(number),
            ("checkpoint", Some(number), _) => _ = self.checkpoints.insert(number),
            ("times", _, Some(file)) => self.times.push(file),
            ("tmp", ..) => self.temporary.push(name),
            _ => self.foreign.push(name),
        }
    }

    /// The greatest number of any edit or checkpoint; 0 when there is none.
    pub(super) fn greatest(&self) -> u64 {
        let numbers = self.edits.last().into_iter().chain(self.checkpoints.last());
        numbers.copied().max().unwrap_or(0)
    }
}

fn lower_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn number(stem: &str) -> Option<u64> {
    let valid = lower_hex(stem, 16).then(|| u64::from_str_radix(stem, 16).ok())?;
    // One beyond must exist.
    valid.filter(|number| (1..u64::MAX).contains(number))
}

fn file_id(stem: &str) -> Option<FileId> {
    lower_hex(stem, 32).then(|| u128::from_str_radix(stem, 16).ok().map(FileId))?
}

/// The path of an edit or checkpoint.
pub(super) fn path(folder: &Path, kind: Kind, number: u64) -> PathBuf {
    let extension = match kind {
        Kind::Edit => "edit",
        Kind::Checkpoint => "checkpoint",
    };
    folder.join(format!("{number:016x}.{extension}"))
}

/// The path of a side file of commit times.
pub(super) fn times_path(folder: &Path, file: FileId) -> PathBuf {
    folder.join(format!("{file}.times"))
}

/// What `dir` is. Reads names only.
pub(super) fn probe(vfs: &dyn Vfs, dir: &Path) -> Result<DirState> {
    if !vfs.exists(dir)? {
        return Ok(DirState::Missing);
    }
    let names = vfs.list(dir)?;
    let folder = dir.join(FOLDER);
    if names.iter().any(|name| name == FOLDER) && Listing::read(vfs, &folder)?.greatest() > 0 {
        return Ok(DirState::Database);
    }
    let foreign: Vec<String> =
        names.into_iter().filter(|name| !HARMLESS.contains(&name.as_str())).collect();
    if foreign.is_empty() {
        return Ok(DirState::Empty);
    }
    let shown: Vec<_> = foreign.iter().take(FOREIGN_SHOWN_COUNT_MAX).cloned().collect();
    let more = if foreign.len() > shown.len() { ", ..." } else { "" };
    let detail = format!("it has no manifest, but holds {}{more}", shown.join(", "));
    Ok(DirState::Foreign { detail })
}

/// Creates the manifest's folder in `dir`, and makes every folder that was missing durable in its parent.
pub(super) fn create(vfs: &dyn Vfs, dir: &Path) -> Result<PathBuf> {
    let folder = dir.join(FOLDER);
    let mut parents = Vec::new();
    for path in folder.ancestors() {
        let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
            break;
        };
        parents.push(parent.to_path_buf());
        // The folder and `dir` are synced always: an earlier creation may have stopped before its sync.
        if path != folder && path != dir && vfs.exists(path)? {
            break;
        }
    }
    vfs.create_dir_all(&folder)?;
    for parent in parents.iter().rev() {
        vfs.sync_dir(parent)?;
    }
    vfs.sync_dir(&folder)?;
    Ok(folder)
}
