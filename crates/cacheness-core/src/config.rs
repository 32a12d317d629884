//! Options of a store and a cache, for both languages and for files.
//!
//! Field names are those of the Python configuration classes; [`serde`] defines the JSON and TOML forms, and
//! [`CacheConfig::read`] reads them. Unknown fields are refused.

mod backend;
mod limits;
mod options;
mod read;
mod schema;
mod settings;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::sign::SignedFields;

pub use backend::{BackendOptions, BackendUrl};
pub use limits::{EvictionPolicy, Limits};
pub use options::{ConfigOption, Kind, SECTIONS, options};
pub use read::nearest;
pub use schema::schema;
pub use settings::{Origin, Settings, line_of};

/// The durability of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// No entry is lost or torn if a process is killed. A power loss may take the latest entries; hashes detect incomplete
    /// payloads.
    #[default]
    Normal,
    /// Nor if the machine loses power: file, directory and database are synced before a write returns.
    Full,
}

/// The codec of plain data and pickles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Stored uncompressed.
    None,
    /// LZ4 frames: fast, modest ratio.
    Lz4,
    /// Zstandard frames: good ratio.
    Zstd,
    /// gzip: for other tools.
    Gzip,
}

impl Codec {
    /// The name in entries and configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The suffix of a file name after the format's extension.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Lz4 => ".lz4",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    /// The highest level; the lowest is 1. LZ4 has a single level, and accepts those of gzip; without a codec the level is
    /// ignored.
    #[must_use]
    pub fn highest_level(self) -> i32 {
        match self {
            Self::None | Self::Zstd => 22,
            Self::Lz4 | Self::Gzip => 9,
        }
    }

    /// The codec of that name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "none" => Ok(Self::None),
            "lz4" => Ok(Self::Lz4),
            "zstd" => Ok(Self::Zstd),
            "gzip" => Ok(Self::Gzip),
            other => Err(Error::new(ErrorKind::Unsupported, format!("unknown compression codec {other:?}"))
                .with_hint("use none, lz4, zstd or gzip")),
        }
    }
}

/// The codec inside Blosc2 array frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ArrayCodec {
    Lz4,
    Lz4hc,
    Blosclz,
    Zstd,
    Zlib,
}

/// The file format of arrays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArrayFormat {
    /// Blosc2 if a sample compresses well, else `.npy`.
    #[default]
    Auto,
    /// Always Blosc2 (`.b2nd`).
    Blosc2,
    /// Always `.npy`, which can be memory-mapped.
    Npy,
}

/// The file format of tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableFormat {
    /// Apache Parquet: small.
    #[default]
    Parquet,
    /// Arrow IPC file: fast, can be memory-mapped.
    Arrow,
}

/// The codec inside Parquet and Arrow files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum TableCodec {
    None,
    Lz4,
    Zstd,
    Snappy,
    Gzip,
}

/// How payloads are compressed, and in which format arrays and tables are stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompressionConfig {
    /// Codec of plain data and pickles.
    pub pickle_compression_codec: Codec,
    /// Its level, 1 to 9 (zstd up to 22).
    pub pickle_compression_level: i32,
    /// Payloads of fewer bytes than this are not compressed.
    pub compression_threshold_bytes: u64,
    /// Whether arrays are compressed with Blosc2 at all; `false` is `array_format = "npy"`.
    pub use_blosc2_arrays: bool,
    /// Codec inside Blosc2 frames.
    pub blosc2_array_codec: ArrayCodec,
    /// Its level, 0 to 9.
    pub blosc2_array_compression_level: u8,
    /// Format of arrays.
    pub array_format: ArrayFormat,
    /// Codec inside Parquet and Arrow files.
    pub parquet_compression: TableCodec,
    /// Format of tables.
    pub dataframe_format: TableFormat,
    /// Whether large values are compressed on all cores.
    pub parallel: bool,
    /// Whether a sample of a large value decides if it is compressed.
    pub sample: bool,
}

impl CompressionConfig {
    /// A copy with another codec for plain data and pickles, at its nearest level.
    #[must_use]
    pub fn with_pickle_codec(&self, codec: Codec) -> Self {
        Self {
            pickle_compression_codec: codec,
            pickle_compression_level: self.pickle_compression_level.min(codec.highest_level()),
            ..self.clone()
        }
    }
}

