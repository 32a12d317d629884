//! Opening a cache with options.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cacheness_core::Result;
use cacheness_core::cache::CacheEngine;
use cacheness_core::clock::Clock;
use cacheness_core::config::{
    BackendUrl, CacheConfig, Codec, Durability, EvictionPolicy, Origin, Settings, StoreConfig,
};

use super::Cache;
use crate::address;
use crate::open::open_store;
use crate::place::{OpenMode, Place};

/// Opens a [`Cache`] with options.
///
/// ```
/// # use cacheness::prelude::*;
/// # use std::time::Duration;
/// # fn main() -> cacheness::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("cache");
/// let cache = Cache::builder().directory(&path).default_ttl(Duration::from_secs(60)).max_size_mb(500.0).open()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct CacheBuilder {
    /// `None`: the place that a URL names, or else `./cache`.
    pub(super) place: Option<Place>,
    pub(super) access: OpenMode,
    /// Whether expired entries are removed when the cache is opened.
    pub(super) cleanup: bool,
    pub(super) config: CacheConfig,
    /// What `config` was made of, if a file or the environment set options.
    pub(super) settings: Settings,
    /// The URLs of the store and of its blobs.
    pub(super) urls: (Option<BackendUrl>, Option<BackendUrl>),
    /// The same from the environment, for a program that names no store.
    pub(super) of_environment: (Option<BackendUrl>, Option<BackendUrl>),
    pub(super) clock: Clock,
}

impl Default for CacheBuilder {
    fn default() -> Self {
        Self {
            place: None,
            access: OpenMode::default(),
            cleanup: false,
            config: CacheConfig::default(),
            settings: Settings::default(),
            urls: (None, None),
            of_environment: (None, None),
            clock: Clock::system(),
        }
    }
}

impl CacheBuilder {
    /// The current options.
    #[must_use]
    pub fn options(&self) -> &CacheConfig {
        &self.config
    }

