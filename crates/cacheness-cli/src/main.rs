//! The `cacheness` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    cacheness_cli::run(std::env::args_os()).into()
}
