//! The totals, kept without writing them with every put.
//!
//! `cache_totals` counts the rows whose id is at most `counted_to`. The rows behind it are less than [`TAIL`] and are
//! counted when somebody asks. A row that every put changes would be appended to the log with every put, which costs more
//! than the entry itself: SQLite finds the newest copy of a page by going through all its copies.
//!
//! Invariant: a new row's id is greater than every id in use and than `counted_to`, also after the newest rows have been
//! deleted, so that a row is counted on exactly one side.

use cacheness_core::Result;
use cacheness_core::entry::Totals;
use rusqlite::{Connection, params};

use super::error::translate;
use super::prepare;

/// How many rows may be behind `counted_to` after a put. Counting them takes about a microsecond.
const TAIL: i64 = 32;

/// Where a new row goes.
pub(super) struct NewRow {
    pub(super) id: i64,
    counted_to: i64,
}

/// The id for a row that is about to be inserted in this transaction.
pub(super) fn new_row(connection: &Connection) -> Result<NewRow> {
    let sql = "SELECT max(counted_to, coalesce((SELECT max(id) FROM cache_entries), 0)) + 1, counted_to \
               FROM cache_totals WHERE id = 1";
    prepare(connection, sql)?
        .query_row((), |row| Ok(NewRow { id: row.get(0)?, counted_to: row.get(1)? }))
        .map_err(|e| translate("cannot read the totals", e))
}

/// Call it after the insertion.
pub(super) fn inserted(connection: &Connection, row: &NewRow) -> Result<()> {
    if row.id - row.counted_to < TAIL {
        return Ok(());
    }
    let sql = "UPDATE cache_totals SET counted_to = ?1, \
               entries = entries + (SELECT count(*) FROM cache_entries WHERE id > counted_to), \
               bytes = bytes + (SELECT coalesce(sum(file_size), 0) FROM cache_entries WHERE id > counted_to) WHERE id = 1";
    prepare(connection, sql)?.execute([row.id]).map_err(|e| translate("cannot count the entries", e))?;
    Ok(())
}

/// Call it after the row `id` has changed its size by `bytes`, or has been removed (`entries` is -1).
pub(super) fn changed(connection: &Connection, id: i64, entries: i64, bytes: i64) -> Result<()> {
    if (entries, bytes) == (0, 0) {
        return Ok(());
    }
    let sql = "UPDATE cache_totals SET entries = entries + ?1, bytes = bytes + ?2 WHERE id = 1 AND counted_to >= ?3";
    let updated = prepare(connection, sql)?.execute(params![entries, bytes, id]);
    updated.map_err(|e| translate("cannot count the entries", e))?;
    Ok(())
}

/// Call it after all rows have been removed.
pub(super) fn cleared(connection: &Connection) -> Result<()> {
    let updated = prepare(connection, "UPDATE cache_totals SET entries = 0, bytes = 0 WHERE id = 1")?.execute(());
    updated.map_err(|e| translate("cannot count the entries", e))?;
    Ok(())
}

/// The totals of all rows.
pub(super) fn get(connection: &Connection) -> Result<Totals> {
    let sql = "SELECT entries + (SELECT count(*) FROM cache_entries WHERE id > counted_to), \
               bytes + (SELECT coalesce(sum(file_size), 0) FROM cache_entries WHERE id > counted_to) \
               FROM cache_totals WHERE id = 1";
    let (entries, bytes): (i64, i64) = prepare(connection, sql)?
        .query_row((), |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(|e| translate("cannot read the totals", e))?;
    let count = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(Totals { entries: count(entries), bytes: count(bytes) })
}
