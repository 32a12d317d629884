//! Backends that need nothing but this crate: memory for tests and temporary caches, plain files for payloads, and one
//! JSON file for the entries of a small store; and one over any store of records, for databases of others.
//!
//! No backend knows both entries and blobs; only the engine does.

mod entries;
mod fields;
mod filesystem;
mod json;
pub mod locator;
mod lock_file;
mod memory;
mod records;
mod reserve;
mod row;
mod sweep;

pub use filesystem::{FilesystemBlobs, FilesystemOptions};
pub use json::{JsonMetadata, JsonOptions};
pub use lock_file::LockFile;
pub use memory::{MemoryBlobs, MemoryMetadata};
pub use records::{Change, Expected, RECORD_FIELDS, RESERVED, RecordStore, RecordsMetadata};
pub use reserve::Reserve;

/// Whether permissions and the file system allow writing to `path`. Other problems are left to the first write: one
/// failure of the disk must not make a store read-only.
#[must_use]
pub fn may_be_written(path: &std::path::Path) -> bool {
    use rustix::io::Errno;
    let refused = [Errno::ACCESS, Errno::PERM, Errno::ROFS];
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).err().is_none_or(|error| !refused.contains(&error))
}
