//! Who follows the log: is given every durable commit once, in order, and nothing that a power cut could take back.

use std::sync::Arc;

use chronolith_engine::Db;
use chronolith_engine::db::{Committed, Tail};
use chronolith_engine::error::Error;
use parking_lot::Mutex;

use crate::check::Outcome;
use crate::ledger::Ledger;
use crate::model::Change;
use crate::ops::is_import;

/// Bytes of records that are asked for at once.
const BATCH_BYTES: usize = 700;

/// Follows the log of one opening.
#[derive(Default)]
pub struct Follower {
    tail: Option<Tail>,
}

impl Follower {
    /// The database is closed.
    pub fn stop(&mut self) {
        self.tail = None;
    }

    /// Takes what is new and compares it. What was given must survive a power cut from now on. With `fails` I/O may be refused.
    ///
    /// # Errors
    /// What does not fit the ledger.
    pub fn follow(&mut self, db: &Db, ledger: &Mutex<Ledger>, fails: bool) -> Outcome {
        let excused = |error: &Error| {
            fails && matches!(error, Error::Io { .. } | Error::Poisoned { .. } | Error::Corrupt(_))
        };
        if self.tail.is_none() {
            match db.tail(db.snapshot().durable_sequence()) {
                Ok(tail) => self.tail = Some(tail),
                Err(error) if excused(&error) => return Ok(()),
                Err(error) => return Err(format!("tail: {error}")),
            }
        }
        let Some(tail) = &mut self.tail else { return Ok(()) };
        loop {
            let last = tail.last();
            match tail.next_batch(BATCH_BYTES) {
                Ok(None) => return Ok(()),
                Ok(Some(batch)) => {
                    let durable = db.snapshot().durable_sequence();
                    for (committed, counter) in batch.iter().zip(last.counter + 1..) {
                        if committed.sequence.counter != counter || committed.sequence > durable {
                            let found = committed.sequence;
                            return Err(format!("tail: {found} after {last}, durable {durable}"));
                        }
                        compare(committed, &ledger.lock())?;
                    }
                    let given = tail.last().counter as usize;
                    let mut ledger = ledger.lock();
                    ledger.durable = ledger.durable.max(given);
                }
                // A flush let go of what comes next.
                Err(Error::LogTruncated { .. }) => {
                    self.tail = None;
                    return Ok(());
                }
                Err(error) if excused(&error) => {
                    self.tail = None;
                    return Ok(());
                }
                Err(error) => return Err(format!("tail after {last}: {error}")),
            }
        }
    }
}

fn compare(committed: &Committed, ledger: &Ledger) -> Outcome {
    let sequence = committed.sequence;
    let Some(entry) = ledger.entries.get(sequence.counter as usize - 1) else {
        return Err(format!("tail: {sequence} was never asked for"));
    };
    let record = &committed.record;
    let mut found: Vec<i64> = record.rows.iter().flat_map(|rows| rows.time.clone()).collect();
    let mut expected: Vec<i64> = Vec::new();
    let mut named = None;
    if let Change::Write { tables, producer } = entry.change.as_ref() {
        expected.extend(tables.iter().flat_map(|write| &write.rows).map(|row| row.time));
        named = producer.clone();
        // The row that notes how far the import is.
        expected.extend(producer.iter().filter(|(id, _)| is_import(id)).map(|_| 0));
    }
    found.sort_unstable();
    expected.sort_unstable();
    let deletions = usize::from(matches!(entry.change.as_ref(), Change::Delete { .. }));
    let producer = record.producer.as_ref().map(|one| (one.id.clone(), one.number));
    if found != expected || record.deletions.len() != deletions || producer != named {
        let change = Arc::clone(&entry.change);
        return Err(format!("tail: {sequence} is {record:?}, expected {change:?}"));
    }
    Ok(())
}
