//! Finding entries by filters and by words, and what makes that fast: of caches and stores.

use std::collections::BTreeMap;
use std::time::Duration;

use cacheness_core::Result;
use cacheness_core::backend::{Page, Query};
use cacheness_core::cache::{CacheEngine, Report};
use cacheness_core::entry::EntrySummary;
use cacheness_core::query::{Field, Filter, Sort};
use cacheness_core::store::Store;

use crate::blob_store::BlobStore;
use crate::cache::{Cache, ttl_of};
use crate::info::EntryInfo;
use crate::key::IntoEntryKey;

#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    Cache(&'a CacheEngine),
    Store(&'a Store),
}

/// Entries that match a filter, expired ones too: made by [`Cache::find`] and [`BlobStore::find`].
///
/// ```
/// use cacheness::prelude::*;
/// use cacheness::serde_json::json;
///
/// # fn main() -> cacheness::Result<()> {
/// # let cache = Cache::builder().in_memory().open()?;
/// for (fold, accuracy) in [(0, 0.95), (1, 0.5), (2, 0.92)] {
///     let options = PutOptions::new().metadata(json!({ "accuracy": accuracy })).tags(["fraud"]);
///     cache.put_with(&fold, params! { model: "ridge", fold: fold }, options)?;
/// }
/// let good = field("accuracy").ge(0.9) & param("model").eq("ridge") & field("tags").eq("fraud");
/// let best = cache.find(good.clone()).sort("-accuracy").limit(1).entries()?;
/// assert_eq!(best[0].metadata()["accuracy"], 0.95);
/// assert_eq!(cache.find(good).count()?, 2);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Find<'a> {
    place: Place<'a>,
    filter: Filter,
    sort: Vec<String>,
    limit: Option<usize>,
    offset: usize,
    after: Option<String>,
}

impl<'a> Find<'a> {
    fn new(place: Place<'a>, filter: Filter) -> Self {
        Self { place, filter, sort: Vec::new(), limit: None, offset: 0, after: None }
    }

    /// Sorts by a field as filters name it, `"-accuracy"` for descending; further calls sort entries that are equal so far.
    /// By default entries are in the order of their keys.
    pub fn sort(mut self, field: impl Into<String>) -> Self {
        self.sort.push(field.into());
        self
    }

