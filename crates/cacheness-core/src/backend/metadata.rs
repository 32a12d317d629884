//! The trait of metadata backends: they keep entries and answer queries, and never touch a blob.

use std::fmt;

use crate::clock::Timestamp;
use crate::entry::{Entry, EntrySummary, EntryVersion, Glimpse, Signature, Totals};
use crate::error::Result;

/// What became of the blobs when an entry was put, replaced or removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOutcome {
    /// The locator of a former payload that no entry names any more: the caller deletes this blob.
    pub orphaned: Option<String>,
    /// The entry names the blob of [`Share::With`] instead of its own: the caller deletes the one that it wrote.
    pub shared: bool,
    /// No entry names the blob of [`Share::InPlaceOf`] any more: the caller deletes it. Where the former entry named it,
    /// it may be orphaned instead.
    pub displaced: bool,
    /// Whether an entry of this key existed before.
    pub replaced: bool,
}

/// What to do with the blob of another entry that has the same [`Entry::digest`] and size; it is what
/// [`MetadataBackend::equal_blob`] found, and may not be there any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share<'a> {
    /// Nothing.
    #[default]
    No,
    /// If another entry still names the blob at this locator, and has the same digest and size, name it, too.
    With(&'a str),
    /// The blob at this locator is damaged: the entries of the same digest and size that name it are to name that of the
    /// new entry.
    InPlaceOf(&'a str),
}

/// Asked when the right to write is held and nothing has been changed yet; its error ends the operation.
pub type Confirm<'a> = &'a dyn Fn() -> Result<()>;

/// How to put an entry.
#[derive(Clone, Copy, Default)]
pub struct PutOptions<'a> {
    /// What to do with an equal blob.
    pub share: Share<'a>,
    /// Pin the entry in the same transaction. Without it, it stays pinned or not as it was.
    pub pin: bool,
    /// Asked before anything is changed.
    pub confirm: Option<Confirm<'a>>,
}

impl PutOptions<'_> {
    /// Asks [`PutOptions::confirm`], if there is one.
    pub fn confirm(&self) -> Result<()> {
        self.confirm.map_or(Ok(()), |confirm| confirm())
    }
}

impl fmt::Debug for PutOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutOptions").field("share", &self.share).field("pin", &self.pin).finish_non_exhaustive()
    }
}

/// What changes in an entry without its payload being written again. `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct EntryUpdate {
    /// New creation time; the entry then also was last read at that time.
    pub created_at: Option<Timestamp>,
    /// New expiry; `Some(None)` removes it.
    pub expires_at: Option<Option<Timestamp>>,
    /// New description.
    pub description: Option<Option<String>>,
    /// New user metadata (JSON object).
    pub metadata: Option<Option<String>>,
    /// New signature.
    pub signature: Option<Option<Signature>>,
}

impl EntryUpdate {
    /// Makes the changes in `entry`.
    pub fn apply(&self, entry: &mut Entry) {
        if let Some(created_at) = self.created_at {
            entry.created_at = created_at;
            entry.accessed_at = created_at;
        }
        if let Some(expires_at) = self.expires_at {
            entry.expires_at = expires_at;
        }
        if let Some(description) = &self.description {
            entry.description.clone_from(description);
        }
        if let Some(metadata) = &self.metadata {
            entry.metadata.clone_from(metadata);
        }
        if let Some(signature) = self.signature {
            entry.signature = signature;
        }
    }
}

/// A page of entries, in ascending byte order of their keys.
#[derive(Clone, Debug, Default)]
pub struct Scan<'a> {
    /// Only keys that start with this.
    pub prefix: &'a str,
    /// Only keys after this one (the last of the page before).
    pub after: Option<&'a str>,
    /// At most this many; 0 means no limit.
    pub limit: usize,
    /// Only entries that expire at or before this time.
    pub expired_at: Option<Timestamp>,
}

/// How far a walk through all entries has come; a backend reads only what it has written itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Position {
    /// Nothing has been seen.
    #[default]
    Start,
    /// Everything up to this key has been seen.
    Key(String),
    /// Everything up to this place in the order of the backend's own has been seen.
    Number(i64),
}

/// An access to write down: how often since the last time, and when last.
#[derive(Clone, Debug)]
pub struct AccessRecord {
    /// The entry's key.
    pub key: String,
    /// When it was last read.
    pub at: Timestamp,
    /// How many reads to add.
    pub count: u64,
}

/// In which order entries go when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionOrder {
    /// By [`Entry::accessed_at`].
    LeastRecentlyRead,
    /// By [`Entry::access_count`], equal ones by [`Entry::accessed_at`].
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
}

/// What became of an [`Eviction`].
#[derive(Clone, Debug, Default)]
pub struct Evicted {
    /// Keys of the entries that are gone.
    pub keys: Vec<String>,
    /// Locators that no entry names any more: the caller deletes these blobs.
    pub orphaned: Vec<String>,
    /// What is left.
    pub left: Totals,
}

/// Keeps entries.
///
/// Every method is atomic: it happened or it did not, also for other processes and after a crash. After an error it did
/// not, unless the error [is uncertain](crate::Error::is_uncertain). A backend is shared by
/// threads; it survives `fork()` by opening its resources again in the child.
pub trait MetadataBackend: Send + Sync + fmt::Debug {
    /// The name in configurations: `sqlite`, `memory`, …
    fn name(&self) -> &'static str;

    /// Returns the entry filed under `key`, with its inline payload.
    ///
    /// # Behavior
    /// - A missing entry is `Ok(None)`.
    /// - Never writes.
    fn get(&self, key: &str) -> Result<Option<Entry>>;

