//! I/O that fails in the middle of a workload: what was acknowledged stays, reads go on, and work resumes or is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chronolith_engine::Db;
use chronolith_engine::error::Error;
use chronolith_engine::vfs::sim::{CrashChoice, Fault, FaultAt, IoCall, IoOp, SimVfs};

use crate::check::{self, Outcome};
use crate::crash::Failure;
use crate::dice::Dice;
use crate::executor::LabelledExecutor;
use crate::model::{Model, Query};
use crate::ops::{Op, Profile};
use crate::world::{Setup, World};

/// Operations before the fault is taken back.
const STEP_COUNT: u64 = 25;

/// What faults led to.
#[derive(Debug, Default, Clone, Copy)]
pub struct Faults {
    /// Runs in which a call failed.
    pub hit: u64,
    /// Runs that ended poisoned.
    pub poisoned: u64,
    /// Runs in which opening failed at first.
    pub unopened: u64,
}

impl Faults {
    /// Takes in another count.
    pub fn merge(&mut self, other: Self) {
        self.hit += other.hit;
        self.poisoned += other.poisoned;
        self.unopened += other.unopened;
    }
}

/// Runs the workload of `seed` once for each of `count` random places and kinds of faults.
///
/// # Errors
/// The first thing that does not fit the model.
pub fn faults(seed: u64, count: u64, found: &mut Faults) -> Result<(), Box<Failure>> {
    let profile = Profile { fails: true, ..Profile::default() };
    let mut dry = World::new(Setup::new(seed), profile);
    let dried = dry.open().map_err(|error| error.to_string());
    let dried = dried.and_then(|()| (0..STEP_COUNT).try_for_each(|_| dry.step()));
    dried.map_err(|text| Failure { seed, text, trace: std::mem::take(&mut dry.trace) })?;
    let calls = dry.vfs.call_count();
    let mut dice = Dice::new(seed ^ 0xfa17);
    for _ in 0..count {
        let call = dice.below(calls);
        let short = Fault::ShortWrite(*dice.pick(&[1, 100, usize::MAX, usize::MAX]));
        let any = *dice.pick(&[Fault::Eio, Fault::Eio, Fault::Enospc, short]);
        // Any call; only syncs of files; only writes of the log.
        let log = || FaultAt::NthOn { op: IoOp::Write, path_part: "/wal/".into(), skip: call / 4 };
        let (at, fault) = match dice.below(4) {
            0 | 1 => (FaultAt::Call(call), any),
            2 => (
                FaultAt::Nth { op: IoOp::Sync, skip: call / 6 },
                *dice.pick(&[Fault::Eio, Fault::Enospc]),
            ),
            _ => (log(), *dice.pick(&[short, Fault::Enospc])),
        };
        let fault = Planned { at, call, fault, sticky: dice.chance(40) };
        one_fault(seed, &fault, found)?;
    }
    Ok(())
}

/// Runs the workload of `seed` with each of its calls that change the disk, in steps of `step`, failing in five ways, once and from
/// then on. Of a sync EIO means that what it should have written counts as clean.
///
/// # Errors
/// The first thing that does not fit the model.
pub fn every_call(seed: u64, step: usize, found: &mut Faults) -> Result<u64, Box<Failure>> {
    let profile = Profile { fails: true, ..Profile::default() };
    let mut dry = World::new(Setup::new(seed), profile);
    let dried = dry.open().map_err(|error| error.to_string());
    let dried = dried.and_then(|()| (0..STEP_COUNT).try_for_each(|_| dry.step()));
    dried.map_err(|text| Failure { seed, text, trace: std::mem::take(&mut dry.trace) })?;
    let calls = dry.vfs.call_count();
    let ways = [
        Fault::Eio,
        Fault::Enospc,
        Fault::ShortWrite(0),
        Fault::ShortWrite(100),
        Fault::ShortWrite(usize::MAX),
    ];
    for call in (seed % step.max(1) as u64..calls).step_by(step.max(1)) {
        for (fault, sticky) in ways.iter().flat_map(|fault| [(*fault, false), (*fault, true)]) {
            one_fault(seed, &Planned { at: FaultAt::Call(call), call, fault, sticky }, found)?;
        }
    }
    Ok(calls)
}

/// A fault and its place.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Which call.
    pub at: FaultAt,
    /// Decides what else is random.
    pub call: u64,
    /// How.
    pub fault: Fault,
    /// Whether all later calls that fit fail, too.
    pub sticky: bool,
}

