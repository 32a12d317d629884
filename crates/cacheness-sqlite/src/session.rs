//! Connections for SQL of the user: the same SQLite, the same files, the same rules as the engine's own.
//!
//! A second copy of SQLite in the process (Python's `sqlite3`) must never open the database: closing it would drop the
//! locks of this one. A [`Session`] is what programs use instead. It runs any statement, with parameters, transactions
//! and savepoints, and keeps the rules of the engine:
//!
//! - The first statement that writes begins a transaction that holds the write lock (`BEGIN IMMEDIATE`), after the
//!   checks that the engine's transactions make. Reads before it see the newest committed state, each by itself.
//! - To acquire the lock, a session takes its turn among the writers of the process, and gives it up again: while its
//!   transaction is open, other writers wait as for another process. A thread that writes through the engine while it
//!   has such a transaction open would wait for itself; it gets an error at once.
//! - Waiting for a lock is done in slices outside of all locks, between which the caller is asked whether to go on.
//! - A statement runs inside a fork passage, a transaction does not: a fork waits for statements, not for users. The
//!   child's copy of a session is useless and says so, and the locks that its open transaction holds in SQLite's tables
//!   are released there ([`fork::OpenFile`]); the parent's transaction goes on.
//! - The tables of the engine are read-only, and no other database can be attached (`guard`).

mod functions;
mod guard;
mod raw;
mod transaction;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use cacheness_core::{Error, ErrorKind, Result};
use rusqlite::config::DbConfig;
use rusqlite::ffi;

use crate::checkpoint::Log;
use crate::connect::{Mode, Target, patience};
use crate::connection::Pooled;
use crate::database::SqliteMetadata;
use crate::error::translate;
use crate::fork::{self, OpenFile};
use crate::log_length;
use crate::turn::Turn;
use raw::{Prepared, Step};
pub(crate) use transaction::is_held_by_this_thread;

/// How long one attempt waits for a lock before the caller is asked whether to go on.
const SLICE: Duration = Duration::from_millis(20);
/// The number of idle prepared statements that a session keeps.
const MOST_IDLE: usize = 128;
/// The number of parameter sets of [`Session::execute_many`] between two passages: others fork in between.
const SETS: usize = 500;

/// A value of SQLite.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue {
    /// `NULL`.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// The version of SQLite.
#[must_use]
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// Why SQL of the user failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum SqlError {
    /// SQLite refused or failed: its extended result code and its message.
    Sqlite {
        /// The extended result code.
        code: i32,
        /// The message.
        message: String,
    },
    /// The session or the statement cannot be used in this way.
    Misuse(String),
    /// The session was opened before this process was forked, or the store has been closed.
    Gone(&'static str),
    /// An error of the engine: the database was replaced or is of a newer release.
    Engine(Error),
    /// The caller gave up waiting.
    GivenUp,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { message, .. } | Self::Misuse(message) => f.write_str(message),
            Self::Gone(message) => f.write_str(message),
            Self::Engine(error) => error.with_causes().fmt(f),
            Self::GivenUp => f.write_str("the caller gave up waiting for the database"),
        }
    }
}

impl std::error::Error for SqlError {}

impl SqlError {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Sqlite { code, .. } if code & 0xff == ffi::SQLITE_BUSY && *code != ffi::SQLITE_BUSY_SNAPSHOT)
    }
}

/// Asked between two attempts to acquire a lock; `false` gives up.
pub type Wait<'a> = &'a mut dyn FnMut() -> bool;

/// What a statement did.
#[derive(Debug, Default)]
pub struct Executed {
    /// The columns of its rows; empty if it returns none.
    pub columns: Vec<String>,
    /// Its first rows, row after row.
    pub values: Vec<SqlValue>,
    /// The statement that has more rows, for [`Session::fetch`].
    pub rest: Option<u64>,
    /// The number of rows inserted, updated or deleted; `None` for statements that do none of it.
    pub changed: Option<u64>,
    /// The rowid of the last insertion through this session.
    pub last_rowid: i64,
}

/// A connection for SQL of the user. Threads may share it; transactions are the session's.
pub struct Session {
    target: Arc<Target>,
    turn: Turn,
    log: Arc<Log>,
    store_closed: Arc<AtomicBool>,
    state: Mutex<State>,
    generation: u64,
}

