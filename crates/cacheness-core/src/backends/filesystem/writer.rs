//! Writing a blob: to a file under `tmp/`, then renamed into place.

use std::fs::File;
use std::io::{self, BufWriter, IoSlice, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::beneath::{open_beneath, refused_link};
use super::{ATTEMPTS, FILE_MODE, Shared, TMP};
use crate::backend::BlobWriter;
use crate::backends::locator::{Locator, new_name, shard_of};
use crate::entry::BlobRef;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;

/// Why [`FileWriter::file`] is set.
const OPEN: &str = "open until it is dropped";

/// A blob being written under `tmp/`.
pub(super) struct FileWriter {
    pub(super) shared: Arc<Shared>,
    /// The store's directory.
    pub(super) directory: Arc<OwnedFd>,
    /// The blob's name, under `tmp/` and later in its shard.
    pub(super) name: String,
    pub(super) extension: String,
    pub(super) stem: String,
    pub(super) path: PathBuf,
    /// Whether an encoder has the path: it may have put another file there.
    pub(super) path_taken: AtomicBool,
    /// `None` only while the writer is dropped.
    pub(super) file: Option<BufWriter<File>>,
    /// Bytes written, except those that an encoder writes through the path.
    pub(super) written: u64,
    /// The process that created the file: a forked child must not delete its parent's.
    pub(super) process: rustix::process::Pid,
    pub(super) committed: bool,
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

    /// Removes the file of an abandoned blob.
    fn remove(&self, path: &str) {
        match rustix::fs::unlinkat(self.directory(), path, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => log::warn!("cannot delete {path}: {error}"),
        }
    }

    /// Adopts the file if an encoder has replaced ours, and syncs it; returns its size.
    fn settle(&self) -> Result<u64> {
        let temporary = self.temporary();
        let failed = |what: &str, error: Errno| Error::io(format_args!("cannot {what} {temporary}"), error.into());
        let sync_ours = || match self.shared.is_full() {
            true => rustix::fs::fsync(self.file()).map_err(|e| failed("sync", e)),
            false => Ok(()),
        };
        if !self.path_taken.load(Ordering::Relaxed) {
            return sync_ours().map(|()| self.written);
        }
        let ours = rustix::fs::fstat(self.file()).map_err(|e| failed("look at", e))?;
        let found = rustix::fs::statat(self.directory(), temporary.as_str(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| failed("look at", e))?;
        let size = u64::try_from(found.st_size).unwrap_or(0);
        if (ours.st_dev, ours.st_ino) == (found.st_dev, found.st_ino) {
            return sync_ours().map(|()| size);
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
        Ok(size)
    }

    /// Renames the file to `locator`; `false` if that name is taken.
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
            // For file systems without this flag a check first is enough, because the name is random.
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
        self.written += written.as_ref().map_or(0, |count| *count as u64);
        failpoint::reached("blob/half");
        written
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.buffer().write_all(bytes);
        self.written += bytes.len() as u64;
        failpoint::reached("blob/half");
        written
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.buffer().write_vectored(parts);
        self.written += written.as_ref().map_or(0, |count| *count as u64);
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

    fn commit(mut self: Box<Self>) -> Result<BlobRef> {
        let flushed = self.buffer().flush();
        flushed.map_err(|e| Error::io(format_args!("cannot write {}", self.temporary()), e))?;
        let size = self.settle()?;
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
                    // No entry names it yet.
                    self.remove(&locator.text());
                    return Err(error);
                }
                return Ok(BlobRef::new(locator.text(), size));
            }
            name = new_name(&self.stem, &self.extension)?;
        }
        Err(Error::new(ErrorKind::Storage, format!("no free name for a blob that starts with {:?}", self.stem)))
    }

    /// Dropping the writer removes the temporary file.
    fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        // Discards the buffer: in a forked child, flushing would write into the parent's file.
        let buffered = self.file.take().map(BufWriter::into_parts);
        drop(buffered);
        if rustix::process::getpid() != self.process {
            return;
        }
        self.remove(&self.temporary());
    }
}