impl Default for CompressionConfig {
    fn default() -> Self {
        Self {
            pickle_compression_codec: Codec::Zstd,
            pickle_compression_level: 5,
            compression_threshold_bytes: 4096,
            use_blosc2_arrays: true,
            blosc2_array_codec: ArrayCodec::Lz4,
            blosc2_array_compression_level: 5,
            array_format: ArrayFormat::Auto,
            parquet_compression: TableCodec::Lz4,
            dataframe_format: TableFormat::Parquet,
            parallel: true,
            sample: true,
        }
    }
}

/// How keys are derived from parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SerializationConfig {
    /// Paths are encoded by the content of their file or directory, not by name.
    pub hash_path_content: bool,
    /// `enable_object_introspection` also applies inside lists, tuples, mappings and sets. Collections can always be
    /// parameters.
    pub enable_collections: bool,
    /// Objects without an encoding of their own are encoded by their parts.
    pub enable_object_introspection: bool,
    /// The maximum nesting of tuples.
    pub max_tuple_recursive_length: usize,
    /// The maximum nesting of collections.
    pub max_collection_depth: usize,
}

impl Default for SerializationConfig {
    fn default() -> Self {
        Self {
            hash_path_content: true,
            enable_collections: true,
            enable_object_introspection: true,
            max_tuple_recursive_length: 10,
            max_collection_depth: 10,
        }
    }
}

/// Signatures and pickles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)]
pub struct SecurityConfig {
    /// Whether entries are signed when written and checked when read.
    pub enable_entry_signing: bool,
    /// Name of the key file in the store's directory.
    pub signing_key_file: String,
    /// Keep the key in memory only: entries of an earlier process are then unsigned or invalid.
    pub use_in_memory_key: bool,
    /// Fields to sign besides those that are always signed; `None` signs all.
    pub custom_signed_fields: Option<Vec<String>>,
    /// Whether entries without a signature are served (never their pickles, see `trust_unsigned_pickles`).
    pub allow_unsigned_entries: bool,
    /// Whether an entry with an invalid signature is deleted when it is read.
    pub delete_invalid_signatures: bool,
    /// Whether pickles are written and read.
    pub allow_pickle: bool,
    /// Whether a pickle is decoded without a valid signature of its entry. Any user who can write the directory can then
    /// run code in the reading process.
    pub trust_unsigned_pickles: bool,
}

impl Default for SecurityConfig {
    fn default() -> Self {
        Self {
            enable_entry_signing: true,
            signing_key_file: "cache_signing_key.bin".into(),
            use_in_memory_key: false,
            custom_signed_fields: None,
            allow_unsigned_entries: true,
            delete_invalid_signatures: false,
            allow_pickle: true,
            trust_unsigned_pickles: false,
        }
    }
}

/// Which entry is evicted from the memory of the process first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryPolicy {
    /// The least recently read one.
    #[default]
    Lru,
    /// The least often read one, among the least recently read ones.
    Lfu,
    /// The oldest one.
    Fifo,
    /// A random one.
    Rr,
}

/// Entries in the memory of the process: a get of an entry that was read or written before touches no file. They are never
/// stale: changes by other processes are detected before an entry is served. Only backends that can detect them (SQLite
/// with a write-ahead log) support this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// Whether entries are kept in memory.
    pub enable_memory_cache: bool,
    /// Which one is evicted first.
    pub memory_cache_type: MemoryPolicy,
    /// The maximum number of entries.
    pub memory_cache_maxsize: usize,
    /// The maximum size in megabytes (2^20 bytes), including payloads inside entries.
    pub memory_cache_max_mb: f64,
    /// The maximum time in seconds; then the entry is read and its signature checked again.
    pub memory_cache_ttl_seconds: f64,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            enable_memory_cache: true,
            memory_cache_type: MemoryPolicy::Lru,
            memory_cache_maxsize: 10_000,
            memory_cache_max_mb: 32.0,
            memory_cache_ttl_seconds: 300.0,
        }
    }
}

