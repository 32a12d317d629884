//! Entries in a SQLite database.
//!
//! Threads read in parallel, each on its own connection. Writers of one process queue; writers of several processes
//! wait for each other with growing random delays. Every method is one transaction. Statements are prepared once per
//! connection. A forked child opens its own connections (see `fork`).

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use cacheness_core::backend::MetadataBackend as _;
use cacheness_core::{Error, ErrorKind, Result, failpoint};
use rusqlite::{Connection, OptionalExtension};

use crate::connect::{Mode, Target};
use crate::connection::Pooled;
use crate::error::translate;
use crate::hot::{Hot, Prepared};
use crate::mount::FilesystemKind;
use crate::options::SqliteOptions;
use crate::pool::Pool;
use crate::statement::step;
use crate::text_index::Follower;
use crate::{checkpoint, connect, errno, fork, log_length, session, text_index, watch};

/// Keeps entries in a SQLite database.
pub struct SqliteMetadata {
    pub(crate) target: Arc<Target>,
    pool: Pool,
    pub(crate) closed: AtomicBool,
    /// The same for sessions, which may outlive this value.
    pub(crate) sessions_closed: Arc<AtomicBool>,
    /// Whether entries were put, changed or removed. A few access records alone do not justify the two syncs of a
    /// checkpoint at closing.
    changed: AtomicBool,
}

impl fmt::Debug for SqliteMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteMetadata")
            .field("path", &self.target.path)
            .field("mode", &self.target.mode)
            .finish_non_exhaustive()
    }
}

impl Drop for SqliteMetadata {
    fn drop(&mut self) {
        self.shut();
    }
}

impl SqliteMetadata {
    /// Opens the database, and creates or migrates its schema if needed.
    ///
    /// # Errors
    /// `NotAStore` for a file of another kind, `NewerFormat` for one of a newer release, `ReadOnly` if the database
    /// must be created or migrated and cannot be, `Busy` if another process keeps it locked, `Metadata` for a damaged
    /// one.
    pub fn open(options: SqliteOptions) -> Result<Self> {
        fork::prepare_process();
        let mut kind = None;
        let opened = {
            let _passage = fork::enter();
            connect::open(&options, &mut kind)
        };
        // Outside of the passage: a logger is foreign code.
        if let Some(FilesystemKind::Network(name)) = kind {
            log::warn!(
                "{} is on a file system of type {name}: using a rollback journal, which is slower than on a local disk",
                options.path.display()
            );
        }
        let (target, first) = opened.map_err(|error| error.within(options.path.display()))?;
        Ok(Self::with_connection(target, first, options.log_pages))
    }

    /// A private database in memory that lives as long as this value. A forked child has a copy.
    pub fn open_in_memory() -> Result<Self> {
        fork::prepare_process();
        let _passage = fork::enter();
        let (target, first) = connect::open_in_memory()?;
        // A database in memory has no log.
        Ok(Self::with_connection(target, first, log_length::PAGES))
    }

    fn with_connection(target: Target, first: Pooled, log_pages: u32) -> Self {
        let pool = Pool::new(log_pages);
        pool.put_back(first);
        Self {
            target: Arc::new(target),
            pool,
            closed: AtomicBool::new(false),
            sessions_closed: Arc::default(),
            changed: AtomicBool::new(false),
        }
    }

