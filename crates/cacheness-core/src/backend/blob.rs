//! The contract of blob backends: they keep payloads under locators, and never see an entry.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{BlobCapability, Parts};
use crate::clock::Timestamp;
use crate::entry::BlobRef;
use crate::error::Result;

/// What a backend is told of a blob before it is written.
#[derive(Clone, Copy, Debug)]
pub struct BlobHint<'a> {
    /// Hexadecimal digits that the blob's name starts with: the cache key, or a hash of the name.
    pub stem: &'a str,
    /// The file's extension, without the dot (`b2nd`, `pkl.zst`).
    pub extension: &'a str,
    /// Bytes, where the writer knows.
    pub size: Option<u64>,
}

/// A blob as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its locator.
    pub locator: String,
    /// Bytes.
    pub size: u64,
    /// When it was created, or last written, by the clock of whoever keeps it.
    pub modified: Timestamp,
}

/// A blob being written. Call [`BlobWriter::commit`] or [`BlobWriter::abort`]: a writer that is dropped without either may
/// leave something behind for [`BlobBackend::sweep`].
pub trait BlobWriter: io::Write + Send {
    /// The local file being written, for encoders that want a path; `None` where there is no such file.
    ///
    /// A caller that writes through the path does not use [`io::Write`] on the same blob.
    fn local_path(&self) -> Option<&Path> {
        None
    }

    /// Makes the blob durable as the backend's mode says. Its locator is new: no blob is overwritten.
    fn commit(self: Box<Self>) -> Result<BlobRef>;

    /// Gives up what has been written.
    fn abort(self: Box<Self>) -> Result<()>;
}

/// Some bytes to read.
#[derive(Debug)]
pub struct Range<'a> {
    /// Where in the blob they begin.
    pub offset: u64,
    /// Where they go; its length says how many.
    pub buffer: &'a mut [u8],
}

/// A blob opened for reading.
pub trait BlobReader: Send + Sync {
    /// Bytes of the blob.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// `NotFound` if the blob does not exist any more, `Integrity` if it ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()>;

    /// Fills all ranges, in whatever order, as many at a time as the backend likes.
    ///
    /// # Errors
    /// Those of [`BlobReader::read_exact_at`].
    fn read_ranges(&self, ranges: &mut [Range<'_>]) -> Result<()> {
        ranges.iter_mut().try_for_each(|range| self.read_exact_at(range.buffer, range.offset))
    }

    /// How the blob is to be read: see [`BlobCapability::parts`].
    fn parts(&self) -> Option<Parts> {
        None
    }

    /// The local file, where there is one, for memory mapping.
    fn file(&self) -> Option<&std::fs::File> {
        None
    }

    /// The path of the local file, where there is one; it may be gone when the blob has been replaced.
    fn local_path(&self) -> Option<&Path> {
        None
    }
}

/// Keeps blobs.
///
/// Threads share a backend. It survives `fork()` by opening its resources again in the child. It calls nothing of the
/// engine.
pub trait BlobBackend: Any + Send + Sync + fmt::Debug {
    /// The name in configurations: `filesystem`, `memory`, …
    fn name(&self) -> &str;

    /// What the backend can do. Does not change.
    fn capability(&self) -> BlobCapability;

    /// Starts a new blob.
    fn create(&self, hint: BlobHint<'_>) -> Result<Box<dyn BlobWriter>>;

    /// Opens a blob. A backend on a server makes no request: a blob that is gone is found by the first read.
    ///
    /// # Errors
    /// - `NotFound` if there is no such blob, here or at the first read.
    /// - `Integrity` for a locator that this backend could not have made (`..`, an absolute path, a link): nothing is
    ///   opened.
    fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>>;

    /// Deletes blobs. One that does not exist is no error, so that an interrupted deletion can be repeated.
    ///
    /// # Errors
    /// The first one; the other blobs are deleted all the same.
    fn delete(&self, locators: &[&str]) -> Result<()>;

    /// Makes sure that a blob survives a loss of power, where the store promises that: it may have been written by a
    /// process that promised less.
    fn sync(&self, _locator: &str) -> Result<()> {
        Ok(())
    }

    /// A directory on the same file system as the blobs, for handlers that write files; made if it does not exist. `None`
    /// where blobs are no local files.
    fn temp_dir(&self) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    /// A page of all blobs, in ascending byte order of their locators: at most `limit` behind `after`.
    ///
    /// # Behavior
    /// - Blobs written or deleted within the last [`BlobCapability::longest_put`] may be missing or listed wrongly.
    fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>>;

    /// Removes what writers have left that were neither committed nor aborted, and that were last active longer ago than
    /// `age`; returns how many. A backend that knows that a writer is dead may remove what it left at once.
    fn sweep(&self, _age: Duration) -> Result<u64> {
        Ok(0)
    }

    /// Releases what the backend holds between calls: descriptors, connections, payloads in memory.
    ///
    /// # Behavior
    /// - Closing twice is no error.
    /// - Blobs that are open stay readable.
    /// - A put that is under way finds no blob of its own left over: [`BlobBackend::delete`] still deletes, or finds that
    ///   there is nothing. Any other later call may fail with `Closed`.
    fn close(&self) -> Result<()> {
        Ok(())
    }
}
