//! What may be used only in its home: disk, clock, randomness, threads, and `unsafe`.

use crate::paths::{PathUse, paths};
use crate::source::{strip, tokens, without_attributes, without_tests};

/// Something that code reaches only through a trait of ours.
#[derive(Debug)]
pub(crate) struct Ban<'a> {
    pub(crate) what: &'a str,
    /// `a::b` matches these names in a row anywhere in a path; `a::` only with a name after it;
    /// `a(` a call of the function `a`, not of a method.
    pub(crate) patterns: &'a [&'a str],
    /// Folders in which the ban holds.
    pub(crate) within: &'a [&'a str],
    /// Files free of it; a final `*` stands for any ending.
    pub(crate) homes: &'a [&'a str],
    /// Whether code that only tests have is free of it.
    pub(crate) tests_may: bool,
    /// What to do instead.
    pub(crate) instead: &'a str,
}

/// Whether `path` matches a pattern with an optional final `*`.
pub(crate) fn matches_home(path: &str, home: &str) -> bool {
    match home.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => path == home,
    }
}

fn matches_path(used: &PathUse, pattern: &str) -> bool {
    if let Some(name) = pattern.strip_suffix('(') {
        let last = used.segments.last().map(String::as_str);
        return last == Some(name) && used.is_call() && !used.is_method();
    }
    let more = pattern.ends_with("::");
    let wanted: Vec<&str> = pattern.trim_end_matches("::").split("::").collect();
    let windows = used.segments.windows(wanted.len() + usize::from(more));
    let mut starts = windows.map(|window| &window[..wanted.len()]);
    starts.any(|window| window == wanted.as_slice())
}

