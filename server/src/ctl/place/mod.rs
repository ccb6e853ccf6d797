//! Where a command's database is: in a directory that this process opens, or behind a server. Commands ask a [`Place`]
//! and do not know which.

mod messages;
mod moment;
mod remote;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronolith_client::v1;
use chronolith_engine::db::{CompactReport, DeleteOutcome, Stats, VerifyReport, WriteOutcome};
use chronolith_engine::model::{
    Batch, FieldDef, ImportProgress, Predicate, TableOptions, TableRows, TableSchema, TimeRange,
};
use chronolith_engine::read::{AggregateBatch, AggregateRequest, ScanBatch, ScanRequest};
use chronolith_engine::{Db, Error};
use clap::Args;

pub(super) use self::moment::Moment;
pub(super) use self::remote::Remote;
use super::open::{self, DataArg, parse_size};
use super::{CtlError, CtlResult};

/// Which database: --data or --url, else CHRONOLITH_DATA or CHRONOLITH_URL.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct PlaceArg {
    /// The database's directory [env: CHRONOLITH_DATA=]
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    data: Option<PathBuf>,

    /// The server that has the database, such as http://127.0.0.1:7401 [env: CHRONOLITH_URL=]
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// With --data, memory that the database may use: bytes, or with KiB, MiB, GiB. A quarter of the machine's by
    /// default
    #[arg(long, env = "CHRONOLITH_MEMORY", value_name = "SIZE", value_parser = parse_size)]
    memory: Option<usize>,
}

/// A directory or a server.
pub(super) enum Target {
    Directory(DataArg),
    Server(String),
}

impl PlaceArg {
    /// The database in `dir`.
    pub(super) fn at(dir: &Path) -> Self {
        Self { data: Some(dir.to_path_buf()), ..Self::default() }
    }

    /// What was asked for.
    ///
    /// # Errors
    /// `Invalid` where nothing is said, or both.
    pub(super) fn target(&self) -> CtlResult<Target> {
        let directory = |data: PathBuf| Target::Directory(DataArg { data, memory: self.memory });
        if let Some(data) = &self.data {
            return Ok(directory(data.clone()));
        }
        if let Some(url) = &self.url {
            return Ok(Target::Server(url.clone()));
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (variable("CHRONOLITH_DATA"), variable("CHRONOLITH_URL")) {
            (Some(data), None) => Ok(directory(data.into())),
            (None, Some(url)) => Ok(Target::Server(url)),
            (Some(_), Some(_)) => Err(CtlError::Invalid(
                "CHRONOLITH_DATA and CHRONOLITH_URL are both set: say --data DIR or --url URL"
                    .to_owned(),
            )),
            (None, None) => Err(CtlError::Invalid(
                "which database? --data DIR, --url URL, or CHRONOLITH_DATA or CHRONOLITH_URL"
                    .to_owned(),
            )),
        }
    }

    /// Whether there is a database already.
    ///
    /// # Errors
    /// As [`Self::target`].
    pub(super) fn is_there(&self) -> CtlResult<bool> {
        Ok(match self.target()? {
            Target::Directory(data) => open::is_there(&data.data),
            Target::Server(_) => true,
        })
    }
}

/// A database.
pub(super) enum Place {
    /// This process has it open.
    Here(Db),
    /// A server has it.
    Server(Remote),
}

/// Rows of one table as a message, for whoever speaks with a server itself.
pub(super) fn rows_message(rows: TableRows) -> v1::TableRows {
    messages::table_rows(rows)
}

/// Batches as they come.
pub(super) type Batches<T> = Box<dyn Iterator<Item = CtlResult<T>>>;

/// A running scan.
pub(super) struct Scanned {
    /// The fields that are given.
    pub(super) fields: Arc<[FieldDef]>,
    /// The rows.
    pub(super) batches: Batches<ScanBatch>,
}

/// Opens for reading.
///
/// # Errors
/// `NotFound` where nothing is; the engine's; the client's.
pub(super) fn for_reading(place: &PlaceArg) -> CtlResult<Place> {
    match place.target()? {
        Target::Directory(data) => open::for_reading(&data).map(Place::Here),
        Target::Server(url) => Remote::connect(&url).map(Place::Server),
    }
}

/// Opens for reading and lets `read` show what is there. Where the log is damaged in the middle, that is not everything,
/// and the command fails once it is shown.
///
/// # Errors
/// As [`for_reading`]; those of `read`; `Incomplete`.
pub(super) fn read(place: &PlaceArg, read: impl FnOnce(&Place) -> CtlResult<()>) -> CtlResult<()> {
    let place = for_reading(place)?;
    read(&place)?;
    match &place {
        Place::Here(db) if db.recovery().damage.is_some() => Err(CtlError::Incomplete),
        _ => Ok(()),
    }
}

/// Opens for writing a database that must exist.
///
/// # Errors
/// `NotFound` where nothing is; the engine's; the client's.
pub(super) fn for_writing(place: &PlaceArg) -> CtlResult<Place> {
    match place.target()? {
        Target::Directory(data) => open::for_writing(&data).map(Place::Here),
        Target::Server(url) => Remote::connect(&url).map(Place::Server),
    }
}

/// Opens for writing, making the database where there is none.
///
/// # Errors
/// The engine's; the client's.
pub(super) fn or_create(place: &PlaceArg) -> CtlResult<Place> {
    match place.target()? {
        Target::Directory(data) => open::or_create(&data).map(Place::Here),
        Target::Server(url) => Remote::connect(&url).map(Place::Server),
    }
}

impl Place {
    /// The table `name`.
    ///
    /// # Errors
    /// `UnknownTable` and the like.
    pub(super) fn table_schema(&self, name: &str) -> CtlResult<Arc<TableSchema>> {
        match self {
            Self::Here(db) => Ok(db.table_schema(name)?),
            Self::Server(remote) => remote.table_schema(name),
        }
    }

