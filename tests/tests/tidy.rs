//! Text checks over the whole tree: layers, bans, dead files, links, names.
//! The rules that change are the constants below; a file in `tidy/` owns each kind of check, as
//! functions over (path, text), with samples that break it and samples that pass.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "the checks read our own tree, and a panic is how a test fails"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::bans::Ban;
use crate::layers::{Crates, Exceptions, Layers};
use crate::modules::Tree;

#[path = "tidy/bans.rs"]
mod bans;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/modules.rs"]
mod modules;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

/// The engine's top-level modules; a line's place is its layer, from L0. A module imports only
/// from lines above its own. lib.rs stands above all and is imported by none.
const LAYERS: Layers<'_> = &[
    &["sequence", "limits", "planted"],
    &["error"],
    &["clock", "rng", "budget"],
    &["executor"],
    &["model", "vfs"],
    &["format"],
    &["catalog", "memtable", "tombstone", "reserve"],
    &["wal", "segment"],
    &["manifest", "merge", "last_rows"],
    &["snapshot", "flush"],
    &["compaction", "read"],
    &["commit"],
    &["db"],
];

/// Imports allowed inside one layer: from, to, reason. Two modules never import each other.
const SAME_LAYER: Exceptions<'_> = &[];

/// Our crates, and those of ours that each may depend on, for tests and builds too.
const CRATES: Crates<'_> = &[
    ("chronolith-sys", &[]),
    ("chronolith-codec", &["chronolith-sys"]),
    ("chronolith-engine", &["chronolith-codec", "chronolith-sys"]),
    ("chronolith-query", &["chronolith-engine", "chronolith-codec"]),
    ("chronolith-proto", &[]),
    ("chronolith-client", &["chronolith-proto"]),
    (
        "chronolith",
        &[
            "chronolith-query",
            "chronolith-engine",
            "chronolith-codec",
            "chronolith-sys",
            "chronolith-proto",
            "chronolith-client",
        ],
    ),
    ("chronolith-tests", &["*"]),
    ("chronolith-bench", &["*"]),
    ("chronolith-fuzz", &["*"]),
];

const ENGINE: &[&str] = &["engine/src/", "engine/codec/src/"];

/// What reaches code only through a trait, and the files that implement the trait.
const BANS: &[Ban<'_>] = &[
    Ban {
        what: "the file system",
        patterns: &[
            "std::fs",
            "std::os::unix::fs",
            "rustix::fs",
            "File::open",
            "File::create",
            "OpenOptions",
        ],
        within: ENGINE,
        homes: &["engine/src/vfs/os*", "engine/src/vfs/tests.rs"],
        tests_may: false,
        instead: "go through Vfs, in tests too",
    },
    Ban {
        what: "the clock",
        patterns: &["SystemTime", "Instant::now"],
        within: ENGINE,
        homes: &["engine/src/clock*", "engine/src/executor/threads.rs"],
        tests_may: false,
        instead: "take a Clock, so that a test can set it",
    },
    Ban {
        what: "randomness",
        patterns: &["rand::", "getrandom", "RandomState::new"],
        within: ENGINE,
        homes: &["engine/src/rng*"],
        tests_may: false,
        instead: "take an Rng, so that one seed is one run",
    },
    Ban {
        what: "threads or sleeping",
        patterns: &["std::thread", "thread::spawn", "sleep("],
        within: ENGINE,
        homes: &["engine/src/executor*", "engine/src/vfs/sim/mod.rs"],
        tests_may: true,
        instead: "make it a job of the Executor",
    },
    Ban {
        what: "a blocking wait",
        patterns: &["Condvar"],
        within: ENGINE,
        homes: &["engine/src/executor*", "engine/src/vfs/sim/mod.rs"],
        tests_may: true,
        instead: "wait through the Executor",
    },
    Ban {
        what: "the file system",
        patterns: &["std::fs", "std::os::unix::fs", "File::open", "File::create", "OpenOptions"],
        within: &["server/src/"],
        homes: &["server/src/text/input.rs", "server/src/text/output.rs", "server/src/ctl/*"],
        tests_may: true,
        instead: "read and write files in one of its homes",
    },
];

/// The one folder with `unsafe`.
const UNSAFE_HOME: &str = "engine/sys/";

