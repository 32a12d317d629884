//! Full-text search over descriptions and the texts in the metadata.
//!
//! An index of FTS5, with one row per entry under its row id, which triggers keep up to date: whatever statement changes
//! an entry, in whatever process, the index changes in its transaction.

use cacheness_core::backend::{Page, Query};
use cacheness_core::entry::EntrySummary;
use cacheness_core::query::{Evaluator, Filter, Subject};
use cacheness_core::{Error, ErrorKind, Result};
use rusqlite::Connection;

use crate::error::translate;
use crate::filter::PINNED_SQL;
use crate::rows::{self, LAST, columns};
use crate::scan;

/// The texts of a row: of the description, and of all strings in the metadata. Metadata that is no JSON has none.
macro_rules! texts {
    ($row:literal) => {
        concat!(
            "coalesce(",
            $row,
            ".description, ''), ",
            "CASE WHEN json_valid(",
            $row,
            ".metadata) THEN coalesce((SELECT group_concat(atom, ' ') FROM json_tree(",
            $row,
            ".metadata) WHERE type = 'text'), '') ELSE '' END"
        )
    };
}

const CREATE: &str = concat!(
    // Of the texts only the index is kept: they are in the entries.
    "CREATE VIRTUAL TABLE cache_text USING fts5(description, metadata, content = '', contentless_delete = 1, \
     tokenize = \"unicode61 remove_diacritics 2\");",
    "CREATE TRIGGER cache_text_insert AFTER INSERT ON cache_entries BEGIN \
     INSERT INTO cache_text (rowid, description, metadata) VALUES (new.id, ",
    texts!("new"),
    "); END;",
    "CREATE TRIGGER cache_text_delete AFTER DELETE ON cache_entries BEGIN \
     DELETE FROM cache_text WHERE rowid = old.id; END;",
    "CREATE TRIGGER cache_text_update AFTER UPDATE OF description, metadata ON cache_entries \
     WHEN old.description IS NOT new.description OR old.metadata IS NOT new.metadata BEGIN \
     DELETE FROM cache_text WHERE rowid = old.id; \
     INSERT INTO cache_text (rowid, description, metadata) VALUES (new.id, ",
    texts!("new"),
    "); END;",
    "INSERT INTO cache_text (rowid, description, metadata) SELECT id, ",
    texts!("cache_entries"),
    " FROM cache_entries;"
);

const REMOVE: &str = "DROP TRIGGER cache_text_insert; DROP TRIGGER cache_text_delete; \
                      DROP TRIGGER cache_text_update; DROP TABLE cache_text;";

fn exists(connection: &Connection) -> Result<bool> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'cache_text'";
    let found = connection.prepare(sql).and_then(|mut statement| statement.exists([]));
    found.map_err(|e| translate("cannot look for the full-text index", e))
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
    connection.execute_batch(REMOVE).map(|()| true).map_err(|e| translate("cannot remove the full-text index", e))
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
            .with_hint("create_text_index() makes one, once for the store"));
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
