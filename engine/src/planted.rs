//! Known bugs that a test can switch on, to show that the crash harness finds them. Without the feature `planted-bugs` each
//! switch is the constant `false` and leaves no code behind.

/// The bugs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// A batch is acknowledged before its group is synced.
    AcknowledgeBeforeSync = 1,
    /// A batch is visible to readers before its group is synced.
    PublishBeforeDurable,
    /// A new file's directory entry is not synced.
    SkipDirectorySync,
    /// The entry of the log's new folder is not synced.
    SkipFolderSync,
    /// A manifest file gets its name before its content is synced.
    NameBeforeContent,
    /// A segment is installed before it is synced.
    InstallBeforeSync,
    /// A flush says that rows are in segments which came in after it froze.
    AdvanceFlushedThrough,
    /// A flush lets go of one log file more than it may.
    TruncateLogEarly,
    /// A flush is installed before the log is durable through it.
    FlushBeforeLogDurable,
    /// A sequence that was lost with the log is served.
    AnswerLostSnapshot,
    /// A writing open counts from the last sequence that was flushed.
    ReuseSequence,
    /// A writing open does not raise the incarnation.
    KeepIncarnation,
    /// What opening reads of the log is called durable without a sync.
    SkipRecoverySync,
    /// A read error, or a short read, is taken for the end of the log.
    ReadErrorIsEnd,
    /// The log ends at the first damaged group, whatever follows.
    StopAtDamage,
    /// A torn tail is cut and not kept.
    SkipQuarantine,
    /// Schema changes that the manifest has are replayed.
    ReplaySchemaTwice,
    /// Rows that segments have are replayed.
    ReplayFlushedRows,
    /// A checksum is not checked.
    SkipChecksum,
    /// Checksums do not bind where a block lies in its file.
    ChecksumWithoutOffset,
    /// Checksums do not bind the file.
    ChecksumWithoutFile,
    /// A segment that cannot be opened counts as empty.
    UnreadableIsEmpty,
    /// A failed sync is tried again and believed.
    RetrySync,
    /// What a failed write left in the log is not taken back.
    KeepFailedGroup,
    /// The log goes on behind a group that could not be written.
    AdvanceOverFailedGroup,
    /// The reserve is not given up on a full disk.
    KeepReserve,
    /// A batch is put half into one memtable and half into the next.
    StraddleMemtables,
    /// A batch of several tables goes in table by table, and a flush may come between.
    HalfBatch,
    /// A flush lets go of the log without noting the producers' numbers.
    LoseProducers,
    /// An import's chunk is committed without its mark.
    LoseImportMark,
    /// The last chunk of an import is not looked up after opening.
    ForgetImportNumber,
    /// A flush lets go of the log without noting deletions.
    LoseTombstones,
    /// A field's zone map prunes before duplicates are resolved.
    PruneBeforeMerge,
    /// NaN is a bound of a zone map.
    NanBound,
    /// Sources that share one timestamp alone count as apart.
    OverlapAtEdge,
    /// A last row is believed that a deletion hides, or that was replaced since.
    StaleLastRow,
    /// A segment's strip of last rows holds the row before the last.
    StaleStrip,
    /// Deletions are forgotten where nobody asks for sequences.
    ForgetDeletionsInAggregates,
    /// A snapshot sees rows of a segment that came after it.
    SegmentShowsLater,
    /// Rows in memory that arrived out of order are missed.
    WalkStopsEarly,
    /// Postings of a tag value name the next series.
    PostingsOffByOne,
    /// A decimal of another scale is taken for one of the column's.
    DecimalScale,
    /// A commit counts as of a moment before it.
    RoundCommitTimesDown,
    /// Versions that a merge has folded are served from what is left.
    SkipHorizonCheck,
    /// A deletion hides rows that were written after it.
    TombstoneHidesLater,
    /// Compaction drops a tombstone while an older row lives elsewhere.
    DropTombstoneEarly,
    /// Compaction folds versions that the history still has to tell apart.
    FoldAboveHorizon,
    /// The oldest value that is not NULL wins, not the newest.
    FoldOldestValue,
    /// A merge keeps only the columns of its first input.
    MergeLosesLateColumns,
    /// Compaction merges segments around one that lies between them in sequence.
    CompactAround,
    /// A segment that a snapshot still reads is removed.
    CollectHeldSegment,
    /// A manifest checkpoint leaves out the segments of a table.
    CheckpointOmitsTable,
    /// Who follows the log is given what is not durable.
    TailPastDurable,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 53] = [
        Self::AcknowledgeBeforeSync,
        Self::PublishBeforeDurable,
        Self::SkipDirectorySync,
        Self::SkipFolderSync,
        Self::NameBeforeContent,
        Self::InstallBeforeSync,
        Self::AdvanceFlushedThrough,
        Self::TruncateLogEarly,
        Self::FlushBeforeLogDurable,
        Self::AnswerLostSnapshot,
        Self::ReuseSequence,
        Self::KeepIncarnation,
        Self::SkipRecoverySync,
        Self::ReadErrorIsEnd,
        Self::StopAtDamage,
        Self::SkipQuarantine,
        Self::ReplaySchemaTwice,
        Self::ReplayFlushedRows,
        Self::SkipChecksum,
        Self::ChecksumWithoutOffset,
        Self::ChecksumWithoutFile,
        Self::UnreadableIsEmpty,
        Self::RetrySync,
        Self::KeepFailedGroup,
        Self::AdvanceOverFailedGroup,
        Self::KeepReserve,
        Self::StraddleMemtables,
        Self::HalfBatch,
        Self::LoseProducers,
        Self::LoseImportMark,
        Self::ForgetImportNumber,
        Self::LoseTombstones,
        Self::PruneBeforeMerge,
        Self::NanBound,
        Self::OverlapAtEdge,
        Self::StaleLastRow,
        Self::StaleStrip,
        Self::ForgetDeletionsInAggregates,
        Self::SegmentShowsLater,
        Self::WalkStopsEarly,
        Self::PostingsOffByOne,
        Self::DecimalScale,
        Self::RoundCommitTimesDown,
        Self::SkipHorizonCheck,
        Self::TombstoneHidesLater,
        Self::DropTombstoneEarly,
        Self::FoldAboveHorizon,
        Self::FoldOldestValue,
        Self::MergeLosesLateColumns,
        Self::CompactAround,
        Self::CollectHeldSegment,
        Self::CheckpointOmitsTable,
        Self::TailPastDurable,
    ];
}

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicU8, Ordering};

    static ON: AtomicU8 = AtomicU8::new(0);

    /// Switches `bug` on, or every bug off. For the whole process: run one harness at a time.
    pub fn plant(bug: Option<super::Bug>) {
        ON.store(bug.map_or(0, |bug| bug as u8), Ordering::SeqCst);
    }

    /// Whether `bug` is on.
    pub fn is_on(bug: super::Bug) -> bool {
        ON.load(Ordering::Relaxed) == bug as u8
    }

    thread_local! {
        static SEALS: RefCell<Option<Vec<Seal>>> = const { RefCell::new(None) };
    }

    /// A piece of a file whose seal was computed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Seal {
        /// The file.
        pub file_id: u128,
        /// Where the piece begins.
        pub offset: u64,
        /// Its bytes.
        pub len_bytes: usize,
        /// The seal.
        pub seal: u32,
    }

    /// Every seal that this thread computes while `run` runs.
    pub fn seals_of(run: impl FnOnce()) -> Vec<Seal> {
        SEALS.set(Some(Vec::new()));
        run();
        SEALS.take().unwrap_or_default()
    }

    /// Notes a seal for [`seals_of`].
    pub fn note_seal(file_id: u128, offset: u64, len_bytes: usize, seal: u32) {
        SEALS.with_borrow_mut(|seals| {
            if let Some(seals) = seals {
                seals.push(Seal { file_id, offset, len_bytes, seal });
            }
        });
    }
}

#[cfg(not(feature = "planted-bugs"))]
mod switch {
    /// Whether `bug` is on: never.
    #[inline]
    #[must_use]
    pub const fn is_on(_bug: super::Bug) -> bool {
        false
    }

    /// Notes nothing.
    #[inline]
    pub const fn note_seal(_file_id: u128, _offset: u64, _len_bytes: usize, _seal: u32) {}
}

pub use switch::*;
