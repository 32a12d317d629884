//! The store engine: the one place that knows both entries and blobs, and keeps them in step.
//!
//! # The commit protocol
//!
//! 1. A payload that is not inline becomes a new blob, durable in its place, under a locator that has never existed.
//! 2. One metadata transaction files the entry that names it.
//! 3. The blob of a replaced or removed entry is deleted after that transaction.
//!
//! A crash between the steps leaves a blob that nobody names, never an entry without its blob. A reader that holds the
//! former entry when its blob goes reads the entry again, once, and finds the new one.

mod hashes;
mod hot;
mod key;
#[cfg(all(test, loom))]
mod model;
mod read;
mod room;
mod share;
mod trust;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{BlobBackend, BlobHint, Locks};
use crate::backend::{EntryUpdate, Eviction, MetadataBackend, PutOptions, PutOutcome, Scan, Share};
use crate::backends::Reserve;
use crate::clock::{Clock, Timestamp};
use crate::config::StoreConfig;
use crate::entry::{Computed, Entry, EntrySummary, EntryVersion, Format, Location, Totals};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::payload::{Encoded, PayloadHash, Stored};
use crate::sign::{SignatureState, Signer};

use hot::{HotEntries, Writing};
pub use key::{EntryKey, MAX_NAME};
use room::{Doomed, Removal};
use share::EqualBlob;
pub use trust::IntegrityReport;

/// How many entries a pass over the whole store reads at a time.
const PAGE: usize = 1000;

/// How many entries one transaction removes: some 20 ms.
const REMOVED_AT_ONCE: usize = 1500;

/// How long others have the right to write to themselves between two such transactions: longer than a process that waits
/// for its turn sleeps before it looks again.
const OTHERS_TURN: Duration = Duration::from_micros(2500);

/// What is put beside a value.
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
    /// A payload of more bytes is refused.
    pub max_bytes: Option<u64>,
    /// The entry is pinned in the transaction that files it: no cache on this store evicts it.
    pub pinned: bool,
}

/// What [`Store::evict`] did.
#[derive(Clone, Copy, Debug, Default)]
pub struct EvictionStep {
    /// How many entries are gone.
    pub entries: u64,
    /// What is left.
    pub left: Totals,
}

/// How to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// Check the payload against its hash. Payloads whose decoding may run code are checked whatever this says.
    pub verify: bool,
    /// A wrong signature is an error; `false` returns the value with a warning in the log (never a pickle).
    pub strict: bool,
}

/// What became of a [`Store::fetch`].
#[derive(Debug)]
pub enum Fetched {
    /// There is no such entry.
    Missing,
    /// There is one, and the caller does not want it (it has expired).
    Declined,
    /// The entry of this key belongs to other parameters.
    Collision,
    /// The entry, its payload ready to be read.
    Found(Box<Stored>),
}

/// Keeps typed payloads under keys; knows no expiry and no eviction.
pub struct Store {
    /// No other store has it: entries kept in memory rely on that.
    metadata: Box<dyn MetadataBackend>,
    blobs: Arc<dyn BlobBackend>,
    signer: Option<Signer>,
    locks: Option<Arc<dyn Locks>>,
    reserve: Option<Reserve>,
    /// Whether an entry may become a miss before it is removed: see [`Store::that_forgets`].
    forgets: bool,
    config: StoreConfig,
    clock: Clock,
    hot: Option<HotEntries>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("metadata", &self.metadata).field("blobs", &self.blobs).finish_non_exhaustive()
    }
}

impl Store {
    /// A store on these backends. Without a signer nothing is signed, and nothing counts as signed.
    #[must_use]
    pub fn new(
        metadata: Box<dyn MetadataBackend>,
        blobs: Arc<dyn BlobBackend>,
        signer: Option<Signer>,
        config: StoreConfig,
        clock: Clock,
    ) -> Self {
        let hot = HotEntries::new(&config.memory);
        Self { metadata, blobs, signer, locks: None, reserve: None, forgets: false, config, clock, hot }
    }

    /// Adds what keeps computations apart between the processes that use the store.
    #[must_use]
    pub fn with_locks(mut self, locks: Arc<dyn Locks>) -> Self {
        self.locks = Some(locks);
        self
    }

