//! Making room: which entries go first.

use crate::clock::Timestamp;
use crate::entry::Totals;

/// In which order entries are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionOrder {
    /// By [`accessed_at`](crate::entry::Entry::accessed_at).
    LeastRecentlyRead,
    /// By [`access_count`](crate::entry::Entry::access_count), equal ones by `accessed_at`.
    LeastOftenRead,
    /// By the time their keys came; a put under the same key changes nothing.
    FirstIn,
}

/// Which entries to evict.
#[derive(Clone, Debug)]
pub struct Eviction<'a> {
    /// Which ones first, after all that have expired.
    pub order: EvictionOrder,
    /// The time now.
    pub expired_at: Timestamp,
    /// The key of an entry that stays in any case.
    pub keep: &'a str,
    /// Until there is no more than this.
    pub target: Totals,
    /// How many at most.
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
    /// What is left.
    pub left: Totals,
}
