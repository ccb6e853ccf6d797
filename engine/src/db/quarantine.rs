//! The folder `quarantine/`: files that a repair sets aside. They are moved, never copied or removed, and nothing in the folder is read.
//!
//! A file that the manifest's list of quarantined files names leaves its place only once an edit has let go of it. Where the power goes
//! between the edit and the move, the next writing open makes the move ([`finish`]): nobody else takes the file away.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::format::names;
use crate::manifest::Version;
use crate::vfs::{Vfs, publish_file};

/// A free name in the folder for the file at `path`: its own, or that with a number.
pub(super) fn free_name(vfs: &dyn Vfs, dir: &Path, path: &Path) -> Result<String> {
    let folder = dir.join(names::QUARANTINE_FOLDER);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file").to_owned();
    let mut free = name.clone();
    let mut number = 1;
    while vfs.exists(&folder.join(&free))? {
        number += 1;
        free = format!("{name}.{number}");
    }
    Ok(free)
}

/// Makes the folder, durably.
pub(super) fn make_folder(vfs: &dyn Vfs, dir: &Path) -> Result<PathBuf> {
    let folder = dir.join(names::QUARANTINE_FOLDER);
    vfs.create_dir_all(&folder)?;
    vfs.sync_dir(dir)?;
    Ok(folder)
}

/// Writes `text` beside the file that has or gets the name `name` there. A note that is there already stays.
pub(super) fn note(vfs: &dyn Vfs, dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = make_folder(vfs, dir)?.join(format!("{name}.txt"));
    if vfs.exists(&path)? {
        return Ok(());
    }
    publish_file(vfs, &path, text.as_bytes()).map(|_| ())
}

/// Moves the file at `path` to the free name `name` in the folder, durably.
pub(super) fn set_aside(vfs: &dyn Vfs, dir: &Path, path: &Path, name: &str) -> Result<()> {
    let folder = make_folder(vfs, dir)?;
    vfs.rename(path, &folder.join(name))?;
    vfs.sync_dir(&folder)?;
    path.parent().map_or(Ok(()), |from| vfs.sync_dir(from))
}

/// Moves the files that `version` calls quarantined and that are still where they were.
pub(super) fn finish(vfs: &dyn Vfs, dir: &Path, version: &Version) -> Result<()> {
    for one in version.quarantined.iter() {
        let path = Path::new(&one.path);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !path.starts_with(names::QUARANTINE_FOLDER) || vfs.exists(&dir.join(path))? {
            continue;
        }
        let Some(from) = let_go(name, version) else { continue };
        let from = dir.join(from).join(name);
        if vfs.exists(&from)? {
            set_aside(vfs, dir, &from, name)?;
        }
    }
    Ok(())
}

/// The folder of the segment or log file of this name, where the manifest does not need it any more.
fn let_go(name: &str, version: &Version) -> Option<&'static str> {
    if let Some(id) = names::parse_segment_file(name) {
        let is_needed = version.all_segments().any(|segment| segment.file_id == id);
        return (!is_needed).then_some(names::SEGMENTS_FOLDER);
    }
    let (number, _) = names::parse_log_file(name)?;
    (number < version.log_floor).then_some(names::WAL_FOLDER)
}
