//! The line editor of the prompt: history, completion, statements over several lines.

use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::config::CompletionType;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Helper};

use super::complete::{Names, complete};
use super::history;
use super::pieces::is_whole;
use crate::ctl::{CtlError, CtlResult, remark};

const PROMPT: &str = "chronolith> ";

/// What was entered.
pub(super) enum Entered {
    /// A text, whole by [`is_whole`].
    Text(String),
    /// Ctrl-C: what was typed is dropped.
    Dropped,
    /// Ctrl-D.
    End,
}

/// Reads statements from the terminal.
pub(super) struct Editor {
    inner: rustyline::Editor<Assistant, FileHistory>,
    /// The history's file, where one is kept.
    history: Option<PathBuf>,
}

impl Editor {
    /// An editor on this process's terminal, with the history that the environment names. A history that cannot be used
    /// is said, and is none.
    ///
    /// # Errors
    /// `Failed` where the terminal cannot be used.
    pub(super) fn open() -> CtlResult<Self> {
        let config = Config::builder()
            .max_history_size(history::ENTRIES_MAX)
            .map_err(failed)?
            .completion_type(CompletionType::List)
            .build();
        let mut inner = rustyline::Editor::with_config(config).map_err(failed)?;
        inner.set_helper(Some(Assistant::default()));
        let mut history = history::path(&|name| std::env::var_os(name));
        if let Some(path) = &history {
            let prepared = history::prepare(path).map_err(ReadlineError::from);
            if let Err(error) = prepared.and_then(|()| inner.load_history(path)) {
                remark(&format!(
                    "note: no history is kept: {}: {error} (CHRONOLITH_HISTORY names another file, or none)",
                    path.display()
                ));
                history = None;
            }
        }
        Ok(Self { inner, history })
    }

    /// What is completed from now on.
    pub(super) fn know(&mut self, names: Names) {
        if let Some(assistant) = self.inner.helper_mut() {
            assistant.names = names;
        }
    }

    /// Asks once.
    ///
    /// # Errors
    /// `Failed` where the terminal is gone.
    pub(super) fn read(&mut self) -> CtlResult<Entered> {
        match self.inner.readline(PROMPT) {
            Ok(text) => {
                self.remember(text.trim());
                Ok(Entered::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Entered::Dropped),
            Err(ReadlineError::Eof) => Ok(Entered::End),
            Err(error) => Err(failed(error)),
        }
    }

    /// Appends to the history at once, so that it survives this process and joins that of other prompts.
    fn remember(&mut self, text: &str) {
        // A history that cannot be kept in memory is only less comfort.
        let is_new = !text.is_empty() && self.inner.add_history_entry(text).unwrap_or(false);
        if let Some(path) = self.history.clone().filter(|_| is_new)
            && let Err(error) = self.inner.append_history(&path)
        {
            remark(&format!("note: no history is kept any more: {}: {error}", path.display()));
            self.history = None;
        }
    }
}

fn failed(error: ReadlineError) -> CtlError {
    CtlError::Failed(format!("cannot read from the terminal: {error}"))
}

/// What the editor asks while somebody types.
#[derive(Default)]
struct Assistant {
    names: Names,
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(&self.names, line, pos))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_whole(context.input()) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {}

impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use rustyline::history::History;

    use super::*;

    fn prompt(path: &std::path::Path, entries: usize) -> FileHistory {
        let config = Config::builder().max_history_size(entries).unwrap().build();
        let mut history = FileHistory::with_config(&config);
        history.load(path).unwrap();
        history
    }

    #[test]
    fn prompts_at_once_keep_one_another_s_history_and_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        history::prepare(&path).unwrap();
        let (mut a, mut b) = (prompt(&path, 5), prompt(&path, 5));
        for (at, text) in ["SELECT 1;", "SELECT\n 2;", "\\d", "SELECT '\\';"].iter().enumerate() {
            let prompt = if at % 2 == 0 { &mut a } else { &mut b };
            prompt.add(text).unwrap();
            prompt.append(&path).unwrap();
        }
        let all = |path| prompt(path, 100).iter().cloned().collect::<Vec<_>>();
        assert_eq!(all(&path), ["SELECT 1;", "SELECT\n 2;", "\\d", "SELECT '\\';"]);
        for number in 0..9 {
            a.add(&format!("SELECT {number};")).unwrap();
            a.append(&path).unwrap();
        }
        assert_eq!(
            all(&path),
            (4..9).map(|number| format!("SELECT {number};")).collect::<Vec<_>>()
        );
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&path).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }
}
