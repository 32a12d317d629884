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

/// What the engine tells a backend about a blob before writing it.
#[derive(Clone, Copy, Debug)]
pub struct BlobHint<'a> {
    /// Hexadecimal digits that the blob's name starts with: the cache key, or a hash of the name.
    pub stem: &'a str,
    /// The file's extension, without the dot (`b2nd`, `pkl.zst`).
    pub extension: &'a str,
    /// Size in bytes, if the writer knows it.
    pub size: Option<u64>,
}

/// A blob in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// The blob's locator.
    pub locator: String,
    /// Bytes.
    pub size: u64,
    /// When it was created or last written, by the clock of the storage.
    pub modified: Timestamp,
}

/// A blob being written. Call [`BlobWriter::commit`] or [`BlobWriter::abort`]: a writer dropped without either may
/// leave data for [`BlobBackend::sweep`] to remove.
pub trait BlobWriter: io::Write + Send {
    /// The local file being written, for encoders that need a path; `None` if there is no such file.
    ///
    /// A caller that writes through the path must not use [`io::Write`] on the same blob.
    fn local_path(&self) -> Option<&Path> {
        None
    }

    /// Makes the blob durable according to the backend's mode. Its locator is new: no blob is overwritten.
    fn commit(self: Box<Self>) -> Result<BlobRef>;

    /// Discards the data written so far.
    fn abort(self: Box<Self>) -> Result<()>;
}

/// A range of bytes to read.
#[derive(Debug)]
pub struct Range<'a> {
    /// The offset of the first byte in the blob.
    pub offset: u64,
    /// Receives the bytes; its length is the number to read.
    pub buffer: &'a mut [u8],
}

/// A blob opened for reading.
pub trait BlobReader: Send + Sync {
    /// Bytes of the blob.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// `NotFound` if the blob no longer exists, `Integrity` if it ends too early.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()>;

    /// Fills all ranges. The backend chooses the order and the concurrency.
    ///
    /// # Errors
    /// Those of [`BlobReader::read_exact_at`].
    fn read_ranges(&self, ranges: &mut [Range<'_>]) -> Result<()> {
        ranges.iter_mut().try_for_each(|range| self.read_exact_at(range.buffer, range.offset))
    }

    /// How to read the blob: see [`BlobCapability::parts`].
    fn parts(&self) -> Option<Parts> {
        None
    }

    /// The local file, if there is one, for memory mapping.
    fn file(&self) -> Option<&std::fs::File> {
        None
    }

    /// The path of the local file, if there is one. It may no longer exist once the blob has been replaced.
    fn local_path(&self) -> Option<&Path> {
        None
    }
}

/// Keeps blobs.
///
/// Threads share a backend. After `fork()` the child reopens the backend's resources. A backend never calls the engine.
pub trait BlobBackend: Any + Send + Sync + fmt::Debug {
    /// The name in configurations: `filesystem`, `memory`, …
    fn name(&self) -> &str;

    /// What the backend can do. Does not change.
    fn capability(&self) -> BlobCapability;

    /// Starts a new blob.
    fn create(&self, hint: BlobHint<'_>) -> Result<Box<dyn BlobWriter>>;

    /// Opens a blob. A backend on a server makes no request: the first read reports a missing blob.
    ///
    /// # Errors
    /// - `NotFound` if there is no such blob, here or at the first read.
    /// - `Integrity` for a locator that this backend could not have made (`..`, an absolute path, a link): nothing is
    ///   opened.
    fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>>;

    /// Deletes blobs. Deleting a missing blob succeeds, so that an interrupted deletion can be repeated.
    ///
    /// # Errors
    /// The first error; the other blobs are deleted nevertheless.
    fn delete(&self, locators: &[&str]) -> Result<()>;

    /// Makes a blob survive a loss of power, if the store promises that: the blob may have been written with a lower
    /// durability.
    fn sync(&self, _locator: &str) -> Result<()> {
        Ok(())
    }

    /// A directory on the same file system as the blobs, for handlers that write files; created if missing. `None` if
    /// blobs are not local files.
    fn temp_dir(&self) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    /// A page of all blobs, in ascending byte order of their locators: at most `limit` after `after`.
    ///
    /// # Behavior
    /// - Blobs written or deleted within the last [`BlobCapability::longest_put`] may be missing or listed wrongly.
    fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>>;

    /// Removes the data of writers that were neither committed nor aborted and were last active longer than `age` ago;
    /// returns the number removed. A backend that knows that a writer is dead may remove its data at once.
    fn sweep(&self, _age: Duration) -> Result<u64> {
        Ok(0)
    }

    /// Releases what the backend holds between calls: descriptors, connections, payloads in memory.
    ///
    /// # Behavior
    /// - Closing twice is no error.
    /// - Open blobs stay readable.
    /// - A put in progress can still clean up: [`BlobBackend::delete`] deletes its blob, or succeeds if there is none.
    ///   Any other later call may fail with `Closed`.
    fn close(&self) -> Result<()> {
        Ok(())
    }
}
