//! Noticing commits by others without a system call.
//!
//! Every commit to a database with a write-ahead log changes the header of the log's index, which all connections map
//! into memory: a counter of transactions and a running checksum over the log. While the header is unchanged, every
//! read returns the same result. SQLite itself checks it when a read begins.
//!
//! A connection is kept open only for its map of the index: SQLite unmaps the index when the last connection of the
//! process closes.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use cacheness_core::Result;
use cacheness_core::backend::KeyId;
use rusqlite::{Connection, ffi};

use crate::changes::Changes;
use crate::connect::{Mode, Target};
use crate::connection::Pooled;
use crate::custom::KnownTables;
use crate::error::translate;
use crate::header::{Header, Mapped};

/// The number of calls before a watch is opened: a program that gets only a few values does not pay for a connection.
const PATIENCE: u32 = 4;
/// `WALINDEX_PGSZ` (sqlite3.c): the first piece of the index, which contains the header.
const REGION: i32 = 32 * 1024;

/// The number of pages that this connection has written to its log or database. Rewriting a row unchanged writes no
/// page, so the number of changed rows would not do.
pub(crate) fn pages_written(connection: &Connection) -> i32 {
    let (mut pages, mut unused) = (0, 0);
    // SAFETY: the handle is open, the caller has exclusive use of the connection, and both numbers outlive the call.
    unsafe {
        ffi::sqlite3_db_status(
            connection.handle(),
            ffi::SQLITE_DBSTATUS_CACHE_WRITE,
            &raw mut pages,
            &raw mut unused,
            0,
        );
    }
    pages
}

/// An otherwise unused connection, and its map of the log's index.
#[derive(Debug)]
struct Watch {
    header: Mapped,
    /// Keeps the map.
    _connection: Pooled,
}

impl Watch {
    /// `None` if there is no index in memory to watch.
    fn open(target: &Target) -> Result<Option<Self>> {
        let connection = target.open()?;
        // The first read maps the index.
        let read = connection.query_row("SELECT count(*) FROM cache_info", (), |_| Ok(()));
        read.map_err(|e| translate("cannot read the database", e))?;
        let mut region = std::ptr::null_mut();
        // SAFETY: the handle is open and used only here. SQLITE_FCNTL_FILE_POINTER returns the file of the database,
        // whose methods have the version they state; `xShmMap` without extending returns the existing map.
        let code = unsafe {
            let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
            let code = ffi::sqlite3_file_control(
                connection.handle(),
                c"main".as_ptr(),
                ffi::SQLITE_FCNTL_FILE_POINTER,
                (&raw mut file).cast(),
            );
            if code != ffi::SQLITE_OK || file.is_null() || (*file).pMethods.is_null() {
                return Ok(None);
            }
            let methods = &*(*file).pMethods;
            match methods.xShmMap.filter(|_| methods.iVersion >= 2) {
                Some(map) => map(file, 0, REGION, 0, &raw mut region),
                None => return Ok(None),
            }
        };
        Ok(NonNull::new(region.cast()).filter(|_| code == ffi::SQLITE_OK).map(|start| {
            // SAFETY: the map has 32 KiB, begins on a page, and lives as long as the connection. SQLite, in C and
            // mostly in other processes, reads and writes a header with `memcpy`, which copies words on every supported
            // machine.
            let header = unsafe { Mapped::new(start) };
            Self { header, _connection: connection }
        }))
    }
}

#[derive(Debug)]
enum State {
    /// The number of calls so far.
    Waiting(u32),
    Watching(Watch),
    /// Nothing can be watched.
    Blind,
}

/// Counts changes by others, if they can be watched.
#[derive(Debug)]
pub(crate) struct Tracker {
    state: State,
    changes: Changes<Header>,
    /// The signing key as last read. Valid as long as [`Tracker::knows_schema`].
    signing_key: Option<Option<KeyId>>,
    /// Whether there is a full-text index, as last looked up. Valid as long as the signing key.
    text_index: Option<bool>,
    /// The tables whose rows belong to entries, as last read: see [`crate::custom`].
    tables: Option<KnownTables>,
}

impl Default for Tracker {
    fn default() -> Self {
        Self {
            state: State::Waiting(0),
            changes: Changes::default(),
            signing_key: None,
            text_index: None,
            tables: None,
        }
    }
}

impl Tracker {
    /// The result of `outside_changes`.
    pub(crate) fn look(&mut self, target: &Target) -> Option<u64> {
        if let State::Waiting(asked) = &mut self.state {
            *asked += 1;
            if target.mode != Mode::Wal {
                self.state = State::Blind;
            } else if *asked > PATIENCE {
                // A watch that cannot be opened is no error: the same obstacle will fail a read too.
                self.state = Watch::open(target).ok().flatten().map_or(State::Blind, State::Watching);
            }
        }
        let header = self.header()?;
        Some(self.changes.look(header))
    }

    /// The current header, if it is watched.
    pub(crate) fn header(&self) -> Option<Header> {
        match &self.state {
            State::Watching(watch) => Some(watch.header.read()),
            _ => None,
        }
    }

    /// Whether the schema has been checked and no other handle has committed since; `now` is the header.
    pub(crate) fn knows_schema(&self, now: Option<Header>) -> bool {
        now.is_some_and(|now| self.changes.knows_schema(now))
    }

    /// The signing key, if known; `known` means that no other handle has committed since.
    pub(crate) fn signing_key(&self, known: bool) -> Option<Option<KeyId>> {
        self.signing_key.filter(|_| known)
    }

    /// Whether there is a full-text index, if known; `known` as for the signing key.
    pub(crate) fn text_index(&self, known: bool) -> Option<bool> {
        self.text_index.filter(|_| known)
    }

    /// Records whether there is a full-text index, or that it is unknown.
    pub(crate) fn note_text_index(&mut self, exists: Option<bool>) {
        self.text_index = exists;
    }

    /// The tables whose rows belong to entries, if they have been read.
    pub(crate) fn tables(&self) -> Option<KnownTables> {
        self.tables.clone()
    }

    /// Records the tables whose rows belong to entries, or that they are unknown.
    pub(crate) fn note_tables(&mut self, tables: Option<KnownTables>) {
        self.tables = tables;
    }

    /// Records the signing key, or that it is unknown.
    pub(crate) fn note_signing_key(&mut self, key: Option<Option<KeyId>>) {
        self.signing_key = key;
    }

    /// [`Changes::over`], if the header is watched and was before the transaction.
    pub(crate) fn over(&mut self, before: Option<Header>, committed: Option<bool>) {
        if let (Some(before), Some(after)) = (before, self.header()) {
            self.changes.over(before, after, committed);
        }
    }

    /// Stops watching and closes the connection.
    pub(crate) fn close(&mut self) {
        self.state = State::Blind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_that_are_written_count() {
        let dir = tempfile::tempdir().unwrap();
        let connection = Connection::open(dir.path().join("db")).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
        let before = pages_written(&connection);
        connection.execute_batch("BEGIN IMMEDIATE; COMMIT").unwrap();
        connection.execute_batch("BEGIN IMMEDIATE; UPDATE t SET x = 2; ROLLBACK").unwrap();
        connection.execute_batch("BEGIN IMMEDIATE; DELETE FROM t WHERE x = 3; COMMIT").unwrap();
        assert_eq!(pages_written(&connection), before);
        connection.execute_batch("BEGIN IMMEDIATE; UPDATE t SET x = 2; COMMIT").unwrap();
        assert!(pages_written(&connection) > before);
    }
}
