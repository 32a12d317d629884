//! The content of `cache_metadata.json`. Specified in `docs/formats/store.md`.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::fields::{Base64, Hex, Time};
use crate::backends::entries::{Entries, Kept};
use crate::entry::{BlobRef, Computed, Entry, Format, Location};
use crate::error::{Error, ErrorKind, Result};

/// The version that this release writes, and the newest it reads.
const FORMAT: u64 = 1;
/// Distinguishes the file from the JSON of other programs.
const APPLICATION: &str = "cacheness";

/// The file as it is written.
#[derive(Serialize)]
struct Written<'a> {
    format: u64,
    application: &'static str,
    written_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_key: Option<Hex<16>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    garbage: Vec<Garbage<'a>>,
    entries: Rows<'a>,
}

/// A blob that no entry names any more.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Garbage<'a> {
    locator: Cow<'a, str>,
    due: Time,
}

struct Rows<'a>(&'a Entries);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Row::of))
    }
}

/// The file as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    format: u64,
    application: Cow<'a, str>,
    #[allow(dead_code)] // read through `Header`, even if the rest is unreadable
    written_by: Cow<'a, str>,
    #[serde(default)]
    signing_key: Option<Hex<16>>,
    #[serde(default)]
    garbage: Vec<Garbage<'a>>,
    entries: Vec<Row<'a>>,
}

/// The part that is read of a file of any program and any version.
#[derive(Deserialize)]
struct Header {
    format: Option<u64>,
    application: Option<String>,
    written_by: Option<String>,
}

/// One entry. Missing fields are not written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row<'a> {
    cache_key: Cow<'a, str>,
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
        _ => {
            let quoted = serde_json::to_string(text).expect("a string is always valid JSON");
            Cow::Owned(RawValue::from_string(quoted).expect("it has just been made"))
        }
    }
}

/// The reverse of [`raw`].
fn cooked(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => Some(text.to_owned()),
        Some(b'"') => serde_json::from_str(text).ok(),
        _ => None,
    }
}

impl<'a> Row<'a> {
    fn of(Kept { entry, place, pinned }: &'a Kept) -> Self {
        let Format { handler, data_type, storage_format, compression, object_type, handler_meta, raw_size } =
            &entry.format;
        let (payload, blob) = match &entry.location {
            Location::Inline(bytes) => (Some(Base64(Cow::Borrowed(&bytes[..]))), None),
            Location::Blob(blob) => (None, Some(blob)),
        };
        Self {
            cache_key: Cow::Borrowed(&entry.key),
            place: *place,
            pinned: *pinned,
            description: entry.description.as_deref().map(Cow::Borrowed),
            metadata: entry.metadata.as_deref().map(raw),
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
    fn into_kept(self) -> std::result::Result<Kept, &'static str> {
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

/// Writes the file.
pub(super) fn write(entries: &Entries, out: impl Write) -> std::io::Result<()> {
    let written_by = env!("CARGO_PKG_VERSION");
    let garbage = entries.garbage().iter().map(|(locator, due)| Garbage { locator: locator.into(), due: Time(*due) });
    let document = Written {
        format: FORMAT,
        application: APPLICATION,
        written_by,
        signing_key: entries.signing_key().map(Hex),
        garbage: garbage.collect(),
        entries: Rows(entries),
    };
    let layout = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(out, layout);
    document.serialize(&mut serializer)?;
    serializer.into_inner().write_all(b"\n")
}

/// Reads the content of the file at `path`.
///
/// # Errors
/// `NotAStore` for JSON of another program, `NewerFormat`, `Metadata` for damage.
pub(super) fn read(content: &[u8], path: &Path) -> Result<Entries> {
    let damaged = |problem: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Metadata, format!("{} is damaged: {problem}", path.display())).with_hint(
            "nothing has been changed; put the file back from a copy. To begin with an empty store, remove it and the \
                 directory blobs: all entries are lost then",
        )
    };
    let document = match serde_json::from_slice::<Read<'_>>(content) {
        Ok(document) if document.application == APPLICATION && document.format == FORMAT => document,
        other => {
            let header = match serde_json::from_slice::<Header>(content) {
                Ok(header) => header,
                Err(error) if error.is_data() => return Err(not_a_store(path)),
                Err(error) => return Err(damaged(&error)),
            };
            return Err(match header.format {
                _ if header.application.as_deref() != Some(APPLICATION) => not_a_store(path),
                Some(format) if format > FORMAT => newer(format, header.written_by),
                Some(FORMAT) => match other {
                    Err(error) => damaged(&error),
                    Ok(_) => not_a_store(path),
                },
                _ => damaged(&"it does not name a format"),
            });
        }
    };
    let mut entries = Entries::default();
    let garbage = document.garbage.into_iter().map(|garbage| (garbage.locator.into_owned(), garbage.due.0));
    entries.restore(garbage.collect(), document.signing_key.map(|hex| hex.0));
    for row in document.entries {
        let key = row.cache_key.clone().into_owned();
        let kept = row.into_kept().map_err(|problem| damaged(&format_args!("entry {key:?} {problem}")))?;
        if !entries.load(kept) {
            return Err(damaged(&format_args!("entry {key:?} occurs twice, or its size is impossible")));
        }
    }
    Ok(entries)
}

fn not_a_store(path: &Path) -> Error {
    Error::new(ErrorKind::NotAStore, format!("{} belongs to another program", path.display()))
        .with_hint("give another directory: cacheness only uses files that it has created")
}

fn newer(format: u64, written_by: Option<String>) -> Error {
    let by = written_by.map_or_else(|| "a newer release".to_owned(), |release| format!("cacheness {release}"));
    Error::new(
        ErrorKind::NewerFormat,
        format!(
            "the store was written by {by} in format {format}; this release, {}, reads formats up to {FORMAT}",
            env!("CARGO_PKG_VERSION")
        ),
    )
    .with_hint(format!("install {by}, or use another directory"))
}
