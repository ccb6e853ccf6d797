//! `chronolith sql`: statements on a database in this process, or behind a server. In this process it is opened for reading,
//! beside other readers, until a statement writes; then for writing.

mod prompt;

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use chronolith_engine::{Db, Error};
use chronolith_query::format::{AnswerWriter, Format};
use chronolith_query::{Session, SqlEngine, SqlError, SqlOptions, caret, statements, writes};
use clap::Args;
use futures::StreamExt;

use super::open::{self, DataArg};
use super::place::{PlaceArg, Remote, Target};
use super::select::FileArg;
use super::{CtlError, CtlResult, remark};
use crate::text::input::{Input, InputError};

/// Run SQL statements; without any, ask for them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chronolith sql --data ./db \"SELECT symbol, last(price, time) FROM trades GROUP BY symbol\"
  chronolith sql --data ./db --format parquet -o day.parquet \"SELECT * FROM trades WHERE time >= '2024-01-02'\"
  chronolith sql --data ./db -f script.sql
  chronolith sql --data ./db

The statements are described in docs/SQL.md.")]
pub(super) struct SqlArgs {
    #[command(flatten)]
    place: PlaceArg,
    /// table, csv, json, ndjson, arrow or parquet
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = format)]
    format: Format,
    #[command(flatten)]
    output: FileArg,
    /// The time zone of times without an offset, and of times shown
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
    /// Run the statements of this file; `-`: of standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", conflicts_with = "sql")]
    file: Option<PathBuf>,
    /// The statements, with semicolons between them; of several that give rows, each answer follows the other
    #[arg(value_name = "SQL")]
    sql: Option<String>,
}

fn format(text: &str) -> Result<Format, String> {
    Format::parse(text)
        .ok_or_else(|| format!("{text:?} is none of table, csv, json, ndjson, arrow, parquet"))
}

/// Runs the command.
///
/// # Errors
/// Those of opening, of the statements, and of writing their answers.
pub(super) fn run(args: &SqlArgs) -> CtlResult<()> {
    let script = match (&args.sql, &args.file) {
        (Some(sql), _) => Some(sql.clone()),
        (None, Some(path)) => Some(read(path)?),
        (None, None) if !std::io::stdin().is_terminal() => Some(read(Path::new("-"))?),
        (None, None) => None,
    };
    let Some(script) = script else { return prompt::run(&mut Connection::open(args)?) };
    let list = statements(&script);
    if list.is_empty() {
        return Err(CtlError::Invalid("a statement is expected, the text is empty".into()));
    }
    if args.format.is_binary() {
        if list.len() > 1 {
            return Err(CtlError::Invalid(
                "arrow and parquet take the answer of one statement".into(),
            ));
        }
        if args.output.is_standard() && std::io::stdout().is_terminal() {
            return Err(CtlError::Invalid(
                "arrow and parquet are no text: write them to a file with -o".into(),
            ));
        }
    }
    let mut connection = Connection::open(args)?;
    // One opening, where a later statement writes anyway.
    if list.iter().any(|statement| writes(statement)) {
        connection.open_for_writing()?;
    }
    let mut output = args.output.open()?;
    for statement in list {
        connection.execute(statement, args.format, usize::MAX, &mut output)?;
    }
    Ok(output.finish()?)
}

fn read(path: &Path) -> CtlResult<String> {
    let mut text = String::new();
    let mut input = Input::open(path)?;
    let read = input.read_to_string(&mut text);
    read.map_err(|error| InputError::from_io(input.name(), error))?;
    Ok(text)
}

/// Whom statements are given to.
enum Connection {
    /// A session on a database that this process has open.
    Here(Box<Local>),
    /// A server, and the time zone of each statement: a server keeps no session.
    Server(Remote, String),
}

impl Connection {
    fn open(args: &SqlArgs) -> CtlResult<Self> {
        Ok(match args.place.target()? {
            Target::Directory(data) => Self::Here(Box::new(Local::open(data, &args.time_zone)?)),
            Target::Server(url) => Self::Server(Remote::connect(&url)?, args.time_zone.clone()),
        })
    }

    fn open_for_writing(&mut self) -> CtlResult<()> {
        match self {
            Self::Here(local) => local.open_for_writing(),
            Self::Server(..) => Ok(()),
        }
    }

    /// Runs one statement and writes its answer. Of a table at most `limit` rows are shown; gives how many are not.
    fn execute(
        &mut self,
        sql: &str,
        format: Format,
        limit: usize,
        out: &mut (dyn Write + Send),
    ) -> CtlResult<usize> {
        let (remote, time_zone) = match self {
            Self::Here(local) => return local.execute(sql, format, limit, out),
            Self::Server(remote, time_zone) => (remote, time_zone),
        };
        let (schema, affected, mut batches) = remote.sql(sql, time_zone)?;
        if schema.fields().is_empty() {
            batches.try_for_each(|batch| batch.map(|_| ()))?;
            affected.iter().for_each(|count| remark(&format!("{count} rows")));
            return Ok(0);
        }
        let wrong = |error| shown(sql, error);
        let mut writer = AnswerWriter::new(format, out, &schema, limit).map_err(wrong)?;
        for batch in batches {
            writer.write(&batch?).map_err(wrong)?;
        }
        Ok(writer.finish().map_err(wrong)?.1)
    }
}

/// A session on an open database.
struct Local {
    data: DataArg,
    time_zone: String,
    session: Session,
    runtime: tokio::runtime::Runtime,
}

impl Local {
    fn open(data: DataArg, time_zone: &str) -> CtlResult<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| Error::io("start a thread for", "sql", source))?;
        let db = open::for_reading(&data).map_err(held)?;
        let session = session(db)?.with_time_zone(time_zone);
        Ok(Self { data, time_zone: time_zone.to_owned(), session, runtime })
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

    /// Runs one statement and writes its answer. Of a table at most `limit` rows are shown; gives how many are not.
    fn execute(
        &mut self,
        sql: &str,
        format: Format,
        limit: usize,
        out: &mut (dyn Write + Send),
    ) -> CtlResult<usize> {
        if writes(sql) {
            self.open_for_writing()?;
        }
        let session = &self.session;
        let ran = self.runtime.block_on(async {
            let mut answer = session.execute(sql).await?;
            if answer.schema.fields().is_empty() {
                return Ok((answer.affected_rows, 0));
            }
            let schema = std::sync::Arc::clone(&answer.schema);
            let mut writer = AnswerWriter::new(format, &mut *out, &schema, limit)?;
            while let Some(batch) = answer.next().await {
                writer.write(&batch?)?;
            }
            let (_, hidden) = writer.finish()?;
            Ok((None, hidden))
        });
        match ran {
            Ok((Some(count), hidden)) => {
                remark(&format!("{count} rows"));
                Ok(hidden)
            }
            Ok((None, hidden)) => Ok(hidden),
            Err(error) => Err(shown(sql, error)),
        }
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
