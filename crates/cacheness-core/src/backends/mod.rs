//! Backends that need nothing but this crate: memory for tests and throw-away caches, plain files for payloads, and one
//! JSON file for the entries of a small store.
//!
//! Nothing here reads an entry and a blob at the same time; only the engine knows both.

mod entries;
mod filesystem;
mod json;
mod locator;
mod lock_file;
mod memory;
mod reserve;
mod sweep;

pub use filesystem::{FilesystemBlobs, FilesystemOptions};
pub use json::{JsonMetadata, JsonOptions};
pub use lock_file::LockFile;
pub use memory::{MemoryBlobs, MemoryMetadata};
pub use reserve::Reserve;

/// Whether permissions and the file system allow writing to `path`. What else goes wrong is for the first write to say: a
/// store must not become one that is only read because the disk has failed once.
#[must_use]
pub fn may_be_written(path: &std::path::Path) -> bool {
    use rustix::io::Errno;
    let refused = [Errno::ACCESS, Errno::PERM, Errno::ROFS];
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).err().is_none_or(|error| !refused.contains(&error))
}
