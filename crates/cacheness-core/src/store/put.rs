//! Puts: a value is written as a blob or into the entry, signed and committed.

use std::sync::Arc;

use super::share::EqualBlob;
use super::{EntryKey, Store, write};
use crate::backend::{BlobHint, CustomRow, CustomRows, Operation, Outcome, Put, PutOutcome, Share};
use crate::clock::Timestamp;
use crate::entry::{Computed, Entry, Format, Location};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::payload::{Encoded, PayloadHash};

/// What is stored with a value.
#[derive(Clone, Debug, Default)]
pub struct PutAttributes {
    /// A sentence about the value.
    pub description: Option<String>,
    /// The user's metadata: a JSON object.
    pub metadata: Option<String>,
    /// How a function computed the value.
    pub computed: Option<Computed>,
    /// When the cache layer stops serving the entry.
    pub expires_at: Option<Timestamp>,
    /// The maximum payload size in bytes; larger payloads are refused.
    pub max_bytes: Option<u64>,
    /// Pins the entry in the transaction that stores it: no cache on this store evicts it.
    pub pinned: bool,
}

impl Store {
    /// Stores `encoded` under `key`, replacing an existing entry. Returns the new entry.
    ///
    /// When it returns, the entry is as durable as [`Durability`](crate::config::Durability) says. After an error the
    /// previous value is intact and nothing of the new one remains.
    pub fn put(&self, key: &EntryKey, encoded: Encoded<'_>, attributes: PutAttributes) -> Result<Arc<Entry>> {
        self.put_with(key, encoded, attributes, CustomRows::none())
    }

    /// [`Store::put`] with rows of user-defined tables, in the same transaction.
    ///
    /// # Errors
    /// `Unsupported` if the metadata backend keeps no such rows, `Constraint` if a table refuses one.
    pub fn put_with(
        &self,
        key: &EntryKey,
        encoded: Encoded<'_>,
        attributes: PutAttributes,
        rows: &CustomRows,
    ) -> Result<Arc<Entry>> {
        self.refuse_if_read_only()?;
        self.refuse_rows(rows)?;
        self.refuse_code(&encoded.format)?;
        refuse_too_large(encoded.payload.size(), &attributes)?;
        let written = self.write(&key.stem(), encoded.payload, &encoded.extension, self.needs_digest())?;
        self.refuse_written(&written, &attributes)?;
        self.file(key, encoded.format, attributes, written, rows)
    }

    fn refuse_rows(&self, rows: &CustomRows) -> Result<()> {
        match rows.rows().first() {
            Some(row) if !self.capability.custom_rows => Err(self.metadata.no_custom_rows(&row.table)),
            _ => Ok(()),
        }
    }

    /// Stores `encoded` under the digest of its content (32 hexadecimal digits, see `docs/formats/store.md`) and
    /// returns the entry. Equal payloads that decode to different values have different digests.
    pub fn put_by_content(&self, encoded: Encoded<'_>, attributes: PutAttributes) -> Result<Arc<Entry>> {
        self.put_by_content_with(encoded, attributes, CustomRows::none())
    }

    /// [`Store::put_by_content`] with rows of user-defined tables, in the same transaction.
    ///
    /// # Errors
    /// Those of [`Store::put_with`].
    pub fn put_by_content_with(
        &self,
        encoded: Encoded<'_>,
        attributes: PutAttributes,
        rows: &CustomRows,
    ) -> Result<Arc<Entry>> {
        self.refuse_if_read_only()?;
        self.refuse_rows(rows)?;
        self.refuse_code(&encoded.format)?;
        // The digest is known only after the payload is written, and the first digits spread files over directories.
        let stem = format!("{:016x}", getrandom::u64().map_err(no_random)?);
        refuse_too_large(encoded.payload.size(), &attributes)?;
        let written = self.write(&stem, encoded.payload, &encoded.extension, true)?;
        self.refuse_written(&written, &attributes)?;
        let digest = match (&written.hash.digest, &written.location) {
            (Some(digest), _) => *digest,
            (None, Location::Inline(bytes)) => *blake3::hash(bytes).as_bytes(),
            (None, Location::Blob(_)) => {
                return Err(Error::new(ErrorKind::Storage, "a payload was written without the digest of its content"));
            }
        };
        self.file(&EntryKey::Name(content_key(&encoded.format, &digest)), encoded.format, attributes, written, rows)
    }

    fn needs_digest(&self) -> bool {
        self.signer.is_some() || self.config.content_addressable
    }

    fn write(
        &self,
        stem: &str,
        payload: crate::payload::Payload<'_>,
        extension: &str,
        digest: bool,
    ) -> Result<write::Written> {
        let hint = BlobHint { stem, extension, size: payload.size() };
        write::write_payload(&*self.blobs, hint, payload, self.config.inline_threshold_bytes, digest)
    }

