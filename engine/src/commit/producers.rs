//! The numbers of producers: which batch of each is next, and what became of its last (docs/decisions/0010-idempotence.md).

use std::collections::BTreeMap;
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
    /// It is the last one again, which is not done yet: share its receipt.
    Pending(Arc<Cell>),
    /// It was applied before.
    Applied(ProducerState),
}

struct Entry {
    state: ProducerState,
    /// The last batch's receipt while it is not done.
    pending: Option<Arc<Cell>>,
}

/// The producers that are known.
#[derive(Default)]
pub(super) struct Producers {
    known: BTreeMap<String, Entry>,
}

impl Producers {
    /// Those that recovery found.
    pub(super) fn new(states: impl IntoIterator<Item = ProducerState>) -> Self {
        let entries =
            states.into_iter().map(|state| (state.id.clone(), Entry { state, pending: None }));
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
        let last = entry.map_or(0, |entry| entry.state.number);
        if producer.number == last + 1 {
            return Ok(Verdict::New);
        }
        match entry {
            Some(entry) if producer.number == last => Ok(match &entry.pending {
                Some(cell) => Verdict::Pending(Arc::clone(cell)),
                None => Verdict::Applied(entry.state.clone()),
            }),
            Some(entry) if producer.number < last => {
                Ok(Verdict::Applied(ProducerState { row_count: 0, ..entry.state.clone() }))
            }
            _ => Err(Error::SequenceGap {
                producer: producer.id.clone(),
                expected: last + 1,
                found: producer.number,
            }),
        }
    }

    /// Counts a number that is in the queue.
    pub(super) fn enqueue(&mut self, producer: &Producer, cell: &Arc<Cell>) {
        let before = self.known.get(&producer.id).map(|entry| entry.state.clone());
        let state = before.unwrap_or(ProducerState {
            id: producer.id.clone(),
            number: 0,
            sequence: Sequence::ZERO,
            row_count: 0,
            time_ns: 0,
        });
        let state = ProducerState { number: producer.number, ..state };
        self.known.insert(producer.id.clone(), Entry { state, pending: Some(Arc::clone(cell)) });
    }

    /// The number is committed.
    pub(super) fn commit(&mut self, state: ProducerState) {
        match self.known.get_mut(&state.id) {
            Some(entry) if entry.state.number > state.number => {}
            Some(entry) => *entry = Entry { state, pending: None },
            None => {
                self.known.insert(state.id.clone(), Entry { state, pending: None });
            }
        }
        if self.known.len() > PRODUCER_COUNT_MAX {
            let idle = self.known.values().filter(|entry| entry.pending.is_none());
            let oldest =
                idle.min_by_key(|entry| entry.state.sequence).map(|one| one.state.id.clone());
            if let Some(id) = oldest {
                self.known.remove(&id);
            }
        }
    }

    /// Forgets what was queued: nothing of it was written.
    pub(super) fn forget_pending(&mut self, committed: &[ProducerState]) {
        let queued: Vec<String> = self
            .known
            .iter()
            .filter(|(_, entry)| entry.pending.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for id in queued {
            match committed.iter().find(|state| state.id == id) {
                Some(state) => {
                    self.known.insert(id, Entry { state: state.clone(), pending: None });
                }
                None => {
                    self.known.remove(&id);
                }
            }
        }
    }
}
