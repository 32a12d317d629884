//! A commit: its operations in order, inside a transaction of its caller.

use cacheness_core::backend::{AccessRecord, Commit, EntryUpdate, KeyId, Operation, Orphans, Outcome};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::Entry;
use cacheness_core::{Error, ErrorKind, Result};
use rusqlite::{Connection, OptionalExtension, params};

use crate::custom::Tables;
use crate::error::translate;
use crate::garbage::{add_garbage, collected};
use crate::hot::Prepared;
use crate::statement::prepare;
use crate::{text_index, totals, write};

/// Whether the operations put, change or remove entries. A few access records alone do not justify a checkpoint.
pub(crate) fn changes_entries(operations: &[Operation<'_>]) -> bool {
    operations.iter().any(|operation| !matches!(operation, Operation::Access(_)))
}

/// Makes all changes; returns an outcome for each.
pub(crate) fn run(connection: &Prepared, commit: &Commit<'_>, tables: Tables<'_>) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::with_capacity(commit.operations.len());
    let mut rest = commit.operations;
    // Consecutive operations of one kind run together: statements are prepared once and totals are updated once.
    while let Some(operation) = rest.first() {
        let same = rest.iter().take_while(|other| is_run(operation, other)).count().max(1);
        let (run, others) = rest.split_at(same);
        rest = others;
        let start = outcomes.len();
        match *operation {
            Operation::DeleteVersion(_) => write::delete_versions(connection, run, &mut outcomes)?,
            Operation::Access(_) => text_index::unnoticed(|| record_accesses(connection, run, &mut outcomes))?,
            Operation::Put(put) => outcomes.push(Outcome::Put(write::put(connection, put, tables)?)),
            Operation::Update { expected, update } => {
                outcomes.push(Outcome::Found(update_entry(connection, expected, update)?));
            }
            Operation::Delete(key) => outcomes.push(write::delete(connection, key)?),
            Operation::Clear => outcomes.push(clear(connection, commit.garbage_due)?),
            Operation::Pin { key, pinned } => outcomes.push(Outcome::Found(pin(connection, key, pinned)?)),
            Operation::SignWith(key) => {
                sign_with(connection, &key)?;
                outcomes.push(Outcome::Done);
            }
            Operation::Collected(locators) => {
                collected(connection, locators)?;
                outcomes.push(Outcome::Done);
            }
            _ => return Err(Error::new(ErrorKind::Unsupported, "SQLite does not know this operation")),
        }
        if let Some(due) = commit.garbage_due {
            for outcome in &mut outcomes[start..] {
                discard(connection, outcome, due)?;
            }
        }
    }
    commit.settle(&mut outcomes);
    Ok(outcomes)
}

fn is_run(first: &Operation<'_>, other: &Operation<'_>) -> bool {
    matches!(
        (first, other),
        (Operation::DeleteVersion(_), Operation::DeleteVersion(_)) | (Operation::Access(_), Operation::Access(_))
    )
}

/// Records the blobs that an operation orphaned as garbage, instead of reporting them.
fn discard(connection: &Connection, outcome: &mut Outcome, due: Timestamp) -> Result<()> {
    match outcome {
        Outcome::Put(outcome) => {
            std::mem::take(&mut outcome.orphaned).iter().try_for_each(|locator| add_garbage(connection, locator, due))
        }
        Outcome::Deleted { orphaned, .. } => {
            orphaned.take().iter().try_for_each(|locator| add_garbage(connection, locator, due))
        }
        _ => Ok(()),
    }
}

/// The name under which the signing key is recorded.
const SIGNING_KEY: &str = "signing_key";

/// The key that signs the entries.
pub(crate) fn signing_key(connection: &Connection) -> Result<Option<KeyId>> {
    let failed = |e| translate("cannot read the id of the signing key", e);
    let found: Option<String> = prepare(connection, "SELECT value FROM cache_info WHERE name = ?1")?
        .query_row([SIGNING_KEY], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    let Some(text) = found else { return Ok(None) };
    let mut id = KeyId::default();
    let digits = text.len() == 2 * id.len() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digits {
        // Another program wrote this value: the next writer records its own key.
        return Ok(Some(id));
    }
    for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).expect("hexadecimal digits are ASCII");
        *byte = u8::from_str_radix(pair, 16).expect("two hexadecimal digits");
    }
    Ok(Some(id))
}

