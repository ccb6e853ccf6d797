//! Walks the chain of log files from the manifest's head back to its floor, then replays it forward.

use std::path::{Path, PathBuf};

use super::file_header::PreviousFile;
use super::reader::{LogEnd, LogFile, RawRecord};
use crate::error::{Error, Result};
use crate::format::names;
use crate::model::{FileId, Sequence};
use crate::vfs::Vfs;

/// A log file that is part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownLogFile {
    /// Its number.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
    /// Its last record, if it has one.
    pub last: Option<Sequence>,
}

/// Bytes behind the last durable group: they were never acknowledged as durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where they begin.
    pub offset: u64,
    /// How many, to the end of the file.
    pub len_bytes: u64,
    /// What is wrong with them.
    pub detail: String,
}

/// What opening found in the log.
#[derive(Debug, Default)]
pub struct Recovery {
    /// The files, oldest first.
    pub files: Vec<KnownLogFile>,
    /// How the next file names the last of these.
    pub previous: Option<PreviousFile>,
    /// The last record's sequence, if there is a record.
    pub last: Option<Sequence>,
    /// The last record that the log itself proves durable, if there is one.
    pub durable: Option<Sequence>,
    /// The last commit time, if there is a group.
    pub last_commit_time_ns: Option<i64>,
    /// The number of records read.
    pub record_count: u64,
    /// A torn tail, if there is one.
    pub torn: Option<TornTail>,
    /// Files that are not part of the log: truncated away earlier, or never come into use.
    pub strays: Vec<PathBuf>,
    /// Damage in the middle: what was visited is the prefix before it. Only where the caller tolerates damage.
    pub damage: Option<Error>,
}

/// The log files in `folder`, by number; none where there is no folder.
///
/// # Errors
/// `Io`.
pub fn list(vfs: &dyn Vfs, folder: &Path) -> Result<Vec<(u64, FileId, PathBuf)>> {
    let names = match vfs.list(folder) {
        Err(error) if error.is_not_found() => Vec::new(),
        listed => listed?,
    };
    let mut files: Vec<_> = names
        .iter()
        .filter_map(|name| names::parse_log_file(name).map(|(n, id)| (n, id, folder.join(name))))
        .collect();
    files.sort();
    Ok(files)
}

