//! The cache layer: expiry, hits and misses, accesses. It knows the store, but neither formats nor backends.

mod accesses;
mod door;
mod evict;
mod freshness;
mod lookup;
mod matching;
mod replace;
pub mod report;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::backend::{CustomRows, EntryUpdate, Page, Query, Sql, SqlRows};
use crate::cache::evict::Evictor;
use crate::clock::Timestamp;
use crate::config::{CacheConfig, ttl_duration};
use crate::entry::{Code, Computed, Entry, EntrySummary, EntryVersion, Totals};
use crate::error::{Error, ErrorKind, Result};
use crate::flight::Flights;
use crate::payload::{Encoded, Stored};
use crate::store::{EntryKey, Fetched, PutAttributes, ReadOptions, Retry, Store};

use accesses::Accesses;
pub use door::{Blocking, Failure, InPlace, ReadError};
pub use freshness::Freshness;
pub use lookup::{Next, Search, Served, Wanted};
pub use matching::Removal;
pub use report::Report;

/// The number of expired entries that one step of [`CacheEngine::cleanup_expired`] removes.
const CLEANUP_PAGE: usize = 500;

/// The time to live of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Ttl {
    /// The configured default.
    #[default]
    Default,
    /// The entry never expires.
    Forever,
    /// This many seconds from now.
    Seconds(f64),
}

/// What is stored with a value in a cache.
#[derive(Clone, Debug, Default)]
pub struct CacheAttributes {
    /// A description of the value.
    pub description: Option<String>,
    /// The user's metadata: a JSON object.
    pub metadata: Option<String>,
    /// The time to live of the entry.
    pub ttl: Ttl,
    /// How a function computed the value: see [`Freshness::code`].
    pub computed: Option<Computed>,
}

/// Counts since the cache was opened, in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads that returned a value.
    pub hits: u64,
    /// Reads that did not return a value.
    pub misses: u64,
    /// Entries written.
    pub puts: u64,
    /// Misses because of a damaged entry or a wrong signature.
    pub failures: u64,
    /// Evicted entries.
    pub evictions: u64,
}

impl Counts {
    /// Hits per read, 0 if nothing was read.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn hit_rate(&self) -> f64 {
        let reads = self.hits + self.misses;
        if reads == 0 { 0.0 } else { self.hits as f64 / reads as f64 }
    }
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    puts: AtomicU64,
    failures: AtomicU64,
}

/// The cache behind both front doors; handles payloads, not typed values.
pub struct CacheEngine {
    store: Store,
    default_ttl: Option<f64>,
    max_age: Option<Duration>,
    evictor: Option<Evictor>,
    /// Puts pin their entries: caches with limits on this directory do not evict them.
    pins: bool,
    counters: Counters,
    accesses: Accesses,
    closed: AtomicBool,
    flights: Arc<Flights>,
}

impl std::fmt::Debug for CacheEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheEngine").field("store", &self.store).finish_non_exhaustive()
    }
}

impl CacheEngine {
    /// A cache on `store`.
    pub fn new(store: Store, config: &CacheConfig) -> Result<Self> {
        config.check()?;
        let now = store.clock().now();
        let flights = Arc::new(Flights::new(store.locks().cloned(), config.flight_patience()?));
        let store = if config.storage_mode { store } else { store.that_forgets() };
        let (default_ttl, limits) = config.lifetimes();
        Ok(Self {
            store,
            default_ttl,
            max_age: limits.max_age_seconds.map(ttl_duration).transpose()?,
            evictor: Evictor::new(&limits),
            pins: config.storage_mode,
            counters: Counters::default(),
            accesses: Accesses::new(now),
            closed: AtomicBool::new(false),
            flights,
        })
    }

    /// The store underneath.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The default time to live in seconds; `None` if entries do not expire.
    #[must_use]
    pub fn default_ttl_seconds(&self) -> Option<f64> {
        self.default_ttl
    }

