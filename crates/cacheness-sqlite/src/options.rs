//! How a database is opened.

use std::path::PathBuf;
use std::time::Duration;

use cacheness_core::config::Durability;

use crate::log_length;
use crate::mount::FilesystemKind;

/// Whether a database may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Written where permissions and the file system allow it, else only read.
    #[default]
    Auto,
    /// Written; what stands in the way is an error.
    ReadWrite,
    /// Only read.
    ReadOnly,
}

/// Options of [`SqliteMetadata::open`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// The database file. It is made, and the directory it is in, if it is not there.
    pub path: PathBuf,
    /// What a committed entry survives.
    pub durability: Durability,
    /// Whether the database may be written.
    pub access: Access,
    /// How long an operation waits for other processes before it fails with [`ErrorKind::Busy`].
    pub busy_timeout: Duration,
    /// The kind of file system; `None` asks the system.
    pub filesystem: Option<FilesystemKind>,
    /// Pages (of 4 KiB) in the write-ahead log from which on a thread moves them into the database.
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

    /// For tests: opens the database as a later release would, whose one migration more is this SQL. It sets
    /// `user_version` to the next number.
    #[cfg(feature = "failpoints")]
    #[must_use]
    pub fn later_migration(mut self, sql: &str) -> Self {
        self.later = Some(sql.to_owned());
        self
    }

    /// Sets what a committed entry survives.
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

    /// Sets from how many pages on the write-ahead log is moved into the database. A longer log takes fewer syncs and more
    /// of the disk.
    #[must_use]
    pub fn log_pages(mut self, pages: u32) -> Self {
        self.log_pages = pages;
        self
    }
}
