//! Opening the database: checking the file, choosing a mode, migrating the schema.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cacheness_core::backends::may_be_written;
use cacheness_core::config::Durability;
use cacheness_core::{Error, ErrorKind, Result, failpoint};
use refinery::{Migration, Runner};
use rusqlite::config::DbConfig;
use rusqlite::ffi::ErrorCode;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use rustix::io::Errno;

use crate::connection::Pooled;
use crate::error::translate;
use crate::fork::{self, OpenLog};
use crate::mount::FilesystemKind;
use crate::options::{Access, SqliteOptions};
use crate::statement::{keep_statements, prepare};
use crate::{errno, log_length, session};

/// `application_id` of our databases: "cach".
const APPLICATION_ID: i64 = 0x6361_6368;
/// `user_version` of the schema that this release reads and writes: the number of the last migration.
const SCHEMA_VERSION: i64 = 3;
/// The page cache of an idle connection, in KiB.
const CACHE_KIB: i64 = 8 * 1024;
/// A longer log is moved into the database when the store is closed, even if another process wrote it, because the next
/// process to open the store reads all of it. 32 pages.
const LEFT_LOG_BYTES: u64 = 32 * 4120;
/// A longer log is moved and truncated when a writer closes the store while others have it open: the last one to close
/// may be read-only and could not do it.
const SHARED_LOG_BYTES: u64 = 4 << 20;
/// The size to which a larger log is truncated, in bytes.
const LOG_LIMIT_BYTES: i64 = 64 << 20;

mod embedded {
    #![allow(unreachable_pub, missing_docs)]
    refinery::embed_migrations!("migrations");
}

/// How the database is used, decided once when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Concurrent readers and a writer, through a write-ahead log in shared memory.
    Wal,
    /// A rollback journal: for file systems without shared memory.
    Rollback,
    /// Read-only, with SQLite's locks.
    ReadOnly,
    /// Read-only, without locks, for a file that no process can be writing.
    Immutable,
    /// In memory, without a file.
    Memory,
}

impl Mode {
    pub(crate) fn is_read_only(self) -> bool {
        matches!(self, Self::ReadOnly | Self::Immutable)
    }
}

/// The parameters for opening a connection.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) path: PathBuf,
    pub(crate) mode: Mode,
    durability: Durability,
    pub(crate) busy_timeout: Duration,
    /// Device and inode of the database file.
    identity: (u64, u64),
    schema: Schema,
}

/// The schema that is read and written.
#[derive(Clone, Debug)]
struct Schema {
    /// Its `user_version`: the number of the last migration.
    version: i64,
    /// For tests: a migration that a later release adds to this schema.
    later: Option<String>,
}

impl Schema {
    fn of(options: &SqliteOptions) -> Self {
        #[cfg(feature = "failpoints")]
        let later = options.later.clone();
        #[cfg(not(feature = "failpoints"))]
        let later = None;
        let _ = options;
        Self { version: SCHEMA_VERSION + i64::from(later.is_some()), later }
    }

    fn migrations(&self) -> Result<Vec<Migration>> {
        let mut all = embedded::migrations::runner().get_migrations().clone();
        if let Some(sql) = &self.later {
            let added = Migration::unapplied(&format!("V{}__later", self.version), sql);
            all.push(added.map_err(|e| Error::new(ErrorKind::Metadata, "a migration is malformed").with_source(e))?);
        }
        Ok(all)
    }
}

