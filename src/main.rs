//! The `edgeshift` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    edgeshift::cli::run(std::env::args_os())
}
