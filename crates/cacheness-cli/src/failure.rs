//! Why a command ends early: the only place where errors become messages and exit codes.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use cacheness::{Error, ErrorKind};

use crate::output::complain;
use crate::place::holds_a_store;

/// The operation failed.
const FAILED: u8 = 1;
/// The command line is invalid.
const USAGE: u8 = 2;
/// There is no such entry.
const NOT_FOUND: u8 = 3;

/// Why a command ended early.
pub(crate) enum Failure {
    /// An error of the engine.
    Engine(Error),
    /// Standard output cannot be written. If its reader has closed the pipe (`cacheness ls … | head`), this is no error.
    Output(io::Error),
    /// There is no entry with this key.
    NoEntry(OsString),
    /// The entry has expired.
    Expired(String),
    /// Several keys start with this prefix: some of them.
    Ambiguous(String, Vec<String>),
    /// The command line is invalid: a message and a hint.
    Usage(String, String),
    /// A value on the command line is invalid, for example as a key: the error says why.
    CommandLine(Error),
    /// The user declined: what was not done.
    Declined(&'static str),
    /// At least one payload is damaged: which, and why.
    Damaged(String),
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

impl Failure {
    /// A failure to do `action` with one of the user's files.
    pub(crate) fn file(action: &str, path: &Path, error: io::Error) -> Self {
        Self::Engine(Error::new(ErrorKind::Storage, format!("cannot {action} {}", path.display())).with_source(error))
    }

    /// Prints the message and its hint, and returns the exit code.
    pub(crate) fn report(self) -> u8 {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(error) => {
                complain(&format!("cannot write the output: {error}"), None);
                FAILED
            }
            Self::Engine(error) => {
                explain(&error);
                FAILED
            }
            Self::CommandLine(error) => {
                explain(&error);
                USAGE
            }
            Self::NoEntry(key) => {
                let path = Path::new(&key);
                let hint = if holds_a_store(path) {
                    format!("{} is a store's directory; give the key after it", path.display())
                } else {
                    "use cacheness ls to list the keys".to_owned()
                };
                complain(&format!("entry {key:?} does not exist"), Some(&hint));
                NOT_FOUND
            }
            Self::Expired(key) => {
                complain(&format!("entry {key:?} has expired"), Some("use --expired to read it anyway"));
                NOT_FOUND
            }
            Self::Ambiguous(prefix, keys) => {
                let hint = format!("give more of the key: {}", keys.join(", "));
                complain(&format!("several keys start with {prefix:?}"), Some(&hint));
                NOT_FOUND
            }
            Self::Usage(message, hint) => {
                complain(&message, Some(&hint));
                USAGE
            }
            Self::Declined(what) => {
                complain(what, None);
                FAILED
            }
            Self::Damaged(problem) => {
                complain(&problem, Some("put the value again, or remove the entry with cacheness rm"));
                FAILED
            }
        }
    }
}

/// Prints an error of the engine with its hint.
fn explain(error: &Error) {
    complain(&reasons(error), error.hint());
}

/// The message of an error and of its causes.
pub(crate) fn reasons(error: &Error) -> String {
    error.with_causes().to_string()
}
