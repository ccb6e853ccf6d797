//! Crash images: at every call that changes the simulated disk, what a power cut may leave is opened and compared with the model.
//! Images are counted by what the engine was doing, once each: equal disks count once.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chronolith_engine::Db;
use chronolith_engine::clock::ManualClock;
use chronolith_engine::error::Error;
use chronolith_engine::model::{Sequence, TableOptions, Value};
use chronolith_engine::vfs::sim::{CrashChoice, IoCall, IoOp, SimVfs};
use parking_lot::Mutex;

pub mod small;

use crate::beside::Beside;
use crate::check::{self, Outcome};
use crate::dice::Dice;
use crate::executor::LabelledExecutor;
use crate::ledger::Ledger;
use crate::model::{Change, Model, RowIn, TableDef, TableWrite};
use crate::ops::{self, Profile};
use crate::world::{START_NS, Setup, World};

/// What the engine was doing when the power went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Writing the log.
    Log,
    /// Writing segments out of memory.
    Flush,
    /// Publishing an edit of the manifest.
    Publish,
    /// Removing what an edit made superfluous.
    Truncate,
    /// Writing merged segments.
    Compact,
    /// Opening what another cut left, up to and including the first write.
    Recover,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 6] =
        [Self::Log, Self::Flush, Self::Publish, Self::Truncate, Self::Compact, Self::Recover];
}

/// Images counted.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Distinct images, by hash of what is durable and whether anything is pending, with the depth at which they were met first.
    seen: HashMap<u64, (Phase, u8)>,
    /// Disks left by the end of a process.
    pub kills: u64,
    /// Openings in all.
    pub opens: u64,
    /// Flushes, and steps of jobs, in the middle of a flush or merge.
    pub beside: u64,
}

impl Tally {
    /// Counts an image; false when it was seen before.
    pub(crate) fn add(&mut self, image: &SimVfs, phase: Phase, depth: usize) -> bool {
        let key = image.content_hash() ^ u64::from(image.has_pending());
        let new = !self.seen.contains_key(&key);
        self.seen.entry(key).or_insert((phase, depth as u8));
        new
    }

    /// Takes in another count.
    pub fn merge(&mut self, other: &Self) {
        for (key, found) in &other.seen {
            self.seen.entry(*key).or_insert(*found);
        }
        self.kills += other.kills;
        self.opens += other.opens;
        self.beside += other.beside;
    }

    /// Distinct images.
    #[must_use]
    pub fn total(&self) -> usize {
        self.seen.len()
    }

    /// Distinct images of one phase, by depth from 1.
    #[must_use]
    pub fn of(&self, phase: Phase) -> [usize; 3] {
        let mut depths = [0; 3];
        for (_, depth) in self.seen.values().filter(|found| found.0 == phase) {
            depths[usize::from(*depth).clamp(1, 3) - 1] += 1;
        }
        depths
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        let [one, two, three] = ["depth 1", "depth 2", "depth 3"];
        writeln!(f, "{:<10} {:>9} {:>7} {one:>9} {two:>9} {three:>9}", "phase", "images", "share")?;
        let mut sums = [0; 3];
        for phase in Phase::ALL {
            let depths = self.of(phase);
            let count: usize = depths.iter().sum();
            sums.iter_mut().zip(depths).for_each(|(sum, more)| *sum += more);
            let share = count as f64 * 100.0 / total.max(1) as f64;
            let name = format!("{phase:?}").to_lowercase();
            let [one, two, three] = depths;
            writeln!(f, "{name:<10} {count:>9} {share:>6.1}% {one:>9} {two:>9} {three:>9}")?;
        }
        let [one, two, three] = sums;
        writeln!(f, "{:<10} {total:>9} {:>7} {one:>9} {two:>9} {three:>9}", "distinct", "")?;
        writeln!(
            f,
            "beside them {} disks of killed processes; {} openings",
            self.kills, self.opens
        )?;
        write!(f, "{} flushes and steps in the middle of a flush or merge", self.beside)
    }
}

/// What an image must hold.
#[derive(Clone)]
struct Expect {
    ledger: Ledger,
    least: usize,
    most: usize,
}

