//! The statements that change entries. Each function runs inside a transaction of its caller.

use cacheness_core::backend::{Operation, Outcome, Put, PutOutcome, Share};
use cacheness_core::entry::{BlobRef, Entry, EntryVersion, Location};
use cacheness_core::{Error, ErrorKind, Result};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::custom::{self, Tables};
use crate::error::translate;
use crate::hot::{Hot, Prepared};
use crate::rows;
use crate::spool::Spool;
use crate::statement::prepare;
use crate::totals;
use crate::totals::Removed;

/// What a put or a delete needs to know about the previous row: `id, file_size, locator`.
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

fn find_former(connection: &Prepared, key: &str) -> Result<Option<Former>> {
    let mut statement = connection.hot(Hot::Find)?;
    statement.query_row([key], Former::from_row).optional().map_err(|e| translate("cannot find an entry", e))
}

/// `locator`, unless an entry names it.
fn if_orphaned(connection: &Connection, locator: Option<String>) -> Result<Option<String>> {
    let Some(locator) = locator else { return Ok(None) };
    let mut statement = prepare(connection, "SELECT 1 FROM cache_entries WHERE locator = ?1 LIMIT 1")?;
    let named = statement.exists([&locator]).map_err(|e| translate("cannot find an entry", e))?;
    Ok((!named).then_some(locator))
}

/// Entries of other keys with a blob of the digest (?1) and size (?2); ?3 is the key.
macro_rules! equal {
    () => {
        "digest = ?1 AND file_size = ?2 AND cache_key <> ?3"
    };
}

/// The columns of a [`BlobRef`].
const BLOB: &str = "locator, file_size, etag, version";

fn blob_of_row(row: &Row<'_>) -> rusqlite::Result<BlobRef> {
    let size = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
    Ok(BlobRef { locator: row.get(0)?, size, etag: row.get(2)?, version: row.get(3)? })
}

pub(crate) fn equal_blob(connection: &Connection, entry: &Entry) -> Result<Option<BlobRef>> {
    let Some(digest) = &entry.digest else { return Ok(None) };
    // The order makes the result the same on every backend.
    let sql = format!(
        "SELECT {BLOB} FROM cache_entries WHERE {} AND locator IS NOT NULL ORDER BY cache_key LIMIT 1",
        equal!()
    );
    prepare(connection, &sql)?
        .query_row(params![digest.as_slice(), rows::signed_size(entry)?, entry.key], blob_of_row)
        .optional()
        .map_err(|e| translate("cannot find an equal blob", e))
}

/// The blob at `shared`, if an entry equal to `entry` names it, so that `entry` may name it too. `None` if an entry
/// already names the blob `own`, which must then not be deleted.
fn may_share(connection: &Connection, entry: &Entry, own: &str, shared: &str) -> Result<Option<BlobRef>> {
    let Some(digest) = &entry.digest else { return Ok(None) };
    let sql = format!(
        "SELECT {BLOB} FROM cache_entries WHERE {} AND locator = ?4 \
         AND NOT EXISTS (SELECT 1 FROM cache_entries WHERE locator = ?5) LIMIT 1",
        equal!()
    );
    prepare(connection, &sql)?
        .query_row(params![digest.as_slice(), rows::signed_size(entry)?, entry.key, shared, own], blob_of_row)
        .optional()
        .map_err(|e| translate("cannot find an equal blob", e))
}

/// Makes the entries equal to `entry` that name the blob `damaged` name `own`; returns whether no entry names `damaged`
/// any more.
fn displace(connection: &Connection, entry: &Entry, own: &BlobRef, damaged: &str) -> Result<bool> {
    let Some(digest) = &entry.digest else { return Ok(false) };
    let sql =
        concat!("UPDATE cache_entries SET locator = ?5, etag = ?6, version = ?7 WHERE ", equal!(), " AND locator = ?4");
    let changed = prepare(connection, sql)?
        .execute(params![
            digest.as_slice(),
            rows::signed_size(entry)?,
            entry.key,
            damaged,
            own.locator,
            own.etag,
            own.version
        ])
        .map_err(|e| translate("cannot write an entry", e))?;
    Ok(changed > 0 && if_orphaned(connection, Some(damaged.to_owned()))?.is_some())
}