/// Opens the database of `options` and creates or migrates its schema. Call it after [`fork::enter`].
pub(crate) fn open(options: &SqliteOptions, kind_seen: &mut Option<FilesystemKind>) -> Result<(Target, Pooled)> {
    let path = std::path::absolute(&options.path).map_err(|e| Error::io("cannot find the current directory", e))?;
    let exists = look_at(&path)?;
    // SQLite would open these, and block on a pipe until another process writes to it.
    for suffix in ["-journal", "-wal", "-shm"] {
        look_at(&with_suffix(&path, suffix))?;
    }
    let parent = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let read_only = match options.access {
        Access::ReadOnly => true,
        Access::ReadWrite => false,
        Access::Auto => exists && !(may_be_written(&path) && may_be_written(&parent)),
    };
    {
        let _alone = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
        if !exists && !read_only {
            create(&path, &parent)?;
        }
    }
    let identity = if exists || !read_only { identity_of(&path)? } else { (0, 0) };
    let mut target = Target {
        path,
        mode: Mode::Wal,
        durability: options.durability,
        busy_timeout: options.busy_timeout,
        identity,
        schema: Schema::of(options),
    };
    if read_only {
        return open_read_only(target, exists);
    }
    let kind = options.filesystem.unwrap_or_else(|| FilesystemKind::of(&parent));
    *kind_seen = Some(kind);
    if kind != FilesystemKind::Local {
        target.mode = Mode::Rollback;
    }
    let mut connection = target.connect()?;
    let ready = is_current(&connection, &target)
        .and_then(|current| if current { Ok(()) } else { set_up(&target, &mut connection, &parent) });
    ready.map_err(|error| errno::named(error, &connection))?;
    let pooled = target.register(connection)?;
    Ok((target, pooled))
}

/// Opens a database in memory. It has one connection: a second one would not see it.
pub(crate) fn open_in_memory() -> Result<(Target, Pooled)> {
    let failed = |e| translate("cannot open a database", e);
    let mut connection = Connection::open_in_memory_with_flags(
        OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )
    .map_err(failed)?;
    run_no_programs(&connection)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON").map_err(failed)?;
    keep_statements(&connection)?;
    let target = Target {
        path: PathBuf::new(),
        mode: Mode::Memory,
        durability: Durability::Normal,
        busy_timeout: Duration::ZERO,
        identity: (0, 0),
        schema: Schema { version: SCHEMA_VERSION, later: None },
    };
    migrate(&mut connection, &target.schema)?;
    Ok((target, Pooled::in_memory(connection)))
}

/// Whether there is a file at `path`; refuses anything but a regular file.
fn look_at(path: &Path) -> Result<bool> {
    let refused = |what: &str| {
        Err(Error::new(ErrorKind::NotAStore, format!("{} is {what}", path.display()))
            .with_hint("the metadata database has to be a regular file in the store's directory"))
    };
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(found) if found.is_dir() => refused("a directory"),
        Ok(found) if found.is_symlink() => refused("a symbolic link"),
        Ok(_) => refused("not a regular file"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => refused("below a file"),
        Err(error) => Err(Error::io(format_args!("cannot look at {}", path.display()), error)),
    }
}

/// Device and inode of the file at `path`.
fn identity_of(path: &Path) -> Result<(u64, u64)> {
    match rustix::fs::stat(path) {
        #[allow(clippy::unnecessary_cast)] // their types differ between systems
        Ok(found) => Ok((found.st_dev as u64, found.st_ino as u64)),
        Err(Errno::NOENT | Errno::NOTDIR) => Err(gone()),
        Err(error) => Err(Error::io(format_args!("cannot look at {}", path.display()), error.into())),
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Metadata, "the metadata database has been removed or replaced since it was opened")
        .with_hint("open the store again; writes through this handle would be lost")
}

/// Held while a file is created. A thread that finds the file waits for this before SQLite locks it: closing any
/// descriptor of a file drops all locks that the process has on it.
static CREATING: Mutex<()> = Mutex::new(());

/// Creates an empty file that only its owner can read.
fn create(path: &Path, parent: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent);
    made.map_err(|e| Error::io(format_args!("cannot make the directory {}", parent.display()), e))?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::io(format_args!("cannot create {}", path.display()), error)),
    }
}

impl Target {
    /// Opens another connection to a database that [`open`] has checked. Call it after [`fork::enter`].
    pub(crate) fn open(&self) -> Result<Pooled> {
        self.open_as(|_| Ok(()))
    }

