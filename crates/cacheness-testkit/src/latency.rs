//! Remote backends: their round trips are counted and may take time.
//!
//! | call | round trips |
//! |---|---|
//! | any of a metadata backend, for any number of operations, keys or rows | 1 |
//! | writing a blob of at most one part, or to a backend without parts | 1, at the commit |
//! | writing a larger one | 1 for each part, and 2 to begin and complete the upload |
//! | opening a blob | 0 with parts, else 1 |
//! | reading | 1 for each range, and for each further part of one |
//! | deleting blobs | 1 for each thousand |
//! | listing blobs | 1 for each thousand |
//! | sweeping | 1, and 1 for each writer with leftovers |
//!
//! Calls that are answered from memory make none: names, capabilities, `outside_changes`.

use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cacheness_core::Result;
use cacheness_core::backend::{
    BlobBackend, BlobCapability, BlobHint, BlobInfo, BlobReader, BlobRef, BlobWriter, Capability, Commit, Committed,
    Evicted, Eviction, MetadataBackend, Page, Part, Parts, PoolStats, Position, Query, Range, RowQuery, Schema, Sql,
    SqlRows, Versions,
};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Entry, EntrySummary, Totals};
use cacheness_core::query::Field;

use crate::objects::BATCH;

/// How many small blobs are requested at the same time.
const AT_ONCE: usize = 64;

/// Counts round trips. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct Trips(Arc<Counter>);

#[derive(Debug, Default)]
struct Counter {
    metadata: AtomicU64,
    blobs: AtomicU64,
    /// The duration of each in microseconds.
    delay: AtomicU64,
}

/// The number of round trips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// To the metadata backend.
    pub metadata: u64,
    /// To the blob backend.
    pub blobs: u64,
}

