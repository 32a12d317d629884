//! The typed cache.

mod compute;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cacheness_core::cache::{CacheAttributes, CacheEngine, Counts, Ttl};
use cacheness_core::clock::{Clock, Timestamp};
use cacheness_core::config::{CacheConfig, Codec, Durability, EvictionPolicy, StoreConfig};
use cacheness_core::entry::Totals;
use cacheness_core::handler::{Handler, Storable};
use cacheness_core::payload::{Encoded, Stored};
use cacheness_core::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::directory::{Access, Place, open_store};
use crate::info::EntryInfo;
use crate::key::IntoEntryKey;

pub use compute::ComputeOptions;

/// What is put beside a value: metadata, a description, a time to live.
///
/// ```
/// # use cacheness::PutOptions;
/// # use std::time::Duration;
/// let options = PutOptions::new()
///     .metadata(serde_json::json!({ "accuracy": 0.95 }))
///     .description("baseline")
///     .ttl(Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    metadata: Option<std::result::Result<serde_json::Value, String>>,
    description: Option<String>,
    ttl: Ttl,
}

impl PutOptions {
    /// Nothing beside the value; the cache's time to live.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Metadata that listings show and SQL can query: a map or struct with named fields.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Serialize) -> Self {
        self.metadata = Some(serde_json::to_value(metadata).map_err(|e| e.to_string()));
        self
    }

    /// A sentence about the value.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// How long the entry is served.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Ttl::Seconds(ttl.as_secs_f64());
        self
    }

    /// The entry is served for ever, whatever the cache's default is.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.ttl = Ttl::Forever;
        self
    }

    pub(crate) fn into_attributes(self) -> Result<CacheAttributes> {
        let metadata = match self.metadata {
            None => None,
            Some(Ok(value @ serde_json::Value::Object(_))) => Some(value.to_string()),
            Some(Ok(_)) => {
                return Err(Error::new(ErrorKind::InvalidInput, "the metadata is not a map")
                    .with_hint("give a struct or a map with names as keys"));
            }
            Some(Err(error)) => {
                return Err(Error::new(ErrorKind::Serialization, format!("the metadata cannot be stored: {error}")));
            }
        };
        Ok(CacheAttributes { description: self.description, metadata, ttl: self.ttl })
    }
}

/// Opens a [`Cache`] with options.
///
/// ```
/// # use cacheness::prelude::*;
/// # use std::time::Duration;
/// # fn main() -> cacheness::Result<()> {
/// let cache = Cache::builder().in_memory().default_ttl(Duration::from_secs(60)).open()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct CacheBuilder {
    place: Place,
    access: Access,
    config: CacheConfig,
    clock: Clock,
}

impl Default for CacheBuilder {
    fn default() -> Self {
        Self {
            place: Place::Directory(PathBuf::from("./cache")),
            access: Access::default(),
            config: CacheConfig::default(),
            clock: Clock::system(),
        }
    }
}

impl CacheBuilder {
    /// As the environment says: `CACHENESS_DIR`, `CACHENESS_MAX_SIZE_MB`, `CACHENESS_DEFAULT_TTL_SECONDS`,
    /// `CACHENESS_COMPRESSION_CODEC`, `CACHENESS_COMPRESSION_LEVEL`. What is called on the builder goes before it.
    ///
    /// # Errors
    /// `InvalidInput` for a variable whose value makes no sense.
    pub fn from_env() -> Result<Self> {
        let mut builder = Self::default();
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        fn parse<T: std::str::FromStr>(name: &str, value: &str) -> Result<T> {
            value.parse().map_err(|_| {
                Error::new(ErrorKind::InvalidInput, format!("the environment variable {name} is {value:?}"))
                    .with_hint("give a number")
            })
        }
        if let Some(directory) = set("CACHENESS_DIR") {
            builder.place = Place::Directory(directory.into());
        }
        if let Some(value) = set("CACHENESS_MAX_SIZE_MB") {
            builder.config.limits.max_cache_size_mb = Some(parse("CACHENESS_MAX_SIZE_MB", &value)?);
        }
        if let Some(value) = set("CACHENESS_DEFAULT_TTL_SECONDS") {
            builder.config.default_ttl_seconds = Some(parse("CACHENESS_DEFAULT_TTL_SECONDS", &value)?);
        }
        if let Some(value) = set("CACHENESS_BACKEND") {
            builder.config.store.default_metadata_backend = value;
        }
        let compression = &mut builder.config.store.compression;
        if let Some(value) = set("CACHENESS_COMPRESSION_CODEC") {
            let codec = Codec::from_name(&value);
            compression.pickle_compression_codec = codec.map_err(|e| {
                e.with_kind(ErrorKind::InvalidInput).within("the environment variable CACHENESS_COMPRESSION_CODEC")
            })?;
        }
        if let Some(value) = set("CACHENESS_COMPRESSION_LEVEL") {
            compression.pickle_compression_level = parse("CACHENESS_COMPRESSION_LEVEL", &value)?;
        }
        Ok(builder)
    }

