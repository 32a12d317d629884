//! The contracts that a backend keeps. The engine knows storage through them only.

mod blob;
mod locks;
mod metadata;

pub use blob::{BlobBackend, BlobHint, BlobReader, BlobWriter};
pub use locks::{Acquired, LockGuard, Locks, Release};
pub use metadata::{
    AccessRecord, Confirm, EntryUpdate, Evicted, Eviction, EvictionOrder, MetadataBackend, Position, PutOptions,
    PutOutcome, Scan, Share,
};
