//! Which `.rs` files the compiler reads: walks `mod` declarations from the crates' roots.

use std::collections::BTreeMap;

use crate::source::{Token, attribute_end, is_test_attribute, strip, tokens};

/// Path to text, of every file in the tree; paths are relative to the workspace's root.
pub(crate) type Tree = BTreeMap<String, String>;

/// Folders with a manifest that declares a package.
fn packages(tree: &Tree) -> Vec<&str> {
    let manifests = tree.iter().filter(|(_, text)| text.contains("[package]"));
    manifests.filter_map(|(path, _)| path.strip_suffix("Cargo.toml")).collect()
}

/// The innermost package folder (with its final slash) that holds `path`.
fn package_of<'a>(packages: &[&'a str], path: &str) -> Option<&'a str> {
    packages.iter().copied().filter(|dir| path.starts_with(dir)).max_by_key(|dir| dir.len())
}

/// Whether Cargo takes the file for a crate's root without being told; `inside` is its path
/// inside the package.
fn is_conventional_root(inside: &str) -> bool {
    if matches!(inside, "src/lib.rs" | "src/main.rs" | "build.rs") {
        return true;
    }
    let folders = ["src/bin/", "tests/", "examples/", "benches/"];
    folders.iter().filter_map(|folder| inside.strip_prefix(folder)).any(|rest| {
        !rest.contains('/') || rest.ends_with("/main.rs") && rest.matches('/').count() == 1
    })
}

/// Roots that a manifest names: `path = "fuzz_targets/wal.rs"`.
fn named_roots(manifest: &str) -> impl Iterator<Item = &str> {
    manifest
        .lines()
        .map(str::trim)
        .filter_map(|line| line.split_once('='))
        .filter(|(key, _)| key.trim() == "path")
        .filter_map(|(_, value)| value.split('"').nth(1))
        .filter(|path| path.ends_with(".rs"))
}

/// Every file that a crate's root reaches, and whether only tests do.
pub(crate) fn reached(tree: &Tree) -> BTreeMap<String, bool> {
    let packages = packages(tree);
    let mut waiting = Vec::new();
    for path in tree.keys().filter(|path| path.ends_with(".rs")) {
        let Some(dir) = package_of(&packages, path) else { continue };
        let inside = &path[dir.len()..];
        let manifest = tree.get(&format!("{dir}Cargo.toml")).map_or("", String::as_str);
        if is_conventional_root(inside) || named_roots(manifest).any(|root| root == inside) {
            waiting.push((path.clone(), false, true));
        }
    }
    let mut found = BTreeMap::new();
    while let Some((path, test, owns_dir)) = waiting.pop() {
        let Some(text) = tree.get(&path) else { continue };
        // Known already, and not less test-only than before: nothing new behind it.
        if found.get(&path).is_some_and(|known| !known || test) {
            continue;
        }
        for child in declared(&path, text, owns_dir) {
            waiting.extend(
                child.candidates.into_iter().map(|(path, owns)| (path, test || child.test, owns)),
            );
        }
        found.insert(path, test);
    }
    found
}

/// A declaration `mod name;`: where its file may be.
struct Declared {
    /// Path, and whether modules inside lie beside the file (`mod.rs`) or in a folder of its name.
    candidates: Vec<(String, bool)>,
    test: bool,
}

