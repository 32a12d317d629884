//! New values for existing entries.

use super::{CacheAttributes, CacheEngine, Ttl};
use crate::error::Result;
use crate::store::EntryKey;

impl CacheEngine {
    /// The key, description and metadata to put a new value of the entry of `key` with. `None` if there is no unexpired
    /// entry.
    ///
    /// # Errors
    /// Those of [`EntryKey::filed`]; `Metadata`, `Closed`.
    pub fn replacing(&self, key: EntryKey, ttl: Ttl) -> Result<Option<(EntryKey, CacheAttributes)>> {
        let Some(former) = self.get_entry(&key, false)? else { return Ok(None) };
        let entry = former.entry;
        let key = key.filed(&entry, self.store().config().store_cache_key_params)?;
        let (description, metadata) = (entry.description, entry.metadata);
        Ok(Some((key, CacheAttributes { description, metadata, ttl, computed: None })))
    }
}
