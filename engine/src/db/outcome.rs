//! What operations report.

use std::path::PathBuf;

use crate::model::{Sequence, SeriesKey, TimeRange};

/// What became of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteOutcome {
    /// The deletion's place in commit order.
    pub sequence: Sequence,
    /// Rows that were seen before and are not any more; none where they could not be counted (damage, a table dropped meanwhile): the
    /// deletion holds all the same.
    pub row_count: Option<u64>,
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// Records read from the log.
    pub record_count: u64,
    /// The last sequence.
    pub last: Sequence,
    /// A torn tail: the log file, the offset, the bytes behind it, and what is wrong. They were never acknowledged as durable.
    pub torn_tail: Option<(PathBuf, u64, u64, String)>,
    /// Damage in the middle of the log; only a read-only open goes on, with the rows before it.
    pub damage: Option<String>,
}

/// A part of the database that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedPart {
    /// The file.
    pub path: PathBuf,
    /// The table, where it can be told.
    pub table: Option<String>,
    /// The field or other column, where it can be told.
    pub column: Option<String>,
    /// Times that may be affected, where they can be told.
    pub range: Option<TimeRange>,
    /// Where in the file, in bytes, where it can be told.
    pub offset: Option<u64>,
    /// The row group of a segment, where it is one's.
    pub row_group: Option<usize>,
    /// The page in its block, where it is one's.
    pub page: Option<usize>,
    /// The first and the last series that may be affected, both inclusive, where they can be told; keys as they are in segments.
    pub series: Option<(SeriesKey, SeriesKey)>,
    /// What is wrong, and where in the file.
    pub detail: String,
}

impl DamagedPart {
    /// Damage of which no more is known than the file.
    #[must_use]
    pub fn of_file(path: PathBuf, detail: String) -> Self {
        let (table, column, range, offset) = (None, None, None, None);
        let (row_group, page, series) = (None, None, None);
        Self { path, table, column, range, offset, row_group, page, series, detail }
    }
}

/// What verification read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Files read.
    pub file_count: u64,
    /// Bytes read.
    pub byte_count: u64,
    /// What is damaged; empty when all is well.
    pub damage: Vec<DamagedPart>,
}

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactReport {
    /// Segments that were merged.
    pub segments_before: u64,
    /// Segments that came of them.
    pub segments_after: u64,
    /// Bytes of the former.
    pub bytes_before: u64,
    /// Bytes of the latter.
    pub bytes_after: u64,
}

/// Figures of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableStats {
    /// The name.
    pub name: String,
    /// Rows in segments and in memory, superseded and deleted ones included.
    pub row_count: u64,
    /// Rows in memory.
    pub memory_rows: u64,
    /// Segments.
    pub segment_count: u64,
    /// Bytes of segments.
    pub segment_bytes: u64,
    /// Distinct series, those of deleted rows included; none where a segment's dictionary cannot be read.
    pub series_count: Option<u64>,
    /// Least and greatest timestamp, both inclusive, deleted rows included.
    pub times: Option<(i64, i64)>,
    /// Deletions that are not merged away yet.
    pub tombstone_count: u64,
}

/// Bytes of the memory budget that are held, by user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryByUser {
    /// Rows in memory, and batches on their way there and into the log.
    pub rows_bytes: u64,
    /// Running reads.
    pub reads_bytes: u64,
    /// A running flush.
    pub flush_bytes: u64,
    /// A running merge of segments.
    pub merges_bytes: u64,
}

/// Figures of the database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// One for each table, by name.
    pub tables: Vec<TableStats>,
    /// The database's identity, as 32 hex digits.
    pub database_id: String,
    /// The last published sequence.
    pub sequence: Sequence,
    /// The last durable sequence.
    pub durable_sequence: Sequence,
    /// Log files.
    pub log_file_count: u64,
    /// Bytes of log files.
    pub log_bytes: u64,
    /// Bytes of rows in memory.
    pub memtable_bytes: u64,
    /// Bytes of the memory budget that are held.
    pub memory_used_bytes: u64,
    /// The most bytes of it that were held at once since the database was opened.
    pub memory_peak_bytes: u64,
    /// The memory budget.
    pub memory_limit_bytes: u64,
    /// Who holds the bytes.
    pub memory_by_user: MemoryByUser,
    /// The number of the newest manifest edit.
    pub manifest_number: u64,
    /// Why writes are refused, if they are.
    pub poisoned: Option<String>,
}

/// How a database is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vitals {
    /// Bytes of the memory budget that are held.
    pub memory_used_bytes: u64,
    /// The memory budget.
    pub memory_limit_bytes: u64,
    /// Why writes are refused, if they are.
    pub poisoned: Option<String>,
    /// Nanoseconds by which the wall clock lies behind the last commit time, to 100 ms; 0 where it does not. Until it has
    /// caught up, commits have the last commit's time.
    pub clock_behind_ns: i64,
}

/// What is out of reach after a repair, and in the file that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The table; none where any table may be concerned.
    pub table: Option<String>,
    /// The times between which rows may be missing.
    pub range: TimeRange,
    /// How many rows are; none where that cannot be told.
    pub row_count: Option<u64>,
    /// The first and the last commit that may lack rows, deletions or changes of tables, both inclusive; the last is `Sequence::MAX` where
    /// it cannot be told.
    pub commits: (Sequence, Sequence),
    /// Whether the table's rows replace each other, so that rows which the lost ones had replaced show again.
    pub shows_replaced: bool,
}

/// What a repair does about a damaged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairAction {
    /// It is moved to `quarantine/`.
    SetAside {
        /// The name there.
        name: String,
        /// Rows that are read out of it and kept; none for files that hold no rows of their own.
        kept_rows: Option<u64>,
    },
    /// It is missing, and the database lets go of it.
    LetGo,
    /// Nothing.
    Left {
        /// Why.
        why: String,
    },
}

/// One step of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairStep {
    /// The file, where it is found.
    pub path: PathBuf,
    /// What is wrong with it.
    pub found: String,
    /// What is done.
    pub action: RepairAction,
    /// What is lost; none where nothing is.
    pub loss: Option<Loss>,
}

/// What a repair did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairReport {
    /// The steps, in order.
    pub steps: Vec<RepairStep>,
}

impl RepairReport {
    /// Steps that lose something.
    #[must_use]
    pub fn loss_count(&self) -> usize {
        self.steps.iter().filter(|step| step.loss.is_some()).count()
    }

    /// Damage that stays.
    #[must_use]
    pub fn left_count(&self) -> usize {
        let is_left = |step: &&RepairStep| matches!(step.action, RepairAction::Left { .. });
        self.steps.iter().filter(is_left).count()
    }
}
