//! A database on a simulated disk, driven beside the model. The ledger holds what was asked for, in commit order, and how much of
//! it must survive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chronolith_engine::clock::{Clock, ManualClock};
use chronolith_engine::db::{Ticket, WriteOutcome};
use chronolith_engine::error::Error;
use chronolith_engine::model::Sequence;
use chronolith_engine::rng::SeededRng;
use chronolith_engine::snapshot::Snapshot;
use chronolith_engine::vfs::sim::{CrashChoice, SimVfs};
use chronolith_engine::{Db, Environment, Options};
use parking_lot::Mutex;

use crate::beside::Beside;
use crate::check::{self, Outcome};
use crate::crash::Failure;
use crate::dice::Dice;
use crate::executor::LabelledExecutor;
use crate::follow::Follower;
use crate::ledger::Ledger;
use crate::model::{Change, Model, TableModel};
use crate::moments;
use crate::ops::{self, Focus, Op, Profile};
use crate::slow::slow_down;

/// When the simulated worlds begin, nanoseconds since the Unix epoch.
pub const START_NS: i64 = 1_700_000_000_000_000_000;

/// Sizes that make everything happen within a few operations.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Decides everything else.
    pub seed: u64,
    /// Whether flushes and merges start by themselves.
    pub background: bool,
    /// Bytes of rows at which they are flushed.
    pub flush_bytes: usize,
    /// Bytes of a log file.
    pub log_file_bytes: u64,
    /// Bytes of zeros ahead in a log file.
    pub log_prepare_bytes: u64,
    /// Bytes of the reserve on the disk.
    pub reserve_bytes: u64,
    /// Bytes of log at which it is flushed.
    pub log_bytes_max: u64,
    /// Rows of a window.
    pub window_rows_min: u64,
    /// Segments at which a window is merged.
    pub compact_segment_count: usize,
    /// Edits of the manifest between two checkpoints.
    pub checkpoint_edit_count: u64,
}

impl Setup {
    /// The setup of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let dice = &mut Dice::new(seed);
        let background = dice.chance(60);
        let flush_bytes = *dice.pick(&[600, 2_000, 6_000]);
        Self {
            seed,
            background,
            // Where nothing flushes by itself, writes must never wait for it.
            flush_bytes: if background { flush_bytes } else { 1 << 20 },
            log_file_bytes: *dice.pick(&[2_048, 4_096, 16_384]),
            log_prepare_bytes: *dice.pick(&[0, 1_024, 4_096]),
            reserve_bytes: if seed.is_multiple_of(2) { 8_192 } else { 0 },
            log_bytes_max: *dice.pick(&[8_192, 32_768]),
            window_rows_min: *dice.pick(&[1, 4, 30]),
            compact_segment_count: *dice.pick(&[2, 2, 3]),
            checkpoint_edit_count: *dice.pick(&[2, 5, 64]),
        }
    }

    /// The same for a workload: where it is about flushes, they happen all the time.
    #[must_use]
    pub fn of(seed: u64, profile: Profile) -> Self {
        let setup = Self::new(seed);
        if profile.focus != Focus::Flushes {
            return setup;
        }
        Self { background: true, flush_bytes: 600, log_file_bytes: 2_048, ..setup }
    }

    /// The options of one opening.
    #[must_use]
    pub fn options(
        &self,
        vfs: &SimVfs,
        clock: &Arc<ManualClock>,
        run: &Arc<LabelledExecutor>,
        salt: u64,
    ) -> Options {
        Options {
            memory_bytes: Some(4 << 20),
            flush_bytes: Some(self.flush_bytes),
            log_file_bytes: self.log_file_bytes,
            log_prepare_bytes: self.log_prepare_bytes,
            reserve_bytes: self.reserve_bytes,
            log_bytes_max: self.log_bytes_max,
            window_rows_min: self.window_rows_min,
            compact_segment_count: self.compact_segment_count,
            checkpoint_edit_count: self.checkpoint_edit_count,
            background: self.background,
            environment: Environment {
                vfs: Arc::new(vfs.clone()),
                clock: Arc::clone(clock) as _,
                rng: Arc::new(SeededRng::new(Dice::new(self.seed.rotate_left(20) ^ salt).bits())),
                executor: Arc::clone(run) as _,
            },
            ..Options::new("/db")
        }
    }
}

/// A kept snapshot with the state that it shows.
struct Kept {
    snapshot: Snapshot,
    model: Arc<Model>,
}

