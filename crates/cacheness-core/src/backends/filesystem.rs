//! Blobs as plain files in a directory, which other tools can open.
//!
//! ```text
//! <dir>/                                 0700, made when the first blob is written
//!   tmp/<name>                           a blob being written; deleted when its writer is dropped
//!   blobs/[<shard>/]<name>               a blob; <name> is <stem>-<12 random hexadecimal digits>[.<extension>]
//! ```
//!
//! A blob is written under `tmp/` and renamed into place, where no file of that name may exist: nothing is ever
//! overwritten. With [`Durability::Full`] the file is synced before the rename and its directory after it.
//!
//! All paths are resolved below an open descriptor of the directory without following a symbolic link, so that no
//! locator and no link makes the store touch a file elsewhere. Several processes may use the same directory.

mod beneath;
mod listing;
mod root;
mod writer;

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use self::beneath::{is_missing, open_beneath, refused_link};
use self::listing::list_page;
use self::root::Root;
use self::writer::FileWriter;
use super::locator::{Locator, new_name, not_found};
use super::sweep;
use crate::backend::{BlobBackend, BlobCapability, BlobHint, BlobInfo, BlobReader, BlobWriter};
use crate::config::Durability;
use crate::entry::BlobRef;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::process::PerProcess;
use crate::sync::Mutex;

/// The directory of blobs being written, relative to the store's directory.
const TMP: &str = "tmp";
/// The size of the write buffer; larger pieces bypass it.
const WRITE_BUFFER: usize = 128 << 10;
/// Space for files of at least this size is allocated before they are written.
const RESERVED: u64 = 128 << 10;
/// The number of random names to try. With 48 random bits even a second try is very improbable.
const ATTEMPTS: usize = 8;

const DIRECTORY_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Options of [`FilesystemBlobs`].
#[derive(Clone, Copy, Debug)]
pub struct FilesystemOptions {
    /// The number of leading characters of a blob's name that form its directory; 0 to 4. Blobs that were put with
    /// another number are still found, because a locator contains the directory.
    pub shard_chars: u8,
    /// The durability of a committed blob.
    pub durability: Durability,
}

impl Default for FilesystemOptions {
    fn default() -> Self {
        Self { shard_chars: 2, durability: Durability::Normal }
    }
}

/// Keeps blobs as files.
pub struct FilesystemBlobs {
    shared: Arc<Shared>,
}

struct Shared {
    root: Root,
    options: FilesystemOptions,
    /// Directories whose own entry in their parent has been synced by this process.
    synced: PerProcess<Mutex<HashSet<String>>>,
}

impl FilesystemBlobs {
    /// Blobs below the directory `root`, which is created when the first blob is written.
    pub fn new(root: impl Into<PathBuf>, options: FilesystemOptions) -> Result<Self> {
        if options.shard_chars > 4 {
            return Err(Error::new(ErrorKind::InvalidInput, format!("shard_chars is {}", options.shard_chars))
                .with_hint("shard_chars is a number from 0 to 4"));
        }
        let root = std::path::absolute(root.into()).map_err(|e| Error::io("cannot find the current directory", e))?;
        Ok(Self { shared: Arc::new(Shared { root: Root::new(root), options, synced: PerProcess::new() }) })
    }

    /// The store's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.shared.root.path()
    }
}

impl fmt::Debug for FilesystemBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilesystemBlobs").field("root", &self.root()).finish_non_exhaustive()
    }
}

/// Allocates the space of a large file at once, which makes writing it a tenth faster. The file's size does not change.
fn reserve(file: &File, size: u64) {
    if size >= RESERVED
        && let Err(error) = rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, size)
    {
        // Not every file system supports this. If the disk is full, the write reports it.
        log::debug!("cannot reserve space for a blob of {size} bytes: {error}");
    }
}

