//! The statements that change entries. Each function runs inside a transaction of its caller.

use cacheness_core::backend::{PutOptions, PutOutcome, Share};
use cacheness_core::entry::{Entry, EntryVersion, Location};
use cacheness_core::{Error, ErrorKind, Result};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::database::prepare;
use crate::error::translate;
use crate::rows::{self, columns};
use crate::spool::Spool;
use crate::totals;
use crate::totals::Removed;

/// What a put or a delete needs to know of the row that was there: `id, file_size, locator`.
struct Former {
    id: i64,
    size: i64,
    locator: Option<String>,
}

impl Former {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, size: row.get(1)?, locator: row.get(2)? })
    }
}

fn find_former(connection: &Connection, key: &str) -> Result<Option<Former>> {
    let mut statement = prepare(connection, "SELECT id, file_size, locator FROM cache_entries WHERE cache_key = ?1")?;
    statement.query_row([key], Former::from_row).optional().map_err(|e| translate("cannot find an entry", e))
}

/// `locator`, unless an entry names it.
fn if_orphaned(connection: &Connection, locator: Option<String>) -> Result<Option<String>> {
    let Some(locator) = locator else { return Ok(None) };
    let mut statement = prepare(connection, "SELECT 1 FROM cache_entries WHERE locator = ?1 LIMIT 1")?;
    let named = statement.exists([&locator]).map_err(|e| translate("cannot find an entry", e))?;
    Ok((!named).then_some(locator))
}

/// Those of other keys that have a blob of the digest (?1) and size (?2); ?3 is the key.
macro_rules! equal {
    () => {
        "digest = ?1 AND file_size = ?2 AND cache_key <> ?3"
    };
}

pub(crate) fn equal_blob(connection: &Connection, entry: &Entry) -> Result<Option<String>> {
    let Some(digest) = &entry.digest else { return Ok(None) };
    // The order makes the answer the same on every backend.
    let sql = concat!(
        "SELECT locator FROM cache_entries WHERE ",
        equal!(),
        " AND locator IS NOT NULL ORDER BY cache_key LIMIT 1"
    );
    prepare(connection, sql)?
        .query_row(params![digest.as_slice(), rows::signed_size(entry)?, entry.key], |row| row.get(0))
        .optional()
        .map_err(|e| translate("cannot find an equal blob", e))
}

/// Whether an entry equal to `entry` names the blob `shared`, so that `entry` may name it, too. Not if an entry already
/// names its blob `own`, which must then not be deleted.
fn may_share(connection: &Connection, entry: &Entry, own: &str, shared: &str) -> Result<bool> {
    let Some(digest) = &entry.digest else { return Ok(false) };
    let sql = concat!(
        "SELECT 1 FROM cache_entries WHERE ",
        equal!(),
        " AND locator = ?4 AND NOT EXISTS (SELECT 1 FROM cache_entries WHERE locator = ?5) LIMIT 1"
    );
    prepare(connection, sql)?
        .exists(params![digest.as_slice(), rows::signed_size(entry)?, entry.key, shared, own])
        .map_err(|e| translate("cannot find an equal blob", e))
}

/// Makes the entries equal to `entry` that name the blob `damaged` name `own`; whether nobody else names it.
fn displace(connection: &Connection, entry: &Entry, own: &str, damaged: &str) -> Result<bool> {
    let Some(digest) = &entry.digest else { return Ok(false) };
    let sql = concat!("UPDATE cache_entries SET locator = ?5 WHERE ", equal!(), " AND locator = ?4");
    let changed = prepare(connection, sql)?
        .execute(params![digest.as_slice(), rows::signed_size(entry)?, entry.key, damaged, own])
        .map_err(|e| translate("cannot write an entry", e))?;
    Ok(changed > 0 && if_orphaned(connection, Some(damaged.to_owned()))?.is_some())
}

/// Nothing happens where the key is there already: a put of a new key, the usual one, is this statement alone.
const INSERT: &str = concat!(
    "INSERT INTO cache_entries (cache_key, ",
    columns!(),
    ", payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23) \
     ON CONFLICT (cache_key) DO NOTHING"
);

/// The parameters of [`INSERT`], and the row. The key (?1) is the same and the access count (?6) is kept.
const REPLACE: &str = "UPDATE cache_entries SET fingerprint = ?2, created_at = ?3, accessed_at = ?4, expires_at = ?5, \
    handler = ?7, data_type = ?8, storage_format = ?9, compression = ?10, object_type = ?11, handler_meta = ?12, \
    file_size = ?13, file_hash = ?14, digest = ?15, signature = ?16, description = ?17, metadata = ?18, params = ?19, \
    raw_size = ?20, locator = ?21, computed = ?22, payload = ?23 WHERE id = ?24";

