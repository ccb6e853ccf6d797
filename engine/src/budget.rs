//! One budget of memory for everything that grows: memtables, log buffers, reads, flushes, compactions.
//! Invariant: whoever holds bytes holds a [`Grant`] for them. See docs/decisions/0012-memory-budget.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Bytes that the database may hold.
#[derive(Debug)]
pub struct MemoryBudget {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    peak_bytes: AtomicUsize,
    /// The budget that this one is a part of.
    parent: Option<Arc<Self>>,
}

/// Bytes for rows, however few rows are flushed at once.
const ROWS_BYTES_MIN: usize = 16 << 10;

/// The budget of a database, cut into parts by user. Rows, flushes and work each have bytes that nobody else can take, so that a full
/// memory can always be emptied, and no query stops a write.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Everything.
    pub whole: Arc<MemoryBudget>,
    /// Rows in memory, and batches on their way there and into the log: twice `flush_bytes`, at least 16 KiB, at most half of the whole.
    pub rows: Arc<MemoryBudget>,
    /// Flushes: a quarter of the whole.
    pub flush: Arc<MemoryBudget>,
    /// Reads: what rows and flushes leave, at least a quarter of the whole.
    pub reads: Arc<MemoryBudget>,
    /// Merges of segments: at most half of what reads may take, beside them.
    pub merges: Arc<MemoryBudget>,
    /// Bytes of rows in memory at which a flush is asked for.
    pub flush_bytes: usize,
}

impl Memory {
    /// Cuts `limit_bytes`. Without `flush_bytes` a flush is asked for at a quarter.
    #[must_use]
    pub fn new(limit_bytes: usize, flush_bytes: Option<usize>) -> Self {
        let whole = MemoryBudget::new(limit_bytes);
        let flush_bytes = flush_bytes.unwrap_or(limit_bytes / 4).clamp(1, (limit_bytes / 2).max(1));
        let rows_bytes = flush_bytes.saturating_mul(2).max(ROWS_BYTES_MIN).min(limit_bytes / 2);
        let rows = whole.part(rows_bytes);
        let flush = whole.part(limit_bytes / 4);
        let work = whole.part(limit_bytes - rows.limit_bytes() - flush.limit_bytes());
        let (reads, merges) = (work.part(work.limit_bytes()), work.part(work.limit_bytes() / 2));
        Self { whole, rows, flush, reads, merges, flush_bytes }
    }
}

/// Bytes that someone may hold; given back when dropped.
#[derive(Debug)]
pub struct Grant {
    budget: Arc<MemoryBudget>,
    bytes: usize,
}

impl MemoryBudget {
    /// A budget of `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Self::build(limit_bytes, None)
    }

    /// A part of this budget, of at most `limit_bytes`: what it grants, this one grants too.
    #[must_use]
    pub fn part(self: &Arc<Self>, limit_bytes: usize) -> Arc<Self> {
        Self::build(limit_bytes, Some(Arc::clone(self)))
    }

    fn build(limit_bytes: usize, parent: Option<Arc<Self>>) -> Arc<Self> {
        let (used_bytes, peak_bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { limit_bytes, used_bytes, peak_bytes, parent })
    }

    fn take(&self, bytes: usize, what: &str) -> Result<()> {
        let fits = |used: usize| used.checked_add(bytes).filter(|total| *total <= self.limit_bytes);
        let taken = self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        let used = taken.map_err(|used| Error::Overloaded {
            what: format!("the memory budget has no {bytes} bytes left for {what}"),
            used: used as u64,
            limit: self.limit_bytes as u64,
        })?;
        if let Some(parent) = &self.parent {
            parent.take(bytes, what).inspect_err(|_| {
                self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
            })?;
        }
        self.peak_bytes.fetch_max(used + bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.parent {
            parent.give_back(bytes);
        }
    }

    /// Bytes that may be held.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Bytes that are held.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that could be granted now, by this budget and those that it is a part of.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        let own = self.limit_bytes.saturating_sub(self.used_bytes());
        self.parent.as_ref().map_or(own, |parent| own.min(parent.free_bytes()))
    }

    /// The most bytes that were ever held at once.
    #[must_use]
    pub fn peak_bytes(&self) -> usize {
        self.peak_bytes.load(Ordering::Relaxed)
    }

    /// Grants `bytes` for `what`.
    ///
    /// # Errors
    /// `Overloaded` when they do not fit.
    pub fn grant(self: &Arc<Self>, bytes: usize, what: &str) -> Result<Grant> {
        let mut grant = self.empty_grant();
        grant.resize(bytes, what)?;
        Ok(grant)
    }

    /// A grant of nothing, to grow later.
    #[must_use]
    pub fn empty_grant(self: &Arc<Self>) -> Grant {
        Grant { budget: Arc::clone(self), bytes: 0 }
    }
}

