//! Entries as rows, and rows as entries.

use std::borrow::Cow;

use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{BlobRef, Computed, Entry, EntrySummary, Format, Glimpse, Location, Name};
use cacheness_core::key::{Caption, render};
use cacheness_core::{Error, ErrorKind, Result};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::document;
use crate::error::malformed;
use crate::link::Param;
use crate::text::{checked_key, escape, unescape};

/// The columns of an entry without its payload, in the order of [`summary`].
pub(crate) const SUMMARY: &str = "cache_key, fingerprint, created_at, accessed_at, expires_at, access_count, handler, \
    data_type, storage_format, compression, object_type, handler_meta, file_size, file_hash, digest, signature, \
    description, metadata, params, raw_size, locator, computed, etag, version";

/// The column after [`SUMMARY`].
pub(crate) const LAST: usize = 24;

/// The columns that a put writes, in the order of [`Written::params`].
pub(crate) const WRITTEN: [(&str, &str); 30] = [
    ("cache_key", "text"),
    ("fingerprint", "bytea"),
    ("created_at", "bigint"),
    ("accessed_at", "bigint"),
    ("expires_at", "bigint"),
    ("access_count", "bigint"),
    ("handler", "text"),
    ("data_type", "text"),
    ("storage_format", "text"),
    ("compression", "text"),
    ("object_type", "text"),
    ("handler_meta", "bytea"),
    ("file_size", "bigint"),
    ("file_hash", "bigint"),
    ("digest", "bytea"),
    ("signature", "bytea"),
    ("description", "text"),
    ("metadata", "text"),
    ("params", "bytea"),
    ("raw_size", "bigint"),
    ("locator", "text"),
    ("computed", "bytea"),
    ("etag", "text"),
    ("version", "text"),
    ("payload", "bytea"),
    ("pinned", "boolean"),
    ("document", "jsonb"),
    ("params_json", "text"),
    ("function", "text"),
    ("call", "text"),
];

/// The size of the payload as the database keeps it.
pub(crate) fn signed_size(entry: &Entry) -> Result<i64> {
    i64::try_from(entry.size).map_err(|_| {
        Error::new(ErrorKind::InvalidInput, format!("entry {}: no payload has {} bytes", entry.key, entry.size))
    })
}

/// The values of an entry's row.
pub(crate) struct Written<'a> {
    key: &'a str,
    fingerprint: Option<&'a [u8]>,
    created_at: i64,
    accessed_at: i64,
    expires_at: Option<i64>,
    access_count: i64,
    names: [Cow<'a, str>; 5],
    handler_meta: Option<&'a [u8]>,
    size: i64,
    file_hash: i64,
    digest: Option<&'a [u8]>,
    signature: Option<&'a [u8]>,
    description: Option<Cow<'a, str>>,
    metadata: Option<Cow<'a, str>>,
    params: Option<&'a [u8]>,
    raw_size: Option<i64>,
    locator: Option<&'a str>,
    computed: Option<Vec<u8>>,
    etag: Option<Cow<'a, str>>,
    version: Option<Cow<'a, str>>,
    payload: Option<&'a [u8]>,
    pinned: bool,
    document: Option<String>,
    params_json: Option<String>,
    function: Option<String>,
    call: Option<String>,
}

impl<'a> Written<'a> {
    pub(crate) fn new(entry: &'a Entry, location: &'a Location, pinned: bool) -> Result<Self> {
        let format = &entry.format;
        let blob = location.blob();
        let caption = entry.params.as_deref().and_then(|params| Caption::of_params(params).ok());
        let owned = |text: &str| escape(text).into_owned();
        Ok(Self {
            key: checked_key(&entry.key)?,
            fingerprint: entry.fingerprint.as_ref().map(<[u8; 16]>::as_slice),
            created_at: entry.created_at.0,
            accessed_at: entry.accessed_at.0,
            expires_at: entry.expires_at.map(|time| time.0),
            access_count: i64::try_from(entry.access_count).unwrap_or(i64::MAX),
            names: [
                &format.handler,
                &format.data_type,
                &format.storage_format,
                &format.compression,
                &format.object_type,
            ]
            .map(|name| escape(name)),
            handler_meta: Some(format.handler_meta.as_slice()).filter(|meta| !meta.is_empty()),
            size: signed_size(entry)?,
            file_hash: entry.file_hash.cast_signed(),
            digest: entry.digest.as_ref().map(<[u8; 32]>::as_slice),
            signature: entry.signature.as_ref().map(<[u8; 32]>::as_slice),
            description: entry.description.as_deref().map(escape),
            metadata: entry.metadata.as_deref().map(escape),
            params: entry.params.as_deref(),
            raw_size: format.raw_size.and_then(|size| i64::try_from(size).ok()),
            locator: blob.map(|blob| checked_key(&blob.locator)).transpose()?,
            computed: entry.computed.map(|computed| computed.to_bytes().to_vec()),
            etag: blob.and_then(|blob| blob.etag.as_deref()).map(escape),
            version: blob.and_then(|blob| blob.version.as_deref()).map(escape),
            payload: match location {
                Location::Inline(bytes) => Some(bytes),
                Location::Blob(_) => None,
            },
            pinned,
            document: document::of(entry.metadata.as_deref()),
            params_json: entry
                .params
                .as_deref()
                .and_then(|params| render(params).ok())
                .map(|json| owned(&json.to_string())),
            function: caption.as_ref().and_then(|caption| caption.function.as_deref()).map(owned),
            call: caption.as_ref().map(|caption| owned(&caption.call)),
        })
    }

