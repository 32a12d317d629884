//! What a backend can do beyond its contract, and what costs it little.

use std::time::Duration;

/// What a metadata backend can do. The engine asks once, when the store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// [`totals`](super::MetadataBackend::totals) is exact. Otherwise it may be a few seconds late.
    pub exact_totals: bool,
    /// [`outside_changes`](super::MetadataBackend::outside_changes) tells of every change without a system call or a round
    /// trip. Without it, entries are not kept in the memory of the process.
    pub change_notice: bool,
    /// Queries can be translated to SQL.
    pub sql: bool,
    /// The backend has an index of words.
    pub full_text: bool,
    /// Rows of tables of the user's own can be committed with an entry.
    pub custom_rows: bool,
    /// One commit at a time: while one runs, all other writers wait.
    pub exclusive_writer: bool,
    /// How many operations a commit should have at most. The engine splits longer lists.
    pub batch: usize,
    /// How long the engine lets other writers in between two commits of a long list.
    pub pause: Duration,
}

impl Capability {
    /// A backend in the memory of this process: exact, and nobody else writes.
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
    /// The least that a backend can do.
    fn default() -> Self {
        Self { exact_totals: false, batch: 1000, ..Self::LOCAL }
    }
}

/// How a blob backend likes large payloads to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Bytes of one request.
    pub size: usize,
    /// How many requests should be under way at once.
    pub concurrency: usize,
}

/// What a blob backend can do. The engine asks once, when the store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobCapability {
    /// How long a blob stays after the last entry that names it is gone. Zero where a blob that is open stays readable
    /// when it is deleted. Elsewhere a reader that has just looked the entry up must find its blob: minutes.
    pub grace: Duration,
    /// The longest time from the creation of a blob, as [`BlobInfo::modified`](super::BlobInfo::modified) tells it, to the
    /// commit of its entry. A blob without an entry that is older was left by a crash.
    pub longest_put: Duration,
    /// How large blobs are read; `None` where small reads cost little, as from a local file.
    pub parts: Option<Parts>,
}

impl BlobCapability {
    /// Files of a local file system, or memory.
    pub const LOCAL: Self = Self { grace: Duration::ZERO, longest_put: Duration::from_secs(3600), parts: None };
}

impl Default for BlobCapability {
    /// What is safe for every backend.
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(600),
            longest_put: Duration::from_secs(24 * 3600),
            parts: Some(Parts { size: 8 << 20, concurrency: 8 }),
        }
    }
}
