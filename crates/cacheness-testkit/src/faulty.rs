//! Backends that fail at a chosen call, to test the engine's error handling.
//!
//! A [`Plan`] counts the calls of all backends that share it, and makes the chosen one fail before it reaches the
//! backend.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cacheness_core::backend::{
    BlobBackend, BlobCapability, BlobHint, BlobInfo, BlobReader, BlobRef, BlobWriter, Capability, Commit, Committed,
    Evicted, Eviction, MetadataBackend, Page, Part, Parts, PoolStats, Position, Query, Range, RowQuery, Schema, Sql,
    SqlRows, Versions,
};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Entry, EntrySummary, Totals};
use cacheness_core::query::Field;
use cacheness_core::{Error, ErrorKind, Result};

/// The message of every injected error.
pub const INJECTED: &str = "injected fault";

/// Chooses the call that fails. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct Plan(Arc<Counter>);

#[derive(Debug, Default)]
struct Counter {
    calls: AtomicU64,
    fails: AtomicU64,
    /// The kind of the injected error, and what its backend says about a retry.
    says: Mutex<(Option<ErrorKind>, Option<bool>)>,
}

impl Plan {
    /// No call fails.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the `call`-th call from now on fail, counted from 1; 0 means none.
    pub fn fail(&self, call: u64) {
        self.schedule(call, (None, None));
    }

    /// [`Plan::fail`] with an error of `kind`, of which the backend may say whether it is retryable.
    pub fn fail_with(&self, call: u64, kind: ErrorKind, retryable: Option<bool>) {
        self.schedule(call, (Some(kind), retryable));
    }

    fn schedule(&self, call: u64, says: (Option<ErrorKind>, Option<bool>)) {
        *self.0.says.lock().unwrap_or_else(PoisonError::into_inner) = says;
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
            let (kind, retryable) = *self.0.says.lock().unwrap_or_else(PoisonError::into_inner);
            let error =
                Error::new(kind.unwrap_or(ErrorKind::Storage), INJECTED).with_source(io::Error::other(INJECTED));
            return Err(match retryable {
                Some(retryable) => error.retryable(retryable),
                None => error,
            });
        }
        Ok(())
    }

    fn count_io(&self) -> io::Result<()> {
        self.count().map_err(io::Error::other)
    }
}

/// A blob backend that fails at a chosen call.
#[derive(Debug)]
pub struct FaultyBlobs<B> {
    /// The real backend.
    pub inner: B,
    /// Chooses the call that fails.
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

    fn commit(self: Box<Self>) -> Result<BlobRef> {
        self.plan.count()?;
        self.inner.commit()
    }

    fn abort(self: Box<Self>) -> Result<()> {
        self.plan.count()?;
        self.inner.abort()
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

    fn read_ranges(&self, ranges: &mut [Range<'_>]) -> Result<()> {
        self.plan.count()?;
        self.inner.read_ranges(ranges)
    }

    fn parts(&self) -> Option<Parts> {
        self.inner.parts()
    }
}

impl<B: BlobBackend> BlobBackend for FaultyBlobs<B> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capability(&self) -> BlobCapability {
        self.inner.capability()
    }

    fn create(&self, hint: BlobHint<'_>) -> Result<Box<dyn BlobWriter>> {
        self.plan.count()?;
        Ok(Box::new(FaultyWriter { inner: self.inner.create(hint)?, plan: self.plan.clone() }))
    }

    fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>> {
        self.plan.count()?;
        Ok(Box::new(FaultyReader { inner: self.inner.open(blob)?, plan: self.plan.clone() }))
    }

    fn delete(&self, locators: &[&str]) -> Result<()> {
        self.plan.count()?;
        self.inner.delete(locators)
    }

    fn sync(&self, locator: &str) -> Result<()> {
        self.plan.count()?;
        self.inner.sync(locator)
    }

    fn temp_dir(&self) -> Result<Option<PathBuf>> {
        self.inner.temp_dir()
    }

    fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>> {
        self.plan.count()?;
        self.inner.list(after, limit)
    }

    fn sweep(&self, age: Duration) -> Result<u64> {
        self.plan.count()?;
        self.inner.sweep(age)
    }

    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

/// A metadata backend that fails at a chosen call.
#[derive(Debug)]
pub struct FaultyMetadata<M> {
    /// The real backend.
    pub inner: M,
    /// Chooses the call that fails.
    pub plan: Plan,
}

impl<M: MetadataBackend> FaultyMetadata<M> {
    fn inner(&self) -> Result<&M> {
        self.plan.count()?;
        Ok(&self.inner)
    }
}

impl<M: MetadataBackend> MetadataBackend for FaultyMetadata<M> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    fn get(&self, key: &str, part: Part) -> Result<Option<Entry>> {
        self.inner()?.get(key, part)
    }

    fn get_batch(&self, keys: &[&str], part: Part) -> Result<Vec<Option<Entry>>> {
        self.inner()?.get_batch(keys, part)
    }

    fn commit(&self, commit: &Commit<'_>) -> Result<Committed> {
        self.inner()?.commit(commit)
    }

    fn select(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>> {
        self.inner()?.select(query, page)
    }

    fn keys(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<String>> {
        self.inner()?.keys(query, page)
    }

    fn count(&self, query: &Query<'_>) -> Result<u64> {
        self.inner()?.count(query)
    }

    fn search(&self, query: &Query<'_>, from: &Position, limit: usize) -> Result<Versions> {
        self.inner()?.search(query, from, limit)
    }

    fn create_index(&self, field: &Field) -> Result<bool> {
        self.inner()?.create_index(field)
    }

    fn drop_index(&self, field: &Field) -> Result<bool> {
        self.inner()?.drop_index(field)
    }

    fn indexes(&self) -> Result<Vec<Field>> {
        self.inner()?.indexes()
    }

    fn create_text_index(&self) -> Result<bool> {
        self.inner()?.create_text_index()
    }

    fn drop_text_index(&self) -> Result<bool> {
        self.inner()?.drop_text_index()
    }

    fn has_text_index(&self) -> Result<bool> {
        self.inner()?.has_text_index()
    }

    fn text_search(&self, text: &str, query: &Query<'_>, limit: usize) -> Result<Vec<EntrySummary>> {
        self.inner()?.text_search(text, query, limit)
    }

    fn equal_blob(&self, entry: &Entry) -> Result<Option<BlobRef>> {
        self.inner()?.equal_blob(entry)
    }

    fn knows_blobs(&self, locators: &[&str]) -> Result<Vec<bool>> {
        self.inner()?.knows_blobs(locators)
    }

    fn garbage(&self, due: Timestamp, limit: usize) -> Result<Vec<String>> {
        self.inner()?.garbage(due, limit)
    }

    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted> {
        self.inner()?.evict(eviction)
    }

    fn totals(&self) -> Result<Totals> {
        self.inner()?.totals()
    }

    fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        self.inner()?.created_range()
    }

    fn sql(&self, sql: &Sql<'_>) -> Result<SqlRows> {
        self.inner()?.sql(sql)
    }

    fn register_schema(&self, schema: &Schema) -> Result<()> {
        self.inner()?.register_schema(schema)
    }

    fn select_rows(&self, query: &RowQuery<'_>) -> Result<SqlRows> {
        self.inner()?.select_rows(query)
    }

    fn outside_changes(&self) -> Option<u64> {
        self.inner.outside_changes()
    }

    fn shrink(&self) -> Result<()> {
        self.inner()?.shrink()
    }

    fn pool_stats(&self) -> Option<PoolStats> {
        self.inner.pool_stats()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}
