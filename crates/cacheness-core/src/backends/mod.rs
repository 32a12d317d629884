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
mod sweep;

pub use filesystem::{FilesystemBlobs, FilesystemOptions};
pub use json::{JsonMetadata, JsonOptions};
pub use lock_file::LockFile;
pub use memory::{MemoryBlobs, MemoryMetadata};