    /// The options as they are now.
    #[must_use]
    pub fn options(&self) -> &CacheConfig {
        &self.config
    }

    /// In this directory; `./cache` if neither this nor [`in_memory`](Self::in_memory) is called.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.place = Place::Directory(directory.into());
        self
    }

    /// In memory.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.place = Place::Memory;
        self
    }

    /// Nothing is written, and the store must be there.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.access = Access::ReadOnly;
        self
    }

    /// The store must be there.
    #[must_use]
    pub fn existing(mut self) -> Self {
        self.access = Access::Existing;
        self
    }

    /// How long entries are served unless their put says otherwise.
    #[must_use]
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.config.default_ttl_seconds = Some(ttl.as_secs_f64());
        self
    }

    /// How many megabytes (2^20 bytes) of values it holds at most; 10,000 by default.
    #[must_use]
    pub fn max_size_mb(mut self, megabytes: f64) -> Self {
        self.config.limits.max_cache_size_mb = Some(megabytes);
        self
    }

    /// How many entries it holds at most; any number by default.
    #[must_use]
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.config.limits.max_entries = Some(entries);
        self
    }

    /// How long an entry is served at most, whatever its own time to live.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.config.limits.max_age_seconds = Some(age.as_secs_f64());
        self
    }

    /// What goes first when it is full; least recently used by default.
    #[must_use]
    pub fn eviction_policy(mut self, policy: EvictionPolicy) -> Self {
        self.config.limits.eviction_policy = policy;
        self
    }

    /// What the store survives.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.config.store.durability = durability;
        self
    }

    /// Keeps the entries of a new directory in this [metadata backend](crate::METADATA_BACKENDS): `sqlite`, the default, or
    /// `json`. A directory that is there says itself which it has; naming another one is an error.
    #[must_use]
    pub fn metadata_backend(mut self, name: impl Into<String>) -> Self {
        self.config.store.metadata_backend = Some(name.into());
        self
    }

    /// Replaces all options of the store.
    #[must_use]
    pub fn store_config(mut self, config: StoreConfig) -> Self {
        self.config.store = config;
        self
    }

    /// Replaces all options.
    #[must_use]
    pub fn config(mut self, config: CacheConfig) -> Self {
        self.config = config;
        self
    }

    /// Takes the time from this clock, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the cache, making its directory where there is none.
    ///
    /// # Errors
    /// `NotAStore`, `NewerFormat`, `ReadOnly`, `InvalidInput`: see [`ErrorKind`].
    pub fn open(self) -> Result<Cache> {
        Ok(Cache { engine: Arc::new(self.open_engine()?), place: Arc::new(self.place) })
    }

    pub(crate) fn open_engine(&self) -> Result<CacheEngine> {
        self.config.check()?;
        let store = open_store(&self.place, self.config.store.clone(), self.access, self.clock.clone())?;
        CacheEngine::new(store, &self.config)
    }
}

/// Counts and totals of a cache.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries and bytes in the store.
    pub totals: Totals,
    /// Hits, misses and puts of this process since the cache was opened.
    pub counts: Counts,
}

