//! The names of files and folders in a data directory.

use crate::model::FileId;

/// The folder of segments.
pub const SEGMENTS_FOLDER: &str = "segments";
/// The folder of the log's files.
pub const WAL_FOLDER: &str = "wal";
/// The folder of manifest edits and checkpoints.
pub const MANIFEST_FOLDER: &str = "manifest";
/// The folder of files that were found damaged or without an owner; nothing in it is ever read.
pub const QUARANTINE_FOLDER: &str = "quarantine";
/// The lock file.
pub const LOCK_FILE: &str = "LOCK";
/// Space that is kept for what frees space; its content means nothing.
pub const RESERVE_FILE: &str = "RESERVE";
/// The ending of a file that is being written; such a file is garbage after a crash.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

const LOG_SUFFIX: &str = ".log";
const SEGMENT_SUFFIX: &str = ".seg";

/// The name of a segment's file: 32 lower-case hexadecimal digits and `.seg`.
#[must_use]
pub fn segment_file(id: FileId) -> String {
    format!("{id}{SEGMENT_SUFFIX}")
}

/// The segment whose file has this name.
#[must_use]
pub fn parse_segment_file(name: &str) -> Option<FileId> {
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    let id = FileId(u128::from_str_radix(digits, 16).ok()?);
    (segment_file(id) == name).then_some(id)
}

/// The name of a log file: its number as 16 lower-case hexadecimal digits, a dash, its identity as 32, and `.log`.
#[must_use]
pub fn log_file(number: u64, id: FileId) -> String {
    format!("{number:016x}-{id}{LOG_SUFFIX}")
}

/// The number and identity of the log file that has this name.
#[must_use]
pub fn parse_log_file(name: &str) -> Option<(u64, FileId)> {
    let (number, id) = name.strip_suffix(LOG_SUFFIX)?.split_once('-')?;
    let number = u64::from_str_radix(number, 16).ok()?;
    let id = FileId(u128::from_str_radix(id, 16).ok()?);
    (log_file(number, id) == name).then_some((number, id))
}

/// The name of `name` while it is being written.
#[must_use]
pub fn temporary(name: &str) -> String {
    format!("{name}{TEMPORARY_SUFFIX}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_names_round_trip_and_others_are_refused() {
        let id = FileId(0xabc << 100);
        assert_eq!(parse_segment_file(&segment_file(id)), Some(id));
        assert_eq!(segment_file(FileId(10)), "0000000000000000000000000000000a.seg");
        for bad in [
            "a.seg",
            "0000000000000000000000000000000A.seg",
            "x",
            ".seg",
            "+000000000000000000000000000000a.seg",
            "0000000000000000000000000000000a.seg.tmp",
        ] {
            assert_eq!(parse_segment_file(bad), None, "{bad}");
        }
    }
}
