//! The one binary: every operator command.

use std::process::ExitCode;

// Many threads and sizes: docs/decisions/0025-allocator.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    chronolith::ctl::main()
}
