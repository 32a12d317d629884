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
    /// The whole entry.
    Whole,
    /// Without its inline payload, which is left empty.
    Summary,
}

/// Keeps entries.
///
/// Every method is atomic, also for other processes and after a crash. After an error nothing has changed, unless the
/// error [is uncertain](crate::Error::is_uncertain). Threads share a backend. After `fork()` the child reopens the
/// backend's resources. A backend never calls the engine.
///
/// A backend on a server takes one round trip for each call, whatever the number of operations, keys or rows.
pub trait MetadataBackend: Any + Send + Sync + fmt::Debug {
    /// The name in configurations: `sqlite`, `memory`, …
    fn name(&self) -> &str;

    /// What the backend can do. Does not change.
    fn capability(&self) -> Capability;

    /// Returns the entry filed under `key`; `None` if there is none. Never writes.
    fn get(&self, key: &str, part: Part) -> Result<Option<Entry>>;

    /// [`MetadataBackend::get`] for many keys, in their order.
    fn get_batch(&self, keys: &[&str], part: Part) -> Result<Vec<Option<Entry>>> {
        keys.iter().map(|key| self.get(key, part)).collect()
    }

    /// Makes all changes of `commit`, or none.
    ///
    /// # Behavior
    /// - When it returns [`Committed::Done`], the changes are as durable as the store's mode promises. There is one
    ///   outcome per operation.
    /// - When the guard does not hold it returns [`Committed::Refused`] and changes nothing. A guarded commit and a
    ///   commit with [`Operation::SignWith`](super::Operation::SignWith) are ordered: if the guarded one is first, the
    ///   caller of the other sees its entries; if it is second, it is refused.
    /// - A blob is orphaned when no entry names it after the commit. That is decided in the same transaction.
    fn commit(&self, commit: &Commit<'_>) -> Result<Committed>;

    /// Returns a page of the entries that match `query`, without their inline payloads.
    ///
    /// # Behavior
    /// - Entries put or removed between two pages may or may not be seen, all others exactly once.
    fn select(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>>;

    /// The keys of [`MetadataBackend::select`].
    fn keys(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<String>> {
        Ok(self.select(query, page)?.into_iter().map(|found| found.entry.key).collect())
    }

    /// The next entries of a walk, at most `limit`, in the order that is fastest for the backend.
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

    /// A blob with the digest and size of `entry` that an entry of another key names: the one of the smallest key.
    fn equal_blob(&self, entry: &Entry) -> Result<Option<BlobRef>>;

    /// Of each blob, whether an entry names it or it is in the [`garbage`](MetadataBackend::garbage).
    fn knows_blobs(&self, locators: &[&str]) -> Result<Vec<bool>>;

    /// Blobs that no entry names any more and that are due to be deleted, at most `limit`. See [`Commit::garbage_due`].
    /// A blob that an entry names again is left out until that entry is removed, and is then due as that removal says.
    fn garbage(&self, due: Timestamp, limit: usize) -> Result<Vec<String>>;

    /// Removes entries until the target or the requested number is reached.
    ///
    /// # Behavior
    /// - Expired entries are evicted first, pinned ones never.
    /// - Up to a few thousand entries the order is exact. Beyond that, the work must not grow with their number: the
    ///   backend evicts the first entries of a sample.
    /// - Nothing is evicted if the target is already reached.
    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted>;

    /// Returns the totals, see [`Capability::exact_totals`]. Does not scan the entries.
    fn totals(&self) -> Result<Totals>;

    /// The smallest and the largest [`Entry::created_at`]; `None` if there are no entries. Scans all entries.
    fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>>;

    /// Creates a user-defined table unless it exists.
    ///
    /// # Errors
    /// `Unsupported` without [`Capability::custom_rows`].
    fn register_schema(&self, schema: &Schema) -> Result<()> {
        let what = format!("the metadata backend {} keeps no tables such as {}", self.name(), schema.name);
        Err(Error::new(ErrorKind::Unsupported, what))
    }

    /// A number that grows whenever an entry may have been changed by another process, or through another handle of
    /// this process. `None` without [`Capability::change_notice`], and when it cannot be determined now.
    ///
    /// # Behavior
    /// - Cheap enough to call for every get: no system call.
    /// - The result includes every change that was committed before the call.
    /// - Changes through this object are not counted if the backend can tell them apart, and may be counted if it
    ///   cannot.
    fn outside_changes(&self) -> Option<u64> {
        None
    }

    /// Returns unused space to the file system if that needs little space and time: called when the disk is full. Space
    /// that cannot be returned now is not an error.
    fn shrink(&self) -> Result<()> {
        Ok(())
    }

    /// Whether the store is read-only.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Releases all resources; later calls fail with [`ErrorKind::Closed`].
    ///
    /// # Behavior
    /// - Closing twice is no error.
    fn close(&self) -> Result<()>;
}
