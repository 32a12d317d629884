//! Translating SQLite's errors into the engine's.

use cacheness_core::{Error, ErrorKind};
use rusqlite::ffi::ErrorCode;

const NO_DATABASE: &str = "the file is no SQLite database, it is damaged or another program's: give another directory, or \
    put the file back from a copy; to begin with an empty store, remove it, the files beside it whose names begin with its \
    own, and blobs: all entries are lost then";
const DAMAGED: &str = "the metadata database is damaged: put it back from a copy, or copy the directory and let \
    `sqlite3 FILE .recover` save what it can, the blobs are not affected; to begin with an empty store, remove it, the files \
    beside it whose names begin with its own, and blobs: all entries are lost then";

/// Translates an error of SQLite during `action` (`"cannot read an entry"`) into one of the engine.
pub(crate) fn translate(action: &str, error: rusqlite::Error) -> Error {
    let (kind, hint) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => (
            ErrorKind::Busy,
            Some("another process holds the metadata database; try again, or look for a process that hangs"),
        ),
        Some(ErrorCode::ReadOnly) => {
            (ErrorKind::ReadOnly, Some("check the owner, the permissions and the file system of the store's directory"))
        }
        Some(ErrorCode::NotADatabase) => (ErrorKind::NotAStore, Some(NO_DATABASE)),
        Some(ErrorCode::DatabaseCorrupt) => (ErrorKind::Metadata, Some(DAMAGED)),
        Some(ErrorCode::CannotOpen) => {
            (ErrorKind::Metadata, Some("check that the store's directory exists and its permissions"))
        }
        Some(ErrorCode::ConstraintViolation) => (ErrorKind::Constraint, None),
        Some(ErrorCode::TooBig) => (
            ErrorKind::InvalidInput,
            Some("an entry's key, metadata and inline payload have to stay below 1 GB together"),
        ),
        _ => (ErrorKind::Metadata, None),
    };
    let is_full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
    let result = Error::new(kind, format!("{action} in the metadata database")).with_source(error);
    match hint {
        _ if is_full => result.for_want_of_space(),
        Some(hint) => result.with_hint(hint),
        None => result,
    }
}

/// The error for a row that this release could not have written.
pub(crate) fn malformed(key: &str, what: &str) -> Error {
    Error::new(ErrorKind::Integrity, format!("entry {key}: its {what} is malformed"))
        .with_hint("the row has been damaged or changed by another program; delete the entry")
}
