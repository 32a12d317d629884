//! The contract of metadata backends: they keep entries and answer queries, and never touch a blob.

use std::any::Any;
use std::fmt;

use super::{
    Capability, Commit, Committed, Evicted, Eviction, Page, PoolStats, Position, Query, RowQuery, Schema, Sql, SqlRows,
    Versions,
};
use crate::clock::Timestamp;
use crate::entry::{BlobRef, Entry, EntrySummary, Totals};
use crate::error::{Error, ErrorKind, Result};
use crate::query::Field;

/// How much of an entry to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The whole entry.
    Whole,
    /// Without its inline payload, which is left empty.
    Summary,
}

/// Keeps entries.
///
/// Every method is atomic, also for other processes and after a crash. After an error nothing has changed, unless the
/// error [is uncertain](crate::Error::is_uncertain). Threads share a backend. After `fork()` the child reopens the
/// backend's resources. A backend never calls the engine.
///
/// A key has at most [`MAX_NAME`](crate::store::MAX_NAME) bytes and no NUL character: the store refuses others. A backend
/// may take more.
///
/// A backend on a server takes one round trip for each call, whatever the number of operations, keys or rows.
pub trait MetadataBackend: Any + Send + Sync + fmt::Debug {
    /// The name in configurations: `sqlite`, `memory`, …
    fn name(&self) -> &str;

    /// What the backend can do. Does not change.
    fn capability(&self) -> Capability;

    /// Returns the entry filed under `key`; `None` if there is none. Never writes.
    fn get(&self, key: &str, part: Part) -> Result<Option<Entry>>;

    /// [`MetadataBackend::get`] for many keys, in their order.
    fn get_batch(&self, keys: &[&str], part: Part) -> Result<Vec<Option<Entry>>> {
        keys.iter().map(|key| self.get(key, part)).collect()
    }

