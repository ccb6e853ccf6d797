//! Rust text as the checks see it: comments, literals, attributes and test items blanked out,
//! then cut into tokens. Invariant: blanking keeps every byte offset and every line break, so a
//! position in a blanked text is a position in the file.

/// A word, a `::`, or one other character, with its 1-based line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
    pub(crate) offset: usize,
}

impl Token<'_> {
    pub(crate) fn is_word(&self) -> bool {
        self.text.starts_with(is_word_start)
    }
}

pub(crate) fn is_word_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

pub(crate) fn is_word_part(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Blanks comments, and string and character literals after their opening quote.
pub(crate) fn strip(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut at = 0;
    let mut previous = ' ';
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (blank_from, end) = if rest.starts_with("//") {
            (at, at + rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (at, at + block_comment_len(rest))
        } else if c == '"' {
            (at + 1, at + string_len(rest))
        } else if let Some((open, len)) = raw_string(rest).filter(|_| !is_word_part(previous)) {
            (at + open, at + len)
        } else if let Some(len) = char_literal_len(rest) {
            (at + 1, at + len)
        } else {
            previous = c;
            at += c.len_utf8();
            continue;
        };
        blank(&mut out, blank_from, end);
        // A literal ends with its quote, which must not glue to the word after it.
        previous = ' ';
        at = end;
    }
    String::from_utf8(out).expect("whole characters are blanked")
}

/// Blanks items that exist only in tests: `#[cfg(test)]`, `#[cfg(all(test, ..))]`, `#[test]`.
/// `code` is stripped text.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    let tokens = tokens(code);
    let mut i = 0;
    while i < tokens.len() {
        let Some(close) = attribute_end(&tokens, i) else {
            i += 1;
            continue;
        };
        if !is_test_attribute(&tokens[i..=close]) {
            i = close + 1;
            continue;
        }
        let end = item_end(&tokens, close + 1);
        let stop = tokens.get(end).map_or(code.len(), |token| token.offset);
        blank(&mut out, tokens[i].offset, stop);
        i = end;
    }
    String::from_utf8(out).expect("whole tokens are blanked")
}

/// Blanks attributes. `code` is stripped text.
pub(crate) fn without_attributes(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    let tokens = tokens(code);
    let mut i = 0;
    while i < tokens.len() {
        match attribute_end(&tokens, i) {
            Some(close) => {
                blank(&mut out, tokens[i].offset, tokens[close].offset + 1);
                i = close + 1;
            }
            None => i += 1,
        }
    }
    String::from_utf8(out).expect("whole tokens are blanked")
}

