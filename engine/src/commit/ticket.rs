//! A submitted batch's receipt. Dropping it cancels nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::pipeline::Pipeline;
use super::prepare::RefusedRow;
use crate::error::{Error, Result};
use crate::model::Sequence;

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOutcome {
    /// The batch's place in commit order.
    pub sequence: Sequence,
    /// Everything up to here, inclusive, survives a power cut.
    pub durable_sequence: Sequence,
    /// Rows committed.
    pub row_count: u64,
    /// Rows refused, where the batch allowed that.
    pub refused: Vec<RefusedRow>,
    /// Whether the producer's number had been applied before; nothing was written then.
    pub already_applied: bool,
}

/// Why a whole group of batches failed: an error that can be told to each of them.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// Nothing was written; the error's parts, to be told to each.
    Io { op: &'static str, path: std::path::PathBuf, kind: std::io::ErrorKind, text: String },
    /// Nothing was written: the disk is full.
    DiskFull { path: std::path::PathBuf, free_bytes: u64, what: String },
    /// Nothing was written, for another reason.
    Refused(String),
    /// It may be found after reopening.
    Unknown(String),
    /// The log is poisoned; nothing was written.
    Poisoned(String),
}

impl Failure {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Io { op, path, source } => {
                Self::Io { op, path: path.clone(), kind: source.kind(), text: source.to_string() }
            }
            Error::DiskFull { path, free_bytes, what } => {
                Self::DiskFull { path: path.clone(), free_bytes: *free_bytes, what: what.clone() }
            }
            Error::Poisoned { cause } => Self::Poisoned(cause.clone()),
            other => Self::Refused(other.to_string()),
        }
    }

    fn error(&self) -> Error {
        match self {
            Self::Io { op, path, kind, text } => {
                Error::io(op, path, std::io::Error::new(*kind, text.clone()))
            }
            Self::DiskFull { path, free_bytes, what } => {
                Error::DiskFull { path: path.clone(), free_bytes: *free_bytes, what: what.clone() }
            }
            Self::Refused(text) => Error::Internal(text.clone()),
            Self::Unknown(cause) => Error::OutcomeUnknown { cause: cause.clone() },
            Self::Poisoned(cause) => Error::Poisoned { cause: cause.clone() },
        }
    }
}

/// What the pipeline tells of one batch.
pub(super) type Told = std::result::Result<WriteOutcome, Failure>;
/// Is called once, and wakes somebody.
pub(super) type Listener = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Cell {
    inner: Mutex<CellInner>,
}

#[derive(Default)]
struct CellInner {
    told: Option<Told>,
    listeners: Vec<Listener>,
}

impl Cell {
    pub(super) fn tell(&self, told: Told) {
        let listeners = {
            let mut inner = self.inner.lock();
            inner.told = Some(told);
            std::mem::take(&mut inner.listeners)
        };
        for listener in listeners {
            listener();
        }
    }

    pub(super) fn told(&self) -> Option<Told> {
        self.inner.lock().told.clone()
    }

    /// Calls `listener` when the batch is done, at once if it is.
    fn listen(&self, listener: Listener) {
        let mut inner = self.inner.lock();
        if inner.told.is_none() {
            inner.listeners.push(listener);
            return;
        }
        drop(inner);
        listener();
    }
}

/// The duty to tell a cell. Where it is dropped untold (the commit panicked) the waiters learn that the outcome is unknown.
pub(super) struct Duty(pub(super) Arc<Cell>);

impl Drop for Duty {
    fn drop(&mut self) {
        if self.0.told().is_none() {
            self.0.tell(Err(Failure::Unknown("its commit ended early, by a bug".into())));
        }
    }
}

/// The receipt of a submitted batch. Wait for it with [`Ticket::wait`], or as a future, in any runtime: the commit job then sees to the
/// batch at once.
pub struct Ticket {
    pub(super) cell: Arc<Cell>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) repeats: bool,
    /// Who is woken when the batch is done, once the ticket was polled as a future.
    pub(super) waker: Option<Arc<Mutex<Option<Waker>>>>,
}

impl Ticket {
    /// The outcome, if there is one yet.
    #[must_use]
    pub fn poll(&self) -> Option<Result<WriteOutcome>> {
        self.cell.told().map(|told| self.outcome(told))
    }

    /// Waits for the outcome. The waiter may write and sync the group itself.
    ///
    /// # Errors
    /// `Io`: nothing of the batch was kept, a retry is safe. `OutcomeUnknown` after a failed sync. `Poisoned`.
    pub fn wait(self) -> Result<WriteOutcome> {
        let told = self.pipeline.wait_for(&self.cell);
        self.outcome(told)
    }

    /// Calls `listener` when [`Self::poll`] has the outcome, and asks the commit job to see to it at once.
    pub fn on_done(&self, listener: impl FnOnce() + Send + 'static) {
        self.cell.listen(Box::new(listener));
        self.pipeline.hurry();
    }

    fn outcome(&self, told: Told) -> Result<WriteOutcome> {
        let outcome = told.map_err(|failure| failure.error())?;
        Ok(WriteOutcome { already_applied: outcome.already_applied || self.repeats, ..outcome })
    }
}

impl Future for Ticket {
    type Output = Result<WriteOutcome>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = Some(context.waker().clone());
        if let Some(slot) = &self.waker {
            *slot.lock() = waker;
        } else {
            let slot = Arc::new(Mutex::new(waker));
            self.waker = Some(Arc::clone(&slot));
            self.on_done(move || {
                let waker = slot.lock().take();
                waker.into_iter().for_each(Waker::wake);
            });
        }
        // After the waker is in place, or a batch that is done in between would wake nobody.
        self.cell.told().map_or(Poll::Pending, |told| Poll::Ready(self.outcome(told)))
    }
}
