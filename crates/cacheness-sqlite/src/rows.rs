//! Entries as rows, and rows as entries.

use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{BlobRef, Computed, Entry, EntrySummary, Format, Glimpse, Location};
use cacheness_core::{Error, ErrorKind, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement};

use crate::error::{malformed, translate};
use crate::names::intern;

/// The columns of an entry except the key and the payload, in the order of the functions below.
macro_rules! columns {
    () => {
        "fingerprint, created_at, accessed_at, expires_at, access_count, handler, data_type, storage_format, \
         compression, object_type, handler_meta, file_size, file_hash, digest, signature, description, metadata, \
         params, raw_size, locator, computed, etag, version"
    };
}
pub(crate) use columns;

/// The column after [`columns`]: the payload, or the key in a row of a listing.
pub(crate) const LAST: usize = 23;

/// The parameters of a statement that writes a whole row: the key is 1, the columns follow, the payload is 25. NULLs
/// are not bound: a cached statement has no bindings.
pub(crate) fn bind_entry(statement: &mut Statement<'_>, entry: &Entry, location: &Location) -> Result<()> {
    let format = &entry.format;
    let size = signed_size(entry)?;
    let mut bind = |index: usize, value: &dyn rusqlite::ToSql| {
        statement.raw_bind_parameter(index, value).map_err(|e| translate("cannot write an entry", e))
    };
    bind(1, &entry.key.as_str())?;
    if let Some(fingerprint) = &entry.fingerprint {
        bind(2, &fingerprint.as_slice())?;
    }
    bind(3, &entry.created_at.0)?;
    bind(4, &entry.accessed_at.0)?;
    if let Some(time) = entry.expires_at {
        bind(5, &time.0)?;
    }
    bind(6, &i64::try_from(entry.access_count).unwrap_or(i64::MAX))?;
    bind(7, &&*format.handler)?;
    bind(8, &&*format.data_type)?;
    bind(9, &&*format.storage_format)?;
    bind(10, &&*format.compression)?;
    bind(11, &&*format.object_type)?;
    if !format.handler_meta.is_empty() {
        bind(12, &format.handler_meta.as_slice())?;
    }
    bind(13, &size)?;
    bind(14, &entry.file_hash.cast_signed())?;
    if let Some(digest) = &entry.digest {
        bind(15, &digest.as_slice())?;
    }
    if let Some(signature) = &entry.signature {
        bind(16, &signature.as_slice())?;
    }
    if let Some(description) = &entry.description {
        bind(17, &description.as_str())?;
    }
    if let Some(metadata) = &entry.metadata {
        bind(18, &metadata.as_str())?;
    }
    if let Some(params) = &entry.params {
        bind(19, &params.as_slice())?;
    }
    if let Some(size) = format.raw_size.and_then(|size| i64::try_from(size).ok()) {
        bind(20, &size)?;
    }
    if let Some(computed) = entry.computed {
        bind(22, &computed.to_bytes().as_slice())?;
    }
    match location {
        Location::Inline(bytes) => bind(25, &bytes.as_slice())?,
        Location::Blob(BlobRef { locator, size: _, etag, version }) => {
            bind(21, &locator.as_str())?;
            if let Some(etag) = etag {
                bind(23, &etag.as_str())?;
            }
            if let Some(version) = version {
                bind(24, &version.as_str())?;
            }
        }
    }
    Ok(())
}

/// The size of the payload as the database keeps it.
pub(crate) fn signed_size(entry: &Entry) -> Result<i64> {
    i64::try_from(entry.size).map_err(|_| {
        Error::new(ErrorKind::InvalidInput, format!("entry {}: no payload has {} bytes", entry.key, entry.size))
    })
}

/// Reads the columns of a row as fields of an entry; any other value is [`malformed`].
struct Columns<'a> {
    row: &'a Row<'a>,
    key: &'a str,
}

