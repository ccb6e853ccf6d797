//! The log as a whole: what was written is read back, and whatever happens to its bytes is seen for what it is.
//! The expectations follow docs/format/wal.md; sizes and places are computed here, not taken from the code under test.

mod chain;
mod damage;
mod golden;
mod record;
mod writer;

use std::path::{Path, PathBuf};

use super::*;
use crate::error::{Error, Result};
use crate::model::{FileId, Sequence};
use crate::vfs::Vfs;
use crate::vfs::sim::SimVfs;

const DATABASE: u128 = 0xd1;
const FOLDER: &str = "/db/wal";
/// Commit times are this and the first counter of the group.
const TIME_NS: i64 = 1_700_000_000_000_000_000;

fn seq(counter: u64) -> Sequence {
    Sequence { incarnation: 3, counter }
}

fn disk() -> SimVfs {
    let vfs = SimVfs::new(7);
    vfs.create_dir_all(Path::new(FOLDER)).unwrap();
    vfs.sync_dir(Path::new("/db")).unwrap();
    vfs.sync_dir(Path::new("/")).unwrap();
    vfs
}

fn id_of(number: u64) -> FileId {
    FileId(0xf00 + u128::from(number))
}

fn path_of(number: u64) -> PathBuf {
    // Written out as the format page has it.
    Path::new(FOLDER).join(format!("{number:016x}-{:032x}.log", id_of(number).0))
}

fn header(number: u64, previous: Option<PreviousFile>) -> FileHeader {
    let file_id = id_of(number);
    FileHeader { number, file_id, database_id: DATABASE, incarnation: 3, previous }
}

fn zeros(ahead_bytes: u64) -> Preparation {
    Preparation { ahead_bytes, file_bytes: 1 << 20 }
}

fn create(vfs: &SimVfs, number: u64, previous: Option<PreviousFile>) -> LogWriter {
    LogWriter::create(vfs, Path::new(FOLDER), header(number, previous), zeros(8 << 10)).unwrap()
}

/// Where a group with records of these lengths ends, when it begins at `start`.
fn end_of(start: u64, record_lens: &[usize]) -> u64 {
    let payload: usize = record_lens.iter().map(|len| len + 4).sum();
    start + (96 + payload as u64).div_ceil(512) * 512
}

/// Appends records of these lengths as one group; each byte tells the record's counter.
fn append(writer: &mut LogWriter, first: u64, record_lens: &[usize]) -> Result<()> {
    let mut payload = Vec::new();
    for (counter, len) in (first..).zip(record_lens) {
        payload.extend_from_slice(&u32::try_from(*len).unwrap().to_le_bytes());
        payload.extend(std::iter::repeat_n(counter.to_le_bytes()[0], *len));
    }
    writer.append(Group {
        kind: GroupKind::Records,
        payload: &payload,
        record_count: u32::try_from(record_lens.len()).unwrap(),
        first: seq(first),
        commit_time_ns: TIME_NS + i64::try_from(first).unwrap(),
    })
}

fn witness(writer: &mut LogWriter, next: u64) {
    let (kind, first) = (GroupKind::Witness, seq(next));
    let group =
        Group { kind, payload: &[], record_count: 0, first, commit_time_ns: TIME_NS + 1_000 };
    writer.append(group).unwrap();
    writer.sync().unwrap();
}

/// The counters and lengths of the records that recovery visits, and what it says.
struct Found {
    records: Vec<(u64, usize)>,
    result: Result<Recovery>,
}

impl Found {
    fn recovery(&self) -> &Recovery {
        self.result.as_ref().unwrap()
    }

    fn is_corrupt(&self) -> bool {
        matches!(self.result, Err(Error::Corrupt(_)))
    }

    fn is_clean(&self) -> bool {
        self.result.as_ref().is_ok_and(|found| found.torn.is_none() && found.damage.is_none())
    }

    /// Where a torn tail begins.
    fn torn_at(&self) -> Option<u64> {
        self.result.as_ref().ok()?.torn.as_ref().map(|torn| torn.offset)
    }
}

fn recover_from(vfs: &SimVfs, floor: u64, head: Option<u64>, tolerate_damage: bool) -> Found {
    let mut records = Vec::new();
    let head = head.map(|number| (number, id_of(number)));
    let folder = Path::new(FOLDER);
    let result = recover(vfs, folder, DATABASE, floor, head, tolerate_damage, &mut |record| {
        let counter = record.sequence.counter;
        assert_eq!(record.sequence.incarnation, 3);
        assert!(record.bytes.iter().all(|byte| *byte == counter.to_le_bytes()[0]));
        assert!((TIME_NS..TIME_NS + 1_000).contains(&record.commit_time_ns));
        records.push((counter, record.bytes.len()));
        Ok(())
    });
    Found { records, result }
}

/// As a writing open of a log whose only file is number 1.
fn recover_one(vfs: &SimVfs) -> Found {
    recover_from(vfs, 1, Some(1), false)
}
