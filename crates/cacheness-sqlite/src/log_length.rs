//! The length of the write-ahead log after a commit.

use std::cell::Cell;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

/// The default number of pages in the log from which on it is moved into the database: 33 MB.
pub(crate) const PAGES: u32 = 8_000;

thread_local! {
    static LENGTH: Cell<i32> = const { Cell::new(0) };
}

/// Records the commits of `connection` for [`length_after_commit`], in place of SQLite's automatic checkpoints.
pub(crate) fn note_commits(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.wal_hook(Some(|_: &mut Wal, pages| {
        LENGTH.set(pages);
        Ok(())
    }))
}

/// The number of pages in the log after the last commit of this thread; 0 if it was already asked or the thread wrote
/// nothing.
pub(crate) fn length_after_commit() -> i32 {
    LENGTH.take()
}