/// Runs the workload of `seed` with one fault.
///
/// # Errors
/// The first thing that does not fit the model.
pub fn one_fault(seed: u64, planned: &Planned, found: &mut Faults) -> Result<(), Box<Failure>> {
    let mut world = World::new(Setup::new(seed), Profile { fails: true, ..Profile::default() });
    let outcome = one(&mut world, planned, found);
    let trace = std::mem::take(&mut world.trace);
    outcome.map_err(|text| Box::new(Failure { seed, text: format!("{planned:?}: {text}"), trace }))
}

fn one(world: &mut World, planned: &Planned, found: &mut Faults) -> Outcome {
    let Planned { at, call, fault, sticky } = planned.clone();
    let mut dice = Dice::new(call ^ world.setup.seed);
    let ends_at_once = dice.chance(40);
    let only_files = !matches!(at, FaultAt::Call(_));
    let names_lost = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&names_lost);
    world.vfs.set_observer(Some(Arc::new(move |_, one: IoCall| {
        let hit = one.index == call || (sticky && one.index > call);
        seen.fetch_or(!only_files && hit && one.op == IoOp::SyncDir, Ordering::Relaxed);
    })));
    world.vfs.fail_at(at, fault, sticky);
    if world.open().is_err() {
        found.unopened += 1;
        world.vfs.clear_faults();
        world.open().map_err(|error| format!("open after a fault: {error}"))?;
    }
    for _ in 0..STEP_COUNT {
        world.step()?;
        world.compare()?;
        if ends_at_once && world.vfs.fault_count() > 0 {
            break;
        }
    }
    found.hit += u64::from(world.vfs.fault_count() > 0);
    world.vfs.clear_faults();
    world.vfs.set_observer(None);
    if !ends_at_once {
        resume(world, found)?;
    } else {
        // The process ends in the middle of it.
        world.settle()?;
    }
    // The process ends; the next one works on, and then the power goes.
    world.trace.push("Kill".into());
    world.apply(Op::Kill)?;
    for _ in 0..6 {
        world.step()?;
        world.compare()?;
    }
    if names_lost.load(Ordering::Relaxed) {
        // A file system whose journal fails ends here; the simulated one would go on and forget names.
        return Ok(());
    }
    for choice in [CrashChoice::Everything, CrashChoice::Random(call), CrashChoice::Nothing] {
        let text = format!("cut, {choice:?}");
        let disk = world.vfs.clone_image(choice);
        let options = world.setup.options(&disk, &world.clock, &world.run, 99);
        let db = chronolith_engine::Db::open(options)
            .map_err(|error| format!("{text}: open: {error}"))?;
        let ledger = world.ledger.lock().clone();
        let snapshot = db.snapshot();
        let count = snapshot.sequence().counter as usize;
        if count < ledger.durable || count > ledger.entries.len() {
            let (least, most) = (ledger.durable, ledger.entries.len());
            return Err(format!("{text}: {count} commits were found, expected {least} to {most}"));
        }
        crate::check::compare(&snapshot, &ledger.states[count])
            .map_err(|error| format!("{text}: {error}"))?;
    }
    Ok(())
}

/// With the fault gone, writes go on, unless a sync had failed.
fn resume(world: &mut World, found: &mut Faults) -> Outcome {
    world.settle()?;
    if world.db().vitals().poisoned.is_some() {
        found.poisoned += 1;
        return Ok(());
    }
    world.forget_snapshots();
    world.run.inner.advance_ms(2_000);
    world.run.inner.run_until_idle(1_000);
    world.settle()?;
    let before = world.ledger.lock().entries.len();
    world.apply(Op::Flush)?;
    if world.db().vitals().poisoned.is_some() {
        return Ok(());
    }
    let model = std::sync::Arc::clone(world.ledger.lock().last());
    let change = crate::ops::write(&model, world.profile, &mut world.dice);
    world.apply(Op::Write { change, fsync: true, waits: true })?;
    if world.ledger.lock().entries.len() != before + 1 {
        return Err("a write was refused though the fault is gone".into());
    }
    world.compare()
}

/// What failing reads led to.
#[derive(Debug, Default, Clone, Copy)]
pub struct Reads {
    /// Opening was refused.
    pub refused: u64,
    /// A read was refused.
    pub unreadable: u64,
    /// Nothing was seen of it.
    pub unseen: u64,
}

