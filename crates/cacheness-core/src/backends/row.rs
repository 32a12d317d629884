//! An entry as a JSON object: in the file of the JSON backend, and in a record. Specified in `docs/formats/store.md`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::entries::Kept;
use super::fields::{Base64, Hex, Time};
use crate::entry::{BlobRef, Computed, Entry, Format, Location};

/// One entry. Missing fields are not written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row<'a> {
    pub(super) cache_key: Cow<'a, str>,
    /// Of a record, which a commit compares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<Cow<'a, str>>,
    /// The insertion order of the key, an increasing number.
    place: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pinned: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    /// The user's metadata, exactly as given: signatures cover the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Cow<'a, RawValue>>,
    created_at: Time,
    accessed_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Time>,
    access_count: u64,
    data_type: Cow<'a, str>,
    object_type: Cow<'a, str>,
    handler: Cow<'a, str>,
    storage_format: Cow<'a, str>,
    compression: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    handler_meta: Option<Base64<'a>>,
    file_size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw_size: Option<u64>,
    file_hash: Hex<8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Hex<32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Hex<16>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<Hex<32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    params: Option<Base64<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    computed: Option<Hex<24>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locator: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<Base64<'a>>,
}

/// Writes a JSON object as such, so that it is readable, and any other text as a string.
fn raw(text: &str) -> Cow<'_, RawValue> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) if raw.get().len() == text.len() && text.starts_with('{') => Cow::Borrowed(raw),
        _ => quoted(text),
    }
}

/// Writes a text as a string.
fn quoted(text: &str) -> Cow<'_, RawValue> {
    let quoted = serde_json::to_string(text).expect("a string is always valid JSON");
    Cow::Owned(RawValue::from_string(quoted).expect("it has just been made"))
}

/// The reverse of [`raw`] and [`quoted`].
fn cooked(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => Some(text.to_owned()),
        Some(b'"') => serde_json::from_str(text).ok(),
        _ => None,
    }
}

impl<'a> Row<'a> {
    /// The row of a file that people read: metadata is an object in it.
    pub(super) fn of(kept: &'a Kept) -> Self {
        Self { metadata: kept.entry.metadata.as_deref().map(raw), ..Self::bare(kept) }
    }

    /// The row of a record, which passes through other programs: they may write an object in another way, and a signature
    /// covers the text.
    pub(super) fn of_record(kept: &'a Kept, revision: &'a str) -> Self {
        let metadata = kept.entry.metadata.as_deref().map(quoted);
        Self { metadata, revision: Some(Cow::Borrowed(revision)), ..Self::bare(kept) }
    }

    /// Without metadata.
    fn bare(Kept { entry, place, pinned }: &'a Kept) -> Self {
        let Format { handler, data_type, storage_format, compression, object_type, handler_meta, raw_size } =
            &entry.format;
        let (payload, blob) = match &entry.location {
            Location::Inline(bytes) => (Some(Base64(Cow::Borrowed(&bytes[..]))), None),
            Location::Blob(blob) => (None, Some(blob)),
        };
        Self {
            cache_key: Cow::Borrowed(&entry.key),
            revision: None,
            place: *place,
            pinned: *pinned,
            description: entry.description.as_deref().map(Cow::Borrowed),
            metadata: None,
            created_at: Time(entry.created_at),
            accessed_at: Time(entry.accessed_at),
            expires_at: entry.expires_at.map(Time),
            access_count: entry.access_count,
            data_type: Cow::Borrowed(data_type),
            object_type: Cow::Borrowed(object_type),
            handler: Cow::Borrowed(handler),
            storage_format: Cow::Borrowed(storage_format),
            compression: Cow::Borrowed(compression),
            handler_meta: (!handler_meta.is_empty()).then(|| Base64(Cow::Borrowed(&handler_meta[..]))),
            file_size: entry.size,
            raw_size: *raw_size,
            file_hash: Hex(entry.file_hash.to_be_bytes()),
            digest: entry.digest.map(Hex),
            fingerprint: entry.fingerprint.map(Hex),
            signature: entry.signature.map(Hex),
            params: entry.params.as_deref().map(|bytes| Base64(Cow::Borrowed(bytes))),
            computed: entry.computed.map(|computed| Hex(computed.to_bytes())),
            locator: blob.map(|blob| Cow::Borrowed(blob.locator.as_str())),
            etag: blob.and_then(|blob| blob.etag.as_deref()).map(Cow::Borrowed),
            version: blob.and_then(|blob| blob.version.as_deref()).map(Cow::Borrowed),
            payload,
        }
    }

    /// The entry, or why the row is invalid.
    pub(super) fn into_kept(self) -> std::result::Result<Kept, &'static str> {
        let location = match (self.payload, self.locator) {
            (Some(payload), None) => Location::Inline(payload.0.into_owned()),
            (None, Some(locator)) => Location::Blob(BlobRef {
                locator: locator.into_owned(),
                size: self.file_size,
                etag: self.etag.map(Cow::into_owned),
                version: self.version.map(Cow::into_owned),
            }),
            _ => return Err("must have exactly one of payload and locator"),
        };
        let metadata = match &self.metadata {
            Some(raw) => Some(cooked(raw).ok_or("has metadata that is not an object")?),
            None => None,
        };
        let name = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let entry = Entry {
            key: self.cache_key.into_owned(),
            fingerprint: self.fingerprint.map(|hex| hex.0),
            created_at: self.created_at.0,
            accessed_at: self.accessed_at.0,
            expires_at: self.expires_at.map(|time| time.0),
            access_count: self.access_count,
            format: Format {
                handler: name(self.handler),
                data_type: name(self.data_type),
                storage_format: name(self.storage_format),
                compression: name(self.compression),
                object_type: name(self.object_type),
                handler_meta: self.handler_meta.map(|bytes| bytes.0.into_owned()).unwrap_or_default(),
                raw_size: self.raw_size,
            },
            size: self.file_size,
            file_hash: u64::from_be_bytes(self.file_hash.0),
            digest: self.digest.map(|hex| hex.0),
            signature: self.signature.map(|hex| hex.0),
            description: self.description.map(Cow::into_owned),
            metadata,
            params: self.params.map(|bytes| bytes.0.into_owned()),
            computed: self.computed.map(|hex| Computed::from_bytes(hex.0)),
            location,
        };
        Ok(Kept { entry, place: self.place, pinned: self.pinned })
    }
}