    /// Adds room on the disk that is given up to remove entries when there is no other.
    #[must_use]
    pub fn with_reserve(mut self, reserve: Reserve) -> Self {
        self.reserve = Some(reserve);
        self
    }

    /// The store of a cache, whose entries may become misses: where the disk is full, the payload of an entry that is to
    /// be removed may go first, unless it is pinned.
    #[must_use]
    pub fn that_forgets(mut self) -> Self {
        self.forgets = true;
        self
    }

    /// What keeps computations apart between processes, where there is something.
    #[must_use]
    pub fn locks(&self) -> Option<&Arc<dyn Locks>> {
        self.locks.as_ref()
    }

    /// The options.
    #[must_use]
    pub fn config(&self) -> &StoreConfig {
        &self.config
    }

    /// Where the store takes the time from.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The metadata backend.
    #[must_use]
    pub fn metadata(&self) -> &dyn MetadataBackend {
        &*self.metadata
    }

    /// The blob backend.
    #[must_use]
    pub fn blobs(&self) -> &dyn BlobBackend {
        &*self.blobs
    }

    /// Whether entries are signed.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.signer.is_some()
    }

    /// Whether nothing can be written.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.metadata.is_read_only()
    }

    /// How values are read unless the caller says otherwise.
    #[must_use]
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions { verify: self.config.verify_cache_integrity, strict: true }
    }

    /// Stores `encoded` under `key`, replacing what is there. Returns the entry.
    ///
    /// Durable as [`Durability`](crate::config::Durability) says when it returns. After an error the former value is
    /// still there, and nothing of the new one.
    pub fn put(&self, key: &EntryKey, encoded: Encoded<'_>, attributes: PutAttributes) -> Result<Arc<Entry>> {
        self.refuse_if_read_only()?;
        self.refuse_code(&encoded.format)?;
        refuse_too_large(encoded.payload.size(), &attributes)?;
        let written = self.write(&key.stem(), encoded.payload, &encoded.extension, self.needs_digest())?;
        self.refuse_written(&written, &attributes)?;
        self.file(key, encoded.format, attributes, written)
    }

    /// Stores `encoded` under the digest of its content (32 hexadecimal digits, see `docs/formats/store.md`) and returns
    /// the entry. Equal payloads that are read as different values have different ones.
    pub fn put_by_content(&self, encoded: Encoded<'_>, attributes: PutAttributes) -> Result<Arc<Entry>> {
        self.refuse_if_read_only()?;
        self.refuse_code(&encoded.format)?;
        // The content is known when it has been written, and files are spread over directories by the first digits.
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
        self.file(&EntryKey::Name(content_key(&encoded.format, &digest)), encoded.format, attributes, written)
    }

    pub(crate) fn refuse_if_read_only(&self) -> Result<()> {
        if self.is_read_only() {
            return Err(Error::new(ErrorKind::ReadOnly, "the store is read-only, nothing can be written or removed"));
        }
        Ok(())
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

    /// Refuses what turned out to be too large when it was written, and removes it.
    fn refuse_written(&self, written: &write::Written, attributes: &PutAttributes) -> Result<()> {
        refuse_too_large(Some(written.hash.size), attributes).inspect_err(|_| {
            if let Some(own) = written.location.locator() {
                self.delete_blob(own);
            }
        })
    }

    fn file(
        &self,
        key: &EntryKey,
        format: Format,
        attributes: PutAttributes,
        written: write::Written,
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
            let outcome = self.commit_signed(&mut entry, |entry, confirm| {
                self.metadata.put(entry, PutOptions { share, pin: attributes.pinned, confirm: Some(confirm) })
            })?;
            Ok((outcome, equal))
        });
        match filed {
            Ok((outcome, equal)) => {
                failpoint::reached("put/committed");
                if let Some(EqualBlob { locator, .. }) = equal {
                    // Others may have been made to name another blob.
                    if let (false, Some(hot)) = (outcome.shared, &self.hot) {
                        hot.all_gone();
                    }
                    if outcome.displaced {
                        self.delete_blob(&locator);
                    }
                    if outcome.shared
                        && let Some(own) = entry.location.locator()
                    {
                        self.delete_blob(own);
                        entry.location = Location::Blob(locator);
                    }
                }
                self.delete_orphan(&outcome);
                let entry = Arc::new(entry);
                if let (Some(writing), Some(outside)) = (writing, outside) {
                    writing.keep(Arc::clone(&entry), self.signer.is_some(), outside, now);
                }
                failpoint::reached("put/done");
                Ok(entry)
            }
            Err(error) => {
                // An entry that may come to light after a crash must find its blob.
                if let Some(own) = entry.location.locator().filter(|_| !error.is_uncertain()) {
                    self.delete_blob(own);
                }
                Err(error)
            }
        }
    }

    /// Call it before the entry of `key` is changed, and drop what it returns after, whatever came of it.
    fn writing<'a>(&'a self, key: &'a str) -> Option<Writing<'a>> {
        self.hot.as_ref().map(|hot| hot.write(key))
    }

    /// The entry of `key` without its payload.
    pub fn get_entry(&self, key: &str) -> Result<Option<EntrySummary>> {
        self.metadata.get_summary(key)
    }

    /// Changes the description, metadata or times of an entry; `false` if there is none. An entry with a valid signature is
    /// signed again, one without stays without: signing it would vouch for a payload that anybody may have put there.
    ///
    /// `change` sees the entry as it is and says what changes; it may be called again if another writer was faster.
    ///
    /// # Errors
    /// `Signature` if the present signature is wrong: what was tampered with is not signed again.
    pub fn update_entry(&self, key: &str, mut change: impl FnMut(&Entry) -> Result<EntryUpdate>) -> Result<bool> {
        self.refuse_if_read_only()?;
        loop {
            let Some(EntrySummary { entry, .. }) = self.metadata.get_summary(key)? else { return Ok(false) };
            let state = self.check_signature(&entry)?;
            if state == SignatureState::Invalid {
                return Err(Error::new(ErrorKind::Signature, format!("entry {key}: its signature is wrong"))
                    .with_hint("put the value again"));
            }
            let mut update = change(&entry)?;
            let writing = self.writing(key);
            let updated = if state == SignatureState::Valid {
                let mut changed = entry.clone();
                update.apply(&mut changed);
                self.commit_signed(&mut changed, |changed, confirm| {
                    update.signature = Some(changed.signature);
                    self.metadata.update(key, &entry, &update, confirm)
                })
            } else {
                // This store does not sign: the signature would not fit any more.
                update.signature = entry.signature.map(|_| None);
                self.metadata.update(key, &entry, &update, &|| Ok(()))
            };
            drop(writing);
            failpoint::reached("update/committed");
            if updated? {
                return Ok(true);
            }
        }
    }

    /// Removes the entry of `key` and its payload; `false` if there was none.
    pub fn delete(&self, key: &str) -> Result<bool> {
        self.refuse_if_read_only()?;
        let mut removal = Removal::of(self);
        let writing = self.writing(key);
        let outcome = removal.run(Doomed::One(key), || self.metadata.delete(key));
        drop(writing);
        let outcome = outcome?;
        failpoint::reached("delete/committed");
        if let Some(outcome) = &outcome {
            self.delete_orphan(outcome);
        }
        Ok(outcome.is_some())
    }

    /// Removes `entry` if it is still the one filed under its key.
    pub fn delete_entry(&self, entry: &Entry) -> Result<bool> {
        Ok(self.delete_batch(&[entry.version()])?.is_empty())
    }

    /// Removes those of the entries that are still there in these versions, and returns the others: they are gone, or there
    /// in another version. Some of them are removed if it fails in the middle. Many are removed fastest in the order of
    /// their keys.
    pub fn delete_batch<'a>(&self, versions: &'a [EntryVersion]) -> Result<Vec<&'a EntryVersion>> {
        self.refuse_if_read_only()?;
        let mut others = Vec::new();
        for (i, batch) in versions.chunks(REMOVED_AT_ONCE).enumerate() {
            if i > 0 {
                std::thread::sleep(OTHERS_TURN);
            }
            let mut removal = Removal::of(self);
            let writing: Vec<_> = batch.iter().map(|version| self.writing(&version.key)).collect();
            let outcomes = removal.run(Doomed::Versions(batch), || self.metadata.delete_batch(batch));
            drop(writing);
            failpoint::reached("delete/committed");
            for (version, outcome) in batch.iter().zip(outcomes?) {
                match outcome {
                    Some(outcome) => self.delete_orphan(&outcome),
                    None => others.push(version),
                }
            }
        }
        Ok(others)
    }

    /// Keeps the entry of `key` from being evicted, or no longer; `false` if there is none.
    pub fn set_pinned(&self, key: &str, pinned: bool) -> Result<bool> {
        self.refuse_if_read_only()?;
        self.metadata.set_pinned(key, pinned)
    }

    /// The keys of all pinned entries, in ascending order.
    pub fn pinned(&self) -> Result<Vec<String>> {
        self.metadata.pinned()
    }

    /// Removes entries to make room.
    pub fn evict(&self, eviction: &Eviction<'_>) -> Result<EvictionStep> {
        self.refuse_if_read_only()?;
        let mut removal = Removal::of(self);
        let evicted = removal.run(Doomed::Chosen, || self.metadata.evict(eviction));
        if evicted.is_err()
            && let Some(hot) = &self.hot
        {
            hot.all_gone();
        }
        let evicted = evicted?;
        failpoint::reached("evict/committed");
        if let Some(hot) = &self.hot {
            evicted.keys.iter().for_each(|key| hot.gone(key));
        }
        for locator in &evicted.orphaned {
            self.delete_blob(locator);
        }
        Ok(EvictionStep { entries: evicted.keys.len() as u64, left: evicted.left })
    }

    /// Removes everything and returns how many entries there were.
    pub fn clear(&self) -> Result<u64> {
        self.refuse_if_read_only()?;
        let mut removal = Removal::of(self);
        let writing = self.hot.as_ref().map(HotEntries::write_all);
        let cleared = removal.run(Doomed::All, || {
            self.metadata.clear(&mut |locator| {
                failpoint::reached("clear/committed");
                self.delete_blob(locator);
            })
        });
        drop(writing);
        cleared
    }

    fn delete_orphan(&self, outcome: &PutOutcome) {
        if let Some(locator) = &outcome.orphaned {
            self.delete_blob(locator);
        }
    }

    /// A blob that cannot be deleted is left for `repair`: nobody names it, so nothing is wrong with any value.
    fn delete_blob(&self, locator: &str) {
        if let Err(error) = self.blobs.delete(locator) {
            log::warn!("cannot delete the blob {locator}: {}", error.with_causes());
        }
        failpoint::reached("blob/deleted");
    }

    /// Calls `visit` with every entry whose key starts with `prefix`, in the order of the keys, without payloads.
    ///
    /// Entries put or removed meanwhile may or may not be seen; all others are seen exactly once.
    pub fn for_each(&self, prefix: &str, mut visit: impl FnMut(EntrySummary) -> Result<()>) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let scan = Scan { prefix, after: after.as_deref(), limit: PAGE, expired_at: None };
            let page = self.metadata.scan(&scan)?;
            let last = page.len() < PAGE;
            after = page.last().map(|summary| summary.entry.key.clone());
            page.into_iter().try_for_each(&mut visit)?;
            if last {
                return Ok(());
            }
        }
    }

    /// Entries and bytes.
    pub fn totals(&self) -> Result<Totals> {
        self.metadata.totals()
    }

    /// When the oldest and the newest entry were put; `None` if there are none. Looks at all entries.
    pub fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        self.metadata.created_range()
    }

    /// Releases the resources; later calls fail with [`ErrorKind::Closed`].
    pub fn close(&self) -> Result<()> {
        // First the entries: who finds none opens no blob.
        let closed = self.metadata.close();
        if let Some(hot) = &self.hot {
            hot.all_gone();
        }
        let unlocked = self.locks.as_ref().map_or(Ok(()), |locks| locks.close());
        self.blobs.close().and(closed).and(unlocked)
    }
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
