//! Entries and blobs in the memory of this process: for tests, and for caches that need not outlive it.
//!
//! A forked child has a copy of its own. Fork while no other thread is inside a call on it: the locks are copied too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;

use super::locator::{Locator, new_name};
use crate::blob::{BlobBackend, BlobHint, BlobReader, BlobWriter};
use crate::entry::{Entry, EntrySummary, Location, Totals};
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::{
    Access, EntryUpdate, Evicted, Eviction, EvictionOrder, MetadataBackend, PutOptions, PutOutcome, Scan,
};

/// Keeps entries in memory.
#[derive(Default)]
pub struct MemoryMetadata {
    /// `None` once it is closed.
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    entries: BTreeMap<String, Entry>,
    /// How many entries name a blob.
    named: HashMap<String, u64>,
    /// Keys of the entries with a blob of this digest and size, in the order of the keys.
    shared: HashMap<([u8; 32], u64), BTreeMap<String, ()>>,
    pinned: BTreeSet<String>,
    /// When each key came, as a number that grows.
    places: HashMap<String, u64>,
    next_place: u64,
    totals: Totals,
}

impl State {
    fn open(&self) -> Result<&Self> {
        if self.closed { Err(closed()) } else { Ok(self) }
    }

    fn open_mut(&mut self) -> Result<&mut Self> {
        if self.closed { Err(closed()) } else { Ok(self) }
    }

    /// Removes the entry of `key` and returns it with the locator that nobody names any more.
    fn remove(&mut self, key: &str) -> Option<(Entry, Option<String>)> {
        let entry = self.entries.remove(key)?;
        self.pinned.remove(key);
        self.places.remove(key);
        self.totals.entries -= 1;
        self.totals.bytes -= entry.size;
        let Location::Blob(locator) = &entry.location else { return Some((entry, None)) };
        if let Some(digest) = entry.digest {
            let same = (digest, entry.size);
            if let Some(keys) = self.shared.get_mut(&same) {
                keys.remove(key);
                if keys.is_empty() {
                    self.shared.remove(&same);
                }
            }
        }
        let count = self.named.get_mut(locator).expect("every locator of an entry is counted");
        *count -= 1;
        if *count > 0 {
            return Some((entry, None));
        }
        let orphan = self.named.remove_entry(locator).map(|(locator, _)| locator);
        Some((entry, orphan))
    }

    fn insert(&mut self, entry: Entry) {
        self.totals.entries += 1;
        self.totals.bytes += entry.size;
        if let Location::Blob(locator) = &entry.location {
            *self.named.entry(locator.clone()).or_default() += 1;
            if let Some(digest) = entry.digest {
                self.shared.entry((digest, entry.size)).or_default().insert(entry.key.clone(), ());
            }
        }
        self.next_place += 1;
        self.places.insert(entry.key.clone(), self.next_place);
        self.entries.insert(entry.key.clone(), entry);
    }

    /// The keys of the entries that may go, the first to go first.
    fn candidates(&self, eviction: &Eviction<'_>) -> Vec<String> {
        let place = |entry: &Entry| self.places.get(&entry.key).copied().unwrap_or(0);
        let rank = |entry: &Entry| {
            let accessed = entry.accessed_at.0;
            let expired = entry.expires_at.is_some_and(|time| time <= eviction.expired_at);
            let (first, second) = match eviction.order {
                EvictionOrder::LeastRecentlyRead => (accessed, 0),
                EvictionOrder::LeastOftenRead => (i64::try_from(entry.access_count).unwrap_or(i64::MAX), accessed),
                EvictionOrder::FirstIn => (0, 0),
            };
            (!expired, first, second, place(entry))
        };
        let may_go = |entry: &&Entry| entry.key != eviction.keep && !self.pinned.contains(&entry.key);
        let mut ranked: Vec<_> = self.entries.values().filter(may_go).map(|entry| (rank(entry), &entry.key)).collect();
        ranked.sort_unstable();
        ranked.into_iter().take(eviction.count).map(|(_, key)| key.clone()).collect()
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store has been closed")
}

fn summary(entry: &Entry) -> EntrySummary {
    let inline = matches!(entry.location, Location::Inline(_));
    let location = match &entry.location {
        Location::Inline(_) => Location::Inline(Vec::new()),
        Location::Blob(locator) => Location::Blob(locator.clone()),
    };
    let entry = Entry {
        key: entry.key.clone(),
        format: entry.format.clone(),
        description: entry.description.clone(),
        metadata: entry.metadata.clone(),
        params: entry.params.clone(),
        location,
        ..*entry
    };
    EntrySummary { entry, inline }
}

fn is_same(entry: &Entry, expected: &Entry) -> bool {
    entry.created_at == expected.created_at && entry.file_hash == expected.file_hash
}

impl MemoryMetadata {
    /// A backend without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl fmt::Debug for MemoryMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryMetadata")
    }
}