    /// Opens the store of this URL: a path or `file:///path`, `sqlite:///path`, `json:///path`, `memory://`, or
    /// `postgresql://user:password@host/database`. [`StoreUrl`](crate::StoreUrl) has the details.
    ///
    /// Entries in a database need a [`directory`](Self::directory) beside it, by default `./cache`: for the signing key, and
    /// for payloads unless [`blobs`](Self::blobs) are elsewhere. If blobs are elsewhere too and `signing_key_file` is an
    /// absolute path, there is no directory. [`open`](Self::open) fails with `InvalidInput` if the URL is malformed.
    ///
    /// ```no_run
    /// # use cacheness::prelude::*;
    /// # fn main() -> cacheness::Result<()> {
    /// let cache = Cache::builder().url("postgresql://ada@db.example/cache").blobs("s3://team/cache").open()?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.urls.0 = Some(BackendUrl::from(url));
        self.of_environment = (None, None);
        self
    }

    /// Keeps large payloads at this URL: the path of a directory, `file:///path`, `s3://bucket/prefix` or `memory://`.
    #[must_use]
    pub fn blobs(mut self, url: impl Into<String>) -> Self {
        self.urls.1 = Some(BackendUrl::from(url));
        self.of_environment.1 = None;
        self
    }

    /// Uses this directory, which [`open`](Self::open) creates if missing; `./cache` if neither this nor
    /// [`in_memory`](Self::in_memory) is called.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.place = Some(Place::Directory(directory.into()));
        self.of_environment = (None, None);
        self
    }

    /// Keeps the cache in memory: nothing is written, and it ends with its last clone.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.place = Some(Place::Memory);
        self.of_environment = (None, None);
        self
    }

    /// Opens the store read-only: puts fail with `ReadOnly`. If there is no store, [`open`](Self::open) fails with
    /// `NotAStore`.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.access = OpenMode::ReadOnly;
        self
    }

    /// Creates nothing: if there is no store, [`open`](Self::open) fails with `NotAStore`.
    #[must_use]
    pub fn existing(mut self) -> Self {
        self.access = OpenMode::Existing;
        self
    }

    /// Options for responses of web services: a time to live of six hours, and LZ4 for plain data. Later calls take
    /// precedence.
    ///
    /// ```
    /// # use cacheness::prelude::*;
    /// # fn main() -> cacheness::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("answers");
    /// let answers = Cache::builder().for_api().directory(&path).open()?;
    /// let user: String = answers.get_or_insert_with(params! { user: 7 }, || "Ada".to_owned())?;
    /// # assert_eq!(user, "Ada");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn for_api(mut self) -> Self {
        self.config.store.compression = self.config.store.compression.with_pickle_codec(Codec::Lz4);
        self.default_ttl(Duration::from_secs(6 * 3600))
    }

    /// Sets the time to live of entries whose put does not set one; by default they do not expire. Precise to a
    /// microsecond.
    #[must_use]
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.config.default_ttl_seconds = Some(ttl.as_secs_f64());
        self
    }

    /// Sets the maximum size of all stored values in megabytes (2^20 bytes); 10,000 by default. When a put exceeds it,
    /// entries are evicted down to 90 %. A value larger than the limit is refused with `Full`.
    ///
    /// [`open`](Self::open) fails with `InvalidInput` unless it is finite and greater than zero.
    #[must_use]
    pub fn max_size_mb(mut self, megabytes: f64) -> Self {
        self.config.limits.max_cache_size_mb = Some(megabytes);
        self
    }

    /// Sets the maximum number of entries; unlimited by default. When a put exceeds it, entries are evicted down to 90
    /// %.
    ///
    /// [`open`](Self::open) fails with `InvalidInput` if it is zero.
    #[must_use]
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.config.limits.max_entries = Some(entries);
        self
    }

    /// Removes all limits: entries are never evicted.
    #[must_use]
    pub fn unlimited(mut self) -> Self {
        self.config.limits.max_cache_size_mb = None;
        self.config.limits.max_entries = None;
        self
    }

    /// Makes the cache a store: entries expire only if their put says so and are never evicted, whatever the other
    /// options and the environment say.
    #[must_use]
    pub fn storage_mode(mut self) -> Self {
        self.config.storage_mode = true;
        self
    }

    /// Sets the maximum age at which an entry is served, whatever its own time to live; unlimited by default.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.config.limits.max_age_seconds = Some(age.as_secs_f64());
        self
    }

    /// Sets which entries are evicted first; the least recently used by default. With [`EvictionPolicy::None`] a put
    /// into a full cache fails with `Full`.
    #[must_use]
    pub fn eviction_policy(mut self, policy: EvictionPolicy) -> Self {
        self.config.limits.eviction_policy = policy;
        self
    }

    /// Sets the durability of the store: puts survive the death of the process by default, and with
    /// [`Durability::Full`] also a loss of power.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.config.store.durability = durability;
        self
    }

    /// Keeps the entries of a new directory in this [metadata backend](crate::registry::metadata_backends): `sqlite`,
    /// the default, or `json`. An existing directory records its own.
    ///
    /// [`open`](Self::open) fails with `InvalidInput` if the backend does not exist or the directory has another one.
    #[must_use]
    pub fn metadata_backend(mut self, name: impl Into<String>) -> Self {
        self.config.store.metadata_backend = Some(name.into());
        self
    }

    /// Replaces all options of the store and keeps those of the cache (time to live, limits). [`open`](Self::open)
    /// checks them.
    #[must_use]
    pub fn store_config(mut self, config: StoreConfig) -> Self {
        self.config.store = config;
        self.settings = Settings::default();
        self
    }

    /// Replaces all options, for example with those of a file: [`CacheConfig::read`]. [`open`](Self::open) checks them.
    #[must_use]
    pub fn config(mut self, config: CacheConfig) -> Self {
        self.config = config;
        self.settings = Settings::default();
        self
    }

    /// Uses this clock, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the cache, and creates its directory if missing.
    ///
    /// # Errors
    /// - `InvalidInput`: an option is invalid; the message names it.
    /// - `NotAStore`: the path is not a directory, or there is no store and creating one is not allowed.
    /// - `NewerFormat`: a newer release wrote the directory.
    /// - `ReadOnly`: the directory does not exist and cannot be created.
    /// - `Metadata`, `Storage`, `Signature`: the existing store cannot be read.
    pub fn open(self) -> Result<Cache> {
        let (place, engine) = self.open_engine()?;
        Ok(Cache { engine: Arc::new(engine), place: Some(Arc::new(place)) })
    }

    /// Where the store is, and all options, after the URLs have been read.
    ///
    /// # Errors
    /// `InvalidInput`: a URL is malformed, or contradicts the other options.
    pub fn resolve(&self) -> Result<(Place, CacheConfig)> {
        let mut config = self.config.clone();
        let (url, blobs) = (self.urls.0.as_ref(), self.urls.1.as_ref());
        let mut place = self.place.clone();
        let of_file = |name: &str| matches!(self.settings.origin(name), Origin::File(..));
        // The environment comes before a file.
        if let (None, Some(url)) = (url, &self.of_environment.0) {
            let parsed = address::StoreUrl::parse(url.as_str())?;
            if of_file("cache_dir") && (parsed.in_memory || parsed.directory.is_some()) {
                place = None;
            }
            let store = &mut config.store;
            store.metadata_backend = store.metadata_backend.take().filter(|_| !of_file("backend"));
            store.database_url = store.database_url.take().filter(|_| !of_file("database_url"));
        }
        if blobs.is_none() && self.of_environment.1.is_some() && of_file("blob_backend") {
            config.store.blob_backend = None;
        }
        let url = url.or(self.of_environment.0.as_ref()).map(BackendUrl::as_str);
        let blobs = blobs.or(self.of_environment.1.as_ref()).map(BackendUrl::as_str);
        let place = address::resolve(url, blobs, place.as_ref(), &mut config)?;
        Ok((place, config))
    }

    pub(crate) fn open_engine(&self) -> Result<(Place, CacheEngine)> {
        self.config.check()?;
        let (place, config) = self.resolve()?;
        let store = open_store(&place, config.store.clone(), self.access, self.clock.clone())?;
        let engine = CacheEngine::new(store, &config)?;
        if self.cleanup && !engine.store().is_read_only() {
            engine.cleanup_expired()?;
        }
        Ok((place, engine))
    }
}