struct Capture {
    image: SimVfs,
    phase: Phase,
    expect: Expect,
    /// What was about to happen.
    call: String,
}

/// Takes images at the calls of one disk.
struct Recorder {
    run: Arc<LabelledExecutor>,
    /// What was asked for; the observer notes in it what was visible.
    ledger: Arc<Mutex<Ledger>>,
    db: Mutex<Option<Db>>,
    recovering: bool,
    merging: Arc<AtomicBool>,
    /// Images of each call, beside the two extremes.
    random_count: u64,
    /// Whether all images are taken, of disks with little pending.
    every: bool,
    state: Mutex<RecorderState>,
}

struct RecorderState {
    dice: Dice,
    captures: Vec<Capture>,
    removed_log: bool,
}

impl Recorder {
    fn new(
        run: &Arc<LabelledExecutor>,
        ledger: &Arc<Mutex<Ledger>>,
        recovering: bool,
        plan: Plan,
        seed: u64,
    ) -> Arc<Self> {
        let state =
            RecorderState { dice: Dice::new(seed), captures: Vec::new(), removed_log: false };
        Arc::new(Self {
            run: Arc::clone(run),
            ledger: Arc::clone(ledger),
            db: Mutex::new(None),
            recovering,
            merging: Arc::default(),
            random_count: plan.random_count,
            every: plan.every,
            state: Mutex::new(state),
        })
    }

    fn install(self: &Arc<Self>, vfs: &SimVfs, beside: Option<Arc<Beside>>) {
        let recorder = Arc::clone(self);
        vfs.set_observer(Some(Arc::new(move |vfs, call| {
            // Before, with nothing of the recorder's held: what happens beside is recorded too.
            if let Some(beside) = &beside {
                beside.at(&call);
            }
            recorder.at(vfs, &call);
        })));
    }

    fn phase(&self, call: &IoCall, state: &mut RecorderState) -> Phase {
        let path = call.path.to_string_lossy();
        let log = path.contains("/wal");
        let removal = call.op == IoOp::Remove;
        let tidying = call.op == IoOp::SyncDir && state.removed_log;
        state.removed_log = removal;
        if self.recovering {
            return Phase::Recover;
        }
        if removal || tidying {
            Phase::Truncate
        } else if log {
            Phase::Log
        } else if path.contains("/segments") {
            let merging = self.merging.load(Ordering::Relaxed)
                || self.run.running() == Some("chronolith-compact");
            if merging { Phase::Compact } else { Phase::Flush }
        } else {
            Phase::Publish
        }
    }

    /// Readers must not see what a power cut at this very moment would take away, if it was to be durable.
    fn note_visible(&self, call: &IoCall) {
        let is_log = call.path.to_string_lossy().contains("/wal/");
        if !is_log || !matches!(call.op, IoOp::Sync | IoOp::Write) {
            return;
        }
        let Some(db) = self.db.lock().clone() else { return };
        let snapshot = db.snapshot();
        let mut ledger = self.ledger.lock();
        let shown = snapshot.sequence().counter as usize;
        let fsync = ledger.entries.iter().take(shown).rposition(|entry| entry.fsync);
        let durable =
            fsync.map_or(0, |at| at + 1).max(snapshot.durable_sequence().counter as usize);
        ledger.durable = ledger.durable.max(durable);
    }

