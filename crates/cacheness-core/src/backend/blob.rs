//! The trait of blob backends: they keep payloads under locators, and never see an entry.

use std::fmt;
use std::io;
use std::path::Path;

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

/// A blob being written. Dropping it without [`BlobWriter::commit`] leaves nothing behind.
pub trait BlobWriter: io::Write + Send {
    /// The local file being written, for encoders that want a path; `None` where there is no such file.
    ///
    /// A caller that writes through the path does not use [`io::Write`] on the same blob.
    fn local_path(&self) -> Option<&Path> {
        None
    }

    /// Makes the blob durable as the backend's mode says and returns its locator, which is new: no blob is overwritten.
    fn commit(self: Box<Self>) -> Result<String>;
}

/// A blob opened for reading. It stays readable while it is open, also if it is deleted meanwhile.
pub trait BlobReader: Send + Sync {
    /// Bytes of the blob.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on; an end before that is an error of kind `Integrity`.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()>;

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
pub trait BlobBackend: Send + Sync + fmt::Debug {
    /// The name in configurations: `filesystem`, `memory`, …
    fn name(&self) -> &'static str;

    /// Starts a new blob.
    fn create(&self, hint: BlobHint<'_>) -> Result<Box<dyn BlobWriter>>;

    /// Opens a blob.
    ///
    /// # Behavior
    /// - `Ok(None)` if there is none.
    /// - A locator that this backend could not have made (`..`, an absolute path, a link) is an error of kind
    ///   `Integrity`, and nothing is opened.
    fn open(&self, locator: &str) -> Result<Option<Box<dyn BlobReader>>>;

    /// Deletes a blob; `false` if there was none.
    fn delete(&self, locator: &str) -> Result<bool>;

    /// Makes sure that a blob survives a loss of power, where the store promises that: somebody who promised less may have
    /// written it.
    fn sync(&self, _locator: &str) -> Result<()> {
        Ok(())
    }

    /// A directory on the same file system as the blobs, for handlers that write files; made if it is not there. `None`
    /// where blobs are no local files.
    fn temp_dir(&self) -> Result<Option<std::path::PathBuf>> {
        Ok(None)
    }

    /// Calls `visit` with the locator and size of every blob, in no order.
    fn list(&self, visit: &mut dyn FnMut(&str, u64) -> Result<()>) -> Result<()>;

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
