//! Bounds how deep a statement may nest, on its tokens, before anything recursive sees it: parser, binder, planner, and the release of
//! their trees, which recurses too.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Result, SqlError, SqlErrorKind};

/// Brackets, operators and keywords that may lie around one token, inclusive.
pub(crate) const NESTING_MAX: usize = 500;
/// Brackets that may lie around one token, inclusive: the parser uses the most stack for these.
pub(crate) const BRACKETS_MAX: usize = 64;
/// Bytes of one statement, inclusive.
pub(crate) const STATEMENT_BYTES_MAX: usize = 64 << 20;

/// Checks the text's length.
///
/// # Errors
/// `Refused` beyond [`STATEMENT_BYTES_MAX`].
pub(crate) fn check_length(sql: &str) -> Result<()> {
    if sql.len() <= STATEMENT_BYTES_MAX {
        return Ok(());
    }
    Err(SqlError::refused(format!(
        "the statement is {} bytes, the limit is {STATEMENT_BYTES_MAX} bytes: import larger data",
        sql.len()
    )))
}

/// Checks that no tree over these tokens is deeper than the limits. Each operator or keyword since the last comma, on each level of
/// brackets, may be a level of the tree: `a + b + c` nests to the left as deep as it has operators.
///
/// # Errors
/// `Syntax` at the first token that lies too deep.
pub(crate) fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut levels: Vec<usize> = vec![0];
    let mut total = 0_usize;
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                // `a[1][2]` nests as `a + 1 + 2` does.
                if let (Token::LBracket, Some(level)) = (&token.token, levels.last_mut()) {
                    *level += 1;
                    total += 1;
                }
                levels.push(0);
                total += 1;
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                if levels.len() > 1 {
                    total -= levels.pop().unwrap_or_default() + 1;
                }
            }
            Token::Comma | Token::SemiColon => {
                if let Some(level) = levels.last_mut() {
                    total -= std::mem::take(level);
                }
            }
            other if deepens(other) => {
                if let Some(level) = levels.last_mut() {
                    *level += 1;
                    total += 1;
                }
            }
            _ => continue,
        }
        if total > NESTING_MAX || levels.len() > BRACKETS_MAX + 1 {
            let message = format!(
                "the statement nests deeper than {BRACKETS_MAX} brackets or {NESTING_MAX} operators in one expression: \
                 write long chains of OR as IN (...), or split the statement"
            );
            let place = token.span.start;
            return Err(SqlError::new(SqlErrorKind::Syntax, message).at(place.line, place.column));
        }
    }
    Ok(())
}

fn deepens(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.quote_style.is_none() && word.keyword != Keyword::NoKeyword,
        Token::EOF
        | Token::Whitespace(_)
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_) => false,
        _ => true,
    }
}