    /// The database file; `None` for a database in memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        (self.target.mode != Mode::Memory).then_some(self.target.path.as_path())
    }

    pub(crate) fn shut(&self) {
        self.closed.store(true, Ordering::Release);
        self.sessions_closed.store(true, Ordering::Release);
        let log = {
            let _passage = fork::enter();
            Arc::clone(self.pool().log())
        };
        log.stop();
        let _passage = fork::enter();
        let pool = self.pool();
        pool.tracker().close();
        let changed = self.changed.load(Ordering::Acquire);
        pool.close_idle(changed || self.target.is_log_long());
        if changed && self.target.has_others_with_long_log() {
            checkpoint::cut(&self.target);
        }
    }

    /// Binds the database to the store `id` permanently, unless it already is: two stores must not share a database
    /// outside of their directories.
    ///
    /// # Errors
    /// - `NotAStore`: it belongs to another store, or it has entries and belongs to none, because it lies in its
    ///   store's directory.
    /// - `ReadOnly`: it belongs to no store and cannot be written.
    pub fn claim(&self, id: &str) -> Result<()> {
        const OWNER: &str = "SELECT value FROM cache_info WHERE name = 'store'";
        let owner = |connection: &Prepared| {
            let found: rusqlite::Result<String> = connection.query_row(OWNER, (), |row| row.get(0));
            found.optional().map_err(|e| translate("cannot read which store owns the database", e))
        };
        let mut found = self.read(owner)?;
        if found.is_none() && self.totals()?.entries == 0 {
            found = self.transact(true, |_, connection, _| {
                connection
                    .execute("INSERT OR IGNORE INTO cache_info (name, value) VALUES ('store', ?1)", [id])
                    .map_err(|e| translate("cannot record which store owns the database", e))?;
                owner(connection)
            })?;
        }
        if found.as_deref() == Some(id) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotAStore, format!("{} belongs to another store", self.target.path.display()))
            .with_hint("give each store a database of its own"))
    }

    /// The pool of this process. A database in memory keeps its pool: its connection cannot be reopened.
    pub(crate) fn pool(&self) -> &Pool {
        if self.target.mode == Mode::Memory { &self.pool } else { self.pool.current() }
    }

    pub(crate) fn take(&self, pool: &Pool) -> Result<Pooled> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store has been closed"));
        }
        pool.take(|| self.target.open())
    }

    pub(crate) fn put_back(&self, pool: &Pool, connection: Pooled) {
        // In this order: a concurrent `close` finds either the connection or nothing to do.
        pool.put_back(connection);
        if self.closed.load(Ordering::Acquire) {
            pool.close_idle(true);
        }
    }

    /// Runs `operation` on a connection, and retries it if it gave way to a fork.
    pub(crate) fn run<T>(&self, writes: bool, mut operation: impl FnMut(&Pool, &Prepared) -> Result<T>) -> Result<T> {
        let mut started = None;
        loop {
            let result = {
                let _passage = fork::enter();
                let pool = self.pool();
                // The only connection to a database in memory is passed on like the turn to write.
                let _turn = (writes || self.target.mode == Mode::Memory).then(|| pool.turn().take());
                let connection = self.take(pool)?;
                let result = operation(pool, &connection).map_err(|error| errno::named(error, &connection));
                self.put_back(pool, connection);
                result
            };
            match result {
                Err(error) if error.kind() == ErrorKind::Busy => {
                    let started: &mut Instant = started.get_or_insert_with(Instant::now);
                    // Does not retry after the busy handler's timeout.
                    if !fork::is_waiting() || started.elapsed() >= self.target.busy_timeout {
                        return Err(self.named_if_own(error));
                    }
                }
                result => return result,
            }
        }
    }

    /// The error of a thread that waited for itself, if it did.
    #[cold]
    fn named_if_own(&self, error: Error) -> Error {
        let _passage = fork::enter();
        if !session::is_held_by_this_thread(self.target.identity()) {
            return error;
        }
        Error::new(ErrorKind::Busy, "this thread has an open transaction in a session of the same store")
            .with_hint("commit the session or roll it back before you write through the cache")
    }

    pub(crate) fn read<T>(&self, mut operation: impl FnMut(&Prepared) -> Result<T>) -> Result<T> {
        self.run(false, |_, connection| operation(connection))
    }

    /// Runs `operation` in one transaction that holds the write lock from its first statement on. Tells `operation`
    /// whether no other handle has committed since this process did; retries it if it gave way to a fork.
    pub(crate) fn transact<T>(
        &self,
        changes_entries: bool,
        mut operation: impl FnMut(&Pool, &Prepared, bool) -> Result<T>,
    ) -> Result<T> {
        // Before the transaction: a concurrent `close` must know.
        if changes_entries && !self.changed.load(Ordering::Relaxed) {
            self.changed.store(true, Ordering::Release);
        }
        if self.target.mode.is_read_only() && !self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::ReadOnly, "the store is open read-only")
                .with_hint("check the owner, the permissions and the file system of the store's directory"));
        }
        let mut long = None;
        let result = self.run(true, |pool, connection| {
            connection.step(Hot::Begin)?;
            let (before, known, has_text_index) = {
                let mut tracker = pool.tracker();
                let before = tracker.header();
                let known = tracker.knows_schema(before);
                if !known {
                    tracker.note_signing_key(None);
                    tracker.note_text_index(None);
                }
                (before, known, tracker.text_index(known))
            };
            failpoint::reached("transaction/begun");
            let pages = watch::pages_written(connection);
            let mut committing = false;
            let result = self
                .target
                .check(connection, known)
                .and_then(|()| {
                    Self::with_text_index(pool, connection, has_text_index, || operation(pool, connection, known))
                })
                .and_then(|value| {
                    failpoint::reached("transaction/commit");
                    committing = true;
                    connection.step(Hot::Commit).map(|()| value)
                });
            failpoint::reached("transaction/committed");
            let committed = result.is_ok().then(|| watch::pages_written(connection) != pages);
            pool.tracker().over(before, committed);
            let length = log_length::length_after_commit();
            long = pool.log().is_long(length).then(|| (Arc::clone(pool.log()), length));
            result.map_err(|error| {
                if !connection.is_autocommit() {
                    // If even this fails, the connection is not reused, and closing it rolls back.
                    let _ = step(connection, "ROLLBACK");
                }
                let certain = !committing || error.kind() == ErrorKind::Busy || self.target.forget_commit(connection);
                if certain { error } else { error.uncertain() }
            })
        });
        if let Some((log, length)) = long {
            log.move_beside(length, &self.target);
        }
        result
    }

    /// Runs the operation of a transaction; a full-text index follows. `exists` is whether there is one, if known.
    #[inline]
    fn with_text_index<T>(
        pool: &Pool,
        connection: &Connection,
        exists: Option<bool>,
        operation: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let exists = match exists {
            Some(exists) => exists,
            None => {
                let exists = text_index::exists(connection)?;
                pool.tracker().note_text_index(Some(exists));
                exists
            }
        };
        if !exists {
            return operation();
        }
        let follower = Follower::new(connection);
        let value = operation()?;
        follower.follow()?;
        Ok(value)
    }
}
