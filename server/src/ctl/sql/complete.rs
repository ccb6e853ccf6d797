//! What Tab offers: names that fit where the cursor stands. Names keep their case and are quoted where they must be.

use chronolith_query::written_name;

use super::command::COMMANDS;
use super::pieces::{Kind, Piece, pieces};

/// Keywords of the statements that docs/SQL.md lists.
const KEYWORDS: [&str; 83] = [
    "ADD",
    "ALL",
    "ALTER",
    "ANALYZE",
    "AND",
    "ARRAY",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COLUMN",
    "CREATE",
    "CROSS",
    "CURRENT",
    "DATE",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXCLUDE",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FILTER",
    "FIRST",
    "FOLLOWING",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IF",
    "ILIKE",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LAST",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "PRECEDING",
    "QUALIFY",
    "RANGE",
    "RIGHT",
    "ROW",
    "ROWS",
    "SELECT",
    "SET",
    "SHOW",
    "SUMMARIZE",
    "TABLE",
    "TABLES",
    "THEN",
    "TIME",
    "TRUE",
    "UNBOUNDED",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "ZONE",
];

/// Words behind which a table is named.
const BEFORE_TABLES: [&str; 8] =
    ["FROM", "JOIN", "INTO", "TABLE", "DESCRIBE", "DESC", "SUMMARIZE", "EXISTS"];

/// Words that begin statements.
const BEGINNINGS: [&str; 13] = [
    "SELECT",
    "WITH",
    "FROM",
    "INSERT",
    "CREATE",
    "ALTER",
    "DROP",
    "DELETE",
    "DESCRIBE",
    "SHOW",
    "SUMMARIZE",
    "EXPLAIN",
    "SET",
];

/// The system's tables, behind `system.`.
const SYSTEM: [&str; 3] = ["columns", "segments", "tables"];

/// A table and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
}

/// The names that there are.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub(super) tables: Vec<Table>,
    pub(super) functions: Vec<String>,
}

/// What may stand at byte `at` of `text` in place of what is typed there: where that begins, and the candidates.
pub(super) fn complete(names: &Names, text: &str, at: usize) -> (usize, Vec<String>) {
    let nothing = (at, Vec::new());
    let Some(before) = text.get(..at) else { return nothing };
    if before.trim_start().starts_with('\\') {
        return command(names, before);
    }
    let pieces = pieces(text);
    let statement = statement_at(&pieces, at);
    let typed = statement.iter().find(|piece| piece.start < at && at <= piece.end());
    let inside = |piece: &&Piece<'_>| at < piece.end() || !piece.is_closed;
    let (start, prefix, is_quoted) = match typed {
        Some(piece) => match piece.kind {
            Kind::Text | Kind::Comment | Kind::Number if inside(&piece) => return nothing,
            Kind::Number => return nothing,
            // The end of a comment without an end on its line.
            Kind::Comment if !piece.text.ends_with("*/") => return nothing,
            Kind::Word => (piece.start, text.get(piece.start..at).unwrap_or_default(), false),
            Kind::Quoted if inside(&piece) => {
                (piece.start, text.get(piece.start + 1..at).unwrap_or_default(), true)
            }
            _ => (at, "", false),
        },
        None => (at, "", false),
    };
    let left: Vec<&Piece<'_>> = statement
        .iter()
        .filter(|piece| piece.end() <= start && piece.kind != Kind::Comment)
        .collect();
    let fits = |name: &str| name.to_lowercase().starts_with(&prefix.to_lowercase());
    let mut found = Candidates { found: Vec::new(), is_quoted };
    let others: Vec<&Piece<'_>> = statement.iter().filter(|piece| piece.start != start).collect();
    if let [.., owner, dot] = left.as_slice()
        && dot.is('.')
        && dot.end() == start
        && let Some(owner) = owner.name()
    {
        if owner.eq_ignore_ascii_case("system") {
            SYSTEM.iter().filter(|name| fits(name)).for_each(|name| found.plain(name));
        }
        for table in owned_by(names, &others, &owner) {
            table.columns.iter().filter(|name| fits(name)).for_each(|name| found.name(name));
        }
        return (start, found.found);
    }
    let word = left.last().filter(|piece| piece.kind == Kind::Word);
    let is_table = word.is_some_and(|word| is_one_of(&BEFORE_TABLES, word.text));
    if !is_table {
        let mut tables: Vec<&Table> =
            named(names, &others).into_iter().map(|(table, _)| table).collect();
        if tables.is_empty() && !prefix.is_empty() {
            // None is named yet: columns come before FROM.
            tables = names.tables.iter().collect();
        }
        for table in tables {
            table.columns.iter().filter(|name| fits(name)).for_each(|name| found.name(name));
        }
    }
    if is_table || !prefix.is_empty() {
        names.tables.iter().filter(|one| fits(&one.name)).for_each(|one| found.name(&one.name));
        if fits("system") && !is_quoted {
            found.plain("system.");
        }
    }
    if is_quoted {
        return (start, found.found);
    }
    if !is_table && !prefix.is_empty() {
        let functions = names.functions.iter().filter(|name| fits(name));
        functions.for_each(|name| found.plain(&format!("{name}(")));
    }
    let keywords: &[&str] = match (is_table, prefix.is_empty()) {
        (true, _) => &["IF", "SELECT"],
        (false, true) if left.is_empty() => &BEGINNINGS,
        (false, true) => &[],
        (false, false) => &KEYWORDS,
    };
    let is_lower = prefix.starts_with(char::is_lowercase);
    for keyword in keywords.iter().filter(|word| fits(word) && !(is_table && prefix.is_empty())) {
        if is_lower { found.plain(&keyword.to_lowercase()) } else { found.plain(keyword) }
    }
    (start, found.found)
}

