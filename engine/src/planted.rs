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
    /// A writing open does not raise the incarnation and counts from the last sequence that it flushed.
    ReuseSequence,
    /// A flush is installed before the log is durable through it.
    FlushBeforeLogDurable,
    /// A field's zone map prunes before duplicates are resolved.
    PruneBeforeMerge,
    /// A new file's directory entry is not synced.
    SkipDirectorySync,
    /// A segment is installed before it is synced.
    InstallBeforeSync,
    /// Compaction drops a tombstone while an older row lives elsewhere.
    DropTombstoneEarly,
    /// Compaction merges segments around one that lies between them in sequence.
    CompactAround,
    /// A batch is put half into one memtable and half into the next.
    StraddleMemtables,
    /// A checksum is not checked.
    SkipChecksum,
    /// A last row is believed that a deletion hides, or that was replaced since.
    StaleLastRow,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 12] = [
        Self::AcknowledgeBeforeSync,
        Self::PublishBeforeDurable,
        Self::ReuseSequence,
        Self::FlushBeforeLogDurable,
        Self::PruneBeforeMerge,
        Self::SkipDirectorySync,
        Self::InstallBeforeSync,
        Self::DropTombstoneEarly,
        Self::CompactAround,
        Self::StraddleMemtables,
        Self::SkipChecksum,
        Self::StaleLastRow,
    ];
}

#[cfg(feature = "planted-bugs")]
mod switch {
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
}

#[cfg(not(feature = "planted-bugs"))]
mod switch {
    /// Whether `bug` is on: never.
    #[inline]
    #[must_use]
    pub const fn is_on(_bug: super::Bug) -> bool {
        false
    }
}

pub use switch::*;
