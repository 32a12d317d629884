//! Verified entries kept in the memory of this process for repeated gets.
//!
//! An entry is served from memory only if it cannot have changed:
//!
//! - [`MetadataBackend::outside_changes`] reports changes by others. Its result must equal the one from before the
//!   entry was read.
//! - A change through this store calls [`HotEntries::write`] first, which removes the entry. The change ends when the
//!   [`Writing`] is dropped, after its commit and before its method returns. Both steps increment a counter of the
//!   shard. A reader offers an entry with the counter from before its read; the offer is refused if the counter has
//!   changed or a writer is active. Otherwise an older entry could return after others have seen the commit. Concurrent
//!   writers of one shard do not keep their entries: they do not know which commit was last.
//!
//! The memory is bounded in bytes, entries and time; the time limit makes sure that signatures are checked again. A
//! forked child starts empty.
//!
//! [`MetadataBackend::outside_changes`]: crate::backend::MetadataBackend::outside_changes

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashlink::LruCache;

use crate::clock::Timestamp;
use crate::config::{MemoryConfig, MemoryPolicy};
use crate::entry::{Entry, Location};
use crate::process::PerProcess;
use crate::sync::{Mutex, MutexGuard};

/// A power of two.
const SHARDS: usize = 16;

/// The approximate overhead of an entry besides its texts and bytes.
const OVERHEAD: usize = 512;

/// LFU evicts the least often read of this many least recently read entries.
const LEAST_OF: usize = 32;

/// Random eviction chooses among at most this many entries: all of them in a shard of the usual size.
const RANDOM_OF: usize = 1024;

/// An entry with a valid signature (or none, if that is allowed) and a verified payload.
#[derive(Clone, Debug)]
pub(super) struct Hot {
    pub(super) entry: Arc<Entry>,
    /// Whether the entry is signed.
    pub(super) signed: bool,
    outside: u64,
    since: Timestamp,
    /// The number of hits.
    reads: u32,
}

/// The state before an entry was read; checked when the entry is offered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    writes: u64,
    outside: u64,
}

struct Shard {
    /// The number of finished changes.
    writes: u64,
    /// The number of changes in progress.
    writing: u32,
    bytes: usize,
    entries: LruCache<String, Hot>,
    random: RandomState,
}

type Shards = [Mutex<Shard>; SHARDS];

fn new_shards() -> Shards {
    std::array::from_fn(|_| {
        let (entries, random) = (LruCache::new_unbounded(), RandomState::new());
        Mutex::new(Shard { writes: 0, writing: 0, bytes: 0, entries, random })
    })
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct HotEntries {
    config: MemoryConfig,
    shards: PerProcess<Shards>,
    hits: AtomicU64,
}

fn weight(entry: &Entry) -> usize {
    let payload = match &entry.location {
        Location::Inline(bytes) => bytes.len(),
        Location::Blob(blob) => blob.locator.len(),
    };
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let bytes = entry.params.as_ref().map_or(0, Vec::len) + entry.format.handler_meta.len();
    OVERHEAD + payload + bytes + 2 * entry.key.len() + text(&entry.metadata) + text(&entry.description)
}

impl HotEntries {
    /// Creates an empty memory; `None` if the configuration disables it.
    pub(super) fn new(config: &MemoryConfig) -> Option<Self> {
        let wanted = config.enable_memory_cache && config.memory_cache_maxsize > 0 && config.memory_cache_max_mb > 0.0;
        wanted.then(|| Self { config: config.clone(), shards: PerProcess::new(), hits: AtomicU64::new(0) })
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        // Any distribution will do. The end of a key is the part that differs between names that users choose.
        let end = key.len().saturating_sub(4);
        let sum = key.as_bytes()[end..].iter().fold(0_usize, |sum, byte| sum * 7 + usize::from(*byte));
        self.shards.get_or_make(new_shards)[sum % SHARDS].lock()
    }

    /// The entry of `key` if it is here and still valid; else a ticket for offering it after reading it.
    #[inline]
    pub(super) fn find(&self, key: &str, outside: u64, now: Timestamp) -> Result<Hot, Ticket> {
        let mut shard = self.shard(key);
        let found = match self.config.memory_cache_type {
            MemoryPolicy::Lru | MemoryPolicy::Lfu => shard.entries.get_mut(key).map(|hot| {
                hot.reads = hot.reads.saturating_add(1);
                &*hot
            }),
            MemoryPolicy::Fifo | MemoryPolicy::Rr => shard.entries.peek(key),
        };
        let found = found.map(|hot| {
            let age = now.0.saturating_sub(hot.since.0);
            // If the clock was set back, the entry counts as expired.
            (hot.outside == outside && (0..self.config.max_age_micros()).contains(&age)).then(|| hot.clone())
        });
        match found {
            Some(Some(hot)) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return Ok(hot);
            }
            Some(None) => shard.remove(key),
            None => {}
        }
        Err(Ticket { writes: shard.writes, outside })
    }

    /// The number of hits.
    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// A ticket for offering the entry of `key` after reading it.
    pub(super) fn ticket(&self, key: &str, outside: u64) -> Ticket {
        Ticket { writes: self.shard(key).writes, outside }
    }

    /// Keeps a verified entry, unless it may have changed since the ticket.
    pub(super) fn offer(&self, ticket: Ticket, entry: Arc<Entry>, signed: bool, now: Timestamp) {
        let mut shard = self.shard(&entry.key);
        if shard.writes == ticket.writes && shard.writing == 0 {
            shard.keep(&self.config, Hot { entry, signed, outside: ticket.outside, since: now, reads: 0 });
        }
    }

    /// Call it before changing the entry of `key`, and drop the result afterwards, whatever the outcome.
    pub(super) fn write<'a>(&'a self, key: &'a str) -> Writing<'a> {
        let mut shard = self.shard(key);
        shard.remove(key);
        shard.writing += 1;
        Writing { hot: self, key, writes: shard.writes, now: None }
    }

    /// The same for changes of any entry.
    pub(super) fn write_all(&self) -> WritingAll<'_> {
        for shard in self.shards.get_or_make(new_shards) {
            let mut shard = shard.lock();
            shard.clear();
            shard.writing += 1;
        }
        WritingAll(self)
    }

    /// Removes the entry of `key`.
    pub(super) fn gone(&self, key: &str) {
        let mut shard = self.shard(key);
        shard.remove(key);
        shard.writes += 1;
    }

    /// Removes all entries.
    pub(super) fn all_gone(&self) {
        for shard in self.shards.get_or_make(new_shards) {
            let mut shard = shard.lock();
            shard.clear();
            shard.writes += 1;
        }
    }
}

