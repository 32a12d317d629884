//! The totals, maintained without a write for every put.
//!
//! `cache_totals` counts the rows whose id is at most `counted_to`. The rows after it are fewer than [`TAIL`] and are
//! counted on request. A row that every put changes would be appended to the log with every put, which costs more than
//! the entry itself: SQLite finds the newest copy of a page by visiting all its copies.
//!
//! Invariant: no row that is inserted later gets an id of at most `counted_to`. SQLite gives a new row the largest id
//! in use plus one, so `counted_to` decreases with the largest id when rows are removed.

use cacheness_core::Result;
use cacheness_core::entry::Totals;
use rusqlite::{Connection, params};

use crate::error::translate;
use crate::statement::prepare;

/// The maximum number of rows after `counted_to` after a put. Counting them takes about a microsecond.
const TAIL: i64 = 32;

/// Call it after inserting the row `id`. Rows are counted in batches; ids grow by one, so no batch is missed.
pub(crate) fn inserted(connection: &Connection, id: i64) -> Result<()> {
    if id % TAIL != 0 {
        return Ok(());
    }
    let sql = "UPDATE cache_totals SET counted_to = ?1, \
               entries = entries + (SELECT count(*) FROM cache_entries WHERE id > counted_to), \
               bytes = bytes + (SELECT coalesce(sum(file_size), 0) FROM cache_entries WHERE id > counted_to) WHERE id = 1";
    prepare(connection, sql)?.execute([id]).map_err(|e| translate("cannot count the entries", e))?;
    Ok(())
}

/// Call it after changing the size of the row `id` by `bytes`.
pub(crate) fn resized(connection: &Connection, id: i64, bytes: i64) -> Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let sql = "UPDATE cache_totals SET bytes = bytes + ?1 WHERE id = 1 AND counted_to >= ?2";
    let updated = prepare(connection, sql)?.execute(params![bytes, id]);
    updated.map_err(|e| translate("cannot count the entries", e))?;
    Ok(())
}

/// Call it after removing the row `id`, whose payload had `bytes`.
pub(crate) fn removed(connection: &Connection, id: i64, bytes: i64) -> Result<()> {
    let sql = "UPDATE cache_totals SET entries = entries - (counted_to >= ?1), \
               bytes = bytes - CASE WHEN counted_to >= ?1 THEN ?2 ELSE 0 END, \
               counted_to = min(counted_to, (SELECT coalesce(max(id), 0) FROM cache_entries)) WHERE id = 1";
    let updated = prepare(connection, sql)?.execute(params![id, bytes]);
    updated.map_err(|e| translate("cannot count the entries", e))?;
    Ok(())
}

/// Rows removed one by one in one transaction, counted once at its end. Between [`Removed::begin`] and
/// [`Removed::count`] nothing else changes the totals.
pub(crate) struct Removed {
    counted_to: i64,
    entries: i64,
    bytes: i64,
}

impl Removed {
    pub(crate) fn begin(connection: &Connection) -> Result<Self> {
        let sql = "SELECT counted_to FROM cache_totals WHERE id = 1";
        let counted_to = prepare(connection, sql)?.query_row((), |row| row.get(0));
        let counted_to = counted_to.map_err(|e| translate("cannot read the totals", e))?;
        Ok(Self { counted_to, entries: 0, bytes: 0 })
    }

    /// Records the removal of the row `id`, whose payload had `bytes`.
    pub(crate) fn add(&mut self, id: i64, bytes: i64) {
        // Newer rows are not counted yet.
        if id <= self.counted_to {
            self.entries += 1;
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }

    pub(crate) fn count(self, connection: &Connection) -> Result<()> {
        let sql = "UPDATE cache_totals SET entries = entries - ?1, bytes = bytes - ?2, \
                   counted_to = min(counted_to, (SELECT coalesce(max(id), 0) FROM cache_entries)) WHERE id = 1";
        let updated = prepare(connection, sql)?.execute(params![self.entries, self.bytes]);
        updated.map_err(|e| translate("cannot count the entries", e))?;
        Ok(())
    }
}

/// Call it after removing all rows.
pub(crate) fn cleared(connection: &Connection) -> Result<()> {
    let updated =
        prepare(connection, "UPDATE cache_totals SET entries = 0, bytes = 0, counted_to = 0 WHERE id = 1")?.execute(());
    updated.map_err(|e| translate("cannot count the entries", e))?;
    Ok(())
}

/// The totals of all rows.
pub(crate) fn get(connection: &Connection) -> Result<Totals> {
    let sql = "SELECT entries + (SELECT count(*) FROM cache_entries WHERE id > counted_to), \
               bytes + (SELECT coalesce(sum(file_size), 0) FROM cache_entries WHERE id > counted_to) \
               FROM cache_totals WHERE id = 1";
    let (entries, bytes): (i64, i64) = prepare(connection, sql)?
        .query_row((), |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(|e| translate("cannot read the totals", e))?;
    let count = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(Totals { entries: count(entries), bytes: count(bytes) })
}