/// What is offered, each once.
struct Candidates {
    found: Vec<String>,
    /// Whether an opening quote is typed.
    is_quoted: bool,
}

impl Candidates {
    fn plain(&mut self, text: &str) {
        if !self.found.iter().any(|known| known == text) {
            self.found.push(text.to_owned());
        }
    }

    fn name(&mut self, name: &str) {
        let text = if self.is_quoted {
            format!("\"{}\"", name.replace('"', "\"\""))
        } else {
            written_name(name)
        };
        self.plain(&text);
    }
}

/// A command of the prompt, and the table behind it.
fn command(names: &Names, before: &str) -> (usize, Vec<String>) {
    let begin = before.len() - before.trim_start().len();
    let typed = before.trim_start();
    let Some((_, argument)) = typed.split_once(char::is_whitespace) else {
        let found = COMMANDS.iter().filter(|(name, _)| name.starts_with(typed));
        return (begin, found.map(|(name, _)| (*name).to_owned()).collect());
    };
    let argument = argument.trim_start();
    let prefix = argument.trim_start_matches('"').to_lowercase();
    let fits = names.tables.iter().filter(|table| table.name.to_lowercase().starts_with(&prefix));
    (before.len() - argument.len(), fits.map(|table| written_name(&table.name)).collect())
}

fn is_one_of(words: &[&str], word: &str) -> bool {
    words.iter().any(|one| one.eq_ignore_ascii_case(word))
}

/// The pieces of the statement in which byte `at` is.
fn statement_at<'a, 'b>(pieces: &'b [Piece<'a>], at: usize) -> &'b [Piece<'a>] {
    let begin = pieces.iter().rposition(|piece| piece.is(';') && piece.end() <= at);
    let behind = pieces.get(begin.map_or(0, |position| position + 1)..).unwrap_or_default();
    let end = behind.iter().position(|piece| piece.is(';')).unwrap_or(behind.len());
    behind.get(..end).unwrap_or_default()
}

/// The tables that a statement names, each with the alias that it has.
fn named<'a>(names: &'a Names, statement: &[&Piece<'_>]) -> Vec<(&'a Table, Option<String>)> {
    let mut found = Vec::new();
    for (position, piece) in statement.iter().enumerate() {
        let Some(name) = piece.name() else { continue };
        let Some(table) = table(names, &name) else { continue };
        let mut behind = statement.iter().skip(position + 1);
        let mut next = behind.next();
        if next.is_some_and(|piece| piece.text.eq_ignore_ascii_case("AS")) {
            next = behind.next();
        }
        let is_alias =
            |piece: &&&Piece<'_>| piece.kind == Kind::Quoted || !is_one_of(&KEYWORDS, piece.text);
        found.push((table, next.filter(is_alias).and_then(|piece| piece.name())));
    }
    found
}

/// The table of this name: the same spelling, else the only one that differs in case.
fn table<'a>(names: &'a Names, name: &str) -> Option<&'a Table> {
    let exact = names.tables.iter().find(|table| table.name == name);
    let folded = name.to_lowercase();
    let mut others = names.tables.iter().filter(|table| table.name.to_lowercase() == folded);
    exact.or_else(|| others.next().filter(|_| others.next().is_none()))
}

