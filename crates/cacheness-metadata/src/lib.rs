//! Metadata backends that need a database: SQLite.
//!
//! A metadata backend keeps entries and never opens a blob. The format of the database is specified in
//! `docs/formats/store.md`.
//!
//! ```
//! use cacheness_core::metadata::MetadataBackend;
//! use cacheness_metadata::{SqliteMetadata, SqliteOptions};
//!
//! # fn main() -> cacheness_core::Result<()> {
//! # let dir = tempfile::tempdir().expect("a directory");
//! let entries = SqliteMetadata::open(SqliteOptions::new(dir.path().join("cache_metadata.db")))?;
//! assert_eq!(entries.totals()?.entries, 0);
//! assert!(entries.get("0123456789abcdef")?.is_none());
//! entries.close()
//! # }
//! ```
//!
//! | module | is for |
//! |---|---|
//! | [`sqlite`] | the backend, its connections, its rows |
//! | [`mount`] | what kind of file system a path is on |
//! | `fork` | keeping SQLite's locks true in a forked child |

mod fork;
pub mod mount;
pub mod sqlite;

pub use mount::FilesystemKind;
pub use sqlite::{Access as SqliteAccess, SqliteMetadata, SqliteOptions};
