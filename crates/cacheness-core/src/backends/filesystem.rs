//! Blobs as plain files in a directory, that other tools open.
//!
//! ```text
//! <dir>/                                 0700, made when the first blob is written
//!   tmp/<name>                           a blob being written; deleted when its writer is dropped
//!   blobs/[<shard>/]<name>               a blob; <name> is <stem>-<12 random hexadecimal digits>[.<extension>]
//! ```
//!
//! A blob is written under `tmp/` and renamed into its place, where no file of that name may be: nothing is ever
//! overwritten. With [`Durability::Full`] the file is synced before the rename and its directory after it.
//!
//! All paths are resolved below an open descriptor of the directory without following a symbolic link, so that no
//! locator and no link makes the store touch a file elsewhere. Several processes may use the same directory.

mod root;

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, IoSlice, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use self::root::Root;
use super::locator::{BLOBS, Locator, new_name, shard_of};
use super::sweep;
use crate::backend::{BlobBackend, BlobHint, BlobReader, BlobWriter};
use crate::config::Durability;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::process::PerProcess;
use crate::sync::Mutex;

/// Where blobs are while they are written, relative to the store's directory.
const TMP: &str = "tmp";
/// Bytes gathered before they are written; larger pieces are written straight through.
const WRITE_BUFFER: usize = 128 << 10;
/// Files of at least so many bytes get their room before they are written.
const RESERVED: u64 = 128 << 10;
/// How often another random name is tried. With 48 random bits even the second is next to impossible.
const ATTEMPTS: usize = 8;

const DIRECTORY_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Options of [`FilesystemBlobs`].
#[derive(Clone, Copy, Debug)]
pub struct FilesystemOptions {
    /// How many characters of a blob's name are the directory it is put in; 0 to 4. Blobs that were put with another
    /// number are still found: a locator says where its file is.
    pub shard_chars: u8,
    /// What a committed blob survives.
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
    /// Blobs below the directory `root`, which is made when the first blob is written.
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

    /// Removes temporary files whose writers have died; returns how many. Files that are being written, by this or any
    /// other process, stay.
    pub fn sweep(&self) -> Result<u64> {
        let Some(root) = self.shared.root.open()? else { return Ok(0) };
        match open_beneath(&*root, TMP, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
            Ok(directory) => sweep::sweep(directory.as_fd()),
            Err(error) if is_missing(error) => Ok(0),
            Err(Errno::LOOP) => Err(refused_link(TMP)),
            Err(error) => Err(Error::io("cannot open tmp", error.into())),
        }
    }
}

impl fmt::Debug for FilesystemBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilesystemBlobs").field("root", &self.root()).finish_non_exhaustive()
    }
}

/// Whether an error says that there is no such file. A component that is no directory says so too.
fn is_missing(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR)
}

fn refused_link(path: &str) -> Error {
    Error::new(ErrorKind::Integrity, format!("{path} is, or is below, something that the store has not made"))
        .with_hint("the store makes plain files and directories and no links: somebody else has changed its directory")
}

/// Opens `path` below `directory`. No symbolic link is followed, and the result is never outside of `directory`.
fn open_beneath(directory: impl AsFd, path: &str, flags: OFlags, mode: Mode) -> std::result::Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(directory.as_fd(), path, flags, mode, resolve) {
        // Kernels before 5.6, and sandboxes that do not know this call.
        Err(Errno::NOSYS | Errno::PERM) => open_by_component(directory, path, flags, mode),
        // Somebody renames directories at this moment, which may let a path escape: the caller may try again.
        Err(Errno::AGAIN) => rustix::fs::openat2(directory.as_fd(), path, flags, mode, resolve),
        result => result,
    }
}

/// As [`open_beneath`], one component at a time. `path` is a locator's or one of this module's own: it has no `..`.
fn open_by_component(
    directory: impl AsFd,
    path: &str,
    flags: OFlags,
    mode: Mode,
) -> std::result::Result<OwnedFd, Errno> {
    let Some((parents, name)) = path.rsplit_once('/') else {
        return rustix::fs::openat(directory, path, flags, mode);
    };
    let flags_of_parent = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let parent = open_by_component(directory, parents, flags_of_parent, Mode::empty())?;
    rustix::fs::openat(parent, name, flags, mode)
}

/// Asks for the room of a large file in one go: writing it takes a tenth less time. Its size is still what is written.
fn reserve(file: &File, size: u64) {
    if size >= RESERVED
        && let Err(error) = rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, size)
    {
        // Not every file system can. Where there is no room, writing will say so.
        log::debug!("no room is reserved for a blob of {size} bytes: {error}");
    }
}