/// Uses of what `bans` forbid in this file; `test_file` says that only tests reach it.
pub(crate) fn check_bans(path: &str, text: &str, test_file: bool, bans: &[Ban<'_>]) -> Vec<String> {
    let code = strip(text);
    let everywhere = paths(&code);
    let outside_tests = if test_file { Vec::new() } else { paths(&without_tests(&code)) };
    let mut problems = Vec::new();
    for ban in bans {
        let inside = ban.within.iter().any(|folder| path.starts_with(folder));
        if !inside || ban.homes.iter().any(|home| matches_home(path, home)) {
            continue;
        }
        let uses = if ban.tests_may { &outside_tests } else { &everywhere };
        let mut reported = 0;
        for used in uses {
            // `use std::fs::{self, File}` is one use.
            if used.line != reported
                && ban.patterns.iter().any(|pattern| matches_path(used, pattern))
            {
                reported = used.line;
                problems.push(format!(
                    "{path}:{}: `{}` uses {} directly: {} (homes: BANS in tests/tests/tidy.rs)",
                    used.line,
                    used.segments.join("::"),
                    ban.what,
                    ban.instead
                ));
            }
        }
    }
    problems
}

/// `unsafe` outside `home` (a folder), or inside it without a reason written above.
pub(crate) fn check_unsafe(path: &str, text: &str, home: &str) -> Vec<String> {
    let code = without_attributes(&strip(text));
    let bare: Vec<&str> = code.lines().collect();
    let written: Vec<&str> = text.lines().collect();
    let all = tokens(&code);
    let mut problems = Vec::new();
    for (i, token) in all.iter().enumerate().filter(|(_, token)| token.text == "unsafe") {
        let line = token.line;
        if !path.starts_with(home) {
            problems.push(format!("{path}:{line}: `unsafe` stands only in {home}: move it there"));
            continue;
        }
        let next = |n: usize| all.get(i + n).map_or("", |token| token.text);
        // `unsafe fn(..)` and `unsafe extern "C" fn(..)` are types of pointers.
        let pointer_type = next(1) == "fn" && next(2) == "("
            || next(1) == "extern" && next(3) == "fn" && next(4) == "(";
        if !pointer_type && !has_reason(&bare, &written, line) {
            problems.push(format!(
                "{path}:{line}: `unsafe` without a reason: write `// SAFETY:` (a block or impl) \
                 or a `# Safety` section (a function) directly above"
            ));
        }
    }
    problems
}

fn is_reason(line: &str) -> bool {
    let comment = line.split_once("//").or_else(|| line.split_once("/*"));
    comment.is_some_and(|(_, said)| said.contains("SAFETY:") || said.contains("# Safety"))
}

/// Walks up from `line` (1-based) over comments, attributes and the start of the statement.
fn has_reason(bare: &[&str], written: &[&str], line: usize) -> bool {
    if is_reason(written[line - 1]) {
        return true;
    }
    for (code, text) in bare[..line - 1].iter().zip(written).rev() {
        let code = code.trim();
        let ends_before = code.ends_with([';', '{', '}', ',']);
        if text.trim().is_empty() || ends_before {
            return false;
        }
        if is_reason(text) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[Ban<'static>] = &[
        Ban {
            what: "the file system",
            patterns: &["std::fs", "File::open", "rand::"],
            within: &["e/src/"],
            homes: &["e/src/vfs/os*"],
            tests_may: false,
            instead: "go through Vfs",
        },
        Ban {
            what: "sleeping",
            patterns: &["sleep(", "Condvar"],
            within: &["e/src/"],
            homes: &["e/src/executor.rs"],
            tests_may: true,
            instead: "wait through Executor",
        },
    ];

    #[test]
    fn direct_uses_fail() {
        for text in [
            "use std::fs::File;",
            "use std::{fs, io};",
            "use std::{io, fs::{self, File}};",
            "fn f() { File::open(p) }",
            "fn f() { ::std::fs::read(p) }",
            "fn f() { rand::random() }",
            "fn f() { thread::sleep(d) }",
            "use parking_lot::{Condvar, Mutex};",
            "struct S { c: sync::Condvar }",
            "#[cfg(test)] mod t { use std::fs; }",
        ] {
            let problems = check_bans("e/src/wal/mod.rs", &format!("\n{text}"), false, SAMPLE);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].starts_with("e/src/wal/mod.rs:2: "), "{problems:?}");
        }
    }

    #[test]
    fn homes_methods_comments_and_tests_pass() {
        for (path, text) in [
            ("e/src/vfs/os.rs", "use std::fs;"),
            ("e/src/vfs/os/tests.rs", "use std::fs;"),
            ("other/src/lib.rs", "use std::fs;"),
            ("e/src/a.rs", "// std::fs\nconst S: &str = \"std::fs\";"),
            ("e/src/a.rs", "fn sleep(&self) {} fn g() { executor.sleep(d); let rand = 1; rand }"),
            ("e/src/a.rs", "use crate::vfs::File; fn f() { file.open() }"),
            ("e/src/a.rs", "#[cfg(test)] mod t { fn f() { thread::sleep(d) } }"),
        ] {
            assert_eq!(check_bans(path, text, false, SAMPLE), [""; 0], "{path}: {text}");
        }
        let test_file = "fn f() { thread::sleep(d) }";
        assert_eq!(check_bans("e/src/a/tests.rs", test_file, true, SAMPLE), [""; 0]);
        assert_eq!(check_bans("e/src/a/tests.rs", "use std::fs;", true, SAMPLE).len(), 1);
    }

    #[test]
    fn unsafe_with_a_reason_at_home_passes() {
        for text in [
            "// SAFETY: why\nunsafe { a }",
            "// SAFETY: why,\n// at length\nlet x =\n    unsafe { a };",
            "/// Maps.\n///\n/// # Safety\n/// A.\n#[expect(\n    x,\n    reason = \"y\"\n)]\npub unsafe fn f() {}",
            "let a = unsafe { b }; // SAFETY: why",
            "type F = unsafe fn(u8); type G = unsafe extern \"C\" fn(u8);",
            "// unsafe\n#![deny(unsafe_code)]\nconst S: &str = \"unsafe\";",
        ] {
            assert_eq!(check_unsafe("e/sys/src/a.rs", text, "e/sys/"), [""; 0], "{text}");
        }
    }

    #[test]
    fn unsafe_elsewhere_or_unexplained_fails() {
        assert_eq!(check_unsafe("e/src/a.rs", "// SAFETY: x\nunsafe { a }", "e/sys/").len(), 1);
        for text in [
            "fn f() {\n    unsafe { a }\n}",
            "// SAFETY: of another\nlet a = unsafe { b };\nlet c = unsafe { d };",
            "// SAFETY: too far\n\nunsafe { a }",
            "/// Maps.\npub unsafe fn f() {}",
            "unsafe impl Send for A {}",
            "let s = \"SAFETY:\"; unsafe { a }",
        ] {
            let problems = check_unsafe("e/sys/src/a.rs", text, "e/sys/");
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        }
    }
}
