//! What ends a statement before its end: its deadline, or a cancel. A trip is seen by scans before each batch, by loops that ask, and by
//! whoever awaits the answer at once.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::{Result, SqlError, SqlErrorKind};

const RUNNING: u8 = 0;
const CANCELLED: u8 = 1;
const LATE: u8 = 2;

/// The switch of one running statement.
#[derive(Debug, Default)]
pub struct Control {
    state: AtomicU8,
    tripped: Notify,
    deadline_ns: Option<u64>,
}

impl Control {
    /// A switch that nobody has tripped. `deadline_ns`: how long the statement may run, for its message.
    #[must_use]
    pub fn new(deadline_ns: Option<u64>) -> Arc<Self> {
        Arc::new(Self { deadline_ns, ..Self::default() })
    }

    /// Ends the statement as cancelled.
    pub fn cancel(&self) {
        self.trip(CANCELLED);
    }

    /// Ends the statement as late.
    pub(crate) fn expire(&self) {
        self.trip(LATE);
    }

    fn trip(&self, state: u8) {
        // The first trip names the reason.
        let _ = self.state.compare_exchange(RUNNING, state, Ordering::AcqRel, Ordering::Acquire);
        self.tripped.notify_waiters();
    }

    /// The error of a statement that was ended.
    ///
    /// # Errors
    /// `Cancelled` or `Deadline`.
    pub fn check(&self) -> Result<()> {
        match self.state.load(Ordering::Acquire) {
            RUNNING => Ok(()),
            CANCELLED => Err(SqlError::new(SqlErrorKind::Cancelled, "the query was cancelled")),
            _ => Err(SqlError::new(SqlErrorKind::Deadline, self.late())),
        }
    }

    fn late(&self) -> String {
        let limit_ms = self.deadline_ns.unwrap_or_default() / 1_000_000;
        format!("the query ran longer than its deadline of {limit_ms} ms")
    }

    /// Waits until the statement is ended, and gives the error.
    pub async fn ended(&self) -> SqlError {
        loop {
            let tripped = self.tripped.notified();
            tokio::pin!(tripped);
            // Registered before looking, or a trip in between is lost.
            tripped.as_mut().enable();
            if let Err(error) = self.check() {
                return error;
            }
            tripped.await;
        }
    }
}

/// Cancels what a session runs; usable from any thread, also while the session waits.
#[derive(Debug, Clone, Default)]
pub struct CancelHandle {
    running: Arc<Mutex<Vec<Weak<Control>>>>,
}

impl CancelHandle {
    /// Ends every statement that runs now, those included whose answer is still being read. Later statements are not touched.
    pub fn cancel(&self) {
        for control in self.running.lock().drain(..) {
            if let Some(control) = control.upgrade() {
                control.cancel();
            }
        }
    }

    pub(crate) fn watch(&self, control: &Arc<Control>) {
        let mut running = self.running.lock();
        running.retain(|one| one.strong_count() > 0);
        running.push(Arc::downgrade(control));
    }
}