impl Shared {
    /// Makes `path` and what is above it, below the store's directory, and opens it. What is there already has to be a
    /// directory and no link.
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

    /// Makes the entry of a file just renamed into `path` durable, and once the entries of the directories above it:
    /// another process may have made them and not synced them yet.
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

/// Why a [`FileWriter`] has its file.
const OPEN: &str = "open until it is dropped";

/// A blob being written under `tmp/`.
struct FileWriter {
    shared: Arc<Shared>,
    /// The store's directory.
    directory: Arc<OwnedFd>,
    /// Its name, under `tmp/` and later in its shard.
    name: String,
    extension: String,
    stem: String,
    path: PathBuf,
    /// Whether an encoder has been given the path: it may have put another file there.
    path_taken: AtomicBool,
    /// Nothing only while it is dropped.
    file: Option<BufWriter<File>>,
    /// The process that made it: a forked child must not delete the file of its parent.
    process: rustix::process::Pid,
    committed: bool,
}

impl FileWriter {
    fn buffer(&mut self) -> &mut BufWriter<File> {
        self.file.as_mut().expect(OPEN)
    }

    fn file(&self) -> &File {
        self.file.as_ref().expect(OPEN).get_ref()
    }

    fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    fn temporary(&self) -> String {
        format!("{TMP}/{}", self.name)
    }

    /// Removes what is left of a blob that comes to nothing.
    fn remove(&self, path: &str) {
        match rustix::fs::unlinkat(self.directory(), path, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => log::warn!("cannot delete {path}: {error}"),
        }
    }

    /// Takes over a file that an encoder has put in the place of ours, and syncs whichever is there.
    fn settle(&self) -> Result<()> {
        let temporary = self.temporary();
        let failed = |what: &str, error: Errno| Error::io(format_args!("cannot {what} {temporary}"), error.into());
        let sync_ours = || match self.shared.is_full() {
            true => rustix::fs::fsync(self.file()).map_err(|e| failed("sync", e)),
            false => Ok(()),
        };
        if !self.path_taken.load(Ordering::Relaxed) {
            return sync_ours();
        }
        let ours = rustix::fs::fstat(self.file()).map_err(|e| failed("look at", e))?;
        let found = rustix::fs::statat(self.directory(), temporary.as_str(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| failed("look at", e))?;
        if (ours.st_dev, ours.st_ino) == (found.st_dev, found.st_ino) {
            return sync_ours();
        }
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(Error::new(ErrorKind::Storage, format!("{temporary} is not a regular file any more")));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let adopted =
            open_beneath(self.directory(), &temporary, flags, Mode::empty()).map_err(|e| failed("open", e))?;
        rustix::fs::fchmod(&adopted, FILE_MODE).map_err(|e| failed("change the mode of", e))?;
        if self.shared.is_full() {
            rustix::fs::fsync(&adopted).map_err(|e| failed("sync", e))?;
        }
        Ok(())
    }

    /// Renames the file to `locator`; `false` if there is a file of this name.
    fn place(&self, locator: Locator<'_>) -> Result<bool> {
        let (directory, from) = (self.directory(), self.temporary());
        let failed = |error: Errno| Error::io(format_args!("cannot rename {from} to {}", locator.text()), error.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let parent = match open_beneath(directory, &locator.directory(), flags, Mode::empty()) {
            Err(Errno::NOENT) => Ok(self.shared.make_directory(directory, &locator.directory())?),
            result => result,
        };
        let parent = match parent {
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(refused_link(&locator.directory())),
            result => result.map_err(failed)?,
        };
        match rustix::fs::renameat_with(directory, from.as_str(), &parent, locator.name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            // File systems without this flag: the name is random, so looking first is enough.
            Err(Errno::INVAL | Errno::NOSYS) => {
                match rustix::fs::statat(&parent, locator.name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(_) => Ok(false),
                    Err(Errno::NOENT) => {
                        rustix::fs::renameat(directory, from.as_str(), &parent, locator.name).map_err(failed)?;
                        Ok(true)
                    }
                    Err(error) => Err(failed(error)),
                }
            }
            Err(error) => Err(failed(error)),
        }
    }
}

impl io::Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.buffer().write(bytes);
        failpoint::reached("blob/half");
        written
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.buffer().write_all(bytes);
        failpoint::reached("blob/half");
        written
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.buffer().write_vectored(parts);
        failpoint::reached("blob/half");
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.buffer().flush()
    }
}

impl BlobWriter for FileWriter {
    fn local_path(&self) -> Option<&Path> {
        self.path_taken.store(true, Ordering::Relaxed);
        Some(&self.path)
    }