    /// [`Target::open`] of a connection that `prepare` prepares for a use of its own.
    pub(crate) fn open_as(&self, prepare: impl FnOnce(&mut Connection) -> Result<()>) -> Result<Pooled> {
        let mut connection = self.connect()?;
        prepare(&mut connection).map_err(|error| errno::named(error, &connection))?;
        self.register(connection)
    }

    /// Device and inode of the database file.
    pub(crate) fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Whether the log is so long that the next process to open the database would wait for it.
    pub(crate) fn is_log_long(&self) -> bool {
        self.mode == Mode::Wal && length_beside(&self.path, "-wal") > LEFT_LOG_BYTES
    }

    /// Whether another handle has the database open and its log is long. Called when this handle's connections are
    /// closed: closing the very last one would have removed the log.
    pub(crate) fn has_others_with_long_log(&self) -> bool {
        self.mode == Mode::Wal && length_beside(&self.path, "-wal") > SHARED_LOG_BYTES
    }

    /// Checks that later readers will find a write: the open file is the one in the directory, and no later release has
    /// migrated it meanwhile. Called with the write lock held; `known` means that no other handle has committed since
    /// the schema was last checked.
    pub(crate) fn check(&self, connection: &Connection, known: bool) -> Result<()> {
        if self.mode == Mode::Memory {
            return Ok(());
        }
        if identity_of(&self.path)? != self.identity {
            return Err(gone());
        }
        if known {
            return Ok(());
        }
        let version = prepare(connection, "PRAGMA user_version")?.query_row((), |row| row.get(0));
        let version: i64 = version.map_err(|e| translate("cannot read the header", e))?;
        if version > self.schema.version { Err(newer(connection, version, self.schema.version)) } else { Ok(()) }
    }

    /// Call it after a failed commit. Its frames may be complete in the write-ahead log, after the part that is read:
    /// if all processes died now, the next reader of the log would take them for committed. A transaction that changes
    /// nothing overwrites them. Returns `false` if that fails, or if the file may already have changed, as with a
    /// rollback journal.
    pub(crate) fn forget_commit(&self, connection: &Connection) -> bool {
        let version = self.schema.version;
        let over = format!("BEGIN IMMEDIATE; PRAGMA user_version = {version}; COMMIT");
        self.mode == Mode::Wal && connection.is_autocommit() && connection.execute_batch(&over).is_ok()
    }

    /// Registers the connection for forks, if its locks outlive an operation.
    fn register(&self, connection: Connection) -> Result<Pooled> {
        if identity_of(&self.path)? != self.identity {
            return Err(gone());
        }
        if !matches!(self.mode, Mode::Wal | Mode::ReadOnly) {
            return Ok(Pooled::new(connection, None));
        }
        let log = OpenLog::register(&self.path)
            .map_err(|e| Error::io(format_args!("cannot look at {}", self.path.display()), e))?;
        if log.is_lost() { Err(lost()) } else { Ok(Pooled::new(connection, Some(log))) }
    }

    /// A connection with this crate's settings. Does not read the file yet.
    fn connect(&self) -> Result<Connection> {
        let failed = |e| translate("cannot open a connection", e);
        let access = if self.mode.is_read_only() {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        } else {
            // Without CREATE: a database that has been deleted is an error, not an empty store.
            OpenFlags::SQLITE_OPEN_READ_WRITE
        };
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = if self.mode == Mode::Immutable {
            Connection::open_with_flags(immutable_uri(&self.path), flags | OpenFlags::SQLITE_OPEN_URI)
        } else {
            Connection::open_with_flags(&self.path, flags)
        };
        let mut connection = opened.map_err(|e| errno::named_of_opening(failed(e), &self.path))?;
        self.settle(&mut connection).map_err(|error| errno::named(error, &connection))?;
        Ok(connection)
    }

