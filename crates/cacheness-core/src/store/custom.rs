//! Tables of the user: created at their first use, and queried.

use super::Store;
use crate::backend::{RowQuery, Schema, SqlRows};
use crate::error::{Error, ErrorKind, Result};
use crate::process::PerProcess;
use crate::sync::Mutex;

/// The tables that this process has registered with this store.
#[derive(Debug, Default)]
pub(super) struct Registered(PerProcess<Mutex<Vec<Schema>>>);

impl Store {
    /// Creates or extends a user-defined table, unless this store has done that already: see
    /// [`MetadataBackend::register_schema`](crate::backend::MetadataBackend::register_schema).
    ///
    /// # Errors
    /// `Unsupported` if the metadata backend keeps no such tables, `InvalidInput` for one that exists and cannot be
    /// changed so, `Constraint`, `ReadOnly`, `Metadata`, `Closed`.
    pub fn register_schema(&self, schema: &Schema) -> Result<()> {
        let registered = self.registered.0.get_or_make(Mutex::default);
        if registered.lock().contains(schema) {
            return Ok(());
        }
        // Without the lock: of threads that register a table at once, each asks the backend.
        self.metadata.register_schema(schema)?;
        let mut registered = registered.lock();
        registered.push(schema.clone());
        Ok(())
    }

    /// Another program may have dropped a table: after such an error, the next use registers its table again.
    pub(super) fn forget_tables(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::Metadata {
            self.registered.0.get_or_make(Mutex::default).lock().clear();
        }
        error
    }

    /// Answers a query of rows of user-defined tables: see
    /// [`MetadataBackend::select_rows`](crate::backend::MetadataBackend::select_rows).
    ///
    /// # Errors
    /// `Unsupported` if the metadata backend keeps no such tables, `InvalidInput` for a wrong query, `Serialization` for a
    /// value that is not of the type of its column, `Metadata`, `Closed`.
    pub fn select_rows(&self, query: &RowQuery<'_>) -> Result<SqlRows> {
        self.metadata.select_rows(query).map_err(|error| self.forget_tables(error))
    }
}