struct State {
    /// Prepared statements are finalised before the connection is closed.
    statements: Statements,
    /// Dropped before the connection.
    file: Option<Arc<OpenFile>>,
    connection: Option<Pooled>,
    /// Every statement is a transaction of its own.
    autocommit: bool,
    /// The thread that began the write transaction.
    writer: Option<ThreadId>,
}

#[derive(Default)]
struct Statements {
    idle: HashMap<String, Prepared>,
    /// Those with more rows.
    open: HashMap<u64, Prepared>,
    next: u64,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("path", &self.target.path).finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}

impl SqliteMetadata {
    /// Opens a connection for SQL of the user.
    ///
    /// # Errors
    /// `Unsupported` for a database in memory, which has one connection; `Closed`; those of opening a connection.
    pub fn session(&self) -> Result<Session> {
        if self.target.mode == Mode::Memory {
            return Err(Error::new(ErrorKind::Unsupported, "a database in memory has no connections for SQL")
                .with_hint("open the store in a directory"));
        }
        let _passage = fork::enter();
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store has been closed"));
        }
        let pool = self.pool();
        let mut connection = self.target.open()?;
        let failed = |e| translate("cannot open a session", e);
        connection.edit(|connection| {
            connection.busy_handler(Some(patience(SLICE, self.target.identity()))).map_err(failed)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, true).map_err(failed)?;
            functions::install(connection).map_err(failed)?;
            guard::install(connection).map_err(failed)
        })?;
        let file = OpenFile::register(&connection, self.target.mode == Mode::Rollback);
        Ok(Session {
            target: Arc::clone(&self.target),
            turn: pool.turn().clone(),
            log: Arc::clone(pool.log()),
            store_closed: Arc::clone(&self.sessions_closed),
            state: Mutex::new(State {
                statements: Statements::default(),
                file,
                connection: Some(connection),
                autocommit: false,
                writer: None,
            }),
            generation: fork::generation(),
        })
    }
}

/// What one attempt came to.
enum Attempt<T> {
    Done(T),
    /// A lock is held by another connection: worth another attempt.
    Busy(SqlError),
}

impl Session {
    fn state(&self) -> Result<MutexGuard<'_, State>, SqlError> {
        if self.generation != fork::generation() {
            return Err(SqlError::Gone(
                "this connection was opened before the process was forked: open a new one in the child",
            ));
        }
        if self.store_closed.load(Ordering::Acquire) {
            return Err(SqlError::Gone("the store has been closed"));
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.connection.is_none() {
            return Err(SqlError::Misuse("the connection has been closed".into()));
        }
        Ok(state)
    }

