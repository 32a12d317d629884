//! Entries in a SQLite database.
//!
//! Threads read in parallel, each on a connection of its own; writers of one process queue, and writers of several
//! processes wait for each other with a growing, random delay. Every method is one transaction. Statements are prepared
//! once per connection. A forked child goes on with connections of its own (see `fork`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cacheness_core::backend::{
    AccessRecord, Confirm, EntryUpdate, Evicted, Eviction, MetadataBackend, Position, PutOptions, PutOutcome, Scan,
};
use cacheness_core::clock::Timestamp;
use cacheness_core::config::Durability;
use cacheness_core::entry::{Entry, EntrySummary, EntryVersion, Glimpse, Totals};
use cacheness_core::{Error, ErrorKind, Result, failpoint};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use crate::connect::{Mode, Target};
use crate::error::translate;
use crate::mount::FilesystemKind;
use crate::pool::{Pool, Pooled};
use crate::rows::columns;
use crate::{checkpoint, connect, errno, evict, fork, rows, scan, totals, watch, write};

/// Prepared statements that a connection keeps: more than this module has.
pub(crate) const STATEMENTS: usize = 48;
/// Bytes of locators of a cleared store that are kept in memory; more go to an unnamed temporary file.
pub(crate) const SPOOL: usize = 1 << 20;

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
            log_pages: checkpoint::PAGES,
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

/// Keeps entries in a SQLite database.
pub struct SqliteMetadata {
    target: Arc<Target>,
    pool: Pool,
    closed: AtomicBool,
    /// Whether entries have been put, changed or removed. A few accesses alone are not worth the two syncs of a checkpoint
    /// when the store is closed.
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
    /// Opens the database, and makes or migrates its schema where that is needed.
    ///
    /// # Errors
    /// `NotAStore` for a file that is something else, `NewerFormat` for one of a newer release, `ReadOnly` where a
    /// database would have to be made or migrated and cannot be, `Busy` where another process keeps it locked,
    /// `Metadata` for a damaged one.
    pub fn open(options: SqliteOptions) -> Result<Self> {
        fork::prepare_process();
        let mut kind = None;
        let opened = {
            let _passage = fork::enter();
            connect::open(&options, &mut kind)
        };
        // Outside of the passage: a logger is code of others.
        if let Some(FilesystemKind::Network(name)) = kind {
            log::warn!(
                "{} is on a file system of type {name}: using a rollback journal, which is slower than on a local disk",
                options.path.display()
            );
        }
        let (target, first) = opened.map_err(|error| error.within(options.path.display()))?;
        Ok(Self::with_connection(target, first, options.log_pages))
    }

    /// A database in memory that nobody else sees and that ends with this value. A forked child has a copy.
    pub fn open_in_memory() -> Result<Self> {
        fork::prepare_process();
        let _passage = fork::enter();
        let (target, first) = connect::open_in_memory()?;
        // It has no log.
        Ok(Self::with_connection(target, first, checkpoint::PAGES))
    }

    fn with_connection(target: Target, first: Pooled, log_pages: u32) -> Self {
        let pool = Pool::new(log_pages);
        pool.put_back(first);
        Self { target: Arc::new(target), pool, closed: AtomicBool::new(false), changed: AtomicBool::new(false) }
    }

