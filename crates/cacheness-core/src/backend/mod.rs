//! The contracts of storage: all that the engine knows about a database, an object store or a directory.
//!
//! | contract | keeps | implemented by |
//! |---|---|---|
//! | [`MetadataBackend`] | entries | `backends` (memory, JSON), the crate `cacheness-sqlite` |
//! | [`BlobBackend`] | payloads | `backends` (memory, file system), the crate `cacheness-objects` |
//! | [`Locks`] | the right to compute, between processes | `backends` (a lock file) |
//!
//! A transaction is data: the engine describes all changes as a [`Commit`], and the backend makes them together or not
//! at all. No callback of the engine runs inside a backend. A server can therefore execute a commit in one round trip,
//! and a backend can be written in another language.

mod blob;
mod capability;
mod commit;
mod evict;
mod locks;
mod metadata;
mod pool;
mod query;
mod row_query;
mod rows;
mod schema;
mod sql;
mod sql_rows;

pub use crate::entry::BlobRef;
pub use blob::{BlobBackend, BlobHint, BlobInfo, BlobProperties, BlobReader, BlobWriter, Range};
pub use capability::{BlobCapability, Capability, Parts};
pub use commit::{
    AccessRecord, Commit, Committed, EntryUpdate, Guard, KeyId, Operation, Orphans, Outcome, Put, PutOutcome, Share,
};
pub use evict::{Evicted, Eviction, EvictionOrder};
pub use locks::{Acquired, LockGuard, Locks, Release};
pub use metadata::{MetadataBackend, Part};
pub use pool::PoolStats;
pub use query::{Page, Position, Query, Versions};
pub use row_query::{
    Aggregate, ENTRY_COLUMNS, RowColumn, RowFilter, RowOrder, RowQuery, RowSelect, RowSource, RowTable, RowTest,
};
pub use rows::{CustomRow, CustomRows};
pub use schema::{ColumnType, Schema, SchemaColumn, SchemaIndex, time_of, time_value};
pub use sql::{Cancel, Sql, SqlParams, SqlRef, SqlValue};
pub use sql_rows::{SqlColumn, SqlRows, SqlRowsWriter, SqlType};
