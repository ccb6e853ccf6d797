//! A statement's text as pieces, however unfinished it is: what the prompt needs to see where a statement ends and what is
//! being typed. The query crate reads statements; nothing here decides what one means.

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in double quotes or backquotes.
    Quoted,
    /// A text in single quotes.
    Text,
    /// A number.
    Number,
    /// A comment.
    Comment,
    /// One character of anything else but white space.
    Symbol,
}

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) kind: Kind,
    /// As it stands there, quotes included.
    pub(super) text: &'a str,
    /// Bytes before it.
    pub(super) start: usize,
    /// Whether its closing quote, or the end of the comment, is there.
    pub(super) is_closed: bool,
}

impl Piece<'_> {
    /// The byte behind it.
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is this symbol.
    pub(super) fn is(&self, symbol: char) -> bool {
        self.kind == Kind::Symbol && self.text.starts_with(symbol)
    }

    /// The name that it is, without quotes.
    pub(super) fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_owned()),
            Kind::Quoted => Some(unquoted(self.text, self.is_closed)),
            _ => None,
        }
    }
}

fn unquoted(text: &str, is_closed: bool) -> String {
    let Some(quote) = text.chars().next() else { return String::new() };
    let inner = text.get(1..text.len() - usize::from(is_closed)).unwrap_or_default();
    inner.replace(&format!("{quote}{quote}"), &quote.to_string())
}

/// The pieces of `text`, in order. White space is left out.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        let (kind, len, is_closed) = first(rest);
        if let (Some(kind), Some(text)) = (kind, rest.get(..len)) {
            found.push(Piece { kind, text, start, is_closed });
        }
        start += len.max(1);
    }
    found
}

/// What `rest` begins with, its bytes, and whether it is closed; no kind for white space.
fn first(rest: &str) -> (Option<Kind>, usize, bool) {
    let Some(begin) = rest.chars().next() else { return (None, 0, true) };
    let run = |is: fn(char) -> bool| rest.find(|c: char| !is(c)).unwrap_or(rest.len());
    match begin {
        _ if begin.is_whitespace() => (None, run(char::is_whitespace), true),
        '\'' => quoted(rest, Kind::Text, '\''),
        '"' | '`' => quoted(rest, Kind::Quoted, begin),
        _ if rest.starts_with("--") => {
            (Some(Kind::Comment), rest.find('\n').unwrap_or(rest.len()), true)
        }
        _ if rest.starts_with("/*") => match rest.find("*/") {
            Some(at) => (Some(Kind::Comment), at + 2, true),
            None => (Some(Kind::Comment), rest.len(), false),
        },
        _ if begin.is_ascii_digit() => {
            (Some(Kind::Number), run(|c| c.is_alphanumeric() || c == '_' || c == '.'), true)
        }
        _ if begin.is_alphabetic() || begin == '_' => {
            (Some(Kind::Word), run(|c| c.is_alphanumeric() || c == '_'), true)
        }
        _ => (Some(Kind::Symbol), begin.len_utf8(), true),
    }
}

/// A quote that is doubled stands for itself.
fn quoted(rest: &str, kind: Kind, quote: char) -> (Option<Kind>, usize, bool) {
    let mut from = 1;
    while let Some(at) = rest.get(from..).and_then(|rest| rest.find(quote)) {
        let end = from + at + 1;
        if !rest.get(end..).is_some_and(|rest| rest.starts_with(quote)) {
            return (Some(kind), end, true);
        }
        from = end + 1;
    }
    (Some(kind), rest.len(), false)
}

/// Whether what was typed is whole: a command of the prompt, or statements that a semicolon ends.
pub(super) fn is_whole(text: &str) -> bool {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.starts_with('\\') || LEAVING.contains(&trimmed) {
        return true;
    }
    let pieces = pieces(text);
    let last = pieces.iter().rev().find(|piece| piece.kind != Kind::Comment);
    pieces.iter().all(|piece| piece.is_closed) && last.is_some_and(|piece| piece.is(';'))
}

/// Words that need no semicolon.
pub(super) const LEAVING: [&str; 3] = ["quit", "exit", "help"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_stand_where_they_stand_and_know_whether_they_are_closed() {
        let text = "SELECT \"a\"\"b\", 'it''s' -- x\n/* y */ 1.5e3;\u{e4}_1 `c";
        let found = pieces(text);
        let shown: Vec<(Kind, &str)> = found.iter().map(|piece| (piece.kind, piece.text)).collect();
        assert_eq!(
            shown,
            [
                (Kind::Word, "SELECT"),
                (Kind::Quoted, "\"a\"\"b\""),
                (Kind::Symbol, ","),
                (Kind::Text, "'it''s'"),
                (Kind::Comment, "-- x"),
                (Kind::Comment, "/* y */"),
                (Kind::Number, "1.5e3"),
                (Kind::Symbol, ";"),
                (Kind::Word, "\u{e4}_1"),
                (Kind::Quoted, "`c"),
            ]
        );
        assert!(found.iter().all(|piece| text.get(piece.start..piece.end()) == Some(piece.text)));
        assert_eq!(found.iter().filter(|piece| !piece.is_closed).count(), 1);
        assert_eq!(found[1].name().as_deref(), Some("a\"b"));
        assert_eq!(found[9].name().as_deref(), Some("c"));
        assert_eq!(found[3].name(), None);
    }

    #[test]
    fn statements_are_whole_once_a_semicolon_ends_them() {
        for whole in [
            "",
            "  \n",
            "SELECT 1;",
            "SELECT ';';",
            "SELECT 1; -- done",
            "SELECT 1; /* ; */ ",
            "\\d",
            "\\? more",
            "quit",
            " exit ",
            "SELECT \"a;b\" ;",
            "SELECT 1; SELECT 2;",
        ] {
            assert!(is_whole(whole), "{whole:?}");
        }
        for part in [
            "SELECT 1",
            "SELECT ';",
            "SELECT 1 -- ;",
            "SELECT /* ;",
            "SELECT \"a;",
            "SELECT 1; SELECT 2",
            "quit 1",
            "SELECT 'it'';",
        ] {
            assert!(!is_whole(part), "{part:?}");
        }
    }
}
