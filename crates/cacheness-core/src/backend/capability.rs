//! What a backend can do beyond its contract, and what it can do cheaply.

use std::time::Duration;

/// What a metadata backend can do. The engine asks once, when the store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// [`totals`](super::MetadataBackend::totals) is exact. Otherwise it may lag by a few seconds.
    pub exact_totals: bool,
    /// [`outside_changes`](super::MetadataBackend::outside_changes) reports every change without a system call or a
    /// round trip. Without it, the process keeps no entries in memory.
    pub change_notice: bool,
    /// Queries can be translated to SQL.
    pub sql: bool,
    /// The backend has a full-text index.
    pub full_text: bool,
    /// Rows of user-defined tables can be committed with an entry.
    pub custom_rows: bool,
    /// One commit at a time: while one runs, all other writers wait.
    pub exclusive_writer: bool,
    /// The maximum number of operations a commit should have. The engine splits longer lists.
    pub batch: usize,
    /// How long the engine pauses between two commits of a long list, to let other writers in.
    pub pause: Duration,
}

impl Capability {
    /// A backend in the memory of this process: exact, and no other process writes.
    pub const LOCAL: Self = Self {
        exact_totals: true,
        change_notice: false,
        sql: false,
        full_text: false,
        custom_rows: false,
        exclusive_writer: true,
        batch: usize::MAX,
        pause: Duration::ZERO,
    };
}

impl Default for Capability {
    /// The minimum that a backend can do.
    fn default() -> Self {
        Self { exact_totals: false, batch: 1000, ..Self::LOCAL }
    }
}

/// How the engine should read large payloads from a blob backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Bytes per request.
    pub size: usize,
    /// The number of concurrent requests.
    pub concurrency: usize,
}

/// What a blob backend can do. The engine asks once, when the store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobCapability {
    /// How long a blob is kept after the last entry that names it is removed. Zero if an open blob stays readable after
    /// its deletion. Otherwise minutes: a reader that has just looked up the entry must still find its blob.
    pub grace: Duration,
    /// The longest time from the creation of a blob, as [`BlobInfo::modified`](super::BlobInfo::modified) tells it, to
    /// the commit of its entry. An older blob without an entry was left by a crash.
    pub longest_put: Duration,
    /// How to read large blobs; `None` if small reads are cheap, as from a local file.
    pub parts: Option<Parts>,
}

impl BlobCapability {
    /// Files of a local file system, or memory.
    pub const LOCAL: Self = Self { grace: Duration::ZERO, longest_put: Duration::from_secs(3600), parts: None };
}

impl Default for BlobCapability {
    /// Values that are safe for every backend.
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(600),
            longest_put: Duration::from_secs(24 * 3600),
            parts: Some(Parts { size: 8 << 20, concurrency: 8 }),
        }
    }
}
