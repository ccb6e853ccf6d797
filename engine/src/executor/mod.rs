//! Scheduling arrives through [`Executor`]: threads in a product, one seeded schedule in tests.
//! Background work is a [`Job`] with `run_one`; threads, sleeps and blocking waits exist only in this folder.

mod deterministic;
mod step;
#[cfg(test)]
mod tests;
mod threads;

pub use deterministic::DeterministicExecutor;
pub use threads::ThreadExecutor;

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// What a job did, and when it wants to run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// Nothing left to do: run again after the next wake.
    Idle,
    /// There is more: run again at once.
    More,
    /// Nothing to do now: run again after so many milliseconds, or at the next wake.
    After {
        /// Milliseconds from now.
        ms: u64,
    },
}

/// A piece of background work.
pub trait Job: Send + Sync {
    /// Does one bounded step.
    fn run_one(&self) -> JobStatus;

    /// Told when `run_one` panicked; the job is not run again.
    fn on_panic(&self, message: &str);
}

/// A running job. Dropping its last handle ends the job as `stop` does, without waiting.
pub trait JobHandle: Send + Sync {
    /// Asks for a run soon; never blocks.
    fn wake(&self);

    /// Ends the job after its present step and waits for that; later wakes do nothing.
    /// May be called again, and from inside the job's own step, where it does not wait.
    fn stop(&self);
}

/// A change counter on which threads wait: no wake-up is lost between looking and waiting.
#[derive(Debug, Default)]
pub struct Signal {
    generation: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    /// Announces a change to every waiter.
    pub fn notify(&self) {
        let mut generation = self.generation.lock();
        *generation = generation.wrapping_add(1);
        self.changed.notify_all();
    }
}

/// Runs jobs and waits.
pub trait Executor: Send + Sync {
    /// Starts `job` under `name`; it first runs after a wake.
    fn spawn(&self, name: &'static str, job: Arc<dyn Job>) -> Arc<dyn JobHandle>;

    /// Waits until `ready` returns true, looking again after each [`Signal::notify`] of `signal` (whoever makes it true must notify).
    /// Gives up after `timeout_ms` milliseconds (none: never). Returns the last answer of `ready`.
    /// The deterministic executor runs pending jobs instead of waiting, and returns false when none is left.
    fn wait_until(
        &self,
        signal: &Signal,
        timeout_ms: Option<u64>,
        ready: &mut dyn FnMut() -> bool,
    ) -> bool;
}
