//! The text around statements: cutting a script, pointing at a place, writing a name.

use datafusion::sql::sqlparser::ast::{self, Expr, SelectItem, SetExpr, TableFactor};
use datafusion::sql::sqlparser::keywords::{
    ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS,
};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::dialect::ChronolithDialect;
use crate::error::SqlError;
use crate::identifier::quote;

/// The statements of a script, as they stand in its text, without the semicolons. Text that has no tokens is one statement.
pub(crate) fn split(script: &str) -> Vec<&str> {
    let Ok(tokens) = Tokenizer::new(&ChronolithDialect, script).tokenize_with_location() else {
        return vec![script.trim()];
    };
    let lines = line_starts(script);
    let offset = |line: u64, column: u64| offset_of(script, &lines, line, column);
    let mut statements = Vec::new();
    let mut begin = 0;
    let mut solid = false;
    let ends = tokens.iter().filter_map(|token| match token.token {
        Token::SemiColon => Some((true, offset(token.span.start.line, token.span.start.column))),
        Token::Whitespace(_) | Token::EOF => None,
        _ => Some((false, 0)),
    });
    for (is_end, end) in ends {
        if !is_end {
            solid = true;
            continue;
        }
        if solid && let Some(text) = script.get(begin..end) {
            statements.push(text.trim());
        }
        (begin, solid) = (end + 1, false);
    }
    if solid && let Some(text) = script.get(begin..) {
        statements.push(text.trim());
    }
    statements
}

fn line_starts(text: &str) -> Vec<usize> {
    let ends = text.char_indices().filter(|(_, c)| *c == '\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(ends).collect()
}

/// The byte offset of a line and a column, both from 1, columns counted in characters.
fn offset_of(text: &str, lines: &[usize], line: u64, column: u64) -> usize {
    let line = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
    let column = usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1);
    let start = lines.get(line).copied().unwrap_or(text.len());
    let rest = text.get(start..).unwrap_or_default();
    start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
}

/// The line of `sql` that an error is about, and a line with a caret under the place; none for an error without a place.
#[must_use]
pub fn caret(sql: &str, error: &SqlError) -> Option<String> {
    let (line, column) = error.position?;
    let text = sql.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
    let column = usize::try_from(column).ok()?.saturating_sub(1).min(text.chars().count());
    // A long line is shown around the place.
    let from = column.saturating_sub(60);
    let shown: String = text.chars().skip(from).take(100).collect();
    let shown = shown.replace('\t', " ");
    Some(format!("{shown}\n{}^", " ".repeat(column - from)))
}

/// The name of a table or column as people write it: in double quotes only where it would be read otherwise without them.
#[must_use]
pub fn written_name(name: &str) -> String {
    let quoted = quote(name);
    let mut letters = name.chars();
    let is_plain = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    // A keyword, of which many are names all the same.
    if quoted != name && is_plain && is_read_as_name(name) { name.to_owned() } else { quoted }
}

/// Whether `word` is a name without quotes wherever a table or a column is named. The parser also takes some words as
/// names that begin clauses; a statement with those would not be read by people.
fn is_read_as_name(word: &str) -> bool {
    let place = ALL_KEYWORDS.binary_search(&word.to_ascii_uppercase().as_str());
    let keyword = place.ok().and_then(|place| ALL_KEYWORDS_INDEX.get(place));
    let begins_clause = |keyword| RESERVED_FOR_COLUMN_ALIAS.contains(keyword);
    if keyword.is_none_or(begins_clause) {
        return false;
    }
    let sql = format!(
        "SELECT {word}, max({word}) AS {word} FROM {word} WHERE {word} > 1 GROUP BY {word} ORDER BY {word}"
    );
    let parsed = Parser::new(&ChronolithDialect).try_with_sql(&sql);
    let Ok(ast::Statement::Query(query)) = parsed.and_then(|mut parser| parser.parse_statement())
    else {
        return false;
    };
    let SetExpr::Select(select) = *query.body else { return false };
    let is_column = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => name.value == word,
        _ => false,
    };
    let is_table = |table: &TableFactor| match table {
        TableFactor::Table { name, alias: None, .. } => name.to_string() == word,
        _ => false,
    };
    matches!(select.projection.as_slice(), [column, _] if is_column(column))
        && matches!(select.from.as_slice(), [from] if is_table(&from.relation) && from.joins.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SqlErrorKind;

    #[test]
    fn scripts_are_cut_at_semicolons_that_end_statements() {
        let script = "SELECT 1; -- one; two\nSELECT ';' AS \"a;b\" /* ; */ ;;\n  INSERT INTO t VALUES ('ä;é');";
        assert_eq!(
            split(script),
            [
                "SELECT 1",
                "-- one; two\nSELECT ';' AS \"a;b\" /* ; */",
                "INSERT INTO t VALUES ('ä;é')"
            ]
        );
        assert_eq!(split(" ; ;"), Vec::<&str>::new());
        assert_eq!(split("-- nothing"), Vec::<&str>::new());
        assert_eq!(split("SELECT 'open"), ["SELECT 'open"]);
    }

    #[test]
    fn names_are_quoted_only_where_they_must_be() {
        for plain in
            ["price", "time", "size", "open", "close", "date", "Symbol", "_x", "volume", "name"]
        {
            assert_eq!(written_name(plain), plain);
        }
        for word in [
            "select",
            "from",
            "order",
            "interval",
            "null",
            "true",
            "current_date",
            "Adj Close",
            "1m",
            "a\"b",
            "",
            "\u{e4}",
        ] {
            assert_eq!(written_name(word), format!("\"{}\"", word.replace('"', "\"\"")));
        }
    }

    #[test]
    fn a_caret_stands_under_the_place() {
        let error = SqlError::new(SqlErrorKind::Syntax, "x").at(2, 8);
        assert_eq!(
            caret("SELECT 1,\nSELECT FROM t", &error).as_deref(),
            Some("SELECT FROM t\n       ^")
        );
        assert_eq!(caret("SELECT", &SqlError::internal("x")), None);
        assert_eq!(caret("SELECT", &error), None);
        let far = SqlError::internal("x").at(1, 9_000);
        assert_eq!(caret("ab", &far).as_deref(), Some("ab\n  ^"));
    }
}