    /// Makes all changes of `commit`, or none.
    ///
    /// # Behavior
    /// - When it returns [`Committed::Done`], the changes are as durable as the store's mode promises. There is one
    ///   outcome per operation.
    /// - When the guard does not hold it returns [`Committed::Refused`] and changes nothing. A guarded commit and a
    ///   commit with [`Operation::SignWith`](super::Operation::SignWith) are ordered: if the guarded one is first, the
    ///   caller of the other sees its entries; if it is second, it is refused.
    /// - A blob is orphaned when no entry names it after the commit. That is decided in the same transaction.
    fn commit(&self, commit: &Commit<'_>) -> Result<Committed>;

    /// Returns a page of the entries that match `query`, without their inline payloads.
    ///
    /// # Behavior
    /// - The filter of the query is decided as [`Evaluator`](crate::query::Evaluator) decides it, and the order is that of
    ///   [`Sorter`](crate::query::Sorter).
    /// - Entries put or removed between two pages may or may not be seen, all others exactly once.
    fn select(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>>;

    /// The keys of [`MetadataBackend::select`].
    fn keys(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<String>> {
        Ok(self.select(query, page)?.into_iter().map(|found| found.entry.key).collect())
    }

    /// The number of entries that match `query`.
    fn count(&self, query: &Query<'_>) -> Result<u64> {
        Ok(self.keys(query, &Page::default())?.len() as u64)
    }

    /// The next entries that match `query`, at most `limit` (0 means no limit), in the order that is fastest for the
    /// backend. A step may find fewer, so that it takes no more than about a second, and none.
    ///
    /// # Behavior
    /// - Entries put or removed between two steps may or may not be found, all others exactly once.
    fn search(&self, query: &Query<'_>, from: &Position, limit: usize) -> Result<Versions> {
        let after = match from {
            Position::Key(key) => Some(key.as_str()),
            _ => None,
        };
        let query = Query { sort: &[], ..*query };
        let page = self.select(&query, &Page { after, limit, offset: 0 })?;
        let more = limit > 0 && page.len() >= limit;
        let next = page.last().filter(|_| more).map(|last| Position::Key(last.entry.key.clone()));
        Ok(Versions { versions: page.iter().map(|found| found.entry.version()).collect(), next })
    }

    /// A blob with the digest and size of `entry` that an entry of another key names: the one of the smallest key.
    fn equal_blob(&self, entry: &Entry) -> Result<Option<BlobRef>>;

    /// Of each blob, whether an entry names it or it is in the [`garbage`](MetadataBackend::garbage).
    fn knows_blobs(&self, locators: &[&str]) -> Result<Vec<bool>>;

    /// Blobs that no entry names any more and that are due to be deleted, at most `limit`. See [`Commit::garbage_due`].
    /// A blob that an entry names again is left out until that entry is removed, and is then due as that removal says.
    fn garbage(&self, due: Timestamp, limit: usize) -> Result<Vec<String>>;

    /// Removes entries until the target or the requested number is reached.
    ///
    /// # Behavior
    /// - Expired entries are evicted first, pinned ones never.
    /// - Up to a few thousand entries the order is exact. Beyond that, the work must not grow with their number: the
    ///   backend evicts the first entries of a sample.
    /// - Nothing is evicted if the target is already reached.
    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted>;

    /// Returns the totals, see [`Capability::exact_totals`]. Does not scan the entries.
    fn totals(&self) -> Result<Totals>;

    /// The smallest and the largest [`Entry::created_at`]; `None` if there are no entries. Scans all entries.
    fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>>;

    /// Creates an index that speeds up filters on a field of the metadata; `false` if there is one. All later commits keep
    /// it up to date.
    ///
    /// # Errors
    /// `Unsupported` without [`Capability::sql`]; `InvalidInput` for a field that is not of the metadata.
    fn create_index(&self, field: &Field) -> Result<bool> {
        Err(self.no_index(field))
    }

    /// Removes an index; `false` if there is none.
    fn drop_index(&self, field: &Field) -> Result<bool> {
        let _ = field;
        Ok(false)
    }

    /// The fields that have an index, in their order as text.
    fn indexes(&self) -> Result<Vec<Field>> {
        Ok(Vec::new())
    }

    /// The error of a backend without indexes.
    #[doc(hidden)]
    fn no_index(&self, field: &Field) -> Error {
        Error::new(
            ErrorKind::Unsupported,
            format!("the metadata backend {} has no indexes, so none of {field}", self.name()),
        )
        .with_hint("filters work without one; the backend sqlite has indexes")
    }

    /// Creates the full-text index over descriptions and the texts in the metadata; `false` if there is one. All later commits
    /// keep it up to date.
    ///
    /// # Errors
    /// `Unsupported` without [`Capability::full_text`].
    fn create_text_index(&self) -> Result<bool> {
        Err(self.no_text_index())
    }

    /// Removes the full-text index; `false` if there is none.
    fn drop_text_index(&self) -> Result<bool> {
        Ok(false)
    }

    /// Whether there is a full-text index.
    fn has_text_index(&self) -> Result<bool> {
        Ok(false)
    }

    /// The entries that match a full-text query and the filter of `query`, at most `limit`, the most relevant first.
    ///
    /// # Errors
    /// `Unsupported` without [`Capability::full_text`]; `InvalidInput` if there is no full-text index, and for a text that
    /// is no query.
    fn text_search(&self, text: &str, query: &Query<'_>, limit: usize) -> Result<Vec<EntrySummary>> {
        let _ = (text, query, limit);
        Err(self.no_text_index())
    }

    /// The error of a backend without full-text search.
    #[doc(hidden)]
    fn no_text_index(&self) -> Error {
        Error::new(ErrorKind::Unsupported, format!("the metadata backend {} has no full-text search", self.name()))
            .with_hint("use a filter with $regex or $contains, or the backend sqlite")
    }

    /// Creates a user-defined table with its indexes; one that exists is extended.
    ///
    /// # Behavior
    /// - A table that is as the schema says is not touched, also if the backend is read-only. One that has more columns
    ///   is fine.
    /// - Columns and indexes that are missing are added, all or none. A new column may be `NULL` or has a default.
    /// - Processes may register the same table at once: it is created once.
    /// - A table has the form that SQLAlchemy gives it: `docs/formats/models.md`.
    ///
    /// # Errors
    /// - `Unsupported` without [`Capability::custom_rows`].
    /// - `InvalidInput` for a schema that [`Schema::check`] refuses, and for a table that exists and cannot be changed to
    ///   what the schema says: another type, another nullability, another primary key, no foreign key on entries. The
    ///   hint says what to do.
    /// - `Constraint` if rows that exist do not fit a unique index. `ReadOnly` if something is missing.
    fn register_schema(&self, schema: &Schema) -> Result<()> {
        Err(self.no_custom_rows(&schema.name))
    }

    /// Answers a query of rows of user-defined tables, which have been registered. Its rows are those of one moment.
    ///
    /// # Behavior
    /// - Values come back in one form, whatever the database keeps: those of [`ColumnType`](super::ColumnType) as integer,
    ///   float, boolean, text and blob; a time as an integer of microseconds since 1970 in UTC, a date as an integer of
    ///   days since 1970, JSON as text. A `NULL` is one.
    /// - Texts are compared and ordered by their UTF-8 bytes; names are quoted, values are bound.
    ///
    /// # Errors
    /// - `Unsupported` without [`Capability::custom_rows`].
    /// - `InvalidInput` for a query that [`RowQuery::check`] refuses.
    /// - `Serialization` for a value that is not of the type of its column; the error names the column.
    /// - `Metadata` if a table does not exist.
    fn select_rows(&self, query: &RowQuery<'_>) -> Result<SqlRows> {
        Err(self.no_custom_rows(query.tables.first().map_or("", |table| table.name)))
    }

    /// The error of a backend without user-defined tables.
    #[doc(hidden)]
    fn no_custom_rows(&self, table: &str) -> Error {
        let what = format!("the metadata backend {} keeps no custom metadata, so no table {table}", self.name());
        Error::new(ErrorKind::Unsupported, what).with_hint("open the store in a directory, with the backend sqlite")
    }

    /// Runs a query in SQL over the views of `docs/formats/views.md`. Its rows are those of one moment.
    ///
    /// # Behavior
    /// - Only a single statement that reads, and reads nothing but the views, runs. Any other one is refused before it
    ///   runs, and the error says what was refused.
    /// - A query that is stopped, by its timeout or its [`Cancel`](super::Cancel), leaves nothing behind.
    ///
    /// # Errors
    /// - `Unsupported` without [`Capability::sql`].
    /// - `InvalidInput` for a statement that is refused, is wrong or fails, and for parameters that do not fit it.
    /// - `TimedOut`, `Cancelled`.
    fn sql(&self, _sql: &Sql<'_>) -> Result<SqlRows> {
        let what = format!("the metadata backend {} does not answer queries in SQL (Capability::sql)", self.name());
        Err(Error::new(ErrorKind::Unsupported, what)
            .with_hint("use a store with the backend sqlite; listings and filters work with every backend"))
    }

    /// A number that grows whenever an entry may have been changed by another process, or through another handle of
    /// this process. `None` without [`Capability::change_notice`], and when it cannot be determined now.
    ///
    /// # Behavior
    /// - Cheap enough to call for every get: no system call.
    /// - The result includes every change that was committed before the call.
    /// - Changes through this object are not counted if the backend can tell them apart, and may be counted if it
    ///   cannot.
    fn outside_changes(&self) -> Option<u64> {
        None
    }

    /// Returns unused space to the file system if that needs little space and time: called when the disk is full. Space
    /// that cannot be returned now is not an error.
    fn shrink(&self) -> Result<()> {
        Ok(())
    }

    /// Counts of the connections to the server; `None` for a backend without a pool of them.
    fn pool_stats(&self) -> Option<PoolStats> {
        None
    }

    /// Whether the store is read-only.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Releases all resources; later calls fail with [`ErrorKind::Closed`].
    ///
    /// # Behavior
    /// - Closing twice is no error.
    fn close(&self) -> Result<()>;
}
