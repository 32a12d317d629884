//! Queries in SQL over the metadata of all entries.

#[cfg(feature = "arrow")]
mod arrow;
mod params;
mod row;

use std::sync::Arc;
use std::time::Duration;

use cacheness_core::Result;
use cacheness_core::backend::{Sql, SqlColumn, SqlRows};
use cacheness_core::cache::CacheEngine;
use cacheness_core::store::Store;

use crate::blob_store::BlobStore;
use crate::cache::Cache;

#[cfg(feature = "arrow")]
pub use arrow::QueryBatches;
pub use cacheness_core::backend::{Cancel, SqlParams, SqlType, SqlValue};
pub use params::{IntoParam, IntoSqlParams};
pub use row::{ColumnIndex, FromSqlValue, QueryRow};

/// Limits of a query. The default is none.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct QueryOptions {
    limit: Option<u64>,
    timeout: Option<Duration>,
    cancel: Cancel,
}

impl QueryOptions {
    /// No limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the query after this many rows.
    pub fn limit(mut self, rows: u64) -> Self {
        self.limit = Some(rows);
        self
    }

    /// Stops the query after this time, with [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut). For SQL from
    /// untrusted people.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Lets another thread stop the query, which then fails with
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    ///
    /// ```
    /// use cacheness::{Cache, Cancel, ErrorKind, QueryOptions};
    ///
    /// # fn main() -> cacheness::Result<()> {
    /// # let cache = Cache::builder().in_memory().metadata_backend("sqlite_memory").open()?;
    /// let cancel = Cancel::default();
    /// cancel.cancel();
    /// let error = cache.query_meta_with("SELECT 1", (), QueryOptions::new().cancel(&cancel)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Cancelled);
    /// # Ok(()) }
    /// ```
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.cancel = cancel.clone();
        self
    }

    fn ask<T>(self, sql: &str, params: &SqlParams, ask: impl FnOnce(&Sql<'_>) -> Result<T>) -> Result<T> {
        let Self { limit, timeout, cancel } = self;
        ask(&Sql { limit, timeout, cancel, ..Sql::new(sql, params) })
    }

    /// Queries the store of a cache.
    ///
    /// # Errors
    /// Those of [`Cache::query_meta`].
    pub fn query_cache(self, engine: &CacheEngine, sql: &str, params: &SqlParams) -> Result<QueryRows> {
        self.ask(sql, params, |sql| engine.sql(sql)).map(QueryRows::new)
    }

    /// Queries a store.
    ///
    /// # Errors
    /// Those of [`Cache::query_meta`].
    pub fn query_store(self, store: &Store, sql: &str, params: &SqlParams) -> Result<QueryRows> {
        self.ask(sql, params, |sql| store.sql(sql)).map(QueryRows::new)
    }
}

/// The rows of a query, in their order. A large result is in a temporary file; the database is not held open.
#[derive(Debug)]
pub struct QueryRows {
    rows: SqlRows,
    names: Arc<[String]>,
}

impl QueryRows {
    fn new(rows: SqlRows) -> Self {
        let names = rows.columns().iter().map(|column| column.name.clone()).collect();
        Self { rows, names }
    }

    /// The columns: their names, and the types of their values.
    #[must_use]
    pub fn columns(&self) -> &[SqlColumn] {
        self.rows.columns()
    }

    /// The number of rows that have not been read yet.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.rows.left()
    }

    /// The rows as lists of values.
    #[must_use]
    pub fn into_values(self) -> SqlRows {
        self.rows
    }
}

impl Iterator for QueryRows {
    type Item = Result<QueryRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let values = self.rows.next()?;
        Some(values.map(|values| QueryRow::new(Arc::clone(&self.names), values)))
    }
}

impl Cache {
    /// Runs a query in SQL over the views `entries` and `cache_entries`, which have a row for every entry, expired ones
    /// too: its fields as listings show them, `metadata` and `params` as JSON, and `pinned`. `docs/formats/views.md`
    /// specifies them.
    ///
    /// Values belong into parameters: `?` in order, or `:name` by name.
    ///
    /// ```
    /// use cacheness::prelude::*;
    ///
    /// # fn main() -> cacheness::Result<()> {
    /// # let cache = Cache::builder().in_memory().metadata_backend("sqlite_memory").open()?;
    /// let options = PutOptions::new().metadata(cacheness::serde_json::json!({ "accuracy": 0.95 }));
    /// cache.put_with(1, params! { model: "ridge" }, options)?;
    /// let found = cache.query_meta(
    ///     "SELECT params ->> '$.model' AS model, file_size FROM entries WHERE metadata ->> '$.accuracy' > ?",
    ///     [0.9],
    /// )?;
    /// for row in found {
    ///     let row = row?;
    ///     assert_eq!(row.get::<String>("model")?, "ridge");
    ///     assert!(row.get::<i64>(1)? > 0);
    /// }
    /// let named = cache.query_meta("SELECT count(*) FROM entries WHERE data_type = :type", [("type", "table")])?;
    /// assert_eq!(named.map(|row| row?.get::<u64>(0)).collect::<Result<Vec<_>, _>>()?, [0]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Unsupported` if the metadata backend has no SQL; `InvalidInput` for a statement that does more than read the
    /// views, that is wrong or fails, and for parameters that do not fit it; `Metadata`, `Storage`, `Closed`.
    pub fn query_meta(&self, sql: &str, params: impl IntoSqlParams) -> Result<QueryRows> {
        self.query_meta_with(sql, params, QueryOptions::new())
    }

    /// As [`query_meta`](Self::query_meta), with limits.
    ///
    /// # Errors
    /// Those of [`Cache::query_meta`]; `TimedOut`, `Cancelled`.
    pub fn query_meta_with(&self, sql: &str, params: impl IntoSqlParams, options: QueryOptions) -> Result<QueryRows> {
        options.query_cache(self.engine(), sql, &params.into_sql_params())
    }
}

impl BlobStore {
    /// Runs a query in SQL over the metadata of all artifacts: see [`Cache::query_meta`].
    ///
    /// # Errors
    /// Those of [`Cache::query_meta`].
    pub fn query_meta(&self, sql: &str, params: impl IntoSqlParams) -> Result<QueryRows> {
        self.query_meta_with(sql, params, QueryOptions::new())
    }

    /// As [`query_meta`](Self::query_meta), with limits.
    ///
    /// # Errors
    /// Those of [`Cache::query_meta`]; `TimedOut`, `Cancelled`.
    pub fn query_meta_with(&self, sql: &str, params: impl IntoSqlParams, options: QueryOptions) -> Result<QueryRows> {
        options.query_store(self.engine(), sql, &params.into_sql_params())
    }
}
