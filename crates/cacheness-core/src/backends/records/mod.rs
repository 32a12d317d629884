//! A metadata backend over a plain store of records, such as a key-value database.
//!
//! [`RecordStore`] asks for four methods: get, scan, commit and close. [`RecordsMetadata`] makes everything else of them. A
//! record is a JSON object with the key `cache_key`, and a `revision` that changes with every write. A commit names the
//! revisions that it has read; the store applies it only if all of them are still the same, and otherwise the commit is
//! made again from new reads.
//!
//! ```text
//! <key>                          an entry: docs/formats/records.md
//! ~cacheness/signing_key         the key that signs the entries
//! ~cacheness/totals/00 … 0f      the number and the size of the entries, in 16 parts that are added
//! ~cacheness/blob/<locator>      how many entries name a blob
//! ~cacheness/garbage/<locator>   a blob that no entry names any more, and when to delete it
//! ```
//!
//! A small put takes two round trips, one to read and one to commit; one more if it replaces an entry with a blob. A get
//! takes one. Listings, counts and evictions read the records in pages.

mod commit;
mod evict;
mod format;
mod walk;

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use self::format::{GARBAGE, State, key_of_blob, key_of_garbage, key_of_totals};
use self::walk::Walk;
use crate::backend::{
    Capability, Commit, Committed, Evicted, Eviction, MetadataBackend, Page, Part, Position, Query, Versions,
};
use crate::clock::Timestamp;
use crate::entry::{BlobRef, Entry, EntrySummary, Location, Totals};
use crate::error::{Error, ErrorKind, Result};

pub use self::format::{RECORD_FIELDS, RESERVED};

/// A record to write, or a key to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The key.
    pub key: &'a str,
    /// The new record, a JSON object; `None` removes the key.
    pub record: Option<&'a str>,
}

/// A revision that a commit has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected<'a> {
    /// The key.
    pub key: &'a str,
    /// The field `revision` of its record; `None` if there was no record.
    pub revision: Option<&'a str>,
}

/// Keeps records: JSON objects under keys.
///
/// Threads share a store. After `fork()` the child reopens its resources. A store returns each record as it was written; it
/// reads nothing of a record but the field `revision`.
pub trait RecordStore: Any + Send + Sync + fmt::Debug {
    /// The name of the backend.
    fn name(&self) -> &str;

    /// The records of these keys, in their order; `None` where there is none. Includes every change that was committed
    /// before the call.
    fn get(&self, keys: &[&str]) -> Result<Vec<Option<String>>>;

    /// At most `limit` records whose keys begin with `prefix` and are greater than `after`, in the ascending byte order of
    /// their keys.
    ///
    /// # Behavior
    /// - Records written or removed between two pages may or may not be seen, all others exactly once.
    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>>;

    /// Makes all changes, if every key still has the revision that is expected; otherwise changes nothing and returns
    /// `false`. Atomic, also for other processes and after a crash.
    fn commit(&self, changes: &[Change<'_>], expected: &[Expected<'_>]) -> Result<bool>;

    /// The maximum number of operations that the engine should put into a commit: see [`Capability::batch`]. Each changes
    /// up to four records.
    fn batch(&self) -> usize {
        500
    }

    /// Whether the store is read-only.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Releases all resources. Called once.
    fn close(&self) -> Result<()>;
}

/// Keeps entries in a [`RecordStore`].
#[derive(Debug)]
pub struct RecordsMetadata<S> {
    store: S,
    closed: AtomicBool,
}

impl<S: RecordStore> RecordsMetadata<S> {
    /// The entries that `store` keeps.
    pub fn new(store: S) -> Self {
        Self { store, closed: AtomicBool::new(false) }
    }

    fn store(&self) -> Result<&S> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store has been closed"));
        }
        Ok(&self.store)
    }

    fn walk<'a>(&'a self, query: &Query<'a>, after: Option<&str>) -> Result<Walk<'a, S>> {
        Walk::new(self.store()?, query, after)
    }
}

impl<S: RecordStore> MetadataBackend for RecordsMetadata<S> {
    fn name(&self) -> &str {
        self.store.name()
    }

