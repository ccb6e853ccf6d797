//! One guarded step of a job: the only place where a panic is caught.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Job, JobStatus};

/// Runs one step of `job`. None after a panic: the job has been told and must not be run again.
pub(super) fn step(job: &dyn Job) -> Option<JobStatus> {
    // The job is never run again after a panic and its owner refuses further work, so no broken invariant is seen.
    match catch_unwind(AssertUnwindSafe(|| job.run_one())) {
        Ok(status) => Some(status),
        Err(payload) => {
            let message = message_of(&*payload);
            if catch_unwind(AssertUnwindSafe(|| job.on_panic(&message))).is_err() {
                tracing::error!(message, "a job panicked, and panicked again when told so");
            }
            None
        }
    }
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
