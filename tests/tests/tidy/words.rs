//! What texts say: no paths of a machine, links that lead somewhere, limits with units.

use crate::modules::join;
use crate::source::{strip, tokens};

/// Absolute paths that belong to one machine, written without their first slash.
const MACHINE_PATHS: &[&str] = &["root/", "home/", "Users/", "work/", "tmp/bash"];

/// Absolute paths of a developer's machine.
pub(crate) fn check_machine_paths(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (i, line) in text.lines().enumerate() {
        for (at, _) in line.match_indices('/') {
            // Inside a longer path it is no absolute one.
            let before = line[..at].chars().next_back();
            let inside = before
                .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | '~'));
            let found = MACHINE_PATHS.iter().find(|machine| line[at + 1..].starts_with(**machine));
            if let Some(found) = found.filter(|_| !inside) {
                problems.push(format!(
                    "{path}:{}: `/{found}` is a path of one machine: say it relative to the \
                     workspace, or read it from the environment",
                    i + 1
                ));
            }
        }
    }
    problems
}

/// Markdown text with fenced and inline code blanked; offsets are lost, lines are kept.
fn without_code(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        if fence || fenced {
            fenced ^= fence;
            lines.push(String::new());
            continue;
        }
        let outside = line.split('`').step_by(2);
        lines.push(outside.collect::<Vec<_>>().join(" "));
    }
    lines
}

/// Relative links of a Markdown page that lead to no file or folder; `exists` is asked for paths
/// relative to the workspace's root.
pub(crate) fn check_links(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut problems = Vec::new();
    for (i, line) in without_code(text).iter().enumerate() {
        let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let defined = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        for link in inline.chain(defined.map(|(_, target)| target)) {
            let target = link.split_whitespace().next().unwrap_or_default();
            let target = target.trim_matches(['<', '>']).split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if target.starts_with('/') || !exists(&join(folder, target)) {
                problems.push(format!(
                    "{path}:{}: the link `{target}` leads nowhere: correct it, or name the page \
                     without a link until it exists",
                    i + 1
                ));
            }
        }
    }
    problems
}

/// Rust files that a page names in backticks and that do not exist. A name without a folder
/// (`mod.rs`) is a kind of file, not a place.
pub(crate) fn check_named_files(
    path: &str,
    text: &str,
    exists: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut fenced = false;
    for (i, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let named = line.split('`').skip(1).step_by(2).filter(|_| !fenced);
        for name in named.filter(|name| name.ends_with(".rs") && name.contains('/')) {
            if !exists(name) {
                problems.push(format!(
                    "{path}:{}: there is no file `{name}`: write its path from the workspace's root",
                    i + 1
                ));
            }
        }
    }
    problems
}

/// Units that a limit's name may end with, before an optional `_MAX` or `_MIN`.
pub(crate) const UNITS: &[&str] = &[
    "BITS", "BYTES", "COUNT", "DEPTH", "LEVELS", "MS", "NS", "PAGES", "PERCENT", "ROWS", "SECS",
    "US", "VALUES",
];

/// Public constants whose names carry no unit.
pub(crate) fn check_limits(path: &str, text: &str, units: &[&str]) -> Vec<String> {
    let code = strip(text);
    let tokens = tokens(&code);
    let mut problems = Vec::new();
    let mut public = false;
    for (i, token) in tokens.iter().enumerate() {
        match token.text {
            "pub" => public = true,
            ";" | "{" | "}" => public = false,
            "const" if public => {
                let Some(name) = tokens.get(i + 1).filter(|name| name.text != "fn") else {
                    continue;
                };
                let bare = name.text.strip_suffix("_MAX").or(name.text.strip_suffix("_MIN"));
                let unit = bare.unwrap_or(name.text).rsplit('_').next().unwrap_or_default();
                if !units.contains(&unit) {
                    problems.push(format!(
                        "{path}:{}: the limit `{}` names no unit: end it with one of {} (then \
                         _MAX or _MIN, or neither), or add a unit to UNITS in \
                         tests/tests/tidy/words.rs",
                        name.line,
                        name.text,
                        units.join(", ")
                    ));
                }
            }
            _ => {}
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exists(path: &str) -> bool {
        ["docs/a.md", "docs/format/wal.md", "engine/src/lib.rs", "docs/format"].contains(&path)
    }

    #[test]
    fn machine_paths_fail_and_others_pass() {
        for machine in MACHINE_PATHS {
            for before in ["", "see ", "\"", "`", "=", "(", "file://"] {
                let text = format!("\n{before}/{machine}x");
                let problems = check_machine_paths("a.md", &text);
                assert_eq!(problems.len(), 1, "{text}");
                assert!(problems[0].starts_with("a.md:2: "));
            }
        }
        for machine in MACHINE_PATHS {
            for before in ["a", "..", "~", "$HOME", "${A}"] {
                let text = format!("{before}/{machine}x");
                assert_eq!(check_machine_paths("a.md", &text), [""; 0], "{text}");
            }
        }
        assert_eq!(check_machine_paths("a.md", "/var/lib/x /tmp/x /rooted"), [""; 0]);
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let text = "[a](a.md) [b](format/wal.md#frame) [c](../engine/src/lib.rs) [d](format/)\n\
                    [e](https://example.org/x.md) [f](#here) `[g](gone.md)`\n\
                    ```\n[h](gone.md)\n```\n[i]: a.md\n[j](<a.md> \"title\")";
        assert_eq!(check_links("docs/b.md", text, &exists), [""; 0]);
    }

    #[test]
    fn links_that_lead_nowhere_fail() {
        let text = "x\n[a](gone.md) and [b](wal.md)\n[c]: ../docs/gone.md\n[d](/docs/a.md)";
        let problems = check_links("docs/b.md", text, &exists);
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems[0].starts_with("docs/b.md:2: the link `gone.md`"));
        assert!(problems[2].starts_with("docs/b.md:3: "));
    }

    #[test]
    fn named_files_must_exist() {
        let clean = "`engine/src/lib.rs`, every `mod.rs`, not `a/b.md`\n```\n`gone/x.rs`\n```\n";
        assert_eq!(check_named_files("docs/A.md", clean, &exists), [""; 0]);
        let problems = check_named_files("docs/A.md", "\nsee `wal/gone.rs` here", &exists);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("docs/A.md:2: there is no file `wal/gone.rs`"));
    }

    #[test]
    fn limits_need_units() {
        let clean = "pub const FLUSH_BYTES: u64 = 1;\npub(crate) const AGE_NS_MAX: u64 = 1;\n\
                     pub const FILL_PERCENT_MIN: u8 = 1;\n\
                     const PRIVATE: u8 = 0; const _: () = assert!(true);\n\
                     pub const fn page(rows: usize) -> usize { rows }\n\
                     // pub const COMMENT: u8 = 0;";
        assert_eq!(check_limits("limits.rs", clean, UNITS), [""; 0]);
        let text = "\npub const FLUSH: u64 = 1;\npub(crate) const BYTES_PER_X: u8 = 0;";
        let problems = check_limits("limits.rs", text, UNITS);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("limits.rs:2: the limit `FLUSH` names no unit"));
    }
}
