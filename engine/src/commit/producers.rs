//! The numbers of producers: which batch of each is next, and what became of its last (docs/decisions/0010-idempotence.md).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::ticket::Cell;
use crate::error::{Error, Result};
use crate::limits::PRODUCER_COUNT_MAX;
use crate::manifest::ProducerState;
use crate::model::{Producer, Sequence};

/// What to do with a numbered batch.
pub(super) enum Verdict {
    /// It is the next one.
    New,
    /// It is in the queue already: share its receipt.
    Pending(Arc<Cell>),
    /// It was applied before.
    Applied(ProducerState),
}

struct Entry {
    /// The last batch that is committed; number 0 where none is.
    state: ProducerState,
    /// Batches behind it that are not done, by ascending number, with their receipts.
    pending: VecDeque<(u64, Arc<Cell>)>,
}

impl Entry {
    fn new(state: ProducerState) -> Self {
        Self { state, pending: VecDeque::new() }
    }

    fn last(&self) -> u64 {
        self.pending.back().map_or(self.state.number, |(number, _)| *number)
    }
}

/// The producers that are known.
#[derive(Default)]
pub(super) struct Producers {
    known: BTreeMap<String, Entry>,
}

impl Producers {
    /// Those that recovery found.
    pub(super) fn new(states: impl IntoIterator<Item = ProducerState>) -> Self {
        let entries = states.into_iter().map(|state| (state.id.clone(), Entry::new(state)));
        Self { known: entries.collect() }
    }

    /// Whether the producer is known.
    pub(super) fn is_known(&self, id: &str) -> bool {
        self.known.contains_key(id)
    }

    /// Looks a number up.
    ///
    /// # Errors
    /// `SequenceGap`.
    pub(super) fn judge(&self, producer: &Producer) -> Result<Verdict> {
        let entry = self.known.get(&producer.id);
        let last = entry.map_or(0, Entry::last);
        if last.checked_add(1) == Some(producer.number) {
            return Ok(Verdict::New);
        }
        let Some(entry) = entry.filter(|_| producer.number <= last) else {
            return Err(Error::SequenceGap {
                producer: producer.id.clone(),
                expected: last.saturating_add(1),
                found: producer.number,
            });
        };
        if let Some((_, cell)) = entry.pending.iter().find(|one| one.0 == producer.number) {
            return Ok(Verdict::Pending(Arc::clone(cell)));
        }
        let mut state = entry.state.clone();
        if producer.number < state.number {
            // What became of older ones is not remembered.
            state.row_count = 0;
        }
        Ok(Verdict::Applied(state))
    }

    /// Counts a number that is in the queue.
    pub(super) fn enqueue(&mut self, producer: &Producer, cell: &Arc<Cell>) {
        let id = producer.id.clone();
        let nothing = || {
            Entry::new(ProducerState {
                id: id.clone(),
                number: 0,
                sequence: Sequence::ZERO,
                row_count: 0,
                time_ns: 0,
            })
        };
        let entry = self.known.entry(id.clone()).or_insert_with(nothing);
        entry.pending.push_back((producer.number, Arc::clone(cell)));
    }

    /// The number is committed.
    pub(super) fn commit(&mut self, state: ProducerState) {
        match self.known.get_mut(&state.id) {
            Some(entry) => {
                entry.pending.retain(|(number, _)| *number > state.number);
                if state.number >= entry.state.number {
                    entry.state = state;
                }
            }
            None => {
                self.known.insert(state.id.clone(), Entry::new(state));
            }
        }
        if self.known.len() > PRODUCER_COUNT_MAX {
            let idle = self.known.values().filter(|entry| entry.pending.is_empty());
            let oldest =
                idle.min_by_key(|entry| entry.state.sequence).map(|one| one.state.id.clone());
            if let Some(id) = oldest {
                self.known.remove(&id);
            }
        }
    }

    /// Forgets what was queued: nothing of it was written.
    pub(super) fn forget_pending(&mut self) {
        self.known.retain(|_, entry| {
            entry.pending.clear();
            entry.state.number > 0
        });
    }
}
