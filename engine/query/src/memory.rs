//! A query's memory: DataFusion's pool with the query's limit, taking from the database's budget where there is one.

use std::sync::Arc;

use chronolith_engine::budget::{Grant, MemoryBudget};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};
use parking_lot::Mutex;

/// Bytes of a query without a limit and without a budget.
const BYTES_DEFAULT: usize = 1 << 30;

/// The memory of one query. Dropping it gives everything back.
#[derive(Debug)]
pub struct QueryPool {
    limit_bytes: usize,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    grant: Grant,
    /// Bytes that operators took without asking, beyond the limit.
    beyond_bytes: usize,
}

impl QueryPool {
    /// A pool of `limit_bytes` (none: half of the budget, or 1 GiB without one), which takes from `budget`.
    #[must_use]
    pub fn new(budget: Option<&Arc<MemoryBudget>>, limit_bytes: Option<usize>) -> Arc<Self> {
        let whole = budget.map_or(BYTES_DEFAULT, |budget| budget.limit_bytes() / 2);
        let limit_bytes = limit_bytes.unwrap_or(whole);
        let own = match budget {
            Some(budget) => budget.part(limit_bytes),
            None => MemoryBudget::new(limit_bytes),
        };
        let held = Held { grant: own.empty_grant(), beyond_bytes: 0 };
        Arc::new(Self { limit_bytes, held: Mutex::new(held) })
    }

    /// The limit in bytes.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }
}

impl std::fmt::Display for QueryPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QueryPool of {} bytes", self.limit_bytes)
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "chronolith query"
    }

    fn grow(&self, _reservation: &MemoryReservation, additional: usize) {
        let mut held = self.held.lock();
        let bytes = held.grant.bytes().saturating_add(additional);
        if held.grant.resize(bytes, "a query").is_err() {
            held.beyond_bytes += additional;
        }
    }

    fn shrink(&self, _reservation: &MemoryReservation, shrink: usize) {
        let mut held = self.held.lock();
        let beyond = shrink.min(held.beyond_bytes);
        held.beyond_bytes -= beyond;
        let bytes = held.grant.bytes().saturating_sub(shrink - beyond);
        // A grant always shrinks.
        let _ = held.grant.resize(bytes, "a query");
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut held = self.held.lock();
        let used = held.grant.bytes() + held.beyond_bytes;
        let limit = self.limit_bytes;
        let wanted = || reservation.consumer().name().to_owned();
        if used.saturating_add(additional) > limit {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "the query may hold {limit} bytes: {used} are in use, {} needs {additional} more",
                wanted()
            )));
        }
        let bytes = held.grant.bytes() + additional;
        held.grant.resize(bytes, "a query").map_err(|error| {
            DataFusionError::ResourcesExhausted(format!("{error} ({} of a query)", wanted()))
        })
    }

    fn reserved(&self) -> usize {
        let held = self.held.lock();
        held.grant.bytes() + held.beyond_bytes
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit_bytes)
    }
}
