//! Prepared statements.

use cacheness_core::Result;
use rusqlite::{CachedStatement, Connection};

use crate::error::translate;

/// The size of a connection's statement cache: more than this crate has statements.
pub(crate) const STATEMENTS: usize = 48;

pub(crate) fn prepare<'a>(connection: &'a Connection, sql: &str) -> Result<CachedStatement<'a>> {
    connection.prepare_cached(sql).map_err(|e| translate("cannot prepare a statement", e))
}

pub(crate) fn step(connection: &Connection, sql: &str) -> Result<()> {
    let mut statement = prepare(connection, sql)?;
    statement.raw_execute().map_err(|e| translate("cannot complete a transaction", e))?;
    Ok(())
}
