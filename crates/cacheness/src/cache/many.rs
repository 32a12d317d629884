//! Many entries in one call.

use std::time::Duration;

use cacheness_core::Result;
use cacheness_core::cache::{Freshness, InPlace, Wanted};
use cacheness_core::entry::{EntrySummary, EntryVersion};
use cacheness_core::query::Filter;
use cacheness_core::storable::Loadable;
use cacheness_core::store::EntryKey;
use serde::Serialize;

use super::options::metadata_json;
use super::{Cache, GetOptions, ttl_of};
use crate::info::EntryInfo;
use crate::key::IntoEntryKey;

/// The number of entries that one transaction removes.
const REMOVED: usize = 6000;

impl Cache {
    /// The values of several entries, in the order of the given keys. Each has its own result, as from [`get`](Self::get), so
    /// that one failure does not lose the others.
    ///
    /// ```
    /// # use cacheness::{Params, prelude::*};
    /// # fn main() -> cacheness::Result<()> {
    /// # let cache = Cache::builder().in_memory().open()?;
    /// for fold in 0..2 {
    ///     cache.put(f64::from(fold), params! { fold: fold })?;
    /// }
    /// let scores = cache.get_batch::<f64>((0..3).map(|fold| Params::new().with("fold", fold)));
    /// assert_eq!(scores.into_iter().collect::<Result<Vec<_>, _>>()?, [Some(0.0), Some(1.0), None]);
    /// # Ok(()) }
    /// ```
    pub fn get_batch<T: Loadable>(&self, keys: impl IntoIterator<Item: IntoEntryKey>) -> Vec<Result<Option<T>>> {
        let store = self.engine.store();
        let keys: Vec<Result<EntryKey>> = keys.into_iter().map(|key| self.entry_key(key)).collect();
        let max_age = GetOptions::default().max_age_seconds();
        let wanted = Wanted { max_age, freshness: Freshness::default(), options: store.read_options() };
        let valid: Vec<(EntryKey, Wanted)> = keys.iter().flatten().map(|key| (key.clone(), wanted)).collect();
        let found = self.engine.read_batch(&valid, &InPlace, |_, stored| T::decode(stored));
        let mut found = match found {
            Ok(found) => found.into_iter(),
            // Then every key gets its own error.
            Err(_) => valid.into_iter().map(|(key, _)| self.get(key)).collect::<Vec<_>>().into_iter(),
        };
        keys.into_iter().map(|key| key.and_then(|_| found.next().unwrap_or(Ok(None)))).collect()
    }

    /// Removes several entries and returns the number of removed ones.
    ///
    /// ```
    /// # use cacheness::prelude::*;
    /// # fn main() -> cacheness::Result<()> {
    /// # let cache = Cache::builder().in_memory().open()?;
    /// cache.put(1, Named("one"))?;
    /// assert_eq!(cache.delete_batch([Named("one"), Named("two")])?, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `KeyEncoding` for a key, before anything is removed; `Metadata`, `ReadOnly`, `Closed`.
    pub fn delete_batch(&self, keys: impl IntoIterator<Item: IntoEntryKey>) -> Result<u64> {
        let keys: Vec<EntryKey> = keys.into_iter().map(|key| self.entry_key(key)).collect::<Result<_>>()?;
        self.engine.invalidate_batch(&keys)
    }

    /// Removes all entries for which `chosen` is true, including expired ones, and returns their number. Nothing is removed
    /// before `chosen` has been called for all of them.
    ///
    /// ```
    /// # use cacheness::prelude::*;
    /// # fn main() -> cacheness::Result<()> {
    /// # let cache = Cache::builder().in_memory().open()?;
    /// cache.put("text", params! { part: 1 })?;
    /// cache.put(&ndarray::Array1::<f64>::zeros(100), params! { part: 2 })?;
    /// assert_eq!(cache.delete_where(|entry| entry.data_type() == "array" && entry.size() > 100)?, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Metadata`, `ReadOnly`, `Closed`.
    pub fn delete_where(&self, mut chosen: impl FnMut(&EntryInfo) -> bool) -> Result<u64> {
        let mut found: Vec<EntryVersion> = Vec::new();
        let mut choose = |summary: EntrySummary, found: &mut Vec<EntryVersion>| {
            let version = summary.entry.version();
            if chosen(&EntryInfo::from(summary)) {
                found.push(version);
            }
        };
        self.engine.for_each(|summary| {
            choose(summary, &mut found);
            Ok(())
        })?;
        let mut removed = 0;
        loop {
            found.sort_unstable();
            let mut changed = Vec::new();
            // Also if nothing was chosen, so that a read-only cache fails.
            for part in found.chunks(REMOVED).chain(found.is_empty().then_some(&[][..])) {
                let removal = self.engine.delete_batch(part)?;
                removed += removal.count;
                // Touched or replaced since: `chosen` is called again.
                for summary in removal.changed {
                    choose(summary, &mut changed);
                }
            }
            found = changed;
            if found.is_empty() {
                return Ok(removed);
            }
        }
    }

    /// Removes all entries with these values in their metadata or, if that lacks the name, in the parameters of their key;
    /// returns their number. Numbers are compared by value, `1` is `1.0`.
    ///
    /// ```
    /// # use cacheness::prelude::*;
    /// # fn main() -> cacheness::Result<()> {
    /// # let cache = Cache::builder().in_memory().open()?;
    /// let options = || PutOptions::new().metadata(serde_json::json!({ "project": "demo" }));
    /// cache.put_with(&1, params! { step: 1 }, options())?;
    /// cache.put_with(&2, params! { step: 2 }, options())?;
    /// assert_eq!(cache.delete_matching(serde_json::json!({ "project": "demo", "step": 2 }))?, 1);
    /// assert!(cache.exists(params! { step: 1 })?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` if the values are not a map or are empty; `Serialization` for an entry with damaged metadata, after
    /// which some entries may have been removed; `Metadata`, `ReadOnly`, `Closed`.
    pub fn delete_matching(&self, values: impl Serialize) -> Result<u64> {
        let values = metadata_json(serde_json::to_value(values).map_err(|e| e.to_string()))?;
        self.engine.delete_matching(&Filter::named_json(&values)?)
    }

    /// Restarts the time to live of all entries with these values, found as by [`delete_matching`](Self::delete_matching),
    /// with this time to live (`None` for the default); returns the number of unexpired ones.
    ///
    /// ```
    /// # use cacheness::prelude::*;
    /// # use std::time::Duration;
    /// # fn main() -> cacheness::Result<()> {
    /// # let cache = Cache::builder().in_memory().open()?;
    /// cache.put(1, params! { project: "demo", step: 1 })?;
    /// cache.put(2, params! { project: "other", step: 1 })?;
    /// let hour = Some(Duration::from_secs(3600));
    /// assert_eq!(cache.touch_batch(serde_json::json!({ "project": "demo" }), hour)?, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of [`Cache::delete_matching`] and [`Cache::touch`]; some may have been touched.
    pub fn touch_batch(&self, values: impl Serialize, ttl: Option<Duration>) -> Result<u64> {
        let values = metadata_json(serde_json::to_value(values).map_err(|e| e.to_string()))?;
        self.engine.touch_matching(&Filter::named_json(&values)?, ttl_of(ttl))
    }
}
