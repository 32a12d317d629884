//! How long the write-ahead log is after a commit.

use std::cell::Cell;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

/// Pages in the log from which on it is moved into the database, unless an option says otherwise: 33 MB.
pub(crate) const PAGES: u32 = 8_000;

thread_local! {
    static LENGTH: Cell<i32> = const { Cell::new(0) };
}

/// Has commits of `connection` be noted for [`length_after_commit`], in the place of SQLite's automatic checkpoints.
pub(crate) fn note_commits(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.wal_hook(Some(|_: &mut Wal, pages| {
        LENGTH.set(pages);
        Ok(())
    }))
}

/// How many pages the log had after the last commit of this thread, once; 0 if it has written nothing since.
pub(crate) fn length_after_commit() -> i32 {
    LENGTH.take()
}
