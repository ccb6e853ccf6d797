//! What other threads do in the middle of a flush or a merge: writes, flushes and merges, whenever a segment is being written.
//! They run on a thread of their own, so that their calls are observed, and to their end before the outer call goes on: one seed is
//! one run still.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chronolith_engine::Db;
use chronolith_engine::db::WriteOutcome;
use chronolith_engine::error::Error;
use chronolith_engine::model::OnPressure;
use chronolith_engine::planted::{Bug, is_on};
use chronolith_engine::vfs::sim::{IoCall, IoOp};
use parking_lot::Mutex;

use crate::check::Outcome;
use crate::dice::Dice;
use crate::executor::LabelledExecutor;
use crate::ledger::Ledger;
use crate::model::Change;
use crate::ops::{self, Op, Profile};

/// Of a hundred writes of segments, those in the middle of which something else happens.
const PERCENT: u64 = 40;

/// What goes on beside flushes and merges.
pub struct Beside {
    profile: Profile,
    ledger: Arc<Mutex<Ledger>>,
    /// Whether an explicit merge runs.
    merging: Arc<AtomicBool>,
    state: Mutex<State>,
    busy: AtomicBool,
    /// Flushes, and steps of jobs, that ran beside.
    count: AtomicU64,
}

struct State {
    dice: Dice,
    /// The database, while things may happen beside its work.
    open: Option<(Db, Arc<LabelledExecutor>)>,
    trace: Vec<String>,
    failed: Option<String>,
}

impl Beside {
    /// Nothing happens until [`Self::allow`].
    #[must_use]
    pub fn new(
        seed: u64,
        profile: Profile,
        ledger: &Arc<Mutex<Ledger>>,
        merging: &Arc<AtomicBool>,
    ) -> Arc<Self> {
        let dice = Dice::new(seed.wrapping_add(0xbe51de));
        let state = State { dice, open: None, trace: Vec::new(), failed: None };
        Arc::new(Self {
            profile,
            ledger: Arc::clone(ledger),
            merging: Arc::clone(merging),
            state: Mutex::new(state),
            busy: AtomicBool::new(false),
            count: AtomicU64::new(0),
        })
    }

    /// Lets things happen beside the work of this database, or no more.
    pub fn allow(&self, open: Option<(Db, Arc<LabelledExecutor>)>) {
        self.state.lock().open = open;
    }

    /// How much ran beside.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// What happened since the last call.
    ///
    /// # Errors
    /// What did not fit the model.
    pub fn report(&self, trace: &mut Vec<String>) -> Outcome {
        let mut state = self.state.lock();
        trace.append(&mut state.trace);
        state.failed.take().map_or(Ok(()), |text| Err(format!("beside: {text}")))
    }

    /// To be called before each call that changes the disk.
    pub fn at(&self, call: &IoCall) {
        if call.op != IoOp::Write || !call.path.to_string_lossy().contains("/segments/") {
            return;
        }
        // That bug runs other jobs in the middle of a commit, which would wait for the outer call.
        if is_on(Bug::StraddleMemtables) || is_on(Bug::HalfBatch) {
            return;
        }
        let Some((db, run, merges, steps)) = self.place() else { return };
        if self.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let outcome = std::thread::scope(|scope| {
            let other = scope.spawn(|| self.act(&db, &run, merges, steps));
            other.join().unwrap_or_else(|_| Err("it panicked".into()))
        });
        if let Err(text) = outcome {
            self.state.lock().failed.get_or_insert(text);
        }
        self.busy.store(false, Ordering::Release);
    }

    /// Whether a merge is in the middle, and whether other jobs may take steps: none that waits for what is on the stack.
    fn place(&self) -> Option<(Db, Arc<LabelledExecutor>, bool, bool)> {
        let mut state = self.state.lock();
        let (db, run) = state.open.clone()?;
        let (merges, steps) = match (self.merging.load(Ordering::Relaxed), run.stack().as_slice()) {
            (true, []) => (true, false),
            (false, ["chronolith-compact"]) => (true, true),
            (false, ["chronolith-flush"]) => (false, true),
            _ => return None,
        };
        state.dice.chance(PERCENT).then_some((db, run, merges, steps))
    }

    fn act(&self, db: &Db, run: &LabelledExecutor, merges: bool, steps: bool) -> Outcome {
        let pick = |bound: u64| self.state.lock().dice.below(bound);
        for _ in 0..pick(3) {
            self.write(db)?;
        }
        if merges && pick(3) > 0 {
            self.state.lock().trace.push("beside a merge: Flush".into());
            db.flush().map_err(|error| format!("flush: {error}"))?;
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        if steps {
            let done = run.inner.run_some(3);
            self.state.lock().trace.push(format!("beside: {done} steps"));
            self.count.fetch_add(done, Ordering::Relaxed);
        }
        for _ in 0..pick(2) {
            self.write(db)?;
        }
        Ok(())
    }

    fn write(&self, db: &Db) -> Outcome {
        let model = Arc::clone(self.ledger.lock().last());
        let op = ops::next(&model, self.profile, &mut self.state.lock().dice);
        let (change, fsync) = match op {
            Op::Write { change, fsync, .. } => (change, fsync),
            Op::Change(change) => (change, true),
            _ => return Ok(()),
        };
        self.state.lock().trace.push(format!("beside: {change:?}"));
        let id = self.ledger.lock().ask(&change, fsync);
        match commit(db, &change, fsync) {
            Ok(outcome) => {
                let (sequence, durable) = (outcome.sequence, outcome.durable_sequence);
                self.ledger.lock().acknowledge(id, sequence, durable)
            }
            Err(Error::Overloaded { .. }) => {
                self.ledger.lock().take_back(id);
                Ok(())
            }
            Err(error) => Err(format!("a write failed: {error}")),
        }
    }
}

fn commit(db: &Db, change: &Change, fsync: bool) -> Result<WriteOutcome, Error> {
    match change {
        Change::Write { tables, producer } => {
            // Who waited for memory would wait for the very flush that waits for this.
            let batch = ops::batch(tables, producer.as_ref(), fsync);
            db.write(batch.on_pressure(OnPressure::Refuse))
        }
        Change::Create(name, def) => db.create_table(name, ops::table_options(def)),
        Change::Drop(name) => db.drop_table(name),
        Change::Delete { table, query } => {
            let (predicate, range) = ops::predicate(query);
            db.delete(table, &predicate, range).map(|deleted| WriteOutcome {
                sequence: deleted.sequence,
                durable_sequence: deleted.sequence,
                row_count: 0,
                refused: Vec::new(),
                already_applied: false,
            })
        }
    }
}
