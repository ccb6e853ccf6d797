//! Opens the database that a command names.

use std::path::{Path, PathBuf};

use chronolith_engine::{Db, Error, Options};
use clap::Args;

use super::{CtlError, CtlResult, remark};
use crate::config::{MEMORY_BYTES_MIN, parse_bytes};

/// Which database.
#[derive(Debug, Clone, Args)]
pub(super) struct DataArg {
    /// The database's directory
    #[arg(long, env = "CHRONOLITH_DATA", value_name = "DIR")]
    pub(super) data: PathBuf,

    /// Memory that the database may use: bytes, or with KiB, MiB, GiB. A quarter of the machine's by default
    #[arg(long, env = "CHRONOLITH_MEMORY", value_name = "SIZE", value_parser = parse_size)]
    pub(super) memory: Option<usize>,
}

impl DataArg {
    /// The database in `data`, with the default memory.
    pub(super) fn at(data: &Path) -> Self {
        Self { data: data.to_path_buf(), memory: None }
    }

    /// How the database is opened.
    pub(super) fn options(&self) -> Options {
        Options { memory_bytes: self.memory, ..Options::new(&self.data) }
    }

    /// Refuses a directory in which nothing is.
    ///
    /// # Errors
    /// `NotFound`; `NotADatabase` for a file.
    pub(super) fn require(&self) -> CtlResult<()> {
        require(&self.data)
    }
}

/// Reads a size of memory.
///
/// # Errors
/// A message for clap.
pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    let bytes = parse_bytes(text)?;
    if bytes < MEMORY_BYTES_MIN {
        return Err(format!("less than the {} MiB that a database needs", MEMORY_BYTES_MIN >> 20));
    }
    Ok(bytes)
}

/// Whether anything is at `dir`; an empty directory counts as nothing.
pub(super) fn is_there(dir: &Path) -> bool {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

fn require(dir: &Path) -> CtlResult<()> {
    if dir.is_file() {
        let detail = "it is a file, not a directory".to_owned();
        return Err(Error::NotADatabase { path: dir.to_path_buf(), detail }.into());
    }
    if is_there(dir) {
        return Ok(());
    }
    Err(CtlError::NotFound(format!(
        "there is no database at {}; `chronolith import`, `chronolith create` and a statement that writes make one",
        dir.display()
    )))
}

/// Opens for reading, beside other readers.
///
/// # Errors
/// `NotFound` where nothing is; the engine's.
pub(super) fn for_reading(data: &DataArg) -> CtlResult<Db> {
    require(&data.data)?;
    let db = Db::open_read_only(data.options().existing()).map_err(held)?;
    if let Some(damage) = &db.recovery().damage {
        remark(&format!(
            "warning: the log is damaged, rows behind the damage are not seen: {damage}"
        ));
    }
    Ok(db)
}

/// Opens for writing a database that must exist.
///
/// # Errors
/// `NotFound` where nothing is; the engine's.
pub(super) fn for_writing(data: &DataArg) -> CtlResult<Db> {
    require(&data.data)?;
    let db = Db::open(data.options().existing()).map_err(held)?;
    tell_recovery(&db);
    Ok(db)
}

/// Opens for writing, making the database where there is none.
///
/// # Errors
/// The engine's.
pub(super) fn or_create(data: &DataArg) -> CtlResult<Db> {
    let db = Db::open(data.options()).map_err(held)?;
    tell_recovery(&db);
    Ok(db)
}

/// Of a database that another process holds: that it can be asked.
pub(super) fn held(error: Error) -> CtlError {
    match error {
        Error::Locked { .. } => CtlError::Conflict(format!(
            "{error}: where that is a server, say --url URL instead of --data"
        )),
        other => other.into(),
    }
}

fn tell_recovery(db: &Db) {
    if let Some((path, offset, bytes, detail)) = &db.recovery().torn_tail {
        remark(&format!(
            "note: {bytes} bytes at the end of {} were never acknowledged and are cut (byte {offset}: {detail})",
            path.display()
        ));
    }
}