    /// In the order of [`WRITTEN`].
    pub(crate) fn params(&'a self) -> Vec<Param<'a>> {
        let [handler, data_type, storage_format, compression, object_type] = &self.names;
        vec![
            &self.key,
            &self.fingerprint,
            &self.created_at,
            &self.accessed_at,
            &self.expires_at,
            &self.access_count,
            handler,
            data_type,
            storage_format,
            compression,
            object_type,
            &self.handler_meta,
            &self.size,
            &self.file_hash,
            &self.digest,
            &self.signature,
            &self.description,
            &self.metadata,
            &self.params,
            &self.raw_size,
            &self.locator,
            &self.computed,
            &self.etag,
            &self.version,
            &self.payload,
            &self.pinned,
            &self.document,
            &self.params_json,
            &self.function,
            &self.call,
        ]
    }
}

/// Reads the columns of a row as fields of an entry; any other value is [`malformed`].
struct Columns<'a> {
    row: &'a Row,
    key: &'a str,
}

impl<'a> Columns<'a> {
    fn value<T: FromSql<'a>>(&self, index: usize, what: &str) -> Result<T> {
        self.row.try_get(index).map_err(|_| malformed(self.key, what))
    }

    fn unsigned(&self, index: usize, what: &str) -> Result<u64> {
        u64::try_from(self.value::<i64>(index, what)?).map_err(|_| malformed(self.key, what))
    }

    fn array<const N: usize>(&self, index: usize, what: &str) -> Result<Option<[u8; N]>> {
        let bytes: Option<&[u8]> = self.value(index, what)?;
        bytes.map(|bytes| bytes.try_into().map_err(|_| malformed(self.key, what))).transpose()
    }

    fn text(&self, index: usize, what: &str) -> Result<Option<String>> {
        Ok(self.value::<Option<&str>>(index, what)?.map(|text| unescape(text).into_owned()))
    }

    fn name(&self, index: usize, what: &str) -> Result<Name> {
        Ok(Cow::Owned(unescape(self.value::<&str>(index, what)?).into_owned()))
    }
}

/// The entry in a row of [`SUMMARY`], with an empty payload, and whether its payload is inline.
pub(crate) fn summary(row: &Row) -> Result<EntrySummary> {
    let key: &str = row.try_get(0).map_err(|_| malformed("?", "key"))?;
    let columns = Columns { row, key };
    let size = columns.unsigned(12, "size")?;
    let locator: Option<String> = columns.value(20, "locator")?;
    let inline = locator.is_none();
    let location = match locator {
        None => Location::Inline(Vec::new()),
        Some(locator) => Location::Blob(BlobRef {
            locator,
            size,
            etag: columns.text(22, "etag")?,
            version: columns.text(23, "version")?,
        }),
    };
    let entry = Entry {
        key: key.to_owned(),
        fingerprint: columns.array(1, "fingerprint")?,
        created_at: Timestamp(columns.value(2, "creation time")?),
        accessed_at: Timestamp(columns.value(3, "access time")?),
        expires_at: columns.value::<Option<i64>>(4, "expiry")?.map(Timestamp),
        access_count: columns.unsigned(5, "access count")?,
        format: Format {
            handler: columns.name(6, "handler")?,
            data_type: columns.name(7, "data type")?,
            storage_format: columns.name(8, "storage format")?,
            compression: columns.name(9, "compression")?,
            object_type: columns.name(10, "object type")?,
            handler_meta: columns.value::<Option<&[u8]>>(11, "handler metadata")?.map(Vec::from).unwrap_or_default(),
            raw_size: columns
                .value::<Option<i64>>(19, "original size")?
                .map(|size| u64::try_from(size).map_err(|_| malformed(key, "original size")))
                .transpose()?,
        },
        size,
        file_hash: columns.value::<i64>(13, "hash")?.cast_unsigned(),
        digest: columns.array(14, "digest")?,
        signature: columns.array(15, "signature")?,
        description: columns.text(16, "description")?,
        metadata: columns.text(17, "metadata")?,
        params: columns.value::<Option<&[u8]>>(18, "parameters")?.map(Vec::from),
        computed: columns.array(21, "computation")?.map(Computed::from_bytes),
        location,
    };
    Ok(EntrySummary { entry, inline })
}

/// The entry in a row of [`SUMMARY`] and the payload.
pub(crate) fn entry(row: &Row) -> Result<Entry> {
    let EntrySummary { mut entry, inline } = summary(row)?;
    if inline {
        let columns = Columns { row, key: &entry.key };
        let payload: Option<&[u8]> = columns.value(LAST, "payload")?;
        let payload = payload.ok_or_else(|| malformed(&entry.key, "payload"))?;
        if payload.len() as u64 != entry.size {
            return Err(malformed(&entry.key, "payload"));
        }
        entry.location = Location::Inline(payload.to_vec());
    }
    Ok(entry)
}

/// What the evaluator looks at, of a summary.
pub(crate) fn glimpse(summary: &EntrySummary) -> Glimpse<'_> {
    Glimpse::from(&summary.entry)
}
