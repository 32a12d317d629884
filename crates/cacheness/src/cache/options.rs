//! Options of a put and of a get.

use std::time::Duration;

use cacheness_core::backend::{CustomRows, Schema};
use cacheness_core::cache::{CacheAttributes, Ttl};
use cacheness_core::entry::Computed;
use cacheness_core::tags;
use cacheness_core::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::model::{ModelRow, ModelRows};

/// Options of a put: metadata, tags, rows of models, a description, a time to live.
///
/// ```
/// # use cacheness::PutOptions;
/// # use std::time::Duration;
/// let options = PutOptions::new()
///     .metadata(serde_json::json!({ "accuracy": 0.95 }))
///     .tags(["fraud", "eu"])
///     .description("baseline")
///     .ttl(Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    pub(super) metadata: Option<std::result::Result<serde_json::Value, String>>,
    tags: Vec<String>,
    rows: ModelRows,
    description: Option<String>,
    ttl: Ttl,
    /// How a function computed the value.
    pub(super) computed: Option<Computed>,
}

impl PutOptions {
    /// No metadata and no description; the cache's time to live.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Metadata that listings show and SQL can query: a map or struct with named fields. For anything else the put fails with
    /// `InvalidInput`.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Serialize) -> Self {
        self.metadata = Some(serde_json::to_value(metadata).map_err(|e| e.to_string()));
        self
    }

    /// Tags, kept in the field `tags` of the metadata, behind those that it has. For an empty tag, or metadata whose `tags` are
    /// no strings, the put fails with `InvalidInput`.
    #[must_use]
    pub fn tags<S: Into<String>>(mut self, tags: impl IntoIterator<Item = S>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Rows of a [model](trait@crate::MetadataModel), stored in the transaction of the entry and removed with it. Further calls
    /// add rows, of other models too. A put removes the rows that the entry had before. For a value that its column cannot keep,
    /// the put fails with `InvalidInput`.
    ///
    /// Without other options, rows take their place: `cache.put_with(&value, key, &[&row])`.
    #[must_use]
    pub fn custom_metadata<'a, R: ModelRow + ?Sized + 'a>(mut self, rows: impl IntoIterator<Item = &'a R>) -> Self {
        rows.into_iter().for_each(|row| self.rows.push(row));
        self
    }

    /// A sentence about the value.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// How long the entry is served after its put.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Ttl::Seconds(ttl.as_secs_f64());
        self
    }

    /// The entry never expires, whatever the cache's default is.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.ttl = Ttl::Forever;
        self
    }

    /// The rows, and their tables.
    pub(super) fn take_rows(&mut self) -> Result<(Vec<&'static Schema>, CustomRows)> {
        let (schemas, rows) = std::mem::take(&mut self.rows).finish()?;
        Ok((schemas, CustomRows::new(rows)))
    }

    pub(crate) fn into_attributes(self) -> Result<CacheAttributes> {
        let mut metadata = self.metadata.map(metadata_json).transpose()?;
        if !self.tags.is_empty() {
            metadata = tags::join(metadata, &self.tags)?;
        }
        Ok(CacheAttributes { description: self.description, metadata, ttl: self.ttl, computed: self.computed })
    }
}

/// Rows of a model; of several models as `&[&a as &dyn ModelRow, &b]`.
impl<R: ModelRow + ?Sized, const N: usize> From<&[&R; N]> for PutOptions {
    fn from(rows: &[&R; N]) -> Self {
        Self::new().custom_metadata(rows.iter().copied())
    }
}

/// Rows of a model.
impl<R: ModelRow + ?Sized> From<&[&R]> for PutOptions {
    fn from(rows: &[&R]) -> Self {
        Self::new().custom_metadata(rows.iter().copied())
    }
}

/// Metadata in the form of the store: a JSON object.
pub(super) fn metadata_json(metadata: std::result::Result<serde_json::Value, String>) -> Result<String> {
    match metadata {
        Ok(value @ serde_json::Value::Object(_)) => Ok(value.to_string()),
        Ok(_) => Err(Error::new(ErrorKind::InvalidInput, "the metadata is not a map")
            .with_hint("give a struct or a map with names as keys")),
        Err(error) => Err(Error::new(ErrorKind::Serialization, format!("the metadata cannot be stored: {error}"))),
    }
}

/// Options of a get.
///
/// ```
/// use cacheness::{GetOptions, prelude::*};
/// # use std::time::Duration;
/// # fn main() -> cacheness::Result<()> {
/// let cache = Cache::builder().in_memory().open()?;
/// cache.put(&42, params! { answer: true })?;
/// let recent = GetOptions::new().max_age(Duration::from_secs(60));
/// assert_eq!(cache.get_with(params! { answer: true }, recent)?, Some(42));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GetOptions {
    max_age: Option<Duration>,
}

impl GetOptions {
    /// Any value that has not expired.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only a value that was put, or touched, within this time; an older one counts as missing for this call, and stays.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    pub(super) fn max_age_seconds(self) -> Option<f64> {
        self.max_age.map(|age| age.as_secs_f64())
    }
}
