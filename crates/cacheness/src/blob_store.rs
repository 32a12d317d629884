//! The typed store: artifacts under names, without expiry.

use std::path::Path;

use cacheness_core::backend::{EntryUpdate, Page, Query};
use cacheness_core::clock::Clock;
use cacheness_core::config::StoreConfig;
use cacheness_core::query::Filter;
use cacheness_core::storable::{AsStorable, Loadable, Storable};
use cacheness_core::store::{EntryKey, Found, IntegrityReport, PutAttributes, Store};
use cacheness_core::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cache::PutOptions;
use crate::info::EntryInfo;
use crate::open::open_store;
use crate::place::{OpenMode, Place};

/// Keeps artifacts under names: no expiry, no eviction, errors instead of misses. Its puts pin their entries: a cache
/// opened on its directory does not evict them either.
///
/// ```
/// use cacheness::BlobStore;
///
/// # fn main() -> cacheness::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let store = BlobStore::open(dir.path().join("models"))?;
/// store.put_with("ridge_v1", &vec![1.0, 2.0], serde_json::json!({ "accuracy": 0.95 }))?;
/// assert_eq!(store.get::<Vec<f64>>("ridge_v1")?, Some(vec![1.0, 2.0]));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct BlobStore {
    store: Store,
}

impl BlobStore {
    /// Opens the store in `directory`, which is created if missing.
    ///
    /// # Errors
    /// `NotAStore`, `NewerFormat`, `ReadOnly`.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(&Place::Directory(directory.as_ref().to_owned()), StoreConfig::default(), OpenMode::default())
    }

    /// Opens a store with options.
    ///
    /// # Errors
    /// `NotAStore`, `NewerFormat`, `ReadOnly`, `InvalidInput`.
    pub fn open_with(place: &Place, config: StoreConfig, access: OpenMode) -> Result<Self> {
        Ok(Self { store: open_store(place, config, access, Clock::system())? })
    }

    /// Opens the store of a URL, and large payloads at the URL `blobs`, as [`CacheBuilder::url`](crate::CacheBuilder::url) and
    /// [`CacheBuilder::blobs`](crate::CacheBuilder::blobs) do.
    ///
    /// # Errors
    /// `InvalidInput`: a URL is malformed. Those of [`BlobStore::open_with`].
    pub fn open_url(url: impl Into<String>, blobs: Option<&str>) -> Result<Self> {
        let builder = crate::Cache::builder().url(url);
        let (place, config) = blobs.into_iter().fold(builder, crate::CacheBuilder::blobs).resolve()?;
        Self::open_with(&place, config.store, OpenMode::default())
    }

    /// A store on an engine that the caller has assembled, for example from custom backends.
    ///
    /// ```
    /// use cacheness::core::backends::{MemoryBlobs, MemoryMetadata};
    /// use cacheness::core::store::Store;
    /// use cacheness::{BlobStore, Clock, StoreConfig};
    /// use std::sync::Arc;
    ///
    /// # fn main() -> cacheness::Result<()> {
    /// let (metadata, blobs) = (Box::new(MemoryMetadata::new()), Arc::new(MemoryBlobs::new()));
    /// let store = Store::new(metadata, blobs, None, StoreConfig::default(), Clock::system());
    /// let models = BlobStore::from_store(store);
    /// models.put("ridge_v1", &vec![1.0, 2.0])?;
    /// assert_eq!(models.get::<Vec<f64>>("ridge_v1")?, Some(vec![1.0, 2.0]));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn from_store(store: Store) -> Self {
        Self { store }
    }

    /// The attributes of every artifact: it is pinned, so that a cache on the same directory does not evict it.
    fn attributes(metadata: Option<String>) -> PutAttributes {
        PutAttributes { metadata, pinned: true, ..PutAttributes::default() }
    }

    /// The underlying engine, which handles payloads instead of values.
    #[must_use]
    pub fn engine(&self) -> &Store {
        &self.store
    }

    /// Stores `value` under `key`, replacing an existing entry.
    ///
    /// # Errors
    /// `InvalidInput` for a key that is empty, too long or has a NUL; `Serialization`, `Storage`, `Metadata`, `ReadOnly`.
    pub fn put<How>(&self, key: &str, value: impl AsStorable<How>) -> Result<()> {
        self.put_entry(key, value.as_storable(), None)
    }

    /// Stores `value` with metadata: a map or struct with named fields.
    ///
    /// # Errors
    /// Those of [`BlobStore::put`].
    pub fn put_with<How>(&self, key: &str, value: impl AsStorable<How>, metadata: impl Serialize) -> Result<()> {
        let metadata = PutOptions::new().metadata(metadata).into_attributes()?.metadata;
        self.put_entry(key, value.as_storable(), metadata)
    }

    fn put_entry<T: Storable + ?Sized>(&self, key: &str, value: &T, metadata: Option<String>) -> Result<()> {
        let key = EntryKey::from_name(key)?;
        let encoded = value.encode(&self.store.config().compression)?;
        self.store.put(&key, encoded, Self::attributes(metadata)).map(drop)
    }

    /// Stores `value` under the hash of its payload, which is returned; equal values are stored once.
    ///
    /// # Errors
    /// Those of [`BlobStore::put`]; `InvalidInput` if the store is not content-addressable.
    pub fn put_by_content<How>(
        &self,
        value: impl AsStorable<How>,
        metadata: Option<&Map<String, Value>>,
    ) -> Result<String> {
        if !self.store.config().content_addressable {
            return Err(Error::new(ErrorKind::InvalidInput, "the store is not content-addressable")
                .with_hint("set StoreConfig::content_addressable, or give a key"));
        }
        let metadata = metadata.map(|metadata| Value::Object(metadata.clone()).to_string());
        let encoded = value.as_storable().encode(&self.store.config().compression)?;
        Ok(self.store.put_by_content(encoded, Self::attributes(metadata))?.key.clone())
    }

    /// The value of `key`, or `None` if there is none.
    ///
    /// # Errors
    /// `Integrity` if the payload is damaged, `Signature` if the signature is wrong, `Unsupported` if the value is of
    /// another kind, `Serialization` if it does not fit `T`.
    pub fn get<T: Loadable>(&self, key: &str) -> Result<Option<T>> {
        let key = EntryKey::from_name(key)?;
        match self.store.read(&key, self.store.read_options(), |_| true, T::decode)? {
            Found::Value(value) => Ok(Some(value)),
            Found::Missing | Found::Declined | Found::Collision => Ok(None),
        }
    }

    /// The metadata of an entry, without reading its value.
    ///
    /// # Errors
    /// `Metadata`, `Closed`.
    pub fn get_metadata(&self, key: &str) -> Result<Option<EntryInfo>> {
        Ok(self.store.get_entry(key)?.map(EntryInfo::from))
    }

    /// Sets fields of an entry's metadata and keeps the others; `false` if there is no entry.
    ///
    /// # Errors
    /// `Signature` if the entry has been tampered with; `Metadata`, `ReadOnly`, `Closed`.
    pub fn update_metadata(&self, key: &str, fields: &Map<String, Value>) -> Result<bool> {
        self.store.update_entry(key, |entry| {
            let mut metadata = EntryInfo::of(entry).metadata();
            metadata.extend(fields.clone());
            Ok(EntryUpdate { metadata: Some(Some(Value::Object(metadata).to_string())), ..EntryUpdate::default() })
        })
    }

    /// Removes an entry and its payload; `false` if there was none.
    ///
    /// # Errors
    /// `Metadata`, `ReadOnly`, `Closed`.
    pub fn delete(&self, key: &str) -> Result<bool> {
        self.store.delete(key)
    }

    /// Whether there is an entry.
    ///
    /// # Errors
    /// `Metadata`, `Closed`.
    pub fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.store.get_entry(key)?.is_some())
    }

    /// The keys with this `prefix`, in order, of the entries that match `filter`.
    ///
    /// # Errors
    /// `InvalidInput` for a filter with a mistake; `Serialization` for an entry whose metadata is damaged; `Metadata`,
    /// `Closed`.
    pub fn list(&self, prefix: &str, filter: Option<&Filter>) -> Result<Vec<String>> {
        self.store.metadata().keys(&Query { prefix, filter, ..Query::default() }, &Page::default())
    }

    /// Reads the payload of `key` and compares it with its entry; `None` if there is no entry.
    ///
    /// # Errors
    /// `Metadata`, `Storage`, `Closed`.
    pub fn verify_integrity(&self, key: &str) -> Result<Option<IntegrityReport>> {
        self.store.verify_integrity(key)
    }

    /// Removes all entries and returns their number.
    ///
    /// # Errors
    /// `Metadata`, `ReadOnly`, `Closed`.
    pub fn clear(&self) -> Result<u64> {
        self.store.clear()
    }

    /// Releases all resources; dropping the store does the same.
    ///
    /// # Errors
    /// `Metadata`.
    pub fn close(&self) -> Result<()> {
        self.store.close()
    }
}
