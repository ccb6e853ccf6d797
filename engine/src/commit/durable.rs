//! What is durable: syncs, the witness of an idle log, and who waits for it.

use std::sync::atomic::Ordering;

use super::pipeline::Pipeline;
use super::tail::LogPlace;
use super::ticket::Listener;
use crate::error::{Error, Result};
use crate::executor::JobStatus;
use crate::model::Sequence;
use crate::planted::{Bug, is_on};
use crate::vfs::Vfs;
use crate::wal::AheadError;

/// Milliseconds without a group after which the log counts as idle.
const IDLE_MS: u64 = 20;

impl Pipeline {
    /// Makes the log durable and publishes that.
    ///
    /// # Errors
    /// `Poisoned` when it fails, or had failed before.
    pub fn sync(&self) -> Result<Sequence> {
        self.check_poison()?;
        let mut log = self.log.lock();
        if let Err(error) = log.sync() {
            drop(log);
            self.poison(&format!("the log could not be synced: {error}"));
            self.check_poison()?;
        } else {
            // Whatever is in the log by now was published, or will be by its leader, which holds this lock until it is.
            let last = log.last();
            drop(log);
            self.state.publish(Sequence::ZERO, last.min(self.state.inserted()));
            self.changed.notify();
            self.tell_durable();
        }
        Ok(self.state.snapshot().durable_sequence())
    }

    pub(super) fn check_poison(&self) -> Result<()> {
        self.poisoned().map_or(Ok(()), |cause| Err(Error::Poisoned { cause }))
    }

    /// One step of the commit job: tickets that nobody awaits, then durability and its witness once the log is idle.
    pub fn work(&self) -> JobStatus {
        if self.lead() {
            return JobStatus::More;
        }
        if self.poisoned().is_some() {
            return JobStatus::Idle;
        }
        let groups = self.group_count.load(Ordering::Relaxed);
        if self.groups_seen.swap(groups, Ordering::Relaxed) != groups {
            return JobStatus::After { ms: IDLE_MS };
        }
        self.armed.store(false, Ordering::Release);
        let Some(mut log) = self.log.try_lock() else { return JobStatus::After { ms: 1 } };
        if !log.is_durable() {
            drop(log);
            let _ = self.sync();
            return JobStatus::More;
        }
        // A flush may have synced the log before the group's own leader published it.
        self.state.publish(Sequence::ZERO, log.last().min(self.state.inserted()));
        let witnessed = if log.wants_witness() { log.witness() } else { Ok(()) };
        drop(log);
        self.changed.notify();
        self.tell_durable();
        if let Err((error, from_sync)) = witnessed {
            tracing::warn!(%error, "no witness could be written");
            if from_sync {
                self.poison(&format!("the log could not be synced: {error}"));
            }
        }
        JobStatus::Idle
    }

    /// One step of the job that writes zeros ahead of the log's groups.
    pub fn prepare_log(&self, vfs: &dyn Vfs) -> JobStatus {
        if self.check_open().is_err() {
            return JobStatus::Idle;
        }
        let Some(ahead) = self.log.lock().ahead().cloned() else { return JobStatus::Idle };
        // Without the log's lock: groups go on meanwhile.
        match ahead.prepare(vfs) {
            Ok(true) => JobStatus::More,
            Ok(false) => JobStatus::Idle,
            Err(AheadError::Write(error)) => {
                tracing::warn!(%error, "no zeros could be written ahead of the log");
                JobStatus::Idle
            }
            Err(AheadError::Sync(error)) => {
                self.poison(&format!("the log could not be synced: {error}"));
                JobStatus::Idle
            }
        }
    }

    /// Everything up to here is committed, seen by readers, and durable.
    pub(super) fn durable_end(&self) -> Sequence {
        let snapshot = self.state.snapshot();
        if is_on(Bug::TailPastDurable) {
            return snapshot.sequence();
        }
        snapshot.sequence().min(snapshot.durable_sequence())
    }

    /// The files of the log, oldest first, and the last sequence that was given.
    pub(super) fn log_places(&self) -> (Vec<LogPlace>, Sequence) {
        let log = self.log.lock();
        (log.places(), log.last())
    }

    /// Whether no write is taken and no tail goes on.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn has_more(&self, after: Sequence) -> bool {
        self.durable_end().counter > after.counter || self.check_open().is_err()
    }

    /// Calls `listener` once when something after `after` is durable, or never will be; at once where that is so.
    pub fn on_durable(&self, after: Sequence, listener: Listener) {
        self.durable_listeners.lock().push((after, listener));
        // After it is in the list: what became durable in between is seen here.
        self.tell_durable();
    }

    /// Waits until something after `after` is durable, or never will be. Returns whether it is so.
    pub(super) fn wait_for_more(&self, after: Sequence, timeout_ms: Option<u64>) -> bool {
        self.executor.wait_until(&self.changed, timeout_ms, &mut || self.has_more(after))
    }

    /// Tells those who wait for something durable. Not to be called with the log's lock held: they may ask for the log.
    pub(super) fn tell_durable(&self) {
        let due: Vec<Listener> = {
            let mut listeners = self.durable_listeners.lock();
            if listeners.is_empty() {
                return;
            }
            let (due, rest) = std::mem::take(&mut *listeners)
                .into_iter()
                .partition::<Vec<_>, _>(|(after, _)| self.has_more(*after));
            *listeners = rest;
            due.into_iter().map(|(_, listener)| listener).collect()
        };
        due.into_iter().for_each(|listener| listener());
    }

    /// Lets nobody follow the log any more, without touching it.
    pub fn end(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.notify();
        self.tell_durable();
    }
}
