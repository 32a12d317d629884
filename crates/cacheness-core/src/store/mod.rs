//! The store engine: the one place that knows both entries and blobs, and keeps them consistent.
//!
//! # The commit protocol
//!
//! 1. A payload that is not inline becomes a new, durable blob, under a locator that has never existed.
//! 2. One [`Commit`](crate::backend::Commit) stores the entry that names it.
//! 3. A blob that no entry names any more is deleted after that commit: at once if open blobs stay readable, else when
//!    the backend's grace is over, from the `garbage` that the same commit recorded.
//!
//! A crash between the steps leaves a blob without an entry, never an entry without its blob. [`Store::gc`] finds such
//! blobs. A reader whose blob is deleted after it looked up the entry retries, even if it notices only while decoding.
//!
//! | room | is for |
//! |---|---|
//! | `put`, `write`, `share` | puts: values are hashed, written and committed |
//! | `read`, `trust`, `hot` | gets: lookup, verification, entries in memory |
//! | `change`, `room` | updates, removals, eviction; removals on a full disk |
//! | `garbage` | deleting blobs now or later, and finding those without an entry |
//! | `custom` | tables of the user: made once, queried |
//! | `seal` | signing what is committed, rotating the key |

mod ahead;
mod change;
mod custom;
mod garbage;
mod hashes;
mod hot;
mod key;
#[cfg(all(test, loom))]
mod model;
mod put;
mod read;
mod room;
mod seal;
mod share;
mod trust;
mod write;

use std::fmt;
use std::sync::Arc;

use crate::backend::{BlobBackend, BlobCapability, Capability, Locks, MetadataBackend, Page, Query, Sql, SqlRows};
use crate::backends::Reserve;
use crate::clock::{Clock, Timestamp};
use crate::config::StoreConfig;
use crate::entry::{EntrySummary, Totals};
use crate::error::{Error, ErrorKind, Result};
use crate::sign::Signer;

pub use change::EvictionStep;
use custom::Registered;
pub use garbage::Collected;
use garbage::Collector;
use hot::{HotEntries, Writing};
pub use key::{EntryKey, MAX_NAME};
pub use put::PutAttributes;
pub use read::{Fetched, Found, ReadOptions, Retry};
pub use trust::IntegrityReport;

/// Entries per page when a walk reads the whole store.
const PAGE: usize = 1000;

/// Stores typed payloads under keys, without expiry or automatic eviction.
pub struct Store {
    /// Must not be shared with another store: entries kept in memory rely on that.
    metadata: Box<dyn MetadataBackend>,
    blobs: Arc<dyn BlobBackend>,
    signer: Option<Signer>,
    locks: Option<Arc<dyn Locks>>,
    reserve: Option<Reserve>,
    /// Whether an entry may become a miss before its removal: see [`Store::that_forgets`].
    forgets: bool,
    config: StoreConfig,
    clock: Clock,
    hot: Option<HotEntries>,
    /// The backends' capabilities, asked once.
    capability: Capability,
    blob_capability: BlobCapability,
    collector: Collector,
    registered: Registered,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("metadata", &self.metadata).field("blobs", &self.blobs).finish_non_exhaustive()
    }
}

impl Store {
    /// A store on these backends. Without a signer, entries are not signed and signatures do not count.
    #[must_use]
    pub fn new(
        metadata: Box<dyn MetadataBackend>,
        blobs: Arc<dyn BlobBackend>,
        signer: Option<Signer>,
        config: StoreConfig,
        clock: Clock,
    ) -> Self {
        let hot = HotEntries::new(&config.memory);
        let (capability, blob_capability) = (metadata.capability(), blobs.capability());
        let collector = Collector::default();
        let (locks, reserve, forgets) = (None, None, false);
        Self {
            metadata,
            blobs,
            signer,
            locks,
            reserve,
            forgets,
            config,
            clock,
            hot,
            capability,
            blob_capability,
            collector,
            registered: Registered::default(),
        }
    }

    /// Adds the locks that keep several processes from computing the same value.
    #[must_use]
    pub fn with_locks(mut self, locks: Arc<dyn Locks>) -> Self {
        self.locks = Some(locks);
        self
    }

    /// Adds reserved disk space that is released to remove entries when the disk is full.
    #[must_use]
    pub fn with_reserve(mut self, reserve: Reserve) -> Self {
        self.reserve = Some(reserve);
        self
    }

