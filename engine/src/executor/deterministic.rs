//! The tests' executor: jobs run only when the driver asks, in an order that one seed decides.
//! Invariant: the same seed and the same calls give the same schedule. To be driven by one thread.

use std::collections::BTreeSet;
use std::sync::Arc;

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::step::step;
use super::{Executor, Job, JobHandle, JobStatus, Signal};
use crate::clock::ManualClock;
use crate::rng::{Rng, SeededRng};

/// Steps after which a wait gives up: a job that always has more, or a timer that always comes again, must not hang a test.
const WAIT_STEP_COUNT_MAX: u64 = 1 << 20;

/// Runs jobs one step at a time, chosen by a seeded generator, with a time of its own.
///
/// `wake` only marks a job as pending and never runs it. A job whose step is on the stack (because it waits) is not
/// run again inside that step. Time moves only when nothing else is pending: to the earliest timer.
#[derive(Debug)]
pub struct DeterministicExecutor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    rng: SeededRng,
    clock: Option<Arc<ManualClock>>,
}

#[derive(Debug, Default)]
struct State {
    jobs: BTreeMap<u64, Slot>,
    next_id: u64,
    now_ms: u64,
    step_count: u64,
    schedule_hash: u64,
}

struct Slot {
    name: &'static str,
    job: Arc<dyn Job>,
    pending: bool,
    due_ms: Option<u64>,
    running: bool,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot")
            .field("name", &self.name)
            .field("pending", &self.pending)
            .field("due_ms", &self.due_ms)
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

impl DeterministicExecutor {
    /// The executor of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::build(seed, None)
    }

    /// The executor of `seed` that moves `clock` forward together with its own time.
    #[must_use]
    pub fn with_clock(seed: u64, clock: Arc<ManualClock>) -> Self {
        Self::build(seed, Some(clock))
    }

    fn build(seed: u64, clock: Option<Arc<ManualClock>>) -> Self {
        let (state, rng) = (Mutex::new(State::default()), SeededRng::new(seed));
        Self { shared: Arc::new(Shared { state, rng, clock }) }
    }

    /// Runs one step of one pending job. Returns false when none is pending.
    pub fn run_pending(&self) -> bool {
        self.run_one_of(|_| true)
    }

    /// Runs pending jobs until none is left or `steps_max` steps are done; timers wait. Returns the steps done.
    pub fn run_until_idle(&self, steps_max: u64) -> u64 {
        (0..steps_max).take_while(|_| self.run_pending()).count() as u64
    }

    /// Runs a seeded number of steps, at most `steps_max`: what threads might have done meanwhile. Returns the steps done.
    pub fn run_some(&self, steps_max: u64) -> u64 {
        let wanted = self.shared.rng.next_u64() % steps_max.saturating_add(1).max(1);
        self.run_until_idle(wanted)
    }

    /// Moves the time to the last timer now set, and runs one step of each job that waited for one. Returns the steps done.
    pub fn run_timers(&self) -> u64 {
        let mut due: BTreeSet<u64> = BTreeSet::new();
        let mut latest_ms = 0;
        for (id, slot) in &self.shared.state.lock().jobs {
            if let Some(due_ms) = slot.due_ms {
                due.insert(*id);
                latest_ms = latest_ms.max(due_ms);
            }
        }
        self.shared.move_time_to(latest_ms);
        let mut steps = 0;
        // Each job leaves the set when its step starts, so the loop ends even when every step wants more.
        while self.run_one_of(|id| due.remove(&id)) {
            steps += 1;
        }
        steps
    }

    /// Moves the time forward; jobs whose timers pass become pending.
    pub fn advance_ms(&self, by_ms: u64) {
        let target_ms = self.now_ms().saturating_add(by_ms);
        self.shared.move_time_to(target_ms);
    }

    /// Milliseconds since the executor was made, in its own time.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.shared.state.lock().now_ms
    }

    /// Whether no job is pending; timers may be set.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.shared.state.lock().jobs.values().any(|slot| slot.pending && !slot.running)
    }

    /// Steps done since the executor was made.
    #[must_use]
    pub fn step_count(&self) -> u64 {
        self.shared.state.lock().step_count
    }

    /// A hash of which job ran at each step: equal schedules have equal hashes.
    #[must_use]
    pub fn schedule_hash(&self) -> u64 {
        self.shared.state.lock().schedule_hash
    }

    /// Runs one step of a pending job; `accept` is asked about the chosen job, and others are chosen where it refuses.
    fn run_one_of(&self, mut accept: impl FnMut(u64) -> bool) -> bool {
        let Some((id, job)) = self.shared.take_pending(&mut accept) else { return false };
        let status = step(&*job);
        self.shared.finish_step(id, status);
        true
    }
}