    fn at(&self, vfs: &SimVfs, call: &IoCall) {
        self.note_visible(call);
        let mut state = self.state.lock();
        let phase = self.phase(call, &mut state);
        if !vfs.has_pending() {
            // The cut leaves what the call before left; once is enough.
            if self.every || !state.dice.chance(20) {
                return;
            }
        }
        let more = match phase {
            Phase::Log | Phase::Recover => self.random_count,
            Phase::Publish => self.random_count + 1,
            Phase::Flush | Phase::Compact | Phase::Truncate => self.random_count * 2 + 2,
        };
        let ledger = self.ledger.lock().clone();
        let (least, most) = (ledger.durable, ledger.entries.len());
        let images: Vec<SimVfs> = if self.every {
            small::images(vfs, &mut state.dice)
        } else {
            let random: Vec<u64> = (0..more).map(|_| state.dice.bits()).collect();
            let random = random.into_iter().map(CrashChoice::Random);
            let ends = [CrashChoice::Nothing, CrashChoice::Everything];
            ends.into_iter().chain(random).map(|choice| vfs.clone_image(choice)).collect()
        };
        for (number, image) in images.into_iter().enumerate() {
            let expect = Expect { ledger: ledger.clone(), least, most };
            let (op, path, index) = (call.op, call.path.display(), call.index);
            let call = format!("{op:?} {path} (call {index}, image {number})");
            state.captures.push(Capture { image, phase, expect, call });
        }
    }

    fn take(&self) -> Vec<Capture> {
        std::mem::take(&mut self.state.lock().captures)
    }
}

/// How a workload is examined.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Operations.
    pub op_count: u64,
    /// Random images of a call in the log; other phases get more.
    pub random_count: u64,
    /// Of a hundred images, those whose recovery is recorded too.
    pub depth_percent: u64,
    /// Whether random reads of each image are compared, too.
    pub reads: bool,
    /// Whether all images of each call are taken: for small workloads.
    pub every: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self { op_count: 45, random_count: 2, depth_percent: 1, reads: false, every: false }
    }
}

/// A failure with what is needed to see it again.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed of the workload.
    pub seed: u64,
    /// What is wrong.
    pub text: String,
    /// The last operations before it.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.text)?;
        let from = self.trace.len().saturating_sub(12);
        for (number, op) in self.trace.iter().enumerate().skip(from) {
            let short: String = op.chars().take(300).collect();
            writeln!(f, "  {number}: {short}")?;
        }
        write!(f, "replay with CHRONOLITH_SEED={}", self.seed)
    }
}

/// Runs the workload of `seed`, and opens and compares every image of it.
///
/// # Errors
/// The first thing that does not fit the model.
pub fn workload(seed: u64, plan: Plan, tally: &mut Tally) -> Result<(), Box<Failure>> {
    let profile = Profile::of(seed);
    let mut world = World::new(Setup::of(seed, profile), profile);
    let outcome = drive(&mut world, plan, tally, &mut |world, _| world.step());
    world.vfs.set_observer(None);
    tally.beside += world.beside.count();
    let trace = std::mem::take(&mut world.trace);
    outcome.map_err(|text| Box::new(Failure { seed, text, trace }))
}

/// Does the steps of a workload, opening first, and examines what each leaves.
fn drive(
    world: &mut World,
    plan: Plan,
    tally: &mut Tally,
    step: &mut dyn FnMut(&mut World, u64) -> Outcome,
) -> Outcome {
    let recorder: Arc<Mutex<Option<Arc<Recorder>>>> = Arc::default();
    let (slot, ledger) = (Arc::clone(&recorder), Arc::clone(&world.ledger));
    let merging = Arc::clone(&world.merging);
    let beside = Arc::clone(&world.beside);
    let seed = world.setup.seed;
    let mut opens = 0;
    world.on_open = Some(Box::new(move |vfs, db, run| {
        opens += 1;
        let new = Recorder::new(run, &ledger, false, plan, seed ^ (opens << 32));
        let mut new = Arc::into_inner(new).expect("nobody else has it yet");
        new.merging = Arc::clone(&merging);
        let new = Arc::new(new);
        *new.db.lock() = Some(db.clone());
        new.install(vfs, Some(Arc::clone(&beside)));
        *slot.lock() = Some(new);
    }));
    let slot = Arc::clone(&recorder);
    world.on_close = Some(Box::new(move |vfs| {
        vfs.set_observer(None);
        if let Some(recorder) = slot.lock().as_ref() {
            *recorder.db.lock() = None;
        }
    }));
    let mut dice = Dice::new(seed ^ 0xabcd);
    let outcome = (0..=plan.op_count).try_for_each(|number| {
        let before = recorder.lock().clone();
        if number == 0 {
            world.open().map_err(|error| format!("open: {error}"))?;
        } else {
            step(world, number - 1)?;
        }
        let after = recorder.lock().clone();
        let mut captures = before.as_ref().map(|one| one.take()).unwrap_or_default();
        captures.extend(after.as_ref().map(|one| one.take()).unwrap_or_default());
        for capture in captures {
            examine(&world.setup, capture, plan, 1, &mut dice, tally)?;
        }
        if number % 4 == 0 {
            kill(world, &mut dice, tally)?;
        }
        Ok(())
    });
    if let Some(hook) = &mut world.on_close {
        hook(&world.vfs);
    }
    (world.on_open, world.on_close) = (None, None);
    outcome
}