    fn commit(mut self: Box<Self>) -> Result<String> {
        let flushed = self.buffer().flush();
        flushed.map_err(|e| Error::io(format_args!("cannot write {}", self.temporary()), e))?;
        self.settle()?;
        failpoint::reached("blob/written");
        let mut name = self.name.clone();
        for _ in 0..ATTEMPTS {
            let locator = Locator { shard: shard_of(&name, self.shared.options.shard_chars), name: &name };
            if self.place(locator)? {
                self.committed = true;
                failpoint::reached("blob/placed");
                if self.shared.is_full()
                    && let Err(error) = self.shared.sync_up(self.directory(), &locator.directory())
                {
                    // Nobody has been told its name.
                    self.remove(&locator.text());
                    return Err(error);
                }
                return Ok(locator.text());
            }
            name = new_name(&self.stem, &self.extension)?;
        }
        Err(Error::new(ErrorKind::Storage, format!("no free name for a blob that starts with {:?}", self.stem)))
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        // Not written: in a forked child it would go into the file of the parent.
        let buffered = self.file.take().map(BufWriter::into_parts);
        drop(buffered);
        if rustix::process::getpid() != self.process {
            return;
        }
        self.remove(&self.temporary());
    }
}

/// An open blob. The file stays readable when it is deleted or replaced.
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

    fn name(&self) -> &'static str {
        "filesystem"
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
                process: rustix::process::getpid(),
                committed: false,
            }));
        }
        Err(Error::new(ErrorKind::Storage, format!("no free name for a blob that starts with {:?}", hint.stem)))
    }

    fn open(&self, locator: &str) -> Result<Option<Box<dyn BlobReader>>> {
        Locator::parse(locator)?;
        let Some(directory) = self.shared.root.open()? else { return Ok(None) };
        // Without NONBLOCK, opening a pipe that somebody put here would wait for ever.
        let file = match open_beneath(&*directory, locator, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(error) if is_missing(error) => return Ok(None),
            Err(Errno::LOOP) => return Err(refused_link(locator)),
            Err(error) => return Err(Error::io(format_args!("cannot open {locator}"), error.into())),
        };
        let found = file.metadata().map_err(|e| Error::io(format_args!("cannot look at {locator}"), e))?;
        if !found.is_file() {
            return Err(Error::new(ErrorKind::Integrity, format!("{locator} is not a regular file")));
        }
        let path = self.root().join(locator);
        Ok(Some(Box::new(FileReader { file, size: found.len(), path })))
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

    fn delete(&self, locator: &str) -> Result<bool> {
        let parsed = Locator::parse(locator)?;
        let Some(directory) = self.shared.root.open()? else { return Ok(false) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let parent = match open_beneath(&*directory, &parsed.directory(), flags, Mode::empty()) {
            Ok(parent) => parent,
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(refused_link(&parsed.directory())),
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(Error::io(format_args!("cannot delete {locator}"), error.into())),
        };
        match rustix::fs::unlinkat(parent, parsed.name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(Error::io(format_args!("cannot delete {locator}"), error.into())),
        }
    }

    fn list(&self, visit: &mut dyn FnMut(&str, u64) -> Result<()>) -> Result<()> {
        match self.shared.root.open()? {
            Some(root) => list_directory(&root, "", visit),
            None => Ok(()),
        }
    }

    fn close(&self) -> Result<()> {
        self.shared.root.close();
        *self.shared.synced().lock() = HashSet::new();
        Ok(())
    }
}

/// Visits the blobs in the shard, or with an empty one those directly in `blobs` and in all shards. What is no blob is
/// passed over, and so is what was deleted since the directory was read.
fn list_directory(root: &OwnedFd, shard: &str, visit: &mut dyn FnMut(&str, u64) -> Result<()>) -> Result<()> {
    let path = if shard.is_empty() { BLOBS.to_owned() } else { format!("{BLOBS}/{shard}") };
    let failed = |error: Errno| Error::io(format_args!("cannot list {path}"), error.into());
    let directory = match open_beneath(root, &path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        Err(Errno::LOOP) => return Err(refused_link(&path)),
        Err(error) if is_missing(error) => return Ok(()),
        opened => opened.map_err(failed)?,
    };
    for entry in rustix::fs::Dir::read_from(&directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name == "." || name == ".." {
            continue;
        }
        let found = match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            found => found.map_err(failed)?,
        };
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory if shard.is_empty() => list_directory(root, name, visit)?,
            FileType::RegularFile => {
                let locator = Locator { shard, name }.text();
                if Locator::parse(&locator).is_ok() {
                    visit(&locator, u64::try_from(found.st_size).unwrap_or(0))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
