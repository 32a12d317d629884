//! The `cacheness` command: looks into stores. Data goes to standard output, words to standard error.
//!
//! Exit codes: 0 done; 1 it failed, and standard error says why; 2 the command line is wrong; 3 there is no such entry.

mod args;
mod commands;
mod show;

use std::ffi::OsString;
use std::io::{self, Write};

use cacheness::Error;
use clap::Parser;

use crate::args::{Args, Command};

/// There is no such entry.
const NOT_FOUND: u8 = 3;

/// Why a command ended early.
enum Failure {
    /// The engine says why.
    Engine(Error),
    /// Nobody reads the output any more (`cacheness ls … | head`): not an error.
    Output(io::Error),
    /// There is no entry of this key.
    NoEntry(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Runs the command with the arguments `args`, the first of which is the program's name, and returns its exit code.
pub fn run(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> u8 {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // Help and version are printed to standard output, errors to standard error.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return if error.print().is_ok() { code } else { 1 };
        }
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = match &args.command {
        Command::Ls(ls) => commands::ls::run(ls, &mut out),
        Command::Info(info) => commands::info::run(info, &mut out),
    };
    match done.and_then(|()| out.flush().map_err(Failure::from)) {
        Ok(()) => 0,
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(Failure::Output(error)) => complain(&format!("cannot write the output: {error}"), None, 1),
        Err(Failure::NoEntry(key)) => {
            complain(&format!("there is no entry {key:?}"), Some("cacheness ls shows the keys"), NOT_FOUND)
        }
        Err(Failure::Engine(error)) => {
            let mut message = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(source) = cause {
                message.push_str(&format!(": {source}"));
                cause = source.source();
            }
            complain(&message, error.hint(), 1)
        }
    }
}

/// The one place where errors are rendered.
fn complain(message: &str, hint: Option<&str>, code: u8) -> u8 {
    let mut err = io::stderr().lock();
    // Where standard error is closed, the exit code says it all.
    let _ = writeln!(err, "error: {message}");
    if let Some(hint) = hint {
        let _ = writeln!(err, "hint: {hint}");
    }
    code
}