    /// Applies this crate's settings to a new connection.
    fn settle(&self, connection: &mut Connection) -> Result<()> {
        let failed = |e| translate("cannot open a connection", e);
        run_no_programs(connection)?;
        connection.busy_handler(Some(patience(self.busy_timeout, self.identity))).map_err(failed)?;
        keep_statements(connection)?;
        // With a rollback journal, NORMAL syncs the journal's header and pages together, and a loss of power between
        // the two leaves a damaged database (found by `it/power.rs`; <https://www.sqlite.org/pragma.html>).
        let synchronous = match (self.durability, self.mode) {
            (Durability::Normal, Mode::Wal) => "NORMAL",
            _ => "FULL",
        };
        // No memory map: with one, SQLite asks the log's index for every page of every read instead of its own page
        // cache, which made a small get twice as slow here; and truncation of the file by another program would kill
        // the process.
        let mut settings = format!(
            "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA foreign_keys = ON; \
             PRAGMA synchronous = {synchronous}; PRAGMA cache_size = -{CACHE_KIB}; PRAGMA mmap_size = 0; \
             PRAGMA journal_size_limit = {LOG_LIMIT_BYTES}"
        );
        match self.mode {
            Mode::Wal => log_length::note_commits(connection).map_err(failed)?,
            // Until the mode is changed below, a log left by another mode is read without shared memory.
            Mode::Rollback => settings.push_str("; PRAGMA locking_mode = EXCLUSIVE"),
            Mode::ReadOnly | Mode::Immutable => settings.push_str("; PRAGMA query_only = ON"),
            Mode::Memory => {}
        }
        connection.execute_batch(&settings).map_err(failed)?;
        if self.mode == Mode::Rollback {
            let mode = self.retry(|| set_journal_mode(connection, "TRUNCATE"))?;
            if mode != "truncate" {
                return Err(Error::new(ErrorKind::Metadata, format!("the database stays in journal mode {mode}")));
            }
            // The next read releases the lock.
            connection
                .execute_batch("PRAGMA locking_mode = NORMAL; SELECT count(*) FROM sqlite_schema")
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Retries while `attempt` finds the database busy, for steps in which SQLite calls no busy handler.
    fn retry<T>(&self, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let mut wait = patience(self.busy_timeout, self.identity);
        let mut count = 0;
        loop {
            match attempt() {
                Err(error) if error.kind() == ErrorKind::Busy && wait(count) => count += 1,
                result => return result,
            }
        }
    }
}

/// A database may contain code: triggers, and views in place of tables. Ours has none, and code that another program
/// has added must not run.
pub(crate) fn run_no_programs(connection: &Connection) -> Result<()> {
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    ] {
        connection.set_db_config(setting, on).map_err(|e| translate("cannot open a connection", e))?;
    }
    Ok(())
}

/// Refuses tables with columns that are computed on reading: a few bytes of schema could make a gigabyte of every row.
fn refuse_computed_columns(connection: &Connection) -> Result<()> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'cache_entries' AND type <> 'table') \
               OR EXISTS (SELECT 1 FROM pragma_table_xinfo('cache_entries') WHERE hidden <> 0)";
    let changed: bool =
        connection.query_row(sql, (), |row| row.get(0)).map_err(|e| translate("cannot read the schema", e))?;
    if changed {
        return Err(Error::new(ErrorKind::NotAStore, "the tables of the database are not those of a store")
            .with_hint("another program has changed the database: restore it from a copy, or give another directory"));
    }
    Ok(())
}

fn lost() -> Error {
    Error::new(ErrorKind::Metadata, "the store was closed in the parent while this process was forked from it")
        .with_hint("open the store after the fork, or keep it open in the parent until the fork is done")
}

fn set_journal_mode(connection: &Connection, mode: &str) -> Result<String> {
    connection
        .query_row(&format!("PRAGMA journal_mode = {mode}"), (), |row| row.get(0))
        .map_err(|e| translate("cannot change the journal mode", e))
}

