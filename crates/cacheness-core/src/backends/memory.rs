//! Entries and blobs in the memory of this process: for tests, and for caches that need not outlive it.
//!
//! A forked child has a copy of its own. Fork while no other thread is inside a call on it: the locks are copied too.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use super::entries::Entries;
use super::locator::{Locator, new_name};
use crate::backend::{
    AccessRecord, Confirm, EntryUpdate, Evicted, Eviction, MetadataBackend, PutOptions, PutOutcome, Scan,
};
use crate::backend::{BlobBackend, BlobHint, BlobReader, BlobWriter};
use crate::clock::Timestamp;
use crate::entry::{Entry, EntrySummary, EntryVersion, Totals};
use crate::error::{Error, ErrorKind, Result};

/// Keeps entries in memory.
pub struct MemoryMetadata {
    /// `None` once it is closed.
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
    fn name(&self) -> &'static str {
        "memory"
    }

    fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.read(|entries| entries.get(key).cloned())
    }

    fn get_summary(&self, key: &str) -> Result<Option<EntrySummary>> {
        self.read(|entries| entries.get_summary(key))
    }

    fn equal_blob(&self, entry: &Entry) -> Result<Option<String>> {
        self.read(|entries| entries.equal_blob(entry))
    }

    fn put(&self, entry: &Entry, options: PutOptions<'_>) -> Result<PutOutcome> {
        let entry = entry.clone();
        self.write(|entries| options.confirm().map(|()| entries.put(entry, options)))?
    }

    fn update(&self, key: &str, expected: &Entry, update: &EntryUpdate, confirm: Confirm<'_>) -> Result<bool> {
        self.write(|entries| confirm().map(|()| entries.update(key, expected, update)))?
    }

    fn delete(&self, key: &str) -> Result<Option<PutOutcome>> {
        self.write(|entries| entries.delete(key))
    }

    fn delete_batch(&self, expected: &[EntryVersion]) -> Result<Vec<Option<PutOutcome>>> {
        self.write(|entries| expected.iter().map(|version| entries.delete_if(version)).collect())
    }

    fn clear(&self, orphaned: &mut dyn FnMut(&str)) -> Result<u64> {
        let former = self.write(std::mem::take)?;
        former.locators().for_each(orphaned);
        Ok(former.totals().entries)
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Vec<EntrySummary>> {
        self.read(|entries| entries.scan(scan))
    }

    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted> {
        self.write(|entries| entries.evict(eviction))
    }

    fn set_pinned(&self, key: &str, pinned: bool) -> Result<bool> {
        self.write(|entries| entries.set_pinned(key, pinned).0)
    }

    fn pinned(&self) -> Result<Vec<String>> {
        self.read(Entries::pinned)
    }

    fn record_accesses(&self, accesses: &[AccessRecord]) -> Result<()> {
        self.write(|entries| entries.record_accesses(accesses)).map(drop)
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

/// `None` once they are closed.
type Blobs = Arc<RwLock<Option<HashMap<String, Arc<[u8]>>>>>;

/// Keeps blobs in memory.
#[derive(Clone)]
pub struct MemoryBlobs {
    blobs: Blobs,
}

impl Default for MemoryBlobs {
    fn default() -> Self {
        Self { blobs: Arc::new(RwLock::new(Some(HashMap::new()))) }
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
    fn commit(self: Box<Self>) -> Result<String> {
        let Self { blobs, locator, bytes } = *self;
        blobs.write().as_mut().ok_or_else(closed)?.insert(locator.clone(), bytes.into());
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
        let bytes = self.blobs.read().as_ref().ok_or_else(closed)?.get(locator).cloned();
        Ok(bytes.map(|bytes| Box::new(MemoryReader { bytes }) as Box<dyn BlobReader>))
    }

    fn delete(&self, locator: &str) -> Result<bool> {
        Locator::parse(locator)?;
        Ok(self.blobs.write().as_mut().is_some_and(|blobs| blobs.remove(locator).is_some()))
    }

    fn list(&self, visit: &mut dyn FnMut(&str, u64) -> Result<()>) -> Result<()> {
        let size = |(name, bytes): (&String, &Arc<[u8]>)| (name.clone(), bytes.len() as u64);
        let blobs: Vec<_> = self.blobs.read().as_ref().ok_or_else(closed)?.iter().map(size).collect();
        blobs.iter().try_for_each(|(locator, size)| visit(locator, *size))
    }

    fn close(&self) -> Result<()> {
        *self.blobs.write() = None;
        Ok(())
    }
}