/// The disk as the end of the process leaves it now.
fn kill(world: &mut World, dice: &mut Dice, tally: &mut Tally) -> Outcome {
    let ledger = world.ledger.lock().clone();
    let expect = Expect {
        least: ledger.acknowledged.max(ledger.durable),
        most: ledger.entries.len(),
        ledger,
    };
    tally.kills += 1;
    let image = world.vfs.clone_running();
    open_and_compare(&world.setup, &image, &expect, None, dice, tally, false)
        .map(|_| ())
        .map_err(|text| format!("after the end of the process: {text}"))
}

fn examine(
    setup: &Setup,
    capture: Capture,
    plan: Plan,
    depth: usize,
    dice: &mut Dice,
    tally: &mut Tally,
) -> Outcome {
    if !tally.add(&capture.image, capture.phase, depth) {
        return Ok(());
    }
    let records = depth < 3 && dice.chance(plan.depth_percent);
    let run = Arc::new(LabelledExecutor::new(dice.bits()));
    let ledger = Arc::new(Mutex::new(capture.expect.ledger.clone()));
    {
        let mut ledger = ledger.lock();
        (ledger.durable, ledger.acknowledged) = (capture.expect.least, capture.expect.least);
    }
    let recorder = records.then(|| {
        let recorder = Recorder::new(&run, &ledger, true, plan, dice.bits());
        recorder.install(&capture.image, None);
        recorder
    });
    let inner = Inner { run, ledger, recorder: recorder.clone() };
    let place = |text: String| {
        format!("{text}\n  in {:?} before {} at depth {depth}", capture.phase, capture.call)
    };
    open_and_compare(setup, &capture.image, &capture.expect, Some(inner), dice, tally, plan.reads)
        .map_err(place)?;
    capture.image.set_observer(None);
    let Some(recorder) = recorder else { return Ok(()) };
    for inner in recorder.take() {
        examine(setup, inner, plan, depth + 1, dice, tally).map_err(place)?;
    }
    Ok(())
}

/// How an image is opened when its recovery is recorded.
struct Inner {
    run: Arc<LabelledExecutor>,
    ledger: Arc<Mutex<Ledger>>,
    recorder: Option<Arc<Recorder>>,
}

fn options(
    setup: &Setup,
    vfs: &SimVfs,
    run: &Arc<LabelledExecutor>,
    dice: &mut Dice,
) -> chronolith_engine::Options {
    let clock = Arc::new(ManualClock::at(START_NS));
    let quiet = Setup { background: false, flush_bytes: 1 << 20, ..*setup };
    quiet.options(vfs, &clock, run, dice.bits())
}

