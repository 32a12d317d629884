//! The contract of metadata backends, implemented with PostgreSQL.

use std::collections::HashMap;

use cacheness_core::backend::{
    Capability, Commit, Committed, Evicted, Eviction, MetadataBackend, Page, Part, PoolStats, Position, Query,
    RowQuery, Schema, Sql, SqlRows, Versions,
};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{BlobRef, Entry, EntrySummary, Totals};
use cacheness_core::query::Field;
use cacheness_core::{ErrorKind, Result};
use tokio_postgres::Row;

use crate::database::PostgresMetadata;
use crate::link::Param;
use crate::rows::{self, signed_size};
use crate::text::checked_key;
use crate::{commit, custom, evict, find, index, sql, text_index};

/// The number of operations that one commit should have.
const BATCH: usize = 1000;

fn read(part: Part, row: &Row) -> Result<Entry> {
    match part {
        Part::Whole => rows::entry(row),
        Part::Summary => Ok(rows::summary(row)?.entry),
    }
}

impl MetadataBackend for PostgresMetadata {
    fn name(&self) -> &str {
        "postgresql"
    }

    fn capability(&self) -> Capability {
        let mut capability = Capability::default();
        capability.exact_totals = true;
        capability.sql = true;
        capability.full_text = true;
        capability.custom_rows = true;
        capability.exclusive_writer = false;
        capability.batch = BATCH;
        capability
    }

    fn get(&self, key: &str, part: Part) -> Result<Option<Entry>> {
        if checked_key(key).is_err() && !self.is_closed() {
            return Ok(None);
        }
        let sql = if part == Part::Whole { &self.statements.get } else { &self.statements.get_summary };
        self.run(|link| {
            let rows = link.query("cannot read an entry", sql, &[&key])?;
            rows.first().map(|row| read(part, row)).transpose()
        })
    }

    fn get_batch(&self, keys: &[&str], part: Part) -> Result<Vec<Option<Entry>>> {
        let possible: Vec<&str> = keys.iter().copied().filter(|key| checked_key(key).is_ok()).collect();
        let sql = if part == Part::Whole { &self.statements.get_batch } else { &self.statements.get_batch_summary };
        self.run(|link| {
            let rows = link.query("cannot read entries", sql, &[&possible])?;
            let entries = rows.iter().map(|row| read(part, row)).collect::<Result<Vec<_>>>()?;
            let mut found: HashMap<String, Entry> =
                entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
            // A key that is asked for twice is answered twice.
            let mut asked: HashMap<&str, usize> = HashMap::new();
            for key in keys {
                *asked.entry(*key).or_default() += 1;
            }
            let mut take = |key: &str| {
                let left = asked.get_mut(key)?;
                *left -= 1;
                if *left == 0 { found.remove(key) } else { found.get(key).cloned() }
            };
            Ok(keys.iter().map(|key| take(key)).collect())
        })
    }

    fn commit(&self, commit: &Commit<'_>) -> Result<Committed> {
        self.writable()?;
        let mut progress = commit::Progress::default();
        let done = self.run(|link| progress.advance(link, self.target(), commit));
        let Err(error) = done else { return done };
        if progress.is_open() && error.kind() == ErrorKind::TimedOut {
            // The server was silent for too long to try once more, and not too long to ask what it did.
            let resolved = self.run(|link| progress.resolve(link, self.target(), commit));
            if let Err(later) = resolved {
                log::debug!("{}", later.with_causes());
            }
        }
        if progress.is_open() {
            return Err(error.uncertain());
        }
        progress.into_made(commit).ok_or(error)
    }