impl Trips {
    /// Makes each round trip take `delay` from now on.
    pub fn take(&self, delay: Duration) {
        self.0.delay.store(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The number so far.
    #[must_use]
    pub fn count(&self) -> Count {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Count { metadata: read(&self.0.metadata), blobs: read(&self.0.blobs) }
    }

    /// The number that `work` makes.
    pub fn of<T>(&self, work: impl FnOnce() -> T) -> (Count, T) {
        let before = self.count();
        let result = work();
        let after = self.count();
        let metadata = after.metadata - before.metadata;
        (Count { metadata, blobs: after.blobs - before.blobs }, result)
    }

    /// Waits for `times` round trips, one after the other.
    fn wait(&self, times: u64) {
        let delay = self.0.delay.load(Ordering::Relaxed);
        if delay > 0 && times > 0 {
            std::thread::sleep(Duration::from_micros(delay.saturating_mul(times)));
        }
    }

    fn to_metadata(&self) {
        self.0.metadata.fetch_add(1, Ordering::Relaxed);
        self.wait(1);
    }

    /// `count` round trips, up to `at_once` concurrently.
    fn to_blobs(&self, count: u64, at_once: usize) {
        self.0.blobs.fetch_add(count, Ordering::Relaxed);
        self.wait(count.div_ceil(at_once.max(1) as u64));
    }
}

/// A remote metadata backend.
#[derive(Debug)]
pub struct DistantMetadata<M> {
    /// The real backend.
    pub inner: M,
    /// Counts its round trips.
    pub trips: Trips,
}

impl<M: MetadataBackend> DistantMetadata<M> {
    /// `inner`, each call of which is counted by `trips`.
    pub fn new(inner: M, trips: &Trips) -> Self {
        Self { inner, trips: trips.clone() }
    }

    fn go(&self) -> &M {
        self.trips.to_metadata();
        &self.inner
    }
}

impl<M: MetadataBackend> MetadataBackend for DistantMetadata<M> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    fn get(&self, key: &str, part: Part) -> Result<Option<Entry>> {
        self.go().get(key, part)
    }

    fn get_batch(&self, keys: &[&str], part: Part) -> Result<Vec<Option<Entry>>> {
        self.go().get_batch(keys, part)
    }

    fn commit(&self, commit: &Commit<'_>) -> Result<Committed> {
        self.go().commit(commit)
    }

    fn select(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>> {
        self.go().select(query, page)
    }

    fn keys(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<String>> {
        self.go().keys(query, page)
    }

    fn count(&self, query: &Query<'_>) -> Result<u64> {
        self.go().count(query)
    }

    fn search(&self, query: &Query<'_>, from: &Position, limit: usize) -> Result<Versions> {
        self.go().search(query, from, limit)
    }

    fn create_index(&self, field: &Field) -> Result<bool> {
        self.go().create_index(field)
    }

    fn drop_index(&self, field: &Field) -> Result<bool> {
        self.go().drop_index(field)
    }

    fn indexes(&self) -> Result<Vec<Field>> {
        self.go().indexes()
    }

    fn create_text_index(&self) -> Result<bool> {
        self.go().create_text_index()
    }

    fn drop_text_index(&self) -> Result<bool> {
        self.go().drop_text_index()
    }

    fn has_text_index(&self) -> Result<bool> {
        self.go().has_text_index()
    }

    fn text_search(&self, text: &str, query: &Query<'_>, limit: usize) -> Result<Vec<EntrySummary>> {
        self.go().text_search(text, query, limit)
    }

    fn equal_blob(&self, entry: &Entry) -> Result<Option<BlobRef>> {
        self.go().equal_blob(entry)
    }

    fn knows_blobs(&self, locators: &[&str]) -> Result<Vec<bool>> {
        self.go().knows_blobs(locators)
    }

    fn garbage(&self, due: Timestamp, limit: usize) -> Result<Vec<String>> {
        self.go().garbage(due, limit)
    }

    fn evict(&self, eviction: &Eviction<'_>) -> Result<Evicted> {
        self.go().evict(eviction)
    }

    fn totals(&self) -> Result<Totals> {
        self.go().totals()
    }

    fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        self.go().created_range()
    }

    fn sql(&self, sql: &Sql<'_>) -> Result<SqlRows> {
        self.go().sql(sql)
    }

    fn register_schema(&self, schema: &Schema) -> Result<()> {
        self.go().register_schema(schema)
    }

    fn select_rows(&self, query: &RowQuery<'_>) -> Result<SqlRows> {
        self.go().select_rows(query)
    }

    fn outside_changes(&self) -> Option<u64> {
        self.inner.outside_changes()
    }

    fn shrink(&self) -> Result<()> {
        self.go().shrink()
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

/// A remote blob backend.
#[derive(Debug)]
pub struct DistantBlobs<B> {
    /// The real backend.
    pub inner: B,
    /// Counts its round trips.
    pub trips: Trips,
}

impl<B: BlobBackend> DistantBlobs<B> {
    /// `inner`, whose requests are counted by `trips`.
    pub fn new(inner: B, trips: &Trips) -> Self {
        Self { inner, trips: trips.clone() }
    }

    fn parts(&self) -> Option<Parts> {
        self.inner.capability().parts
    }
}

/// The number of requests for `length` bytes.
fn requests(parts: Option<Parts>, length: u64) -> u64 {
    parts.map_or(u64::from(length > 0), |parts| length.div_ceil(parts.size as u64))
}

struct DistantWriter {
    inner: Box<dyn BlobWriter>,
    trips: Trips,
    parts: Option<Parts>,
    written: u64,
}

impl DistantWriter {
    /// The number of parts sent: a full part is sent when another byte follows.
    fn sent(&self) -> u64 {
        requests(self.parts, self.written).saturating_sub(1)
    }

    fn count(&mut self, written: u64) {
        let before = self.sent();
        self.written += written;
        let sent = self.sent() - before;
        self.trips.to_blobs(sent + u64::from(before == 0 && sent > 0), 1);
    }
}

impl Write for DistantWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.count(written as u64);
        Ok(written)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.inner.write_vectored(parts)?;
        self.count(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl BlobWriter for DistantWriter {
    fn local_path(&self) -> Option<&Path> {
        self.inner.local_path()
    }

    fn commit(self: Box<Self>) -> Result<BlobRef> {
        let is_multipart = self.sent() > 0;
        self.trips.to_blobs(1 + u64::from(is_multipart), 1);
        self.inner.commit()
    }

    fn abort(self: Box<Self>) -> Result<()> {
        let is_multipart = self.sent() > 0;
        self.trips.to_blobs(u64::from(is_multipart), 1);
        self.inner.abort()
    }
}

struct DistantReader {
    inner: Box<dyn BlobReader>,
    trips: Trips,
}

impl DistantReader {
    fn at_once(&self) -> usize {
        self.inner.parts().map_or(1, |parts| parts.concurrency)
    }
}

impl BlobReader for DistantReader {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.trips.to_blobs(requests(self.inner.parts(), buffer.len() as u64), 1);
        self.inner.read_exact_at(buffer, offset)
    }

    fn read_ranges(&self, ranges: &mut [Range<'_>]) -> Result<()> {
        let parts = self.inner.parts();
        let count = ranges.iter().map(|range| requests(parts, range.buffer.len() as u64)).sum();
        self.trips.to_blobs(count, self.at_once());
        self.inner.read_ranges(ranges)
    }

    fn parts(&self) -> Option<Parts> {
        self.inner.parts()
    }

    fn file(&self) -> Option<&std::fs::File> {
        self.inner.file()
    }

    fn local_path(&self) -> Option<&Path> {
        self.inner.local_path()
    }
}

impl<B: BlobBackend> BlobBackend for DistantBlobs<B> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capability(&self) -> BlobCapability {
        self.inner.capability()
    }

    fn create(&self, hint: BlobHint<'_>) -> Result<Box<dyn BlobWriter>> {
        let inner = self.inner.create(hint)?;
        Ok(Box::new(DistantWriter { inner, trips: self.trips.clone(), parts: self.parts(), written: 0 }))
    }

    fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>> {
        self.trips.to_blobs(u64::from(self.parts().is_none()), 1);
        Ok(Box::new(DistantReader { inner: self.inner.open(blob)?, trips: self.trips.clone() }))
    }

    fn read_all(&self, blobs: &[&BlobRef]) -> Vec<Result<Vec<u8>>> {
        self.trips.to_blobs(blobs.len() as u64, AT_ONCE);
        self.inner.read_all(blobs)
    }

    fn delete(&self, locators: &[&str]) -> Result<()> {
        self.trips.to_blobs(locators.len().div_ceil(BATCH) as u64, 1);
        self.inner.delete(locators)
    }

    fn sync(&self, locator: &str) -> Result<()> {
        self.trips.to_blobs(u64::from(self.parts().is_none()), 1);
        self.inner.sync(locator)
    }

    fn temp_dir(&self) -> Result<Option<PathBuf>> {
        self.inner.temp_dir()
    }

    fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>> {
        let found = self.inner.list(after, limit)?;
        // A full page may be followed by another one.
        let pages = if found.len() == limit { limit.div_ceil(BATCH) } else { found.len() / BATCH + 1 };
        self.trips.to_blobs(pages as u64, 1);
        Ok(found)
    }

    fn sweep(&self, age: Duration) -> Result<u64> {
        let swept = self.inner.sweep(age)?;
        self.trips.to_blobs(1 + swept, 1);
        Ok(swept)
    }

    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}
