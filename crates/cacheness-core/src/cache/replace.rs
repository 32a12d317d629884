//! New values for entries that are there.

use super::{CacheAttributes, CacheEngine, Ttl};
use crate::error::{Error, ErrorKind, Result};
use crate::key::CacheKey;
use crate::store::EntryKey;

impl CacheEngine {
    /// What to put a new value of the entry of `key` with: the key that the entry is filed under, its description and its
    /// metadata. `None` if there is no entry that has not expired.
    ///
    /// A key that names the entry by its digits leads to the parameters that the entry was put with, by which it must be
    /// found again.
    ///
    /// # Errors
    /// `InvalidInput` if these parameters were not kept; `Metadata`, `Closed`.
    pub fn replacing(&self, key: EntryKey, ttl: Ttl) -> Result<Option<(EntryKey, CacheAttributes)>> {
        let Some(former) = self.get_entry(&key, false)? else { return Ok(None) };
        let entry = former.entry;
        let keeps_params = self.store().config().store_cache_key_params;
        let key = match (key.fingerprint(), entry.fingerprint) {
            (None, Some(fingerprint)) => match (u64::from_str_radix(&entry.key, 16), entry.params) {
                (Ok(digits), Some(params)) => EntryKey::from_params(CacheKey(digits), fingerprint, params),
                (Ok(digits), None) if !keeps_params => EntryKey::from_params(CacheKey(digits), fingerprint, Vec::new()),
                _ => {
                    let sentence = format!("entry {}: its parameters were not kept", entry.key);
                    return Err(
                        Error::new(ErrorKind::InvalidInput, sentence).with_hint("name the entry by its parameters")
                    );
                }
            },
            _ => key,
        };
        let (description, metadata) = (entry.description, entry.metadata);
        Ok(Some((key, CacheAttributes { description, metadata, ttl, computed: None })))
    }
}
