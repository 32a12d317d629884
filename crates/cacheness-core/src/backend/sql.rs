//! A query in SQL as data: the statement, its parameters and its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A value of a parameter or of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum SqlValue {
    /// `NULL`.
    #[default]
    Null,
    /// A boolean. SQLite has none: it keeps 0 or 1.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number. SQLite keeps a NaN as `NULL`.
    Float(f64),
    /// A text.
    Text(String),
    /// A blob.
    Bytes(Vec<u8>),
}

impl SqlValue {
    /// The value without its own memory.
    #[must_use]
    pub fn as_ref(&self) -> SqlRef<'_> {
        match self {
            Self::Null => SqlRef::Null,
            Self::Bool(value) => SqlRef::Bool(*value),
            Self::Int(value) => SqlRef::Int(*value),
            Self::Float(value) => SqlRef::Float(*value),
            Self::Text(value) => SqlRef::Text(value),
            Self::Bytes(value) => SqlRef::Bytes(value),
        }
    }
}

/// A [`SqlValue`] that another value owns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SqlRef<'a> {
    /// `NULL`.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(&'a str),
    /// A blob.
    Bytes(&'a [u8]),
}

/// The values of a statement's parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlParams {
    /// In the order of the parameters: of `?`, or by the number of `?1`.
    Positional(Vec<SqlValue>),
    /// By the names of the parameters, without the colon of `:name`. Names that the statement lacks are ignored.
    Named(Vec<(String, SqlValue)>),
}

impl Default for SqlParams {
    /// None.
    fn default() -> Self {
        Self::Positional(Vec::new())
    }
}

/// Stops a running query from another thread. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Stops the query; it fails with [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`Cancel::cancel`] has been called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A query for [`MetadataBackend::sql`](super::MetadataBackend::sql).
#[derive(Clone, Debug)]
pub struct Sql<'a> {
    /// One statement that reads the views of `docs/formats/views.md`, in the dialect of the backend.
    pub text: &'a str,
    /// The values of its parameters.
    pub params: &'a SqlParams,
    /// The maximum number of rows: the query ends after them.
    pub limit: Option<u64>,
    /// How long the query may take.
    pub timeout: Option<Duration>,
    /// Stops the query.
    pub cancel: Cancel,
    /// Whether the column `full_metadata` has values, or is `NULL` in every row. The store sets it to its option
    /// [`store_full_metadata`](crate::config::StoreConfig::store_full_metadata).
    pub full_metadata: bool,
}

impl<'a> Sql<'a> {
    /// A query without limits.
    #[must_use]
    pub fn new(text: &'a str, params: &'a SqlParams) -> Self {
        Self { text, params, limit: None, timeout: None, cancel: Cancel::default(), full_metadata: false }
    }
}
