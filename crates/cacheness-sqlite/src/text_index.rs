//! Full-text search over descriptions and the texts in the metadata.
//!
//! An index of FTS5 with one row per entry, under the entry's row id. Triggers do not run in our databases (see `connect`),
//! so a hook notes the rows that a transaction changes, and the index follows before the commit. The hook is there only if
//! the index is.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};

use cacheness_core::backend::{Page, Query};
use cacheness_core::entry::EntrySummary;
use cacheness_core::query::{Evaluator, Filter, Subject};
use cacheness_core::{Error, ErrorKind, Result};
use rusqlite::{Connection, ffi};

use crate::error::translate;
use crate::filter::PINNED_SQL;
use crate::rows::{self, LAST, columns};
use crate::scan;
use crate::statement::prepare;

/// Writes the texts of entries into the index: of the description, and all strings in the metadata. Metadata that is no JSON
/// has none.
macro_rules! insert {
    () => {
        "INSERT INTO cache_text (rowid, description, metadata) SELECT id, coalesce(description, ''), \
         CASE WHEN json_valid(metadata) THEN coalesce((SELECT group_concat(atom, ' ') \
         FROM json_tree(cache_entries.metadata) WHERE type = 'text'), '') ELSE '' END FROM cache_entries"
    };
}

const CREATE: &str = concat!(
    // Of the texts only the index is kept: they are in the entries.
    "CREATE VIRTUAL TABLE cache_text USING fts5(description, metadata, content = '', contentless_delete = 1, \
     tokenize = \"unicode61 remove_diacritics 2\");",
    insert!()
);

/// Whether the database has the index.
pub(crate) fn exists(connection: &Connection) -> Result<bool> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'cache_text'";
    prepare(connection, sql)?.exists([]).map_err(|e| translate("cannot look for the full-text index", e))
}

/// Creates the index; `false` if there is one.
pub(crate) fn create(connection: &Connection) -> Result<bool> {
    if exists(connection)? {
        return Ok(false);
    }
    connection.execute_batch(CREATE).map(|()| true).map_err(|e| translate("cannot create the full-text index", e))
}

/// Removes the index; `false` if there is none.
pub(crate) fn remove(connection: &Connection) -> Result<bool> {
    if !exists(connection)? {
        return Ok(false);
    }
    let removed = connection.execute_batch("DROP TABLE cache_text");
    removed.map(|()| true).map_err(|e| translate("cannot remove the full-text index", e))
}

thread_local! {
    /// The rows that the transaction of this thread has changed.
    static CHANGED: RefCell<Vec<i64>> = const { RefCell::new(Vec::new()) };
    /// Whether a [`Follower`] exists and is not paused.
    static NOTES: Cell<bool> = const { Cell::new(false) };
}

unsafe extern "C" fn note(_: *mut c_void, _: c_int, _: *const c_char, table: *const c_char, id: i64) {
    // SAFETY: SQLite passes the name of the table as a C string.
    if NOTES.get() && unsafe { CStr::from_ptr(table) } == c"cache_entries" {
        CHANGED.with_borrow_mut(|changed| changed.push(id));
    }
}

/// Notes the rows that a transaction changes.
pub(crate) struct Follower<'a>(&'a Connection);

impl<'a> Follower<'a> {
    pub(crate) fn new(connection: &'a Connection) -> Self {
        CHANGED.with_borrow_mut(Vec::clear);
        NOTES.set(true);
        // SAFETY: the handle is open and used only by this thread; the hook takes no data, and is removed by the drop.
        unsafe { ffi::sqlite3_update_hook(connection.handle(), Some(note), std::ptr::null_mut()) };
        Self(connection)
    }

    /// Makes the index follow. Call it before the commit.
    pub(crate) fn follow(&self) -> Result<()> {
        let failed = |e| translate("cannot update the full-text index", e);
        NOTES.set(false);
        let mut changed = CHANGED.take();
        if changed.is_empty() {
            return Ok(());
        }
        changed.sort_unstable();
        changed.dedup();
        let mut delete = prepare(self.0, "DELETE FROM cache_text WHERE rowid = ?1")?;
        let mut insert = prepare(self.0, concat!(insert!(), " WHERE id = ?1"))?;
        for id in changed {
            delete.execute([id]).map_err(failed)?;
            insert.execute([id]).map_err(failed)?;
        }
        Ok(())
    }
}

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        NOTES.set(false);
        // SAFETY: as in `new`.
        unsafe { ffi::sqlite3_update_hook(self.0.handle(), None, std::ptr::null_mut()) };
    }
}

/// Runs a statement that changes neither descriptions nor metadata.
pub(crate) fn unnoticed<T>(run: impl FnOnce() -> T) -> T {
    let notes = NOTES.replace(false);
    let result = run();
    NOTES.set(notes);
    result
}

/// All rows are deleted, of which no hook is told.
pub(crate) fn cleared(connection: &Connection) -> Result<()> {
    if !NOTES.get() {
        return Ok(());
    }
    CHANGED.with_borrow_mut(Vec::clear);
    let cleared = connection.execute("INSERT INTO cache_text (cache_text) VALUES ('delete-all')", ());
    cleared.map(drop).map_err(|e| translate("cannot clear the full-text index", e))
}

/// The entries that match the text and the filter, the most relevant first.
pub(crate) fn search(
    connection: &Connection,
    text: &str,
    query: &Query<'_>,
    limit: usize,
) -> Result<Vec<EntrySummary>> {
    let all = Filter::all();
    let evaluator = Evaluator::new(query.filter.unwrap_or(&all), &[])?;
    if !exists(connection)? {
        return Err(Error::new(ErrorKind::InvalidInput, "this store has no full-text index")
            .with_hint("create_text_index() makes one, once for the store; so does cacheness index add --text"));
    }
    let failed = |error: rusqlite::Error| match &error {
        // The parser of the query language.
        rusqlite::Error::SqliteFailure(code, Some(message)) if code.extended_code == rusqlite::ffi::SQLITE_ERROR => {
            Error::new(ErrorKind::InvalidInput, format!("{text:?} is no full-text query: {message}")).with_hint(
                "words are joined by and; \"a phrase\", pre*, OR and NOT are possible; quote a word with signs in it",
            )
        }
        _ => translate("cannot search the full-text index", error),
    };
    // Of two equally relevant entries the smaller key comes first.
    let sql = format!(
        concat!(
            "SELECT ",
            columns!(),
            ", cache_key, {} FROM cache_text JOIN cache_entries ON cache_entries.id = cache_text.rowid ",
            "WHERE cache_text MATCH ?1 AND cache_key >= ?2 ORDER BY bm25(cache_text, 2.0, 1.0), cache_key"
        ),
        PINNED_SQL
    );
    // The columns of the entry: the index has two of the same names.
    let sql = sql
        .replace(", description,", ", cache_entries.description,")
        .replace(", metadata,", ", cache_entries.metadata,");
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    statement.raw_bind_parameter(1, text).map_err(failed)?;
    statement.raw_bind_parameter(2, scan::first(query, &Page::default()).0).map_err(failed)?;
    let mut found = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(failed)? {
        let entry = rows::summary(row)?;
        let pinned = row.get(LAST + 1).map_err(failed)?;
        let is_meant = entry.entry.key.starts_with(query.prefix)
            && (pinned || !query.pinned)
            && evaluator.matches(&Subject::of(&entry, pinned))?;
        if is_meant {
            found.push(entry);
            if found.len() == limit {
                break;
            }
        }
    }
    Ok(found)
}