/// Opens an image, compares it, writes to it, and opens it once more.
fn open_and_compare(
    setup: &Setup,
    image: &SimVfs,
    expect: &Expect,
    inner: Option<Inner>,
    dice: &mut Dice,
    tally: &mut Tally,
    reads: bool,
) -> Outcome {
    tally.opens += 1;
    let inner = inner.unwrap_or_else(|| Inner {
        run: Arc::new(LabelledExecutor::new(dice.bits())),
        ledger: Arc::new(Mutex::new(expect.ledger.clone())),
        recorder: None,
    });
    if inner.recorder.is_none() && dice.chance(8) {
        read_only(setup, image, expect, dice)?;
    }
    let db = Db::open(options(setup, image, &inner.run, dice))
        .map_err(|error| format!("open: {error}"))?;
    let snapshot = db.snapshot();
    let found = snapshot.sequence();
    let count = found.counter as usize;
    if count < expect.least || count > expect.most {
        return Err(format!(
            "{count} commits were recovered, expected {} to {}",
            expect.least, expect.most
        ));
    }
    inner.ledger.lock().cut(count);
    if let Some(recorder) = &inner.recorder {
        // What was durable stays so, however often recovery is cut short.
        for capture in &mut recorder.state.lock().captures {
            (capture.expect.least, capture.expect.most) = (count, count);
        }
    }
    let model = Arc::clone(&expect.ledger.states[count]);
    check::compare(&snapshot, &model)?;
    if reads {
        check::probe(&snapshot, &model, dice)?;
    }
    check::imports(&db, &model)?;
    // Most images share most of their files: not every byte is read each time.
    if dice.chance(30) {
        verify(&db)?;
    }
    sequences(&db, expect, count)?;
    let torn = torn_tail(image, &db)?;
    let next = first_write(&db, &inner, expect, &model, dice)?;
    if let Some((path, tail)) = torn {
        let kept = image.read_raw(&path);
        if kept.as_ref().ok() != Some(&tail) {
            return Err(format!("the torn tail is not in {}", path.display()));
        }
    }
    if dice.chance(7) {
        db.flush().map_err(|error| format!("flush: {error}"))?;
        check::compare(&db.snapshot(), &next).map_err(|text| format!("after a flush: {text}"))?;
        db.compact().map_err(|error| format!("compact: {error}"))?;
        check::compare(&db.snapshot(), &next).map_err(|text| format!("after a merge: {text}"))?;
        verify(&db)?;
    }
    image.set_observer(None);
    drop((snapshot, db));
    if dice.chance(25) {
        let again =
            if dice.chance(50) { image.clone_image(CrashChoice::Nothing) } else { image.clone() };
        tally.opens += 1;
        let run = Arc::new(LabelledExecutor::new(dice.bits()));
        let db = Db::open(options(setup, &again, &run, dice))
            .map_err(|error| format!("open again: {error}"))?;
        check::compare(&db.snapshot(), &next).map_err(|text| format!("opened again: {text}"))?;
        for lost in expect.ledger.given.iter().filter(|one| is_lost(one, expect, count)) {
            if !matches!(db.snapshot_at(*lost), Err(Error::SnapshotLost { .. })) {
                return Err(format!("opened again: lost sequence {lost} is served"));
            }
        }
    }
    Ok(())
}

