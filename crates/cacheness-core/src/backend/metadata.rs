//! The contract of metadata backends: they keep entries and answer queries, and never touch a blob.

use std::any::Any;
use std::fmt;

use super::{Capability, Commit, Committed, Evicted, Eviction, Glimpses, Page, Position, Query, Schema};
use crate::clock::Timestamp;
use crate::entry::{BlobRef, Entry, EntrySummary, Glimpse, Totals};
use crate::error::{Error, ErrorKind, Result};

/// How much of an entry to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Without its inline payload, which is left empty.
    Summary,
}

/// Keeps entries.
///
/// Every method is atomic: it happened or it did not, also for other processes and after a crash. After an error it did
/// not, unless the error [is uncertain](crate::Error::is_uncertain). Threads share a backend. It survives `fork()` by
/// opening its resources again in the child. It calls nothing of the engine.
///
/// A backend on a server takes one round trip for each call, whatever the number of operations, keys or rows.
pub trait MetadataBackend: Any + Send + Sync + fmt::Debug {
    /// The name in configurations: `sqlite`, `memory`, …
    fn name(&self) -> &str;

    /// What the backend can do. Does not change.
    fn capability(&self) -> Capability;

    /// Returns the entry filed under `key`; `None` if there is none. Never writes.
    fn get(&self, key: &str, part: Part) -> Result<Option<Entry>>;

    /// [`MetadataBackend::get`] of many keys, in their order.
    fn get_batch(&self, keys: &[&str], part: Part) -> Result<Vec<Option<Entry>>> {
        keys.iter().map(|key| self.get(key, part)).collect()
    }

    /// Makes all changes of `commit`, or none.
    ///
    /// # Behavior
    /// - When it returns [`Committed::Done`], the changes are durable as the store's durability mode says. There is one
    ///   outcome for each operation.
    /// - When the guard does not hold it returns [`Committed::Refused`] and changes nothing. A commit with a guard either
    ///   comes before a commit with [`Operation::SignWith`](super::Operation::SignWith), and whoever made that one sees its
    ///   entries; or it comes after, and is refused.
    /// - A blob is orphaned when no entry names it after the commit. That is decided in the same transaction.
    fn commit(&self, commit: &Commit<'_>) -> Result<Committed>;

    /// Returns a page of the entries that `query` means, without their inline payloads.
    ///
    /// # Behavior
    /// - Entries put or removed between two pages may or may not be seen, all others exactly once.
    fn select(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>>;

    /// The keys of [`MetadataBackend::select`].
    fn keys(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<String>> {
        Ok(self.select(query, page)?.into_iter().map(|found| found.entry.key).collect())
    }

    /// The next entries of a walk, at most `limit`, in whatever order is the fastest.
    ///
    /// # Behavior
    /// - Entries put or removed between two steps may or may not be seen, all others exactly once.
    fn skim(&self, from: &Position, limit: usize) -> Result<Glimpses> {
        let after = match from {
            Position::Key(key) => Some(key.as_str()),
            _ => None,
        };
        let page = self.select(&Query::default(), &Page { after, limit })?;
        let mut glimpses = Glimpses::default();
        page.iter().for_each(|found| glimpses.push(&Glimpse::from(&found.entry)));
        let more = limit > 0 && page.len() >= limit;
        glimpses.next = page.into_iter().next_back().filter(|_| more).map(|last| Position::Key(last.entry.key));
        Ok(glimpses)
    }

    /// A blob with the digest and size of `entry` that an entry of another key names: that of the least key.
    fn equal_blob(&self, entry: &Entry) -> Result<Option<BlobRef>>;

    /// Of each blob, whether an entry names it or it is in the [`garbage`](MetadataBackend::garbage).
    fn knows_blobs(&self, locators: &[&str]) -> Result<Vec<bool>>;

    /// Blobs that no entry names any more and that are due to be deleted, at most `limit`. See [`Commit::garbage_due`]. A blob
    /// that an entry names again is left out until that entry is gone, and is due when that one says.
    fn garbage(&self, due: Timestamp, limit: usize) -> Result<Vec<String>>;

    /// Removes entries until the target is reached or as many as wanted are gone.
    ///
    /// # Behavior
    /// - What has expired goes first, what is pinned never.
    /// - Up to a few thousand entries the order is exact. Beyond, the work must not grow with their number: the ones that
    ///   go are the first of a sample.
    /// - Nothing goes if the target is reached already.
    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted>;

    /// Returns the totals, see [`Capability::exact_totals`]. Does not look at all entries.
    fn totals(&self) -> Result<Totals>;

    /// The least and the greatest [`Entry::created_at`]; `None` if there are no entries. Looks at all of them.
    fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>>;

    /// Makes a table of the user's own, or finds that it is there.
    ///
    /// # Errors
    /// `Unsupported` without [`Capability::custom_rows`].
    fn register_schema(&self, schema: &Schema) -> Result<()> {
        let what = format!("the metadata backend {} keeps no tables such as {}", self.name(), schema.name);
        Err(Error::new(ErrorKind::Unsupported, what))
    }

    /// A number that grows whenever an entry may have been changed by another process, or through another handle of this
    /// process. `None` without [`Capability::change_notice`], and where it cannot be told now.
    ///
    /// # Behavior
    /// - Cheap enough to be asked with every get: no system call.
    /// - A change that was committed before the call is in the answer.
    /// - Changes through this object are not counted if that can be told, and may be counted if it cannot.
    fn outside_changes(&self) -> Option<u64> {
        None
    }

    /// Returns unused room to the file system, where that takes little room and time: called when the disk is full. What
    /// cannot be returned now is no error.
    fn shrink(&self) -> Result<()> {
        Ok(())
    }

    /// Whether nothing can be written.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Releases all resources; calls after it fail with [`ErrorKind::Closed`].
    ///
    /// # Behavior
    /// - Closing twice is no error.
    fn close(&self) -> Result<()>;
}