/// Is told of each opening.
pub type OpenHook = Box<dyn FnMut(&SimVfs, &Db, &Arc<LabelledExecutor>)>;
/// Is told that a disk is not used any more.
pub type CloseHook = Box<dyn FnMut(&SimVfs)>;

/// A running database with its model.
pub struct World {
    /// The sizes.
    pub setup: Setup,
    /// What may happen.
    pub profile: Profile,
    /// The disk.
    pub vfs: SimVfs,
    /// The clock.
    pub clock: Arc<ManualClock>,
    /// The executor of the present opening.
    pub run: Arc<LabelledExecutor>,
    /// The database, while it is open.
    pub db: Option<Db>,
    /// What was asked for.
    pub ledger: Arc<Mutex<Ledger>>,
    /// Random choices of the workload.
    pub dice: Dice,
    /// The operations so far.
    pub trace: Vec<String>,
    /// Called after each opening, for observers.
    pub on_open: Option<OpenHook>,
    /// Called before the database or its disk goes.
    pub on_close: Option<CloseHook>,
    /// Whether an explicit merge runs.
    pub merging: Arc<AtomicBool>,
    /// What happens in the middle of flushes and merges.
    pub beside: Arc<Beside>,
    /// Whether the database was poisoned before the present operation.
    pub poisoned: bool,
    queued: Vec<(u64, Ticket)>,
    kept: Vec<Kept>,
    follower: Follower,
    opens: u64,
}

impl World {
    /// A world with an empty disk, not opened yet.
    #[must_use]
    pub fn new(setup: Setup, profile: Profile) -> Self {
        let vfs = SimVfs::new(setup.seed);
        let (ledger, merging) = (Arc::default(), Arc::default());
        Self {
            beside: Beside::new(setup.seed, profile, &ledger, &merging),
            setup,
            profile,
            vfs,
            clock: Arc::new(ManualClock::at(START_NS)),
            run: Arc::new(LabelledExecutor::new(setup.seed)),
            db: None,
            ledger,
            dice: Dice::new(setup.seed.wrapping_add(77)),
            trace: Vec::new(),
            on_open: None,
            on_close: None,
            merging,
            poisoned: false,
            queued: Vec::new(),
            kept: Vec::new(),
            follower: Follower::default(),
            opens: 0,
        }
    }

    /// The open database.
    #[must_use]
    pub fn db(&self) -> Db {
        self.db.clone().expect("the database is open")
    }

    /// Opens the database.
    ///
    /// # Errors
    /// The engine's.
    pub fn open(&mut self) -> Result<(), Error> {
        self.opens += 1;
        self.run = Arc::new(LabelledExecutor::new(self.setup.seed ^ self.opens));
        let options = self.setup.options(&self.vfs, &self.clock, &self.run, self.opens);
        let db = Db::open(options)?;
        if let Some(hook) = &mut self.on_open {
            hook(&self.vfs, &db, &self.run);
        } else if !self.profile.fails {
            let beside = Arc::clone(&self.beside);
            self.vfs.set_observer(Some(Arc::new(move |_, call| beside.at(&call))));
        }
        self.db = Some(db);
        self.poisoned = false;
        Ok(())
    }

    /// Does one random operation and checks what it says of itself.
    ///
    /// # Errors
    /// What does not fit the model.
    pub fn step(&mut self) -> Outcome {
        self.poisoned = self.db().vitals().poisoned.is_some();
        let model = Arc::clone(self.ledger.lock().last());
        let op = ops::next(&model, self.profile, &mut self.dice);
        self.trace.push(format!("{op:?}"));
        // Where what happens beside may wait for what is on the stack, nothing does.
        let apart = matches!(op, Op::Compact | Op::Steps(_) | Op::Timers) && !self.profile.fails;
        self.beside.allow(apart.then(|| (self.db(), Arc::clone(&self.run))));
        let outcome = self.apply(op);
        self.beside.allow(None);
        self.beside.report(&mut self.trace)?;
        outcome?;
        self.settle()?;
        if self.dice.chance(50) {
            self.follow()?;
        }
        Ok(())
    }

    /// Reads what became durable since the last time, as who follows the log does.
    fn follow(&mut self) -> Outcome {
        let fails = self.profile.fails;
        self.follower.follow(&self.db(), &self.ledger, fails)
    }

