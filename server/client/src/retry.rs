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

    /// Makes a call that may be made again, until it succeeds, fails for good, or time is up.
    ///
    /// # Errors
    /// The last call's.
    pub async fn repeat<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut waits = self.begin();
        loop {
            match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) => waits.wait(error).await?,
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// How a call ends whose failures come first, and how often it was made.
    fn repeated(failures: Vec<ClientError>) -> (Result<&'static str>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut count = 0;
        let mut failures = failures.into_iter();
        let answer = runtime.block_on(Retry::default().repeat(|| {
            count += 1;
            let next = failures.next();
            async move { next.map_or(Ok("done"), Err) }
        }));
        (answer, count)
    }

    #[test]
    fn what_may_succeed_later_is_repeated_and_nothing_else() {
        let away = || ClientError::Connection { url: "u".into(), why: "gone".into() };
        let wrong = ClientError::Url { url: "u".into(), why: "wrong".into() };
        assert!(matches!(repeated(vec![away(), away()]), (Ok("done"), 3)));
        assert!(matches!(repeated(vec![away(), wrong]), (Err(ClientError::Url { .. }), 2)));
    }
}