impl MetadataBackend for MemoryMetadata {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn get(&self, key: &str) -> Result<Option<Entry>> {
        Ok(self.state.read().open()?.entries.get(key).cloned())
    }

    fn get_summary(&self, key: &str) -> Result<Option<EntrySummary>> {
        Ok(self.state.read().open()?.entries.get(key).map(summary))
    }

    fn put(&self, entry: &Entry, options: PutOptions) -> Result<PutOutcome> {
        let mut entry = entry.clone();
        let mut state = self.state.write();
        let state = state.open_mut()?;
        let mut outcome = PutOutcome::default();
        // An own blob that is named already must not be deleted, so it is not exchanged for another one.
        let may_share =
            options.share_blob && entry.location.locator().is_some_and(|own| !state.named.contains_key(own));
        let kept = (state.places.get(&entry.key).copied(), state.pinned.contains(&entry.key));
        let former = state.remove(&entry.key);
        if let (true, Some(digest)) = (may_share, entry.digest) {
            let keys = state.shared.get(&(digest, entry.size));
            let other = keys.and_then(|keys| keys.first_key_value()).and_then(|(key, ())| state.entries.get(key));
            if let Some(locator) = other.and_then(|other| other.location.locator()) {
                outcome.shared = Some(locator.to_owned());
                entry.location = Location::Blob(locator.to_owned());
            }
        }
        if let Some((former, orphan)) = former {
            outcome.replaced = true;
            outcome.orphaned = orphan.filter(|orphan| entry.location.locator() != Some(orphan));
            entry.access_count = former.access_count;
        }
        let key = entry.key.clone();
        state.insert(entry);
        if kept.1 {
            state.pinned.insert(key.clone());
        }
        if let Some(place) = kept.0 {
            state.places.insert(key, place);
        }
        Ok(outcome)
    }

    fn update(&self, key: &str, expected: &Entry, update: &EntryUpdate) -> Result<bool> {
        let mut state = self.state.write();
        let Some(entry) = state.open_mut()?.entries.get_mut(key) else { return Ok(false) };
        let unchanged = entry.metadata == expected.metadata && entry.description == expected.description;
        if !is_same(entry, expected) || !unchanged {
            return Ok(false);
        }
        update.apply(entry);
        Ok(true)
    }

    fn delete(&self, key: &str) -> Result<Option<PutOutcome>> {
        let removed = self.state.write().open_mut()?.remove(key);
        Ok(removed.map(|(_, orphaned)| PutOutcome { orphaned, shared: None, replaced: true }))
    }

    fn delete_if(&self, expected: &Entry) -> Result<Option<PutOutcome>> {
        let mut state = self.state.write();
        let state = state.open_mut()?;
        if !state.entries.get(&expected.key).is_some_and(|entry| is_same(entry, expected)) {
            return Ok(None);
        }
        let removed = state.remove(&expected.key);
        Ok(removed.map(|(_, orphaned)| PutOutcome { orphaned, shared: None, replaced: true }))
    }

