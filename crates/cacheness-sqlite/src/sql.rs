//! Queries of users, each on a connection of its own that never joins the pool.
//!
//! The whole query runs in one passage of [`fork`], which calls no foreign code: its rows go to memory or a temporary
//! file, and the caller reads them afterwards. SQLite asks every few microseconds whether to go on. If a fork waits, the
//! query stops, and starts again after the fork. The n-th time it lets the fork wait for 2^n milliseconds, a second at
//! most, before it gives way again: so a process that forks all the time gets an answer too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use cacheness_core::backend::{Cancel, Sql, SqlParams, SqlRef, SqlRows, SqlRowsWriter, SqlValue};
use cacheness_core::{Error, ErrorKind, Result};
use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::ffi::ErrorCode;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Batch, Connection, OpenFlags, Statement};

use crate::connect::{Mode, run_no_programs};
use crate::database::SqliteMetadata;
use crate::error::translate;
use crate::guard::{self, LONGEST, LONGEST_STATEMENT, Refused};
use crate::{errno, fork, views};

/// The number of SQLite's instructions between two questions whether to go on: some ten microseconds.
const INSTRUCTIONS: i32 = 1000;

/// The longest time that a fork waits for a query.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Why a query was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Stop {
    Cancelled = 1,
    TimedOut = 2,
    Fork = 3,
}

/// Decides whether a query goes on.
#[derive(Clone, Debug)]
struct Watch {
    cancel: Cancel,
    deadline: Option<Instant>,
    /// A fork waits until then.
    gives_way: Instant,
    /// The number of the [`Stop`]; 0 while the query goes on.
    stopped: Arc<AtomicU8>,
}

impl Watch {
    /// Whether the query has to stop.
    fn stops(&self) -> bool {
        let now = Instant::now();
        let stop = if self.cancel.is_cancelled() {
            Stop::Cancelled
        } else if self.deadline.is_some_and(|deadline| now >= deadline) {
            Stop::TimedOut
        } else if fork::is_waiting() && now >= self.gives_way {
            Stop::Fork
        } else {
            return false;
        };
        self.stopped.store(stop as u8, Ordering::Relaxed);
        true
    }

    fn stopped(&self) -> Option<Stop> {
        let number = self.stopped.load(Ordering::Relaxed);
        [Stop::Cancelled, Stop::TimedOut, Stop::Fork].into_iter().find(|stop| *stop as u8 == number)
    }
}

/// Runs a query.
pub(crate) fn run(store: &SqliteMetadata, sql: &Sql<'_>) -> Result<SqlRows> {
    check(sql.text)?;
    let deadline = sql.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut wait = Duration::ZERO;
    loop {
        let _passage = fork::enter();
        let watch =
            Watch { cancel: sql.cancel.clone(), deadline, gives_way: Instant::now() + wait, stopped: Arc::default() };
        // Also before a query that is too short to be asked.
        let result = if watch.stops() { Err(interrupted()) } else { run_once(store, sql, &watch) };
        match (watch.stopped(), result) {
            (Some(Stop::Cancelled), Err(_)) => return Err(Error::new(ErrorKind::Cancelled, "the query was cancelled")),
            (Some(Stop::TimedOut), Err(_)) => return Err(timed_out(sql.timeout.unwrap_or_default())),
            (Some(Stop::Fork), Err(_)) => {}
            // The busy handler gave way to a fork.
            (None, Err(error)) if error.kind() == ErrorKind::Busy && fork::is_waiting() => {}
            (_, result) => return result,
        }
        wait = (wait * 2).clamp(Duration::from_millis(1), LONGEST_WAIT);
    }
}

fn interrupted() -> Error {
    Error::new(ErrorKind::Cancelled, "the query was interrupted")
}

fn timed_out(timeout: Duration) -> Error {
    Error::new(ErrorKind::TimedOut, format!("the query was stopped after {} seconds", timeout.as_secs_f64()))
        .with_hint("give it more time with timeout, or let it examine fewer entries")
        .retryable(false)
}

