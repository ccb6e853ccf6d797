//! The ledger of a workload: what was asked for, in commit order, with the states after it, and how much of it must survive.

use std::collections::HashSet;
use std::sync::Arc;

use chronolith_engine::model::Sequence;

use crate::check::Outcome;
use crate::model::{Change, Model};
use crate::world::START_NS;

/// One thing that was asked for.
#[derive(Debug, Clone)]
pub struct Entry {
    /// A number of its own.
    pub id: u64,
    /// What.
    pub change: Arc<Change>,
    /// Whether it must survive a power cut once acknowledged.
    pub fsync: bool,
    /// Its sequence, once told.
    pub sequence: Option<Sequence>,
    /// Bounds of what the clock showed while it may have been committed, both inclusive.
    pub clock_ns: (i64, i64),
}

/// What was asked for in commit order, with the states after it: commit `n` is entry `n - 1` and gives state `n`.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// What was asked for.
    pub entries: Arc<Vec<Entry>>,
    /// The states, the empty one first.
    pub states: Arc<Vec<Arc<Model>>>,
    /// Commits that must survive a power cut.
    pub durable: usize,
    /// Commits that must survive the end of the process.
    pub acknowledged: usize,
    /// Every sequence that was ever told, those of lost commits included.
    pub given: Arc<HashSet<Sequence>>,
    /// What the clock shows.
    now_ns: i64,
    next_id: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            entries: Arc::default(),
            states: Arc::new(vec![Arc::default()]),
            durable: 0,
            acknowledged: 0,
            given: Arc::default(),
            now_ns: START_NS,
            next_id: 0,
        }
    }
}

impl Ledger {
    /// The state after everything.
    #[must_use]
    pub fn last(&self) -> &Arc<Model> {
        &self.states[self.entries.len()]
    }

    /// Adds what is asked for next.
    pub fn ask(&mut self, change: &Change, fsync: bool) -> u64 {
        let next = Arc::new(self.last().after(change));
        let id = self.next_id;
        self.next_id += 1;
        let clock_ns = (self.now_ns, self.now_ns);
        let entry = Entry { id, change: Arc::new(change.clone()), fsync, sequence: None, clock_ns };
        Arc::make_mut(&mut self.entries).push(entry);
        Arc::make_mut(&mut self.states).push(next);
        id
    }

    /// The clock shows something else.
    pub fn clock(&mut self, now_ns: i64) {
        self.now_ns = now_ns;
        let open = |entry: &&mut Entry| entry.sequence.is_none();
        for entry in Arc::make_mut(&mut self.entries).iter_mut().filter(open) {
            entry.clock_ns = (entry.clock_ns.0.min(now_ns), entry.clock_ns.1.max(now_ns));
        }
    }

    /// What the clock shows.
    #[must_use]
    pub fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// Takes back what failed.
    pub fn take_back(&mut self, id: u64) {
        Arc::make_mut(&mut self.entries).retain(|entry| entry.id != id);
        let mut states = vec![Arc::<Model>::default()];
        for entry in self.entries.iter() {
            let next = states[states.len() - 1].after(&entry.change);
            states.push(Arc::new(next));
        }
        self.states = Arc::new(states);
    }

    /// Notes an acknowledgement.
    ///
    /// # Errors
    /// Where the sequence is not the next one or was given before.
    pub fn acknowledge(&mut self, id: u64, sequence: Sequence, durable: Sequence) -> Outcome {
        let at = self.entries.iter().position(|entry| entry.id == id).expect("it was asked for");
        if sequence.counter != at as u64 + 1 {
            return Err(format!("commit {} got sequence {sequence}", at + 1));
        }
        if !Arc::make_mut(&mut self.given).insert(sequence) {
            return Err(format!("sequence {sequence} was given twice"));
        }
        let entry = &mut Arc::make_mut(&mut self.entries)[at];
        entry.sequence = Some(sequence);
        if entry.fsync && durable < sequence {
            return Err(format!("{sequence} was acknowledged, durable is {durable} only"));
        }
        self.acknowledged = self.acknowledged.max(at + 1);
        if entry.fsync {
            self.durable = self.durable.max(at + 1);
        }
        self.durable = self.durable.max(durable.counter as usize);
        Ok(())
    }

    /// Keeps the first `count` commits, which the disk holds for good now.
    pub fn cut(&mut self, count: usize) {
        Arc::make_mut(&mut self.entries).truncate(count);
        Arc::make_mut(&mut self.states).truncate(count + 1);
        (self.durable, self.acknowledged) = (count, count);
    }
}