fn sign_with(connection: &Connection, key: &KeyId) -> Result<()> {
    let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let sql = "INSERT OR REPLACE INTO cache_info (name, value) VALUES (?1, ?2)";
    let recorded = prepare(connection, sql)?.execute([SIGNING_KEY, &text]);
    recorded.map(drop).map_err(|e| translate("cannot record the id of the signing key", e))
}

fn update_entry(connection: &Connection, expected: &Entry, update: &EntryUpdate) -> Result<bool> {
    let sql = "UPDATE cache_entries SET created_at = coalesce(?4, created_at), accessed_at = coalesce(?4, accessed_at), \
               expires_at = CASE WHEN ?5 THEN ?6 ELSE expires_at END, \
               description = CASE WHEN ?7 THEN ?8 ELSE description END, \
               metadata = CASE WHEN ?9 THEN ?10 ELSE metadata END, \
               signature = CASE WHEN ?11 THEN ?12 ELSE signature END \
               WHERE cache_key = ?1 AND created_at = ?2 AND file_hash = ?3 \
               AND metadata IS ?13 AND description IS ?14 AND expires_at IS ?15 AND signature IS ?16";
    let changed = prepare(connection, sql)?.execute(params![
        expected.key,
        expected.created_at.0,
        expected.file_hash.cast_signed(),
        update.created_at.map(|time| time.0),
        update.expires_at.is_some(),
        update.expires_at.flatten().map(|time| time.0),
        update.description.is_some(),
        update.description.as_ref().and_then(Option::as_deref),
        update.metadata.is_some(),
        update.metadata.as_ref().and_then(Option::as_deref),
        update.signature.is_some(),
        update.signature.flatten().as_ref().map(<[u8; 32]>::as_slice),
        expected.metadata,
        expected.description,
        expected.expires_at.map(|time| time.0),
        expected.signature.as_ref().map(<[u8; 32]>::as_slice),
    ]);
    Ok(changed.map_err(|e| translate("cannot update an entry", e))? > 0)
}

/// Returns whether the entry exists.
fn pin(connection: &Connection, key: &str, pinned: bool) -> Result<bool> {
    let found = prepare(connection, "SELECT 1 FROM cache_entries WHERE cache_key = ?1")?.exists([key]);
    if !found.map_err(|e| translate("cannot pin an entry", e))? {
        return Ok(false);
    }
    if pinned {
        write::pin(connection, key)?;
    } else {
        write::unpin(connection, key)?;
    }
    Ok(true)
}

fn record_accesses(connection: &Connection, run: &[Operation<'_>], outcomes: &mut Vec<Outcome>) -> Result<()> {
    let sql = "UPDATE cache_entries SET accessed_at = max(accessed_at, ?2), \
               access_count = access_count + min(?3, 9223372036854775807 - access_count) \
               WHERE cache_key = ?1";
    let mut statement = prepare(connection, sql)?;
    for operation in run {
        let Operation::Access(AccessRecord { key, at, count }) = operation else { continue };
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        statement.execute(params![key, at.0, count]).map_err(|e| translate("cannot record an access", e))?;
        outcomes.push(Outcome::Done);
    }
    Ok(())
}

fn clear(connection: &Connection, garbage_due: Option<Timestamp>) -> Result<Outcome> {
    let failed = |e| translate("cannot clear the store", e);
    let orphaned = match garbage_due {
        Some(due) => {
            let sql = "INSERT INTO cache_garbage (locator, due) SELECT DISTINCT locator, ?1 FROM cache_entries \
                       WHERE locator IS NOT NULL ON CONFLICT DO UPDATE SET due = ?1";
            connection.execute(sql, [due.0]).map_err(failed)?;
            Orphans::none()
        }
        None => Orphans::new(write::all_locators(connection)?.strings()?),
    };
    let removed = connection.execute("DELETE FROM cache_entries", ()).map_err(failed)?;
    text_index::cleared(connection)?;
    connection.execute("DELETE FROM cache_pins", ()).map_err(failed)?;
    totals::cleared(connection)?;
    Ok(Outcome::Cleared { entries: removed as u64, orphaned })
}
