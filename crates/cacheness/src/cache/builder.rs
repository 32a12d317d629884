//! Opening a cache with options.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cacheness_core::cache::CacheEngine;
use cacheness_core::clock::Clock;
use cacheness_core::config::{CacheConfig, Codec, Durability, EvictionPolicy, StoreConfig};
use cacheness_core::{Error, ErrorKind, Result};

use super::Cache;
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
    place: Place,
    access: OpenMode,
    config: CacheConfig,
    clock: Clock,
}

impl Default for CacheBuilder {
    fn default() -> Self {
        Self {
            place: Place::Directory(PathBuf::from("./cache")),
            access: OpenMode::default(),
            config: CacheConfig::default(),
            clock: Clock::system(),
        }
    }
}

impl CacheBuilder {
    /// Options from the environment. Later calls on the builder take precedence.
    ///
    /// | variable | option |
    /// |---|---|
    /// | `CACHENESS_DIR` | [`directory`](Self::directory) |
    /// | `CACHENESS_MAX_SIZE_MB` | [`max_size_mb`](Self::max_size_mb) |
    /// | `CACHENESS_DEFAULT_TTL_SECONDS` | [`default_ttl`](Self::default_ttl), in seconds |
    /// | `CACHENESS_BACKEND` | the metadata backend of a new directory |
    /// | `CACHENESS_COMPRESSION_CODEC` | codec of plain data: `none`, `lz4`, `zstd`, `gzip` |
    /// | `CACHENESS_COMPRESSION_LEVEL` | its level: 1 to 9, with zstd up to 22 |
    ///
    /// # Errors
    /// `InvalidInput` for a variable that should be a number and is not, or an unknown codec. [`open`](Self::open)
    /// refuses numbers out of range.
    pub fn from_env() -> Result<Self> {
        let mut builder = Self::default();
        let set = |name: &str| match std::env::var(name) {
            Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(value)) => {
                Err(Error::new(ErrorKind::InvalidInput, format!("the environment variable {name} is {value:?}"))
                    .with_hint("it is no valid UTF-8"))
            }
        };
        fn parse<T: std::str::FromStr>(name: &str, value: &str) -> Result<T> {
            value.parse().map_err(|_| {
                Error::new(ErrorKind::InvalidInput, format!("the environment variable {name} is {value:?}"))
                    .with_hint("give a number")
            })
        }
        // A path may contain any bytes.
        if let Some(directory) = std::env::var_os("CACHENESS_DIR").filter(|path| !path.is_empty()) {
            builder.place = Place::Directory(directory.into());
        }
        if let Some(value) = set("CACHENESS_MAX_SIZE_MB")? {
            builder.config.limits.max_cache_size_mb = Some(parse("CACHENESS_MAX_SIZE_MB", &value)?);
        }
        if let Some(value) = set("CACHENESS_DEFAULT_TTL_SECONDS")? {
            builder.config.default_ttl_seconds = Some(parse("CACHENESS_DEFAULT_TTL_SECONDS", &value)?);
        }
        if let Some(value) = set("CACHENESS_BACKEND")? {
            builder.config.store.default_metadata_backend = value;
        }
        let compression = &mut builder.config.store.compression;
        if let Some(value) = set("CACHENESS_COMPRESSION_CODEC")? {
            let codec = Codec::from_name(&value);
            compression.pickle_compression_codec = codec.map_err(|e| {
                e.with_kind(ErrorKind::InvalidInput).within("the environment variable CACHENESS_COMPRESSION_CODEC")
            })?;
        }
        if let Some(value) = set("CACHENESS_COMPRESSION_LEVEL")? {
            compression.pickle_compression_level = parse("CACHENESS_COMPRESSION_LEVEL", &value)?;
        }
        Ok(builder)
    }

    /// The current options.
    #[must_use]
    pub fn options(&self) -> &CacheConfig {
        &self.config
    }

    /// Uses this directory, which [`open`](Self::open) creates if missing; `./cache` if neither this nor
    /// [`in_memory`](Self::in_memory) is called.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.place = Place::Directory(directory.into());
        self
    }

    /// Keeps the cache in memory: nothing is written, and it ends with its last clone.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.place = Place::Memory;
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
        self
    }

    /// Replaces all options, for example with those of a file: [`CacheConfig::read`]. [`open`](Self::open) checks them.
    #[must_use]
    pub fn config(mut self, config: CacheConfig) -> Self {
        self.config = config;
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
        Ok(Cache { engine: Arc::new(self.open_engine()?), place: Some(Arc::new(self.place)) })
    }

    pub(crate) fn open_engine(&self) -> Result<CacheEngine> {
        self.config.check()?;
        let store = open_store(&self.place, self.config.store.clone(), self.access, self.clock.clone())?;
        CacheEngine::new(store, &self.config)
    }
}
