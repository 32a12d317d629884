//! The contract of metadata backends, implemented with SQLite.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cacheness_core::Result;
use cacheness_core::backend::{
    Capability, Commit, Committed, Evicted, Eviction, KeyId, MetadataBackend, Operation, Page, Part, Position, Query,
    RowQuery, Schema, Sql, SqlRows, Versions,
};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{BlobRef, Entry, EntrySummary, Totals};
use cacheness_core::query::Field;
use rusqlite::{Connection, Row, Statement};

use crate::connect::Mode;
use crate::custom::Tables;
use crate::database::SqliteMetadata;
use crate::error::translate;
use crate::hot::{Hot, Prepared};
use crate::pool::Pool;
use crate::rows::columns;
use crate::statement::prepare;
use crate::{
    checkpoint, commit, custom, evict, find, fork, garbage, index, rows, scan, sql, text_index, totals, write,
};

/// The number of entries that one transaction removes: about 20 ms.
const BATCH: usize = 1500;

/// The pause between two such transactions, in which others can acquire the write lock: longer than a waiting process
/// sleeps between two attempts.
const PAUSE: Duration = Duration::from_micros(2500);

const GET_SUMMARY: &str = concat!("SELECT ", columns!(), ", cache_key FROM cache_entries WHERE cache_key = ?1");

/// The row of `key` that `statement` finds.
fn get<T>(statement: &mut Statement<'_>, key: &str, make: impl Fn(&Row<'_>) -> Result<T>) -> Result<Option<T>> {
    let failed = |e| translate("cannot read an entry", e);
    statement.raw_bind_parameter(1, key).map_err(failed)?;
    let mut rows = statement.raw_query();
    rows.next().map_err(failed)?.map(make).transpose()
}

fn get_part(connection: &Prepared, key: &str, part: Part) -> Result<Option<Entry>> {
    match part {
        Part::Whole => get(&mut *connection.hot(Hot::Get)?, key, |row| rows::entry(key, row)),
        Part::Summary => get(&mut *prepare(connection, GET_SUMMARY)?, key, |row| Ok(rows::summary(row)?.entry)),
    }
}

/// The key that signs the entries. Read only if another process may have changed it.
fn signing_key(pool: &Pool, connection: &Connection, known: bool) -> Result<Option<KeyId>> {
    if let Some(key) = pool.tracker().signing_key(known) {
        return Ok(key);
    }
    let key = commit::signing_key(connection)?;
    pool.tracker().note_signing_key(Some(key));
    Ok(key)
}

impl MetadataBackend for SqliteMetadata {
    fn name(&self) -> &str {
        if self.target.mode == Mode::Memory { "sqlite_memory" } else { "sqlite" }
    }

    fn capability(&self) -> Capability {
        let mut capability = Capability::LOCAL;
        capability.change_notice = self.target.mode == Mode::Wal;
        capability.sql = true;
        capability.full_text = true;
        capability.custom_rows = self.target.mode != Mode::Memory;
        capability.batch = BATCH;
        capability.pause = PAUSE;
        capability
    }

    fn get(&self, key: &str, part: Part) -> Result<Option<Entry>> {
        self.read(|connection| get_part(connection, key, part))
    }

    fn get_batch(&self, keys: &[&str], part: Part) -> Result<Vec<Option<Entry>>> {
        self.read(|connection| keys.iter().map(|key| get_part(connection, key, part)).collect())
    }

    fn commit(&self, commit: &Commit<'_>) -> Result<Committed> {
        if let Some(row) = commit.first_row().filter(|_| self.target.mode == Mode::Memory) {
            return Err(self.no_custom_rows(&row.table));
        }
        let changes_entries = commit::changes_entries(commit.operations);
        let signs = commit.operations.iter().any(|operation| matches!(operation, Operation::SignWith(_)));
        self.transact(changes_entries, |pool, connection, known| {
            if let Some(guard) = commit.guard {
                let recorded = signing_key(pool, connection, known)?;
                if recorded != guard.signing_key {
                    return Ok(Committed::Refused(recorded));
                }
            }
            if signs {
                pool.tracker().note_signing_key(None);
            }
            commit::run(connection, commit, Tables { pool, known }).map(Committed::Done)
        })
    }