    fn capability(&self) -> Capability {
        Capability { exact_totals: true, exclusive_writer: false, batch: self.store.batch(), ..Capability::LOCAL }
    }

    fn get(&self, key: &str, part: Part) -> Result<Option<Entry>> {
        Ok(self.get_batch(&[key], part)?.pop().flatten())
    }

    fn get_batch(&self, keys: &[&str], part: Part) -> Result<Vec<Option<Entry>>> {
        let store = self.store()?;
        // A reserved key is that of no entry.
        let found = format::get(store, keys)?.into_iter().zip(keys).map(|(text, key)| {
            let Some(text) = text.filter(|_| !key.starts_with(RESERVED)) else { return Ok(None) };
            let entry = format::entry(store.name(), key, &text)?.entry;
            Ok(Some(match part {
                Part::Whole => entry,
                Part::Summary => EntrySummary::from(entry).entry,
            }))
        });
        found.collect()
    }

    fn commit(&self, commit: &Commit<'_>) -> Result<Committed> {
        commit::commit(self.store()?, commit)
    }

    fn select(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>> {
        self.walk(query, page.after)?.page(query, page, EntrySummary::from)
    }

    fn keys(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<String>> {
        self.walk(query, page.after)?.page(query, page, |entry| entry.key)
    }

    fn count(&self, query: &Query<'_>) -> Result<u64> {
        self.walk(query, None)?.try_fold(0, |count, kept| kept.map(|_| count + 1))
    }

    fn search(&self, query: &Query<'_>, from: &Position, limit: usize) -> Result<Versions> {
        let after = match from {
            Position::Key(key) => Some(key.as_str()),
            _ => None,
        };
        self.walk(query, after)?.step(limit)
    }

    fn equal_blob(&self, entry: &Entry) -> Result<Option<BlobRef>> {
        let store = self.store()?;
        if entry.digest.is_none() {
            return Ok(None);
        }
        for kept in Walk::new(store, &Query::default(), None)? {
            let other = kept?.entry;
            if let Location::Blob(blob) = other.location
                && other.digest == entry.digest
                && other.size == entry.size
                && other.key != entry.key
            {
                return Ok(Some(blob));
            }
        }
        Ok(None)
    }

    fn knows_blobs(&self, locators: &[&str]) -> Result<Vec<bool>> {
        let store = self.store()?;
        let keys: Vec<String> =
            locators.iter().flat_map(|locator| [key_of_blob(locator), key_of_garbage(locator)]).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let found = format::get(store, &keys)?;
        Ok(found.chunks(2).map(|pair| pair.iter().any(Option::is_some)).collect())
    }

    fn garbage(&self, due: Timestamp, limit: usize) -> Result<Vec<String>> {
        let store = self.store()?;
        let mut found = Vec::new();
        walk::states(store, GARBAGE, |locator, state| {
            if state.due.is_some_and(|time| time.0 <= due) {
                found.push(locator.to_owned());
            }
            found.len() < limit
        })?;
        Ok(found)
    }

    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted> {
        evict::evict(self, self.store()?, eviction)
    }

    fn totals(&self) -> Result<Totals> {
        let store = self.store()?;
        let keys: Vec<String> = (0..format::PARTS).map(key_of_totals).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let (mut entries, mut bytes) = (0_i64, 0_i64);
        for (text, key) in format::get(store, &keys)?.into_iter().zip(&keys) {
            let Some(text) = text else { continue };
            let state = State::read(store.name(), key, &text)?;
            entries = entries.saturating_add(state.entries.unwrap_or_default());
            bytes = bytes.saturating_add(state.bytes.unwrap_or_default());
        }
        let positive = |sum| u64::try_from(sum).unwrap_or_default();
        Ok(Totals { entries: positive(entries), bytes: positive(bytes) })
    }

    fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        let mut range = None;
        for kept in self.walk(&Query::default(), None)? {
            let at = kept?.entry.created_at;
            let (first, last) = range.unwrap_or((at, at));
            range = Some((at.min(first), at.max(last)));
        }
        Ok(range)
    }

    fn is_read_only(&self) -> bool {
        self.store.is_read_only()
    }

    fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) { Ok(()) } else { self.store.close() }
    }
}