    /// Does one operation.
    ///
    /// # Errors
    /// What does not fit the model.
    pub fn apply(&mut self, op: Op) -> Outcome {
        let failed = |what: &str, error: Error| format!("{what}: {error}");
        let fails = self.profile.fails;
        match op {
            Op::Write { change, fsync, waits } => self.write(&change, fsync, waits),
            Op::Change(change) => self.change(&change),
            Op::Repeat(id) => self.repeat(&id),
            Op::Gap(id) => self.gap(&id),
            Op::Flush if fails => {
                _ = self.db().flush();
                Ok(())
            }
            Op::Compact if fails => {
                _ = self.db().compact();
                Ok(())
            }
            Op::Reopen if fails => {
                _ = self.db().close();
                self.shut();
                self.settle()?;
                // A fault that is still to come may hit the opening.
                if self.vfs.fault_count() > 0 {
                    self.vfs.clear_faults();
                }
                let before = self.vfs.fault_count();
                let (least, most) = self.bounds(false);
                let opened = self.reopen(least, most);
                if self.db.is_some() || self.vfs.fault_count() == before {
                    return opened;
                }
                self.vfs.clear_faults();
                let (least, most) = self.bounds(false);
                self.reopen(least, most)
            }
            Op::Flush => self.db().flush().map_err(|error| failed("flush", error)),
            Op::Compact => {
                // Apart, so that images of the merge are told from those of the flush.
                self.db().flush().map_err(|error| failed("flush", error))?;
                self.merging.store(true, Ordering::Relaxed);
                let outcome = self.db().compact();
                self.merging.store(false, Ordering::Relaxed);
                outcome.map(|_| ()).map_err(|error| failed("compact", error))
            }
            Op::Reopen => {
                self.db().close().map_err(|error| failed("close", error))?;
                self.shut();
                self.settle()?;
                let count = self.ledger.lock().entries.len();
                self.reopen(count, count)
            }
            Op::Kill => {
                self.settle()?;
                let (least, most) = self.bounds(false);
                self.vanish(self.vfs.clone_running());
                self.reopen(least, most)
            }
            Op::Cut => {
                self.settle()?;
                let choice = self.dice.bits();
                self.vanish(self.vfs.clone_image(CrashChoice::Random(choice)));
                let (least, most) = self.bounds(true);
                self.reopen(least, most)
            }
            Op::Steps(count) => {
                self.run.inner.run_some(count);
                Ok(())
            }
            Op::Timers => {
                self.run.inner.run_timers();
                Ok(())
            }
            Op::Clock(by_ns) => {
                self.clock.advance_ns(by_ns);
                self.ledger.lock().clock(self.clock.wall_ns());
                Ok(())
            }
            Op::Keep => {
                let snapshot = self.db().snapshot();
                let count = snapshot.sequence().counter as usize;
                let model = Arc::clone(&self.ledger.lock().states[count]);
                self.kept.push(Kept { snapshot, model });
                Ok(())
            }
            Op::Reread => self.reread(),
        }
    }

    fn bounds(&self, power: bool) -> (usize, usize) {
        let ledger = self.ledger.lock();
        // What a failed sync should have written is gone as after a power cut.
        let power = power || self.vfs.fault_count() > 0;
        let least = if power { ledger.durable } else { ledger.acknowledged.max(ledger.durable) };
        (least, ledger.entries.len())
    }

    fn shut(&mut self) {
        if let Some(hook) = &mut self.on_close {
            hook(&self.vfs);
        }
        self.kept.clear();
        self.follower.stop();
        self.db = None;
    }

    /// The process ends, and `disk` is what it leaves.
    pub fn vanish(&mut self, disk: SimVfs) {
        self.vfs.set_observer(None);
        self.shut();
        self.queued.clear();
        self.vfs = disk;
    }

    /// Opens what is left; from `least` to `most` commits must be there, no more and no less.
    ///
    /// # Errors
    /// Where opening fails or another state is found.
    pub fn reopen(&mut self, least: usize, most: usize) -> Outcome {
        self.queued.clear();
        self.open().map_err(|error| format!("open: {error}"))?;
        let count = self.db().snapshot().sequence().counter as usize;
        if count < least || count > most {
            return Err(format!("{count} commits were found, expected {least} to {most}"));
        }
        self.ledger.lock().cut(count);
        self.compare()
    }