pub(crate) fn put(connection: &Connection, entry: &Entry, options: PutOptions<'_>) -> Result<PutOutcome> {
    let mut outcome = PutOutcome::default();
    let other;
    let mut location = &entry.location;
    match (options.share, location) {
        (Share::With(shared), Location::Blob(own)) if may_share(connection, entry, own, shared)? => {
            outcome.shared = true;
            other = Location::Blob(shared.to_owned());
            location = &other;
        }
        (Share::InPlaceOf(damaged), Location::Blob(own)) if own != damaged => {
            outcome.displaced = displace(connection, entry, own, damaged)?;
        }
        _ => {}
    }
    let failed = |e| translate("cannot write an entry", e);
    if options.pin {
        pin(connection, &entry.key)?;
    }
    let mut insert = prepare(connection, INSERT)?;
    rows::bind_entry(&mut insert, entry, location)?;
    let inserted = insert.raw_execute().map_err(failed)?;
    drop(insert);
    if inserted > 0 {
        totals::inserted(connection, connection.last_insert_rowid())?;
        return Ok(outcome);
    }
    let former = find_former(connection, &entry.key)?
        .ok_or_else(|| Error::new(ErrorKind::Metadata, format!("entry {} is in the index of keys only", entry.key)))?;
    let mut replace = prepare(connection, REPLACE)?;
    rows::bind_entry(&mut replace, entry, location)?;
    replace.raw_bind_parameter(24, former.id).map_err(failed)?;
    replace.raw_execute().map_err(failed)?;
    drop(replace);
    totals::resized(connection, former.id, rows::signed_size(entry)? - former.size)?;
    if former.locator.as_deref() != location.locator() {
        outcome.orphaned = if_orphaned(connection, former.locator)?;
    }
    outcome.replaced = true;
    Ok(outcome)
}

/// Removes the row found by `sql`, which returns the columns of a [`Former`].
pub(crate) fn delete(
    connection: &Connection,
    key: &str,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Option<PutOutcome>> {
    let removed = prepare(connection, sql)?.query_row(values, Former::from_row).optional();
    let Some(former) = removed.map_err(|e| translate("cannot delete an entry", e))? else { return Ok(None) };
    totals::removed(connection, former.id, former.size)?;
    unpin(connection, key)?;
    let orphaned = if_orphaned(connection, former.locator)?;
    Ok(Some(PutOutcome { orphaned, replaced: true, ..PutOutcome::default() }))
}

/// A statement that returned what it deletes would write it to a table of its own first, which takes as long again: the row
/// is read before.
const DELETE_ROW: &str = "DELETE FROM cache_entries WHERE id = ?1";

/// Removes those of the entries that are there in the version expected. Totals and pins are seen to once for all of them.
pub(crate) fn delete_batch(connection: &Connection, expected: &[EntryVersion]) -> Result<Vec<Option<PutOutcome>>> {
    let failed = |e| translate("cannot delete an entry", e);
    let mut removed = Removed::begin(connection)?;
    let pins: i64 = prepare(connection, "SELECT EXISTS (SELECT 1 FROM cache_pins)")?
        .query_row((), |row| row.get(0))
        .map_err(failed)?;
    let mut find = prepare(
        connection,
        "SELECT id, file_size, locator FROM cache_entries WHERE cache_key = ?1 AND created_at = ?2 AND file_hash = ?3",
    )?;
    let mut delete = prepare(connection, DELETE_ROW)?;
    let mut outcomes = Vec::with_capacity(expected.len());
    for EntryVersion { key, created_at, file_hash } in expected {
        let found = find.query_row(params![key, created_at.0, file_hash.cast_signed()], Former::from_row).optional();
        let Some(former) = found.map_err(failed)? else {
            outcomes.push(None);
            continue;
        };
        delete.execute([former.id]).map_err(failed)?;
        removed.add(former.id, former.size);
        if pins != 0 {
            unpin(connection, key)?;
        }
        let orphaned = if_orphaned(connection, former.locator)?;
        outcomes.push(Some(PutOutcome { orphaned, replaced: true, ..PutOutcome::default() }));
    }
    removed.count(connection)?;
    Ok(outcomes)
}

/// Removes the row `id`, whose entry is not pinned; returns its key, its size, and the locator that nobody names any more.
pub(crate) fn delete_row(
    connection: &Connection,
    id: i64,
    removed: &mut Removed,
) -> Result<Option<(String, u64, Option<String>)>> {
    let failed = |e| translate("cannot delete an entry", e);
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let found: Option<(String, i64, Option<String>)> =
        prepare(connection, "SELECT cache_key, file_size, locator FROM cache_entries WHERE id = ?1")?
            .query_row([id], row)
            .optional()
            .map_err(failed)?;
    let Some((key, size, locator)) = found else { return Ok(None) };
    prepare(connection, DELETE_ROW)?.execute([id]).map_err(failed)?;
    removed.add(id, size);
    Ok(Some((key, u64::try_from(size).unwrap_or(0), if_orphaned(connection, locator)?)))
}

pub(crate) fn pin(connection: &Connection, key: &str) -> Result<usize> {
    let sql = "INSERT INTO cache_pins (cache_key) VALUES (?1) ON CONFLICT DO NOTHING";
    prepare(connection, sql)?.execute([key]).map_err(|e| translate("cannot pin an entry", e))
}

pub(crate) fn unpin(connection: &Connection, key: &str) -> Result<usize> {
    let sql = "DELETE FROM cache_pins WHERE cache_key = ?1";
    prepare(connection, sql)?.execute([key]).map_err(|e| translate("cannot unpin an entry", e))
}

pub(crate) fn clear(connection: &Connection) -> Result<(u64, Spool)> {
    let failed = |e| translate("cannot clear the store", e);
    let mut spool = Spool::new();
    {
        let mut statement =
            prepare(connection, "SELECT DISTINCT locator FROM cache_entries WHERE locator IS NOT NULL")?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(failed)? {
            let locator = row.get_ref(0).and_then(|value| Ok(value.as_str()?)).map_err(failed)?;
            spool.push(locator)?;
        }
    }
    let removed = connection.execute("DELETE FROM cache_entries", ()).map_err(failed)?;
    connection.execute("DELETE FROM cache_pins", ()).map_err(failed)?;
    totals::cleared(connection)?;
    Ok((removed as u64, spool))
}
