//! A prepared statement whose rows may be read later.
//!
//! rusqlite's statements borrow their connection, so that a program which keeps a statement between two calls cannot
//! have both in one value. This one holds SQLite's handle; its owner keeps it beside the connection, behind one lock,
//! and drops it first.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr::NonNull;

use rusqlite::{Connection, ffi};

use super::{SqlError, SqlValue};

/// What kind of statement it is, by its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `INSERT`, `UPDATE`, `DELETE`, `REPLACE`, also after `WITH`.
    Change,
    /// `SAVEPOINT`.
    Savepoint,
    /// `COMMIT` and `END`.
    End,
    /// Other statements about transactions, and those that cannot run in one.
    Outside,
    /// Anything else.
    Other,
}

impl Kind {
    fn of(sql: &str, reads_only: bool) -> Self {
        let word = first_word(sql);
        let is = |names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
        match () {
            () if is(&["insert", "update", "delete", "replace"]) => Self::Change,
            () if is(&["with"]) && !reads_only => Self::Change,
            () if is(&["savepoint"]) => Self::Savepoint,
            () if is(&["commit", "end"]) => Self::End,
            () if is(&["begin", "rollback", "release", "pragma", "vacuum", "attach", "detach"]) => Self::Outside,
            () => Self::Other,
        }
    }

    /// Whether it counts rows.
    pub(super) fn is_change(self) -> bool {
        self == Self::Change
    }

    pub(super) fn is_savepoint(self) -> bool {
        self == Self::Savepoint
    }

    pub(super) fn is_end(self) -> bool {
        self == Self::End
    }

    /// Whether a transaction that writes has to be open.
    pub(super) fn needs_transaction(self, reads_only: bool) -> bool {
        match self {
            Self::Change | Self::Other => !reads_only,
            Self::Savepoint => true,
            Self::End | Self::Outside => false,
        }
    }
}

/// The first word, behind spaces and comments.
fn first_word(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else {
            break;
        }
    }
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    &rest[..end]
}

/// Whether there are more rows.
pub(super) enum Step {
    More,
    Done,
}

/// A prepared statement. Use and drop it under the lock of its connection, inside a passage, before the connection.
pub(super) struct Prepared {
    /// `None` for an empty statement.
    handle: Option<NonNull<ffi::sqlite3_stmt>>,
    sql: String,
    kind: Kind,
    /// A row has been read ahead.
    ahead: bool,
}

// SAFETY: a statement is used by one thread at a time, under the lock of its connection.
unsafe impl Send for Prepared {}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(handle) = self.handle {
            // SAFETY: the handle is finalised once, while its connection is open.
            unsafe { ffi::sqlite3_finalize(handle.as_ptr()) };
        }
    }
}

/// SQLite's last error on the connection.
fn last_error(connection: &Connection, code: i32) -> SqlError {
    // SAFETY: the handle is open, and the caller has exclusive use of the connection; the message is copied before
    // another call.
    unsafe {
        let extended = ffi::sqlite3_extended_errcode(connection.handle());
        let message = ffi::sqlite3_errmsg(connection.handle());
        let code = if extended & 0xff == code & 0xff { extended } else { code };
        let message =
            if message.is_null() { "unknown error".into() } else { CStr::from_ptr(message).to_string_lossy() };
        SqlError::Sqlite { code, message: message.into_owned() }
    }
}