    /// Returns the entry filed under `key` without its inline payload.
    fn get_summary(&self, key: &str) -> Result<Option<EntrySummary>>;

    /// The locator of a blob with the digest and size of `entry` that an entry of another key names; always the same one
    /// while nothing changes.
    fn equal_blob(&self, entry: &Entry) -> Result<Option<String>>;

    /// Files `entry` under its key, replacing a former entry.
    ///
    /// # Behavior
    /// - When it returns, the entry is committed as the store's durability mode says.
    /// - [`PutOutcome::orphaned`] is decided in the same transaction: no other entry names the blob then.
    /// - The former entry's `access_count` is kept if the key is the same.
    fn put(&self, entry: &Entry, options: PutOptions<'_>) -> Result<PutOutcome>;

    /// Changes fields of the entry filed under `key`, if it still has the `created_at`, `file_hash`, `expires_at`,
    /// `metadata`, `description` and `signature` of `expected`: an update that was made from an older state is not lost
    /// without a word.
    ///
    /// # Behavior
    /// - Returns `false`, and changes nothing, if the entry is gone or has been replaced since `expected` was read.
    /// - `confirm` is asked before.
    fn update(&self, key: &str, expected: &Entry, update: &EntryUpdate, confirm: Confirm<'_>) -> Result<bool>;

    /// Removes the entry filed under `key`.
    ///
    /// # Behavior
    /// - `Ok(None)` if there was none; deleting a missing entry is no error.
    fn delete(&self, key: &str) -> Result<Option<PutOutcome>>;

    /// Removes those of the entries that are still there in the version expected, all at once. Fastest in the order of
    /// their keys.
    ///
    /// # Behavior
    /// - The outcomes are in the order of `expected`, `None` for one that is gone or has been replaced.
    /// - Waits for the right to write also where `expected` is empty: whoever had it before has committed then.
    fn delete_batch(&self, expected: &[EntryVersion]) -> Result<Vec<Option<PutOutcome>>>;

    /// [`MetadataBackend::delete_batch`] of one entry.
    fn delete_if(&self, expected: &Entry) -> Result<Option<PutOutcome>> {
        Ok(self.delete_batch(&[expected.version()])?.pop().flatten())
    }

    /// Removes all entries and returns how many there were; `orphaned` is called with the locator of every blob, once
    /// each, after the removal is committed.
    fn clear(&self, orphaned: &mut dyn FnMut(&str)) -> Result<u64>;

    /// Returns a page of entries without their inline payloads.
    fn scan(&self, scan: &Scan<'_>) -> Result<Vec<EntrySummary>>;

    /// Calls `visit` with the next entries of a walk, at most about `limit` of them, in whatever order is the fastest;
    /// returns where the walk has come to, `None` when it has seen all.
    ///
    /// # Behavior
    /// - Entries that are put or removed between two steps may or may not be seen, all others exactly once.
    /// - `visit` runs inside of a read: it waits for nobody and does not call this backend. Its error ends the step.
    fn skim(
        &self,
        from: &Position,
        limit: usize,
        visit: &mut dyn FnMut(&Glimpse<'_>) -> Result<()>,
    ) -> Result<Option<Position>> {
        let after = match from {
            Position::Key(key) => Some(key.as_str()),
            _ => None,
        };
        let page = self.scan(&Scan { after, limit, ..Scan::default() })?;
        page.iter().try_for_each(|found| visit(&Glimpse::from(&found.entry)))?;
        let more = limit > 0 && page.len() >= limit;
        Ok(page.into_iter().next_back().filter(|_| more).map(|last| Position::Key(last.entry.key)))
    }

    /// Removes entries until the target is reached or as many as wanted are gone.
    ///
    /// # Behavior
    /// - What has expired goes first, what is pinned never.
    /// - Up to a few thousand entries the order is exact. Beyond, the work must not grow with their number: the ones that
    ///   go are the first of a sample.
    /// - Nothing goes if the target is reached already.
    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted>;

    /// Pins the entry filed under `key`, or no longer: a pinned one is never evicted. A put under the same key leaves it
    /// pinned; what is deleted and put again is not.
    ///
    /// # Behavior
    /// - Returns `false` if there is no such entry.
    fn set_pinned(&self, key: &str, pinned: bool) -> Result<bool>;

    /// The keys of all pinned entries, in ascending byte order.
    fn pinned(&self) -> Result<Vec<String>>;

    /// Writes down accesses in one transaction; keys that are gone are passed over.
    fn record_accesses(&self, accesses: &[AccessRecord]) -> Result<()>;

    /// Returns the totals, which are kept and never summed up.
    fn totals(&self) -> Result<Totals>;

    /// The least and the greatest [`Entry::created_at`]; `None` if there are no entries. Looks at all of them.
    fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>>;

    /// A number that grows whenever an entry may have been changed by anybody else than through this object: by another
    /// process, or by another backend of this process on the same database. `None` where that cannot be told.
    ///
    /// # Behavior
    /// - Cheap enough to be asked with every get: no system call.
    /// - A change that was committed before the call is in the answer.
    /// - Changes through this object are not counted if that can be told, and may be counted if it cannot.
    fn outside_changes(&self) -> Option<u64> {
        None
    }

    /// Gives room on the disk back that holds nothing any more, where that takes little room and time: called when the disk
    /// is full. What cannot be given back now is no error.
    fn shrink(&self) -> Result<()> {
        Ok(())
    }

    /// Whether entries can be written.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Releases all resources; calls after it fail with [`ErrorKind::Closed`](crate::ErrorKind::Closed).
    ///
    /// # Behavior
    /// - Closing twice is no error.
    fn close(&self) -> Result<()>;
}