impl Shared {
    /// Creates the directory `path` and its parents below the store's directory, and opens it. Existing components must
    /// be directories, not links.
    fn make_directory(&self, directory: &OwnedFd, path: &str) -> Result<OwnedFd> {
        let failed = |error: Errno| Error::io(format_args!("cannot make the directory {path}"), error.into());
        let made = match path.rsplit_once('/') {
            Some((parent, name)) => {
                let parent = self.make_directory(directory, parent)?;
                rustix::fs::mkdirat(parent, name, DIRECTORY_MODE)
            }
            None => rustix::fs::mkdirat(directory, path, DIRECTORY_MODE),
        };
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        match open_beneath(directory, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
            Err(Errno::LOOP | Errno::NOTDIR) => Err(refused_link(path)),
            opened => opened.map_err(failed),
        }
    }

    fn delete(&self, locator: &str) -> Result<()> {
        let parsed = Locator::parse(locator)?;
        let Some(directory) = self.root.open()? else { return Ok(()) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let parent = match open_beneath(&*directory, &parsed.directory(), flags, Mode::empty()) {
            Ok(parent) => parent,
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(refused_link(&parsed.directory())),
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(Error::io(format_args!("cannot delete {locator}"), error.into())),
        };
        match rustix::fs::unlinkat(parent, parsed.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(Error::io(format_args!("cannot delete {locator}"), error.into())),
        }
    }

    fn is_full(&self) -> bool {
        self.options.durability == Durability::Full
    }

    /// Syncs the entries of the directory `path`; an empty `path` is the store's directory.
    fn sync_directory(&self, directory: &OwnedFd, path: &str) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let name = if path.is_empty() { "." } else { path };
        let synced = open_beneath(directory, name, flags, Mode::empty()).and_then(rustix::fs::fsync);
        synced.map_err(|e| Error::io(format_args!("cannot sync the directory {name}"), e.into()))
    }

    /// Makes the entry of a file just renamed into `path` durable, and once per process the entries of the directories
    /// above it: another process may have created them without having synced them.
    fn sync_up(&self, directory: &OwnedFd, path: &str) -> Result<()> {
        self.sync_directory(directory, path)?;
        if self.synced().lock().contains(path) {
            return Ok(());
        }
        let mut above = path;
        while !above.is_empty() {
            above = above.rsplit_once('/').map_or("", |(parent, _)| parent);
            self.sync_directory(directory, above)?;
        }
        if let Some(parent) = self.root.path().parent() {
            let synced = File::open(parent).and_then(|parent| parent.sync_all());
            synced.map_err(|e| Error::io(format_args!("cannot sync the directory {}", parent.display()), e))?;
        }
        self.synced().lock().insert(path.to_owned());
        Ok(())
    }

    fn synced(&self) -> &Mutex<HashSet<String>> {
        self.synced.get_or_make(Mutex::default)
    }
}

/// An open blob. The file stays readable after its deletion or replacement.
struct FileReader {
    file: File,
    size: u64,
    path: PathBuf,
}