impl Prepared {
    pub(super) fn new(connection: &Connection, sql: &str) -> Result<Self, SqlError> {
        let length = i32::try_from(sql.len()).map_err(|_| SqlError::Misuse("the statement is too long".into()))?;
        let mut handle = std::ptr::null_mut();
        let mut tail = std::ptr::null();
        // SAFETY: the handle is open, the text has `length` bytes, and both results outlive the call.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                connection.handle(),
                sql.as_ptr().cast(),
                length,
                ffi::SQLITE_PREPARE_PERSISTENT,
                &raw mut handle,
                &raw mut tail,
            )
        };
        if code != ffi::SQLITE_OK {
            return Err(last_error(connection, code));
        }
        let handle = NonNull::new(handle);
        // SAFETY: `tail` points into the text.
        let used = unsafe { tail.byte_offset_from(sql.as_ptr()) };
        let rest = usize::try_from(used).ok().and_then(|used| sql.get(used..)).unwrap_or("");
        // SAFETY: the handle is that of a prepared statement.
        let reads_only = handle.is_none_or(|handle| unsafe { ffi::sqlite3_stmt_readonly(handle.as_ptr()) != 0 });
        let statement = Self { handle, sql: sql.to_owned(), kind: Kind::of(sql, reads_only), ahead: false };
        if !first_word(rest).is_empty() {
            return Err(SqlError::Misuse("execute one statement at a time".into()));
        }
        Ok(statement)
    }

    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn is_read_only(&self) -> bool {
        // SAFETY: the handle is that of a prepared statement.
        self.handle.is_none_or(|handle| unsafe { ffi::sqlite3_stmt_readonly(handle.as_ptr()) != 0 })
    }

    /// The names of its columns.
    pub(super) fn columns(&self) -> Vec<String> {
        let Some(handle) = self.handle else { return Vec::new() };
        // SAFETY: the statement is prepared, and names are copied before the next call.
        unsafe {
            (0..ffi::sqlite3_column_count(handle.as_ptr()))
                .map(|column| {
                    let name = ffi::sqlite3_column_name(handle.as_ptr(), column);
                    if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
                })
                .collect()
        }
    }

    /// Ends the execution; the statement can run again.
    pub(super) fn reset(&mut self) {
        self.ahead = false;
        if let Some(handle) = self.handle {
            // SAFETY: the statement is prepared. The result repeats the error of the last step.
            unsafe { ffi::sqlite3_reset(handle.as_ptr()) };
        }
    }

    /// Sets all parameters.
    pub(super) fn bind(&mut self, connection: &Connection, values: &[SqlValue]) -> Result<(), SqlError> {
        self.reset();
        let Some(handle) = self.handle else { return Ok(()) };
        let handle = handle.as_ptr();
        // SAFETY: the statement is prepared, and SQLite copies texts and bytes (SQLITE_TRANSIENT).
        unsafe {
            let expected = usize::try_from(ffi::sqlite3_bind_parameter_count(handle)).unwrap_or(0);
            if expected != values.len() {
                let given = values.len();
                return Err(SqlError::Misuse(format!(
                    "the statement has {expected} parameters, and {given} are given"
                )));
            }
            for (place, value) in (1..).zip(values) {
                let code = match value {
                    SqlValue::Null => ffi::sqlite3_bind_null(handle, place),
                    SqlValue::Integer(value) => ffi::sqlite3_bind_int64(handle, place, *value),
                    SqlValue::Real(value) => ffi::sqlite3_bind_double(handle, place, *value),
                    SqlValue::Text(text) => ffi::sqlite3_bind_text64(
                        handle,
                        place,
                        text.as_ptr().cast(),
                        text.len() as u64,
                        ffi::SQLITE_TRANSIENT(),
                        u8::try_from(ffi::SQLITE_UTF8).expect("it is 1"),
                    ),
                    // A null pointer would be NULL.
                    SqlValue::Blob(bytes) if bytes.is_empty() => ffi::sqlite3_bind_zeroblob(handle, place, 0),
                    SqlValue::Blob(bytes) => ffi::sqlite3_bind_blob64(
                        handle,
                        place,
                        bytes.as_ptr().cast(),
                        bytes.len() as u64,
                        ffi::SQLITE_TRANSIENT(),
                    ),
                };
                if code != ffi::SQLITE_OK {
                    return Err(last_error(connection, code));
                }
            }
        }
        Ok(())
    }

    /// Appends the values of the next rows, at most `most` rows. A statement that is done has been reset.
    pub(super) fn rows(
        &mut self,
        connection: &Connection,
        most: usize,
        values: &mut Vec<SqlValue>,
    ) -> Result<Step, SqlError> {
        let Some(handle) = self.handle else { return Ok(Step::Done) };
        let handle = handle.as_ptr();
        // SAFETY: the statement is prepared.
        let columns = unsafe { ffi::sqlite3_column_count(handle) };
        let mut count = 0;
        loop {
            if !self.ahead {
                // SAFETY: the statement is prepared and the caller has exclusive use of its connection.
                match unsafe { ffi::sqlite3_step(handle) } {
                    ffi::SQLITE_ROW => self.ahead = true,
                    ffi::SQLITE_DONE => {
                        self.reset();
                        return Ok(Step::Done);
                    }
                    code => {
                        let error = last_error(connection, code);
                        self.reset();
                        return Err(error);
                    }
                }
            }
            if count == most {
                return Ok(Step::More);
            }
            for column in 0..columns {
                // SAFETY: a row is there and has this column.
                values.push(unsafe { value(handle, column) }?);
            }
            self.ahead = false;
            count += 1;
        }
    }
}

/// The value of a column of the current row.
///
/// # Safety
/// The statement has a row with this column.
unsafe fn value(handle: *mut ffi::sqlite3_stmt, column: i32) -> Result<SqlValue, SqlError> {
    // SAFETY: the caller's promise; bytes are copied before the next call on the statement.
    unsafe {
        let bytes = |start: *const u8| {
            let length = usize::try_from(ffi::sqlite3_column_bytes(handle, column)).unwrap_or(0);
            if start.is_null() || length == 0 { &[][..] } else { std::slice::from_raw_parts(start, length) }
        };
        Ok(match ffi::sqlite3_column_type(handle, column) {
            ffi::SQLITE_INTEGER => SqlValue::Integer(ffi::sqlite3_column_int64(handle, column)),
            ffi::SQLITE_FLOAT => SqlValue::Real(ffi::sqlite3_column_double(handle, column)),
            ffi::SQLITE_TEXT => {
                let text = bytes(ffi::sqlite3_column_text(handle, column)).to_vec();
                let text = String::from_utf8(text)
                    .map_err(|_| SqlError::Misuse("a text in the database is not valid UTF-8".into()))?;
                SqlValue::Text(text)
            }
            ffi::SQLITE_BLOB => SqlValue::Blob(bytes(ffi::sqlite3_column_blob(handle, column).cast()).to_vec()),
            _ => SqlValue::Null,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_stands_behind_comments() {
        for (sql, word) in [
            ("SELECT 1", "SELECT"),
            ("  -- why\n/* and\n how */ insert into t", "insert"),
            (";;", ""),
            ("-- nothing", ""),
            ("/* open", ""),
        ] {
            assert_eq!(first_word(sql), word, "{sql}");
        }
    }
}
