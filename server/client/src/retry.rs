//! Waiting for a server that is overloaded or away.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{ClientError, Result};

/// The first wait; later ones double.
const WAIT_MIN: Duration = Duration::from_millis(50);
/// The longest wait between two tries.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Told of each failure that is waited for.
type OnWait = Arc<dyn Fn(&ClientError) + Send + Sync>;

/// For how long calls are repeated that may succeed later.
#[derive(Clone)]
pub struct Retry {
    longest: Duration,
    on_wait: Option<OnWait>,
}

impl Retry {
    /// Repeats for `longest`, counted from a call's first failure.
    #[must_use]
    pub fn for_at_most(longest: Duration) -> Self {
        Self { longest, on_wait: None }
    }

    /// Calls `told` with each failure that is waited for.
    #[must_use]
    pub fn telling(mut self, told: impl Fn(&ClientError) + Send + Sync + 'static) -> Self {
        self.on_wait = Some(Arc::new(told));
        self
    }

    pub(crate) fn begin(&self) -> Waits {
        Waits { retry: self.clone(), until: None, next: WAIT_MIN }
    }
}

impl Default for Retry {
    /// For half a minute.
    fn default() -> Self {
        Self::for_at_most(Duration::from_secs(30))
    }
}

/// The waits of one call.
pub(crate) struct Waits {
    retry: Retry,
    until: Option<Instant>,
    next: Duration,
}

impl Waits {
    /// Waits before the next try.
    ///
    /// # Errors
    /// `error` itself where it is final, or time is up.
    pub(crate) async fn wait(&mut self, error: ClientError) -> Result<()> {
        let now = Instant::now();
        let until = *self.until.get_or_insert_with(|| now + self.retry.longest);
        if !error.is_retryable() || now >= until {
            return Err(error);
        }
        if let Some(told) = &self.retry.on_wait {
            told(&error);
        }
        let asked = error.detail().map_or(0, |detail| detail.retry_after_ms);
        let wait = self.next.max(Duration::from_millis(u64::from(asked)));
        sleep(wait.min(until - now)).await;
        self.next = (self.next * 2).min(WAIT_MAX);
        Ok(())
    }
}