impl<'a> Columns<'a> {
    fn value(&self, index: usize) -> Result<ValueRef<'a>> {
        self.row.get_ref(index).map_err(|e| translate("cannot read an entry", e))
    }

    fn integer(&self, index: usize, what: &str) -> Result<i64> {
        match self.value(index)? {
            ValueRef::Integer(value) => Ok(value),
            _ => Err(malformed(self.key, what)),
        }
    }

    fn unsigned(&self, index: usize, what: &str) -> Result<u64> {
        u64::try_from(self.integer(index, what)?).map_err(|_| malformed(self.key, what))
    }

    fn optional_integer(&self, index: usize, what: &str) -> Result<Option<i64>> {
        match self.value(index)? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(value) => Ok(Some(value)),
            _ => Err(malformed(self.key, what)),
        }
    }

    fn optional_unsigned(&self, index: usize, what: &str) -> Result<Option<u64>> {
        let value = self.optional_integer(index, what)?;
        value.map(|value| u64::try_from(value).map_err(|_| malformed(self.key, what))).transpose()
    }

    fn optional_text(&self, index: usize, what: &str) -> Result<Option<&'a str>> {
        match self.value(index)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).map(Some).map_err(|_| malformed(self.key, what)),
            _ => Err(malformed(self.key, what)),
        }
    }

    fn text(&self, index: usize, what: &str) -> Result<&'a str> {
        self.optional_text(index, what)?.ok_or_else(|| malformed(self.key, what))
    }

    fn optional_blob(&self, index: usize, what: &str) -> Result<Option<&'a [u8]>> {
        match self.value(index)? {
            ValueRef::Null => Ok(None),
            ValueRef::Blob(bytes) => Ok(Some(bytes)),
            _ => Err(malformed(self.key, what)),
        }
    }

    fn optional_array<const N: usize>(&self, index: usize, what: &str) -> Result<Option<[u8; N]>> {
        let bytes = self.optional_blob(index, what)?;
        bytes.map(|bytes| bytes.try_into().map_err(|_| malformed(self.key, what))).transpose()
    }

    fn entry(&self, location: Location) -> Result<Entry> {
        Ok(Entry {
            key: self.key.to_owned(),
            fingerprint: self.optional_array(0, "fingerprint")?,
            created_at: Timestamp(self.integer(1, "creation time")?),
            accessed_at: Timestamp(self.integer(2, "access time")?),
            expires_at: self.optional_integer(3, "expiry")?.map(Timestamp),
            access_count: self.unsigned(4, "access count")?,
            format: Format {
                handler: intern(self.text(5, "handler")?),
                data_type: intern(self.text(6, "data type")?),
                storage_format: intern(self.text(7, "storage format")?),
                compression: intern(self.text(8, "compression")?),
                object_type: intern(self.text(9, "object type")?),
                handler_meta: self.optional_blob(10, "handler metadata")?.unwrap_or_default().to_vec(),
                raw_size: self.optional_unsigned(18, "raw size")?,
            },
            size: self.unsigned(11, "size")?,
            file_hash: self.integer(12, "hash")?.cast_unsigned(),
            digest: self.optional_array(13, "digest")?,
            signature: self.optional_array(14, "signature")?,
            description: self.optional_text(15, "description")?.map(str::to_owned),
            metadata: self.optional_text(16, "metadata")?.map(str::to_owned),
            params: self.optional_blob(17, "parameters")?.map(<[u8]>::to_vec),
            computed: self.optional_array(20, "computation")?.map(Computed::from_bytes),
            location,
        })
    }

    /// The blob, if the payload is one.
    fn blob(&self) -> Result<Option<BlobRef>> {
        let Some(locator) = self.optional_text(19, "locator")? else { return Ok(None) };
        Ok(Some(BlobRef {
            locator: locator.to_owned(),
            size: self.unsigned(11, "size")?,
            etag: self.optional_text(21, "entity tag")?.map(str::to_owned),
            version: self.optional_text(22, "version")?.map(str::to_owned),
        }))
    }
}

/// The entry of a row of [`columns`] and the payload.
pub(crate) fn entry(key: &str, row: &Row<'_>) -> Result<Entry> {
    let columns = Columns { row, key };
    let location = match columns.blob()? {
        Some(blob) => Location::Blob(blob),
        None => {
            let payload = columns.optional_blob(LAST, "payload")?.ok_or_else(|| malformed(key, "payload"))?;
            Location::Inline(payload.to_vec())
        }
    };
    columns.entry(location)
}

/// The entry of a row of [`columns`] and the key.
pub(crate) fn summary(row: &Row<'_>) -> Result<EntrySummary> {
    let key = Columns { row, key: "?" }.text(LAST, "key")?;
    let columns = Columns { row, key };
    let (location, inline) = match columns.blob()? {
        Some(blob) => (Location::Blob(blob), false),
        None => (Location::Inline(Vec::new()), true),
    };
    Ok(EntrySummary { entry: columns.entry(location)?, inline })
}

/// The glimpse of a row whose columns from `first` on are `cache_key, created_at, file_hash, metadata, params`.
pub(crate) fn glimpse<'a>(row: &'a Row<'_>, first: usize) -> Result<Glimpse<'a>> {
    let key = Columns { row, key: "?" }.text(first, "key")?;
    let columns = Columns { row, key };
    Ok(Glimpse {
        key,
        created_at: Timestamp(columns.integer(first + 1, "creation time")?),
        file_hash: columns.integer(first + 2, "hash")?.cast_unsigned(),
        metadata: columns.optional_text(first + 3, "metadata")?,
        params: columns.optional_blob(first + 4, "parameters")?,
    })
}
