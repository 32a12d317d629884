//! The typed cache.

mod builder;
mod compute;
mod many;
mod options;
mod sources;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cacheness_core::Result;
use cacheness_core::cache::{CacheEngine, Counts, InPlace, Ttl};
use cacheness_core::clock::Timestamp;
use cacheness_core::config::CacheConfig;
use cacheness_core::entry::Totals;
use cacheness_core::payload::{Encoded, Stored};
use cacheness_core::storable::{AsStorable, Loadable, Storable};
use cacheness_core::store::Store;

use crate::info::EntryInfo;
use crate::key::IntoEntryKey;
use crate::place::Place;

pub use builder::CacheBuilder;
pub use compute::ComputeOptions;
pub use options::{GetOptions, PutOptions};

/// Entries that a listing reads at once.
const PAGE: usize = 1000;

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
    /// `None` if the caller has opened the store.
    place: Option<Arc<Place>>,
}

/// Shows the location, the number of entries and megabytes, and the hits of this process's reads.
impl fmt::Debug for Cache {
    #[allow(clippy::cast_precision_loss)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Cache");
        match self.place.as_deref() {
            Some(Place::Directory(path)) => shown.field("directory", path),
            Some(Place::Memory) | None => shown.field("directory", &None::<()>),
        };
        shown.field("backend", &self.engine.store().metadata().name());
        if self.engine.is_closed() {
            return shown.field("closed", &true).finish();
        }
        match self.stats() {
            Ok(Stats { totals, counts }) => shown
                .field("entries", &totals.entries)
                .field("size_mb", &format_args!("{:.1}", totals.bytes as f64 / 1_048_576.0))
                .field("hit_rate", &format_args!("{:.2}", counts.hit_rate())),
            Err(error) => shown.field("error", &format_args!("{error}")),
        };
        shown.finish()
    }
}