/// Folders that hold no text of ours.
const SKIPPED: &[&str] = &["target", "fuzz/target", "fuzz/corpus", "fuzz/artifacts"];
/// Hidden folders that do.
const HIDDEN: &[&str] = &[".ci", ".cargo", ".config", ".github"];
/// Larger files are data.
const TEXT_BYTES_MAX: u64 = 1 << 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file of the tree, by its path from the workspace's root.
fn tree() -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let listed = fs::read_dir(root().join(&folder)).expect("a folder of the tree is readable");
        for entry in listed {
            let entry = entry.expect("a folder's entry is readable");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{folder}{name}");
            let kind = entry.file_type().expect("a file's type is readable");
            if kind.is_dir() {
                let hidden = name.starts_with('.') && !HIDDEN.contains(&path.as_str());
                if !hidden && !SKIPPED.contains(&path.as_str()) {
                    folders.push(format!("{path}/"));
                }
            } else if kind.is_file() && name != ".git" {
                let len = entry.metadata().expect("a file's length is readable").len();
                let bytes = if len > TEXT_BYTES_MAX { None } else { fs::read(entry.path()).ok() };
                let text = bytes.filter(|bytes| !bytes.contains(&0)).map(String::from_utf8);
                if let Some(Ok(text)) = text {
                    tree.insert(path, text);
                }
            }
        }
    }
    let expected = ["Cargo.toml", "engine/src/lib.rs", "tests/tests/tidy.rs", ".ci/run"];
    for path in expected {
        assert!(tree.contains_key(path), "the walk over the tree missed {path}");
    }
    tree
}

fn exists(path: &str) -> bool {
    root().join(path).exists()
}

/// The files of the tree under `folder` whose names end with `ending`.
fn files<'a>(
    tree: &'a Tree,
    folder: &'a str,
    ending: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    tree.iter()
        .filter(move |(path, _)| path.starts_with(folder) && path.ends_with(ending))
        .map(|(path, text)| (path.as_str(), text.as_str()))
}

/// Fails with every problem, one a line.
fn none_of(problems: impl IntoIterator<Item = String>) {
    let problems: Vec<String> = problems.into_iter().collect();
    assert!(problems.is_empty(), "{} found:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn engine_modules_import_from_lower_layers() {
    let tree = tree();
    let reached = modules::reached(&tree);
    let shipped = files(&tree, "engine/src/", ".rs")
        .filter(|(path, _)| reached.get(*path).is_none_or(|test| !test));
    none_of(layers::check_table(LAYERS, SAME_LAYER));
    none_of(shipped.flat_map(|(path, text)| {
        layers::check_layers(path, text, "engine/src/", LAYERS, SAME_LAYER)
    }));
}

/// An exception that no import uses hides the next one.
#[test]
fn exceptions_to_the_layers_are_used() {
    let tree = tree();
    let all = files(&tree, "engine/src/", ".rs");
    let imports: Vec<layers::Import> =
        all.flat_map(|(path, text)| layers::imports(path, text, "engine/src/")).collect();
    let present: BTreeSet<&str> = files(&tree, "engine/src/", ".rs")
        .filter_map(|(path, _)| path["engine/src/".len()..].split(['/', '.']).next())
        .collect();
    none_of(SAME_LAYER.iter().filter_map(|(from, to, _)| {
        let both = present.contains(from) && present.contains(to);
        let used = imports.iter().any(|import| import.from == *from && import.to == *to);
        (both && !used).then(|| format!("SAME_LAYER: `{from}` no longer imports `{to}`: delete it"))
    }));
}

#[test]
fn crates_depend_one_way() {
    let tree = tree();
    none_of(
        files(&tree, "", "Cargo.toml")
            .flat_map(|(path, text)| layers::check_manifest(path, text, CRATES)),
    );
}

#[test]
fn disk_clock_randomness_and_threads_stay_in_their_homes() {
    let tree = tree();
    let reached = modules::reached(&tree);
    none_of(files(&tree, "", ".rs").flat_map(|(path, text)| {
        let test_file = reached.get(path).copied().unwrap_or_default();
        bans::check_bans(path, text, test_file, BANS)
    }));
}

#[test]
fn unsafe_stays_in_its_home_and_gives_its_reason() {
    let tree = tree();
    none_of(
        files(&tree, "", ".rs")
            .flat_map(|(path, text)| bans::check_unsafe(path, text, UNSAFE_HOME)),
    );
}

#[test]
fn every_rust_file_is_reached() {
    none_of(modules::check_dead_files(&tree()));
}

#[test]
fn texts_name_no_path_of_a_machine() {
    let tree = tree();
    none_of(files(&tree, "", "").flat_map(|(path, text)| words::check_machine_paths(path, text)));
}

#[test]
fn links_between_pages_resolve() {
    let tree = tree();
    none_of(
        files(&tree, "", ".md").flat_map(|(path, text)| words::check_links(path, text, &exists)),
    );
}

#[test]
fn the_architecture_page_names_files_that_exist() {
    let tree = tree();
    none_of(
        files(&tree, "docs/ARCHITECTURE.md", "")
            .flat_map(|(path, text)| words::check_named_files(path, text, &exists)),
    );
}

#[test]
fn limits_carry_their_units() {
    let tree = tree();
    none_of(
        files(&tree, "engine/src/limits", ".rs")
            .flat_map(|(path, text)| words::check_limits(path, text, words::UNITS)),
    );
}