pub(crate) fn put(connection: &Prepared, put: Put<'_>, tables: Tables<'_>) -> Result<PutOutcome> {
    let Put { entry, share, pin: is_pinned, rows } = put;
    let mut outcome = PutOutcome::default();
    let other;
    let mut location = &entry.location;
    match (share, location) {
        (Share::With(shared), Location::Blob(own)) => {
            if let Some(blob) = may_share(connection, entry, &own.locator, shared)? {
                outcome.shared = true;
                other = Location::Blob(blob);
                location = &other;
            }
        }
        (Share::InPlaceOf(damaged), Location::Blob(own)) if own.locator != damaged => {
            outcome.orphaned.extend(displace(connection, entry, own, damaged)?.then(|| damaged.to_owned()));
        }
        _ => {}
    }
    let failed = |e| translate("cannot write an entry", e);
    if is_pinned {
        pin(connection, &entry.key)?;
    }
    let mut insert = connection.hot(Hot::Insert)?;
    rows::bind_entry(&mut insert, entry, location)?;
    let inserted = insert.raw_execute().map_err(failed)?;
    drop(insert);
    if inserted > 0 {
        totals::inserted(connection, connection.last_insert_rowid())?;
        if !rows.is_empty() {
            outcome.row_ids = custom::insert(connection, &entry.key, rows)?;
        }
        return Ok(outcome);
    }
    let former = find_former(connection, &entry.key)?
        .ok_or_else(|| Error::new(ErrorKind::Metadata, format!("entry {} is in the index of keys only", entry.key)))?;
    let mut replace = connection.hot(Hot::Replace)?;
    rows::bind_entry(&mut replace, entry, location)?;
    replace.raw_bind_parameter(26, former.id).map_err(failed)?;
    replace.raw_execute().map_err(failed)?;
    drop(replace);
    totals::resized(connection, former.id, rows::signed_size(entry)? - former.size)?;
    if former.locator.as_deref() != location.locator() {
        outcome.orphaned.extend(if_orphaned(connection, former.locator)?);
    }
    outcome.replaced = true;
    custom::remove(connection, &entry.key, tables)?;
    if !rows.is_empty() {
        outcome.row_ids = custom::insert(connection, &entry.key, rows)?;
    }
    Ok(outcome)
}

/// Removes the entry of `key`.
pub(crate) fn delete(connection: &Connection, key: &str) -> Result<Outcome> {
    let sql = "DELETE FROM cache_entries WHERE cache_key = ?1 RETURNING id, file_size, locator";
    let removed = prepare(connection, sql)?.query_row([key], Former::from_row).optional();
    let Some(former) = removed.map_err(|e| translate("cannot delete an entry", e))? else { return Ok(NOT_FOUND) };
    totals::removed(connection, former.id, former.size)?;
    unpin(connection, key)?;
    Ok(Outcome::Deleted { found: true, orphaned: if_orphaned(connection, former.locator)? })
}

const NOT_FOUND: Outcome = Outcome::Deleted { found: false, orphaned: None };

/// The row is read before: a `RETURNING` clause would first write the rows to a temporary table, which takes as long
/// again.
const DELETE_ROW: &str = "DELETE FROM cache_entries WHERE id = ?1";

/// Removes the entries that have the expected versions. Totals and pins are updated once for all of them.
pub(crate) fn delete_versions(
    connection: &Connection,
    run: &[Operation<'_>],
    outcomes: &mut Vec<Outcome>,
) -> Result<()> {
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
    for operation in run {
        let Operation::DeleteVersion(EntryVersion { key, created_at, file_hash }) = operation else { continue };
        let found = find.query_row(params![key, created_at.0, file_hash.cast_signed()], Former::from_row).optional();
        let Some(former) = found.map_err(failed)? else {
            outcomes.push(NOT_FOUND);
            continue;
        };
        delete.execute([former.id]).map_err(failed)?;
        removed.add(former.id, former.size);
        if pins != 0 {
            unpin(connection, key)?;
        }
        let orphaned = if_orphaned(connection, former.locator)?;
        outcomes.push(Outcome::Deleted { found: true, orphaned });
    }
    removed.count(connection)
}

/// Removes the row `id`, whose entry is not pinned; returns its key, its size, and the locator that no entry names any more.
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

/// Every locator that an entry names.
pub(crate) fn all_locators(connection: &Connection) -> Result<Spool> {
    let failed = |e| translate("cannot list blobs", e);
    let mut spool = Spool::new();
    let mut statement = prepare(connection, "SELECT DISTINCT locator FROM cache_entries WHERE locator IS NOT NULL")?;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(failed)? {
        let locator = row.get_ref(0).and_then(|value| Ok(value.as_str()?)).map_err(failed)?;
        spool.push(locator)?;
    }
    Ok(spool)
}
