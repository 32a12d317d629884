//! Why a command ends early: the one place where errors become words and exit codes.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use cacheness::{Error, ErrorKind};

use crate::output::complain;
use crate::place::holds_a_store;

/// Something failed.
const FAILED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// There is no such entry.
const NOT_FOUND: u8 = 3;

/// Why a command ended early.
pub(crate) enum Failure {
    /// The engine says why.
    Engine(Error),
    /// Standard output cannot be written; if nobody reads it any more (`cacheness ls … | head`), that is no error.
    Output(io::Error),
    /// There is no entry of this key.
    NoEntry(OsString),
    /// The entry has expired.
    Expired(String),
    /// More than one key starts so: some of them.
    Ambiguous(String, Vec<String>),
    /// The command line asks for what cannot be: what, and what to do.
    Usage(String, String),
    /// What the command line says cannot be done, a key be made of it for one: the error says why.
    CommandLine(Error),
    /// The user said no: what has not been done.
    Declined(&'static str),
    /// Payloads were read, and one at least is damaged: which, and why.
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
    /// A failure to do `action` with a file of the user's.
    pub(crate) fn file(action: &str, path: &Path, error: io::Error) -> Self {
        Self::Engine(Error::new(ErrorKind::Storage, format!("cannot {action} {}", path.display())).with_source(error))
    }

    /// Says why, and returns the exit code.
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
                    format!("{} is a store's directory: a key comes after it", path.display())
                } else {
                    "cacheness ls shows the keys".to_owned()
                };
                complain(&format!("there is no entry {key:?}"), Some(&hint));
                NOT_FOUND
            }
            Self::Expired(key) => {
                complain(&format!("entry {key:?} has expired"), Some("--expired reads it all the same"));
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
                complain(&problem, Some("put the value again, or remove it with cacheness rm"));
                FAILED
            }
        }
    }
}

/// Says what an error of the engine says, and what can be done.
fn explain(error: &Error) {
    complain(&reasons(error), error.hint());
}

/// What an error says, and what caused it.
pub(crate) fn reasons(error: &Error) -> String {
    error.with_causes().to_string()
}
