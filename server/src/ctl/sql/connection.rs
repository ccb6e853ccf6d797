//! Where statements run: in this process, on a database that is opened for reading, beside other readers, until a statement writes,
//! and then for writing; or behind a server.

use std::io::Write;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use chronolith_client::{Client, v1};
use chronolith_engine::{Db, Error};
use chronolith_query::format::{AnswerWriter, Format};
use chronolith_query::{Session, SqlEngine, SqlError, SqlOptions, caret, time_zone_set, writes};
use futures::StreamExt;

use crate::ctl::open::{self, DataArg};
use crate::ctl::place::{PlaceArg, Target};
use crate::ctl::{CtlError, CtlResult, remark};

/// A place to run statements.
pub(super) struct Connection {
    to: To,
    time_zone: String,
    runtime: tokio::runtime::Runtime,
}

enum To {
    Here { data: DataArg, session: Session },
    Server(Client),
}

/// An answer from either place.
enum Answer {
    Here(chronolith_query::Answer),
    Server(chronolith_client::Answer),
}

impl Answer {
    fn schema(&self) -> SchemaRef {
        match self {
            Self::Here(answer) => Arc::clone(&answer.schema),
            Self::Server(answer) => Arc::clone(answer.schema()),
        }
    }

    fn affected_rows(&self) -> Option<u64> {
        match self {
            Self::Here(answer) => answer.affected_rows,
            Self::Server(answer) => answer.header().affected_rows,
        }
    }

    async fn next(&mut self, sql: &str) -> CtlResult<Option<RecordBatch>> {
        match self {
            Self::Here(answer) => {
                answer.next().await.transpose().map_err(|error| shown(sql, error))
            }
            Self::Server(answer) => Ok(answer.next().await?),
        }
    }
}

impl Connection {
    /// Opens the database, or connects.
    ///
    /// # Errors
    /// `NotFound` where nothing is; the engine's; the client's.
    pub(super) fn open(place: &PlaceArg, time_zone: &str) -> CtlResult<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| Error::io("start a thread for", "sql", source))?;
        let to = match place.target()? {
            Target::Directory(data) => {
                let db = open::for_reading(&data).map_err(held)?;
                To::Here { session: session(db, time_zone)?, data }
            }
            Target::Server(url) => To::Server(runtime.block_on(Client::connect(&url))?),
        };
        Ok(Self { to, time_zone: time_zone.to_owned(), runtime })
    }

    /// Opens the database anew, for writing, unless it is.
    ///
    /// # Errors
    /// The engine's; where another process reads, its lock. Reading goes on then.
    pub(super) fn prepare_to_write(&mut self) -> CtlResult<()> {
        let To::Here { data, session: present } = &mut self.to else { return Ok(()) };
        let db = present.engine().db();
        if db.is_writable() {
            return Ok(());
        }
        db.close()?;
        let opened = match open::for_writing(data) {
            Ok(db) => db,
            Err(error) => {
                // Reading goes on, beside another reader.
                if let Ok(db) = open::for_reading(data) {
                    *present = session(db, &self.time_zone)?;
                }
                return Err(held(error));
            }
        };
        *present = session(opened, &self.time_zone)?;
        Ok(())
    }

    /// Runs one statement and writes its answer. Of a table at most `limit` rows are shown; gives how many are not.
    ///
    /// # Errors
    /// The statement's; those of writing.
    pub(super) fn execute(
        &mut self,
        sql: &str,
        format: Format,
        limit: usize,
        out: &mut (dyn Write + Send),
    ) -> CtlResult<usize> {
        if writes(sql) {
            self.prepare_to_write()?;
        }
        let (affected, hidden) = self.runtime.block_on(async {
            let mut answer = self.begin(sql).await?;
            let schema = answer.schema();
            if schema.fields().is_empty() {
                return Ok((answer.affected_rows(), 0));
            }
            let failed = |error| shown(sql, error);
            let mut writer = AnswerWriter::new(format, &mut *out, &schema, limit).map_err(failed)?;
            while let Some(batch) = answer.next(sql).await? {
                writer.write(&batch).map_err(failed)?;
            }
            let (_, hidden) = writer.finish().map_err(failed)?;
            Ok::<_, CtlError>((None, hidden))
        })?;
        // A session here has it already; a server keeps none.
        if let Some(zone) = time_zone_set(sql) {
            self.time_zone = zone;
        }
        if let Some(count) = affected {
            remark(&format!("{count} rows"));
        }
        Ok(hidden)
    }

    async fn begin(&self, sql: &str) -> CtlResult<Answer> {
        match &self.to {
            To::Here { session, .. } => {
                let answer = session.execute(sql).await;
                answer.map(Answer::Here).map_err(|error| shown(sql, error))
            }
            To::Server(client) => {
                let request = v1::SqlRequest {
                    statement: sql.to_owned(),
                    time_zone: self.time_zone.clone(),
                    ..v1::SqlRequest::default()
                };
                Ok(Answer::Server(client.sql(request).await?))
            }
        }
    }
}

fn session(db: Db, time_zone: &str) -> CtlResult<Session> {
    let options = SqlOptions { read_files: true, ..SqlOptions::default() };
    let engine = SqlEngine::new(db, options).map_err(|error| shown("", error))?;
    Ok(engine.session().with_time_zone(time_zone))
}

/// Of a database that another process holds: that it can be asked.
fn held(error: CtlError) -> CtlError {
    match error {
        CtlError::Engine(error @ Error::Locked { .. }) => CtlError::Conflict(format!(
            "{error}: where that is a server, send it the statement with --url"
        )),
        other => other,
    }
}

/// The error with the line that it is about.
fn shown(sql: &str, error: SqlError) -> CtlError {
    match caret(sql, &error) {
        Some(lines) => CtlError::sql(error, &format!("\n{lines}")),
        None => CtlError::sql(error, ""),
    }
}
