//! A connection, and its remains after a fork.

use std::ops::Deref;
use std::sync::Arc;

use rusqlite::Connection;

use crate::fork::{LeftInChildren, OpenLog};
use crate::hot::Prepared;

/// A connection that is closed when it is dropped, unless the process was forked since: then it is leaked, because
/// SQLite would release locks that it believes to belong to this process.
#[derive(Debug)]
pub(crate) struct Pooled(LeftInChildren<Open>);

#[derive(Debug)]
struct Open {
    connection: Prepared,
    /// Dropped after the connection: a fork must know of SQLite's locks as long as they exist.
    _log: Option<Arc<OpenLog>>,
}

impl Pooled {
    /// A connection opened by this process; `log` if it uses a write-ahead log.
    pub(crate) fn new(connection: Connection, log: Option<Arc<OpenLog>>) -> Self {
        Self(LeftInChildren::new(Open { connection: Prepared::new(connection), _log: log }))
    }

    /// A connection to a database in memory, of which a child has a copy.
    pub(crate) fn in_memory(connection: Connection) -> Self {
        Self(LeftInChildren::copied(Open { connection: Prepared::new(connection), _log: None }))
    }
}

impl Pooled {
    /// Changes the settings of a connection that has just been opened.
    pub(crate) fn edit<T>(&mut self, change: impl FnOnce(&mut Connection) -> T) -> T {
        change(self.0.get_mut().connection.edit())
    }

    /// Whether this process opened it.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.0.is_of_this_process()
    }
}

impl Deref for Pooled {
    type Target = Prepared;

    fn deref(&self) -> &Prepared {
        &self.0.connection
    }
}
