//! The contract of blob backends: they keep payloads under locators, and never see an entry.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{BlobCapability, Parts};
use crate::clock::Timestamp;
use crate::entry::BlobRef;
use crate::error::{Error, ErrorKind, Result};
use crate::payload::PayloadHash;

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

    /// The hashes of the whole blob, for backends that record properties of a blob. Called at most once: before the first
    /// byte is written if the engine knows them by then, else before [`BlobWriter::commit`].
    fn note_hash(&mut self, _hash: &PayloadHash) {}

    /// Makes the blob durable according to the backend's mode. Its locator is new: no blob is overwritten.
    fn commit(self: Box<Self>) -> Result<BlobRef>;

    /// Discards the data written so far.
    fn abort(self: Box<Self>) -> Result<()>;
}

/// What the storage itself tells about a blob, without its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobProperties {
    /// Bytes.
    pub size: u64,
    /// When it was created, by the clock of the storage.
    pub modified: Option<Timestamp>,
    /// The entity tag, as the storage quotes it.
    pub etag: Option<String>,
    /// The version, in a storage with versions.
    pub version: Option<String>,
    /// The media type.
    pub content_type: Option<String>,
    /// How long HTTP caches may keep it.
    pub cache_control: Option<String>,
    /// The hashes of its content that were recorded with it, in hexadecimal: `xxh3` (of 64 bits), `blake3`, `sha256`.
    pub hashes: BTreeMap<String, String>,
    /// Other metadata that was recorded with it.
    pub metadata: BTreeMap<String, String>,
    /// Where the storage keeps it, under the names of an entry's fields: `s3_bucket`, `s3_key`, …
    pub place: BTreeMap<String, String>,
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

    /// The bytes of several blobs, each with its own result. A backend on a server requests many at the same time.
    ///
    /// # Errors
    /// Of each blob those of [`BlobBackend::open`] and [`BlobReader::read_exact_at`].
    fn read_all(&self, blobs: &[&BlobRef]) -> Vec<Result<Vec<u8>>> {
        let read = |blob: &&BlobRef| {
            let reader = self.open(blob)?;
            let mut bytes = vec![0; usize::try_from(blob.size).unwrap_or(usize::MAX)];
            reader.read_exact_at(&mut bytes, 0)?;
            Ok(bytes)
        };
        blobs.iter().map(read).collect()
    }

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

    /// What the storage tells about a blob: one request, and no download.
    ///
    /// # Errors
    /// - `Unsupported`: the backend records nothing beside a blob.
    /// - `NotFound`, `Integrity`: as [`BlobBackend::open`].
    fn properties(&self, _blob: &BlobRef) -> Result<BlobProperties> {
        Err(lacks(self.name(), "properties of blobs"))
    }

    /// Where a blob is, under the names of an entry's fields (`s3_bucket`, `s3_key`, …), as far as the reference tells: makes
    /// no request. Empty if the locator says it all.
    fn place(&self, _blob: &BlobRef) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// A URL with which anyone can read the blob until `expires` from now.
    ///
    /// # Errors
    /// - `Unsupported`: the backend has no such URLs.
    /// - `InvalidInput`: the storage refuses so long a time.
    fn presign(&self, _blob: &BlobRef, _expires: Duration) -> Result<String> {
        Err(lacks(self.name(), "URLs for other programs"))
    }

    /// Copies a blob to a new one inside the storage, without moving its bytes through this process.
    ///
    /// # Errors
    /// - `Unsupported`: the backend cannot.
    /// - `NotFound`: there is no such blob.
    fn copy(&self, _blob: &BlobRef, _hint: BlobHint<'_>) -> Result<BlobRef> {
        Err(lacks(self.name(), "copies inside the storage"))
    }

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

/// The error of a method that a backend does not implement.
fn lacks(backend: &str, what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the blob backend {backend:?} has no {what}"))
}
