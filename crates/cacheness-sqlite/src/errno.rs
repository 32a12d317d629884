//! The operating system's error behind a SQLite error, which SQLite does not report by itself.
#![allow(unsafe_code)]

use std::error::Error as _;
use std::io;
use std::path::Path;

use cacheness_core::Error;
use rusqlite::ffi::ErrorCode;
use rusqlite::{Connection, ffi};
use rustix::fs::{Mode, OFlags};

/// Whether a system call failed. A truncated file or a wrong checksum is not an error of the system.
fn is_refused_call(error: &Error) -> bool {
    let its_own = [ffi::SQLITE_IOERR_SHORT_READ, ffi::SQLITE_IOERR_DATA, ffi::SQLITE_IOERR_CORRUPTFS];
    let source = error.source().and_then(|source| source.downcast_ref::<rusqlite::Error>());
    source.and_then(rusqlite::Error::sqlite_error).is_some_and(|failure| match failure.code {
        ErrorCode::CannotOpen => true,
        ErrorCode::SystemIoFailure => !its_own.contains(&failure.extended_code),
        _ => false,
    })
}

/// The error of an operation on `connection`, with the kind of the system call's error if one was the cause.
#[cold]
pub(crate) fn named(error: Error, connection: &Connection) -> Error {
    if !is_refused_call(&error) {
        return error;
    }
    // SAFETY: the handle is open, and the caller has exclusive use of the connection.
    let errno = unsafe { ffi::sqlite3_system_errno(connection.handle()) };
    error.named_by_system(&io::Error::from_raw_os_error(errno))
}

/// The error of a connection to `path` that could not be opened, which loses the system's error: its kind is found by
/// checking the directory. The database itself is not opened, because closing it would drop this process's locks.
#[cold]
pub(crate) fn named_of_opening(error: Error, path: &Path) -> Error {
    let Some(parent) = path.parent().filter(|_| is_refused_call(&error)) else { return error };
    match rustix::fs::open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(_) => error,
        Err(errno) => error.named_by_system(&errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use cacheness_core::ErrorKind;

    use super::*;
    use crate::error::translate;

    #[test]
    fn what_is_no_failure_of_the_system_stays_as_it_is() {
        let connection = Connection::open_in_memory().expect("opened");
        let error = connection.execute_batch("SELECT nothing").expect_err("no such column");
        let error = named(translate("cannot read an entry", error), &connection);
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Metadata, None));
    }

    #[test]
    fn a_file_that_ends_too_early_is_none_of_the_systems() {
        for (code, is_refused) in [
            (ffi::SQLITE_IOERR_SHORT_READ, false),
            (ffi::SQLITE_CORRUPT, false),
            (ffi::SQLITE_IOERR_WRITE, true),
            (ffi::SQLITE_CANTOPEN, true),
        ] {
            let failure = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(is_refused_call(&translate("cannot read an entry", failure)), is_refused, "{code}");
        }
    }

    #[test]
    fn a_place_that_is_not_there() {
        let dir = tempfile::tempdir().expect("made");
        let path = dir.path().join("no/database");
        let error = Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE).expect_err("gone");
        let error = named_of_opening(translate("cannot open a connection", error), &path);
        assert!(error.hint().is_some_and(|hint| hint.contains("exists")), "{error:?}");
    }
}