    /// The database file; `None` for a database in memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        (self.target.mode != Mode::Memory).then_some(self.target.path.as_path())
    }

    fn shut(&self) {
        self.closed.store(true, Ordering::Release);
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

    /// Makes the database that of the store `id`, for ever, or finds that it already is: a database outside of its store's
    /// directory must not be shared by two stores.
    ///
    /// # Errors
    /// - `NotAStore`: it belongs to another store, or has entries and belongs to none: it lies in its store's directory.
    /// - `ReadOnly`: it belongs to none, and may not be written.
    pub fn claim(&self, id: &str) -> Result<()> {
        const OWNER: &str = "SELECT value FROM cache_info WHERE name = 'store'";
        let owner = |connection: &Connection| {
            let found: rusqlite::Result<String> = connection.query_row(OWNER, (), |row| row.get(0));
            found.optional().map_err(|e| translate("cannot read whose the database is", e))
        };
        let mut found = self.read(owner)?;
        if found.is_none() && self.totals()?.entries == 0 {
            found = self.write(|connection| {
                connection
                    .execute("INSERT OR IGNORE INTO cache_info (name, value) VALUES ('store', ?1)", [id])
                    .map_err(|e| translate("cannot write whose the database is", e))?;
                owner(connection)
            })?;
        }
        if found.as_deref() == Some(id) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotAStore, format!("{} belongs to another store", self.target.path.display()))
            .with_hint("give each store a database of its own"))
    }

    /// The pool of this process. A database in memory has one for ever: its connection cannot be opened again.
    fn pool(&self) -> &Pool {
        if self.target.mode == Mode::Memory { &self.pool } else { self.pool.current() }
    }

    fn take(&self, pool: &Pool) -> Result<Pooled> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store has been closed"));
        }
        pool.take(|| self.target.open())
    }

    fn put_back(&self, pool: &Pool, connection: Pooled) {
        // In this order: a `close` that comes between finds either the connection or nothing to do.
        pool.put_back(connection);
        if self.closed.load(Ordering::Acquire) {
            pool.close_idle(true);
        }
    }

    /// Runs `operation` on a connection, again if it gave way to a fork.
    fn run<T>(&self, writes: bool, mut operation: impl FnMut(&Pool, &Connection) -> Result<T>) -> Result<T> {
        let mut started = None;
        loop {
            let result = {
                let _passage = fork::enter();
                let pool = self.pool();
                // The one connection to a database in memory is handed round like the right to write.
                let _turn = (writes || self.target.mode == Mode::Memory).then(|| pool.turn().take());
                let connection = self.take(pool)?;
                let result = operation(pool, &connection).map_err(|error| errno::named(error, &connection));
                self.put_back(pool, connection);
                result
            };
            match result {
                Err(error) if error.kind() == ErrorKind::Busy => {
                    let started: &mut Instant = started.get_or_insert_with(Instant::now);
                    // A busy handler that had all its time is not asked again.
                    if !fork::is_waiting() || started.elapsed() >= self.target.busy_timeout {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }

    fn read<T>(&self, mut operation: impl FnMut(&Connection) -> Result<T>) -> Result<T> {
        self.run(false, |_, connection| operation(connection))
    }

    /// Runs `operation` in one transaction that has the right to write from its first statement on.
    fn write<T>(&self, operation: impl FnMut(&Connection) -> Result<T>) -> Result<T> {
        // Before the transaction: whoever closes the store meanwhile has to know.
        if !self.changed.load(Ordering::Relaxed) {
            self.changed.store(true, Ordering::Release);
        }
        self.transact(operation)
    }

    fn transact<T>(&self, mut operation: impl FnMut(&Connection) -> Result<T>) -> Result<T> {
        if self.target.mode.is_read_only() && !self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::ReadOnly, "the store is open for reading only")
                .with_hint("check who owns the store's directory, its permissions and its file system"));
        }
        let mut long = None;
        let result = self.run(true, |pool, connection| {
            step(connection, "BEGIN IMMEDIATE")?;
            let (before, known) = {
                let tracker = pool.tracker();
                let before = tracker.header();
                (before, tracker.knows_schema(before))
            };
            failpoint::reached("transaction/begun");
            let pages = watch::pages_written(connection);
            let mut committing = false;
            let result = self.target.check(connection, known).and_then(|()| operation(connection)).and_then(|value| {
                failpoint::reached("transaction/commit");
                committing = true;
                step(connection, "COMMIT").map(|()| value)
            });
            failpoint::reached("transaction/committed");
            let committed = result.is_ok().then(|| watch::pages_written(connection) != pages);
            pool.tracker().over(before, committed);
            let length = checkpoint::length_after_commit();
            long = pool.log().is_long(length).then(|| (Arc::clone(pool.log()), length));
            result.map_err(|error| {
                if !connection.is_autocommit() {
                    // If even this fails the connection is not used again, and closing it rolls back.
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
}

pub(crate) fn prepare<'a>(connection: &'a Connection, sql: &str) -> Result<CachedStatement<'a>> {
    connection.prepare_cached(sql).map_err(|e| translate("cannot prepare a statement", e))
}

fn step(connection: &Connection, sql: &str) -> Result<()> {
    let mut statement = prepare(connection, sql)?;
    statement.raw_execute().map_err(|e| translate("cannot complete a transaction", e))?;
    Ok(())
}

const GET: &str = concat!("SELECT ", columns!(), ", payload FROM cache_entries WHERE cache_key = ?1");
const GET_SUMMARY: &str = concat!("SELECT ", columns!(), ", cache_key FROM cache_entries WHERE cache_key = ?1");

fn get<T>(connection: &Connection, sql: &str, key: &str, make: impl Fn(&Row<'_>) -> Result<T>) -> Result<Option<T>> {
    let failed = |e| translate("cannot read an entry", e);
    let mut statement = prepare(connection, sql)?;
    statement.raw_bind_parameter(1, key).map_err(failed)?;
    let mut rows = statement.raw_query();
    rows.next().map_err(failed)?.map(make).transpose()
}

impl MetadataBackend for SqliteMetadata {
    fn name(&self) -> &'static str {
        if self.target.mode == Mode::Memory { "sqlite_memory" } else { "sqlite" }
    }

    fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.read(|connection| get(connection, GET, key, |row| rows::entry(key, row)))
    }

    fn get_summary(&self, key: &str) -> Result<Option<EntrySummary>> {
        self.read(|connection| get(connection, GET_SUMMARY, key, rows::summary))
    }

    fn equal_blob(&self, entry: &Entry) -> Result<Option<String>> {
        self.read(|connection| write::equal_blob(connection, entry))
    }

    fn put(&self, entry: &Entry, options: PutOptions<'_>) -> Result<PutOutcome> {
        self.write(|connection| options.confirm().and_then(|()| write::put(connection, entry, options)))
    }

    fn update(&self, key: &str, expected: &Entry, update: &EntryUpdate, confirm: Confirm<'_>) -> Result<bool> {
        let sql = "UPDATE cache_entries SET created_at = coalesce(?4, created_at), accessed_at = coalesce(?4, accessed_at), \
                   expires_at = CASE WHEN ?5 THEN ?6 ELSE expires_at END, \
                   description = CASE WHEN ?7 THEN ?8 ELSE description END, \
                   metadata = CASE WHEN ?9 THEN ?10 ELSE metadata END, \
                   signature = CASE WHEN ?11 THEN ?12 ELSE signature END \
                   WHERE cache_key = ?1 AND created_at = ?2 AND file_hash = ?3 \
                   AND metadata IS ?13 AND description IS ?14 AND expires_at IS ?15 AND signature IS ?16";
        self.write(|connection| {
            confirm()?;
            let changed = prepare(connection, sql)?.execute(params![
                key,
                expected.created_at.0,
                expected.file_hash.cast_signed(),
                update.created_at.map(|time| time.0),
                update.expires_at.is_some(),
                update.expires_at.flatten().map(|time| time.0),
                update.description.is_some(),
                update.description.as_ref().and_then(Option::as_deref),
                update.metadata.is_some(),
                update.metadata.as_ref().and_then(Option::as_deref),
                update.signature.is_some(),
                update.signature.flatten().as_ref().map(<[u8; 32]>::as_slice),
                expected.metadata,
                expected.description,
                expected.expires_at.map(|time| time.0),
                expected.signature.as_ref().map(<[u8; 32]>::as_slice),
            ]);
            Ok(changed.map_err(|e| translate("cannot update an entry", e))? > 0)
        })
    }

    fn delete(&self, key: &str) -> Result<Option<PutOutcome>> {
        let sql = "DELETE FROM cache_entries WHERE cache_key = ?1 RETURNING id, file_size, locator";
        self.write(|connection| write::delete(connection, key, sql, [key]))
    }

    fn delete_batch(&self, expected: &[EntryVersion]) -> Result<Vec<Option<PutOutcome>>> {
        self.write(|connection| write::delete_batch(connection, expected))
    }

    fn clear(&self, orphaned: &mut dyn FnMut(&str)) -> Result<u64> {
        let (removed, spool) = self.write(write::clear)?;
        // The entries are gone: what is left of their blobs is no error of theirs.
        if let Err(error) = spool.for_each(orphaned) {
            log::warn!("not all blobs of a cleared store are deleted: {}", error.with_causes());
        }
        Ok(removed)
    }

    fn scan(&self, page: &Scan<'_>) -> Result<Vec<EntrySummary>> {
        self.read(|connection| scan::scan(connection, page))
    }

    fn skim(
        &self,
        from: &Position,
        limit: usize,
        visit: &mut dyn FnMut(&Glimpse<'_>) -> Result<()>,
    ) -> Result<Option<Position>> {
        let limit = if limit == 0 { i64::MAX } else { i64::try_from(limit).unwrap_or(i64::MAX) };
        // Moved along with every row, so that none is shown again when the read begins anew.
        let mut after = if let Position::Number(id) = from { *id } else { i64::MIN };
        let more = self.read(|connection| scan::skim(connection, &mut after, limit, visit))?;
        Ok(more.then_some(Position::Number(after)))
    }

    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted> {
        self.write(|connection| evict::evict(connection, eviction))
    }

    fn set_pinned(&self, key: &str, pinned: bool) -> Result<bool> {
        let failed = |e| translate("cannot pin an entry", e);
        self.write(|connection| {
            let found = prepare(connection, "SELECT 1 FROM cache_entries WHERE cache_key = ?1")?.exists([key]);
            if !found.map_err(failed)? {
                return Ok(false);
            }
            if pinned {
                write::pin(connection, key)?;
            } else {
                write::unpin(connection, key)?;
            }
            Ok(true)
        })
    }

    fn pinned(&self) -> Result<Vec<String>> {
        let failed = |e| translate("cannot list pinned entries", e);
        self.read(|connection| {
            let mut statement = prepare(connection, "SELECT cache_key FROM cache_pins ORDER BY cache_key")?;
            let keys = statement.query_map((), |row| row.get(0)).map_err(failed)?;
            keys.collect::<rusqlite::Result<_>>().map_err(failed)
        })
    }

    fn record_accesses(&self, accesses: &[AccessRecord]) -> Result<()> {
        if accesses.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE cache_entries SET accessed_at = max(accessed_at, ?2), \
                   access_count = access_count + min(?3, 9223372036854775807 - access_count) \
                   WHERE cache_key = ?1";
        self.transact(|connection| {
            let mut statement = prepare(connection, sql)?;
            for access in accesses {
                let count = i64::try_from(access.count).unwrap_or(i64::MAX);
                let changed = statement.execute(params![access.key, access.at.0, count]);
                changed.map_err(|e| translate("cannot write down an access", e))?;
            }
            Ok(())
        })
    }

    fn totals(&self) -> Result<Totals> {
        self.read(totals::get)
    }

    fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        self.read(scan::created_range)
    }

    fn outside_changes(&self) -> Option<u64> {
        if self.target.mode == Mode::Memory {
            return None;
        }
        let _passage = fork::enter();
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        self.pool().tracker().look(&self.target)
    }

    fn shrink(&self) -> Result<()> {
        if self.target.mode.is_read_only() {
            return Ok(());
        }
        self.run(true, |_, connection| checkpoint::shrink(connection))?;
        if self.target.mode == Mode::Wal {
            let _passage = fork::enter();
            let _turn = self.pool().turn().take();
            checkpoint::cut(&self.target);
        }
        Ok(())
    }

    fn is_read_only(&self) -> bool {
        self.target.mode.is_read_only()
    }

    fn close(&self) -> Result<()> {
        self.shut();
        Ok(())
    }
}