impl MemoryConfig {
    /// The limit in bytes.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
    pub fn max_bytes(&self) -> usize {
        (self.memory_cache_max_mb * 1_048_576.0) as usize
    }

    /// The limit of time in microseconds.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // saturates
    pub fn max_age_micros(&self) -> i64 {
        (self.memory_cache_ttl_seconds * 1e6) as i64
    }

    fn check(&self) -> Result<()> {
        let numbers = [
            ("memory_cache_max_mb", self.memory_cache_max_mb),
            ("memory_cache_ttl_seconds", self.memory_cache_ttl_seconds),
        ];
        if let Some((name, value)) = numbers.into_iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{name} is {value}"))
                .with_hint("give a number greater than zero, or enable_memory_cache = false"));
        }
        if self.memory_cache_maxsize == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "memory_cache_maxsize is 0")
                .with_hint("give a number greater than zero, or enable_memory_cache = false"));
        }
        Ok(())
    }
}

/// Options of the store engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The metadata backend, by its name: `sqlite`, `json`, `sqlite_memory`, `memory` or a registered one. `None` is the
    /// one that the directory records; a new directory gets `default_metadata_backend`.
    pub metadata_backend: Option<String>,
    /// What a new directory gets if `metadata_backend` is `None`: `sqlite` or `json`.
    pub default_metadata_backend: String,
    /// Options of the metadata backend. The built-in ones take none.
    pub metadata_backend_options: BackendOptions,
    /// Where the metadata backend keeps its data: a URL whose scheme is registered, or the path of a SQLite database.
    /// `None`: in the directory of the store, or where the directory records that it is.
    pub database_url: Option<BackendUrl>,
    /// The blob backend: its name (`filesystem`, `memory`, `s3` or a registered one), or a URL whose scheme is registered. `None`
    /// is the one that the directory records; a new directory gets `filesystem`.
    pub blob_backend: Option<BackendUrl>,
    /// Options of the blob backend, by their names: see `docs/s3.md`. Those that are not on a server take none.
    pub blob_backend_options: BackendOptions,
    /// Whether blobs on a server may have their entries on this machine. The store is then for this machine alone, and its
    /// payloads are lost with its entries.
    pub allow_local_index: bool,
    /// What the store survives.
    pub durability: Durability,
    /// Payloads up to this many bytes are stored inside the entry.
    pub inline_threshold_bytes: u64,
    /// The number of characters in the names of the directories that blobs are spread over; 0 to 4.
    pub shard_chars: u8,
    /// Equal payloads share one blob.
    pub content_addressable: bool,
    /// Whether a payload's hash is checked when it is read.
    pub verify_cache_integrity: bool,
    /// Whether the entry stores the encoding of the parameters.
    pub store_cache_key_params: bool,
    /// Whether queries in SQL see the metadata and the parameters of an entry together, as `full_metadata`. It is made of
    /// what every entry has, so the option costs nothing and holds for entries put without it.
    pub store_full_metadata: bool,
    /// Entries in memory.
    pub memory: MemoryConfig,
    /// How payloads are compressed.
    pub compression: CompressionConfig,
    /// How keys are derived.
    pub serialization: SerializationConfig,
    /// Signatures and pickles.
    pub security: SecurityConfig,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            metadata_backend: None,
            default_metadata_backend: "sqlite".into(),
            metadata_backend_options: BackendOptions::default(),
            database_url: None,
            blob_backend: None,
            blob_backend_options: BackendOptions::default(),
            allow_local_index: false,
            durability: Durability::Normal,
            inline_threshold_bytes: 32 * 1024,
            shard_chars: 2,
            content_addressable: false,
            verify_cache_integrity: true,
            store_cache_key_params: true,
            store_full_metadata: false,
            memory: MemoryConfig::default(),
            compression: CompressionConfig::default(),
            serialization: SerializationConfig::default(),
            security: SecurityConfig::default(),
        }
    }
}

