//! `chronolith sql`: statements on a database in this process, or behind a server. In this process it is opened for reading,
//! beside other readers, until a statement writes; then for writing.

mod command;
mod complete;
mod connection;
mod editor;
mod history;
mod pieces;
mod prompt;

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use chronolith_query::format::Format;
use chronolith_query::{statements, writes};
use clap::Args;

use self::connection::Connection;
use super::place::PlaceArg;
use super::select::FileArg;
use super::{CtlError, CtlResult};
use crate::text::input::{Input, InputError};

/// Run SQL statements; without any, ask for them at a prompt
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chronolith sql --data ./db \"SELECT symbol, last(price, time) FROM trades GROUP BY symbol\"
  chronolith sql --data ./db --format parquet -o day.parquet \"SELECT * FROM trades WHERE time >= '2024-01-02'\"
  chronolith sql --data ./db -f script.sql
  chronolith sql --url http://127.0.0.1:7401

Without statements, and with a terminal, it is a prompt: \\? lists its commands, Tab completes names.
What is typed is kept in chronolith/history under $XDG_STATE_HOME or ~/.local/state;
CHRONOLITH_HISTORY names another file, or none where it is empty. Without a terminal, statements are
read from standard input. docs/SQL.md describes them.")]
pub(super) struct SqlArgs {
    #[command(flatten)]
    place: PlaceArg,
    /// table, csv, json, ndjson, arrow or parquet
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = format)]
    format: Format,
    #[command(flatten)]
    output: FileArg,
    /// The time zone of times without an offset, and of times shown, such as Europe/Berlin; SET TIME ZONE changes it
    #[arg(long, alias = "time-zone", value_name = "ZONE", default_value = "UTC")]
    zone: String,
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
    let Some(script) = script else {
        return prompt::run(&mut Connection::open(&args.place, &args.zone, false)?);
    };
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
    let any_writes = list.iter().any(|statement| writes(statement));
    let mut connection = Connection::open(&args.place, &args.zone, any_writes)?;
    // One opening, where a later statement writes anyway.
    if any_writes {
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
