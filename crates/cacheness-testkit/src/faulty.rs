//! Backends of which any one call fails, to see what the engine makes of it.
//!
//! A [`Plan`] counts the calls of all backends that share it, and lets the chosen one fail before it reaches the backend.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cacheness_core::backend::{
    AccessRecord, Confirm, EntryUpdate, Evicted, Eviction, MetadataBackend, PutOptions, PutOutcome, Scan,
};
use cacheness_core::backend::{BlobBackend, BlobHint, BlobReader, BlobWriter};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Entry, EntrySummary, EntryVersion, Totals};
use cacheness_core::{Error, ErrorKind, Result};

/// What the message of every injected error says.
pub const INJECTED: &str = "injected fault";

/// Which call fails. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Plan(Arc<Counter>);

#[derive(Debug, Default)]
struct Counter {
    calls: AtomicU64,
    fails: AtomicU64,
}

impl Plan {
    /// Nothing fails.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The `call`-th call from now on, counted from 1, fails; none with 0.
    pub fn fail(&self, call: u64) {
        self.0.calls.store(0, Ordering::Relaxed);
        self.0.fails.store(call, Ordering::Relaxed);
    }

    /// Calls since [`Plan::fail`].
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::Relaxed)
    }

    fn count(&self) -> Result<()> {
        let call = 1 + self.0.calls.fetch_add(1, Ordering::Relaxed);
        if call == self.0.fails.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Storage, INJECTED).with_source(io::Error::other(INJECTED)));
        }
        Ok(())
    }

    fn count_io(&self) -> io::Result<()> {
        self.count().map_err(io::Error::other)
    }
}

/// A blob backend of which any call may fail.
#[derive(Debug)]
pub struct FaultyBlobs<B> {
    /// The real one.
    pub inner: B,
    /// Which call fails.
    pub plan: Plan,
}

struct FaultyWriter {
    inner: Box<dyn BlobWriter>,
    plan: Plan,
}

impl Write for FaultyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.plan.count_io()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.plan.count_io()?;
        self.inner.flush()
    }
}

impl BlobWriter for FaultyWriter {
    fn local_path(&self) -> Option<&Path> {
        self.inner.local_path()
    }

    fn commit(self: Box<Self>) -> Result<String> {
        self.plan.count()?;
        self.inner.commit()
    }
}

struct FaultyReader {
    inner: Box<dyn BlobReader>,
    plan: Plan,
}

impl BlobReader for FaultyReader {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.plan.count()?;
        self.inner.read_exact_at(buffer, offset)
    }
}

impl<B: BlobBackend> BlobBackend for FaultyBlobs<B> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn create(&self, hint: BlobHint<'_>) -> Result<Box<dyn BlobWriter>> {
        self.plan.count()?;
        Ok(Box::new(FaultyWriter { inner: self.inner.create(hint)?, plan: self.plan.clone() }))
    }

    fn open(&self, locator: &str) -> Result<Option<Box<dyn BlobReader>>> {
        self.plan.count()?;
        let opened = self.inner.open(locator)?;
        Ok(opened.map(|inner| Box::new(FaultyReader { inner, plan: self.plan.clone() }) as _))
    }

    fn delete(&self, locator: &str) -> Result<bool> {
        self.plan.count()?;
        self.inner.delete(locator)
    }

    fn temp_dir(&self) -> Result<Option<PathBuf>> {
        self.inner.temp_dir()
    }

    fn list(&self, visit: &mut dyn FnMut(&str, u64) -> Result<()>) -> Result<()> {
        self.inner.list(visit)
    }

    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

/// A metadata backend of which any call may fail.
#[derive(Debug)]
pub struct FaultyMetadata<M> {
    /// The real one.
    pub inner: M,
    /// Which call fails.
    pub plan: Plan,
}

impl<M: MetadataBackend> FaultyMetadata<M> {
    fn inner(&self) -> Result<&M> {
        self.plan.count()?;
        Ok(&self.inner)
    }
}

impl<M: MetadataBackend> MetadataBackend for FaultyMetadata<M> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.inner()?.get(key)
    }

    fn get_summary(&self, key: &str) -> Result<Option<EntrySummary>> {
        self.inner()?.get_summary(key)
    }

    fn equal_blob(&self, entry: &Entry) -> Result<Option<String>> {
        self.inner()?.equal_blob(entry)
    }

    fn put(&self, entry: &Entry, options: PutOptions<'_>) -> Result<PutOutcome> {
        self.inner()?.put(entry, options)
    }

    fn update(&self, key: &str, expected: &Entry, update: &EntryUpdate, confirm: Confirm<'_>) -> Result<bool> {
        self.inner()?.update(key, expected, update, confirm)
    }

    fn delete(&self, key: &str) -> Result<Option<PutOutcome>> {
        self.inner()?.delete(key)
    }

    fn delete_batch(&self, expected: &[EntryVersion]) -> Result<Vec<Option<PutOutcome>>> {
        self.inner()?.delete_batch(expected)
    }

    fn clear(&self, orphaned: &mut dyn FnMut(&str)) -> Result<u64> {
        self.inner()?.clear(orphaned)
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Vec<EntrySummary>> {
        self.inner()?.scan(scan)
    }

    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted> {
        self.inner()?.evict(eviction)
    }

    fn set_pinned(&self, key: &str, pinned: bool) -> Result<bool> {
        self.inner()?.set_pinned(key, pinned)
    }

    fn pinned(&self) -> Result<Vec<String>> {
        self.inner()?.pinned()
    }

    fn record_accesses(&self, accesses: &[AccessRecord]) -> Result<()> {
        self.inner()?.record_accesses(accesses)
    }

    fn totals(&self) -> Result<Totals> {
        self.inner()?.totals()
    }

    fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        self.inner()?.created_range()
    }

    fn outside_changes(&self) -> Option<u64> {
        self.inner.outside_changes()
    }

    fn shrink(&self) -> Result<()> {
        self.inner()?.shrink()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}
