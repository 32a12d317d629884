//! Blobs that no entry names any more and that wait for deletion.

use cacheness_core::Result;
use cacheness_core::clock::Timestamp;
use rusqlite::{Connection, params};

use crate::error::translate;
use crate::statement::prepare;

/// Records a blob to delete.
pub(crate) fn add_garbage(connection: &Connection, locator: &str, due: Timestamp) -> Result<()> {
    let sql = "INSERT INTO cache_garbage (locator, due) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET due = ?2";
    let added = prepare(connection, sql)?.execute(params![locator, due.0]);
    added.map(drop).map_err(|e| translate("cannot record a blob for deletion", e))
}

/// Forgets blobs that are deleted.
pub(crate) fn collected(connection: &Connection, locators: &[String]) -> Result<()> {
    let mut statement = prepare(connection, "DELETE FROM cache_garbage WHERE locator = ?1")?;
    for locator in locators {
        statement.execute([locator]).map_err(|e| translate("cannot forget a deleted blob", e))?;
    }
    Ok(())
}

/// Blobs that are due to be deleted. A blob that an entry names again stays recorded until that entry is removed.
pub(crate) fn garbage(connection: &Connection, due: Timestamp, limit: usize) -> Result<Vec<String>> {
    let failed = |e| translate("cannot list blobs for deletion", e);
    let sql = "SELECT locator FROM cache_garbage AS garbage WHERE due <= ?1 AND NOT EXISTS \
               (SELECT 1 FROM cache_entries WHERE cache_entries.locator = garbage.locator) ORDER BY due LIMIT ?2";
    let mut statement = prepare(connection, sql)?;
    let found = statement.query_map(params![due.0, i64::try_from(limit).unwrap_or(i64::MAX)], |row| row.get(0));
    found.map_err(failed)?.collect::<rusqlite::Result<_>>().map_err(failed)
}

/// Of each blob, whether an entry names it or it is garbage.
pub(crate) fn knows_blobs(connection: &Connection, locators: &[&str]) -> Result<Vec<bool>> {
    let sql = "SELECT 1 FROM cache_entries WHERE locator = ?1 UNION ALL SELECT 1 FROM cache_garbage WHERE locator = ?1";
    let mut statement = prepare(connection, sql)?;
    let knows = |locator| statement.exists([locator]).map_err(|e| translate("cannot find an entry", e));
    locators.iter().map(knows).collect()
}
