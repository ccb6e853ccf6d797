//! What all services share: the database once it is open, the threads for it, limits, and what is known to be wrong.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chronolith_engine::{Db, Error, ErrorKind};
use tokio::sync::Semaphore;
use tonic::Status;

use crate::blocking::Pool;
use crate::config::{Config, Limits};
use crate::shutdown::Shutdown;
use crate::sql::Sql;
use crate::status;

/// Handed to every service.
pub(crate) struct Shared {
    db: OnceLock<Db>,
    sql: OnceLock<Arc<Sql>>,
    /// For writes and changes.
    pub(crate) writes: Pool,
    /// For reads.
    pub(crate) reads: Pool,
    /// A permit a query.
    pub(crate) queries: Arc<Semaphore>,
    pub(crate) limits: Limits,
    pub(crate) shutdown: Shutdown,
    pub(crate) dir: PathBuf,
    damage: Mutex<Option<String>>,
}

impl Shared {
    pub(crate) fn new(config: &Config, shutdown: Shutdown) -> Self {
        let limits = config.limits;
        Self {
            db: OnceLock::new(),
            sql: OnceLock::new(),
            writes: Pool::new(limits.write_thread_count),
            reads: Pool::new(limits.read_thread_count),
            queries: Arc::new(Semaphore::new(limits.query_count)),
            limits,
            shutdown,
            dir: config.data.clone(),
            damage: Mutex::new(None),
        }
    }

    /// Says that the database is open, and what runs SQL on it.
    pub(crate) fn opened(&self, db: Db, sql: Sql) {
        let _ = self.sql.set(Arc::new(sql));
        // It is opened once.
        let _ = self.db.set(db);
    }

    /// The database, where it is open.
    pub(crate) fn open_db(&self) -> Option<&Db> {
        self.db.get()
    }

    /// The database.
    ///
    /// # Errors
    /// `UNAVAILABLE` before it is open.
    pub(crate) fn db(&self) -> Result<Db, Status> {
        self.db.get().cloned().ok_or_else(status::closing)
    }

    /// What runs SQL.
    ///
    /// # Errors
    /// `UNAVAILABLE` before the database is open.
    pub(crate) fn sql(&self) -> Result<Arc<Sql>, Status> {
        self.sql.get().cloned().ok_or_else(status::closing)
    }

    /// The status of an engine's error; damage is remembered for `/health`.
    pub(crate) fn status(&self, error: &Error) -> Status {
        if error.kind() == ErrorKind::Corrupt {
            self.note_damage(error.to_string());
        }
        status::of(error)
    }

    /// Remembers the first damage.
    pub(crate) fn note_damage(&self, what: String) {
        tracing::error!(damage = %what, "bytes on disk are not what was written");
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }

    /// The first damage that was seen.
    pub(crate) fn damage(&self) -> Option<String> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