impl Shared {
    fn take_pending(&self, accept: &mut dyn FnMut(u64) -> bool) -> Option<(u64, Arc<dyn Job>)> {
        let mut state = self.state.lock();
        let mut pending: Vec<u64> = state
            .jobs
            .iter()
            .filter(|(_, slot)| slot.pending && !slot.running)
            .map(|(id, _)| *id)
            .collect();
        let id = loop {
            let count = u64::try_from(pending.len()).ok().filter(|count| *count > 0)?;
            let choice = usize::try_from(self.rng.next_u64() % count).ok()?;
            let id = pending.swap_remove(choice);
            if accept(id) {
                break id;
            }
        };
        state.step_count += 1;
        state.schedule_hash =
            (state.schedule_hash.rotate_left(5) ^ (id + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let slot = state.jobs.get_mut(&id)?;
        slot.pending = false;
        slot.due_ms = None;
        slot.running = true;
        Some((id, Arc::clone(&slot.job)))
    }

    fn finish_step(&self, id: u64, status: Option<JobStatus>) {
        let mut state = self.state.lock();
        let now_ms = state.now_ms;
        // Absent when the job was stopped during its step.
        let Some(slot) = state.jobs.get_mut(&id) else { return };
        slot.running = false;
        match status {
            Some(JobStatus::Idle) => {}
            Some(JobStatus::More) => slot.pending = true,
            Some(JobStatus::After { ms }) => slot.due_ms = Some(now_ms.saturating_add(ms)),
            None => {
                let panicked = state.jobs.remove(&id);
                drop(state);
                drop(panicked);
            }
        }
    }

    /// Moves the time forward to `target_ms` (never back) and makes the jobs pending whose timers have passed.
    fn move_time_to(&self, target_ms: u64) {
        let mut state = self.state.lock();
        let passed_ms = target_ms.saturating_sub(state.now_ms);
        state.now_ms += passed_ms;
        let now_ms = state.now_ms;
        for slot in state.jobs.values_mut() {
            if slot.due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
                slot.due_ms = None;
                slot.pending = true;
            }
        }
        drop(state);
        if let Some(clock) = &self.clock {
            clock
                .advance_ns(i64::try_from(passed_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000));
        }
    }

    /// Moves the time to the earliest timer that is not after `deadline_ms`. Returns false when there is none.
    fn fire_earliest_timer(&self, deadline_ms: Option<u64>) -> bool {
        let earliest_ms = self.state.lock().jobs.values().filter_map(|slot| slot.due_ms).min();
        match (earliest_ms, deadline_ms) {
            (Some(due_ms), deadline_ms) if deadline_ms.is_none_or(|end_ms| due_ms <= end_ms) => {
                self.move_time_to(due_ms);
                true
            }
            _ => false,
        }
    }
}

impl Executor for DeterministicExecutor {
    fn spawn(&self, name: &'static str, job: Arc<dyn Job>) -> Arc<dyn JobHandle> {
        let mut state = self.shared.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.jobs.insert(id, Slot { name, job, pending: false, due_ms: None, running: false });
        drop(state);
        Arc::new(Handle { shared: Arc::clone(&self.shared), id })
    }

    /// Runs pending jobs, then timers not after the time-out in the executor's own time. Gives up when neither is left,
    /// or after about a million steps.
    fn wait_until(
        &self,
        _signal: &Signal,
        timeout_ms: Option<u64>,
        ready: &mut dyn FnMut() -> bool,
    ) -> bool {
        let deadline_ms = timeout_ms.map(|ms| self.now_ms().saturating_add(ms));
        for _ in 0..WAIT_STEP_COUNT_MAX {
            if ready() {
                return true;
            }
            if self.run_pending() || self.shared.fire_earliest_timer(deadline_ms) {
                continue;
            }
            if let Some(deadline_ms) = deadline_ms {
                self.shared.move_time_to(deadline_ms);
            }
            break;
        }
        ready()
    }
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    id: u64,
}

impl JobHandle for Handle {
    fn wake(&self) {
        if let Some(slot) = self.shared.state.lock().jobs.get_mut(&self.id) {
            slot.pending = true;
        }
    }

    /// Never waits: with one driving thread, a step that runs now is on the caller's own stack.
    fn stop(&self) {
        let slot = self.shared.state.lock().jobs.remove(&self.id);
        // After the lock: dropping the job may stop other jobs.
        drop(slot);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}
