//! The prompt: statements end with a semicolon; 40 rows of each answer are shown, and how many more there are.

use std::io::{BufRead, Write};

use chronolith_query::format::Format;
use chronolith_query::statements;

use super::Connection;
use crate::ctl::{CtlError, CtlResult, print, remark};

/// Rows of an answer that are shown.
const ROWS_SHOWN: usize = 40;

/// Asks until the input ends, or `quit`.
pub(super) fn run(connection: &mut Connection) -> CtlResult<()> {
    remark("Statements end with a semicolon; `quit` leaves. SHOW TABLES; lists the tables.");
    let mut text = String::new();
    loop {
        print(if text.is_empty() { "chronolith> " } else { "       ...> " })?;
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        let read =
            read.map_err(|source| CtlError::Write { name: "standard input".into(), source })?;
        let word = line.trim().trim_end_matches(';');
        if read == 0 || text.is_empty() && ["quit", "exit", "\\q"].contains(&word) {
            return print(if read == 0 { "\n" } else { "" });
        }
        text.push_str(&line);
        if !text.trim_end().ends_with(';') {
            continue;
        }
        let script = std::mem::take(&mut text);
        for statement in statements(&script) {
            if let Err(error) = show(connection, statement) {
                remark(&error.report());
                break;
            }
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
