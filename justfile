# Recipes for work. The checks live in .ci/run, once; `just check` is what CI runs.
# Without just: `.ci/run`, `.ci/run test` and so on do the same.

# List the recipes.
default:
    @just --list --unsorted

# Everything that a change must pass: formatting, lints, tests, documentation.
check:
    bash .ci/run

# Every test, as CI runs them.
test:
    bash .ci/run test

# Lints, warnings as errors.
lint:
    bash .ci/run clippy

# Documentation without warnings.
doc:
    bash .ci/run doc

# Format the tree (`just check` only verifies it).
fmt:
    cargo fmt --all

# The text checks alone: layers, dead files, bans, links.
tidy:
    cargo test -p chronolith-tests --test tidy

# One fuzz target for a million executions (needs a C++ compiler; fuzz/README.md).
fuzz NAME:
    fuzz/run 1000000 {{NAME}}

# Every fuzz target for so many executions, and a table.
fuzz-all EXECUTIONS:
    fuzz/run {{EXECUTIONS}}

# What this machine's memory and disk can do, in one line; `just probe --dir DIR` measures another disk.
probe *args:
    cargo run --release -p chronolith-bench --bin probe -- {{args}}

# Licences, advisories, sources and duplicates of dependencies (needs cargo-deny and, for advisories, a network).
deny:
    cargo deny check

# Crash images, faults, damage and planted bugs for so long: `just torture --minutes 60 --seed 7` (tests/README.md).
torture *args:
    cargo run --release -p chronolith-tests --bin torture -- {{args}}
