//! The suites. Each check has a name, runs on its own backend and panics if the contract is violated.
//!
//! ```
//! use cacheness_core::backends::{LockFile, MemoryBlobs, MemoryMetadata};
//! use cacheness_testkit::conformance::{self, BlobFixture, LocksFixture, MetadataFixture};
//!
//! conformance::blobs(|| BlobFixture::new(MemoryBlobs::new()));
//! conformance::metadata(|| MetadataFixture::new(MemoryMetadata::new()));
//! conformance::locks(|| {
//!     let dir = tempfile::tempdir().unwrap();
//!     let path = dir.path().to_owned();
//!     LocksFixture::new(move || LockFile::new(&path), dir)
//! });
//! ```

mod blobs;
mod commit;
mod custom;
mod custom_queries;
mod custom_tables;
mod eviction;
mod filters;
mod garbage;
mod guard;
mod listings;
mod locks;
mod metadata;
mod model;
mod reads;
mod search;
mod sharing;
mod sql;

use std::any::Any;

use cacheness_core::backend::{BlobBackend, Locks, MetadataBackend};
use cacheness_core::clock::Clock;

pub use self::blobs::CHECKS as BLOB_CHECKS;
pub use self::locks::CHECKS as LOCK_CHECKS;
pub use self::metadata::CHECKS as METADATA_CHECKS;
pub use self::sql::ENDLESS;

/// A fresh, empty metadata backend.
pub struct MetadataFixture {
    /// The backend.
    pub backend: Box<dyn MetadataBackend>,
    /// Opens the same store again, while the first is open or closed; `None` if no data outlives the backend.
    pub reopen: Option<Box<dyn Fn() -> Box<dyn MetadataBackend>>>,
    /// A value that must live as long as the backend (a temporary directory).
    pub keep: Option<Box<dyn Any>>,
    /// The number of entries that counts as many: above the backend's limit for an exact order, if it has one.
    pub many: u32,
    /// Whether the backend takes more than the contract asks for: keys of any length with any character, and texts with a
    /// NUL character in queries.
    pub any_text: bool,
    /// How many sets of random entries are searched by random filters; fewer where each search is a round trip.
    pub searches: u32,
}

/// Many entries for a scalable backend.
const MANY: u32 = 6000;

impl MetadataFixture {
    /// A backend whose data does not outlive it.
    pub fn new(backend: impl MetadataBackend + 'static) -> Self {
        Self {
            backend: Box::new(backend),
            reopen: None,
            keep: None,
            many: MANY,
            any_text: true,
            searches: filters::CASES,
        }
    }

    /// A backend that `open` can open any number of times on the same store.
    pub fn persistent<B: MetadataBackend + 'static>(open: impl Fn() -> B + 'static, keep: impl Any) -> Self {
        let open = move || -> Box<dyn MetadataBackend> { Box::new(open()) };
        Self {
            backend: open(),
            reopen: Some(Box::new(open)),
            keep: Some(Box::new(keep)),
            many: MANY,
            any_text: true,
            searches: filters::CASES,
        }
    }
}

/// A fresh, empty blob backend.
pub struct BlobFixture {
    /// The backend.
    pub backend: Box<dyn BlobBackend>,
    /// Fails if the store holds anything besides the blobs listed (temporary files of an aborted put).
    pub assert_no_leftovers: Box<dyn Fn()>,
    /// Makes listings current.
    pub settle: Box<dyn Fn()>,
    /// The clock that dates blobs.
    pub clock: Clock,
    /// A value that must live as long as the backend (a temporary directory).
    pub keep: Option<Box<dyn Any>>,
}

impl BlobFixture {
    /// A backend that cannot have leftovers.
    pub fn new(backend: impl BlobBackend + 'static) -> Self {
        Self {
            backend: Box::new(backend),
            assert_no_leftovers: Box::new(|| {}),
            settle: Box::new(|| {}),
            clock: Clock::system(),
            keep: None,
        }
    }
}

/// Locks of one store.
pub struct LocksFixture {
    /// Opens another handle. Also called in forked children.
    pub open: Box<dyn Fn() -> Box<dyn Locks>>,
    /// A value that must live as long as the store (a temporary directory).
    pub keep: Option<Box<dyn Any>>,
}

impl LocksFixture {
    /// Locks for which `open` opens any number of handles.
    pub fn new<L: Locks>(open: impl Fn() -> L + 'static, keep: impl Any) -> Self {
        Self { open: Box::new(move || Box::new(open())), keep: Some(Box::new(keep)) }
    }
}

/// Runs all checks of a metadata backend, each on a new one.
pub fn metadata(factory: impl Fn() -> MetadataFixture) {
    run("metadata", METADATA_CHECKS, &factory);
    model::metadata(&factory);
    filters::random(&factory);
}

/// Checks a read-only metadata backend on the empty store of `writer`.
pub fn read_only(writer: &dyn MetadataBackend, reader: &dyn MetadataBackend) {
    reads::read_only(writer, reader);
}

/// Runs all checks of a blob backend, each on a new one.
pub fn blobs(factory: impl Fn() -> BlobFixture) {
    run("blobs", BLOB_CHECKS, &factory);
}

/// Runs all checks of a backend of locks, each on a new store.
pub fn locks(factory: impl Fn() -> LocksFixture) {
    run("locks", LOCK_CHECKS, &factory);
}

/// A named check.
pub type Check<F> = (&'static str, fn(&F));

fn run<F>(suite: &str, checks: &[Check<F>], factory: &impl Fn() -> F) {
    for (name, check) in checks {
        // Captured by the test harness, and shown with the panic that follows if the check fails.
        println!("{suite}: {name}");
        check(&factory());
    }
}
