//! The deterministic executor, which also tells which job runs: crash images are counted by it.

use std::sync::Arc;

use chronolith_engine::executor::{
    DeterministicExecutor, Executor, Job, JobHandle, JobStatus, Signal,
};
use parking_lot::Mutex;

/// Runs jobs as [`DeterministicExecutor`] does, and remembers the names of those on the stack.
pub struct LabelledExecutor {
    /// The executor that does the work.
    pub inner: DeterministicExecutor,
    running: Arc<Mutex<Vec<&'static str>>>,
}

impl LabelledExecutor {
    /// The executor of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { inner: DeterministicExecutor::new(seed), running: Arc::default() }
    }

    /// The name of the job that runs now, the innermost of several.
    #[must_use]
    pub fn running(&self) -> Option<&'static str> {
        self.running.lock().last().copied()
    }
}

impl LabelledExecutor {
    /// The names of the jobs on the stack, outermost first.
    #[must_use]
    pub fn stack(&self) -> Vec<&'static str> {
        self.running.lock().clone()
    }
}

struct Labelled {
    name: &'static str,
    job: Arc<dyn Job>,
    running: Arc<Mutex<Vec<&'static str>>>,
}

impl Job for Labelled {
    fn run_one(&self) -> JobStatus {
        self.running.lock().push(self.name);
        let status = self.job.run_one();
        self.running.lock().pop();
        status
    }

    fn on_panic(&self, message: &str) {
        self.running.lock().clear();
        self.job.on_panic(message);
    }
}

impl Executor for LabelledExecutor {
    fn spawn(&self, name: &'static str, job: Arc<dyn Job>) -> Arc<dyn JobHandle> {
        self.inner.spawn(name, Arc::new(Labelled { name, job, running: Arc::clone(&self.running) }))
    }

    fn wait_until(
        &self,
        signal: &Signal,
        timeout_ms: Option<u64>,
        ready: &mut dyn FnMut() -> bool,
    ) -> bool {
        self.inner.wait_until(signal, timeout_ms, ready)
    }
}
