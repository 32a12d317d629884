//! A connection, and what a fork leaves behind of it.

use std::ops::Deref;
use std::sync::Arc;

use rusqlite::Connection;

use crate::fork::{LeftInChildren, OpenLog};

/// A connection that is closed when it is dropped, unless a fork lies between: then it is left alone, because SQLite
/// would release locks that it believes to be this process's own.
#[derive(Debug)]
pub(crate) struct Pooled(LeftInChildren<Open>);

#[derive(Debug)]
struct Open {
    connection: Connection,
    /// Dropped after the connection: as long as SQLite has locks, a fork has to know of them.
    _log: Option<Arc<OpenLog>>,
}

impl Pooled {
    /// A connection opened by this process; `log` where it uses a write-ahead log.
    pub(crate) fn new(connection: Connection, log: Option<Arc<OpenLog>>) -> Self {
        Self(LeftInChildren::new(Open { connection, _log: log }))
    }

    /// A connection to a database in memory, which a child simply has a copy of.
    pub(crate) fn in_memory(connection: Connection) -> Self {
        Self(LeftInChildren::copied(Open { connection, _log: None }))
    }
}

impl Pooled {
    /// Whether this process opened it.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.0.is_of_this_process()
    }
}

impl Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0.connection
    }
}
