//! Options of a put and of a get.

use std::time::Duration;

use cacheness_core::cache::{CacheAttributes, Ttl};
use cacheness_core::entry::Computed;
use cacheness_core::tags;
use cacheness_core::{Error, ErrorKind, Result};
use serde::Serialize;

/// Options of a put: metadata, tags, a description, a time to live.
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

    pub(crate) fn into_attributes(self) -> Result<CacheAttributes> {
        let mut metadata = self.metadata.map(metadata_json).transpose()?;
        if !self.tags.is_empty() {
            metadata = tags::join(metadata, &self.tags)?;
        }
        Ok(CacheAttributes { description: self.description, metadata, ttl: self.ttl, computed: self.computed })
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
