//! Entries in one human-readable JSON file, for small stores.
//!
//! ```text
//! <dir>/
//!   cache_metadata.json       0600  all entries
//!   cache_metadata.json.tmp   0600  the next version of it, while it is written
//!   cache_metadata.lock       0600  locked (`flock`) by the writer
//! ```
//!
//! Every process keeps all entries in memory. A reader checks whether the file has changed since it was read, and reads
//! it again if so. A writer acquires the lock, does the same, changes the entries, writes a new file next to the old
//! one and renames it into place: a killed writer leaves one or the other. The cost of a put is therefore proportional
//! to the size of the store; use SQLite for more than a few thousand entries.
//!
//! The file stays open after it was read. Its inode therefore cannot be reused for another file, and two versions are
//! never confused, however fast they follow each other.

mod format;
mod lock;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use self::lock::Lock;
use super::entries::Entries;
use super::may_be_written;
use crate::backend::{
    Capability, Commit, Committed, Evicted, Eviction, MetadataBackend, Page, Part, Position, Query, Versions,
};
use crate::clock::Timestamp;
use crate::config::Durability;
use crate::entry::{BlobRef, Entry, EntrySummary, Totals};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::process::PerProcess;

/// Options of [`JsonMetadata`].
#[derive(Clone, Copy, Debug)]
pub struct JsonOptions {
    /// The durability of a change. The new file is always synced before it replaces the old one, so that a loss of
    /// power leaves one of the two. With [`Durability::Full`] the directory is synced afterwards, which makes the
    /// change durable.
    pub durability: Durability,
    /// Opens the file read-only. Otherwise it is opened read-only if it or its directory cannot be written.
    pub read_only: bool,
    /// How long a writer waits for another writer.
    pub busy_timeout: Duration,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self { durability: Durability::Normal, read_only: false, busy_timeout: Duration::from_secs(30) }
    }
}

/// Keeps entries in a JSON file.
pub struct JsonMetadata {
    path: PathBuf,
    options: JsonOptions,
    read_only: bool,
    closed: AtomicBool,
    known: PerProcess<Known>,
}

/// The file as this process last read it.
#[derive(Default)]
struct Known(RwLock<Option<Loaded>>);

impl Known {
    fn read(&self) -> RwLockReadGuard<'_, Option<Loaded>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A writer takes the entries out while it changes them, so that no reader sees half a change, even after a panic.
    fn write(&self) -> RwLockWriteGuard<'_, Option<Loaded>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A version of the file, and its entries.
struct Loaded {
    entries: Entries,
    stamp: Stamp,
    /// Keeps the inode from being reused.
    _file: File,
}

/// Identifies a version of the file: a rename changes the inode, an edit changes the size or the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(found: &std::fs::Metadata) -> Self {
        Self { inode: (found.dev(), found.ino()), size: found.size(), modified: (found.mtime(), found.mtime_nsec()) }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store has been closed")
}

