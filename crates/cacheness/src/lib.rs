//! Typed cache and artifact store.
//!
//! ```
//! use cacheness::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Report {
//!     accuracy: f64,
//!     epochs: u32,
//! }
//! impl Plain for Report {}
//!
//! # fn main() -> cacheness::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("cache");
//! let cache = Cache::open(&path)?;
//! let report = cache.get_or_insert_with(params! { model: "xgboost", fold: 3 }, || Report { accuracy: 0.95, epochs: 40 })?;
//! assert_eq!(cache.get::<Report>(params! { fold: 3, model: "xgboost" })?, Some(report));
//! # Ok(()) }
//! ```
//!
//! Functions keep their results with [`#[cached]`](macro@cached):
//!
//! ```
//! # #[cfg(feature = "macros")]
//! # fn main() {
//! use cacheness::prelude::*;
//!
//! # fn cache() -> Cache { Cache::builder().in_memory().open().unwrap() }
//! #[cached(cache = cache(), ttl = "6h")]
//! fn simulate(steps: u32, rate: f64) -> Vec<f64> {
//!     (0..steps).map(|step| f64::from(step) * rate).collect()
//! }
//!
//! assert_eq!(simulate(3, 0.5), [0.0, 0.5, 1.0]);
//! # }
//! # #[cfg(not(feature = "macros"))]
//! # fn main() {}
//! ```
//!
//! A value that Rust puts, Python gets under the same parameters, and the reverse: plain data, arrays and tables are kept
//! in formats that both know. [`Cache`] serves entries until they expire; [`BlobStore`] keeps artifacts under names.

mod blob_store;
mod cache;
#[doc(hidden)]
pub mod calls;
mod database;
mod directory;
mod info;
mod key;
mod shared;
pub mod utils;

pub use blob_store::BlobStore;
pub use cache::{Cache, CacheBuilder, ComputeOptions, GetOptions, PutOptions, Stats, counts_as_miss};
pub use directory::{Access, Description, FORMAT, METADATA_BACKENDS, Place, describe, open_store};
pub use info::EntryInfo;
pub use key::{IntoEntryKey, Named};
pub use shared::{default_cache, reset_default_cache, set_default_cache};

pub use cacheness_core as core;
pub use cacheness_core::cache::Counts;
pub use cacheness_core::clock::{Clock, Timestamp};
pub use cacheness_core::config::{self, CacheConfig, Durability, EvictionPolicy, StoreConfig};
pub use cacheness_core::handler::{Handler, Plain, Serde, Storable};
pub use cacheness_core::key::{CacheKey, KeyEncoder, Params, ToKey};
pub use cacheness_core::params;
pub use cacheness_core::store::{IntegrityReport, MAX_NAME};
pub use cacheness_core::{Error, ErrorKind, Result};
#[cfg(feature = "macros")]
pub use cacheness_macros::cached;

/// What most programs use.
pub mod prelude {
    #[cfg(feature = "macros")]
    pub use crate::cached;
    pub use crate::{BlobStore, Cache, EvictionPolicy, Named, Plain, PutOptions, Serde, Storable, params};
}

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide.md")]
struct Guide;