/// Reads the log from the file number `floor` to the file `head`, which the manifest names, and hands every record to `visit`.
/// With `tolerate_damage` the prefix before damage is visited and the damage reported.
///
/// # Errors
/// `Corrupt` for a missing, empty or damaged file; `UnsupportedVersion`; `Io`; errors of `visit`.
pub fn recover(
    vfs: &dyn Vfs,
    folder: &Path,
    database_id: u128,
    floor: u64,
    head: Option<(u64, FileId)>,
    tolerate_damage: bool,
    visit: &mut dyn FnMut(RawRecord<'_>) -> Result<()>,
) -> Result<Recovery> {
    let listed = list(vfs, folder)?;
    let mut recovery = Recovery::default();
    let walk = |head| chain(vfs, &listed, folder, database_id, floor, head);
    let chain = match walk(head) {
        Ok(chain) => chain,
        Err(error) if tolerate_damage && matches!(error, Error::Corrupt(_)) => {
            recovery.damage = Some(error);
            prefix(&listed, head, &walk)?
        }
        Err(error) => return Err(error),
    };
    recovery.strays = listed
        .iter()
        .map(|(_, _, path)| path.clone())
        .filter(|path| chain.iter().all(|file| file.path != *path))
        .collect();
    let number = head.map_or(0, |(number, _)| number);
    if let Err(error) = check_strays(vfs, &recovery.strays, database_id, number) {
        if !(tolerate_damage && matches!(error, Error::Corrupt(_))) {
            return Err(error);
        }
        recovery.damage = Some(error);
    }
    for (index, file) in chain.iter().enumerate() {
        let next = chain.get(index + 1).and_then(|next| next.header.previous);
        match replay(vfs, file, next.map(|next| next.end_bytes), &mut recovery, visit) {
            Ok(()) => {}
            Err(error) if tolerate_damage && matches!(error, Error::Corrupt(_)) => {
                recovery.damage = Some(error);
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(recovery)
}

/// The longest chain from the floor on that is whole: what a reader gets where a file before `head` is missing or damaged.
fn prefix(
    listed: &[(u64, FileId, PathBuf)],
    head: Option<(u64, FileId)>,
    walk: &dyn Fn(Option<(u64, FileId)>) -> Result<Vec<LogFile>>,
) -> Result<Vec<LogFile>> {
    let before = listed.iter().rev().map(|(number, file_id, _)| (*number, *file_id));
    for last in before.filter(|(number, _)| head.is_some_and(|(head, _)| *number < head)) {
        match walk(Some(last)) {
            Err(Error::Corrupt(_)) => {}
            found => return found,
        }
    }
    Ok(Vec::new())
}

/// A file gets records only after the manifest names it: records behind the head show that manifest edits are missing.
pub(super) fn check_strays(
    vfs: &dyn Vfs,
    strays: &[PathBuf],
    database_id: u128,
    head: u64,
) -> Result<()> {
    for path in strays {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((number, file_id)) = names::parse_log_file(name).filter(|(n, _)| *n > head) else {
            continue;
        };
        let Some(file) = LogFile::open(vfs, path, number, file_id, database_id)? else { continue };
        if file.scan(vfs, None, &mut |_| Ok(()))?.last.is_some() {
            return Err(Error::corrupt(
                path,
                0,
                "log",
                format!(
                    "the file holds records, but the manifest ends before it, at log file {head}: a manifest edit is missing"
                ),
            ));
        }
    }
    Ok(())
}

/// The files from `floor` to `head`, oldest first, linked by what each says of its predecessor.
fn chain(
    vfs: &dyn Vfs,
    listed: &[(u64, FileId, PathBuf)],
    folder: &Path,
    database_id: u128,
    floor: u64,
    head: Option<(u64, FileId)>,
) -> Result<Vec<LogFile>> {
    let mut chain = Vec::new();
    let mut wanted = head.filter(|(number, _)| *number >= floor);
    while let Some((number, file_id)) = wanted {
        let path = folder.join(names::log_file(number, file_id));
        if !listed.iter().any(|(_, _, known)| *known == path) {
            return Err(Error::corrupt(path, 0, "log", "the file is missing"));
        }
        let Some(file) = LogFile::open(vfs, &path, number, file_id, database_id)? else {
            return Err(Error::corrupt(
                path,
                0,
                "log file header",
                "the file is empty or has no header, though the manifest says that it is in use",
            ));
        };
        check_link(&file)?;
        wanted = file
            .header
            .previous
            .map(|previous| (previous.number, previous.file_id))
            .filter(|(number, _)| *number >= floor);
        chain.push(file);
    }
    chain.reverse();
    Ok(chain)
}

/// The file before must have the number before: a walk along the links ends.
fn check_link(file: &LogFile) -> Result<()> {
    let number = file.header.number;
    match file.header.previous {
        Some(previous) if previous.number.checked_add(1) != Some(number) => Err(Error::corrupt(
            &file.path,
            0,
            "log file header",
            format!("it follows file {}, but has number {number}", previous.number),
        )),
        _ => Ok(()),
    }
}

fn replay(
    vfs: &dyn Vfs,
    file: &LogFile,
    known_end: Option<u64>,
    recovery: &mut Recovery,
    visit: &mut dyn FnMut(RawRecord<'_>) -> Result<()>,
) -> Result<()> {
    let last_before = recovery.last;
    let mut last = last_before;
    let mut count = 0;
    let scan = file.scan(vfs, known_end, &mut |record| {
        let follows = last.is_none_or(|last| {
            record.sequence.counter == last.counter + 1
                && record.sequence.incarnation >= last.incarnation
        });
        if !follows {
            return Err(Error::corrupt(
                &file.path,
                record.offset,
                "log record",
                format!("its sequence {} does not follow {last:?}", record.sequence),
            ));
        }
        visit(record)?;
        last = Some(record.sequence);
        count += 1;
        Ok(())
    });
    recovery.record_count += count;
    recovery.last = last;
    let scan = scan?;
    if known_end.is_some_and(|end| end != scan.end_bytes) {
        return Err(Error::corrupt(
            &file.path,
            scan.end_bytes,
            "log group",
            format!("the groups end at byte {}, the next file says {known_end:?}", scan.end_bytes),
        ));
    }
    // A file that has a successor was durable to its end before that began.
    let durable = if known_end.is_some() { scan.last } else { scan.durable };
    recovery.durable = recovery.durable.max(durable);
    recovery.last_commit_time_ns = recovery.last_commit_time_ns.max(scan.last_commit_time_ns);
    recovery.previous = Some(PreviousFile {
        number: file.header.number,
        file_id: file.header.file_id,
        end_bytes: scan.end_bytes,
    });
    if let LogEnd::Torn { detail } = scan.end {
        recovery.torn = Some(TornTail {
            path: file.path.clone(),
            offset: scan.end_bytes,
            len_bytes: scan.len_bytes - scan.end_bytes,
            detail,
        });
    }
    recovery.files.push(KnownLogFile {
        number: file.header.number,
        path: file.path.clone(),
        last: scan.last,
    });
    Ok(())
}