    /// Declares the store a cache, whose entries may become misses: on a full disk, the payload of a doomed entry may
    /// be deleted before the entry, unless it is pinned.
    #[must_use]
    pub fn that_forgets(mut self) -> Self {
        self.forgets = true;
        self
    }

    /// The locks that keep several processes from computing the same value, if there are any.
    #[must_use]
    pub fn locks(&self) -> Option<&Arc<dyn Locks>> {
        self.locks.as_ref()
    }

    /// The options.
    #[must_use]
    pub fn config(&self) -> &StoreConfig {
        &self.config
    }

    /// The store's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The metadata backend.
    #[must_use]
    pub fn metadata(&self) -> &dyn MetadataBackend {
        &*self.metadata
    }

    /// The blob backend.
    #[must_use]
    pub fn blobs(&self) -> &dyn BlobBackend {
        &*self.blobs
    }

    /// Whether the store signs entries.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.signer.is_some()
    }

    /// Whether the store is read-only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.metadata.is_read_only()
    }

    /// The default options for reading values.
    #[must_use]
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions { verify: self.config.verify_cache_integrity, strict: true }
    }

    pub(crate) fn refuse_if_read_only(&self) -> Result<()> {
        if self.is_read_only() {
            return Err(Error::new(ErrorKind::ReadOnly, "the store is read-only, nothing can be written or removed"));
        }
        Ok(())
    }

    /// Call it before changing the entry of `key`, and drop the result afterwards, whatever the outcome.
    fn writing<'a>(&'a self, key: &'a str) -> Option<Writing<'a>> {
        self.hot.as_ref().map(|hot| hot.write(key))
    }

    /// Calls `visit` with every entry whose key starts with `prefix`, in the order of the keys, without payloads.
    ///
    /// Entries put or removed meanwhile may or may not be seen; all others are seen exactly once.
    pub fn for_each(&self, prefix: &str, visit: impl FnMut(EntrySummary) -> Result<()>) -> Result<()> {
        self.for_each_in(&Query { prefix, ..Query::default() }, visit)
    }

    /// [`Store::for_each`] for the entries of a query, whose order must be that of the keys.
    ///
    /// # Errors
    /// Those of the filter, of the backend, and of `visit`, which end the walk.
    pub fn for_each_in(&self, query: &Query<'_>, mut visit: impl FnMut(EntrySummary) -> Result<()>) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self.metadata.select(query, &Page { after: after.as_deref(), limit: PAGE, offset: 0 })?;
            let last = page.len() < PAGE;
            after = page.last().map(|summary| summary.entry.key.clone());
            page.into_iter().try_for_each(&mut visit)?;
            if last {
                return Ok(());
            }
        }
    }

    /// The keys of all pinned entries, in ascending order.
    pub fn pinned(&self) -> Result<Vec<String>> {
        self.metadata.keys(&Query { pinned: true, ..Query::default() }, &Page::default())
    }

    /// Runs a query in SQL over the views of `docs/formats/views.md`: see
    /// [`MetadataBackend::sql`].
    ///
    /// # Errors
    /// `Unsupported` if the metadata backend has no SQL; `InvalidInput` for a statement that is refused or wrong;
    /// `TimedOut`, `Cancelled`, `Metadata`, `Closed`.
    pub fn sql(&self, sql: &Sql<'_>) -> Result<SqlRows> {
        let full_metadata = sql.full_metadata || self.config.store_full_metadata;
        let rows = self.metadata.sql(&Sql { full_metadata, ..sql.clone() })?;
        if !full_metadata && sql.text.to_ascii_lowercase().contains("full_metadata") {
            log::warn!("full_metadata is NULL in every row, because the store was opened without store_full_metadata");
        }
        Ok(rows)
    }

    /// The number of entries and their bytes.
    pub fn totals(&self) -> Result<Totals> {
        self.metadata.totals()
    }

    /// When the oldest and the newest entry were put; `None` if there are none. Scans all entries.
    pub fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        self.metadata.created_range()
    }

    /// Releases the resources; later calls fail with [`ErrorKind::Closed`].
    pub fn close(&self) -> Result<()> {
        // Closes the metadata first: a reader that finds no entry opens no blob.
        let closed = self.metadata.close();
        if let Some(hot) = &self.hot {
            hot.all_gone();
        }
        let unlocked = self.locks.as_ref().map_or(Ok(()), |locks| locks.close());
        self.blobs.close().and(closed).and(unlocked)
    }
}