/// `file:` and the path, with all characters escaped that have a meaning in a URI.
fn immutable_uri(path: &Path) -> String {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_' | b'~') {
            uri.push(char::from(byte));
        } else {
            write!(uri, "%{byte:02x}").expect("writing into a String never fails");
        }
    }
    uri + "?immutable=1"
}

/// A busy handler: waits with growing random delays until `timeout` has passed or a fork is waiting, and not at all if
/// this thread itself has the database locked in a session.
pub(crate) fn patience(timeout: Duration, identity: (u64, u64)) -> impl FnMut(i32) -> bool + Send + 'static {
    let mut started = Instant::now();
    // Spreads out waiters that wake up together; the seeds of connections differ.
    let mut random = getrandom::u64().unwrap_or(0x9e37_79b9_7f4a_7c15) | 1;
    move |count| {
        if count == 0 {
            started = Instant::now();
        }
        if started.elapsed() >= timeout || fork::is_waiting() || session::is_held_by_this_thread(identity) {
            return false;
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let longest = 50_u64 << count.clamp(0, 5);
        std::thread::sleep(Duration::from_micros(longest / 2 + random % longest));
        true
    }
}

fn pragma(connection: &Connection, name: &str) -> Result<i64> {
    connection
        .query_row(&format!("PRAGMA {name}"), (), |row| row.get(0))
        .map_err(|e| translate("cannot read the header", e))
}

/// Whether the database is ours and has the current schema and the right journal mode: then nothing is to do. Refuses a
/// database of another program or a newer release.
fn is_current(connection: &Connection, target: &Target) -> Result<bool> {
    let current = target.schema.version;
    let failed = |e| translate("cannot read the header", e);
    // One transaction, so that a concurrent migration by another process is seen completely or not at all.
    let snapshot = connection.unchecked_transaction().map_err(failed)?;
    let (application, version) = (pragma(&snapshot, "application_id")?, pragma(&snapshot, "user_version")?);
    if application == APPLICATION_ID && version > current {
        return Err(newer(&snapshot, version, current));
    }
    if application != APPLICATION_ID {
        // The migration library creates its own table in a transaction before ours: a process killed in between leaves
        // it.
        let sql = "SELECT count(*) FROM sqlite_schema WHERE tbl_name <> 'refinery_schema_history'";
        let tables: i64 = snapshot.query_row(sql, (), |row| row.get(0)).map_err(failed)?;
        if application != 0 || version != 0 || tables != 0 {
            return Err(Error::new(ErrorKind::NotAStore, "the database belongs to another program")
                .with_hint("give another directory: cacheness only uses databases that it has created"));
        }
        return Ok(false);
    }
    refuse_computed_columns(&snapshot)?;
    if target.mode == Mode::Wal && version == current {
        let journal: String = snapshot.query_row("PRAGMA journal_mode", (), |row| row.get(0)).map_err(failed)?;
        return Ok(journal == "wal");
    }
    Ok(version == current)
}

fn newer(connection: &Connection, version: i64, known: i64) -> Error {
    let release: Option<String> = connection
        .query_row("SELECT value FROM cache_info WHERE name = 'written_by'", (), |row| row.get(0))
        .optional()
        .unwrap_or(None);
    let by = release.map_or_else(|| "a newer release".to_owned(), |release| format!("cacheness {release}"));
    Error::new(
        ErrorKind::NewerFormat,
        format!(
            "the store was written by {by} in format {version}; this release, {}, reads formats up to {known}",
            env!("CARGO_PKG_VERSION")
        ),
    )
    .with_hint(format!("install {by}, or use another directory"))
}

/// Creates or migrates the schema, one process at a time.
fn set_up(target: &Target, connection: &mut Connection, parent: &Path) -> Result<()> {
    let directory = File::open(parent).map_err(|e| Error::io("cannot open the store's directory", e))?;
    // If directories cannot be locked, SQLite's own locks still make every step atomic, and `retry` lets other
    // processes wait.
    let _ = directory.lock();
    target.retry(|| {
        if target.mode == Mode::Wal {
            let journal = set_journal_mode(connection, "WAL")?;
            if journal != "wal" {
                return Err(Error::new(ErrorKind::Metadata, format!("the database stays in journal mode {journal}")));
            }
        }
        Ok(())
    })?;
    target.retry(|| if is_current(connection, target)? { Ok(()) } else { migrate(connection, &target.schema) })?;
    if target.durability == Durability::Full {
        directory.sync_all().map_err(|e| Error::io("cannot sync the store's directory", e))?;
    }
    Ok(())
}