    /// Refuses a payload that proved too large when it was written, and deletes it.
    fn refuse_written(&self, written: &write::Written, attributes: &PutAttributes) -> Result<()> {
        refuse_too_large(Some(written.hash.size), attributes).inspect_err(|_| {
            if let Some(own) = written.location.locator() {
                self.delete_blobs(&[own]);
            }
        })
    }

    fn file(
        &self,
        key: &EntryKey,
        format: Format,
        attributes: PutAttributes,
        written: write::Written,
        rows: &CustomRows,
    ) -> Result<Arc<Entry>> {
        let write::Written { location, hash: PayloadHash { size, file_hash, digest } } = written;
        let now = self.clock.now();
        let params = match key {
            EntryKey::Params { encoding, .. } if self.config.store_cache_key_params => Some(encoding.clone()),
            _ => None,
        };
        let mut entry = Entry {
            key: key.as_str().to_owned(),
            fingerprint: key.fingerprint().copied(),
            created_at: now,
            accessed_at: now,
            expires_at: attributes.expires_at,
            access_count: 0,
            format,
            size,
            file_hash: file_hash.expect("every payload is hashed when it is written"),
            digest,
            signature: None,
            description: attributes.description,
            metadata: attributes.metadata,
            params,
            computed: attributes.computed,
            location,
        };
        let equal = self.equal_blob(&entry);
        let outside = self.hot.as_ref().and_then(|_| self.metadata.outside_changes());
        let writing = self.writing(key.as_str());
        failpoint::reached("put/blob");
        let filed = equal.and_then(|equal| {
            let share = equal.as_ref().map_or(Share::No, EqualBlob::share);
            let outcome = self.commit_put(&mut entry, share, attributes.pinned, rows.rows());
            let outcome =
                outcome.map_err(|error| if rows.rows().is_empty() { error } else { self.forget_tables(error) })?;
            Ok((outcome, equal))
        });
        match filed {
            Ok((outcome, equal)) => {
                failpoint::reached("put/committed");
                if let Some(EqualBlob { blob, .. }) = equal {
                    // The commit may have made other entries name another blob.
                    if let (false, Some(hot)) = (outcome.shared, &self.hot) {
                        hot.all_gone();
                    }
                    if outcome.shared
                        && let Some(own) = entry.location.locator()
                    {
                        self.delete_blobs(&[own]);
                        entry.location = Location::Blob(blob);
                    }
                }
                self.delete_orphans(outcome.orphaned);
                rows.committed(outcome.row_ids);
                let entry = Arc::new(entry);
                if let (Some(writing), Some(outside)) = (writing, outside) {
                    writing.keep(Arc::clone(&entry), self.signer.is_some(), outside, now);
                }
                failpoint::reached("put/done");
                Ok(entry)
            }
            Err(error) => {
                // If the outcome is unknown, the entry may exist after a crash and needs its blob.
                if let Some(own) = entry.location.locator().filter(|_| !error.is_uncertain()) {
                    self.delete_blobs(&[own]);
                }
                Err(error)
            }
        }
    }

    fn commit_put(&self, entry: &mut Entry, share: Share<'_>, pin: bool, rows: &[CustomRow]) -> Result<PutOutcome> {
        let mut seal = self.seal();
        loop {
            seal.sign(entry)?;
            match self.commit_sealed(&mut seal, Operation::Put(Put { entry, share, pin, rows }))? {
                Some(Outcome::Put(outcome)) => return Ok(outcome),
                Some(other) => return Err(unexpected(&other)),
                None => {}
            }
        }
    }
}

/// The error for a backend that violates its contract.
#[cold]
pub(super) fn unexpected(outcome: &Outcome) -> Error {
    Error::new(ErrorKind::Metadata, format!("the metadata backend answered an operation with {outcome:?}"))
}

fn no_random(error: getrandom::Error) -> Error {
    Error::new(ErrorKind::Storage, "the system gives no random numbers").with_source(error)
}

/// The key of a payload with this digest, read as `format` says.
fn content_key(format: &Format, digest: &[u8; 32]) -> String {
    let Format { handler, data_type, storage_format, compression, object_type, handler_meta, raw_size: _ } = format;
    let mut hasher = blake3::Hasher::new_derive_key("cacheness content key v1");
    let names = [handler, data_type, storage_format, compression, object_type].map(|name| name.as_bytes());
    for part in names.into_iter().chain([handler_meta.as_slice()]) {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    hasher.update(digest);
    hasher.finalize().as_bytes()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refuse_too_large(size: Option<u64>, attributes: &PutAttributes) -> Result<()> {
    match (size, attributes.max_bytes) {
        (Some(size), Some(max)) if size > max => {
            Err(Error::new(ErrorKind::Full, format!("the value takes {size} bytes and the whole cache may take {max}"))
                .with_hint("raise max_cache_size_mb, or store the value elsewhere; nothing has been changed"))
        }
        _ => Ok(()),
    }
}
