//! A disk without room: rows are refused and nothing else is lost; flushes, deletions and merges work on the reserve; with the
//! room the work goes on.

use chronolith_engine::error::Error;
use chronolith_engine::vfs::sim::SimVfs;
use chronolith_engine::vfs::{OpenMode, Vfs};
use std::path::Path;

use crate::check::Outcome;
use crate::crash::Failure;
use crate::model::{Change, Query};
use crate::ops::{self, Op, Profile};
use crate::world::{Setup, World};

/// Bytes of the disk.
const CAPACITY_BYTES: u64 = 8 << 20;

/// Somebody else takes what is free, but for so many bytes.
fn fill(disk: &SimVfs, left: u64) -> Outcome {
    let failed = |error: Error| format!("fill: {error}");
    let path = Path::new("/other");
    let file = match disk.open(path, OpenMode::Write) {
        Ok(file) => file,
        Err(_) => disk.open(path, OpenMode::Create).map_err(failed)?,
    };
    let free = disk.free_bytes(Path::new("/")).map_err(failed)?;
    let len = file.len_bytes().map_err(failed)? + free.saturating_sub(left);
    file.allocate(len).map_err(failed)
}

/// Fills the disk of the workload of `seed` up and gives the room back.
///
/// # Errors
/// What is lost, refused without need, or not refused.
pub fn full_disk(seed: u64) -> Result<(), Box<Failure>> {
    let profile = Profile { fails: true, ..Profile::default() };
    let reserve_bytes = 128 << 10;
    let setup =
        Setup { background: false, flush_bytes: 1 << 20, reserve_bytes, ..Setup::new(seed) };
    let mut world = World::new(setup, profile);
    world.vfs.set_capacity_bytes(Some(CAPACITY_BYTES));
    let outcome = run(&mut world);
    let trace = std::mem::take(&mut world.trace);
    outcome.map_err(|text| Box::new(Failure { seed, text, trace }))
}

fn run(world: &mut World) -> Outcome {
    world.open().map_err(|error| format!("open: {error}"))?;
    for _ in 0..20 {
        world.step()?;
    }
    world.compare()?;
    world.forget_snapshots();
    let left = world.dice.below(24 << 10);
    fill(&world.vfs, left)?;
    // Until a write is refused: the log takes what is left.
    let mut refused = false;
    for _ in 0..40 {
        let before = world.ledger.lock().entries.len();
        let model = std::sync::Arc::clone(world.ledger.lock().last());
        let change = ops::write(&model, world.profile, &mut world.dice);
        world.trace.push(format!("{change:?}"));
        world.apply(Op::Write { change, fsync: true, waits: true })?;
        refused = world.ledger.lock().entries.len() == before;
        world.compare()?;
        if refused {
            break;
        }
    }
    if !refused {
        return Err("rows are taken though the disk is full".into());
    }
    if let Some(cause) = world.db().vitals().poisoned {
        return Err(format!("a full disk poisoned the database: {cause}"));
    }
    let model = std::sync::Arc::clone(world.ledger.lock().last());
    world.db().flush().map_err(|error| format!("flush on a full disk: {error}"))?;
    world.compare()?;
    if let Some(table) = model.tables.keys().next() {
        let (table, before) = (table.clone(), world.ledger.lock().entries.len());
        world.apply(Op::Change(Change::Delete { table, query: Query::all() }))?;
        if world.ledger.lock().entries.len() == before {
            return Err("a deletion was refused on a full disk".into());
        }
        world.compare()?;
    }
    // What it needs at once may be more than was kept: then it says so, and nothing changes.
    match world.db().compact() {
        Ok(_) | Err(Error::DiskFull { .. }) => {}
        Err(error) => return Err(format!("merge on a full disk: {error}")),
    }
    world.compare()?;
    let other = world.vfs.open(Path::new("/other"), OpenMode::Write);
    other.and_then(|file| file.allocate(0)).map_err(|error| format!("give back: {error}"))?;
    let before = world.ledger.lock().entries.len();
    let model = std::sync::Arc::clone(world.ledger.lock().last());
    let change = ops::write(&model, world.profile, &mut world.dice);
    world.apply(Op::Write { change, fsync: true, waits: true })?;
    if world.ledger.lock().entries.len() == before {
        return Err("rows are refused though there is room".into());
    }
    world.apply(Op::Reopen)?;
    world.compare()
}
