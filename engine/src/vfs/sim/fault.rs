//! Which calls of the simulated disk fail, and how.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IoOp {
    /// `open` with `Create`.
    Create,
    /// `File::write_at`.
    Write,
    /// `File::allocate`.
    Allocate,
    /// `File::sync_data`.
    Sync,
    /// `sync_dir`.
    SyncDir,
    /// `rename`.
    Rename,
    /// `publish_new`.
    Publish,
    /// `remove`.
    Remove,
    /// `create_dir_all`.
    CreateDir,
    /// `lock`, which may create a file and write to it.
    Lock,
    /// `open` of an existing file.
    Open,
    /// `File::read_at`.
    Read,
    /// `map`.
    Map,
    /// `list`.
    List,
}

impl IoOp {
    /// Whether the call may change the disk. Only these are numbered and shown to the observer.
    #[must_use]
    pub fn is_mutating(self) -> bool {
        !matches!(self, Self::Open | Self::Read | Self::Map | Self::List)
    }

    /// Whether the call needs space on the disk at once.
    fn takes_space(self) -> bool {
        matches!(
            self,
            Self::Create
                | Self::Write
                | Self::Allocate
                | Self::Rename
                | Self::Publish
                | Self::CreateDir
        )
    }

    /// The verb of error messages, as the operating system's disk has it.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::Allocate => "allocate",
            Self::Sync => "sync",
            Self::SyncDir => "sync folder",
            Self::Rename => "rename",
            Self::Publish => "link",
            Self::Remove => "remove",
            Self::CreateDir => "create folder",
            Self::Lock => "lock",
            Self::Open => "open",
            Self::Read => "read",
            Self::Map => "map",
            Self::List => "list",
        }
    }
}

/// A mutating call, as the observer sees it before it takes effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoCall {
    /// The number of mutating calls on this disk before it.
    pub index: u64,
    /// What it does.
    pub op: IoOp,
    /// The path it names; of two, the first.
    pub path: PathBuf,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// EIO. Nothing is written; of a sync, what it should have written counts as clean and never becomes durable
    /// unless it is written again.
    Eio,
    /// ENOSPC. Hits calls that take space, and a sync only where it is named by [`FaultAt::Nth`] or [`FaultAt::NthOn`].
    Enospc,
    /// A write puts down so many bytes, then fails.
    ShortWrite(usize),
    /// A read returns at most so many bytes, as if the file ended there.
    ShortRead(usize),
}

impl Fault {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Eio => Errno::IO.into(),
            Self::Enospc => Errno::NOSPC.into(),
            Self::ShortWrite(_) => io::ErrorKind::WriteZero.into(),
            Self::ShortRead(_) => io::ErrorKind::UnexpectedEof.into(),
        }
    }

    fn fits(self, op: IoOp, named: bool) -> bool {
        match self {
            Self::Eio => true,
            Self::Enospc => op.takes_space() || named,
            Self::ShortWrite(_) => op == IoOp::Write,
            Self::ShortRead(_) => matches!(op, IoOp::Read),
        }
    }
}

/// Which call fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultAt {
    /// The mutating call of this index.
    Call(u64),
    /// Of the calls of this kind, counted from now, the one after so many.
    Nth {
        /// The kind.
        op: IoOp,
        /// Calls of this kind that pass before.
        skip: u64,
    },
    /// The same, among the calls whose path contains a text.
    NthOn {
        /// The kind.
        op: IoOp,
        /// A part of the path.
        path_part: String,
        /// Such calls that pass before.
        skip: u64,
    },
}

/// An armed fault.
#[derive(Debug)]
struct Armed {
    at: FaultAt,
    fault: Fault,
    /// Stays from its call on.
    sticky: bool,
}

/// The armed faults of a disk.
#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: Vec<Armed>,
    pub(super) fired_count: u64,
}

impl Faults {
    pub(super) fn arm(&mut self, at: FaultAt, fault: Fault, sticky: bool) {
        self.armed.push(Armed { at, fault, sticky });
    }

    pub(super) fn clear(&mut self) {
        self.armed.clear();
    }

    /// The fault of this call, if one is due; `index` is None for calls that do not change the disk.
    pub(super) fn take(&mut self, op: IoOp, path: &Path, index: Option<u64>) -> Option<Fault> {
        let mut due = None;
        self.armed.retain_mut(|armed| {
            if due.is_some() || !armed.is_due(op, path, index) {
                return true;
            }
            due = Some(armed.fault);
            armed.sticky
        });
        self.fired_count += u64::from(due.is_some());
        due
    }
}

impl Armed {
    fn is_due(&mut self, op: IoOp, path: &Path, index: Option<u64>) -> bool {
        let sticky = self.sticky;
        match &mut self.at {
            FaultAt::Call(at) => {
                let reached = index.is_some_and(|index| index == *at || (sticky && index > *at));
                reached && self.fault.fits(op, false)
            }
            FaultAt::Nth { op: wanted, skip } => {
                *wanted == op && self.fault.fits(op, true) && passed(skip)
            }
            FaultAt::NthOn { op: wanted, path_part, skip } => {
                *wanted == op
                    && path.to_string_lossy().contains(path_part.as_str())
                    && self.fault.fits(op, true)
                    && passed(skip)
            }
        }
    }
}

/// Counts a call that may pass. Returns true when none may any more.
fn passed(skip: &mut u64) -> bool {
    let due = *skip == 0;
    *skip = skip.saturating_sub(1);
    due
}
