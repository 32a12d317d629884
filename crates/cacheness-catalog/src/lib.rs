//! What a database knows about itself.
//!
//! [`Details`] are the details of a connection in one canonical form, without secrets. [`MetadataCache`] keeps the metadata
//! that was extracted from a database in a file named by them.
//!
//! ```
//! use std::time::Duration;
//!
//! use cacheness_catalog::{Details, MetadataCache};
//! use serde_json::json;
//!
//! # fn main() -> cacheness_core::Result<()> {
//! # let directory = tempfile::tempdir().unwrap();
//! let details = Details::of("postgres", &json!({ "host": "localhost", "database": "mydb", "user": "ada" }))?;
//! let cache = MetadataCache::new(directory.path(), Some(Duration::from_secs(7200)));
//! let metadata = json!({ "table_metadata": [] });
//! cache.set(&details.cache_key(), &metadata)?;
//! assert_eq!(cache.get(&details.cache_key())?, Some(metadata));
//! # Ok(()) }
//! ```

mod cache;
mod details;
mod engine;

pub use cache::MetadataCache;
pub use details::Details;
pub use engine::Engine;
