//! The prompt: statements end with a semicolon; 40 rows of each answer are shown, and how many more there are.

use std::io::Write;

use chronolith_engine::clock::{Clock, SystemClock};
use chronolith_query::format::Format;
use chronolith_query::{statements, writes};

use super::command::{self, Command};
use super::connection::Connection;
use super::editor::{Editor, Entered};
use crate::ctl::{CtlError, CtlResult, remark};

/// Rows of an answer that are shown.
const ROWS_SHOWN: usize = 40;

/// Asks until the input ends, or `quit`.
///
/// # Errors
/// `Failed` where the terminal cannot be used. Those of statements are shown.
pub(super) fn run(connection: &mut Connection) -> CtlResult<()> {
    let mut editor = Editor::open()?;
    connection.end_statements_at_ctrl_c();
    remark("Statements end with a semicolon. \\d lists the tables, \\? helps, \\q leaves.");
    let (mut is_timing, mut names_are_old) = (false, true);
    loop {
        if std::mem::take(&mut names_are_old) {
            // Without names less is completed.
            let _ = connection.names().map(|names| editor.know(names));
        }
        let text = match editor.read()? {
            Entered::Text(text) => text,
            Entered::Dropped => continue,
            Entered::End => return Ok(()),
        };
        match command::parse(&text) {
            Command::Nothing => {}
            Command::Quit => return Ok(()),
            Command::Help => remark(&command::help()),
            Command::Unknown(what) => remark(&format!("{what:?} is no command; \\? lists them")),
            Command::Timing => {
                is_timing = !is_timing;
                remark(if is_timing { "times are shown" } else { "times are not shown" });
            }
            Command::Ours(statement) => run_all(connection, &[&statement], is_timing),
            Command::Statements(script) => {
                let list = statements(script);
                run_all(connection, &list, is_timing);
                names_are_old = list.iter().any(|statement| writes(statement));
            }
        }
    }
}

/// Runs statements until one fails.
fn run_all(connection: &mut Connection, list: &[&str], is_timing: bool) {
    let clock = SystemClock::default();
    for statement in list {
        let start = clock.monotonic_ns();
        let shown = show(connection, statement);
        let took_us = (clock.monotonic_ns() - start) / 1_000;
        if let Err(error) = &shown {
            remark(&error.report());
        }
        if is_timing {
            remark(&format!("{}.{:03} ms", took_us / 1_000, took_us % 1_000));
        }
        if shown.is_err() {
            return;
        }
    }
}

fn show(connection: &mut Connection, statement: &str) -> CtlResult<()> {
    let mut out = Vec::new();
    let hidden = connection.execute(statement, Format::Table, ROWS_SHOWN, &mut out)?;
    let mut standard = std::io::stdout().lock();
    standard.write_all(&out).and_then(|()| standard.flush()).map_err(CtlError::standard_output)?;
    if hidden > 0 {
        remark(&format!("{hidden} more rows"));
    }
    Ok(())
}