impl JsonMetadata {
    /// Opens the file at `path`, and creates it if it does not exist.
    ///
    /// # Errors
    /// - `NotAStore`: the path is not a regular file, or the file belongs to another program.
    /// - `NewerFormat`: a newer release wrote it.
    /// - `Metadata`: it is damaged.
    /// - `ReadOnly`: it does not exist and cannot be created.
    pub fn open(path: impl AsRef<Path>, options: JsonOptions) -> Result<Self> {
        let path = std::path::absolute(path.as_ref()).map_err(|e| Error::io("cannot find the current directory", e))?;
        let exists = look_at(&path)?.is_some();
        let parent = path.parent().unwrap_or(Path::new("/")).to_owned();
        let read_only = options.read_only || exists && !(may_be_written(&path) && may_be_written(&parent));
        let backend = Self { path, options, read_only, closed: AtomicBool::new(false), known: PerProcess::new() };
        if exists {
            backend.look(|_| ())?;
        } else if read_only {
            return Err(Error::new(ErrorKind::ReadOnly, format!("{} does not exist", backend.path.display()))
                .with_hint("a read-only open does not create a store: open it for writing first"));
        } else {
            make_directory(&parent)?;
            let _lock = backend.lock()?;
            // Another process may have been faster.
            if look_at(&backend.path)?.is_none() {
                backend.replace(Entries::default())?;
            }
            backend.look(|_| ())?;
        }
        Ok(backend)
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> Result<Lock> {
        Lock::take(&self.path.with_extension("lock"), self.options.busy_timeout)
    }

    fn known(&self) -> Result<&Known> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(self.known.get_or_make(Known::default)) }
    }

    /// Calls `look` with the current entries of the file.
    fn look<T>(&self, look: impl FnOnce(&Entries) -> T) -> Result<T> {
        let known = self.known()?;
        let missing = || {
            Error::new(ErrorKind::Metadata, format!("{} has been removed", self.path.display()))
                .with_hint("open the store again to begin a new one")
        };
        {
            let guard = known.read();
            let now = look_at(&self.path)?.ok_or_else(missing)?;
            if let Some(loaded) = guard.as_ref().filter(|loaded| loaded.stamp == now) {
                return Ok(look(&loaded.entries));
            }
        }
        let mut guard = known.write();
        let now = look_at(&self.path)?.ok_or_else(missing)?;
        if guard.as_ref().is_none_or(|loaded| loaded.stamp != now) {
            *guard = None;
            *guard = Some(self.load()?.ok_or_else(missing)?);
        }
        Ok(look(&guard.as_ref().expect("it has just been loaded").entries))
    }

    /// Calls `change` with the current entries of the file, and writes them if it has changed them.
    ///
    /// # Errors
    /// After an error the file is unchanged.
    fn change<T>(&self, change: impl FnOnce(&mut Entries) -> Result<Changed<T>>) -> Result<T> {
        let known = self.known()?;
        if self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, format!("{} is read-only", self.path.display())));
        }
        let _lock = self.lock()?;
        failpoint::reached("json/locked");
        let mut guard = known.write();
        // Taken out: if any later step fails, the entries are read from the file again.
        let former = guard.take();
        let now = look_at(&self.path)?;
        let loaded = match former.filter(|loaded| Some(loaded.stamp) == now) {
            Some(loaded) => Some(loaded),
            None => self.load()?,
        };
        let Loaded { mut entries, stamp, _file } = loaded.ok_or_else(|| {
            Error::new(ErrorKind::Metadata, format!("{} has been removed", self.path.display()))
                .with_hint("open the store again to begin a new one")
        })?;
        match change(&mut entries)? {
            Changed::Nothing(result) => {
                *guard = Some(Loaded { entries, stamp, _file });
                Ok(result)
            }
            Changed::Entries(result) => {
                *guard = Some(self.replace(entries)?);
                Ok(result)
            }
        }
    }

    /// Reads the file; `None` if there is none.
    fn load(&self) -> Result<Option<Loaded>> {
        let failed = |e: io::Error| Error::io(format_args!("cannot read {}", self.path.display()), e);
        let mut options = OpenOptions::new();
        // Without NONBLOCK, opening a pipe in this place would block.
        options.read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed() | OFlags::NONBLOCK.bits().cast_signed());
        let mut file = match options.open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let found = file.metadata().map_err(failed)?;
        // The file may have been replaced since the check.
        if !found.is_file() {
            return Err(Error::new(ErrorKind::NotAStore, format!("{} is not a regular file", self.path.display())));
        }
        let stamp = Stamp::of(&found);
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(failed)?;
        let entries = format::read(&content, &self.path)?;
        Ok(Some(Loaded { entries, stamp, _file: file }))
    }

    /// Replaces the file with one that holds `entries`. The caller holds the lock.
    fn replace(&self, entries: Entries) -> Result<Loaded> {
        // Only the holder of the lock writes it: one name is enough, and the next writer overwrites a dead writer's
        // file.
        let temporary = self.path.with_extension("json.tmp");
        let failed = |e: io::Error| Error::io(format_args!("cannot write {}", self.path.display()), e);
        let (file, stamp) = self.write_file(&temporary, &entries).map_err(|error| {
            remove(&temporary);
            failed(error)
        })?;
        failpoint::reached("json/written");
        if let Err(error) = self.place(&temporary) {
            // If the old file could not be kept, the new one stays.
            let stays = look_at(&self.path).is_ok_and(|found| found == Some(stamp));
            remove(&temporary);
            return Err(if stays { failed(error).uncertain() } else { failed(error) });
        }
        failpoint::reached("json/placed");
        Ok(Loaded { entries, stamp, _file: file })
    }

    /// Moves the file into place. With [`Durability::Full`] the old file is kept until the move is durable, so that it
    /// can be restored.
    fn place(&self, temporary: &Path) -> io::Result<()> {
        let parent = self.path.parent().filter(|_| self.options.durability == Durability::Full);
        let Some(parent) = parent else { return std::fs::rename(temporary, &self.path) };
        let exchange = || renameat_with(CWD, temporary, CWD, &self.path, RenameFlags::EXCHANGE);
        let exchanged = match exchange() {
            Ok(()) => true,
            // There is no old file, or the file system cannot exchange files.
            Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS) => {
                std::fs::rename(temporary, &self.path)?;
                false
            }
            Err(error) => return Err(error.into()),
        };
        let synced = File::open(parent).and_then(|directory| directory.sync_all());
        if exchanged {
            if synced.is_err() {
                exchange()?;
            }
            remove(temporary);
        }
        synced
    }

    fn write_file(&self, temporary: &Path, entries: &Entries) -> io::Result<(File, Stamp)> {
        match std::fs::remove_file(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
        let mut out = BufWriter::with_capacity(128 << 10, file);
        format::write(entries, &mut out)?;
        out.flush()?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_data()?;
        // Before the move, because nothing may fail after it.
        let stamp = Stamp::of(&file.metadata()?);
        Ok((file, stamp))
    }
}