/// Where the torn tail that opening found is to be kept, and its bytes up to the last that is not zero.
fn torn_tail(image: &SimVfs, db: &Db) -> Outcome<Option<(PathBuf, Vec<u8>)>> {
    let Some((path, offset, ..)) = &db.recovery().torn_tail else { return Ok(None) };
    let mut tail = image.read_raw(path).map_err(|error| error.to_string())?;
    tail.drain(..*offset as usize);
    tail.truncate(tail.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Ok(Some((PathBuf::from(format!("/db/quarantine/{name}.tail-{offset}")), tail)))
}

/// A reader sees the same, and writes nothing but its lock.
fn read_only(setup: &Setup, image: &SimVfs, expect: &Expect, dice: &mut Dice) -> Outcome {
    let run = Arc::new(LabelledExecutor::new(dice.bits()));
    let options = options(setup, image, &run, dice).existing();
    let calls = image.call_count();
    let db = match Db::open_read_only(options) {
        Ok(db) => db,
        // The power went before there was a database.
        Err(Error::NotADatabase { .. }) if expect.least == 0 => return Ok(()),
        Err(error) => return Err(format!("open read-only: {error}")),
    };
    let snapshot = db.snapshot();
    let count = snapshot.sequence().counter as usize;
    if count < expect.least || count > expect.most {
        return Err(format!("{count} commits are shown read-only"));
    }
    check::compare(&snapshot, &expect.ledger.states[count])
        .map_err(|text| format!("read-only: {text}"))?;
    drop((snapshot, db));
    if image.call_count() > calls + 1 {
        return Err(format!("a reader changed the disk by {} calls", image.call_count() - calls));
    }
    Ok(())
}

fn verify(db: &Db) -> Outcome {
    let report = db.verify().map_err(|error| format!("verify: {error}"))?;
    match report.damage.first() {
        None => Ok(()),
        Some(part) => Err(format!("verify found damage: {part:?}")),
    }
}

/// Whether `sequence` was given to a commit that is not among the first `count`.
fn is_lost(sequence: &Sequence, expect: &Expect, count: usize) -> bool {
    let kept = expect.ledger.entries.iter().take(count);
    !kept.clone().any(|entry| entry.sequence == Some(*sequence))
        // One whose outcome was not told yet may have been given since, and another before a cut of long ago.
        && expect.ledger.entries.iter().skip(count).any(|entry| entry.sequence == Some(*sequence))
}

/// What was recovered can be named, what was lost cannot.
fn sequences(db: &Db, expect: &Expect, count: usize) -> Outcome {
    for (at, entry) in expect.ledger.entries.iter().enumerate() {
        let Some(sequence) = entry.sequence else { continue };
        let named = db.snapshot_at(sequence);
        match (at < count, named) {
            (true, Ok(_)) | (false, Err(Error::SnapshotLost { .. })) => {}
            (true, Err(error)) => return Err(format!("kept sequence {sequence}: {error}")),
            (false, other) => {
                return Err(format!(
                    "lost sequence {sequence}: {:?}",
                    other.map(|one| one.sequence())
                ));
            }
        }
    }
    Ok(())
}

/// Producers go on where they were, and the first write gets a sequence that nobody had.
fn first_write(
    db: &Db,
    inner: &Inner,
    expect: &Expect,
    model: &Model,
    dice: &mut Dice,
) -> Outcome<Arc<Model>> {
    for (id, (number, commit, rows)) in &model.producers {
        let batch = ops::batch(&probe_rows(), Some(&(id.clone(), *number)), true);
        let outcome =
            db.write(batch).map_err(|error| format!("repeat of {id} {number}: {error}"))?;
        let is_same = outcome.sequence.counter == *commit as u64 && outcome.row_count == *rows;
        if !outcome.already_applied || !(is_same || ops::is_import(id)) {
            return Err(format!("repeat of {id} {number}, commit {commit}: {outcome:?}"));
        }
        let batch = ops::batch(&probe_rows(), Some(&(id.clone(), number + 2)), true);
        if !matches!(db.write(batch), Err(Error::SequenceGap { .. })) {
            return Err(format!("{id} may skip {}", number + 1));
        }
    }
    let producer = model.producers.iter().next().filter(|_| dice.chance(50));
    let producer = producer.map(|(id, last)| (id.clone(), last.0 + 1));
    let change = Change::Write { tables: probe_rows(), producer: producer.clone() };
    let id = inner.ledger.lock().ask(&change, true);
    let outcome = db
        .write(ops::batch(&probe_rows(), producer.as_ref(), true))
        .map_err(|error| format!("first write: {error}"))?;
    if expect.ledger.given.contains(&outcome.sequence) {
        return Err(format!("sequence {} was given again", outcome.sequence));
    }
    inner.ledger.lock().acknowledge(id, outcome.sequence, outcome.durable_sequence)?;
    let next = Arc::clone(inner.ledger.lock().last());
    let compared = if dice.chance(20) {
        check::compare(&db.snapshot(), &next)
    } else {
        check::compare_table(&db.snapshot(), &next, "ticks")
    };
    compared.map_err(|text| format!("after the first write: {text}"))?;
    Ok(next)
}

fn probe_rows() -> Vec<TableWrite> {
    let def = TableDef {
        tags: vec!["symbol".into()],
        merge: TableOptions::default().merge,
        history_ns: None,
    };
    let row = RowIn {
        time: START_NS,
        tags: vec![("symbol".into(), "P".into())],
        fields: vec![("price".into(), Value::F64(1.5))],
    };
    vec![TableWrite { table: "ticks".into(), create: Some(def), rows: vec![row] }]
}
