//! Whom statements are given to: a session on a database that this process has open, or a server.

use std::io::Write;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use chronolith_client::ClientError;
use chronolith_engine::{Db, Error};
use chronolith_query::format::{AnswerWriter, Format};
use chronolith_query::{Session, SqlEngine, SqlError, SqlOptions, caret, functions, writes};
use futures::StreamExt;

use super::complete::{Names, Table};
use crate::ctl::open::{self, DataArg};
use crate::ctl::place::{PlaceArg, Remote, Target};
use crate::ctl::{CtlError, CtlResult, interrupt, remark};

/// A part of an answer, in order.
enum Part<'a> {
    /// First of all, where there are any.
    Columns(&'a SchemaRef),
    Rows(&'a RecordBatch),
}

/// Takes an answer.
type Sink<'a> = &'a mut dyn FnMut(Part<'_>) -> Result<(), SqlError>;

/// Whom statements are given to.
pub(super) enum Connection {
    /// A session on a database that this process has open.
    Here(Box<Local>),
    /// A server, and the time zone of the next statement: a server keeps no session.
    Server(Remote, String),
}

impl Connection {
    /// Opens the database for reading, or connects.
    ///
    /// # Errors
    /// Those of opening; the client's.
    pub(super) fn open(place: &PlaceArg, time_zone: &str) -> CtlResult<Self> {
        Ok(match place.target()? {
            Target::Directory(data) => Self::Here(Box::new(Local::open(data, time_zone)?)),
            Target::Server(url) => Self::Server(Remote::connect(&url)?, time_zone.to_owned()),
        })
    }

    /// Makes ready for statements that write; where it is not done before, the first of them does.
    ///
    /// # Errors
    /// Those of opening.
    pub(super) fn open_for_writing(&mut self) -> CtlResult<()> {
        match self {
            Self::Here(local) => local.open_for_writing(),
            Self::Server(..) => Ok(()),
        }
    }

    /// From now on Ctrl-C ends the statement that runs, and nothing else.
    pub(super) fn end_statements_at_ctrl_c(&mut self) {
        match self {
            Self::Here(local) => local.ends_at_ctrl_c = true,
            Self::Server(remote, _) => remote.end_calls_at_ctrl_c(),
        }
    }

    /// Runs one statement and writes its answer. Of a table at most `limit` rows are shown; gives how many are not.
    ///
    /// # Errors
    /// Those of the statement, of opening for writing, and of writing the answer.
    pub(super) fn execute(
        &mut self,
        sql: &str,
        format: Format,
        limit: usize,
        out: &mut (dyn Write + Send),
    ) -> CtlResult<usize> {
        let (mut out, mut writer) = (Some(out), None);
        let affected = self.answer(sql, &mut |part| match part {
            Part::Columns(schema) => {
                let out = out.take();
                writer =
                    out.map(|out| AnswerWriter::new(format, out, schema, limit)).transpose()?;
                Ok(())
            }
            Part::Rows(batch) => writer.as_mut().map_or(Ok(()), |writer| writer.write(batch)),
        })?;
        match (writer, affected) {
            (Some(writer), _) => Ok(writer.finish().map_err(|error| shown(sql, error))?.1),
            (None, Some(count)) => {
                remark(&format!("{count} rows"));
                Ok(0)
            }
            (None, None) => Ok(0),
        }
    }

    /// The names that there are.
    ///
    /// # Errors
    /// Those of a statement.
    pub(super) fn names(&mut self) -> CtlResult<Names> {
        const COLUMNS: &str =
            "SELECT table_name, column_name FROM system.columns ORDER BY table_name, position";
        let mut tables: Vec<Table> = Vec::new();
        self.answer(COLUMNS, &mut |part| {
            let Part::Rows(batch) = part else { return Ok(()) };
            let text = |at: usize| arrow::compute::cast(batch.column(at), &DataType::Utf8);
            let (of, column) = (text(0)?, text(1)?);
            let rows = of.as_string::<i32>().iter().zip(column.as_string::<i32>());
            for (of, column) in rows {
                let (of, column) = (of.unwrap_or_default(), column.unwrap_or_default().to_owned());
                match tables.last_mut().filter(|table| table.name == of) {
                    Some(table) => table.columns.push(column),
                    None => tables.push(Table { name: of.to_owned(), columns: vec![column] }),
                }
            }
            Ok(())
        })?;
        let functions = functions::names().map_err(|error| CtlError::sql(error, ""))?;
        Ok(Names { tables, functions })
    }

    /// Runs one statement; gives the rows that it wrote.
    fn answer(&mut self, sql: &str, sink: Sink<'_>) -> CtlResult<Option<u64>> {
        let (remote, time_zone) = match self {
            Self::Here(local) => return local.answer(sql, sink),
            Self::Server(remote, time_zone) => (remote, time_zone),
        };
        let wrong = |error| shown(sql, error);
        let answer = remote.sql(sql, time_zone).map_err(|error| pointed(sql, error))?;
        if !answer.time_zone.is_empty() {
            time_zone.clone_from(&answer.time_zone);
        }
        if !answer.schema.fields().is_empty() {
            sink(Part::Columns(&answer.schema)).map_err(wrong)?;
        }
        for batch in answer.batches {
            let batch = batch.map_err(|error| pointed(sql, error))?;
            if batch.num_columns() > 0 {
                sink(Part::Rows(&batch)).map_err(wrong)?;
            }
        }
        Ok(answer.affected_rows)
    }
}

/// A session on an open database.
pub(super) struct Local {
    data: DataArg,
    time_zone: String,
    session: Session,
    runtime: tokio::runtime::Runtime,
    ends_at_ctrl_c: bool,
}

impl Local {
    fn open(data: DataArg, time_zone: &str) -> CtlResult<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| Error::io("start a thread for", "sql", source))?;
        let db = open::for_reading(&data).map_err(held)?;
        let session = session(db)?.with_time_zone(time_zone);
        Ok(Self { data, time_zone: time_zone.to_owned(), session, runtime, ends_at_ctrl_c: false })
    }

    /// Opens the database anew, for writing, unless it is.
    fn open_for_writing(&mut self) -> CtlResult<()> {
        let db = self.session.engine().db();
        if db.is_writable() {
            return Ok(());
        }
        db.close()?;
        self.time_zone = self.session.time_zone();
        let db = match open::for_writing(&self.data) {
            Ok(db) => db,
            Err(error) => {
                // Reading goes on, beside another reader.
                if let Ok(db) = open::for_reading(&self.data) {
                    self.session = session(db)?.with_time_zone(&self.time_zone);
                }
                return Err(held(error));
            }
        };
        self.session = session(db)?.with_time_zone(&self.time_zone);
        Ok(())
    }

    /// Runs one statement; gives the rows that it wrote.
    fn answer(&mut self, sql: &str, sink: Sink<'_>) -> CtlResult<Option<u64>> {
        if writes(sql) {
            self.open_for_writing()?;
        }
        let session = &self.session;
        let work = async {
            let mut answer = session.execute(sql).await?;
            if answer.schema.fields().is_empty() {
                return Ok(answer.affected_rows);
            }
            sink(Part::Columns(&SchemaRef::clone(&answer.schema)))?;
            while let Some(batch) = answer.next().await {
                sink(Part::Rows(&batch?))?;
            }
            Ok(answer.affected_rows)
        };
        let ran = if self.ends_at_ctrl_c {
            let cancel = session.cancel_handle();
            self.runtime.block_on(interrupt::cancelling(work, || cancel.cancel()))
        } else {
            self.runtime.block_on(work)
        };
        ran.map_err(|error| shown(sql, error))
    }
}

fn session(db: Db) -> CtlResult<Session> {
    let budget = Some(db.reads_budget());
    let options = SqlOptions { read_files: true, budget, ..SqlOptions::default() };
    Ok(SqlEngine::new(db, options).map_err(|error| shown("", error))?.session())
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

/// The same for a server's error.
fn pointed(sql: &str, error: CtlError) -> CtlError {
    let CtlError::Client(ClientError::Refused(detail)) = &error else { return error };
    let place = SqlError::invalid("").at(detail.line.into(), detail.position.into());
    match (caret(sql, &place), error) {
        (Some(lines), CtlError::Client(error)) => {
            CtlError::RemoteSql { error, lines: format!("\n{lines}") }
        }
        (_, error) => error,
    }
}
