//! Calls into the engine, which blocks: each on a thread of its own, so many at a time for writes and so many for reads.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::Status;

/// A bounded number of threads.
#[derive(Clone)]
pub(crate) struct Pool {
    permits: Arc<Semaphore>,
}

impl Pool {
    /// `thread_count` threads.
    pub(crate) fn new(thread_count: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(thread_count)) }
    }

    /// Runs `work`, once a thread is free. A caller that goes away does not end work that has begun.
    ///
    /// # Errors
    /// `INTERNAL` where the work panics; `UNAVAILABLE` at the end.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| Status::unavailable("the server shuts down"))?;
        let running = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        running.await.map_err(|error| {
            tracing::error!(%error, "work on a request ended early");
            Status::internal("work on the request ended early; this is a bug, please report it")
        })
    }
}