impl StoreConfig {
    /// Refuses invalid values, before the store is opened.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String, hint: &'static str| Err(Error::new(ErrorKind::InvalidInput, what).with_hint(hint));
        let CompressionConfig {
            pickle_compression_codec,
            pickle_compression_level,
            blosc2_array_compression_level,
            ..
        } = self.compression;
        if self.shard_chars > 4 {
            return wrong(
                format!("shard_chars is {}", self.shard_chars),
                "give a number of digits from 0 (one directory) to 4",
            );
        }
        if !(1..=pickle_compression_codec.highest_level()).contains(&pickle_compression_level) {
            return wrong(
                format!(
                    "pickle_compression_level is {pickle_compression_level}, with {}",
                    pickle_compression_codec.name()
                ),
                "give a level from 1 (fast) to 9, with zstd up to 22",
            );
        }
        if !(1..=9).contains(&blosc2_array_compression_level) {
            return wrong(
                format!("blosc2_array_compression_level is {blosc2_array_compression_level}"),
                "give a level from 1 (fast) to 9; array_format = \"npy\" does not compress",
            );
        }
        let SecurityConfig { signing_key_file, custom_signed_fields, .. } = &self.security;
        if let Some(names) = custom_signed_fields {
            SignedFields::from_names(names)?;
        }
        if signing_key_file.is_empty() || signing_key_file.contains('\0') {
            return wrong(
                format!("signing_key_file is {signing_key_file:?}"),
                "give the name of a file in the store's directory, or a path",
            );
        }
        self.memory.check()
    }
}

/// Options of the cache layer, on top of a store's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Whether the cache is a store: nothing expires unless its `put` sets a time to live, and nothing is evicted, whatever
    /// `default_ttl_seconds` and `limits` are. Its puts pin their entries, so that other caches do not evict them either.
    pub storage_mode: bool,
    /// Seconds that an entry is served unless its `put` sets a time to live; `None` for no limit.
    pub default_ttl_seconds: Option<f64>,
    /// Limits of size, number and age.
    pub limits: Limits,
    /// Seconds that a computation waits for another process to compute a value that it needs, before it computes that
    /// value too. A caller outside of computations waits as long as the other process lives.
    pub flight_patience_seconds: f64,
    /// Options of the store.
    pub store: StoreConfig,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            storage_mode: false,
            default_ttl_seconds: None,
            limits: Limits::default(),
            flight_patience_seconds: 10.0,
            store: StoreConfig::default(),
        }
    }
}

impl CacheConfig {
    /// Refuses invalid values, before the store is opened.
    pub fn check(&self) -> Result<()> {
        lifetime("default_ttl_seconds", self.default_ttl_seconds)?;
        self.limits.check()?;
        self.flight_patience()?;
        self.store.check()
    }

    /// The default time to live in seconds, and the limits.
    pub(crate) fn lifetimes(&self) -> (Option<f64>, Limits) {
        match self.storage_mode {
            true => (None, Limits::NONE),
            false => (self.default_ttl_seconds, self.limits.clone()),
        }
    }

    /// [`flight_patience_seconds`](Self::flight_patience_seconds) as a duration.
    pub(crate) fn flight_patience(&self) -> Result<Duration> {
        Duration::try_from_secs_f64(self.flight_patience_seconds).map_err(|_| {
            let seconds = self.flight_patience_seconds;
            let what = format!("flight_patience_seconds is {seconds:?}, which is not a valid duration");
            Error::new(ErrorKind::InvalidInput, what).with_hint("give a number of seconds that is zero or more")
        })
    }
}

/// Seconds as a duration; negative, infinite and excessive values are refused.
pub fn ttl_duration(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        Error::new(ErrorKind::InvalidInput, format!("ttl_seconds is {seconds:?}, which is not a valid duration"))
            .with_hint("give a number of seconds that is zero or more, or None for an entry that never expires")
    })
}

/// Refuses an invalid time to live in the option `name`.
fn lifetime(name: &str, seconds: Option<f64>) -> Result<()> {
    match seconds {
        Some(seconds) if seconds <= 0.0 || Duration::try_from_secs_f64(seconds).is_err() => {
            Err(Error::new(ErrorKind::InvalidInput, format!("{name} is {seconds:?}, which is not a valid duration"))
                .with_hint("give a number of seconds greater than zero, or None for no limit"))
        }
        _ => Ok(()),
    }
}
