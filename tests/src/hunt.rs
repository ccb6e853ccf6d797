//! The hunt for planted bugs: one seed's checks of every kind, and for each bug the kind that finds it first.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use chronolith_engine::planted::{Bug, plant};

use crate::crash::small::small_of;
use crate::crash::{Failure, Plan, Tally, workload};
use crate::damage::{Flips, flips};
use crate::fault::{Faults, Reads, failing_reads, faults};
use crate::full_disk::full_disk;
use crate::ops::{Focus, Profile};
use crate::world::random_run;
use crate::wreck::{self, Wrecks};

/// A kind of check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Random operations beside the model.
    Model,
    /// The same, where tables come and go.
    Tables,
    /// The same, where history is forgotten.
    History,
    /// The same, where rows are flushed all the time.
    Flushes,
    /// Flipped bits.
    Damage,
    /// Damage of any kind to a database that has something of everything in it.
    Wreck,
    /// A workload of three operations, with all its images.
    Small,
    /// Power cuts.
    Crash,
    /// Writes and syncs that fail.
    Fault,
    /// Reads that fail.
    Read,
    /// A full disk.
    FullDisk,
}

impl Check {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Model,
        Self::Tables,
        Self::History,
        Self::Flushes,
        Self::Damage,
        Self::Wreck,
        Self::Small,
        Self::Crash,
        Self::Fault,
        Self::Read,
        Self::FullDisk,
    ];

    /// The check of one seed.
    ///
    /// # Errors
    /// What was found, a panic included.
    pub fn run(self, seed: u64) -> Result<(), String> {
        guarded(|| self.check(seed))
    }

    fn check(self, seed: u64) -> Result<(), String> {
        let found = match self {
            Self::Model => (0..2).try_for_each(|part| {
                let profile = Profile { forgets: part == 0, crashes: true, ..Profile::default() };
                random_run(seed * 2 + part, profile, 60)
            }),
            Self::Tables => focused(seed, Focus::Tables),
            Self::History => focused(seed, Focus::History),
            Self::Flushes => focused(seed, Focus::Flushes),
            Self::Damage => flips(seed, 30, &mut Flips::default()),
            Self::Wreck => return wreck::some(seed, 60, &mut Wrecks::default()),
            Self::Small => small_of(seed, &mut Tally::default()),
            Self::Crash => {
                let plan = Plan { op_count: 30, depth_percent: 0, ..Plan::default() };
                workload(seed, plan, &mut Tally::default())
            }
            Self::Fault => faults(seed, 12, &mut Faults::default()),
            Self::Read => failing_reads(seed, 12, &mut Reads::default()),
            Self::FullDisk => full_disk(seed),
        };
        found.map_err(|failure| failure.to_string())
    }

    /// The kind that finds `bug` first.
    #[must_use]
    pub fn of(bug: Bug) -> Self {
        use Bug as B;
        match bug {
            B::AcknowledgeBeforeSync
            | B::PublishBeforeDurable
            | B::SkipDirectorySync
            | B::SkipFolderSync
            | B::NameBeforeContent
            | B::InstallBeforeSync
            | B::FlushBeforeLogDurable
            | B::AnswerLostSnapshot
            | B::ReuseSequence
            | B::KeepIncarnation
            | B::SkipRecoverySync
            | B::SkipQuarantine
            | B::ReplaySchemaTwice
            | B::LoseProducers
            | B::TailPastDurable
            | B::CheckpointOmitsTable => Self::Crash,
            B::StopAtDamage
            | B::SkipChecksum
            | B::ChecksumWithoutOffset
            | B::ChecksumWithoutFile
            | B::UnreadableIsEmpty => Self::Damage,
            B::ReadErrorIsEnd => Self::Read,
            B::RetrySync | B::KeepFailedGroup | B::AdvanceOverFailedGroup => Self::Fault,
            B::KeepReserve => Self::FullDisk,
            B::CollectHeldSegment => Self::Tables,
            B::SkipHorizonCheck => Self::History,
            B::AdvanceFlushedThrough | B::TruncateLogEarly => Self::Flushes,
            _ => Self::Model,
        }
    }
}

/// Runs `check`; a panic counts as found.
///
/// # Errors
/// What was found.
pub fn guarded(check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

fn focused(seed: u64, focus: Focus) -> Result<(), Box<Failure>> {
    let forgets = focus == Focus::History || seed.is_multiple_of(2);
    random_run(seed, Profile { forgets, crashes: true, fails: false, focus }, 60)
}

/// What became of the hunt for one bug.
#[derive(Debug, Clone)]
pub struct Find {
    /// The bug.
    pub bug: Bug,
    /// How long it took.
    pub took: Duration,
    /// Where and as what it was found; none: it was missed.
    pub found: Option<(Check, u64, String)>,
}

impl fmt::Display for Find {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bug, seconds) = (format!("{:?}", self.bug), self.took.as_secs_f64());
        match &self.found {
            None => write!(f, "{bug:<28} missed after {seconds:.1} s"),
            Some((check, seed, text)) => {
                let lines = text.lines().next().unwrap_or_default().chars();
                let what: String = lines.take(110).collect();
                write!(f, "{bug:<28} {seconds:>5.2} s, {check:?}, {what}")?;
                if what.contains("seed ") { Ok(()) } else { write!(f, " (seed {seed})") }
            }
        }
    }
}

/// Plants `bug` and looks for it with the seeds from `first` on: the kind of check that should find it before the others. For the whole
/// process: nothing else may run meanwhile.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the hunt tells how long it took")]
pub fn hunt(bug: Bug, first: u64, seed_count: u64) -> Find {
    let start = Instant::now();
    plant(Some(bug));
    let guess = Check::of(bug);
    let look = |check: Check, seed| Some((check, seed, check.run(seed).err()?));
    let hinted = (first..first + seed_count).find_map(|seed| look(guess, seed));
    let found = hinted.or_else(|| {
        (first..first + seed_count / 20).find_map(|seed| {
            Check::ALL
                .into_iter()
                .filter(|check| *check != guess)
                .find_map(|check| look(check, seed))
        })
    });
    plant(None);
    Find { bug, took: start.elapsed(), found }
}