impl Grant {
    /// Bytes granted.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes the grant `bytes` large.
    ///
    /// # Errors
    /// `Overloaded` when the growth does not fit; the grant is then unchanged.
    pub fn resize(&mut self, bytes: usize, what: &str) -> Result<()> {
        if bytes > self.bytes {
            self.budget.take(bytes - self.bytes, what)?;
        } else {
            self.budget.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Makes the grant `bytes` large, or as large as the budget lets it be: for work that must go on.
    pub fn resize_as_can_be(&mut self, bytes: usize, what: &str) {
        let room = self.budget.limit_bytes.saturating_sub(self.budget.used_bytes());
        if self.resize(bytes, what).is_err() {
            let _ = self.resize(bytes.min(self.bytes + room), what);
        }
    }

    /// Cuts off a grant of `bytes`, or of all where there are fewer.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: Arc::clone(&self.budget), bytes }
    }

    /// Takes what `measure` finds to fit into `bytes_max`, and less and less of it, down to `bytes_min`, where there is no memory.
    /// `measure` gives what it takes, and its bytes.
    ///
    /// # Errors
    /// `Overloaded` where even little does not fit; those of `measure`.
    pub fn fit<T>(
        &mut self,
        (mut bytes_max, bytes_min): (usize, usize),
        what: &str,
        mut measure: impl FnMut(usize) -> Result<(T, usize)>,
    ) -> Result<T> {
        loop {
            let (taken, bytes) = measure(bytes_max)?;
            match self.resize(bytes, what) {
                Ok(()) => return Ok(taken),
                Err(Error::Overloaded { .. }) if bytes_max > bytes_min => {
                    bytes_max = (bytes_max / 4).max(bytes_min);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves `bytes` of another grant of the same budget into this one.
    pub fn absorb(&mut self, other: &mut Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_never_pass_the_limit_and_come_back() {
        let budget = MemoryBudget::new(100);
        let mut first = budget.grant(60, "a").unwrap();
        assert!(matches!(budget.grant(41, "b"), Err(Error::Overloaded { used: 60, .. })));
        let mut second = budget.grant(40, "b").unwrap();
        assert!(first.resize(61, "a").is_err());
        assert_eq!((first.bytes(), budget.used_bytes()), (60, 100));
        first.absorb(&mut second);
        drop(second);
        assert_eq!(budget.used_bytes(), 100);
        first.resize(10, "a").unwrap();
        assert_eq!(budget.used_bytes(), 10);
        drop(first);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn a_part_takes_from_the_whole_and_keeps_its_own_limit() {
        let whole = MemoryBudget::new(100);
        let part = whole.part(50);
        let held = part.grant(40, "a").unwrap();
        assert_eq!((part.used_bytes(), whole.used_bytes()), (40, 40));
        assert!(part.grant(11, "b").is_err());
        let other = whole.grant(60, "c").unwrap();
        assert!(part.grant(1, "d").is_err(), "the whole is used up");
        assert_eq!(part.used_bytes(), 40);
        drop((held, other));
        assert_eq!((part.used_bytes(), whole.used_bytes()), (0, 0));
        assert_eq!((part.peak_bytes(), whole.peak_bytes()), (40, 100));
    }

    #[test]
    fn parts_never_starve_each_other() {
        for (limit, flush_bytes) in [(1 << 20, None), (1 << 20, Some(4_000)), (100, Some(1_000))] {
            let memory = Memory::new(limit, flush_bytes);
            let all = |part: &Arc<MemoryBudget>| part.grant(part.limit_bytes(), "all").unwrap();
            let held = (all(&memory.rows), all(&memory.flush), all(&memory.reads));
            assert_eq!(memory.whole.used_bytes(), limit);
            assert!(memory.merges.grant(1, "a merge beside reads").is_err());
            drop(held);
            assert!(memory.flush_bytes <= memory.rows.limit_bytes());
            drop((all(&memory.merges), all(&memory.flush), all(&memory.rows)));
        }
    }
}
