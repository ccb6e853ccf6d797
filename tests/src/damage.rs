//! Flipped bits: a damaged file is an error or makes no difference, never another answer.

use std::sync::Arc;

use chronolith_engine::Db;
use chronolith_engine::clock::ManualClock;
use chronolith_engine::error::{Error, ErrorKind};

use crate::check::{self, Outcome};
use crate::crash::Failure;
use crate::executor::LabelledExecutor;
use crate::model::Query;
use crate::ops::{Op, Profile};
use crate::seals;
use crate::world::{START_NS, Setup, World};

/// What became of flipped bits.
#[derive(Debug, Default, Clone, Copy)]
pub struct Flips {
    /// Opening was refused.
    pub refused: u64,
    /// A read was refused.
    pub unreadable: u64,
    /// Everything read back, and verification told of the damage or it lay in bytes that nothing uses.
    pub harmless: u64,
}

impl Flips {
    /// Takes in another count.
    pub fn merge(&mut self, other: Self) {
        self.refused += other.refused;
        self.unreadable += other.unreadable;
        self.harmless += other.harmless;
    }
}

/// Flips `count` random bits, one at a time, in the database that the workload of `seed` leaves.
///
/// # Errors
/// An answer that is neither right nor an error.
pub fn flips(seed: u64, count: u64, flips: &mut Flips) -> Result<(), Box<Failure>> {
    let profile = Profile { fails: false, ..Profile::default() };
    let mut world = World::new(Setup::new(seed), profile);
    let outcome = build(&mut world).and_then(|()| flip_all(&mut world, count, flips));
    let trace = std::mem::take(&mut world.trace);
    outcome.map_err(|text| Box::new(Failure { seed, text, trace }))
}

fn build(world: &mut World) -> Outcome {
    world.open().map_err(|error| format!("open: {error}"))?;
    (0..25).try_for_each(|_| world.step())?;
    world.apply(Op::Flush)?;
    (0..3).try_for_each(|_| world.step())?;
    world.apply(Op::Reopen)?;
    world.compare()?;
    world.db().close().map_err(|error| format!("close: {error}"))?;
    seals::check(&world.vfs).map(|_| ())
}

fn flip_all(world: &mut World, count: u64, flips: &mut Flips) -> Outcome {
    let counts = |path: &std::path::PathBuf| !path.ends_with("LOCK") && !path.ends_with("RESERVE");
    let paths: Vec<_> = world.vfs.paths().into_iter().filter(counts).collect();
    for _ in 0..count {
        let path = world.dice.pick(&paths).clone();
        let bytes = world.vfs.read_raw(&path).map_err(|error| error.to_string())?;
        if bytes.is_empty() {
            continue;
        }
        let (offset, bit) = (world.dice.below(bytes.len() as u64), world.dice.below(8) as u8);
        let place =
            format!("bit {bit} of byte {offset} of {} ({} bytes)", path.display(), bytes.len());
        let disk = world.vfs.clone_running();
        disk.flip_bit(&path, offset, bit).map_err(|error| error.to_string())?;
        let clock = Arc::new(ManualClock::at(START_NS));
        let run = Arc::new(LabelledExecutor::new(1));
        let options = world.setup.options(&disk, &clock, &run, world.dice.bits());
        let db = match Db::open(options) {
            Ok(db) => db,
            Err(error) if is_refusal(&error) => {
                flips.refused += 1;
                continue;
            }
            Err(error) => return Err(format!("{place}: open: {error}")),
        };
        let is_segment = path.to_string_lossy().contains("/segments/");
        read(world, &db, is_segment, flips).map_err(|text| format!("{place}: {text}"))?;
    }
    Ok(())
}

fn is_refusal(error: &Error) -> bool {
    error.kind() == ErrorKind::Corrupt
        || matches!(
            error,
            Error::UnsupportedVersion { .. }
                | Error::UnsupportedFeature { .. }
                | Error::NotADatabase { .. }
        )
}

fn read(world: &World, db: &Db, is_segment: bool, flips: &mut Flips) -> Outcome {
    let snapshot = db.snapshot();
    let count = snapshot.sequence().counter as usize;
    let ledger = world.ledger.lock().clone();
    if count < ledger.entries.len() {
        return Err(format!(
            "{count} of {} commits are left, and nothing is said",
            ledger.entries.len()
        ));
    }
    let model = &ledger.states[count];
    let mut unreadable = false;
    for (name, table) in &model.tables {
        match check::scan(&snapshot, name, &Query::all()) {
            Ok(rows) if rows == table.resolved() => {}
            Ok(_) => return Err(format!("scan {name} gives other rows, and no error")),
            Err(error) if is_refusal(&error) => unreadable = true,
            Err(error) => return Err(format!("scan {name}: {error}")),
        }
    }
    if unreadable {
        flips.unreadable += 1
    } else {
        flips.harmless += 1
    }
    let report = db.verify().map_err(|error| format!("verify: {error}"))?;
    if (is_segment || unreadable) && report.damage.is_empty() {
        return Err("verification does not see the damage".into());
    }
    Ok(())
}
