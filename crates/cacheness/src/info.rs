//! Entries in listings.

use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Computed, Entry, EntrySummary};
use cacheness_core::{Result, key};
use serde_json::{Map, Value};

/// An entry of a listing: everything except the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryInfo {
    entry: Entry,
    inline: bool,
}

impl From<EntrySummary> for EntryInfo {
    fn from(EntrySummary { entry, inline }: EntrySummary) -> Self {
        Self { entry, inline }
    }
}

impl EntryInfo {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self { entry: entry.clone(), inline: entry.location.locator().is_none() }
    }

    /// 16 hexadecimal digits, or the name the value was put under.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.entry.key
    }

    /// The kind of the value: `plain`, `array`, `dataframe`, `table`, `object`, …
    #[must_use]
    pub fn data_type(&self) -> &str {
        &self.entry.format.data_type
    }

    /// The type of the value in the language that wrote it.
    #[must_use]
    pub fn object_type(&self) -> &str {
        &self.entry.format.object_type
    }

    /// The storage format: `msgpack`, `b2nd`, `npy`, `parquet`, …
    #[must_use]
    pub fn storage_format(&self) -> &str {
        &self.entry.format.storage_format
    }

    /// The codec: `none`, `lz4`, `zstd`, …
    #[must_use]
    pub fn compression(&self) -> &str {
        &self.entry.format.compression
    }

    /// The handler that wrote it.
    #[must_use]
    pub fn handler(&self) -> &str {
        &self.entry.format.handler
    }

    /// Bytes as stored.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.entry.size
    }

    /// Bytes before compression, if known: of plain data and pickles as encoded, of an array's items, of a table's columns in
    /// memory. For an uncompressed payload, its [`size`](Self::size).
    #[must_use]
    pub fn original_size(&self) -> Option<u64> {
        self.entry.format.original_size(self.entry.size)
    }

    /// Whether the payload is stored inside the entry.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        self.inline
    }

    /// The file of the payload, relative to the store's directory, if it has one.
    #[must_use]
    pub fn locator(&self) -> Option<&str> {
        self.entry.location.locator()
    }

    /// The time of the put.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.entry.created_at
    }

    /// The time of the last flushed read.
    #[must_use]
    pub fn accessed_at(&self) -> Timestamp {
        self.entry.accessed_at
    }

    /// The number of flushed reads.
    #[must_use]
    pub fn access_count(&self) -> u64 {
        self.entry.access_count
    }

    /// The seconds that the computation of the value took; `None` if the cache did not compute it.
    #[must_use]
    pub fn compute_seconds(&self) -> Option<f64> {
        self.entry.computed.map(Computed::seconds)
    }

    /// The time of expiry.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.entry.expires_at
    }

    /// The user's description.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.entry.description.as_deref()
    }

    /// XXH3-64 of the payload, as 16 hexadecimal digits.
    #[must_use]
    pub fn file_hash(&self) -> String {
        format!("{:016x}", self.entry.file_hash)
    }

    /// Whether the entry has a signature (not whether it is valid).
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.entry.signature.is_some()
    }

    /// The user's metadata; empty if none was given. Types that JSON lacks are tagged objects, see
    /// `docs/formats/metadata.md`.
    #[must_use]
    pub fn metadata(&self) -> Map<String, Value> {
        let parsed = self.entry.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok());
        parsed.unwrap_or_default()
    }

    /// The tags: the strings in the field `tags` of the metadata.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        match self.metadata().remove("tags") {
            Some(Value::Array(tags)) => tags.into_iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect(),
            Some(Value::String(tag)) => vec![tag],
            _ => Vec::new(),
        }
    }

    /// The parameters of the key in readable form, if the store keeps them.
    pub fn params(&self) -> Result<Option<Value>> {
        self.entry.params.as_deref().map(key::render).transpose()
    }

    /// The name of the decorated function (`my_crate::function`, `module.function`), if there is one.
    #[must_use]
    pub fn function(&self) -> Option<String> {
        self.entry.caption().function
    }

    /// A description in one line: the call of the function (`module.function(origin="EWR", window=3)`), the parameters
    /// (`fold=3, model="xgboost"`), or the entry's name. At most 200 characters, without control characters.
    #[must_use]
    pub fn call(&self) -> String {
        self.entry.caption().call
    }

    /// The whole entry.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }
}