impl Reads {
    /// Takes in another count.
    pub fn merge(&mut self, other: Self) {
        self.refused += other.refused;
        self.unreadable += other.unreadable;
        self.unseen += other.unseen;
    }
}

/// Opens what the workload of `seed` leaves, and reads all of it, with each read, listing and opening failing once, or with a sample
/// of `count_max` of each kind. A failure may be told; it may not be taken for missing data, nor destroy anything.
///
/// # Errors
/// An answer that is neither right nor an error.
pub fn failing_reads(seed: u64, count_max: u64, found: &mut Reads) -> Result<(), Box<Failure>> {
    let profile = Profile { fails: false, ..Profile::default() };
    let mut world = World::new(Setup::new(seed), profile);
    let outcome = world.open().map_err(|error| error.to_string()).and_then(|()| {
        (0..STEP_COUNT).try_for_each(|_| world.step())?;
        world.settle()?;
        // Killed, so that the log has much to read; or closed.
        if seed.is_multiple_of(2) {
            world.apply(Op::Reopen)?;
        }
        let (ledger, disk) = (world.ledger.lock().clone(), world.vfs.clone_running());
        let count = {
            let whole = open_quietly(&world, &disk.clone_running(), 4);
            let whole = whole.map_err(|error| format!("open: {error}"))?;
            whole.snapshot().sequence().counter as usize
        };
        let mut dice = Dice::new(seed ^ 0x4ead);
        let kinds = [
            (IoOp::Read, Fault::Eio),
            (IoOp::Read, Fault::ShortRead(0)),
            (IoOp::Read, Fault::ShortRead(40)),
            (IoOp::Open, Fault::Eio),
            (IoOp::List, Fault::Eio),
        ];
        for (op, fault) in kinds {
            let mut skip = 0;
            for _ in 0..count_max {
                skip += dice.below(3);
                let at = FaultAt::Nth { op, skip };
                let text = format!("{fault:?} at {op:?} {skip}");
                let fired = failing_read(&world, &disk, at, fault, &ledger.states[count], found)
                    .map_err(|error| format!("{text}: {error}"))?;
                if !fired {
                    break;
                }
                skip += 1;
            }
        }
        Ok(())
    });
    let trace = std::mem::take(&mut world.trace);
    outcome.map_err(|text| Box::new(Failure { seed, text, trace }))
}

fn open_quietly(world: &World, disk: &SimVfs, salt: u64) -> Result<Db, Error> {
    let setup = Setup { background: false, flush_bytes: 1 << 20, ..world.setup };
    let run = Arc::new(LabelledExecutor::new(salt));
    Db::open(setup.options(disk, &world.clock, &run, salt))
}

/// Returns whether there was such a call.
fn failing_read(
    world: &World,
    disk: &SimVfs,
    at: FaultAt,
    fault: Fault,
    model: &Model,
    found: &mut Reads,
) -> Outcome<bool> {
    let disk = disk.clone_running();
    let open = |salt| open_quietly(world, &disk, salt);
    disk.fail_at(at, fault, false);
    let told = |error: &Error| matches!(error, Error::Io { .. } | Error::Corrupt(_));
    match open(5) {
        Ok(db) => {
            let (snapshot, mut refused) = (db.snapshot(), false);
            if snapshot.sequence().counter as usize != model.commits {
                let count = snapshot.sequence().counter;
                return Err(format!("{count} of {} commits are shown", model.commits));
            }
            for (name, table) in &model.tables {
                match check::scan(&snapshot, name, &Query::all()) {
                    Ok(rows) if rows == table.resolved() => {}
                    Ok(_) => return Err(format!("scan {name} gives other rows, and no error")),
                    Err(error) if told(&error) => refused = true,
                    Err(error) => return Err(format!("scan {name}: {error}")),
                }
            }
            if refused {
                found.unreadable += 1;
            } else {
                found.unseen += 1;
            }
        }
        Err(error) if told(&error) => found.refused += 1,
        Err(error) => return Err(format!("open: {error}")),
    }
    let fired = disk.fault_count() > 0;
    disk.clear_faults();
    let db = open(6).map_err(|error| format!("open again: {error}"))?;
    check::compare(&db.snapshot(), model).map_err(|error| format!("opened again: {error}"))?;
    Ok(fired)
}