    fn select(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>> {
        self.read(|connection| match find::Find::new(query)? {
            None if page.offset == 0 => scan::select(connection, query, page),
            _ => find::select(connection, query, page),
        })
    }

    fn keys(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<String>> {
        if query.pinned && query.expired_at.is_none() && query.filter.is_none() && page.offset == 0 {
            return self.read(|connection| scan::pinned(connection, query, page));
        }
        Ok(self.select(query, page)?.into_iter().map(|found| found.entry.key).collect())
    }

    fn count(&self, query: &Query<'_>) -> Result<u64> {
        self.read(|connection| find::count(connection, query))
    }

    fn search(&self, query: &Query<'_>, from: &Position, limit: usize) -> Result<Versions> {
        self.read(|connection| find::search(connection, query, from, limit))
    }

    fn create_index(&self, field: &Field) -> Result<bool> {
        let expressions = index::expressions(field)?;
        self.transact(false, |_, connection, _| index::create(connection, field, &expressions))
    }

    fn drop_index(&self, field: &Field) -> Result<bool> {
        self.transact(false, |_, connection, _| index::remove(connection, field))
    }

    fn indexes(&self) -> Result<Vec<Field>> {
        self.read(|connection| index::all(connection))
    }

    fn create_text_index(&self) -> Result<bool> {
        self.transact(false, |pool, connection, _| {
            pool.tracker().note_text_index(None);
            text_index::create(connection)
        })
    }

    fn drop_text_index(&self) -> Result<bool> {
        self.transact(false, |pool, connection, _| {
            pool.tracker().note_text_index(None);
            text_index::remove(connection)
        })
    }

    fn has_text_index(&self) -> Result<bool> {
        self.read(|connection| text_index::exists(connection))
    }

    fn text_search(&self, text: &str, query: &Query<'_>, limit: usize) -> Result<Vec<EntrySummary>> {
        self.read(|connection| text_index::search(connection, text, query, limit))
    }

    fn equal_blob(&self, entry: &Entry) -> Result<Option<BlobRef>> {
        self.read(|connection| write::equal_blob(connection, entry))
    }

    fn knows_blobs(&self, locators: &[&str]) -> Result<Vec<bool>> {
        self.read(|connection| garbage::knows_blobs(connection, locators))
    }

    fn garbage(&self, due: Timestamp, limit: usize) -> Result<Vec<String>> {
        self.read(|connection| garbage::garbage(connection, due, limit))
    }

    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted> {
        self.transact(true, |_, connection, _| evict::evict(connection, eviction))
    }

    fn totals(&self) -> Result<Totals> {
        self.read(|connection| totals::get(connection))
    }

    fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        self.read(|connection| scan::created_range(connection))
    }

    fn register_schema(&self, schema: &Schema) -> Result<()> {
        schema.check()?;
        if self.target.mode == Mode::Memory {
            return Err(self.no_custom_rows(&schema.name));
        }
        if self.read(|connection| custom::missing(connection, schema))?.is_empty() {
            return Ok(());
        }
        self.transact(false, |pool, connection, _| {
            pool.tracker().note_tables(None);
            custom::create(connection, schema)
        })
    }

    fn select_rows(&self, query: &RowQuery<'_>) -> Result<SqlRows> {
        query.check()?;
        if self.target.mode == Mode::Memory {
            return Err(self.no_custom_rows(query.tables[0].name));
        }
        self.read(|connection| custom::select(connection, query))
    }

    fn sql(&self, sql: &Sql<'_>) -> Result<SqlRows> {
        sql::run(self, sql)
    }

    fn outside_changes(&self) -> Option<u64> {
        if self.target.mode == Mode::Memory {
            return None;
        }
        let _passage = fork::enter();
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        self.pool().tracker().look(&self.target)
    }

    fn shrink(&self) -> Result<()> {
        if self.target.mode.is_read_only() {
            return Ok(());
        }
        self.run(true, |_, connection| checkpoint::shrink(connection))?;
        if self.target.mode == Mode::Wal {
            let _passage = fork::enter();
            let _turn = self.pool().turn().take();
            checkpoint::cut(&self.target);
        }
        Ok(())
    }

    fn is_read_only(&self) -> bool {
        self.target.mode.is_read_only()
    }

    fn close(&self) -> Result<()> {
        self.shut();
        Ok(())
    }
}
