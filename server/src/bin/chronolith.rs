//! The one binary: every operator command.

use std::process::ExitCode;

fn main() -> ExitCode {
    chronolith::ctl::main()
}
