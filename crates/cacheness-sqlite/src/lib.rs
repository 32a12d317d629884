//! Entries in a SQLite database.
//!
//! A metadata backend keeps entries and never opens a blob. The format of the database is specified in
//! `docs/formats/store.md`.
//!
//! ```
//! use cacheness_core::backend::{MetadataBackend, Part};
//! use cacheness_sqlite::{SqliteMetadata, SqliteOptions};
//!
//! # fn main() -> cacheness_core::Result<()> {
//! # let dir = tempfile::tempdir().expect("a directory");
//! let entries = SqliteMetadata::open(SqliteOptions::new(dir.path().join("cache_metadata.db")))?;
//! assert_eq!(entries.totals()?.entries, 0);
//! assert!(entries.get("0123456789abcdef", Part::Whole)?.is_none());
//! entries.close()
//! # }
//! ```
//!
//! | module | is for |
//! |---|---|
//! | `options`, `database`, `backend` | the options, the transactions, the contract |
//! | `connect`, `connection`, `pool`, `turn` | opening the database, connections, the write queue |
//! | `commit`, `write`, `evict`, `garbage`, `totals` | statements that change something |
//! | `custom` | user-defined tables: creating and querying them, their rows, which belong to entries |
//! | `sql`, `views`, `guard` | queries of users: running them, what they see, what they may do |
//! | `rows`, `scan` | entries as rows, pages of them |
//! | `filter`, `find` | filters as SQL, searches with them |
//! | `reach`, `sorted` | what an index finds, pages in the order of an index |
//! | `index`, `text_index` | indexes of metadata, full-text search |
//! | `session` | connections for SQL of the user |
//! | `checkpoint`, `watch`, `changes` | checkpoints of the write-ahead log, noticing commits of others |
//! | [`mount`] | what kind of file system a path is on |
//! | `fork` | keeping SQLite's locks valid in a forked child |

mod backend;
mod changes;
mod checkpoint;
mod commit;
mod connect;
mod connection;
mod custom;
mod database;
mod errno;
mod error;
mod evict;
mod filter;
mod find;
mod fork;
mod garbage;
mod guard;
mod header;
mod hot;
mod index;
mod log_length;
pub mod mount;
mod names;
mod options;
mod pool;
mod reach;
mod rows;
mod scan;
mod session;
mod sorted;
mod spool;
mod sql;
mod statement;
mod text_index;
mod totals;
mod turn;
mod views;
mod watch;
mod write;

pub use database::SqliteMetadata;
pub use mount::FilesystemKind;
pub use options::{Access as SqliteAccess, SqliteOptions};
pub use session::{Executed, Session, SqlError, SqlValue, Wait, sqlite_version};