    /// Hits, misses and puts since the cache was opened, in this process.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { hits, misses, puts, failures } = &self.counters;
        Counts {
            hits: load(hits),
            misses: load(misses),
            puts: load(puts),
            failures: load(failures),
            evictions: self.evictor.as_ref().map_or(0, Evictor::evicted),
        }
    }

    fn refuse_if_closed(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the cache has been closed").with_hint("open it again"));
        }
        Ok(())
    }

    /// Fails if the cache is closed or read-only, even for no-ops.
    pub(crate) fn refuse_if_unwritable(&self) -> Result<()> {
        self.refuse_if_closed()?;
        self.store.refuse_if_read_only()
    }

    fn expires_at(&self, ttl: Ttl) -> Result<Option<Timestamp>> {
        let seconds = match ttl {
            Ttl::Default => self.default_ttl,
            Ttl::Forever => None,
            Ttl::Seconds(seconds) => Some(seconds),
        };
        let ttl = seconds.map(ttl_duration).transpose()?;
        let ttl = ttl.map_or(self.max_age, |ttl| Some(self.max_age.map_or(ttl, |max| ttl.min(max))));
        // An expiry after the last date that every calendar supports means never.
        Ok(ttl.map(|ttl| self.store.clock().now().saturating_add(ttl)).filter(|time| *time <= Timestamp::LAST_DATE))
    }

    /// Stores a value under `key`; returns the entry.
    pub fn put(&self, key: &EntryKey, encoded: Encoded<'_>, attributes: CacheAttributes) -> Result<Arc<Entry>> {
        self.put_with(Some(key), encoded, attributes, CustomRows::none())
    }

    /// Stores a value under the digest of its content, as [`Store::put_by_content`] does; returns the entry.
    pub fn put_by_content(&self, encoded: Encoded<'_>, attributes: CacheAttributes) -> Result<Arc<Entry>> {
        self.put_with(None, encoded, attributes, CustomRows::none())
    }

    /// Stores a value under `key`, or under the digest of its content, with rows of user-defined tables in the same
    /// transaction; returns the entry.
    ///
    /// # Errors
    /// Those of [`Store::put_with`].
    pub fn put_with(
        &self,
        key: Option<&EntryKey>,
        encoded: Encoded<'_>,
        attributes: CacheAttributes,
        rows: &CustomRows,
    ) -> Result<Arc<Entry>> {
        self.refuse_if_closed()?;
        let CacheAttributes { description, metadata, ttl, computed } = attributes;
        let max_bytes = self.evictor.as_ref().map(Evictor::max_bytes);
        let expires_at = self.expires_at(ttl)?;
        let attributes = PutAttributes { description, metadata, computed, expires_at, max_bytes, pinned: self.pins };
        if let Some(evictor) = &self.evictor {
            self.admit(evictor, key, encoded.payload.size())?;
        }
        let entry = match key {
            Some(key) => self.store.put_with(key, encoded, attributes, rows)?,
            None => self.store.put_by_content_with(encoded, attributes, rows)?,
        };
        self.counters.puts.fetch_add(1, Ordering::Relaxed);
        if let Some(evictor) = &self.evictor {
            let room = evictor.make_room(&self.store, &entry, entry.created_at, || self.flush_accesses());
            Self::warn_after_put(room);
        }
        Self::warn_after_put(self.flush_after_put(entry.created_at));
        Ok(entry)
    }

    /// Refuses a put into a full cache without eviction, unless removing expired entries makes space.
    fn admit(&self, evictor: &Evictor, key: Option<&EntryKey>, size: Option<u64>) -> Result<()> {
        let key = key.map(EntryKey::as_str);
        let admitted = evictor.admit(&self.store, key, size);
        let is_full = matches!(&admitted, Err(error) if error.kind() == ErrorKind::Full);
        // A value larger than the limit would not even fit into an empty cache.
        if is_full && size.unwrap_or(0) <= evictor.max_bytes() && self.cleanup_expired()? > 0 {
            return evictor.admit(&self.store, key, size);
        }
        admitted
    }

    /// The value is already stored: a later failure does not fail this put, and the next put retries.
    fn warn_after_put(done: Result<()>) {
        if let Err(error) = done {
            log::warn!(
                "a value is stored, but eviction or recording accesses failed afterwards: {}",
                error.with_causes()
            );
        }
    }

    /// The payload of `key`, if it is in the memory of this process and may be served. Counts a hit but no miss: the
    /// caller asks the backends next. Accesses no file and does not wait.
    fn serve_from_memory(&self, key: &EntryKey, max_age: Option<f64>, code: Option<Code>) -> Option<Stored> {
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        let stored = self.store.peek(key)?;
        let now = self.store.clock().now();
        // The other get refuses an invalid age.
        if !(Serving { code, ..self.serving(now, max_age).ok()? }).admits(stored.entry()) {
            return None;
        }
        // Flushing accesses may take a while: a get that waits anyway does it.
        if !self.note_access(stored.key(), now) {
            return None;
        }
        self.counters.hits.fetch_add(1, Ordering::Relaxed);
        Some(stored)
    }

    /// Which entries are served at `now`; `max_age` in seconds is set by one caller.
    #[inline]
    fn serving(&self, now: Timestamp, max_age: Option<f64>) -> Result<Serving> {
        let asked = max_age.map(|seconds| ttl_duration(seconds).map(|age| before(now, age))).transpose()?;
        let kept = self.max_age.map(|age| before(now, age).saturating_add(Duration::from_micros(1)));
        Ok(Serving { unexpired_at: now, oldest: asked.max(kept), code: None })
    }

    /// The payload of `key`, if there is an entry to serve. Counts a hit or a miss.
    #[inline]
    fn fetch_served(
        &self,
        key: &EntryKey,
        serving: Serving,
        now: Timestamp,
        options: ReadOptions,
        retry: &mut Retry,
    ) -> Result<Option<Box<Stored>>> {
        self.refuse_if_closed()?;
        let fetched = self.store.fetch_again(key, options, |entry| serving.admits(entry), retry);
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match fetched {
            Ok(Fetched::Found(stored)) => {
                count(&self.counters.hits);
                self.note_access_and_flush(stored.key(), now);
                Ok(Some(stored))
            }
            Ok(other) => {
                count(&self.counters.misses);
                if matches!(other, Fetched::Collision) {
                    log::warn!("entry {}: filed under this key for other parameters; counts as a miss", key.as_str());
                }
                Ok(None)
            }
            Err(error) => {
                count(&self.counters.misses);
                count(&self.counters.failures);
                Err(error)
            }
        }
    }

    /// The entry of `key` without its payload; `None` if it has expired, unless `expired_too`. Counts nothing.
    pub fn get_entry(&self, key: &EntryKey, expired_too: bool) -> Result<Option<EntrySummary>> {
        self.refuse_if_closed()?;
        let serving = self.serving(self.store.clock().now(), None)?;
        let Some(mut found) = self.store.get_entry(key.as_str())? else { return Ok(None) };
        let same = key.fingerprint().is_none_or(|asked| found.entry.fingerprint.as_ref() == Some(asked));
        if !same || !(expired_too || serving.admits(&found.entry)) {
            return Ok(None);
        }
        self.accesses.add_to(&mut found.entry);
        Ok(Some(found))
    }

    /// Whether there is an entry that has not expired. Counts nothing.
    pub fn exists(&self, key: &EntryKey) -> Result<bool> {
        self.exists_of(key, None)
    }

    /// Whether there is an entry that has not expired and was not computed by other code. Counts nothing.
    pub fn exists_of(&self, key: &EntryKey, code: Option<Code>) -> Result<bool> {
        self.refuse_if_closed()?;
        let serving = Serving { code, ..self.serving(self.store.clock().now(), None)? };
        if self.store.peek(key).is_some_and(|stored| serving.admits(stored.entry())) {
            return Ok(true);
        }
        Ok(self.get_entry(key, false)?.is_some_and(|found| serving.admits(&found.entry)))
    }

    /// Removes an entry; `false` if there was none.
    pub fn invalidate(&self, key: &EntryKey) -> Result<bool> {
        self.refuse_if_unwritable()?;
        let removed = match key.fingerprint() {
            None => self.store.delete(key.as_str())?,
            // Retries if the entry was touched or replaced after it was read: any version must be removed.
            Some(_) => loop {
                let Some(found) = self.get_entry(key, true)? else { break false };
                if self.store.delete_entry(&found.entry)? {
                    break true;
                }
            },
        };
        if removed {
            self.accesses.forget([key.as_str()]);
        }
        Ok(removed)
    }

    /// Removes the entries of these keys and returns their number. If the call fails, some may have been removed.
    pub fn invalidate_batch(&self, keys: &[EntryKey]) -> Result<u64> {
        self.refuse_if_closed()?;
        let mut keys: Vec<&EntryKey> = keys.iter().collect();
        let mut removed = 0;
        loop {
            let names: Vec<&str> = keys.iter().map(|key| key.as_str()).collect();
            let found = self.store.get_entries(&names)?;
            let is_meant = |key: &EntryKey, entry: &Entry| {
                key.fingerprint().is_none_or(|asked| entry.fingerprint.as_ref() == Some(asked))
            };
            let found = keys.iter().zip(found).filter_map(|(key, found)| found.filter(|it| is_meant(key, &it.entry)));
            let mut versions: Vec<_> = found.map(|found| found.entry.version()).collect();
            versions.sort_unstable();
            versions.dedup();
            let removal = self.delete_batch(&versions)?;
            removed += removal.count;
            if removal.changed.is_empty() {
                return Ok(removed);
            }
            keys.retain(|key| removal.changed.iter().any(|found| found.entry.key == key.as_str()));
        }
    }

    /// Resets the age of an entry as if it had just been put, with this time to live; `false` if there is no unexpired
    /// entry. Does not rewrite the payload.
    pub fn touch(&self, key: &EntryKey, ttl: Ttl) -> Result<bool> {
        self.refuse_if_unwritable()?;
        // An invalid time is an error whether there is an entry or not.
        self.expires_at(ttl)?;
        if !self.exists(key)? {
            return Ok(false);
        }
        Ok(self.touch_batch(&[key.as_str()], ttl)? > 0)
    }

    /// [`CacheEngine::touch`] for the entries of these keys; returns the number that had not expired.
    pub(crate) fn touch_batch(&self, keys: &[&str], ttl: Ttl) -> Result<u64> {
        self.refuse_if_unwritable()?;
        let expires_at = self.expires_at(ttl)?;
        let serving = self.serving(self.store.clock().now(), None)?;
        self.store.update_entries(keys, |entry| {
            let created_at = Some(self.store.clock().now());
            let update = EntryUpdate { created_at, expires_at: Some(expires_at), ..EntryUpdate::default() };
            Ok(serving.admits(entry).then_some(update))
        })
    }

    /// Pins an entry against eviction, or unpins it; `false` if there is none. A pinned entry still expires.
    pub fn set_pinned(&self, key: &EntryKey, pinned: bool) -> Result<bool> {
        self.refuse_if_unwritable()?;
        match self.get_entry(key, true)? {
            Some(_) => self.store.set_pinned(key.as_str(), pinned),
            None => Ok(false),
        }
    }

    /// Removes all entries that have expired or are too old to be served, and returns their number. A pinned, unexpired
    /// entry stays, whatever its age: this cache does not serve it, but another cache or a store may.
    pub fn cleanup_expired(&self) -> Result<u64> {
        self.refuse_if_unwritable()?;
        let now = self.store.clock().now();
        let serving = self.serving(now, None)?;
        // Expired entries have an index; entries put under a longer time to live must be searched for.
        let expired_at = serving.oldest.is_none().then_some(now);
        let pinned = if expired_at.is_none() { self.store.pinned()? } else { Vec::new() };
        let stays = |entry: &Entry| !is_expired(entry, now) && pinned.binary_search(&entry.key).is_ok();
        let mut removed = 0;
        let mut after: Option<String> = None;
        loop {
            let query = Query { expired_at, ..Query::default() };
            let page = Page { after: after.as_deref(), limit: CLEANUP_PAGE, offset: 0 };
            let page = self.store.metadata().select(&query, &page)?;
            let doomed = page.iter().filter(|found| !serving.admits(&found.entry) && !stays(&found.entry));
            // Entries touched or replaced meanwhile are fresh.
            removed += self.delete_batch(&doomed.map(|found| found.entry.version()).collect::<Vec<_>>())?.count;
            if page.len() < CLEANUP_PAGE {
                return Ok(removed);
            }
            after = page.last().map(|last| last.entry.key.clone());
        }
    }

    /// Removes all entries and returns their number.
    pub fn clear(&self) -> Result<u64> {
        self.refuse_if_closed()?;
        self.accesses.clear();
        self.store.clear()
    }

    /// Calls `visit` with every entry, expired ones too, in the order of the keys; accesses are up to date.
    pub fn for_each(&self, mut visit: impl FnMut(EntrySummary) -> Result<()>) -> Result<()> {
        self.refuse_if_closed()?;
        self.flush_before_reading()?;
        self.store.for_each("", |mut found| {
            self.accesses.add_to(&mut found.entry);
            visit(found)
        })
    }

    /// At most `limit` entries whose keys come after `after`, expired ones too, in the order of the keys.
    pub fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<EntrySummary>> {
        self.select(&Query::default(), &Page { after, limit, offset: 0 })
    }

    /// Runs a query in SQL: see [`Store::sql`]. It sees expired entries too; accesses are up to date.
    pub fn sql(&self, sql: &Sql<'_>) -> Result<SqlRows> {
        self.refuse_if_closed()?;
        self.flush_before_reading()?;
        self.store.sql(sql)
    }

    /// The keys of all entries or of those that are served, in order, from at most `limit` entries after `after`. Also
    /// returns where to continue, `None` after the last entry.
    pub fn keys(&self, after: Option<&str>, limit: usize, expired_too: bool) -> Result<(Vec<String>, Option<String>)> {
        let serving = self.serving(self.store.clock().now(), None)?;
        let page = self.page(after, limit)?;
        let next = page.last().filter(|_| page.len() == limit).map(|last| last.entry.key.clone());
        let wanted = page.into_iter().filter(|found| expired_too || serving.admits(&found.entry));
        Ok((wanted.map(|found| found.entry.key).collect(), next))
    }

    /// Removes the entries that were neither replaced nor touched meanwhile.
    pub fn delete_batch(&self, versions: &[EntryVersion]) -> Result<Removal> {
        self.refuse_if_closed()?;
        let others = self.store.delete_batch(versions)?;
        self.accesses.forget(versions.iter().map(|version| version.key.as_str()));
        let keys: Vec<&str> = others.iter().map(|version| version.key.as_str()).collect();
        let changed = self.store.get_entries(&keys)?.into_iter().flatten().collect();
        Ok(Removal { count: (versions.len() - others.len()) as u64, changed })
    }

    /// The number of entries and their bytes, including expired ones until they are cleaned up.
    pub fn totals(&self) -> Result<Totals> {
        self.refuse_if_closed()?;
        self.store.totals()
    }

    /// When the oldest and the newest entry were put; `None` if there are none. Scans all entries.
    pub fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        self.refuse_if_closed()?;
        self.store.created_range()
    }

    /// The keys of all pinned entries, in ascending order.
    pub fn pinned(&self) -> Result<Vec<String>> {
        self.refuse_if_closed()?;
        self.store.pinned()
    }

    /// Flushes accesses and releases all resources; closing twice is no error.
    pub fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let mut flushed = self.flush_accesses();
        if let Err(error) = flushed.as_ref()
            && error.is_no_space()
        {
            // No value is lost.
            log::warn!("the cache is closed without recording its last accesses: {}", error.with_causes());
            flushed = Ok(());
        }
        self.accesses.clear();
        self.store.close()?;
        flushed
    }

    /// Whether [`CacheEngine::close`] has been called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

impl Drop for CacheEngine {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            log::warn!("while closing the cache: {}", error.with_causes());
        }
    }
}

/// Which entries are served.
#[derive(Clone, Copy, Debug)]
struct Serving {
    /// Entries that have not expired then,
    unexpired_at: Timestamp,
    /// were not put earlier than this,
    oldest: Option<Timestamp>,
    /// and were not computed by other code.
    code: Option<Code>,
}

impl Serving {
    #[inline]
    fn admits(self, entry: &Entry) -> bool {
        !is_expired(entry, self.unexpired_at)
            && self.oldest.is_none_or(|oldest| entry.created_at >= oldest)
            && self.code.is_none_or(|code| !entry.is_of_other_code(code))
    }
}

/// Whether `entry` has expired at `now`; at the moment of expiry it has.
#[must_use]
pub fn is_expired(entry: &Entry, now: Timestamp) -> bool {
    entry.expires_at.is_some_and(|expires_at| expires_at <= now)
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)))
}
