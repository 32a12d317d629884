//! The `cacheness` command: inspects and changes stores. Data goes to standard output, messages to standard error.
//!
//! Exit codes: 0 success; 1 failure, with the reason on standard error; 2 invalid command line; 3 no such entry.
//! `docs/cli.md` is the manual.

mod args;
mod commands;
mod complete;
mod failure;
mod json;
mod output;
mod place;
mod preview;
mod progress;
mod select;
mod show;
mod table;
mod terminal;
mod typed;

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;

use crate::args::Args;
use crate::failure::Failure;
use crate::output::Output;

/// Runs the command with the arguments `args`, the first of which is the program's name, and returns its exit code.
pub fn run(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> u8 {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    if let Some(words) = complete::asked(&args) {
        let mut out = Output::stdout();
        return finish(complete::run(words, &mut out), out);
    }
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // Help and version are printed to standard output, errors to standard error.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return match error.print() {
                Ok(()) => code,
                Err(failed) if error.exit_code() == 0 => Failure::Output(failed).report(),
                Err(_) => code,
            };
        }
    };
    let mut out = Output::stdout();
    let done = commands::run(&args, &mut out);
    finish(done, out)
}

/// Flushes the output, reports a failure, and returns the exit code.
fn finish(done: Result<(), Failure>, mut out: Output) -> u8 {
    match done.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => 0,
        Err(failure) => {
            // Output that precedes the failure is printed before the message. If flushing fails, the message still is.
            let _ = out.flush();
            failure.report()
        }
    }
}
