//! Connections for SQL of the program's own, on the database of a store.
//!
//! The database of a store must never be opened by another copy of SQLite in the same process: closing it would drop the
//! locks of the store. [`session`] opens a connection that keeps the rules of the store.

use std::any::Any;

use cacheness_core::backend::MetadataBackend;
use cacheness_core::store::Store;
use cacheness_core::{Error, ErrorKind, Result};
use cacheness_sqlite::SqliteMetadata;

pub use cacheness_sqlite::{Executed, Session, SqlError, SqlValue, Wait};

/// The version of SQLite.
#[must_use]
pub fn sqlite_version() -> &'static str {
    cacheness_sqlite::sqlite_version()
}

/// Opens a connection to the metadata database of `store`.
///
/// # Errors
/// `Unsupported` if the metadata is not in a SQLite file, `Closed`, and those of opening a connection.
pub fn session(store: &Store) -> Result<Session> {
    let metadata: &dyn MetadataBackend = store.metadata();
    match (metadata as &dyn Any).downcast_ref::<SqliteMetadata>() {
        Some(sqlite) => sqlite.session(),
        None => {
            let what = format!("the metadata backend {} has no SQL connections", metadata.name());
            Err(Error::new(ErrorKind::Unsupported, what)
                .with_hint("open the store in a directory, with the backend sqlite"))
        }
    }
}