/// Refuses texts that SQLite would read only in part.
fn check(text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(
            Error::new(ErrorKind::InvalidInput, "the query has a NUL character").with_hint("pass values as parameters")
        );
    }
    if text.len() > usize::try_from(LONGEST_STATEMENT).unwrap_or(usize::MAX) {
        return Err(Error::new(ErrorKind::InvalidInput, format!("the query has {} bytes", text.len())).with_hint(
            "pass values as parameters; a list of them as JSON: cache_key IN (SELECT value FROM json_each(?))",
        ));
    }
    Ok(())
}

/// Runs the query on a new connection, which is closed before this returns.
fn run_once(store: &SqliteMetadata, sql: &Sql<'_>, watch: &Watch) -> Result<SqlRows> {
    if store.closed.load(Ordering::Acquire) {
        return Err(Error::new(ErrorKind::Closed, "the store has been closed"));
    }
    let mut refused = Refused::default();
    let prepare = |connection: &mut Connection| {
        refused = restrict(connection, sql, watch)?;
        Ok(())
    };
    if store.target.mode == Mode::Memory {
        let mut connection = copied(store)?;
        restrict(&mut connection, sql, watch).and_then(|refused| answer(&connection, sql, &refused))
    } else {
        let connection = store.target.open_as(prepare)?;
        let result = answer(&connection, sql, &refused).map_err(|error| errno::named(error, &connection));
        // The pool's connections move the log into the database when they are closed. If `close` has done that
        // already, this one has to.
        if !store.closed.load(Ordering::Acquire) {
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        result
    }
}

/// A connection to a copy of a database in memory, whose only connection others need.
fn copied(store: &SqliteMetadata) -> Result<Connection> {
    let connection = Connection::open_in_memory_with_flags(
        OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )
    .map_err(|e| translate("cannot open a database", e))?;
    run_no_programs(&connection)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF").map_err(|e| translate("cannot open a database", e))?;
    let pool = store.pool();
    let _turn = pool.turn().take();
    let only = store.take(pool)?;
    let result = views::copy(&only, &connection);
    store.put_back(pool, only);
    result.map(|()| connection)
}

/// Creates the views, and leaves the connection able to read them and nothing else.
fn restrict(connection: &mut Connection, sql: &Sql<'_>, watch: &Watch) -> Result<Refused> {
    let failed = |e| translate("cannot prepare a connection for a query", e);
    connection.execute_batch("PRAGMA query_only = OFF").map_err(failed)?;
    let base = views::create(connection, sql.full_metadata)?;
    let refused = guard::install(connection, base)?;
    let watch = watch.clone();
    connection.progress_handler(INSTRUCTIONS, Some(move || watch.stops())).map_err(failed)?;
    Ok(refused)
}

/// The rows of the query.
fn answer(connection: &Connection, sql: &Sql<'_>, refused: &Refused) -> Result<SqlRows> {
    let mut statements = Batch::new(connection, sql.text);
    let first = statements.next();
    let mut statement = first.map_err(|e| invalid(e, refused))?.ok_or_else(views::no_query)?;
    // Whether the rest is right does not matter.
    if !matches!(statements.next(), Ok(None)) {
        return Err(refusal("a second statement"));
    }
    if statement.is_explain() != 0 {
        return Err(refusal("EXPLAIN"));
    }
    // The authorizer has refused everything else already.
    if !statement.readonly() {
        return Err(refusal("a statement that writes"));
    }
    if statement.column_count() == 0 {
        return Err(views::no_query());
    }
    bind(&mut statement, sql.params)?;
    let mut writer = SqlRowsWriter::new(statement.column_names().map(str::to_owned));
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    while sql.limit.is_none_or(|limit| writer.rows() < limit) {
        let Some(row) = rows.next().map_err(|e| invalid(e, refused))? else { break };
        for index in 0..columns {
            let value = match row.get_ref(index).map_err(|e| translate("cannot read a row of a query", e))? {
                ValueRef::Null => SqlRef::Null,
                ValueRef::Integer(value) => SqlRef::Int(value),
                ValueRef::Real(value) => SqlRef::Float(value),
                ValueRef::Blob(bytes) => SqlRef::Bytes(bytes),
                ValueRef::Text(bytes) => SqlRef::Text(std::str::from_utf8(bytes).map_err(|_| not_text(row, index))?),
            };
            writer.push(value)?;
        }
    }
    writer.finish()
}

fn not_text(row: &rusqlite::Row<'_>, index: usize) -> Error {
    let name = row.as_ref().column_name(index).unwrap_or_default();
    Error::new(ErrorKind::InvalidInput, format!("a text of the column {name} is not UTF-8"))
        .with_hint("return it as a blob: CAST(… AS BLOB)")
}

/// Binds the values of the parameters.
fn bind(statement: &mut Statement<'_>, params: &SqlParams) -> Result<()> {
    let wrong = |what: String, hint: &'static str| Err(Error::new(ErrorKind::InvalidInput, what).with_hint(hint));
    let count = statement.parameter_count();
    if let SqlParams::Positional(values) = params
        && values.len() != count
    {
        let (parameters, given) = (plural(count, "parameter"), plural(values.len(), "value"));
        return wrong(format!("the query has {parameters}, and {given} given"), "give a value for each ? of the query");
    }
    for index in 1..=count {
        let value = match params {
            SqlParams::Positional(values) => &values[index - 1],
            SqlParams::Named(values) => {
                let Some(name) = statement.parameter_name(index).and_then(|name| name.get(1..)) else {
                    return wrong(
                        format!("parameter {index} of the query has no name, and values are given by names"),
                        "write :name in place of ?, or give the values as a sequence",
                    );
                };
                match values.iter().find(|(known, _)| known == name) {
                    Some((_, value)) => value,
                    None => return wrong(format!("no value is given for :{name}"), "give a value for each name"),
                }
            }
        };
        let value = match value {
            SqlValue::Null => ValueRef::Null,
            SqlValue::Bool(value) => ValueRef::Integer(i64::from(*value)),
            SqlValue::Int(value) => ValueRef::Integer(*value),
            SqlValue::Float(value) => ValueRef::Real(*value),
            SqlValue::Text(value) => ValueRef::Text(value.as_bytes()),
            SqlValue::Bytes(value) => ValueRef::Blob(value),
        };
        statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(value)).map_err(failure)?;
    }
    Ok(())
}