    fn clear(&self, orphaned: &mut dyn FnMut(&str)) -> Result<u64> {
        let former = {
            let mut state = self.state.write();
            std::mem::take(state.open_mut()?)
        };
        former.named.keys().for_each(|locator| orphaned(locator));
        Ok(former.totals.entries)
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Vec<EntrySummary>> {
        let state = self.state.read();
        let start = match scan.after {
            Some(after) if after >= scan.prefix => Bound::Excluded(after),
            _ => Bound::Included(scan.prefix),
        };
        let limit = if scan.limit == 0 { usize::MAX } else { scan.limit };
        let entries = state.open()?.entries.range::<str, _>((start, Bound::Unbounded));
        Ok(entries
            .map(|(_, entry)| entry)
            .take_while(|entry| entry.key.starts_with(scan.prefix))
            .filter(|entry| scan.expired_at.is_none_or(|time| entry.expires_at.is_some_and(|expiry| expiry <= time)))
            .take(limit)
            .map(summary)
            .collect())
    }

    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted> {
        let mut state = self.state.write();
        let state = state.open_mut()?;
        let within =
            |totals: Totals| totals.entries <= eviction.target.entries && totals.bytes <= eviction.target.bytes;
        let mut evicted = Evicted::default();
        if !within(state.totals) {
            for key in state.candidates(eviction) {
                evicted.orphaned.extend(state.remove(&key).and_then(|(_, orphaned)| orphaned));
                evicted.keys.push(key);
                if within(state.totals) {
                    break;
                }
            }
        }
        evicted.left = state.totals;
        Ok(evicted)
    }

    fn set_pinned(&self, key: &str, pinned: bool) -> Result<bool> {
        let mut state = self.state.write();
        let state = state.open_mut()?;
        if !state.entries.contains_key(key) {
            return Ok(false);
        }
        if pinned {
            state.pinned.insert(key.to_owned());
        } else {
            state.pinned.remove(key);
        }
        Ok(true)
    }

    fn pinned(&self) -> Result<Vec<String>> {
        Ok(self.state.read().open()?.pinned.iter().cloned().collect())
    }

    fn record_accesses(&self, accesses: &[Access]) -> Result<()> {
        let mut state = self.state.write();
        let state = state.open_mut()?;
        for access in accesses {
            if let Some(entry) = state.entries.get_mut(&access.key) {
                entry.accessed_at = entry.accessed_at.max(access.at);
                entry.access_count = entry.access_count.saturating_add(access.count);
            }
        }
        Ok(())
    }

    fn totals(&self) -> Result<Totals> {
        Ok(self.state.read().open()?.totals)
    }

    fn close(&self) -> Result<()> {
        *self.state.write() = State { closed: true, ..State::default() };
        Ok(())
    }
}

type Blobs = Arc<RwLock<HashMap<String, Arc<[u8]>>>>;

/// Keeps blobs in memory.
#[derive(Clone, Default)]
pub struct MemoryBlobs {
    blobs: Blobs,
}

impl MemoryBlobs {
    /// A backend without blobs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl fmt::Debug for MemoryBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryBlobs")
    }
}

struct MemoryWriter {
    blobs: Blobs,
    locator: String,
    bytes: Vec<u8>,
}

impl io::Write for MemoryWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for MemoryWriter {
    fn commit(self: Box<Self>) -> Result<String> {
        let Self { blobs, locator, bytes } = *self;
        blobs.write().insert(locator.clone(), bytes.into());
        Ok(locator)
    }
}

struct MemoryReader {
    bytes: Arc<[u8]>,
}

impl BlobReader for MemoryReader {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let from = self.bytes.get(start..).and_then(|rest| rest.get(..buffer.len()));
        let from = from.ok_or_else(|| Error::new(ErrorKind::Integrity, "the blob ends too early"))?;
        buffer.copy_from_slice(from);
        Ok(())
    }
}

impl BlobBackend for MemoryBlobs {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn create(&self, hint: BlobHint<'_>) -> Result<Box<dyn BlobWriter>> {
        let name = new_name(hint.stem, hint.extension)?;
        let locator = Locator { shard: "", name: &name }.text();
        Ok(Box::new(MemoryWriter { blobs: Arc::clone(&self.blobs), locator, bytes: Vec::new() }))
    }

    fn open(&self, locator: &str) -> Result<Option<Box<dyn BlobReader>>> {
        Locator::parse(locator)?;
        let bytes = self.blobs.read().get(locator).cloned();
        Ok(bytes.map(|bytes| Box::new(MemoryReader { bytes }) as Box<dyn BlobReader>))
    }

    fn delete(&self, locator: &str) -> Result<bool> {
        Locator::parse(locator)?;
        Ok(self.blobs.write().remove(locator).is_some())
    }

    fn list(&self, visit: &mut dyn FnMut(&str, u64) -> Result<()>) -> Result<()> {
        let blobs: Vec<_> = self.blobs.read().iter().map(|(name, bytes)| (name.clone(), bytes.len() as u64)).collect();
        blobs.iter().try_for_each(|(locator, size)| visit(locator, *size))
    }
}