/// A cache of typed values. Clones share one cache; it may be used from many threads.
///
/// ```
/// use cacheness::prelude::*;
///
/// # fn main() -> cacheness::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("cache");
/// let cache = Cache::open(&path)?;
/// cache.put(&vec![0.91, 0.93], params! { model: "xgboost", fold: 3 })?;
/// let scores: Option<Vec<f64>> = cache.get(params! { model: "xgboost", fold: 3 })?;
/// assert_eq!(scores, Some(vec![0.91, 0.93]));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Cache {
    engine: Arc<CacheEngine>,
    place: Arc<Place>,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Cache {
    /// Opens the cache in `directory`, which is made where there is none.
    ///
    /// # Errors
    /// See [`CacheBuilder::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        Self::builder().directory(directory.as_ref()).open()
    }

    /// Opens a cache with options.
    #[must_use]
    pub fn builder() -> CacheBuilder {
        CacheBuilder::default()
    }

    /// The engine underneath, which speaks of payloads instead of values.
    #[must_use]
    pub fn engine(&self) -> &CacheEngine {
        &self.engine
    }

    /// Stores `value` under `key`, replacing what is there; returns the key as text.
    ///
    /// Durable as the cache's [`Durability`] says when it returns; after an error the former value is still there.
    ///
    /// # Errors
    /// `KeyEncoding`, `Serialization`, `Storage`, `Metadata`, `ReadOnly`, `Closed`.
    pub fn put<T: Storable>(&self, value: &T, key: impl IntoEntryKey) -> Result<String> {
        self.put_with(value, key, PutOptions::default())
    }

    /// Stores `value` with metadata, a description or a time to live of its own.
    ///
    /// # Errors
    /// Those of [`Cache::put`].
    pub fn put_with<T: Storable>(&self, value: &T, key: impl IntoEntryKey, options: PutOptions) -> Result<String> {
        let encoded = value.encode(&self.engine.store().config().compression)?;
        self.put_encoded(encoded, key, options)
    }

    /// Stores `value` through a handler of your own.
    ///
    /// # Errors
    /// Those of [`Cache::put`], and the handler's.
    pub fn put_with_handler<H: Handler>(
        &self,
        handler: &H,
        value: &H::Value,
        key: impl IntoEntryKey,
        options: PutOptions,
    ) -> Result<String> {
        let encoded = handler.encode(value, &self.engine.store().config().compression)?;
        self.put_encoded(encoded, key, options)
    }

    fn put_encoded(&self, encoded: Encoded<'_>, key: impl IntoEntryKey, options: PutOptions) -> Result<String> {
        let key = key.into_entry_key(&self.engine.store().config().serialization)?;
        Ok(self.engine.put(&key, encoded, options.into_attributes()?)?.key.clone())
    }

    /// The value of `key`, or `None` if there is none or it has expired.
    ///
    /// A damaged entry or a wrong signature is logged and counts as a miss.
    ///
    /// # Errors
    /// `Unsupported` if the value is of another kind, `Serialization` if it does not fit `T`; `Metadata`, `Storage`,
    /// `Closed`.
    pub fn get<T: Storable>(&self, key: impl IntoEntryKey) -> Result<Option<T>> {
        Ok(self.fetch(key)?.map(|stored| self.decode(*stored, T::decode)).transpose()?.flatten())
    }

    /// The value of `key` through a handler of your own.
    ///
    /// # Errors
    /// Those of [`Cache::get`], and the handler's.
    pub fn get_with_handler<H: Handler>(&self, handler: &H, key: impl IntoEntryKey) -> Result<Option<H::Value>> {
        Ok(self.fetch(key)?.map(|stored| self.decode(*stored, |s| handler.decode(s))).transpose()?.flatten())
    }

    /// The value of `key` and what is known of it.
    ///
    /// # Errors
    /// Those of [`Cache::get`].
    pub fn get_with_metadata<T: Storable>(&self, key: impl IntoEntryKey) -> Result<Option<(T, EntryInfo)>> {
        let Some(stored) = self.fetch(key)? else { return Ok(None) };
        let info = EntryInfo::of(stored.entry());
        Ok(self.decode(*stored, T::decode)?.map(|value| (value, info)))
    }

    fn fetch(&self, key: impl IntoEntryKey) -> Result<Option<Box<Stored>>> {
        let store = self.engine.store();
        let key = key.into_entry_key(&store.config().serialization)?;
        match self.engine.get(&key, None, store.read_options()) {
            Err(error) if counts_as_miss(&error) => {
                log::warn!("{error}; counts as a miss");
                Ok(None)
            }
            other => other,
        }
    }

    fn decode<T>(&self, stored: Stored, decode: impl FnOnce(Stored) -> Result<T>) -> Result<Option<T>> {
        match decode(stored) {
            Ok(value) => Ok(Some(value)),
            Err(error) if counts_as_miss(&error) => {
                self.engine.hit_failed();
                log::warn!("{error}; counts as a miss");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What is known of the entry of `key`, without reading its value; `None` if there is none or it has expired.
    ///
    /// # Errors
    /// `KeyEncoding`, `Metadata`, `Closed`.
    pub fn get_metadata(&self, key: impl IntoEntryKey) -> Result<Option<EntryInfo>> {
        let key = key.into_entry_key(&self.engine.store().config().serialization)?;
        Ok(self.engine.get_entry(&key, false)?.map(EntryInfo::from))
    }

    /// Whether there is an entry that has not expired.
    ///
    /// # Errors
    /// `KeyEncoding`, `Metadata`, `Closed`.
    pub fn exists(&self, key: impl IntoEntryKey) -> Result<bool> {
        Ok(self.get_metadata(key)?.is_some())
    }

    /// Removes an entry; `false` if there was none.
    ///
    /// # Errors
    /// `KeyEncoding`, `Metadata`, `ReadOnly`, `Closed`.
    pub fn invalidate(&self, key: impl IntoEntryKey) -> Result<bool> {
        let key = key.into_entry_key(&self.engine.store().config().serialization)?;
        self.engine.invalidate(&key)
    }

    /// Makes an entry as fresh as if it had just been put, with this time to live (`None` for the default); `false` if
    /// there is none that has not expired.
    ///
    /// # Errors
    /// `KeyEncoding`, `Metadata`, `ReadOnly`, `Closed`; `Signature` where the entry's is wrong.
    pub fn touch(&self, key: impl IntoEntryKey, ttl: Option<Duration>) -> Result<bool> {
        let key = key.into_entry_key(&self.engine.store().config().serialization)?;
        self.engine.touch(&key, ttl.map_or(Ttl::Default, |ttl| Ttl::Seconds(ttl.as_secs_f64())))
    }

    /// Keeps an entry from being evicted; `false` if there is none. It expires all the same, and a put under the same key
    /// leaves it pinned.
    ///
    /// # Errors
    /// `KeyEncoding`, `Metadata`, `ReadOnly`, `Closed`.
    pub fn pin(&self, key: impl IntoEntryKey) -> Result<bool> {
        self.engine.set_pinned(&key.into_entry_key(&self.engine.store().config().serialization)?, true)
    }

    /// Lets an entry be evicted again; `false` if there is none.
    ///
    /// # Errors
    /// `KeyEncoding`, `Metadata`, `ReadOnly`, `Closed`.
    pub fn unpin(&self, key: impl IntoEntryKey) -> Result<bool> {
        self.engine.set_pinned(&key.into_entry_key(&self.engine.store().config().serialization)?, false)
    }

    /// All entries, in the order of their keys.
    ///
    /// # Errors
    /// `Metadata`, `Closed`.
    pub fn list_entries(&self) -> Result<Vec<EntryInfo>> {
        let mut entries = Vec::new();
        self.for_each_entry(|entry| {
            entries.push(entry);
            Ok(())
        })?;
        Ok(entries)
    }

    /// Calls `visit` with every entry, in the order of the keys; needs no memory for all of them.
    ///
    /// # Errors
    /// `Metadata`, `Closed`, and those of `visit`, which end the walk.
    pub fn for_each_entry(&self, mut visit: impl FnMut(EntryInfo) -> Result<()>) -> Result<()> {
        self.engine.for_each(|summary| visit(summary.into()))
    }

    /// Totals of the store, and counts of this process.
    ///
    /// # Errors
    /// `Metadata`, `Closed`.
    pub fn stats(&self) -> Result<Stats> {
        Ok(Stats { totals: self.engine.totals()?, counts: self.engine.counts() })
    }

    /// The keys of all pinned entries, in ascending order.
    ///
    /// # Errors
    /// `Metadata`, `Closed`.
    pub fn pinned(&self) -> Result<Vec<String>> {
        self.engine.pinned()
    }

    /// When the oldest and the newest entry were put; `None` if there are none. Looks at all entries, which takes a
    /// second or so for millions.
    ///
    /// # Errors
    /// `Metadata`, `Closed`.
    pub fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        self.engine.created_range()
    }

    /// Removes all expired entries and returns how many.
    ///
    /// # Errors
    /// `Metadata`, `ReadOnly`, `Closed`.
    pub fn cleanup_expired(&self) -> Result<u64> {
        self.engine.cleanup_expired()
    }

    /// Removes all entries and returns how many there were.
    ///
    /// # Errors
    /// `Metadata`, `ReadOnly`, `Closed`.
    pub fn clear(&self) -> Result<u64> {
        self.engine.clear()
    }

    /// Writes down what is pending and releases all resources; dropping the last clone does the same. Later calls fail
    /// with `Closed`.
    ///
    /// # Errors
    /// `Metadata`.
    pub fn close(&self) -> Result<()> {
        self.engine.close()
    }
}

/// Whether a cache answers this error with "nothing there": the value can be computed again.
pub fn counts_as_miss(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Integrity | ErrorKind::Signature)
}
