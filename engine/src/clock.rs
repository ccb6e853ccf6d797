//! Time arrives through [`Clock`]: the system's in a product, a set one in tests.

use std::sync::atomic::{AtomicI64, Ordering};

/// A source of time.
pub trait Clock: Send + Sync {
    /// Nanoseconds since the Unix epoch, UTC; may jump.
    fn wall_ns(&self) -> i64;
    /// Nanoseconds since an arbitrary start; never goes back.
    fn monotonic_ns(&self) -> i64;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the home of the clock")]
    fn default() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the home of the clock")]
    fn wall_ns(&self) -> i64 {
        let now = std::time::SystemTime::now();
        match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
        }
    }

    fn monotonic_ns(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }
}

/// A clock that a test sets.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_ns: AtomicI64,
    monotonic_ns: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `wall_ns`.
    #[must_use]
    pub fn at(wall_ns: i64) -> Self {
        Self { wall_ns: AtomicI64::new(wall_ns), monotonic_ns: AtomicI64::new(0) }
    }

    /// Moves both clocks forward.
    pub fn advance_ns(&self, by_ns: i64) {
        self.wall_ns.fetch_add(by_ns, Ordering::Relaxed);
        self.monotonic_ns.fetch_add(by_ns.max(0), Ordering::Relaxed);
    }

    /// Sets the wall clock alone: a jump.
    pub fn set_wall_ns(&self, wall_ns: i64) {
        self.wall_ns.store(wall_ns, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn wall_ns(&self) -> i64 {
        self.wall_ns.load(Ordering::Relaxed)
    }

    fn monotonic_ns(&self) -> i64 {
        self.monotonic_ns.load(Ordering::Relaxed)
    }
}
