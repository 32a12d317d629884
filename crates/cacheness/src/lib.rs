//! Typed cache and artifact store.
//!
//! ```
//! # #[cfg(feature = "macros")]
//! # fn main() -> cacheness::Result<()> {
//! use cacheness::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize, Plain)]
//! struct Report {
//!     accuracy: f64,
//!     epochs: u32,
//! }
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("cache");
//! let cache = Cache::open(&path)?;
//! let report = cache.get_or_insert_with(params! { model: "xgboost", fold: 3 }, || Report { accuracy: 0.95, epochs: 40 })?;
//! assert_eq!(cache.get::<Report>(params! { fold: 3, model: "xgboost" })?, Some(report));
//! # Ok(()) }
//! # #[cfg(not(feature = "macros"))]
//! # fn main() {}
//! ```
//!
//! | to | use |
//! |---|---|
//! | store a value, and read it back | [`Cache::put`], [`Cache::get`]; [`Cache::get_or_insert_with`] for both |
//! | store a type of your own | `#[derive(Plain)]` in addition to serde's derives ([`Plain`](trait@Plain)); [`Serde`] around a type of another crate; [`Storable`] and [`Loadable`] for a format of your own |
//! | open a cache in a database that machines share, by its URL | [`Cache::open_url`], [`CacheBuilder::blobs`] |
//! | take options from a file and the environment | [`CacheBuilder::from_file`], [`CacheBuilder::from_env`] |
//! | identify an entry | [`params!`]; `#[derive(ToKey)]` for a type of your own ([`ToKey`](trait@ToKey)); [`Named`] |
//! | keep the results of a function | [`#[cached]`](macro@cached) |
//! | keep artifacts under names, without expiry | [`BlobStore`] |
//! | find entries by metadata, parameters, tags and words | [`Cache::find`], [`field`], [`param`], [`Cache::create_index`], [`Cache::create_text_index`] |
//! | keep typed metadata in a table of its own, and query it | `#[derive(MetadataModel)]` ([`MetadataModel`](trait@MetadataModel)), [`Cache::query`] |
//! | query the metadata in SQL | [`Cache::query_meta`] |
//! | work on many entries | [`Cache::get_batch`], [`Cache::delete_filtered`], [`Cache::delete_where`], [`Cache::touch_filtered`], [`Cache::list_entries`] |
//!
//! Arrays and tables are those of [`mod@ndarray`] and [`mod@arrow`], which this crate re-exports in the versions that
//! it supports.
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
//! Python can get a value that Rust has put under the same parameters, and vice versa: plain data, arrays and tables
//! are stored in formats that both read. [`Cache`] serves entries until they expire; [`BlobStore`] keeps artifacts
//! under names.

mod address;
mod blob_store;
mod cache;
#[doc(hidden)]
pub mod cached;
mod find;
pub mod hash;
mod info;
mod key;
mod manifest;
pub mod model;
mod open;
mod place;
mod query_meta;
pub mod registry;
mod shared;
pub mod sql;

pub use address::{StoreUrl, blobs_url, needs_no_directory};
pub use blob_store::BlobStore;
pub use cache::{Cache, CacheBuilder, ComputeOptions, GetOptions, PutOptions, Stats};
pub use find::Find;
pub use info::EntryInfo;
pub use key::{IntoEntryKey, Named};
pub use manifest::{Description, FORMAT, describe};
pub use model::{Column, Condition, Entries, MetadataModel, ModelQuery, ModelRow, Order};
pub use open::open_store;
pub use place::{OpenMode, Place};
#[cfg(feature = "arrow")]
pub use query_meta::QueryBatches;
pub use query_meta::{
    Cancel, ColumnIndex, FromSqlValue, IntoParam, IntoSqlParams, QueryOptions, QueryRow, QueryRows, SqlParams, SqlType,
    SqlValue,
};
pub use shared::{default_cache, reset_default_cache, set_default_cache};

/// The version of `arrow` whose tables are values and parameters.
#[cfg(feature = "arrow")]
pub use arrow;
pub use cacheness_core as core;
pub use cacheness_core::cache::{Counts, report};
pub use cacheness_core::clock::{Clock, Timestamp};
pub use cacheness_core::column::{ColumnValue, Compared, Number, Operand};
pub use cacheness_core::config::{self, CacheConfig, CompressionConfig, Durability, EvictionPolicy, StoreConfig};
pub use cacheness_core::entry::Format;
pub use cacheness_core::error::HoldsError;
pub use cacheness_core::key::{Bytes, CacheKey, KeyEncoder, Params, ToKey};
pub use cacheness_core::params;
pub use cacheness_core::payload::{Encoded, Payload, Stored};
pub use cacheness_core::query::{self, Filter, field, param};
pub use cacheness_core::storable::{AsStorable, Loadable, Plain, Serde, SerdeType, Storable, expect_format, rust_type};
pub use cacheness_core::store::{IntegrityReport, MAX_NAME};
pub use cacheness_core::{Error, ErrorKind, Result};
#[cfg(feature = "macros")]
pub use cacheness_macros::{MetadataModel, Plain, ToKey, cached};
/// The version of `ndarray` whose arrays are values and parameters.
#[cfg(feature = "ndarray")]
pub use ndarray;
/// For types whose crate does not depend on serde: `#[serde(crate = "cacheness::serde")]`.
pub use serde;
/// The values of metadata: `cacheness::serde_json::json!({ "accuracy": 0.95 })`.
pub use serde_json;

/// The items that most programs use.
pub mod prelude {
    /// Only the derive: the trait's method `encode` would clash with that of [`Storable`].
    #[cfg(feature = "macros")]
    pub use cacheness_macros::ToKey;

    #[cfg(feature = "macros")]
    pub use crate::cached;
    pub use crate::{
        BlobStore, Cache, EvictionPolicy, Filter, Loadable, MetadataModel, Named, Plain, PutOptions, Serde, Storable,
        field, param, params,
    };
}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide.md")]
struct Guide;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/metadata.md")]
struct MetadataGuide;