    /// The table `name`, if there is one.
    ///
    /// # Errors
    /// The client's.
    pub(super) fn find_table(&self, name: &str) -> CtlResult<Option<Arc<TableSchema>>> {
        match self.table_schema(name) {
            Ok(schema) => Ok(Some(schema)),
            Err(CtlError::Engine(Error::UnknownTable { .. })) => Ok(None),
            Err(CtlError::Client(error)) if error.reason() == "unknown_table" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every table that users made, by name.
    ///
    /// # Errors
    /// The client's.
    pub(super) fn tables(&self) -> CtlResult<Vec<Arc<TableSchema>>> {
        match self {
            Self::Here(db) => {
                let names = db.table_names();
                names.iter().map(|name| Ok(db.table_schema(name)?)).collect()
            }
            Self::Server(remote) => remote.tables(),
        }
    }

    /// Figures.
    ///
    /// # Errors
    /// The client's.
    pub(super) fn stats(&self) -> CtlResult<Stats> {
        match self {
            Self::Here(db) => Ok(db.stats()),
            Self::Server(remote) => remote.stats(),
        }
    }

    /// Rows.
    ///
    /// # Errors
    /// Those of reads.
    pub(super) fn scan(
        &self,
        schema: &Arc<TableSchema>,
        request: &ScanRequest,
    ) -> CtlResult<Scanned> {
        match self {
            Self::Here(db) => {
                let scan = db.scan(request)?;
                let fields = Arc::clone(scan.fields());
                Ok(Scanned { fields, batches: Box::new(scan.map(|batch| Ok(batch?))) })
            }
            Self::Server(remote) => remote.scan(schema, request),
        }
    }

    /// The last row of each series.
    ///
    /// # Errors
    /// Those of reads.
    pub(super) fn latest(
        &self,
        schema: &Arc<TableSchema>,
        request: &ScanRequest,
    ) -> CtlResult<Scanned> {
        match self {
            Self::Here(db) => {
                let last = db.latest(request)?;
                let fields = Arc::clone(&last.fields);
                Ok(Scanned { fields, batches: Box::new(std::iter::once(Ok(last))) })
            }
            Self::Server(remote) => remote.latest(schema, request),
        }
    }

    /// Aggregates.
    ///
    /// # Errors
    /// Those of reads.
    pub(super) fn aggregate(
        &self,
        schema: &Arc<TableSchema>,
        request: &AggregateRequest,
    ) -> CtlResult<Batches<AggregateBatch>> {
        match self {
            Self::Here(db) => Ok(Box::new(db.aggregate(request)?.map(|batch| Ok(batch?)))),
            Self::Server(remote) => remote.aggregate(schema, request),
        }
    }

    /// Creates a table.
    ///
    /// # Errors
    /// The engine's; the client's.
    pub(super) fn create_table(&self, name: &str, options: TableOptions) -> CtlResult<()> {
        match self {
            Self::Here(db) => Ok(db.create_table(name, options).map(|_| ())?),
            Self::Server(remote) => remote.create_table(name, &options),
        }
    }

    /// Drops a table.
    ///
    /// # Errors
    /// The engine's; the client's.
    pub(super) fn drop_table(&self, name: &str) -> CtlResult<()> {
        match self {
            Self::Here(db) => Ok(db.drop_table(name).map(|_| ())?),
            Self::Server(remote) => remote.drop_table(name),
        }
    }

    /// Deletes rows.
    ///
    /// # Errors
    /// The engine's; the client's.
    pub(super) fn delete(
        &self,
        table: &str,
        predicate: &Predicate,
        range: TimeRange,
    ) -> CtlResult<DeleteOutcome> {
        match self {
            Self::Here(db) => Ok(db.delete(table, predicate, range)?),
            Self::Server(remote) => remote.delete(table, predicate, range),
        }
    }

    /// Commits a batch. A server that does not answer is waited for where the batch has a producer's number.
    ///
    /// # Errors
    /// The engine's; the client's.
    pub(super) fn write(&self, batch: Batch) -> CtlResult<()> {
        match self {
            Self::Here(db) => {
                let _: WriteOutcome = db.write(batch)?;
                Ok(())
            }
            Self::Server(remote) => remote.write(batch),
        }
    }

    /// How far an import has come.
    ///
    /// # Errors
    /// Those of reads.
    pub(super) fn import_progress(&self, producer: &str) -> CtlResult<Option<ImportProgress>> {
        match self {
            Self::Here(db) => Ok(db.import_progress(producer)?),
            Self::Server(remote) => remote.import_progress(producer),
        }
    }

    /// Rows in memory become segments.
    ///
    /// # Errors
    /// The engine's; the client's.
    pub(super) fn flush(&self) -> CtlResult<()> {
        match self {
            Self::Here(db) => Ok(db.flush()?),
            Self::Server(remote) => remote.flush(),
        }
    }

    /// Merges segments.
    ///
    /// # Errors
    /// The engine's; the client's.
    pub(super) fn compact(&self) -> CtlResult<CompactReport> {
        match self {
            Self::Here(db) => Ok(db.compact()?),
            Self::Server(remote) => remote.compact(),
        }
    }

    /// Checks every byte.
    ///
    /// # Errors
    /// The engine's; the client's.
    pub(super) fn verify(&self) -> CtlResult<VerifyReport> {
        match self {
            Self::Here(db) => Ok(db.verify()?),
            Self::Server(remote) => remote.verify(),
        }
    }

    /// Ends the work on it.
    ///
    /// # Errors
    /// The engine's.
    pub(super) fn close(&self) -> CtlResult<()> {
        match self {
            Self::Here(db) => Ok(db.close()?),
            Self::Server(_) => Ok(()),
        }
    }
}