/// Cuts stripped text into tokens.
pub(crate) fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(c) = code[at..].chars().next() {
        let rest = &code[at..];
        let len = if is_word_part(c) {
            rest.find(|c| !is_word_part(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            c.len_utf8()
        };
        if !c.is_whitespace() {
            found.push(Token { text: &rest[..len], line, offset: at });
        }
        line += usize::from(c == '\n');
        at += len;
    }
    found
}

/// The index of the `]` that closes the attribute starting at token `i`, if one starts there.
pub(crate) fn attribute_end(tokens: &[Token<'_>], i: usize) -> Option<usize> {
    let text = |i: usize| tokens.get(i).map(|token| token.text);
    if text(i) != Some("#") {
        return None;
    }
    let open = i + 1 + usize::from(text(i + 1) == Some("!"));
    if text(open) != Some("[") {
        return None;
    }
    let mut depth = 0;
    for (j, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(j);
        }
    }
    None
}

/// Whether the attribute (from `#` to `]`) marks an item that only tests have.
pub(crate) fn is_test_attribute(attribute: &[Token<'_>]) -> bool {
    let words: Vec<&str> =
        attribute.iter().filter(|token| token.is_word()).map(|token| token.text).collect();
    // `all(not(test), ..)` exists outside tests alone.
    matches!(words.as_slice(), ["test"] | ["cfg", "test"])
        || words.starts_with(&["cfg", "all"]) && words.contains(&"test") && !words.contains(&"not")
}

/// The index just past the item that starts at token `i`: its `;` or its braces.
fn item_end(tokens: &[Token<'_>], mut i: usize) -> usize {
    while let Some(close) = attribute_end(tokens, i) {
        i = close + 1;
    }
    let mut depth = 0;
    while let Some(token) = tokens.get(i) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        // Below zero: a field or an arm, whose end is that of the braces around it.
        if depth < 0 {
            return i;
        }
        i += 1;
        if depth == 0 && matches!(token.text, ";" | "}") {
            return i;
        }
    }
    i
}

/// Overwrites `out[from..to]` with spaces; line breaks stay.
fn blank(out: &mut [u8], from: usize, to: usize) {
    for byte in &mut out[from..to] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn block_comment_len(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let pair = rest.as_bytes().get(at..at + 2).unwrap_or_default();
        match pair {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Length of the literal that opens with a quote, both quotes included.
fn string_len(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `r"`, `br#"`, `cr##"`...: length of the opening and of the whole literal.
fn raw_string(rest: &str) -> Option<(usize, usize)> {
    let after_prefix = ["r", "br", "cr"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let after_hashes = after_prefix.trim_start_matches('#');
    let hashes = after_prefix.len() - after_hashes.len();
    let body = after_hashes.strip_prefix('"')?;
    let open = rest.len() - body.len();
    let closing = format!("\"{}", "#".repeat(hashes));
    let len = body.find(&closing).map_or(rest.len(), |at| open + at + closing.len());
    Some((open, len))
}

/// Length of a character literal; `None` for a lifetime.
fn char_literal_len(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    let first = body.chars().next()?;
    if first == '\\' {
        // The escaped character may itself be a quote.
        let tail = body.get(2..)?;
        return tail.find('\'').map(|at| at + 4);
    }
    body[first.len_utf8()..].starts_with('\'').then(|| first.len_utf8() + 2)
}

#[test]
fn comments_and_literals_are_blanked_and_lines_kept() {
    let text = "a /* b /* c */\n d */ e // f\n\"g \\\" h\" i r#\"j \" k\"# l 'm' '\\'' 'n: 'o\n";
    let code = strip(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(code.lines().count(), text.lines().count());
    let words: Vec<&str> =
        tokens(&code).iter().filter(|token| token.is_word()).map(|token| token.text).collect();
    assert_eq!(words, ["a", "e", "i", "r", "l", "n", "o"]);
    let last = *tokens(&code).last().unwrap();
    assert_eq!((last.text, last.line), ("o", 3));
}

#[test]
fn a_word_that_ends_in_r_does_not_open_a_raw_string() {
    // As a raw string it would end at the escaped quote.
    assert_eq!(strip(r#"for"a\"b" c"#), r#"for"      c"#);
    assert_eq!(strip("é = 'é'; x"), "é = '   ; x");
}

#[test]
fn only_items_of_tests_are_blanked() {
    let code = "#[cfg(test)]\n#[allow(x)]\nmod tests { fn a() { b } }\nfn keep() {}\n\
                #[cfg(test)] use q::{r, s};\n#[test] fn t(x: [u8; 2]) { u }\n\
                #[cfg(not(test))] fn kept() {}\n#[cfg(all(test, unix))] mod v;\n\
                #[cfg(any(test, feature))] fn also() {}";
    let left = without_tests(code);
    assert_eq!(left.len(), code.len());
    let functions: Vec<String> = left
        .split("fn ")
        .skip(1)
        .map(|rest| rest.split('(').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(functions, ["keep", "kept", "also"]);
    assert!(!left.contains("use q") && !left.contains("mod v"), "{left}");
}

#[test]
fn attributes_are_blanked_to_their_bracket() {
    assert_eq!(without_attributes("#![a([b])] c #[d] e"), "           c      e");
}