impl BlobReader for FileReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|error| {
            let name = self.path.file_name().unwrap_or_default().display();
            if error.kind() == io::ErrorKind::UnexpectedEof {
                let end = offset.saturating_add(buffer.len() as u64);
                Error::new(ErrorKind::Integrity, format!("blob {name} ends before byte {end}"))
            } else {
                Error::io(format_args!("cannot read blob {name}"), error)
            }
        })
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }

    fn local_path(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

impl BlobBackend for FilesystemBlobs {
    fn temp_dir(&self) -> Result<Option<PathBuf>> {
        let directory = self.shared.root.make()?;
        self.shared.make_directory(&directory, TMP)?;
        Ok(Some(self.root().join(TMP)))
    }

    fn name(&self) -> &str {
        "filesystem"
    }

    fn capability(&self) -> BlobCapability {
        BlobCapability::LOCAL
    }

    fn create(&self, hint: BlobHint<'_>) -> Result<Box<dyn BlobWriter>> {
        let directory = self.shared.root.make()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        for _ in 0..ATTEMPTS {
            let name = new_name(hint.stem, hint.extension)?;
            let temporary = format!("{TMP}/{name}");
            let opened = match open_beneath(&*directory, &temporary, flags, FILE_MODE) {
                Err(Errno::NOENT) => {
                    self.shared.make_directory(&directory, TMP)?;
                    open_beneath(&*directory, &temporary, flags, FILE_MODE)
                }
                result => result,
            };
            let file = match opened {
                Ok(file) => File::from(file),
                Err(Errno::EXIST) => continue,
                Err(Errno::LOOP | Errno::NOTDIR) => return Err(refused_link(TMP)),
                Err(error) => return Err(Error::io(format_args!("cannot create {temporary}"), error.into())),
            };
            failpoint::reached("blob/created");
            sweep::mark(&file);
            reserve(&file, hint.size.unwrap_or(0));
            return Ok(Box::new(FileWriter {
                shared: Arc::clone(&self.shared),
                directory,
                path: self.root().join(TMP).join(&name),
                path_taken: AtomicBool::new(false),
                name,
                extension: hint.extension.to_owned(),
                stem: hint.stem.to_owned(),
                file: Some(BufWriter::with_capacity(WRITE_BUFFER, file)),
                written: 0,
                process: rustix::process::getpid(),
                committed: false,
            }));
        }
        Err(Error::new(ErrorKind::Storage, format!("no free name for a blob that starts with {:?}", hint.stem)))
    }

    fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>> {
        let locator = blob.locator.as_str();
        Locator::parse(locator)?;
        let Some(directory) = self.shared.root.open()? else { return Err(not_found(locator)) };
        // Without NONBLOCK, opening a pipe in this place would block.
        let file = match open_beneath(&*directory, locator, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(error) if is_missing(error) => return Err(not_found(locator)),
            Err(Errno::LOOP) => return Err(refused_link(locator)),
            Err(error) => return Err(Error::io(format_args!("cannot open {locator}"), error.into())),
        };
        let found = file.metadata().map_err(|e| Error::io(format_args!("cannot look at {locator}"), e))?;
        if !found.is_file() {
            return Err(Error::new(ErrorKind::Integrity, format!("{locator} is not a regular file")));
        }
        let path = self.root().join(locator);
        Ok(Box::new(FileReader { file, size: found.len(), path }))
    }

    fn sync(&self, locator: &str) -> Result<()> {
        if !self.shared.is_full() {
            return Ok(());
        }
        let directory = Locator::parse(locator)?.directory();
        let root = self.shared.root.make()?;
        open_beneath(&*root, locator, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())
            .and_then(rustix::fs::fsync)
            .map_err(|e| Error::io(format_args!("cannot sync {locator}"), e.into()))?;
        self.shared.sync_up(&root, &directory)
    }

    fn delete(&self, locators: &[&str]) -> Result<()> {
        let mut first = Ok(());
        for locator in locators {
            first = first.and(self.shared.delete(locator));
        }
        first
    }

    fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>> {
        match self.shared.root.open()? {
            Some(root) => list_page(&root, after.unwrap_or_default(), limit),
            None => Ok(Vec::new()),
        }
    }

    /// Ignores the age: a live writer holds a lock on its file.
    fn sweep(&self, _age: Duration) -> Result<u64> {
        let Some(root) = self.shared.root.open()? else { return Ok(0) };
        match open_beneath(&*root, TMP, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
            Ok(directory) => sweep::sweep(directory.as_fd()),
            Err(error) if is_missing(error) => Ok(0),
            Err(Errno::LOOP) => Err(refused_link(TMP)),
            Err(error) => Err(Error::io("cannot open tmp", error.into())),
        }
    }

    fn close(&self) -> Result<()> {
        self.shared.root.close();
        *self.shared.synced().lock() = HashSet::new();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
