//! Prepared statements.

use cacheness_core::Result;
use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, Connection};

use crate::error::translate;

/// The size of a connection's statement cache: more than this crate has statements.
const STATEMENTS: usize = 48;

/// Keeps statements prepared from one use to the next.
pub(crate) fn keep_statements(connection: &Connection) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Otherwise SQLite plans a statement with `LIMIT ?` again for every new limit.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(drop)
        .map_err(|e| translate("cannot open a connection", e))
}

pub(crate) fn prepare<'a>(connection: &'a Connection, sql: &str) -> Result<CachedStatement<'a>> {
    connection.prepare_cached(sql).map_err(|e| translate("cannot prepare a statement", e))
}

pub(crate) fn step(connection: &Connection, sql: &str) -> Result<()> {
    let mut statement = prepare(connection, sql)?;
    statement.raw_execute().map_err(|e| translate("cannot complete a transaction", e))?;
    Ok(())
}
