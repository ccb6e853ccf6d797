//! The README's example: it is what the page shows, and it runs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::path::Path;

#[path = "../examples/embedded.rs"]
#[allow(dead_code)]
mod example;

#[test]
fn the_example_runs_twice() {
    let dir = tempfile::TempDir::new().unwrap();
    let path: &Path = &dir.path().join("market-data");
    example::run(path).unwrap();
    // The second run sends the same batch, which is not written again.
    example::run(path).unwrap();
}

#[test]
fn the_readme_shows_the_example() {
    let readme = include_str!("../../README.md");
    let example = include_str!("../examples/embedded.rs");
    assert!(readme.contains(&format!("```rust\n{example}```")), "README.md shows another example");
}
