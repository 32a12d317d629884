//! The content of records. Specified in `docs/formats/records.md`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::RecordStore;
use crate::backends::entries::Kept;
use crate::backends::fields::{Hex, Time};
use crate::backends::row::Row;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};

/// The names of all fields that records have.
pub const RECORD_FIELDS: &[&str] = &[
    "cache_key",
    "revision",
    "place",
    "pinned",
    "description",
    "metadata",
    "created_at",
    "accessed_at",
    "expires_at",
    "access_count",
    "data_type",
    "object_type",
    "handler",
    "storage_format",
    "compression",
    "handler_meta",
    "file_size",
    "raw_size",
    "file_hash",
    "digest",
    "fingerprint",
    "signature",
    "params",
    "computed",
    "locator",
    "etag",
    "version",
    "payload",
    "signing_key",
    "names",
    "due",
    "entries",
    "bytes",
];

/// The keys of records that are not entries begin with this.
pub const RESERVED: &str = "~cacheness/";

pub(super) const SIGNING_KEY: &str = "~cacheness/signing_key";
pub(super) const BLOB: &str = "~cacheness/blob/";
pub(super) const GARBAGE: &str = "~cacheness/garbage/";
pub(super) const TOTALS: &str = "~cacheness/totals/";
/// The number of records that hold the totals: two commits that change the same one are made one after the other.
pub(super) const PARTS: u8 = 16;

pub(super) fn key_of_blob(locator: &str) -> String {
    format!("{BLOB}{locator}")
}

pub(super) fn key_of_garbage(locator: &str) -> String {
    format!("{GARBAGE}{locator}")
}

pub(super) fn key_of_totals(part: u8) -> String {
    format!("{TOTALS}{part:02x}")
}

/// A record that is not an entry.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State<'a> {
    cache_key: Cow<'a, str>,
    revision: Cow<'a, str>,
    /// Of [`SIGNING_KEY`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signing_key: Option<Hex<16>>,
    /// Of [`BLOB`]: how many entries name the blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) names: Option<u64>,
    /// Of [`GARBAGE`]: when the blob is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<Time>,
    /// Of [`TOTALS`]: may be negative, the parts are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) entries: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<i64>,
}

impl<'a> State<'a> {
    pub(super) fn signing_key(key: [u8; 16]) -> Self {
        Self { signing_key: Some(Hex(key)), ..Self::default() }
    }

    pub(super) fn names(count: u64) -> Self {
        Self { names: Some(count), ..Self::default() }
    }

    pub(super) fn due(at: Timestamp) -> Self {
        Self { due: Some(Time(at)), ..Self::default() }
    }

    pub(super) fn totals(entries: i64, bytes: i64) -> Self {
        Self { entries: Some(entries), bytes: Some(bytes), ..Self::default() }
    }

    /// Reads the record of `key`.
    pub(super) fn read(backend: &str, key: &str, text: &'a str) -> Result<Self> {
        match serde_json::from_str::<Self>(text) {
            Ok(state) if state.cache_key == key => Ok(state),
            Ok(state) => Err(damaged(backend, key, format_args!("it is that of {:?}", state.cache_key))),
            Err(error) => Err(damaged(backend, key, error)),
        }
    }

    pub(super) fn write(self, key: &str) -> Result<String> {
        let state = State { cache_key: key.into(), revision: new_revision()?.into(), ..self };
        Ok(serde_json::to_string(&state).expect("plain fields are always valid JSON"))
    }
}

/// The record of an entry, with its revision.
pub(super) fn record(kept: &Kept) -> Result<String> {
    let revision = new_revision()?;
    Ok(serde_json::to_string(&Row::of_record(kept, &revision)).expect("plain fields are always valid JSON"))
}

/// Reads the record of the entry of `key`.
pub(super) fn entry(backend: &str, key: &str, text: &str) -> Result<Kept> {
    let row = serde_json::from_str::<Row<'_>>(text).map_err(|error| damaged(backend, key, error))?;
    let kept = row.into_kept().map_err(|problem| damaged(backend, key, problem))?;
    if kept.entry.key == key {
        return Ok(kept);
    }
    Err(damaged(backend, key, format_args!("it is that of {:?}", kept.entry.key)))
}

/// What every record has.
#[derive(Deserialize)]
pub(super) struct Header<'a> {
    #[serde(borrow)]
    pub(super) cache_key: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) revision: Cow<'a, str>,
}

impl<'a> Header<'a> {
    pub(super) fn read(backend: &str, text: &'a str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::new(
                ErrorKind::Metadata,
                format!("the metadata backend {backend} returned what is no record: {error}"),
            )
            .with_hint("a backend returns records as it was given them")
        })
    }
}

/// The records of `keys`; refuses an answer of another length.
pub(super) fn get(store: &impl RecordStore, keys: &[&str]) -> Result<Vec<Option<String>>> {
    let found = store.get(keys)?;
    if found.len() == keys.len() {
        return Ok(found);
    }
    let what = format!(
        "the metadata backend {} was asked for {} records and returned {}",
        store.name(),
        keys.len(),
        found.len()
    );
    Err(Error::new(ErrorKind::Metadata, what)
        .with_hint("a backend returns one result per key, None where there is none"))
}

pub(super) fn damaged(backend: &str, key: &str, problem: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Metadata,
        format!("the record of {key:?} in the metadata backend {backend} is damaged: {problem}"),
    )
    .with_hint("nothing has been changed; put the record back from a copy, or remove it with the backend's own tools")
}

/// Random: a forked child must not repeat the revisions of its parent.
fn new_revision() -> Result<String> {
    let random = getrandom::u64()
        .map_err(|e| Error::new(ErrorKind::Metadata, format!("the system gives no random bytes: {e}")))?;
    Ok(format!("{random:016x}"))
}