fn plural(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

fn refusal(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("queries only read: {what} is refused"))
        .with_hint("write one SELECT that reads the views entries or cache_entries")
}

/// The error of a statement that cannot be compiled or fails.
fn invalid(error: rusqlite::Error, refused: &Refused) -> Error {
    match refused.take() {
        Some(what) => refusal(&what),
        None => failure(error),
    }
}

fn failure(error: rusqlite::Error) -> Error {
    let wrong = |what: String| Error::new(ErrorKind::InvalidInput, what);
    match error {
        rusqlite::Error::SqlInputError { msg, sql, offset, .. } => {
            let before = usize::try_from(offset).ok().and_then(|offset| sql.get(..offset)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            wrong(format!("the query is wrong: {msg} (line {line}, column {column})"))
                .with_hint("docs/formats/views.md lists the views entries and cache_entries and their columns")
        }
        rusqlite::Error::SqliteFailure(failure, message) => match (failure.code, message) {
            (ErrorCode::TooBig, _) => wrong(format!("a text or blob of the query exceeds {} MiB", LONGEST >> 20)),
            (ErrorCode::OperationInterrupted, _) => interrupted(),
            (_, Some(message)) if message.starts_with("cannot modify ") => refusal("a statement that writes"),
            (ErrorCode::Unknown | ErrorCode::TypeMismatch, Some(message)) => {
                wrong(format!("the query failed: {message}"))
            }
            (_, message) => translate("cannot run a query", rusqlite::Error::SqliteFailure(failure, message)),
        },
        other => translate("cannot run a query", other),
    }
}