    /// Compares everything that is published with the model.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&mut self) -> Outcome {
        let snapshot = self.db().snapshot();
        let model = {
            let ledger = self.ledger.lock();
            let count = snapshot.sequence().counter as usize;
            if count < ledger.acknowledged || count > ledger.entries.len() {
                let (least, most) = (ledger.acknowledged, ledger.entries.len());
                return Err(format!("{count} commits are shown, expected {least} to {most}"));
            }
            Arc::clone(&ledger.states[count])
        };
        check::compare(&snapshot, &model)?;
        if snapshot.sequence() == self.db().snapshot().sequence() {
            check::imports(&self.db(), &model)?;
        }
        Ok(())
    }

    /// Compares random reads with the model.
    ///
    /// # Errors
    /// The first difference.
    pub fn probe(&mut self) -> Outcome {
        let snapshot = self.db().snapshot();
        let model = Arc::clone(&self.ledger.lock().states[snapshot.sequence().counter as usize]);
        check::probe(&snapshot, &model, &mut self.dice)
    }

    fn write(&mut self, change: &Change, fsync: bool, waits: bool) -> Outcome {
        let Change::Write { tables, producer } = change else { return Ok(()) };
        let batch = ops::batch(tables, producer.as_ref(), fsync);
        let id = self.ledger.lock().ask(change, fsync);
        if waits {
            let outcome = self.db().write(batch);
            return self.told(id, outcome);
        }
        match self.db().submit(batch) {
            Ok(ticket) => self.queued.push((id, ticket)),
            Err(error) => return self.told(id, Err(error)),
        }
        Ok(())
    }

    fn change(&mut self, change: &Change) -> Outcome {
        let db = self.db();
        let model = Arc::clone(self.ledger.lock().last());
        let id = self.ledger.lock().ask(change, true);
        let outcome = match change {
            Change::Create(name, def) => db.create_table(name, ops::table_options(def)),
            Change::Drop(name) => db.drop_table(name),
            Change::Delete { table, query } => {
                let (predicate, range) = ops::predicate(query);
                let deleted = db.delete(table, &predicate, range);
                if let (Ok(deleted), false) = (&deleted, self.profile.fails) {
                    let expected = model.tables[table].select(query).len() as u64;
                    if deleted.row_count != Some(expected) {
                        return Err(format!(
                            "{:?} rows deleted, expected {expected}",
                            deleted.row_count
                        ));
                    }
                }
                deleted.map(|deleted| WriteOutcome {
                    sequence: deleted.sequence,
                    durable_sequence: db.snapshot().durable_sequence(),
                    row_count: 0,
                    refused: Vec::new(),
                    already_applied: false,
                })
            }
            Change::Write { .. } => return Ok(()),
        };
        self.told(id, outcome)
    }

    fn told(&mut self, id: u64, outcome: Result<WriteOutcome, Error>) -> Outcome {
        match outcome {
            Ok(_) if self.poisoned => Err("a write was acknowledged by a poisoned database".into()),
            Ok(outcome) if outcome.already_applied => Err(format!("{id} was applied before")),
            Ok(outcome) => {
                self.settle()?;
                self.ledger.lock().acknowledge(id, outcome.sequence, outcome.durable_sequence)
            }
            Err(error) => self.refused(id, error),
        }
    }

    /// Whether something may fail so: after faults, and for want of memory that kept snapshots hold.
    fn is_excused(&mut self, error: Option<&Error>) -> bool {
        match error {
            Some(Error::Overloaded { .. }) if !self.kept.is_empty() => {
                self.kept.clear();
                true
            }
            Some(_) => self.profile.fails,
            None => false,
        }
    }

    fn refused(&mut self, id: u64, error: Error) -> Outcome {
        if !self.is_excused(Some(&error)) {
            return Err(format!("a write failed: {error}"));
        }
        match error {
            // Nothing of it was kept.
            Error::Io { .. }
            | Error::DiskFull { .. }
            | Error::Poisoned { .. }
            | Error::Overloaded { .. }
            | Error::SequenceGap { .. }
            | Error::UnknownTable { .. } => {
                self.ledger.lock().take_back(id);
                self.settle()
            }
            // It may be found after reopening.
            Error::OutcomeUnknown { .. } => Ok(()),
            other => Err(format!("a write failed otherwise: {other}")),
        }
    }

    /// Lets go of kept snapshots, and of the memory that they hold.
    pub fn forget_snapshots(&mut self) {
        self.kept.clear();
    }

    /// Takes in what became of queued batches.
    ///
    /// # Errors
    /// What does not fit the model.
    pub fn settle(&mut self) -> Outcome {
        for (id, ticket) in std::mem::take(&mut self.queued) {
            match ticket.poll() {
                None => self.queued.push((id, ticket)),
                Some(Ok(outcome)) => {
                    self.ledger.lock().acknowledge(
                        id,
                        outcome.sequence,
                        outcome.durable_sequence,
                    )?;
                }
                Some(Err(error)) => {
                    if !self.profile.fails {
                        return Err(format!("a queued write failed: {error}"));
                    }
                    if !matches!(error, Error::OutcomeUnknown { .. }) {
                        self.ledger.lock().take_back(id);
                    }
                }
            }
        }
        Ok(())
    }

    fn repeat(&mut self, producer: &str) -> Outcome {
        if self.profile.fails && !self.queued.is_empty() {
            // What is repeated may fail at this very moment.
            return Ok(());
        }
        let model = Arc::clone(self.ledger.lock().last());
        let Some((number, commit, rows)) = model.producers.get(producer).copied() else {
            return Ok(());
        };
        let write = ops::write(&model, self.profile, &mut self.dice);
        let Change::Write { tables, .. } = write else { return Ok(()) };
        let batch = ops::batch(&tables, Some(&(producer.to_owned(), number)), true);
        let outcome = self.db().write(batch);
        if self.is_excused(outcome.as_ref().err()) {
            return Ok(());
        }
        let outcome = outcome.map_err(|error| format!("repeat of {producer} {number}: {error}"))?;
        // Of an import only the last number is known once it was opened anew.
        let fits = outcome.already_applied
            && (ops::is_import(producer)
                || (outcome.sequence.counter == commit as u64 && outcome.row_count == rows));
        if fits {
            Ok(())
        } else {
            Err(format!("repeat of {producer} {number} ({commit}, {rows} rows): {outcome:?}"))
        }
    }

    fn gap(&mut self, producer: &str) -> Outcome {
        if self.profile.fails && !self.queued.is_empty() {
            return Ok(());
        }
        let model = Arc::clone(self.ledger.lock().last());
        let Some((number, ..)) = model.producers.get(producer).copied() else { return Ok(()) };
        let write = ops::write(&model, self.profile, &mut self.dice);
        let Change::Write { tables, .. } = write else { return Ok(()) };
        let batch = ops::batch(&tables, Some(&(producer.to_owned(), number + 2)), true);
        match self.db().write(batch) {
            Err(Error::SequenceGap { expected, .. }) if expected == number + 1 => Ok(()),
            Err(error) if self.is_excused(Some(&error)) => Ok(()),
            other => Err(format!("gap of {producer} after {number}: {other:?}")),
        }
    }

    fn reread(&mut self) -> Outcome {
        for kept in &self.kept {
            check::compare(&kept.snapshot, &kept.model).map_err(|text| format!("kept: {text}"))?;
            check::probe(&kept.snapshot, &kept.model, &mut self.dice)
                .map_err(|text| format!("kept: {text}"))?;
        }
        if self.kept.len() > 3 {
            self.kept.remove(0);
        }
        let db = self.db();
        let ledger = self.ledger.lock().clone();
        let shown = db.snapshot().sequence().counter as usize;
        let known: Vec<(usize, Sequence)> = ledger
            .entries
            .iter()
            .take(shown)
            .zip(1..)
            .filter_map(|(entry, count)| entry.sequence.map(|sequence| (count, sequence)))
            .collect();
        if known.is_empty() {
            return Ok(());
        }
        moments::check(&db, &ledger, shown, &mut self.dice)?;
        let (count, sequence) = *self.dice.pick(&known);
        let old =
            db.snapshot_at(sequence).map_err(|error| format!("snapshot at {sequence}: {error}"))?;
        let forgets = self.profile.forgets;
        let gone = |_: &TableModel| forgets;
        let (then, now) = (&ledger.states[count], &ledger.states[shown]);
        check::compare_old(&old, then, now, &gone, &mut self.dice)
            .map_err(|text| format!("at {sequence}: {text}"))
    }
}

/// Does `step_count` random operations and compares everything after each.
///
/// # Errors
/// The first thing that does not fit the model.
pub fn random_run(seed: u64, profile: Profile, step_count: u64) -> Result<(), Box<Failure>> {
    let mut world = World::new(Setup::of(seed, profile), profile);
    let is_slow = seed % 3 == 1;
    if is_slow {
        slow_down(&world);
    }
    let outcome = world.open().map_err(|error| format!("open: {error}")).and_then(|()| {
        (0..step_count).try_for_each(|_| {
            if is_slow {
                // A power cut gives another disk.
                slow_down(&world);
            }
            world.step()?;
            // Not always: what was read is open, and stays readable whatever becomes of its files.
            let percent = if profile.focus == Focus::Tables { 15 } else { 70 };
            if world.dice.chance(percent) {
                world.compare()?;
                world.probe()?;
            }
            Ok(())
        })
    });
    let trace = std::mem::take(&mut world.trace);
    outcome.map_err(|text| Box::new(Failure { seed, text, trace }))
}