/// The tables that `owner.` means: by alias, else by name.
fn owned_by<'a>(names: &'a Names, statement: &[&Piece<'_>], owner: &str) -> Vec<&'a Table> {
    let named = named(names, statement).into_iter();
    let by_alias: Vec<&Table> = named
        .filter(|(_, alias)| alias.as_ref().is_some_and(|alias| alias.eq_ignore_ascii_case(owner)))
        .map(|(table, _)| table)
        .collect();
    if by_alias.is_empty() { table(names, owner).into_iter().collect() } else { by_alias }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let table = |name: &str, columns: &[&str]| Table {
            name: name.to_owned(),
            columns: columns.iter().map(|one| (*one).to_owned()).collect(),
        };
        Names {
            tables: vec![
                table("trades", &["time", "symbol", "price", "size"]),
                table("Daily Bars", &["time", "Symbol", "Adj Close", "order"]),
                table("orders", &["time", "id"]),
            ],
            functions: ["time_bucket", "sum", "stddev", "last"].map(str::to_owned).into(),
        }
    }

    /// Candidates at the `|`, and what they replace.
    fn at(text: &str) -> (String, Vec<String>) {
        let place = text.find('|').unwrap();
        let text = text.replace('|', "");
        let (start, found) = complete(&names(), &text, place);
        (text[start..place].to_owned(), found)
    }

    fn offered(text: &str) -> Vec<String> {
        at(text).1
    }

    #[test]
    fn tables_follow_the_words_that_name_them() {
        assert_eq!(offered("SELECT * FROM tr|"), ["trades"]);
        assert_eq!(offered("SELECT * FROM |"), ["trades", "\"Daily Bars\"", "orders", "system."]);
        assert_eq!(at("insert into DAI|"), ("DAI".to_owned(), vec!["\"Daily Bars\"".to_owned()]));
        assert_eq!(at("describe \"da|"), ("\"da".to_owned(), vec!["\"Daily Bars\"".to_owned()]));
        assert_eq!(offered("SELECT * FROM system.t|"), ["tables"]);
        assert_eq!(offered("SELECT 1; SELECT * FROM o|; SELECT 2"), ["orders"]);
    }

    #[test]
    fn columns_are_those_of_the_tables_that_are_named() {
        assert_eq!(
            offered("SELECT pr| FROM trades"),
            ["price", "PRECEDING"].map(|word| {
                if word == "price" { word.to_owned() } else { word.to_lowercase() }
            })
        );
        // Before FROM those of every table, each once.
        assert_eq!(offered("SELECT ti|"), ["time", "time_bucket("]);
        assert_eq!(offered("SELECT i|")[0], "id");
        assert_eq!(offered("SELECT t.| FROM trades AS t"), ["time", "symbol", "price", "size"]);
        assert_eq!(offered("SELECT x.s| FROM TRADES x JOIN orders t ON 1"), ["symbol", "size"]);
        assert_eq!(offered("SELECT orders.| FROM orders"), ["time", "id"]);
        assert_eq!(offered("SELECT ad| FROM \"Daily Bars\" WHERE"), ["\"Adj Close\"", "add"]);
        // An open quote takes names alone, and keeps them quoted.
        assert_eq!(offered("SELECT \"o|"), ["\"order\"", "\"orders\"",]);
        // A column that is a keyword is quoted.
        let orders = offered("SELECT o| FROM \"Daily Bars\" d WHERE d.time > 1");
        assert!(orders.contains(&"\"order\"".to_owned()) && orders.contains(&"order".to_owned()));
        // Of another statement none are offered.
        assert!(!offered("SELECT 1 FROM orders; SELECT i| FROM trades").contains(&"id".to_owned()));
    }

    #[test]
    fn functions_and_keywords_follow_the_case_that_is_typed() {
        assert_eq!(offered("SELECT TIME_|"), ["time_bucket("]);
        assert_eq!(offered("SEL|"), ["SELECT"]);
        assert_eq!(offered("sel|"), ["select"]);
        assert_eq!(offered("SELECT su|"), ["sum(", "summarize"]);
        assert!(offered("|").contains(&"SELECT".to_owned()));
        assert!(offered("SELECT 1; |").contains(&"SHOW".to_owned()));
        assert!(offered("SELECT |").is_empty());
    }

    #[test]
    fn nothing_is_offered_inside_of_texts_numbers_and_comments() {
        for text in [
            "SELECT 'tr|",
            "SELECT 'tr|'",
            "SELECT 1 -- tr|",
            "SELECT /* tr|",
            "SELECT 12|",
            "SELECT 1e|",
        ] {
            assert_eq!(offered(text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(complete(&names(), "\u{e4}\u{e4}", 1).1, Vec::<String>::new());
    }

    #[test]
    fn commands_are_completed_with_their_table() {
        assert_eq!(offered("\\t|"), ["\\timing"]);
        assert_eq!(at("\\d da|"), ("da".to_owned(), vec!["\"Daily Bars\"".to_owned()]));
        assert_eq!(offered("\\d tr|"), ["trades"]);
    }
}
