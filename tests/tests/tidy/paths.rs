//! The paths (`a::b::c`) that a file names, with `use` trees spelt out, in the order of the text.

use crate::source::{Token, tokens};

/// One path as written; `use a::{b, c::*}` yields `a::b` and `a::c::*`.
#[derive(Debug)]
pub(crate) struct PathUse {
    pub(crate) segments: Vec<String>,
    /// 1-based.
    pub(crate) line: usize,
    /// Inline modules around it, outermost first.
    pub(crate) scope: Vec<String>,
    /// What follows it directly: "(" of a call, "!" of a macro.
    pub(crate) next: String,
    /// The token before it: "fn" before a definition, "." before a method.
    pub(crate) before: String,
}

impl PathUse {
    pub(crate) fn is_call(&self) -> bool {
        self.next == "(" && self.before != "fn"
    }

    pub(crate) fn is_method(&self) -> bool {
        self.before == "."
    }

    pub(crate) fn is_macro(&self) -> bool {
        self.next == "!"
    }
}

/// Every path in `code`, which is stripped text.
pub(crate) fn paths(code: &str) -> Vec<PathUse> {
    let tokens = tokens(code);
    let mut reader = Reader { tokens: &tokens, found: Vec::new(), scopes: Vec::new(), depth: 0 };
    let mut i = 0;
    while i < tokens.len() {
        i = reader.step(i);
    }
    reader.found
}

struct Reader<'a> {
    tokens: &'a [Token<'a>],
    found: Vec<PathUse>,
    /// Name of an inline module and the brace depth inside it.
    scopes: Vec<(String, usize)>,
    depth: usize,
}

impl Reader<'_> {
    fn text(&self, i: usize) -> &str {
        self.tokens.get(i).map_or("", |token| token.text)
    }

    /// Reads the path or the single token at `i`; returns the index after it.
    fn step(&mut self, i: usize) -> usize {
        match self.text(i) {
            "mod" if self.text(i + 2) == "{" => {
                self.depth += 1;
                self.scopes.push((self.text(i + 1).to_owned(), self.depth));
                i + 3
            }
            "{" => {
                self.depth += 1;
                i + 1
            }
            "}" => {
                if self.scopes.last().is_some_and(|(_, depth)| *depth == self.depth) {
                    self.scopes.pop();
                }
                self.depth = self.depth.saturating_sub(1);
                i + 1
            }
            "::" => i + 1,
            _ if self.tokens[i].is_word() => {
                let before = if i == 0 { "" } else { self.text(i - 1) }.to_owned();
                self.tree(i, &[], &before)
            }
            _ => i + 1,
        }
    }

    /// Reads one path or use tree behind `prefix`; returns the index after it.
    fn tree(&mut self, mut i: usize, prefix: &[String], before: &str) -> usize {
        let mut segments = prefix.to_vec();
        let line = self.tokens.get(i).map_or(0, |token| token.line);
        loop {
            match self.text(i) {
                "{" => return self.group(i + 1, &segments, before),
                "*" => segments.push("*".to_owned()),
                // `use a::{self}` names `a`.
                "self" if !segments.is_empty() => {}
                word if word.starts_with(crate::source::is_word_start) => {
                    segments.push(word.to_owned());
                }
                _ => break,
            }
            i += 1;
            if self.text(i) != "::" {
                break;
            }
            i += 1;
        }
        self.found.push(PathUse {
            segments,
            line,
            scope: self.scopes.iter().map(|(name, _)| name.clone()).collect(),
            next: self.text(i).to_owned(),
            before: before.to_owned(),
        });
        i
    }

    /// Reads the trees between the braces of a `use` group; returns the index after `}`.
    fn group(&mut self, mut i: usize, prefix: &[String], before: &str) -> usize {
        while i < self.tokens.len() {
            match self.text(i) {
                "}" => return i + 1,
                "," => i += 1,
                "as" => i += 2,
                _ => {
                    let next = self.tree(i, prefix, before);
                    // A token that no tree starts with: step over it, or the loop never ends.
                    i = if next == i { i + 1 } else { next };
                }
            }
        }
        i
    }
}

#[test]
fn use_trees_are_spelt_out() {
    let code =
        "use a::{b::{self, c}, d as e, f::*};\nmod m { use super::g; }\nh.sleep(); fn k() {}";
    let found = paths(code);
    let has = |path: &str, line: usize| {
        found.iter().any(|p| p.segments.join("::") == path && p.line == line)
    };
    for (path, line) in [("a::b", 1), ("a::b::c", 1), ("a::d", 1), ("a::f::*", 1), ("super::g", 2)]
    {
        assert!(has(path, line), "{path} in {found:?}");
    }
    let of = |path: &str| found.iter().find(|p| p.segments.join("::") == path).unwrap();
    assert_eq!(of("super::g").scope, ["m"]);
    assert!(of("sleep").is_call() && of("sleep").is_method());
    assert!(!of("k").is_call());
    assert!(of("h").scope.is_empty());
}
