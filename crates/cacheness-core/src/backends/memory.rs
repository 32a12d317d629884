//! Entries and blobs in the memory of this process: for tests, and for caches that need not outlive the process.
//!
//! A forked child has its own copy. Fork only while no other thread is inside a call: the locks are copied too.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;

use super::entries::Entries;
use super::locator::{Locator, new_name, not_found};
use crate::backend::{
    BlobBackend, BlobCapability, BlobHint, BlobInfo, BlobReader, BlobWriter, Capability, Commit, Committed, Evicted,
    Eviction, MetadataBackend, Page, Part, Position, Query, Versions,
};
use crate::clock::{Clock, Timestamp};
use crate::entry::{BlobRef, Entry, EntrySummary, Totals};
use crate::error::{Error, ErrorKind, Result};

/// Keeps entries in memory.
pub struct MemoryMetadata {
    /// `None` after closing.
    entries: RwLock<Option<Entries>>,
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store has been closed")
}

impl MemoryMetadata {
    /// A backend without entries.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: RwLock::new(Some(Entries::default())) }
    }

    fn read<T>(&self, look: impl FnOnce(&Entries) -> T) -> Result<T> {
        self.entries.read().as_ref().map(look).ok_or_else(closed)
    }

    fn write<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> Result<T> {
        self.entries.write().as_mut().map(change).ok_or_else(closed)
    }
}

impl Default for MemoryMetadata {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryMetadata")
    }
}

impl MetadataBackend for MemoryMetadata {
    fn name(&self) -> &str {
        "memory"
    }

    fn capability(&self) -> Capability {
        Capability::LOCAL
    }

    fn get(&self, key: &str, part: Part) -> Result<Option<Entry>> {
        self.read(|entries| entries.get(key, part))
    }

    fn commit(&self, commit: &Commit<'_>) -> Result<Committed> {
        self.write(|entries| entries.commit(commit))?.map(|(committed, _)| committed)
    }

    fn select(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>> {
        self.read(|entries| entries.select(query, page))?
    }

    fn keys(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<String>> {
        self.read(|entries| entries.keys(query, page))?
    }

    fn count(&self, query: &Query<'_>) -> Result<u64> {
        self.read(|entries| entries.count(query))?
    }

    fn search(&self, query: &Query<'_>, from: &Position, limit: usize) -> Result<Versions> {
        self.read(|entries| entries.search(query, from, limit))?
    }

    fn equal_blob(&self, entry: &Entry) -> Result<Option<BlobRef>> {
        self.read(|entries| entries.equal_blob(entry))
    }

    fn knows_blobs(&self, locators: &[&str]) -> Result<Vec<bool>> {
        self.read(|entries| entries.knows_blobs(locators))
    }

    fn garbage(&self, due: Timestamp, limit: usize) -> Result<Vec<String>> {
        self.read(|entries| entries.due(due, limit))
    }

    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted> {
        self.write(|entries| entries.evict(eviction))
    }

    fn totals(&self) -> Result<Totals> {
        self.read(Entries::totals)
    }

    fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        self.read(Entries::created_range)
    }

    fn close(&self) -> Result<()> {
        *self.entries.write() = None;
        Ok(())
    }
}

/// `None` after closing.
type Blobs = Arc<RwLock<Option<BTreeMap<String, Kept>>>>;

struct Kept {
    bytes: Arc<[u8]>,
    modified: Timestamp,
}

/// Keeps blobs in memory.
#[derive(Clone)]
pub struct MemoryBlobs {
    blobs: Blobs,
}

impl Default for MemoryBlobs {
    fn default() -> Self {
        Self { blobs: Arc::new(RwLock::new(Some(BTreeMap::new()))) }
    }
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
    fn commit(self: Box<Self>) -> Result<BlobRef> {
        let Self { blobs, locator, bytes } = *self;
        let blob = BlobRef::new(locator, bytes.len() as u64);
        let kept = Kept { bytes: bytes.into(), modified: Clock::system().now() };
        blobs.write().as_mut().ok_or_else(closed)?.insert(blob.locator.clone(), kept);
        Ok(blob)
    }

    fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
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
    fn name(&self) -> &str {
        "memory"
    }

    fn capability(&self) -> BlobCapability {
        BlobCapability::LOCAL
    }

    fn create(&self, hint: BlobHint<'_>) -> Result<Box<dyn BlobWriter>> {
        let name = new_name(hint.stem, hint.extension)?;
        let locator = Locator { shard: "", name: &name }.text();
        Ok(Box::new(MemoryWriter { blobs: Arc::clone(&self.blobs), locator, bytes: Vec::new() }))
    }

    fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>> {
        Locator::parse(&blob.locator)?;
        match self.blobs.read().as_ref().ok_or_else(closed)?.get(&blob.locator) {
            Some(kept) => Ok(Box::new(MemoryReader { bytes: Arc::clone(&kept.bytes) })),
            None => Err(not_found(&blob.locator)),
        }
    }

    fn delete(&self, locators: &[&str]) -> Result<()> {
        let mut first = Ok(());
        for locator in locators {
            match Locator::parse(locator) {
                // After `close` there is nothing to delete.
                Ok(_) => drop(self.blobs.write().as_mut().map(|blobs| blobs.remove(*locator))),
                Err(error) => first = first.and(Err(error)),
            }
        }
        first
    }

    fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let blobs = self.blobs.read();
        let page = blobs.as_ref().ok_or_else(closed)?.range::<str, _>((start, Bound::Unbounded)).take(limit);
        let info = |(locator, kept): (&String, &Kept)| BlobInfo {
            locator: locator.clone(),
            size: kept.bytes.len() as u64,
            modified: kept.modified,
        };
        Ok(page.map(info).collect())
    }

    fn close(&self) -> Result<()> {
        *self.blobs.write() = None;
        Ok(())
    }
}