/// A change of one entry in progress.
#[must_use = "the change is over when it is dropped"]
pub(super) struct Writing<'a> {
    hot: &'a HotEntries,
    key: &'a str,
    writes: u64,
    now: Option<Hot>,
}

impl Writing<'_> {
    /// Ends the change and keeps the new entry; `outside` was the backend's count before.
    pub(super) fn keep(mut self, entry: Arc<Entry>, signed: bool, outside: u64, since: Timestamp) {
        self.now = Some(Hot { entry, signed, outside, since, reads: 0 });
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut shard = self.hot.shard(self.key);
        let alone = shard.writing == 1 && shard.writes == self.writes;
        if let Some(now) = self.now.take_if(|_| alone) {
            shard.keep(&self.hot.config, now);
        }
        shard.over();
    }
}

/// A change of any entry in progress.
#[must_use = "the change is over when it is dropped"]
pub(super) struct WritingAll<'a>(&'a HotEntries);

impl Drop for WritingAll<'_> {
    fn drop(&mut self) {
        for shard in self.0.shards.get_or_make(new_shards) {
            shard.lock().over();
        }
    }
}

impl Shard {
    /// Ends the change, except in a child that was forked meanwhile, which has no record of it.
    fn over(&mut self) {
        self.writes += 1;
        self.writing = self.writing.saturating_sub(1);
    }

    fn clear(&mut self) {
        // Clearing the map would keep its memory.
        self.entries = LruCache::new_unbounded();
        self.bytes = 0;
    }

    fn remove(&mut self, key: &str) {
        if let Some(former) = self.entries.remove(key) {
            self.bytes -= weight(&former.entry);
        }
    }

    fn keep(&mut self, config: &MemoryConfig, hot: Hot) {
        let weight = weight(&hot.entry);
        let key = &hot.entry.key;
        self.remove(key);
        let limit = config.max_bytes() / SHARDS;
        if weight > limit {
            return;
        }
        let newest = key.clone();
        self.bytes += weight;
        self.entries.insert(newest.clone(), hot);
        let entries = config.memory_cache_maxsize.div_ceil(SHARDS);
        while self.bytes > limit || self.entries.len() > entries {
            let Some(leaving) = self.leaving(config.memory_cache_type, &newest) else { return };
            self.remove(&leaving);
        }
    }

    /// The entry to evict for the newest one.
    fn leaving(&self, policy: MemoryPolicy, newest: &str) -> Option<String> {
        let others = self.entries.len().checked_sub(1)?.max(1);
        let mut entries = self.entries.iter();
        let (key, _) = match policy {
            MemoryPolicy::Lru | MemoryPolicy::Fifo => entries.next(),
            MemoryPolicy::Lfu => entries.take(others.min(LEAST_OF)).min_by_key(|(_, hot)| hot.reads),
            MemoryPolicy::Rr => {
                let random = usize::try_from(self.random.hash_one((self.writes, newest)) >> 32).unwrap_or_default();
                entries.nth(random % others.min(RANDOM_OF))
            }
        }?;
        Some(key.clone())
    }
}