fn migrate(connection: &mut Connection, schema: &Schema) -> Result<()> {
    failpoint::reached("migrate/step");
    // Before the schema changes: a process killed between the two must not leave a format of unknown release.
    if connection.table_exists(None, "cache_info").map_err(|e| translate("cannot read the schema", e))? {
        write_release(connection)?;
    }
    let migrated = Runner::new(&schema.migrations()?).set_grouped(true).run(connection);
    failpoint::reached("migrate/step");
    migrated.map_err(|error| {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        let mut busy = false;
        while let Some(cause) = source {
            let code = cause.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
            busy |= matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked));
            source = cause.source();
        }
        let kind = if busy { ErrorKind::Busy } else { ErrorKind::Metadata };
        Error::new(kind, "cannot bring the metadata database to this release's format").with_source(error)
    })?;
    write_release(connection)
}

fn write_release(connection: &Connection) -> Result<()> {
    let release = env!("CARGO_PKG_VERSION");
    connection
        .execute("INSERT OR REPLACE INTO cache_info (name, value) VALUES ('written_by', ?1)", [release])
        .map_err(|e| translate("cannot write the release", e))?;
    Ok(())
}

/// The length of the file with this suffix next to the database; 0 if there is none.
fn length_beside(path: &Path, suffix: &str) -> u64 {
    std::fs::metadata(with_suffix(path, suffix)).map_or(0, |found| found.len())
}

/// The path of a file that SQLite keeps next to the database.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn open_read_only(mut target: Target, exists: bool) -> Result<(Target, Pooled)> {
    if !exists {
        return Err(Error::new(ErrorKind::ReadOnly, format!("{} does not exist", target.path.display()))
            .with_hint("a read-only open does not create a store: open it for writing first"));
    }
    let check = |target: &Target| -> Result<Pooled> {
        let pooled = target.open()?;
        if is_current(&pooled, target)? {
            return Ok(pooled);
        }
        Err(Error::new(ErrorKind::ReadOnly, "the metadata database is empty or of an older format")
            .with_hint("open the store once where it can be written, so that it is brought to this release's format"))
    };
    target.mode = Mode::ReadOnly;
    let error = match check(&target) {
        Ok(pooled) => return Ok((target, pooled)),
        Err(error) => error,
    };
    // SQLite needs to create a `-shm` file next to a database with a write-ahead log, and cannot. If the log is empty,
    // the database file contains everything.
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<rusqlite::Error>());
    let code = cause.and_then(rusqlite::Error::sqlite_error_code);
    if !matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::SystemIoFailure)) {
        return Err(error);
    }
    if length_beside(&target.path, "-wal") > 0 || length_beside(&target.path, "-journal") > 0 {
        return Err(error.with_kind(ErrorKind::ReadOnly).with_hint(
            "the last changes are still in the log beside the database; open the store once where it can be written",
        ));
    }
    target.mode = Mode::Immutable;
    let pooled = check(&target)?;
    Ok((target, pooled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_escaped_in_a_uri() {
        assert_eq!(immutable_uri(Path::new("/a b/c?d#e%.db")), "file:/a%20b/c%3fd%23e%25.db?immutable=1");
    }

    #[test]
    fn the_migrations_end_at_the_current_schema() {
        let (_, connection) = open_in_memory().expect("opened");
        assert_eq!(pragma(&connection, "user_version").expect("read"), SCHEMA_VERSION);
        assert_eq!(pragma(&connection, "application_id").expect("read"), APPLICATION_ID);
    }
}