    /// At most this many entries.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Leaves out this many entries first.
    pub fn offset(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// Only entries whose key comes after this one: in the order of the keys, the last of the previous page.
    pub fn after(mut self, key: impl Into<String>) -> Self {
        self.after = Some(key.into());
        self
    }

    /// The entries.
    ///
    /// # Errors
    /// `InvalidInput` for a mistake in the filter or an order, and for `sort` beside `after`; `Serialization` for damaged
    /// metadata or parameters, if they are needed; `Metadata`, `Closed`.
    pub fn entries(&self) -> Result<Vec<EntryInfo>> {
        Ok(self.select()?.into_iter().map(EntryInfo::from).collect())
    }

    /// The keys of the entries.
    ///
    /// # Errors
    /// Those of [`Find::entries`].
    pub fn keys(&self) -> Result<Vec<String>> {
        Ok(self.select()?.into_iter().map(|found| found.entry.key).collect())
    }

    /// The number of entries that match, whatever the limit and the offset.
    ///
    /// # Errors
    /// Those of [`Find::entries`].
    pub fn count(&self) -> Result<u64> {
        match self.place {
            Place::Cache(engine) => engine.count(&self.filter),
            Place::Store(store) if self.filter.is_empty() => Ok(store.totals()?.entries),
            Place::Store(store) => store.metadata().count(&Query { filter: Some(&self.filter), ..Query::default() }),
        }
    }

    /// The entries whose description or metadata contain the words of `text` too, the most relevant first; the order, the
    /// offset and `after` do not apply. Needs the full-text index ([`Cache::create_text_index`]).
    ///
    /// `text` has the query language of SQLite's FTS5: all words must occur; `"a phrase"`, `detect*`, `OR` and `NOT`.
    ///
    /// # Errors
    /// Those of [`Find::entries`]; `InvalidInput` without an index, or if `text` is no query; `Unsupported` by the metadata
    /// backend.
    pub fn search(&self, text: &str) -> Result<Vec<EntryInfo>> {
        if self.limit == Some(0) {
            return Ok(Vec::new());
        }
        let limit = self.limit.unwrap_or(0);
        let found = match self.place {
            Place::Cache(engine) => engine.text_search(text, &self.filter, limit)?,
            Place::Store(store) => {
                let query = Query { filter: Some(&self.filter), ..Query::default() };
                store.metadata().text_search(text, &query, limit)?
            }
        };
        Ok(found.into_iter().map(EntryInfo::from).collect())
    }

    /// What the entries are together, and by type and by the fields `by`, as filters name them; the order, the limit, the
    /// offset and `after` do not apply.
    ///
    /// ```
    /// use cacheness::prelude::*;
    /// use cacheness::serde_json::json;
    ///
    /// # fn main() -> cacheness::Result<()> {
    /// # let cache = Cache::builder().in_memory().open()?;
    /// for (fold, model) in ["ridge", "lasso", "ridge"].into_iter().enumerate() {
    ///     let options = PutOptions::new().metadata(json!({ "model": model }));
    ///     cache.put_with(&fold, params! { fold: fold }, options)?;
    /// }
    /// let report = cache.find(Filter::all()).report(&["model"])?;
    /// assert_eq!(report.totals.entries, 3);
    /// assert_eq!(report.group("model", "ridge").unwrap().entries, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of [`Find::entries`]; `InvalidInput` for what is no field.
    pub fn report(&self, by: &[impl AsRef<str>]) -> Result<Report> {
        match self.place {
            Place::Cache(engine) => engine.report(&self.filter, by),
            Place::Store(store) => {
                let filter = (!self.filter.is_empty()).then_some(&self.filter);
                Report::of(store, &Query { filter, ..Query::default() }, by, store.clock().now())
            }
        }
    }

    fn select(&self) -> Result<Vec<EntrySummary>> {
        let sort = self.sort.iter().map(|field| Sort::parse(field)).collect::<Result<Vec<_>>>()?;
        let query = Query { filter: Some(&self.filter), sort: &sort, ..Query::default() };
        if self.limit == Some(0) {
            self.filter.check()?;
            return Ok(Vec::new());
        }
        let page = Page { after: self.after.as_deref(), offset: self.offset, limit: self.limit.unwrap_or(0) };
        match self.place {
            Place::Cache(engine) => engine.select(&query, &page),
            Place::Store(store) => store.metadata().select(&query, &page),
        }
    }
}

/// Methods that a cache and a store have alike. `$store` is the path to the engine's store.
macro_rules! both {
    ($type:ty, $place:path, $($store:ident)*) => {
        impl $type {
            /// Finds entries by a filter: see [`Find`].
            pub fn find(&self, filter: Filter) -> Find<'_> {
                Find::new($place(self.engine()), filter)
            }

            /// Creates an index of a field of the metadata (`"accuracy"`, `"config.depth"`), once for the store, which makes
            /// filters on it fast; `false` if there is one. Every later put keeps it up to date, in all processes.
            ///
            /// # Errors
            /// `InvalidInput` for what is not a field of the metadata; `Unsupported` by the metadata backend; `ReadOnly`,
            /// `Metadata`, `Closed`.
            pub fn create_index(&self, field: &str) -> Result<bool> {
                self.engine()$(.$store())*.metadata().create_index(&Field::parse(field)?)
            }

            /// Removes the index of a field; `false` if there is none.
            ///
            /// # Errors
            /// Those of [`create_index`](Self::create_index).
            pub fn drop_index(&self, field: &str) -> Result<bool> {
                self.engine()$(.$store())*.metadata().drop_index(&Field::parse(field)?)
            }

            /// The fields that have an index, in ascending order.
            ///
            /// # Errors
            /// `Metadata`, `Closed`.
            pub fn indexes(&self) -> Result<Vec<String>> {
                Ok(self.engine()$(.$store())*.metadata().indexes()?.iter().map(ToString::to_string).collect())
            }

            /// Creates the index for [`Find::search`], once for the store; `false` if there is one. Every later change of an
            /// entry keeps it up to date in the same transaction, and takes a little longer.
            ///
            /// # Errors
            /// `Unsupported` by the metadata backend; `ReadOnly`, `Metadata`, `Closed`.
            pub fn create_text_index(&self) -> Result<bool> {
                self.engine()$(.$store())*.metadata().create_text_index()
            }

            /// Removes the index for [`Find::search`]; `false` if there is none.
            ///
            /// # Errors
            /// Those of [`create_text_index`](Self::create_text_index).
            pub fn drop_text_index(&self) -> Result<bool> {
                self.engine()$(.$store())*.metadata().drop_text_index()
            }

            /// All tags, and how many entries have each, expired ones too. Scans all entries.
            ///
            /// # Errors
            /// `Serialization` for damaged metadata; `Metadata`, `Closed`.
            pub fn tags(&self) -> Result<BTreeMap<String, u64>> {
                self.engine()$(.$store())*.tags()
            }
        }
    };
}

