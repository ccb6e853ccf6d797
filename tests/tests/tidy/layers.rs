//! Who may import whom: modules inside the engine, and crates among each other.

use crate::paths::paths;
use crate::source::{strip, without_tests};

/// Modules by layer: the index is the layer number.
pub(crate) type Layers<'a> = &'a [&'a [&'a str]];
/// From, to, reason.
pub(crate) type Exceptions<'a> = &'a [(&'a str, &'a str, &'a str)];

/// An import between two top-level modules.
#[derive(Debug, PartialEq)]
pub(crate) struct Import {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) line: usize,
}

fn layer_of(layers: Layers<'_>, module: &str) -> Option<usize> {
    layers.iter().position(|modules| modules.contains(&module))
}

/// `wal`, `writer` for `<src>/wal/writer.rs`; empty for `lib.rs`, `main.rs` and `bin/`.
fn module_path(path: &str, src: &str) -> Vec<String> {
    let relative = path.strip_prefix(src).unwrap_or(path).trim_end_matches(".rs");
    let mut parts: Vec<String> = relative.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    if parts.first().is_some_and(|first| first == "bin") {
        parts.clear();
    }
    parts
}

/// The imports that leave the file's own top-level module, items of tests left out.
/// `to` is empty for a glob over the crate's root.
pub(crate) fn imports(path: &str, text: &str, src: &str) -> Vec<Import> {
    let module = module_path(path, src);
    let Some(own) = module.first() else { return Vec::new() };
    let mut found = Vec::new();
    for used in paths(&without_tests(&strip(text))) {
        let mut place: Vec<String> = module.iter().chain(&used.scope).cloned().collect();
        let mut rest = used.segments.as_slice();
        match rest.first().map(String::as_str) {
            Some("crate") => place.clear(),
            Some("self" | "super") => {}
            _ => continue,
        }
        while let Some((head, tail)) = rest.split_first() {
            match head.as_str() {
                "super" => drop(place.pop()),
                "self" | "crate" => {}
                _ => break,
            }
            rest = tail;
        }
        place.extend(rest.iter().cloned());
        // `pub(crate)` and `pub(super)` name no item; a macro's name lives at the root.
        let Some(to) = place.first().filter(|to| *to != own) else { continue };
        if used.is_macro() && place.len() == 1 || rest.is_empty() {
            continue;
        }
        let to = if to == "*" { String::new() } else { to.clone() };
        found.push(Import { from: own.clone(), to, line: used.line });
    }
    found
}

/// Imports against the table: only from a smaller layer, or by a listed exception.
pub(crate) fn check_layers(
    path: &str,
    text: &str,
    src: &str,
    layers: Layers<'_>,
    exceptions: Exceptions<'_>,
) -> Vec<String> {
    let module = module_path(path, src);
    let Some(own) = module.first() else { return Vec::new() };
    let Some(layer) = layer_of(layers, own) else {
        return vec![format!(
            "{path}:1: module `{own}` is in no layer: add it to LAYERS in tests/tests/tidy.rs"
        )];
    };
    let mut problems = Vec::new();
    for import in imports(path, text, src) {
        let (to, line) = (&import.to, import.line);
        let Some(target) = layer_of(layers, to) else {
            problems.push(format!(
                "{path}:{line}: `crate::{}` comes through lib.rs, which stands above every layer: \
                 name the module that defines it (a new module goes into LAYERS in \
                 tests/tests/tidy.rs)",
                if to.is_empty() { "*" } else { to }
            ));
            continue;
        };
        let listed = exceptions.iter().any(|(from, allowed, _)| from == own && allowed == to);
        if target > layer {
            problems.push(format!(
                "{path}:{line}: `{own}` (L{layer}) imports `{to}` (L{target}), a higher layer: \
                 turn the dependency round, or move what is shared below both"
            ));
        } else if target == layer && !listed {
            problems.push(format!(
                "{path}:{line}: `{own}` and `{to}` are both in L{layer}: move what is shared to a \
                 lower layer, or list the pair with its reason in SAME_LAYER in \
                 tests/tests/tidy.rs"
            ));
        }
    }
    problems
}

/// The table and its exceptions in themselves: each module once, exceptions within one layer,
/// with a reason, and without a cycle.
pub(crate) fn check_table(layers: Layers<'_>, exceptions: Exceptions<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let all: Vec<&str> = layers.iter().flat_map(|modules| modules.iter().copied()).collect();
    for (i, module) in all.iter().enumerate() {
        if all[..i].contains(module) {
            problems.push(format!("LAYERS: `{module}` stands twice: keep one"));
        }
    }
    for (from, to, reason) in exceptions {
        let (a, b) = (layer_of(layers, from), layer_of(layers, to));
        if a.is_none() || a != b || from == to {
            problems.push(format!("SAME_LAYER: `{from}` and `{to}` are not two of one layer"));
        }
        if reason.trim().is_empty() {
            problems.push(format!("SAME_LAYER: `{from}` to `{to}` has no reason: state it"));
        }
        if reaches(exceptions, to, from, exceptions.len()) {
            problems.push(format!("SAME_LAYER: `{from}` to `{to}` closes a cycle: remove one"));
        }
    }
    problems
}

fn reaches(exceptions: Exceptions<'_>, from: &str, to: &str, steps: usize) -> bool {
    from == to
        || steps > 0
            && exceptions
                .iter()
                .any(|(a, b, _)| *a == from && reaches(exceptions, b, to, steps - 1))
}

/// A crate of ours and those that it may depend on; `*` is any.
pub(crate) type Crates<'a> = &'a [(&'a str, &'a [&'a str])];

/// The dependencies that one manifest declares, of every kind, against the table.
pub(crate) fn check_manifest(path: &str, text: &str, crates: Crates<'_>) -> Vec<String> {
    let Some(name) = package_name(text) else { return Vec::new() };
    let Some((_, allowed)) = crates.iter().find(|(known, _)| *known == name) else {
        return vec![format!(
            "{path}:1: crate `{name}` has no place: add it to CRATES in tests/tests/tidy.rs"
        )];
    };
    let ours = |found: &str| crates.iter().any(|(known, _)| *known == found);
    let mut problems = Vec::new();
    for (dependency, line) in dependencies(text) {
        let listed = allowed.contains(&"*") || allowed.contains(&dependency.as_str());
        if ours(&dependency) && !listed {
            problems.push(format!(
                "{path}:{line}: `{name}` may not depend on `{dependency}`: crates depend one way \
                 (CRATES in tests/tests/tidy.rs)"
            ));
        }
    }
    problems
}

fn package_name(manifest: &str) -> Option<String> {
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[package]"
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "name"
        {
            return Some(value.trim().trim_matches('"').to_owned());
        }
    }
    None
}

/// Names of dependencies with their lines; a renamed one appears as the package it is.
fn dependencies(manifest: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut in_table = false;
    for (i, line) in manifest.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_matches(['[', ']']);
            // `[dependencies]`, `[target.'cfg(..)'.dev-dependencies]`, `[dependencies.name]`.
            let at = header.rfind("dependencies").filter(|_| !header.starts_with("workspace"));
            in_table = at.is_some();
            let name = at.and_then(|at| header[at..].split_once('.'));
            found.extend(name.map(|(_, name)| (name.trim_matches('"').to_owned(), i + 1)));
        } else if let Some((key, value)) = line.split_once('=').filter(|_| in_table) {
            let renamed = value.split_once("package").filter(|_| value.contains('{'));
            let renamed =
                renamed.map(|(_, tail)| tail).or((key.trim() == "package").then_some(value));
            let name = match renamed {
                Some(tail) => tail.split('"').nth(1).unwrap_or_default(),
                None => key.trim().split('.').next().unwrap_or_default().trim_matches('"'),
            };
            found.push((name.to_owned(), i + 1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Layers<'static> = &[&["error", "clock"], &["vfs", "model"], &["wal"]];
    const LISTED: Exceptions<'static> = &[("clock", "error", "a fault of the clock is typed")];

    fn check(path: &str, text: &str) -> Vec<String> {
        check_layers(path, text, "e/src/", TABLE, LISTED)
    }

    #[test]
    fn imports_downwards_pass() {
        let text = "use crate::{error::Error, vfs::{File, Vfs}};\nuse super::record;\n\
                    pub(crate) fn f() -> crate::model::Row { crate::log!() }\n\
                    // crate::db::Db\nconst S: &str = \"crate::db\";\n\
                    #[cfg(test)] mod tests { use crate::db::Db; }\n\
                    mod inner { use super::super::record; }";
        assert_eq!(check("e/src/wal/writer.rs", text), [""; 0]);
        assert_eq!(check("e/src/lib.rs", "pub use crate::wal::Wal;"), [""; 0]);
        assert_eq!(check("e/src/clock.rs", "use crate::error::Error;"), [""; 0]);
        assert_eq!(check("e/src/vfs/mod.rs", "mod os; use self::os::Os;"), [""; 0]);
    }

    #[test]
    fn imports_upwards_and_sideways_fail() {
        let upwards = check("e/src/vfs/os.rs", "\nuse crate::{error::Error, wal::Wal};");
        assert_eq!(upwards.len(), 1);
        assert!(upwards[0].starts_with("e/src/vfs/os.rs:2: `vfs` (L1) imports `wal` (L2)"));
        assert_eq!(check("e/src/vfs/os.rs", "use super::super::model::Row;").len(), 1);
        assert_eq!(check("e/src/vfs/mod.rs", "use super::model::Row;").len(), 1);
        assert_eq!(check("e/src/vfs/mod.rs", "mod a { use super::super::model::Row; }").len(), 1);
        assert_eq!(check("e/src/vfs/mod.rs", "fn f(x: &crate::model::Row) {}").len(), 1);
        assert_eq!(check("e/src/error.rs", "use crate::clock::Clock;").len(), 1);
    }

    #[test]
    fn the_root_is_no_way_round() {
        assert_eq!(check("e/src/wal/mod.rs", "use crate::Error;").len(), 1);
        assert_eq!(check("e/src/wal/mod.rs", "use super::*;").len(), 1);
        assert_eq!(check("e/src/wal/mod.rs", "use crate::*;").len(), 1);
    }

    #[test]
    fn an_unlisted_module_fails() {
        let problems = check("e/src/novel/mod.rs", "");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("`novel` is in no layer"));
        assert_eq!(check("e/src/wal/mod.rs", "use crate::novel::X;").len(), 1);
    }

    #[test]
    fn a_faulty_table_is_told() {
        assert_eq!(check_table(TABLE, LISTED), [""; 0]);
        assert_eq!(check_table(&[&["a"], &["a"]], &[]).len(), 1);
        assert_eq!(check_table(TABLE, &[("vfs", "wal", "why")]).len(), 1);
        assert_eq!(check_table(TABLE, &[("vfs", "model", "")]).len(), 1);
        assert_eq!(check_table(TABLE, &[("vfs", "model", "x"), ("model", "vfs", "y")]).len(), 2);
    }

    const ORDER: Crates<'static> = &[("low", &[]), ("high", &["low"]), ("all", &["*"])];

    #[test]
    fn manifests_that_point_down_pass() {
        let high =
            "[package]\nname = \"high\"\n[dependencies]\nlow.workspace = true\nserde = \"1\"";
        assert_eq!(check_manifest("m", high, ORDER), [""; 0]);
        let all =
            "[package]\nversion = \"1\"\nname = \"all\"\n[dependencies]\nhigh = { path = \"h\" }";
        assert_eq!(check_manifest("m", all, ORDER), [""; 0]);
        assert_eq!(check_manifest("m", "[workspace.dependencies]\nhigh = \"1\"", ORDER), [""; 0]);
    }

    #[test]
    fn manifests_that_point_up_fail() {
        for table in [
            "[dependencies]\nhigh.workspace = true",
            "[dev-dependencies]\nhigh = { path = \"../high\" }",
            "[target.'cfg(unix)'.dependencies]\nother = { package = \"high\", path = \"h\" }",
            "[dependencies.high]\npath = \"../high\"",
            "[build-dependencies.other]\npackage = \"high\"",
        ] {
            let text = format!("[package]\nname = \"low\"\n{table}");
            let problems = check_manifest("low/Cargo.toml", &text, ORDER);
            assert_eq!(problems.len(), 1, "{table}: {problems:?}");
            assert!(problems[0].contains("`low` may not depend on `high`"));
        }
        let unknown = "[package]\nversion = \"low\"\nname = \"new\"";
        assert_eq!(check_manifest("m", unknown, ORDER).len(), 1);
    }
}
