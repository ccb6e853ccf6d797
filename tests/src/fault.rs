//! I/O that fails in the middle of a workload: what was acknowledged stays, reads go on, and work resumes or is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chronolith_engine::vfs::sim::{CrashChoice, Fault, FaultAt, IoCall, IoOp};

use crate::check::Outcome;
use crate::crash::Failure;
use crate::dice::Dice;
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

/// Runs the workload of `seed` once for each of `count` random places and kinds of faults.
///
/// # Errors
/// The first thing that does not fit the model.
pub fn faults(seed: u64, count: u64, found: &mut Faults) -> Result<(), Box<Failure>> {
    let profile = Profile { forgets: false, crashes: false, fails: true };
    let mut dry = World::new(Setup::new(seed), profile);
    let dried = dry.open().map_err(|error| error.to_string());
    let dried = dried.and_then(|()| (0..STEP_COUNT).try_for_each(|_| dry.step()));
    dried.map_err(|text| Failure { seed, text, trace: std::mem::take(&mut dry.trace) })?;
    let calls = dry.vfs.call_count();
    let mut dice = Dice::new(seed ^ 0xfa17);
    for _ in 0..count {
        let call = dice.below(calls);
        let fault = *dice.pick(&[Fault::Eio, Fault::Eio, Fault::Enospc, Fault::ShortWrite(100)]);
        let sticky = dice.chance(40);
        let mut world = World::new(Setup::new(seed), profile);
        let outcome = one(&mut world, call, fault, sticky, found);
        let trace = std::mem::take(&mut world.trace);
        outcome.map_err(|text| {
            let text = format!("{fault:?} at call {call}, sticky {sticky}: {text}");
            Failure { seed, text, trace }
        })?;
    }
    Ok(())
}

fn one(world: &mut World, call: u64, fault: Fault, sticky: bool, found: &mut Faults) -> Outcome {
    // In half of the runs only syncs of files fail.
    let at = match call % 2 {
        0 => FaultAt::Call(call),
        _ => FaultAt::Nth { op: IoOp::Sync, skip: call / 6 },
    };
    let only_files = matches!(at, FaultAt::Nth { .. });
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
    }
    found.hit += u64::from(world.vfs.fault_count() > 0);
    world.vfs.clear_faults();
    world.vfs.set_observer(None);
    resume(world, found)?;
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
    if world.db().stats().poisoned.is_some() {
        found.poisoned += 1;
        return Ok(());
    }
    world.forget_snapshots();
    world.run.inner.advance_ms(2_000);
    world.run.inner.run_until_idle(1_000);
    world.settle()?;
    let before = world.ledger.lock().entries.len();
    world.apply(Op::Flush)?;
    if world.db().stats().poisoned.is_some() {
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
