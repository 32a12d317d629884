//! Eviction: which entries are removed first.

use crate::clock::Timestamp;
use crate::entry::Totals;

/// In which order entries are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionOrder {
    /// By [`accessed_at`](crate::entry::Entry::accessed_at).
    LeastRecentlyRead,
    /// By [`access_count`](crate::entry::Entry::access_count), then by `accessed_at`.
    LeastOftenRead,
    /// By the time the key was first put; a later put under the same key changes nothing.
    FirstIn,
}

/// Which entries to evict.
#[derive(Clone, Debug)]
pub struct Eviction<'a> {
    /// Which entries first, after all expired ones.
    pub order: EvictionOrder,
    /// The current time.
    pub expired_at: Timestamp,
    /// The key of an entry that must not be evicted.
    pub keep: &'a str,
    /// Stop when the totals are no larger than this.
    pub target: Totals,
    /// The maximum number of entries to evict.
    pub count: usize,
    /// See [`Commit::garbage_due`](super::Commit::garbage_due).
    pub garbage_due: Option<Timestamp>,
}

/// The result of an [`Eviction`].
#[derive(Clone, Debug, Default)]
pub struct Evicted {
    /// Keys of the evicted entries.
    pub keys: Vec<String>,
    /// Locators that no entry names any more: the caller deletes these blobs. Empty with [`Eviction::garbage_due`].
    pub orphaned: Vec<String>,
    /// The totals after it.
    pub left: Totals,
}
