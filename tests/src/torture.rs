//! Long runs: units of work, each repeatable from its seed, until the time is over; what they found, and how much they looked at.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::crash::small::small_of;
use crate::crash::{Plan, Tally, workload};
use crate::damage::{Flips, flips};
use crate::fault::{Faults, Reads, failing_reads, faults};
use crate::hunt::{Check, guarded};
use crate::wreck::{self, Wrecks};

/// Units that are counted before the order of kinds repeats.
const ROUND: u64 = 14;

/// One piece of work: a kind of check and its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// What.
    pub check: Check,
    /// Decides everything.
    pub seed: u64,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}", self.check, self.seed)
    }
}

impl std::str::FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no unit, as Crash:7 is");
        let (name, seed) = text.split_once(':').ok_or_else(wrong)?;
        let known = Check::ALL.into_iter().find(|check| format!("{check:?}") == name);
        let seed = seed.parse().map_err(|_| wrong())?;
        Ok(Self { check: known.ok_or_else(wrong)?, seed })
    }
}

impl Unit {
    /// Unit number `index` of the run of `seed`. Most are power cuts.
    #[must_use]
    pub fn of(seed: u64, index: u64) -> Self {
        let others = &Check::ALL;
        let check = match index % ROUND {
            0..8 => Check::Crash,
            // One of the others, in turns.
            more => {
                let turn = index / ROUND * (ROUND - 8) + (more - 8);
                let check = others[(turn % others.len() as u64) as usize];
                if check == Check::Crash { Check::Model } else { check }
            }
        };
        Self { check, seed: seed.wrapping_mul(1_000_003).wrapping_add(index) }
    }

    /// Does it, and counts.
    ///
    /// # Errors
    /// What was found.
    pub fn run(self, figures: &mut Figures) -> Result<(), String> {
        *figures.units.entry(format!("{:?}", self.check)).or_default() += 1;
        guarded(|| {
            let found = match self.check {
                Check::Crash => workload(self.seed, Plan::default(), &mut figures.tally),
                Check::Damage => flips(self.seed, 100, &mut figures.flips),
                Check::Small => small_of(self.seed, &mut figures.tally),
                Check::Wreck => return wreck::some(self.seed, 250, &mut figures.wrecks),
                Check::Fault => faults(self.seed, 40, &mut figures.faults),
                Check::Read => failing_reads(self.seed, 40, &mut figures.reads),
                other => return other.run(self.seed),
            };
            found.map_err(|failure| failure.to_string())
        })
    }
}

/// How much was looked at.
#[derive(Debug, Default)]
pub struct Figures {
    /// Units by kind.
    pub units: std::collections::BTreeMap<String, u64>,
    /// Crash images.
    pub tally: Tally,
    /// Damage.
    pub flips: Flips,
    /// Damage to databases that have something of everything.
    pub wrecks: Wrecks,
    /// Failing writes and syncs.
    pub faults: Faults,
    /// Failing reads.
    pub reads: Reads,
}

impl Figures {
    fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.units {
            *self.units.entry(kind.clone()).or_default() += count;
        }
        self.tally.merge(&other.tally);
        self.flips.merge(other.flips);
        self.wrecks.merge(other.wrecks);
        self.faults.merge(other.faults);
        self.reads.merge(other.reads);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.tally)?;
        writeln!(f, "units: {:?}", self.units)?;
        writeln!(f, "flipped bits: {:?}", self.flips)?;
        writeln!(f, "other damage: {:?}", self.wrecks)?;
        writeln!(f, "failing writes and syncs: {:?}", self.faults)?;
        write!(f, "failing reads: {:?}", self.reads)
    }
}

/// How long a run goes on.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// So long, and to the end of what was begun.
    Time(Duration),
    /// So many units.
    Units(u64),
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How much was looked at.
    pub figures: Figures,
    /// Units that were done.
    pub unit_count: u64,
    /// What was found.
    pub finds: Vec<(Unit, String)>,
}

/// Does the units of `seed` on `thread_count` threads, and tells `progress` now and then. No bug may be planted meanwhile.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a time budget is real time")]
pub fn torture(
    seed: u64,
    until: Until,
    thread_count: usize,
    progress: &(dyn Fn(&Outcome) + Sync),
) -> Outcome {
    let start = Instant::now();
    let shared = Mutex::new((0, Outcome::default()));
    std::thread::scope(|scope| {
        for _ in 0..thread_count {
            scope.spawn(|| {
                loop {
                    let index = {
                        let mut shared = shared.lock();
                        let over = match until {
                            Until::Time(budget) => start.elapsed() >= budget,
                            Until::Units(count) => shared.0 >= count,
                        };
                        if over {
                            return;
                        }
                        shared.0 += 1;
                        shared.0 - 1
                    };
                    let (unit, mut figures) = (Unit::of(seed, index), Figures::default());
                    let done = unit.run(&mut figures);
                    let mut shared = shared.lock();
                    let outcome = &mut shared.1;
                    outcome.figures.merge(&figures);
                    outcome.unit_count += 1;
                    outcome.finds.extend(done.err().map(|text| (unit, text)));
                    if outcome.unit_count.is_multiple_of(50) {
                        progress(outcome);
                    }
                }
            });
        }
    });
    shared.into_inner().1
}
