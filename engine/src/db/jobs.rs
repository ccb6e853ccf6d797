//! The background jobs: committing what nobody waits for, preparing the log, flushing, merging.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::maintain::Maintenance;
use crate::commit::Pipeline;
use crate::executor::{Executor, Job, JobHandle, JobStatus};

/// Milliseconds after which a failed flush or merge is tried again.
const RETRY_MS: u64 = 1_000;

struct CommitJob(Weak<Pipeline>);

impl Job for CommitJob {
    fn run_one(&self) -> JobStatus {
        self.0.upgrade().map_or(JobStatus::Idle, |pipeline| pipeline.work())
    }

    fn on_panic(&self, message: &str) {
        if let Some(pipeline) = self.0.upgrade() {
            pipeline.abandon(&format!("the commit job panicked: {message}"));
        }
    }
}

/// Writes zeros ahead of the log's groups.
struct PrepareJob(Weak<Maintenance>);

impl Job for PrepareJob {
    fn run_one(&self) -> JobStatus {
        let Some(maintenance) = self.0.upgrade() else { return JobStatus::Idle };
        maintenance.pipeline.prepare_log(maintenance.target.vfs.as_ref())
    }

    fn on_panic(&self, message: &str) {
        if let Some(maintenance) = self.0.upgrade() {
            maintenance.pipeline.poison(&format!("the preparation job panicked: {message}"));
        }
    }
}

struct FlushJob {
    maintenance: Weak<Maintenance>,
    compact: Mutex<Option<Arc<dyn JobHandle>>>,
}

impl Job for FlushJob {
    fn run_one(&self) -> JobStatus {
        let Some(maintenance) = self.maintenance.upgrade() else { return JobStatus::Idle };
        if maintenance.pipeline.poisoned().is_some() {
            return JobStatus::Idle;
        }
        let flushed = match maintenance.flush() {
            Ok(flushed) => flushed,
            Err(error) => {
                tracing::warn!(%error, "a flush failed; the rows stay in memory and log");
                return JobStatus::After { ms: RETRY_MS };
            }
        };
        if let Some(compact) = self.compact.lock().as_ref() {
            compact.wake();
        }
        if flushed && maintenance.pipeline.wants_flush() {
            JobStatus::More
        } else {
            JobStatus::Idle
        }
    }

    fn on_panic(&self, message: &str) {
        if let Some(maintenance) = self.maintenance.upgrade() {
            maintenance.pipeline.poison(&format!("the flush job panicked: {message}"));
        }
    }
}

struct CompactJob(Weak<Maintenance>);

impl Job for CompactJob {
    fn run_one(&self) -> JobStatus {
        let Some(maintenance) = self.0.upgrade() else { return JobStatus::Idle };
        if maintenance.pipeline.poisoned().is_some() {
            return JobStatus::Idle;
        }
        if let Err(error) = maintenance.compact(false) {
            tracing::warn!(%error, "a merge of segments failed; they stay as they are");
            if matches!(error, crate::error::Error::Overloaded { .. }) {
                return JobStatus::After { ms: RETRY_MS };
            }
        }
        JobStatus::Idle
    }

    fn on_panic(&self, message: &str) {
        if let Some(maintenance) = self.0.upgrade() {
            maintenance.pipeline.poison(&format!("the compaction job panicked: {message}"));
        }
    }
}

/// The jobs of an open database.
pub(super) struct Jobs(Vec<Arc<dyn JobHandle>>);

impl Jobs {
    /// Starts them; without `background` only the commit job works by itself.
    pub(super) fn start(
        executor: &Arc<dyn Executor>,
        maintenance: &Arc<Maintenance>,
        background: bool,
    ) -> Self {
        let pipeline = &maintenance.pipeline;
        let commit =
            executor.spawn("chronolith-commit", Arc::new(CommitJob(Arc::downgrade(pipeline))));
        let weak = || Arc::downgrade(maintenance);
        let prepare = executor.spawn("chronolith-prepare", Arc::new(PrepareJob(weak())));
        pipeline.attach_preparing(Arc::clone(&prepare));
        if !background {
            pipeline.attach(Arc::clone(&commit), None);
            return Self(vec![commit, prepare]);
        }
        let compact = executor.spawn("chronolith-compact", Arc::new(CompactJob(weak())));
        let flush =
            FlushJob { maintenance: weak(), compact: Mutex::new(Some(Arc::clone(&compact))) };
        let flush = executor.spawn("chronolith-flush", Arc::new(flush));
        pipeline.attach(Arc::clone(&commit), Some(Arc::clone(&flush)));
        Self(vec![commit, prepare, flush, compact])
    }

    /// Ends them, and waits for the steps that run.
    pub(super) fn stop(&self) {
        self.0.iter().for_each(|job| job.stop());
    }
}
