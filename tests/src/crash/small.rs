//! Small workloads, one after the other: every sequence of up to three operations, and of each call every image in which each pending
//! call (a write, a length, a change of names) is kept or lost, and one write torn: each prefix of its sectors, and each sector alone.
//! (Bounded black-box crash testing: Mohan et al., "Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing", OSDI 2018.)

use std::collections::BTreeMap;

use chronolith_engine::vfs::sim::{CrashChoice, SimVfs};

use super::{Failure, Plan, Tally, drive};
use crate::check::Outcome;
use crate::dice::Dice;
use crate::model::{Change, Query};
use crate::ops::{self, Op, Profile};
use crate::world::{Setup, World};

/// Pending calls up to which all subsets are taken; of more a sample is.
const CALL_COUNT_MAX: usize = 7;
/// The sample.
const SAMPLE_COUNT: usize = 40;

/// One operation of a small workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Small {
    /// Rows that must be durable.
    Write,
    /// Rows that need not be.
    Lazy,
    /// Rows go.
    Delete,
    /// A table goes.
    Drop,
    /// Memory is written to segments.
    Flush,
    /// Segments are merged.
    Compact,
    /// The database is closed and opened.
    Reopen,
    /// The process ends, and the next one opens the database.
    Kill,
}

impl Small {
    /// Every operation.
    pub const ALL: [Self; 8] = [
        Self::Write,
        Self::Lazy,
        Self::Delete,
        Self::Drop,
        Self::Flush,
        Self::Compact,
        Self::Reopen,
        Self::Kill,
    ];
}

/// Every sequence of one to `len_max` operations that does something: it begins with a write.
#[must_use]
pub fn sequences(len_max: usize) -> Vec<Vec<Small>> {
    let mut all: Vec<Vec<Small>> = vec![vec![Small::Write], vec![Small::Lazy]];
    let mut last = all.clone();
    for _ in 1..len_max {
        let longer = |one: &Vec<Small>| {
            let one = one.clone();
            Small::ALL.into_iter().map(move |next| [one.as_slice(), &[next]].concat())
        };
        last = last.iter().flat_map(longer).collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// Runs a sequence of up to three operations, chosen by number.
///
/// # Errors
/// As [`small`].
pub fn small_of(number: u64, tally: &mut Tally) -> Result<(), Box<Failure>> {
    let all = sequences(3);
    small(&all[(number % all.len() as u64) as usize], tally)
}

/// Runs one sequence, and opens and compares every image of it.
///
/// # Errors
/// The first thing that does not fit the model.
pub fn small(sequence: &[Small], tally: &mut Tally) -> Result<(), Box<Failure>> {
    let seed = 7;
    let setup = Setup {
        background: false,
        flush_bytes: 1 << 20,
        log_file_bytes: 2_048,
        log_prepare_bytes: 1_024,
        reserve_bytes: 0,
        compact_segment_count: 2,
        checkpoint_edit_count: 2,
        ..Setup::new(seed)
    };
    let mut world = World::new(setup, Profile { crashes: true, ..Profile::default() });
    let plan =
        Plan { op_count: sequence.len() as u64, depth_percent: 4, every: true, ..Plan::default() };
    let outcome = drive(&mut world, plan, tally, &mut |world, number| {
        world.trace.push(format!("{:?}", sequence[number as usize]));
        apply(world, sequence[number as usize])
    });
    world.vfs.set_observer(None);
    let trace = std::mem::take(&mut world.trace);
    let text = |text: String| format!("{sequence:?}: {text}");
    outcome.map_err(|error| Box::new(Failure { seed, text: text(error), trace }))
}

fn apply(world: &mut World, small: Small) -> Outcome {
    let model = std::sync::Arc::clone(world.ledger.lock().last());
    let table = model.tables.keys().next().cloned();
    let op = match (small, table) {
        (Small::Write | Small::Lazy, _) => {
            let change = ops::write(&model, world.profile, &mut world.dice);
            Op::Write { change, fsync: small == Small::Write, waits: true }
        }
        (Small::Delete, Some(table)) => Op::Change(Change::Delete { table, query: Query::all() }),
        (Small::Drop, Some(table)) => Op::Change(Change::Drop(table)),
        (Small::Flush, _) => Op::Flush,
        (Small::Compact, _) => Op::Compact,
        (Small::Reopen, _) => Op::Reopen,
        (Small::Kill, _) => Op::Kill,
        (Small::Delete | Small::Drop, None) => Op::Steps(0),
    };
    world.apply(op)?;
    world.settle()
}

/// The images of a disk with little pending.
pub(super) fn images(disk: &SimVfs, dice: &mut Dice) -> Vec<SimVfs> {
    // The calls that are pending, each with how many changes it made.
    let mut calls: BTreeMap<u64, usize> = BTreeMap::new();
    let _kept = disk.clone_image(CrashChoice::By(&mut |question| {
        *calls.entry(question.call).or_default() += 1;
        1
    }));
    let calls: Vec<(u64, usize)> = calls.into_iter().collect();
    let take = |kept: &dyn Fn(usize, usize) -> bool| {
        let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
        disk.clone_image(CrashChoice::By(&mut |question| {
            let at = calls.iter().position(|call| call.0 == question.call).unwrap_or(0);
            let index = seen.entry(question.call).or_default();
            *index += 1;
            usize::from(kept(at, *index - 1))
        }))
    };
    let mut images = Vec::new();
    if calls.len() <= CALL_COUNT_MAX {
        images.extend((0..1_usize << calls.len()).map(|set| take(&|at, _| set >> at & 1 == 1)));
    } else {
        let sets = (0..SAMPLE_COUNT).map(|_| dice.bits() & dice.bits() | dice.bits());
        let ends = [0, u64::MAX];
        let sets: Vec<u64> = ends.into_iter().chain(sets).collect();
        images.extend(sets.into_iter().map(|set| take(&|at, _| set >> (at % 64) & 1 == 1)));
    }
    for (torn, (_, count)) in calls.iter().enumerate().filter(|(_, call)| call.1 > 1) {
        for part in 0..*count {
            for others in [false, true] {
                let rest = |at: usize| others && at < torn;
                images.push(take(&|at, index| if at == torn { index < part } else { rest(at) }));
                images.push(take(&|at, index| if at == torn { index == part } else { rest(at) }));
            }
        }
    }
    images
}
