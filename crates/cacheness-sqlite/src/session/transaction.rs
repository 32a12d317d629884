//! The transactions of sessions, and which threads have one open.

use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;

use rusqlite::{Connection, ffi};

use super::{Attempt, SqlError};
use crate::connect::Target;
use crate::fork;
use crate::turn::Turn;

/// A thread that has a write transaction open through a session.
#[derive(Debug, PartialEq, Eq)]
struct Writer {
    /// Device and inode of the database.
    database: (u64, u64),
    thread: ThreadId,
    generation: u64,
}

/// Locked inside of passages only, so a fork never finds it locked.
static WRITERS: Mutex<Vec<Writer>> = Mutex::new(Vec::new());

fn writer(database: (u64, u64), thread: ThreadId) -> Writer {
    Writer { database, thread, generation: fork::generation() }
}

/// Whether this thread has a write transaction of a session open on this database: a write through another connection
/// would wait for the thread itself.
pub(crate) fn is_held_by_this_thread(database: (u64, u64)) -> bool {
    let this = writer(database, std::thread::current().id());
    WRITERS.lock().unwrap_or_else(PoisonError::into_inner).contains(&this)
}

/// Records that this thread has the write lock.
pub(super) fn note(target: &Target, held: &mut Option<ThreadId>) {
    let thread = std::thread::current().id();
    if held.is_none() {
        *held = Some(thread);
        WRITERS.lock().unwrap_or_else(PoisonError::into_inner).push(writer(target.identity(), thread));
    }
}

/// Records that the transaction is over.
pub(super) fn ended(target: &Target, held: &mut Option<ThreadId>) {
    let Some(thread) = held.take() else { return };
    let over = writer(target.identity(), thread);
    let mut writers = WRITERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(place) = writers.iter().position(|writer| *writer == over) {
        writers.swap_remove(place);
    }
}

fn failed(error: &rusqlite::Error) -> SqlError {
    let code = error.sqlite_error().map_or(ffi::SQLITE_ERROR, |error| error.extended_code);
    let message = match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    SqlError::Sqlite { code, message }
}

fn step(connection: &Connection, sql: &str) -> Result<(), SqlError> {
    let done = connection.prepare_cached(sql).and_then(|mut statement| statement.raw_execute());
    done.map(drop).map_err(|error| failed(&error))
}

/// Begins a transaction that holds the write lock, in the turn of this thread among the writers of the process, and
/// checks that its changes will be found.
pub(super) fn begin(
    connection: &Connection,
    turn: &Turn,
    target: &Target,
    held: &mut Option<ThreadId>,
) -> Result<Attempt<()>, SqlError> {
    if is_held_by_this_thread(target.identity()) {
        return Err(SqlError::Sqlite {
            code: ffi::SQLITE_BUSY,
            message:
                "database is locked: this thread has an open transaction in another session; commit it or roll it \
                      back first"
                    .into(),
        });
    }
    let Some(_turn) = turn.try_take() else {
        let message = "database is locked: other threads write".into();
        return Ok(Attempt::Busy(SqlError::Sqlite { code: ffi::SQLITE_BUSY, message }));
    };
    match step(connection, "BEGIN IMMEDIATE") {
        Ok(()) => {}
        Err(error) if error.is_busy() => return Ok(Attempt::Busy(error)),
        Err(error) => return Err(error),
    }
    if let Err(error) = target.check(connection, false) {
        let _ = step(connection, "ROLLBACK");
        return Err(SqlError::Engine(error));
    }
    note(target, held);
    Ok(Attempt::Done(()))
}

/// Commits. If SQLite cannot, the transaction stays open, unless SQLite itself has rolled it back.
pub(super) fn commit(
    connection: &Connection,
    target: &Target,
    held: &mut Option<ThreadId>,
) -> Result<Attempt<()>, SqlError> {
    let result = step(connection, "COMMIT");
    if let Err(error) = &result
        && !error.is_busy()
        && connection.is_autocommit()
    {
        // As after a failed commit of the engine: no crash may bring it back.
        let _ = target.forget_commit(connection);
    }
    if connection.is_autocommit() {
        ended(target, held);
    }
    match result {
        Err(error) if error.is_busy() => Ok(Attempt::Busy(error)),
        result => result.map(Attempt::Done),
    }
}

pub(super) fn roll_back(connection: &Connection, target: &Target, held: &mut Option<ThreadId>) -> Result<(), SqlError> {
    let result = if connection.is_autocommit() { Ok(()) } else { step(connection, "ROLLBACK") };
    if connection.is_autocommit() {
        ended(target, held);
    }
    result
}