/// The files that `text` at `path` declares; `owns_dir` as in a crate's root or a `mod.rs`.
fn declared(path: &str, text: &str, owns_dir: bool) -> Vec<Declared> {
    let code = strip(text);
    let tokens = tokens(&code);
    let word = |i: usize| tokens.get(i).map_or("", |token: &Token<'_>| token.text);
    let (beside, file) = path.rsplit_once('/').unwrap_or(("", path));
    let own = if owns_dir { String::new() } else { format!("{}/", file.trim_end_matches(".rs")) };
    let mut found = Vec::new();
    // Inline modules around the position: name, brace depth inside, whether of tests.
    let mut scopes: Vec<(String, usize, bool)> = Vec::new();
    let (mut depth, mut i) = (0, 0);
    let (mut given, mut test) = (None, false);
    while i < tokens.len() {
        if let Some(close) = attribute_end(&tokens, i) {
            test |= is_test_attribute(&tokens[i..=close]);
            given = given.or_else(|| path_attribute(text, &tokens[i..=close]));
            i = close + 1;
            continue;
        }
        let in_test = test || scopes.iter().any(|(.., test)| *test);
        let inline: String = scopes.iter().map(|(name, ..)| format!("{name}/")).collect();
        match (word(i), word(i + 2)) {
            ("mod", "{") => {
                depth += 1;
                scopes.push((word(i + 1).to_owned(), depth, test));
                i += 2;
            }
            ("mod", ";") => {
                let candidates = match &given {
                    // `#[path]` counts from the file's folder; inline modules add theirs.
                    Some(given) if inline.is_empty() => vec![(join(beside, given), true)],
                    Some(given) => vec![(join(beside, &format!("{own}{inline}{given}")), true)],
                    None => {
                        let stem = format!("{own}{inline}{}", word(i + 1));
                        vec![
                            (join(beside, &format!("{stem}.rs")), false),
                            (join(beside, &format!("{stem}/mod.rs")), true),
                        ]
                    }
                };
                found.push(Declared { candidates, test: in_test });
                i += 2;
            }
            ("include", "(") if word(i + 1) == "!" => {
                let included = text[tokens[i].offset..].split('"').nth(1).unwrap_or_default();
                let candidates = vec![(join(beside, included), owns_dir)];
                found.push(Declared { candidates, test: in_test });
                i += 2;
            }
            ("{", _) => depth += 1,
            ("}", _) => {
                scopes.retain(|(_, inside, _)| *inside < depth || *inside == 0);
                depth = depth.saturating_sub(1);
            }
            // Visibility stands between an attribute and its `mod`.
            ("pub" | "(" | ")" | "crate" | "super" | "in" | "self", _) => {
                i += 1;
                continue;
            }
            _ => {}
        }
        (given, test) = (None, false);
        i += 1;
    }
    found
}

/// The value of `#[path = "..."]`, from the unblanked text.
fn path_attribute(text: &str, attribute: &[Token<'_>]) -> Option<String> {
    let at = attribute.iter().position(|token| token.text == "path")?;
    let value = text.get(attribute[at].offset..attribute.last()?.offset)?;
    value.split('"').nth(1).map(str::to_owned)
}

/// `folder/relative` with `.` and `..` resolved.
pub(crate) fn join(folder: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Rust files that no crate's root reaches.
pub(crate) fn check_dead_files(tree: &Tree) -> Vec<String> {
    let reached = reached(tree);
    let rust = tree.keys().filter(|path| path.ends_with(".rs"));
    rust.filter(|path| !reached.contains_key(*path))
        .map(|path| {
            format!("{path}:1: no crate reaches this file: declare it with `mod`, or delete it")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    const MANIFEST: &str = "[package]\nname = \"a\"";

    #[test]
    fn declared_files_are_reached() {
        let tree = tree(&[
            ("Cargo.toml", "[workspace]"),
            ("e/Cargo.toml", MANIFEST),
            ("e/src/lib.rs", "pub mod wal;\n#[cfg(test)]\nmod model;\nmod inner { mod deep; }"),
            ("e/src/wal/mod.rs", "mod reader; pub(crate) mod writer;"),
            ("e/src/wal/reader.rs", "#[cfg(test)] mod tests;"),
            ("e/src/wal/reader/tests.rs", ""),
            ("e/src/wal/writer.rs", "#[path = \"other/frame.rs\"]\nmod frame;"),
            ("e/src/wal/other/frame.rs", "mod bits;"),
            ("e/src/wal/other/bits.rs", ""),
            ("e/src/model.rs", "mod row;"),
            ("e/src/model/row.rs", ""),
            ("e/src/inner/deep.rs", ""),
            ("e/src/bin/tool.rs", ""),
            ("e/tests/it/main.rs", "mod scenario;"),
            ("e/tests/it/scenario.rs", "include!(\"shared.in.rs\");"),
            ("e/tests/it/shared.in.rs", ""),
            ("e/codec/Cargo.toml", MANIFEST),
            ("e/codec/src/lib.rs", ""),
            ("fuzz/Cargo.toml", "[package]\nname = \"f\"\n[[bin]]\npath = \"targets/wal.rs\""),
            ("fuzz/targets/wal.rs", ""),
        ]);
        assert_eq!(check_dead_files(&tree), [""; 0]);
        let reached = reached(&tree);
        let of_tests: Vec<&str> =
            reached.iter().filter(|(_, test)| **test).map(|(path, _)| path.as_str()).collect();
        assert_eq!(of_tests, ["e/src/model.rs", "e/src/model/row.rs", "e/src/wal/reader/tests.rs"]);
    }

    #[test]
    fn undeclared_files_are_dead() {
        let tree = tree(&[
            ("e/Cargo.toml", MANIFEST),
            ("e/src/lib.rs", "// mod old;\nmod wal;\n#[path = \"moved.rs\"] mod kept;"),
            ("e/src/old.rs", "mod older;"),
            ("e/src/old/older.rs", ""),
            ("e/src/wal.rs", "mod reader;"),
            ("e/src/reader.rs", ""),
            ("e/src/kept.rs", ""),
            ("e/src/moved.rs", ""),
            ("e/tests/it/orphan.rs", ""),
            ("stray.rs", ""),
        ]);
        let dead: Vec<String> = check_dead_files(&tree)
            .iter()
            .filter_map(|problem| problem.split_once(':').map(|(path, _)| path.to_owned()))
            .collect();
        let expected = [
            "e/src/kept.rs",
            "e/src/old.rs",
            "e/src/old/older.rs",
            "e/src/reader.rs",
            "e/tests/it/orphan.rs",
            "stray.rs",
        ];
        assert_eq!(dead, expected);
    }
}