impl Cache {
    /// Opens the cache in `directory`, which is created if missing.
    ///
    /// # Errors
    /// See [`CacheBuilder::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        Self::builder().directory(directory.as_ref()).open()
    }

    /// Opens the cache of a URL, as [`CacheBuilder::url`] describes it.
    ///
    /// ```
    /// # use cacheness::prelude::*;
    /// # fn main() -> cacheness::Result<()> {
    /// let cache = Cache::open_url("memory://")?;
    /// cache.put(0.95, params! { model: "xgboost" })?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput`: the URL is malformed. Those of [`CacheBuilder::open`].
    pub fn open_url(url: impl Into<String>) -> Result<Self> {
        Self::builder().url(url).open()
    }

    /// Opens a cache with options.
    #[must_use]
    pub fn builder() -> CacheBuilder {
        CacheBuilder::default()
    }

    /// A cache on a store that the caller has assembled, for example from custom backends. Only the cache's options of
    /// `config` are used (time to live, limits); the store already has its own.
    ///
    /// ```
    /// use cacheness::core::backends::{MemoryBlobs, MemoryMetadata};
    /// use cacheness::core::store::Store;
    /// use cacheness::{CacheConfig, Clock, StoreConfig, prelude::*};
    /// use std::sync::Arc;
    ///
    /// # fn main() -> cacheness::Result<()> {
    /// let (metadata, blobs) = (Box::new(MemoryMetadata::new()), Arc::new(MemoryBlobs::new()));
    /// let store = Store::new(metadata, blobs, None, StoreConfig::default(), Clock::system());
    /// let config = CacheConfig { default_ttl_seconds: Some(60.0), ..CacheConfig::default() };
    /// let cache = Cache::from_store(store, &config)?;
    /// cache.put(0.95, params! { model: "xgboost" })?;
    /// assert_eq!(cache.get::<f64>(params! { model: "xgboost" })?, Some(0.95));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput`: an option of the cache is invalid.
    pub fn from_store(store: Store, config: &CacheConfig) -> Result<Self> {
        Ok(Self { engine: Arc::new(CacheEngine::new(store, config)?), place: None })
    }

    /// The underlying engine, which handles payloads instead of values.
    #[must_use]
    pub fn engine(&self) -> &CacheEngine {
        &self.engine
    }

    /// Stores `value` under `key`, replacing an existing entry; returns the key as text.
    ///
    /// Takes a value or a reference to one; also text, slices, views of arrays, and values in `Cow`, `Arc` or `Rc`:
    ///
    /// ```
    /// # use cacheness::prelude::*;
    /// # fn main() -> cacheness::Result<()> {
    /// # let cache = Cache::builder().in_memory().open()?;
    /// cache.put("some text", params! { part: 1 })?;
    /// cache.put(&[0.91, 0.93][..], params! { part: 2 })?;
    /// cache.put(42, params! { part: 3 })?;
    /// assert_eq!(cache.get::<String>(params! { part: 1 })?.as_deref(), Some("some text"));
    /// assert_eq!(cache.get::<Vec<f64>>(params! { part: 2 })?, Some(vec![0.91, 0.93]));
    /// # Ok(()) }
    /// ```
    ///
    /// When it returns, the entry is as durable as the cache's [`Durability`](crate::Durability) says. After an error
    /// the previous value is intact.
    ///
    /// # Errors
    /// `KeyEncoding`, `Serialization`, `Storage`, `Metadata`, `ReadOnly`, `Closed`.
    pub fn put<How>(&self, value: impl AsStorable<How>, key: impl IntoEntryKey) -> Result<String> {
        self.put_with(value, key, PutOptions::default())
    }

    /// Stores `value` with metadata, rows of a [model](trait@crate::MetadataModel), a description or its own time to live.
    ///
    /// # Errors
    /// Those of [`Cache::put`]; with rows also `Constraint` if a table refuses one (the error names the column, and the former
    /// entry stays, with its rows), `Unsupported` by the metadata backend, and `InvalidInput` for a value that its column
    /// cannot keep, and for a table that exists and cannot be changed to what the model says.
    pub fn put_with<How>(
        &self,
        value: impl AsStorable<How>,
        key: impl IntoEntryKey,
        options: impl Into<PutOptions>,
    ) -> Result<String> {
        let encoded = value.as_storable().encode(&self.engine.store().config().compression)?;
        self.put_encoded(encoded, key, options.into())
    }

    /// Replaces the value of an entry and keeps its key, description and metadata. Its age restarts as after a put,
    /// with this time to live (`None` for the default). `false` if there is no unexpired entry; [`put`](Self::put)
    /// creates one.
    ///
    /// ```
    /// # use cacheness::prelude::*;
    /// # fn main() -> cacheness::Result<()> {
    /// # let cache = Cache::builder().in_memory().open()?;
    /// cache.put_with("draft", params! { text: 1 }, PutOptions::new().description("a letter"))?;
    /// assert!(cache.update_data("final", params! { text: 1 }, None)?);
    /// let (text, entry) = cache.get_with_metadata::<String>(params! { text: 1 })?.expect("it is there");
    /// assert_eq!((&*text, entry.description()), ("final", Some("a letter")));
    /// assert!(!cache.update_data("nothing there", params! { text: 2 }, None)?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of [`Cache::put`]; `InvalidInput` for an entry named by a key whose parameters were not kept.
    pub fn update_data<How>(
        &self,
        value: impl AsStorable<How>,
        key: impl IntoEntryKey,
        ttl: Option<Duration>,
    ) -> Result<bool> {
        let key = self.entry_key(key)?;
        let Some((key, attributes)) = self.engine.replacing(key, ttl_of(ttl))? else { return Ok(false) };
        let encoded = value.as_storable().encode(&self.engine.store().config().compression)?;
        self.engine.put(&key, encoded, attributes)?;
        Ok(true)
    }

    fn put_encoded(&self, encoded: Encoded<'_>, key: impl IntoEntryKey, mut options: PutOptions) -> Result<String> {
        let store = self.engine.store();
        let key = key.into_entry_key(&store.config().serialization)?;
        let (schemas, rows) = options.take_rows()?;
        schemas.iter().try_for_each(|schema| store.register_schema(schema))?;
        Ok(self.engine.put_with(Some(&key), encoded, options.into_attributes()?, &rows)?.key.clone())
    }

    /// The value of `key`, or `None` if there is none or it has expired.
    ///
    /// A damaged entry or a wrong signature is logged and counts as a miss.
    ///
    /// # Errors
    /// `Unsupported` if the value is of another kind, `Serialization` if it does not fit `T`; `Metadata`, `Storage`,
    /// `Closed`.
    pub fn get<T: Loadable>(&self, key: impl IntoEntryKey) -> Result<Option<T>> {
        self.get_with(key, GetOptions::default())
    }

    /// The value of `key`, if it satisfies the options, such as a maximum age.
    ///
    /// # Errors
    /// Those of [`Cache::get`]; `InvalidInput` for an age that is too large.
    pub fn get_with<T: Loadable>(&self, key: impl IntoEntryKey, options: GetOptions) -> Result<Option<T>> {
        self.read(key, options, T::decode)
    }

    /// A part of a stored array: the items in `ranges`, one per dimension. Reads only what it needs, so it checks the
    /// entry's signature but not the payload's hash, which covers the whole.
    ///
    /// ```
    /// # use cacheness::prelude::*;
    /// # use ndarray::Array2;
    /// # let dir = tempfile::tempdir()?;
    /// # let cache = Cache::open(dir.path())?;
    /// let table = Array2::from_shape_fn((1000, 8), |(row, column)| (row * 8 + column) as f64);
    /// cache.put(&table, params! { table: 1 })?;
    /// let part: Option<Array2<f64>> = cache.get_slice(params! { table: 1 }, &[10..12, 0..3])?;
    /// assert_eq!(part.unwrap()[[1, 2]], 90.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Cache::get`]; `InvalidInput` for ranges outside the array.
    #[cfg(feature = "ndarray")]
    pub fn get_slice<A, D>(
        &self,
        key: impl IntoEntryKey,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Option<ndarray::Array<A, D>>>
    where
        A: cacheness_core::formats::array::Element,
        D: ndarray::Dimension,
    {
        self.read(key, GetOptions::default(), |stored| {
            cacheness_core::formats::array::slice_ndarray(stored, ranges, false)
        })
    }

    /// The value of `key` and its metadata.
    ///
    /// # Errors
    /// Those of [`Cache::get`].
    pub fn get_with_metadata<T: Loadable>(&self, key: impl IntoEntryKey) -> Result<Option<(T, EntryInfo)>> {
        self.read(key, GetOptions::default(), |stored| {
            let info = EntryInfo::of(stored.entry());
            Ok((T::decode(stored)?, info))
        })
    }

    fn read<T>(
        &self,
        key: impl IntoEntryKey,
        options: GetOptions,
        decode: impl FnMut(Stored) -> Result<T>,
    ) -> Result<Option<T>> {
        let store = self.engine.store();
        let key = key.into_entry_key(&store.config().serialization)?;
        self.engine.read(&key, options.max_age_seconds(), store.read_options(), &InPlace, decode)
    }

    /// The metadata of the entry of `key`, without reading its value; `None` if there is none or it has expired.
    ///
    /// # Errors
    /// `KeyEncoding`, `Metadata`, `Closed`.
    pub fn get_metadata(&self, key: impl IntoEntryKey) -> Result<Option<EntryInfo>> {
        let key = key.into_entry_key(&self.engine.store().config().serialization)?;
        Ok(self.engine.get_entry(&key, false)?.map(EntryInfo::from))
    }

    /// The metadata of the entry of `key`, even if it has expired; `None` if there is none.
    ///
    /// ```
    /// # use cacheness::{Clock, Timestamp, prelude::*};
    /// # use std::time::Duration;
    /// # fn main() -> cacheness::Result<()> {
    /// # let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
    /// let cache = Cache::builder().in_memory().clock(clock.clone()).open()?;
    /// cache.put_with(&42, params! { x: 1 }, PutOptions::new().ttl(Duration::from_secs(10)))?;
    /// clock.advance(11_000_000);
    /// assert!(cache.get_metadata(params! { x: 1 })?.is_none());
    /// let entry = cache.get_entry(params! { x: 1 })?.expect("it has expired and is still there");
    /// assert!(entry.expires_at() < Some(clock.now()));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `KeyEncoding`, `Metadata`, `Closed`.
    pub fn get_entry(&self, key: impl IntoEntryKey) -> Result<Option<EntryInfo>> {
        let key = key.into_entry_key(&self.engine.store().config().serialization)?;
        Ok(self.engine.get_entry(&key, true)?.map(EntryInfo::from))
    }

    /// Whether there is an unexpired entry. Does not read its value.
    ///
    /// # Errors
    /// `KeyEncoding`, `Metadata`, `Closed`.
    pub fn exists(&self, key: impl IntoEntryKey) -> Result<bool> {
        self.engine.exists(&key.into_entry_key(&self.engine.store().config().serialization)?)
    }

    /// Removes an entry; `false` if there was none.
    ///
    /// # Errors
    /// `KeyEncoding`, `Metadata`, `ReadOnly`, `Closed`.
    pub fn invalidate(&self, key: impl IntoEntryKey) -> Result<bool> {
        let key = key.into_entry_key(&self.engine.store().config().serialization)?;
        self.engine.invalidate(&key)
    }

    /// Restarts the age of an entry as if it had just been put, with this time to live (`None` for the default);
    /// `false` if there is no unexpired entry.
    ///
    /// # Errors
    /// `KeyEncoding`, `Metadata`, `ReadOnly`, `Closed`; `Signature` if the entry's signature is wrong.
    pub fn touch(&self, key: impl IntoEntryKey, ttl: Option<Duration>) -> Result<bool> {
        let key = key.into_entry_key(&self.engine.store().config().serialization)?;
        self.engine.touch(&key, ttl_of(ttl))
    }

    /// Pins an entry against eviction; `false` if there is none. A pinned entry still expires, and a put under the same
    /// key keeps the pin.
    ///
    /// # Errors
    /// `KeyEncoding`, `Metadata`, `ReadOnly`, `Closed`.
    pub fn pin(&self, key: impl IntoEntryKey) -> Result<bool> {
        self.engine.set_pinned(&key.into_entry_key(&self.engine.store().config().serialization)?, true)
    }

    /// Unpins an entry, so that it may be evicted again; `false` if there is none.
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
        let mut entries: Vec<EntryInfo> = Vec::new();
        loop {
            let page = self.engine.page(entries.last().map(EntryInfo::key), PAGE)?;
            let is_last = page.len() < PAGE;
            // The first page, mostly the only one, becomes the result in place.
            let page: Vec<_> = page.into_iter().map(EntryInfo::from).collect();
            if entries.is_empty() {
                entries = page;
            } else {
                entries.extend(page);
            }
            if is_last {
                return Ok(entries);
            }
        }
    }

    /// Calls `visit` with every entry, in the order of the keys, without holding all of them in memory.
    ///
    /// # Errors
    /// `Metadata`, `Closed`, and those of `visit`, which end the walk.
    pub fn for_each_entry(&self, mut visit: impl FnMut(EntryInfo) -> Result<()>) -> Result<()> {
        self.engine.for_each(|summary| visit(summary.into()))
    }

    /// The totals of the store and the counts of this process.
    ///
    /// # Errors
    /// `Metadata`, `Closed`.
    pub fn stats(&self) -> Result<Stats> {
        Ok(Stats { totals: self.engine.totals()?, counts: self.engine.counts() })
    }

    /// Counts of this process's connections to the server of the metadata backend; `None` if it has no server.
    #[must_use]
    pub fn pool_stats(&self) -> Option<cacheness_core::backend::PoolStats> {
        self.engine.store().metadata().pool_stats()
    }

    /// The keys of all pinned entries, in ascending order.
    ///
    /// # Errors
    /// `Metadata`, `Closed`.
    pub fn pinned(&self) -> Result<Vec<String>> {
        self.engine.pinned()
    }

    /// When the oldest and the newest entry were put; `None` if there are none. Scans all entries, which takes about a
    /// second for millions.
    ///
    /// # Errors
    /// `Metadata`, `Closed`.
    pub fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        self.engine.created_range()
    }

    /// Removes all expired entries and returns their number.
    ///
    /// # Errors
    /// `Metadata`, `ReadOnly`, `Closed`.
    pub fn cleanup_expired(&self) -> Result<u64> {
        self.engine.cleanup_expired()
    }

    /// Removes all entries and returns their number.
    ///
    /// # Errors
    /// `Metadata`, `ReadOnly`, `Closed`.
    pub fn clear(&self) -> Result<u64> {
        self.engine.clear()
    }

    /// Flushes pending access records and releases all resources; dropping the last clone does the same. Later calls
    /// fail with `Closed`.
    ///
    /// # Errors
    /// `Metadata`.
    pub fn close(&self) -> Result<()> {
        self.engine.close()
    }
}

/// A time to live, or the cache's default.
pub(crate) fn ttl_of(ttl: Option<Duration>) -> Ttl {
    ttl.map_or(Ttl::Default, |ttl| Ttl::Seconds(ttl.as_secs_f64()))
}
