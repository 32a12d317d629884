//! Options for opening a database.

use std::path::PathBuf;
use std::time::Duration;

use cacheness_core::config::Durability;

use crate::log_length;
use crate::mount::FilesystemKind;

/// Whether a database may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Writable if permissions and the file system permit, else read-only.
    #[default]
    Auto,
    /// Writable; an obstacle is an error.
    ReadWrite,
    /// Read-only.
    ReadOnly,
}

/// Options of [`SqliteMetadata::open`](crate::SqliteMetadata::open).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// The database file. It and its directory are created if missing.
    pub path: PathBuf,
    /// The durability of a committed entry.
    pub durability: Durability,
    /// Whether the database may be written.
    pub access: Access,
    /// How long an operation waits for other processes before it fails with [`ErrorKind::Busy`](cacheness_core::ErrorKind::Busy).
    pub busy_timeout: Duration,
    /// The kind of file system; `None` asks the system.
    pub filesystem: Option<FilesystemKind>,
    /// The number of pages (4 KiB each) in the write-ahead log from which on a thread moves them into the database.
    pub log_pages: u32,
    #[cfg(feature = "failpoints")]
    pub(crate) later: Option<String>,
}

impl SqliteOptions {
    /// The default options for the database at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::Normal,
            access: Access::Auto,
            busy_timeout: Duration::from_secs(30),
            filesystem: None,
            log_pages: log_length::PAGES,
            #[cfg(feature = "failpoints")]
            later: None,
        }
    }

    /// For tests: opens the database like a later release with this SQL as an additional migration. It sets
    /// `user_version` to the next number.
    #[cfg(feature = "failpoints")]
    #[must_use]
    pub fn later_migration(mut self, sql: &str) -> Self {
        self.later = Some(sql.to_owned());
        self
    }

    /// Sets the durability of a committed entry.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets whether the database may be written.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Sets how long an operation waits for other processes.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Sets the kind of file system instead of asking the system.
    #[must_use]
    pub fn filesystem(mut self, kind: FilesystemKind) -> Self {
        self.filesystem = Some(kind);
        self
    }

    /// Sets the number of pages from which on the write-ahead log is moved into the database. A longer log needs fewer
    /// syncs and more disk space.
    #[must_use]
    pub fn log_pages(mut self, pages: u32) -> Self {
        self.log_pages = pages;
        self
    }
}
