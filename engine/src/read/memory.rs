//! The memory of one read: the budget that it takes grants of, and the sizes that it works with. Each source of a series has a grant
//! for the chunk that it gave last, the series one for what is made of it, and the scan one for its lists and the batch being filled.

use std::sync::Arc;

use crate::budget::{Grant, MemoryBudget};
use crate::error::Result;
use crate::model::FieldType;

/// Bytes of the rows that a source decodes or copies at once, where there is memory.
const CHUNK_BYTES_MAX: usize = 8 << 20;
/// The same where there is little; a single row may be larger.
const CHUNK_BYTES_MIN: usize = 16 << 10;
/// Bytes at which a batch is handed on, where there is memory.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// What the rows of a chunk take at most while they are read and decoded, in parts of the chunk: encoded, decoded, joined.
const READ_PARTS: usize = 3;
/// What becomes of a chunk on its way into a batch: joined, resolved, filtered.
const WORK_PARTS: usize = 4;

/// The memory of one read.
#[derive(Clone)]
pub(super) struct ReadMemory {
    budget: Arc<MemoryBudget>,
    what: Arc<str>,
}

impl ReadMemory {
    /// For a read of `table`.
    pub(super) fn new(budget: &Arc<MemoryBudget>, table: &str) -> Self {
        let what = format!("a read of table {table:?}").into();
        Self { budget: Arc::clone(budget), what }
    }

    /// Bytes that each of `source_count` sources, which are open at once, decodes or copies at once: together a share of the memory that
    /// is free, so that one read leaves room for the next, and many at once take less and less instead of being refused.
    pub(super) fn chunk_bytes(&self, source_count: usize) -> usize {
        let share = self.budget.free_bytes() / 128 / source_count.max(1);
        share.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)
    }

    /// Bytes at which a batch is handed on: a share of the memory that is free, as above.
    pub(super) fn batch_bytes(&self) -> usize {
        (self.budget.free_bytes() / 64).clamp(CHUNK_BYTES_MIN, BATCH_BYTES_MAX)
    }

    /// A grant of nothing, to grow.
    pub(super) fn grant(&self) -> ReadGrant {
        ReadGrant { grant: self.budget.empty_grant(), what: Arc::clone(&self.what) }
    }
}

/// A grant of one read, which names it where it is refused.
pub(super) struct ReadGrant {
    grant: Grant,
    what: Arc<str>,
}

impl ReadGrant {
    /// Makes the grant `bytes` large.
    ///
    /// # Errors
    /// `Overloaded`; the grant is then unchanged.
    pub(super) fn resize(&mut self, bytes: usize) -> Result<()> {
        if bytes == self.grant.bytes() {
            return Ok(());
        }
        self.grant.resize(bytes, &self.what)
    }

    /// Grows the grant for what becomes of a chunk of `bytes`; it never shrinks by that.
    ///
    /// # Errors
    /// `Overloaded`.
    pub(super) fn work_on(&mut self, bytes: usize) -> Result<()> {
        self.resize(self.grant.bytes().max(bytes.saturating_mul(WORK_PARTS)))
    }

    /// Takes what `measure` finds to fit into `chunk_bytes`, and less and less of it where there is no memory. `measure` gives what it
    /// takes, and its bytes.
    ///
    /// # Errors
    /// `Overloaded` where even little does not fit; those of `measure`.
    pub(super) fn fit<T>(
        &mut self,
        chunk_bytes: usize,
        mut measure: impl FnMut(usize) -> Result<(T, usize)>,
    ) -> Result<T> {
        self.grant.fit((chunk_bytes, CHUNK_BYTES_MIN), &self.what, |bytes_max| {
            let (taken, bytes) = measure(bytes_max)?;
            Ok((taken, bytes.saturating_mul(READ_PARTS)))
        })
    }
}

/// Bytes of one row's time, sequence and fields of `types`, texts left out.
pub(super) fn row_bytes(types: impl Iterator<Item = FieldType>) -> usize {
    24 + types.map(|of| if of == FieldType::Utf8 { 5 } else { 9 }).sum::<usize>()
}