both!(Cache, Place::Cache, store);
both!(BlobStore, Place::Store,);

impl Cache {
    /// Removes all entries that match a filter, expired ones too, and returns their number. The search is completed before
    /// anything is removed.
    ///
    /// ```
    /// # use cacheness::{prelude::*, serde_json::json};
    /// # fn main() -> cacheness::Result<()> {
    /// # let cache = Cache::builder().in_memory().open()?;
    /// for accuracy in [0.4, 0.6, 0.8] {
    ///     let options = PutOptions::new().metadata(json!({ "accuracy": accuracy }));
    ///     cache.put_with(&accuracy, params! { accuracy: accuracy }, options)?;
    /// }
    /// assert_eq!(cache.delete_filtered(&field("accuracy").lt(0.7))?, 2);
    /// assert!(cache.delete_filtered(&Filter::all()).is_err(), "clear() removes all");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for a filter with a mistake or without a condition; `Serialization` for an entry with damaged metadata
    /// or parameters, if they are needed; `Metadata`, `ReadOnly`, `Closed`.
    pub fn delete_filtered(&self, filter: &Filter) -> Result<u64> {
        self.engine().delete_matching(filter)
    }

    /// Restarts the age of all entries that match a filter, with this time to live (`None` for the default); returns the
    /// number of unexpired ones.
    ///
    /// # Errors
    /// Those of [`Cache::delete_filtered`] and [`Cache::touch`].
    pub fn touch_filtered(&self, filter: &Filter, ttl: Option<Duration>) -> Result<u64> {
        self.engine().touch_matching(filter, ttl_of(ttl))
    }

    /// Adds tags to an entry, expired or not, behind those that it has; `false` if there is none. If several callers change
    /// an entry at once, all changes count.
    ///
    /// ```
    /// # use cacheness::prelude::*;
    /// # fn main() -> cacheness::Result<()> {
    /// # let cache = Cache::builder().in_memory().open()?;
    /// cache.put(&1, Named("one"))?;
    /// assert!(cache.add_tags(Named("one"), ["odd", "small"])?);
    /// assert!(cache.remove_tags(Named("one"), ["small"])?);
    /// assert_eq!(cache.find(field("tags").eq("odd")).keys()?, ["one"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `KeyEncoding`; `InvalidInput` for an empty tag, and if the field `tags` of the metadata holds no strings; `Signature`
    /// if the entry's signature is wrong; `Metadata`, `ReadOnly`, `Closed`.
    pub fn add_tags<S: Into<String>>(&self, key: impl IntoEntryKey, tags: impl IntoIterator<Item = S>) -> Result<bool> {
        self.engine().change_tags(&self.entry_key(key)?, &strings(tags), &[])
    }

    /// Removes tags from an entry, if it has them; `false` if there is no entry.
    ///
    /// # Errors
    /// Those of [`Cache::add_tags`].
    pub fn remove_tags<S: Into<String>>(
        &self,
        key: impl IntoEntryKey,
        tags: impl IntoIterator<Item = S>,
    ) -> Result<bool> {
        self.engine().change_tags(&self.entry_key(key)?, &[], &strings(tags))
    }
}

impl BlobStore {
    /// Adds tags to an entry, behind those that it has; `false` if there is none. If several callers change an entry at once,
    /// all changes count.
    ///
    /// # Errors
    /// `InvalidInput` for an empty tag, and if the field `tags` of the metadata holds no strings; `Signature` if the entry's
    /// signature is wrong; `Metadata`, `ReadOnly`, `Closed`.
    pub fn add_tags<S: Into<String>>(&self, key: &str, tags: impl IntoIterator<Item = S>) -> Result<bool> {
        self.engine().change_tags(key, &strings(tags), &[])
    }

    /// Removes tags from an entry, if it has them; `false` if there is no entry.
    ///
    /// # Errors
    /// Those of [`BlobStore::add_tags`].
    pub fn remove_tags<S: Into<String>>(&self, key: &str, tags: impl IntoIterator<Item = S>) -> Result<bool> {
        self.engine().change_tags(key, &[], &strings(tags))
    }
}

fn strings<S: Into<String>>(tags: impl IntoIterator<Item = S>) -> Vec<String> {
    tags.into_iter().map(Into::into).collect()
}