/// The result of a change.
enum Changed<T> {
    /// The entries are unchanged.
    Nothing(T),
    /// The entries must be written.
    Entries(T),
}

/// Removes an abandoned new version.
fn remove(temporary: &Path) {
    if let Err(left) = std::fs::remove_file(temporary)
        && left.kind() != io::ErrorKind::NotFound
    {
        log::warn!("cannot remove {}: {left}", temporary.display());
    }
}

fn make_directory(path: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700);
    builder.create(path).map_err(|e| Error::io(format_args!("cannot make the directory {}", path.display()), e))
}

/// The version of the file at `path`, if it exists; refuses anything but a regular file.
fn look_at(path: &Path) -> Result<Option<Stamp>> {
    let refused = |what: &str| {
        Err(Error::new(ErrorKind::NotAStore, format!("{} is {what}", path.display()))
            .with_hint("the metadata has to be a regular file in the store's directory"))
    };
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(Some(Stamp::of(&found))),
        Ok(found) if found.is_dir() => refused("a directory"),
        Ok(found) if found.is_symlink() => refused("a symbolic link"),
        Ok(_) => refused("not a regular file"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => refused("below a file"),
        Err(error) => Err(Error::io(format_args!("cannot look at {}", path.display()), error)),
    }
}

impl fmt::Debug for JsonMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonMetadata").field("path", &self.path).finish_non_exhaustive()
    }
}

impl MetadataBackend for JsonMetadata {
    fn name(&self) -> &str {
        "json"
    }

    fn capability(&self) -> Capability {
        Capability::LOCAL
    }

    fn get(&self, key: &str, part: Part) -> Result<Option<Entry>> {
        self.look(|entries| entries.get(key, part))
    }

    fn commit(&self, commit: &Commit<'_>) -> Result<Committed> {
        self.change(|entries| {
            let (committed, changed) = entries.commit(commit)?;
            Ok(if changed { Changed::Entries(committed) } else { Changed::Nothing(committed) })
        })
    }

    fn select(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>> {
        self.look(|entries| entries.select(query, page))?
    }

    fn keys(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<String>> {
        self.look(|entries| entries.keys(query, page))?
    }

    fn count(&self, query: &Query<'_>) -> Result<u64> {
        self.look(|entries| entries.count(query))?
    }

    fn search(&self, query: &Query<'_>, from: &Position, limit: usize) -> Result<Versions> {
        self.look(|entries| entries.search(query, from, limit))?
    }

    fn equal_blob(&self, entry: &Entry) -> Result<Option<BlobRef>> {
        self.look(|entries| entries.equal_blob(entry))
    }

    fn knows_blobs(&self, locators: &[&str]) -> Result<Vec<bool>> {
        self.look(|entries| entries.knows_blobs(locators))
    }

    fn garbage(&self, due: Timestamp, limit: usize) -> Result<Vec<String>> {
        self.look(|entries| entries.due(due, limit))
    }

    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted> {
        self.change(|entries| {
            let evicted = entries.evict(eviction);
            Ok(if evicted.keys.is_empty() { Changed::Nothing(evicted) } else { Changed::Entries(evicted) })
        })
    }

    fn totals(&self) -> Result<Totals> {
        self.look(Entries::totals)
    }

    fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        self.look(Entries::created_range)
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn close(&self) -> Result<()> {
        if !self.closed.swap(true, Ordering::AcqRel) {
            *self.known.get_or_make(Known::default).write() = None;
        }
        Ok(())
    }
}
