//! Whom statements are given to: a session on a database that this process has open, or a server.

use std::io::{self, Write};

use arrow::array::AsArray;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use chronolith_client::ClientError;
use chronolith_engine::{Db, Error};
use chronolith_query::format::{AnswerWriter, Format};
use chronolith_query::{Session, SqlEngine, SqlError, SqlOptions, caret, functions, writes};
use futures::StreamExt;
use parking_lot::Mutex;

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

/// A target that keeps why it could not be written.
struct Watched<'a> {
    out: &'a mut (dyn Write + Send),
    failure: &'a Mutex<Option<io::Error>>,
}

impl Watched<'_> {
    fn watch<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failure.lock().get_or_insert(error);
            }
            kind.into()
        })
    }
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.watch(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.watch(flushed)
    }
}

/// Whom statements are given to.
pub(super) enum Connection {
    /// A session on a database that this process has open.
    Here(Box<Local>),
    /// A server, and the time zone of the next statement: a server keeps no session.
    Server(Remote, String),
}

impl Connection {
    /// Opens the database for reading, or connects. Where nothing is and it `creates`, a database is made.
    ///
    /// # Errors
    /// Those of opening; the client's.
    pub(super) fn open(place: &PlaceArg, time_zone: &str, creates: bool) -> CtlResult<Self> {
        Ok(match place.target()? {
            Target::Directory(data) => Self::Here(Box::new(Local::open(data, time_zone, creates)?)),
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
        let failure = Mutex::new(None);
        let (mut out, mut writer) = (Some(Watched { out, failure: &failure }), None);
        let answered = self.answer(sql, &mut |part| match part {
            Part::Columns(schema) => {
                let out = out.take();
                writer =
                    out.map(|out| AnswerWriter::new(format, out, schema, limit)).transpose()?;
                Ok(())
            }
            Part::Rows(batch) => writer.as_mut().map_or(Ok(()), |writer| writer.write(batch)),
        });
        let ended = answered.and_then(|affected| {
            let ended = writer.map(AnswerWriter::finish).transpose();
            Ok((ended.map_err(|error| shown(sql, error))?, affected))
        });
        // What the target said comes first: formats hide it behind words of their own.
        if let Some(source) = failure.lock().take() {
            return Err(CtlError::Write { name: "the answer's target".to_owned(), source });
        }
        match ended? {
            (Some((_, hidden)), _) => Ok(hidden),
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
    fn open(data: DataArg, time_zone: &str, creates: bool) -> CtlResult<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| Error::io("start a thread for", "sql", source))?;
        let is_new = creates && !open::is_there(&data.data);
        let db = if is_new { open::or_create(&data)? } else { open::for_reading(&data)? };
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
                return Err(error);
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
