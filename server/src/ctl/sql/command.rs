//! What is typed at the prompt: a command of its own, or statements.

use chronolith_query::written_name;

/// The prompt's commands, and what each does.
pub(super) const COMMANDS: [(&str, &str); 4] = [
    ("\\d", "lists the tables; \\d TABLE describes one"),
    ("\\timing", "shows how long statements take, or stops that"),
    ("\\?", "shows this"),
    ("\\q", "leaves, as Ctrl-D and quit do"),
];

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// Run these statements.
    Statements(&'a str),
    /// Run this statement of ours.
    Ours(String),
    /// Show the help.
    Help,
    /// Show times of statements, or stop that.
    Timing,
    /// Leave.
    Quit,
    /// Say that this is no command.
    Unknown(&'a str),
    /// Nothing was typed.
    Nothing,
}

/// Understands what was typed.
pub(super) fn parse(typed: &str) -> Command<'_> {
    let text = typed.trim();
    let bare = text.trim_end_matches(';').trim_end();
    match bare {
        "" => return Command::Nothing,
        "quit" | "exit" => return Command::Quit,
        "help" => return Command::Help,
        _ if !text.starts_with('\\') => return Command::Statements(text),
        _ => {}
    }
    let (word, argument) = bare.split_once(char::is_whitespace).unwrap_or((bare, ""));
    match (word, argument.trim()) {
        ("\\q", "") => Command::Quit,
        ("\\?" | "\\h", "") => Command::Help,
        ("\\timing", "") => Command::Timing,
        ("\\d" | "\\dt", "") => Command::Ours("SHOW TABLES".to_owned()),
        ("\\d", table) => Command::Ours(format!("DESCRIBE {}", name(table))),
        _ => Command::Unknown(bare),
    }
}

/// A table as a statement names it. Quotes and the system's tables stay as they are.
fn name(typed: &str) -> String {
    let is_sql = typed.starts_with(['"', '`']) || typed.starts_with("system.");
    if is_sql { typed.to_owned() } else { written_name(typed) }
}

/// The help.
pub(super) fn help() -> String {
    let mut text =
        "Statements end with a semicolon and may have several lines; docs/SQL.md describes them.\n"
            .to_owned();
    for (name, does) in COMMANDS {
        text.push_str(&format!("  {name:<9} {does}\n"));
    }
    text.push_str(
        "Tab completes names. Ctrl-C drops what is typed, or ends the statement that runs.",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_statements() {
        assert_eq!(parse(" SELECT 1; \n"), Command::Statements("SELECT 1;"));
        assert_eq!(parse("  ; "), Command::Nothing);
        assert_eq!(
            (parse("quit;"), parse("\\q"), parse(" exit")),
            (Command::Quit, Command::Quit, Command::Quit)
        );
        assert_eq!(parse("\\d;"), Command::Ours("SHOW TABLES".to_owned()));
        assert_eq!(parse("\\d Daily Bars"), Command::Ours("DESCRIBE \"Daily Bars\"".to_owned()));
        assert_eq!(
            parse("\\d \"Daily Bars\";"),
            Command::Ours("DESCRIBE \"Daily Bars\"".to_owned())
        );
        assert_eq!(parse("\\d  t "), Command::Ours("DESCRIBE t".to_owned()));
        assert_eq!((parse("\\?"), parse("help")), (Command::Help, Command::Help));
        assert_eq!(parse("\\timing"), Command::Timing);
        assert_eq!(parse("\\x y"), Command::Unknown("\\x y"));
        assert_eq!(parse("\\q now"), Command::Unknown("\\q now"));
        assert!(COMMANDS.iter().all(|(name, _)| help().contains(name)));
    }
}