    /// Repeats `attempt` inside of passages, and asks `wait` in between.
    fn retry<T>(
        &self,
        wait: Wait<'_>,
        mut attempt: impl FnMut(&mut State) -> Result<Attempt<T>, SqlError>,
    ) -> Result<T, SqlError> {
        let mut started = None;
        loop {
            let result = {
                let _passage = fork::enter();
                let mut state = self.state()?;
                attempt(&mut state)
            };
            let error = match result? {
                Attempt::Done(value) => return Ok(value),
                Attempt::Busy(error) => error,
            };
            if started.get_or_insert_with(Instant::now).elapsed() >= self.target.busy_timeout {
                return Err(error);
            }
            if !wait() {
                return Err(SqlError::GivenUp);
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Runs one statement. Its first `most` rows are returned; the others are read by [`Session::fetch`]. A statement
    /// that writes runs to its end at once.
    ///
    /// # Errors
    /// Those of SQLite; `Misuse` for several statements or a wrong number of parameters.
    pub fn execute(
        &self,
        sql: &str,
        parameters: &[SqlValue],
        most: usize,
        wait: Wait<'_>,
    ) -> Result<Executed, SqlError> {
        let result = self.execute_sets(sql, &[parameters], most, wait);
        self.after_write();
        result
    }

    /// Runs a statement once for each set of parameters; rows that it returns are discarded.
    ///
    /// # Errors
    /// Those of [`Session::execute`]. Earlier sets stay executed in the open transaction.
    pub fn execute_many(&self, sql: &str, sets: &[Vec<SqlValue>], wait: Wait<'_>) -> Result<Executed, SqlError> {
        let mut total = Executed::default();
        for sets in sets.chunks(SETS) {
            let sets: Vec<&[SqlValue]> = sets.iter().map(Vec::as_slice).collect();
            let result = self.execute_sets(sql, &sets, 0, wait);
            self.after_write();
            let done = result?;
            total.last_rowid = done.last_rowid;
            if let Some(changed) = done.changed {
                total.changed = Some(total.changed.unwrap_or(0) + changed);
            }
        }
        Ok(total)
    }

    fn execute_sets(&self, sql: &str, sets: &[&[SqlValue]], most: usize, wait: Wait<'_>) -> Result<Executed, SqlError> {
        self.retry(wait, |state| {
            let State { connection, statements, autocommit, writer, .. } = state;
            let connection = connection.as_ref().expect("it has been checked");
            let mut statement = match statements.idle.remove(sql) {
                Some(statement) => statement,
                None => match Prepared::new(connection, sql) {
                    Ok(statement) => statement,
                    Err(error) if error.is_busy() => return Ok(Attempt::Busy(error)),
                    Err(error) => return Err(guard::explain(error)),
                },
            };
            let kind = statement.kind();
            let writes = kind.needs_transaction(statement.is_read_only());
            let mut alone = false;
            if writes && connection.is_autocommit() {
                match transaction::begin(connection, &self.turn, &self.target, writer)? {
                    Attempt::Done(()) => alone = *autocommit && !kind.is_savepoint(),
                    Attempt::Busy(error) => {
                        statements.keep(sql, statement);
                        return Ok(Attempt::Busy(error));
                    }
                }
            }
            let was_free = connection.is_autocommit();
            let result = run_sets(connection, &mut statement, sets, if writes { usize::MAX } else { most });
            // The user may have begun, committed and rolled back in SQL.
            if connection.is_autocommit() {
                transaction::ended(&self.target, writer);
            } else if !statement.is_read_only() {
                transaction::note(&self.target, writer);
            }
            match result {
                Ok((mut done, more)) => {
                    if more {
                        done.rest = Some(statements.open(statement));
                    } else {
                        statements.keep(sql, statement);
                    }
                    if alone {
                        match transaction::commit(connection, &self.target, writer)? {
                            Attempt::Done(()) => {}
                            Attempt::Busy(error) => {
                                transaction::roll_back(connection, &self.target, writer)?;
                                return Ok(Attempt::Busy(error));
                            }
                        }
                    }
                    Ok(Attempt::Done(done))
                }
                Err(error) => {
                    statement.reset();
                    statements.keep(sql, statement);
                    if alone {
                        transaction::roll_back(connection, &self.target, writer)?;
                    }
                    // Inside a transaction that only reads, waiting would not help: its snapshot would be too old.
                    if error.is_busy() && (was_free || sets.len() == 1 && kind.is_end()) {
                        return Ok(Attempt::Busy(error));
                    }
                    Err(error)
                }
            }
        })
    }

    /// The next rows of a statement, at most `most`, and whether there are more.
    ///
    /// # Errors
    /// Those of SQLite; `Misuse` if the statement has been finished.
    pub fn fetch(&self, statement: u64, most: usize) -> Result<(Vec<SqlValue>, bool), SqlError> {
        let _passage = fork::enter();
        let mut state = self.state()?;
        let State { connection, statements, .. } = &mut *state;
        let connection = connection.as_ref().expect("it has been checked");
        let Some(mut open) = statements.open.remove(&statement) else {
            return Err(SqlError::Misuse(
                "the rows of this statement are gone: its transaction was rolled back".into(),
            ));
        };
        let mut values = Vec::new();
        match open.rows(connection, most, &mut values) {
            Ok(Step::More) => {
                statements.open.insert(statement, open);
                Ok((values, true))
            }
            Ok(Step::Done) => {
                statements.keep_own(open);
                Ok((values, false))
            }
            Err(error) => Err(error),
        }
    }

    /// Gives up the remaining rows of a statement.
    pub fn finish(&self, statement: u64) {
        let _passage = fork::enter();
        let Ok(mut state) = self.state() else { return };
        if let Some(mut open) = state.statements.open.remove(&statement) {
            open.reset();
            state.statements.keep_own(open);
        }
    }

    /// Commits the open transaction, if there is one.
    ///
    /// # Errors
    /// Those of SQLite, such as a deferred constraint; the transaction then stays open.
    pub fn commit(&self, wait: Wait<'_>) -> Result<(), SqlError> {
        let result = self.retry(wait, |state| {
            let State { connection, writer, .. } = state;
            let connection = connection.as_ref().expect("it has been checked");
            if connection.is_autocommit() {
                return Ok(Attempt::Done(()));
            }
            transaction::commit(connection, &self.target, writer)
        });
        self.after_write();
        result
    }

    /// Rolls the open transaction back, if there is one.
    ///
    /// # Errors
    /// Those of SQLite.
    pub fn rollback(&self) -> Result<(), SqlError> {
        let _passage = fork::enter();
        let mut state = self.state()?;
        let State { connection, writer, statements, .. } = &mut *state;
        let connection = connection.as_ref().expect("it has been checked");
        if connection.is_autocommit() {
            return Ok(());
        }
        statements.open.values_mut().for_each(Prepared::reset);
        statements.open.clear();
        transaction::roll_back(connection, &self.target, writer)
    }

    /// Whether a transaction is open.
    ///
    /// # Errors
    /// `Gone`, `Misuse`.
    pub fn in_transaction(&self) -> Result<bool, SqlError> {
        let _passage = fork::enter();
        Ok(!self.state()?.connection.as_ref().expect("it has been checked").is_autocommit())
    }

    /// Sets whether every statement is a transaction of its own.
    ///
    /// # Errors
    /// `Gone`, `Misuse`.
    pub fn set_autocommit(&self, autocommit: bool) -> Result<(), SqlError> {
        let _passage = fork::enter();
        self.state()?.autocommit = autocommit;
        Ok(())
    }

    /// Whether statements can be executed: neither the session nor the store has been closed, and no fork lies between.
    pub fn is_open(&self) -> bool {
        let _passage = fork::enter();
        self.state().is_ok()
    }

    /// Closes the connection and rolls an open transaction back. Closing twice is not an error.
    pub fn close(&self) {
        let _passage = fork::enter();
        // The child's copy is left as it is.
        if self.generation != fork::generation() {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { connection, writer, statements, file, .. } = &mut *state;
        *statements = Statements::default();
        *file = None;
        if let Some(connection) = connection.take() {
            if !connection.is_autocommit() {
                // If it fails, closing rolls back.
                let _ = transaction::roll_back(&connection, &self.target, writer);
            }
            drop(connection);
        }
        transaction::ended(&self.target, writer);
    }

    /// Has a long log moved into the database, as after the engine's own commits. Call it outside of a passage.
    fn after_write(&self) {
        let length = log_length::length_after_commit();
        if length > 0 && self.log.is_long(length) {
            self.log.move_beside(length, &self.target);
        }
    }
}

fn run_sets(
    connection: &Pooled,
    statement: &mut Prepared,
    sets: &[&[SqlValue]],
    most: usize,
) -> Result<(Executed, bool), SqlError> {
    let mut done = Executed { columns: statement.columns(), ..Executed::default() };
    let counts = statement.kind().is_change();
    let mut changed = 0;
    let mut more = false;
    for parameters in sets {
        statement.bind(connection, parameters)?;
        done.values.clear();
        match statement.rows(connection, most, &mut done.values)? {
            Step::More if sets.len() == 1 => more = true,
            Step::More => statement.reset(),
            Step::Done => {}
        }
        if counts {
            changed += connection.changes();
        }
    }
    done.changed = counts.then_some(changed);
    done.last_rowid = connection.last_insert_rowid();
    Ok((done, more))
}

impl Statements {
    fn open(&mut self, statement: Prepared) -> u64 {
        self.next += 1;
        self.open.insert(self.next, statement);
        self.next
    }

    fn keep(&mut self, sql: &str, statement: Prepared) {
        if self.idle.len() >= MOST_IDLE {
            self.idle.clear();
        }
        self.idle.insert(sql.to_owned(), statement);
    }

    fn keep_own(&mut self, statement: Prepared) {
        let sql = statement.sql().to_owned();
        self.keep(&sql, statement);
    }
}
