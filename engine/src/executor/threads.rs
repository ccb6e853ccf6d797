//! The product's executor: one named thread a job, blocking waits.
//! Invariant: no lock of this module is held while a job's step or a caller's `ready` runs.

use std::sync::Arc;
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::step::step;
use super::{Executor, Job, JobHandle, JobStatus, Signal};

/// Runs each job on a thread of its own.
#[derive(Debug, Default, Clone, Copy)]
pub struct ThreadExecutor;

impl ThreadExecutor {
    /// An executor without jobs.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

/// What a job's thread and its handle share.
#[derive(Debug, Default)]
struct Worker {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    woken: bool,
    stopping: bool,
    /// The thread runs no more code of the job.
    finished: bool,
}

#[derive(Debug, Clone, Copy)]
enum Pause {
    None,
    UntilWake,
    Ms(u64),
}

#[derive(Debug)]
struct Handle {
    worker: Arc<Worker>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// None when the thread could not be started.
    id: Option<ThreadId>,
}

impl Executor for ThreadExecutor {
    /// A thread that cannot be started is reported through `on_panic`: the job will never run.
    fn spawn(&self, name: &'static str, job: Arc<dyn Job>) -> Arc<dyn JobHandle> {
        let worker = Arc::new(Worker::default());
        let (theirs, started) = (Arc::clone(&worker), Arc::clone(&job));
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || theirs.run(started))
            .map_err(|error| job.on_panic(&format!("cannot start thread {name:?}: {error}")))
            .ok();
        let id = thread.as_ref().map(|thread| thread.thread().id());
        Arc::new(Handle { worker, thread: Mutex::new(thread), id })
    }

    fn wait_until(
        &self,
        signal: &Signal,
        timeout_ms: Option<u64>,
        ready: &mut dyn FnMut() -> bool,
    ) -> bool {
        let deadline = timeout_ms.and_then(deadline_after);
        loop {
            // The generation is read before looking: a change made after the look differs from it, and is not slept over.
            let seen = *signal.generation.lock();
            if ready() {
                return true;
            }
            let mut generation = signal.generation.lock();
            while *generation == seen {
                let Some(deadline) = deadline else {
                    signal.changed.wait(&mut generation);
                    continue;
                };
                if signal.changed.wait_until(&mut generation, deadline).timed_out() {
                    break;
                }
            }
            drop(generation);
            if deadline.is_some_and(|deadline| now() >= deadline) {
                return ready();
            }
        }
    }
}

impl Worker {
    fn run(self: Arc<Self>, job: Arc<dyn Job>) {
        // Declared before the loop so that it is dropped, and tells, even when dropping the job panics.
        let _finished = Finished(Arc::clone(&self));
        let mut pause = Pause::UntilWake;
        while self.wait(pause) {
            pause = match step(&*job) {
                Some(JobStatus::Idle) => Pause::UntilWake,
                Some(JobStatus::More) => Pause::None,
                Some(JobStatus::After { ms }) => Pause::Ms(ms),
                None => break,
            };
        }
        drop(job);
    }

    /// Waits for the next step. Returns false when the job shall end.
    fn wait(&self, pause: Pause) -> bool {
        let deadline = match pause {
            Pause::Ms(ms) => deadline_after(ms),
            Pause::None | Pause::UntilWake => None,
        };
        let mut state = self.state.lock();
        let mut due = matches!(pause, Pause::None);
        while !due && !state.woken && !state.stopping {
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => due = self.changed.wait_until(&mut state, deadline).timed_out(),
            }
        }
        state.woken = false;
        !state.stopping
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }
}

/// Tells on drop that the thread has left the job.
struct Finished(Arc<Worker>);

impl Drop for Finished {
    fn drop(&mut self) {
        self.0.change(|state| state.finished = true);
    }
}

impl JobHandle for Handle {
    fn wake(&self) {
        self.worker.change(|state| state.woken = true);
    }

    fn stop(&self) {
        self.worker.change(|state| state.stopping = true);
        // From its own thread a job cannot be waited for: it ends when its present step returns.
        if self.id.is_none_or(|id| id == std::thread::current().id()) {
            return;
        }
        // The flag and not the thread is waited for first, so that of two callers both wait, though one joins.
        let mut state = self.worker.state.lock();
        while !state.finished {
            self.worker.changed.wait(&mut state);
        }
        drop(state);
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a job panicked while it was dropped");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.worker.change(|state| state.stopping = true);
    }
}

#[expect(clippy::disallowed_methods, reason = "time-outs of waits are the executor's own")]
fn now() -> Instant {
    Instant::now()
}

/// None when the deadline lies beyond what the clock can tell: never.
fn deadline_after(ms: u64) -> Option<Instant> {
    now().checked_add(Duration::from_millis(ms))
}