    fn select(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>> {
        self.run(|link| find::select(link, self.place(), query, page))
    }

    fn count(&self, query: &Query<'_>) -> Result<u64> {
        self.run(|link| find::count(link, self.place(), query))
    }

    fn search(&self, query: &Query<'_>, from: &Position, limit: usize) -> Result<Versions> {
        self.run(|link| find::search(link, self.place(), query, from, limit))
    }

    fn create_index(&self, field: &Field) -> Result<bool> {
        self.writable()?;
        let expression = index::expression(field)?;
        let created = self.run(|link| index::create(link, &self.names, field, &expression));
        self.indexes.clear();
        created
    }

    fn drop_index(&self, field: &Field) -> Result<bool> {
        self.writable()?;
        let removed = self.run(|link| index::remove(link, &self.names, field));
        self.indexes.clear();
        removed
    }

    fn indexes(&self) -> Result<Vec<Field>> {
        self.run(|link| index::all(link, &self.names))
    }

    fn create_text_index(&self) -> Result<bool> {
        self.writable()?;
        self.run(|link| text_index::create(link, &self.names))
    }

    fn drop_text_index(&self) -> Result<bool> {
        self.writable()?;
        self.run(|link| text_index::remove(link, &self.names))
    }

    fn has_text_index(&self) -> Result<bool> {
        self.run(|link| text_index::exists(link, &self.names))
    }

    fn text_search(&self, text: &str, query: &Query<'_>, limit: usize) -> Result<Vec<EntrySummary>> {
        self.run(|link| text_index::search(link, &self.names, text, query, limit))
    }

    fn equal_blob(&self, entry: &Entry) -> Result<Option<BlobRef>> {
        let Some(digest) = entry.digest.as_ref().map(<[u8; 32]>::as_slice) else {
            return self.run(|_| Ok(None));
        };
        let (size, key) = (signed_size(entry)?, checked_key(&entry.key)?);
        self.run(|link| {
            let params: [Param<'_>; 3] = [&digest, &size, &key];
            let rows = link.query("cannot find an equal blob", &self.statements.equal_blob, &params)?;
            Ok(rows.first().and_then(commit::blob_of_row))
        })
    }

    fn knows_blobs(&self, locators: &[&str]) -> Result<Vec<bool>> {
        // What no locator can be is asked for as an empty text, which none is.
        let locators: Vec<&str> = locators.iter().map(|locator| checked_key(locator).unwrap_or_default()).collect();
        self.run(|link| {
            let rows = link.query("cannot find blobs", &self.statements.knows_blobs, &[&locators])?;
            Ok(rows.iter().map(|row| row.try_get(0).unwrap_or(false)).collect())
        })
    }

    fn garbage(&self, due: Timestamp, limit: usize) -> Result<Vec<String>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.run(|link| {
            let rows = link.query("cannot list blobs for deletion", &self.statements.garbage, &[&due.0, &limit])?;
            Ok(rows.iter().filter_map(|row| row.try_get(0).ok()).collect())
        })
    }

    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted> {
        self.writable()?;
        // Once more it begins with the totals, from which the first attempt, if it was made, has taken what it removed: the
        // report lacks those entries, and nothing is removed beyond the target.
        self.run(|link| evict::evict(link, &self.statements, eviction))
    }

    fn totals(&self) -> Result<Totals> {
        self.run(|link| evict::totals(link, &self.statements))
    }

    fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        self.run(|link| {
            let rows = link.query("cannot read when entries were put", &self.statements.created_range, &[])?;
            let time = |place: usize| {
                rows.first().and_then(|row| row.try_get::<_, Option<i64>>(place).ok().flatten()).map(Timestamp)
            };
            Ok(time(0).zip(time(1)))
        })
    }

    fn register_schema(&self, schema: &Schema) -> Result<()> {
        schema.check()?;
        let missing = self.run(|link| custom::missing(link, &self.names, schema))?;
        if missing.is_empty() {
            return Ok(());
        }
        self.writable()?;
        self.run(|link| custom::create(link, &self.names, schema))
    }

    fn select_rows(&self, query: &RowQuery<'_>) -> Result<SqlRows> {
        query.check()?;
        self.run(|link| custom::select(link, &self.names, query))
    }

    fn sql(&self, sql: &Sql<'_>) -> Result<SqlRows> {
        self.run(|link| sql::run(link, &self.options, &self.names, sql))
    }

    fn pool_stats(&self) -> Option<PoolStats> {
        Some(self.connections())
    }

    fn is_read_only(&self) -> bool {
        self.options.read_only
    }

    fn close(&self) -> Result<()> {
        self.shut();
        Ok(())
    }
}
