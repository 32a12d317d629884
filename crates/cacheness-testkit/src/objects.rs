//! An object store in the memory of this process that promises no more than S3 does.
//!
//! | a file system | this store |
//! |---|---|
//! | a deleted file stays readable while open | every read of a deleted object is `NotFound` |
//! | opening looks for the file | opening makes no request; the first read reports a missing object |
//! | a temporary file is removed with its writer | an upload stays until it is completed, aborted or swept |
//! | a listing is current | a listing lags by [`BucketOptions::listing_delay`] |
//! | a read returns any number of bytes | a request returns at most [`BucketOptions::parts`] |
//!
//! Time is the clock of the [`Bucket`]: a manual one makes all this exact.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cacheness_core::backend::{
    BlobBackend, BlobCapability, BlobHint, BlobInfo, BlobReader, BlobRef, BlobWriter, Parts, Range,
};
use cacheness_core::clock::{Clock, Timestamp};
use cacheness_core::{Error, ErrorKind, Result};

use crate::sample::hash;

/// The maximum number of objects that one request lists or deletes.
pub const BATCH: usize = 1000;

/// How a [`Bucket`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct BucketOptions {
    /// See [`BlobCapability::grace`].
    pub grace: Duration,
    /// See [`BlobCapability::longest_put`].
    pub longest_put: Duration,
    /// The size of a part of an upload, and the maximum that a request reads.
    pub parts: Parts,
    /// How long listings lag behind creations and deletions.
    pub listing_delay: Duration,
}

impl Default for BucketOptions {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(600),
            longest_put: Duration::from_secs(24 * 3600),
            parts: Parts { size: 8 << 20, concurrency: 8 },
            listing_delay: Duration::from_secs(5),
        }
    }
}

/// A request, as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Writes a small object.
    Put(String),
    /// Begins an upload of several parts.
    Begin(String),
    /// Uploads a part.
    Part(String),
    /// Completes an upload.
    Complete(String),
    /// Aborts an upload.
    Abort(String),
    /// Reads some bytes of an object.
    Get(String),
    /// Deletes objects.
    Delete(Vec<String>),
    /// Lists a page of objects or uploads.
    List,
}

struct Object {
    bytes: Vec<u8>,
    etag: String,
    version: String,
    modified: Timestamp,
}

struct Upload {
    bytes: Vec<u8>,
    active_at: Timestamp,
}

/// An object in listings.
struct Listed {
    info: BlobInfo,
    from: Timestamp,
    until: Timestamp,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    listed: BTreeMap<String, Listed>,
}

/// Called before each request; may do anything, also with the bucket.
type Before = Box<dyn Fn(&Request) + Send + Sync>;

/// The state of the server. It outlives its clients, the [`Objects`].
pub struct Bucket {
    clock: Clock,
    options: BucketOptions,
    state: Mutex<State>,
    names: AtomicU64,
    requests: AtomicU64,
    before: Mutex<Option<Arc<Before>>>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Bucket {
    /// An empty bucket.
    #[must_use]
    pub fn new(clock: Clock, options: BucketOptions) -> Arc<Self> {
        Arc::new(Self {
            clock,
            options,
            state: Mutex::default(),
            names: AtomicU64::new(1),
            requests: AtomicU64::new(0),
            before: Mutex::new(None),
        })
    }

    /// Calls `before` before each request.
    pub fn before_each(&self, before: impl Fn(&Request) + Send + Sync + 'static) {
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(Box::new(before)));
    }

    /// The number of requests so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The locators of all objects, including those that listings do not show yet.
    #[must_use]
    pub fn objects(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// The number of uploads that were neither completed nor aborted.
    #[must_use]
    pub fn uploads(&self) -> usize {
        self.state().uploads.len()
    }

    /// Advances the clock until listings are current.
    pub fn settle(&self) {
        self.clock.advance(i64::try_from(self.options.listing_delay.as_micros()).unwrap_or(i64::MAX) + 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a request: `answer` runs atomically.
    fn request<T>(&self, request: &Request, answer: impl FnOnce(&mut State) -> T) -> T {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(before) = before {
            before(request);
        }
        answer(&mut self.state())
    }

    fn create(&self, state: &mut State, locator: &str, bytes: Vec<u8>) -> BlobRef {
        let now = self.clock.now();
        let etag = format!("\"{:016x}\"", hash(&bytes));
        let version = format!("v{}", self.names.fetch_add(1, Ordering::Relaxed));
        let size = bytes.len() as u64;
        let info = BlobInfo { locator: locator.to_owned(), size, modified: now };
        let from = now.saturating_add(self.options.listing_delay);
        state.listed.insert(locator.to_owned(), Listed { info, from, until: Timestamp(i64::MAX) });
        let object = Object { bytes, etag: etag.clone(), version: version.clone(), modified: now };
        assert!(state.objects.insert(locator.to_owned(), object).is_none(), "{locator} is overwritten");
        BlobRef { locator: locator.to_owned(), size, etag: Some(etag), version: Some(version) }
    }

    fn delete(&self, state: &mut State, locator: &str) {
        if state.objects.remove(locator).is_some()
            && let Some(listed) = state.listed.get_mut(locator)
        {
            listed.until = self.clock.now().saturating_add(self.options.listing_delay);
        }
    }

    fn get(&self, blob: &BlobRef, buffer: &mut [u8], offset: u64) -> Result<()> {
        let locator = &blob.locator;
        self.request(&Request::Get(locator.clone()), |state| {
            let object = state.objects.get(locator).ok_or_else(|| not_found(locator))?;
            let other = |known: &Option<String>, found: &String| known.as_ref().is_some_and(|known| known != found);
            if other(&blob.etag, &object.etag) || other(&blob.version, &object.version) {
                let what = format!("the blob {locator} has been overwritten, at {}", object.modified);
                return Err(Error::new(ErrorKind::Integrity, what));
            }
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let found = object.bytes.get(start..).and_then(|rest| rest.get(..buffer.len()));
            let found = found.ok_or_else(|| ends_early(locator, offset, buffer.len()))?;
            buffer.copy_from_slice(found);
            Ok(())
        })
    }
}

fn not_found(locator: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("the blob {locator} does not exist"))
}

fn ends_early(locator: &str, offset: u64, length: usize) -> Error {
    let end = offset.saturating_add(length as u64);
    Error::new(ErrorKind::Integrity, format!("the blob {locator} ends before byte {end}"))
}

fn is_part(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase() || b"-_".contains(&byte))
}

fn is_extension(text: &str) -> bool {
    text.split('.').all(is_part)
}

/// Refuses a locator that [`Objects::create`] cannot produce.
fn check(locator: &str) -> Result<()> {
    let is_name = |name: &str| {
        let (base, extension) = name.split_once('.').map_or((name, None), |(base, rest)| (base, Some(rest)));
        let Some((stem, digits)) = base.rsplit_once('-') else { return false };
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        name.len() <= 255
            && is_part(stem)
            && digits.len() == 12
            && digits.bytes().all(is_hex)
            && extension.is_none_or(is_extension)
    };
    match locator.strip_prefix("blobs/") {
        Some(name) if is_name(name) => Ok(()),
        _ => Err(Error::new(ErrorKind::Integrity, format!("{locator:?} is no locator of this bucket"))),
    }
}

/// A client of a [`Bucket`].
#[derive(Debug)]
pub struct Objects {
    bucket: Arc<Bucket>,
    closed: AtomicBool,
}

impl Objects {
    /// Another client of `bucket`.
    #[must_use]
    pub fn of(bucket: &Arc<Bucket>) -> Self {
        Self { bucket: Arc::clone(bucket), closed: AtomicBool::new(false) }
    }

    /// The server's state.
    #[must_use]
    pub fn bucket(&self) -> &Arc<Bucket> {
        &self.bucket
    }

    fn refuse_if_closed(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store has been closed"));
        }
        Ok(())
    }
}

struct ObjectWriter {
    bucket: Arc<Bucket>,
    locator: String,
    /// The bytes of the last part so far.
    part: Vec<u8>,
    is_multipart: bool,
}

impl ObjectWriter {
    /// Sends a full part, or the last one.
    fn send(&mut self) -> io::Result<()> {
        let locator = &self.locator;
        let now = self.bucket.clock.now();
        if !self.is_multipart {
            self.is_multipart = true;
            self.bucket.request(&Request::Begin(locator.clone()), |state| {
                state.uploads.insert(locator.clone(), Upload { bytes: Vec::new(), active_at: now });
            });
        }
        let part = std::mem::take(&mut self.part);
        self.bucket.request(&Request::Part(locator.clone()), |state| match state.uploads.get_mut(locator) {
            Some(upload) => {
                upload.bytes.extend_from_slice(&part);
                upload.active_at = now;
                Ok(())
            }
            None => Err(io::Error::new(io::ErrorKind::NotFound, format!("the upload of {locator} does not exist"))),
        })
    }
}

impl io::Write for ObjectWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = self.bucket.options.parts.size;
        let count = bytes.len().min(size - self.part.len());
        // A full part is sent when another byte follows: an object of one part is written as a whole.
        if count == 0 && !bytes.is_empty() {
            self.send()?;
            return self.write(bytes);
        }
        self.part.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for ObjectWriter {
    fn commit(mut self: Box<Self>) -> Result<BlobRef> {
        let bucket = Arc::clone(&self.bucket);
        let locator = self.locator.clone();
        if !self.is_multipart {
            let bytes = std::mem::take(&mut self.part);
            let request = Request::Put(locator.clone());
            return Ok(bucket.request(&request, |state| bucket.create(state, &locator, bytes)));
        }
        self.send().map_err(|e| Error::io(format_args!("cannot write {locator}"), e))?;
        let request = Request::Complete(locator.clone());
        bucket.request(&request, |state| match state.uploads.remove(&locator) {
            Some(upload) => Ok(bucket.create(state, &locator, upload.bytes)),
            None => Err(Error::new(ErrorKind::Storage, format!("the upload of {locator} does not exist"))),
        })
    }

    fn abort(self: Box<Self>) -> Result<()> {
        if self.is_multipart {
            let request = Request::Abort(self.locator.clone());
            self.bucket.request(&request, |state| drop(state.uploads.remove(&self.locator)));
        }
        Ok(())
    }
}

struct ObjectReader {
    bucket: Arc<Bucket>,
    blob: BlobRef,
}

impl BlobReader for ObjectReader {
    fn size(&self) -> u64 {
        self.blob.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let part = self.bucket.options.parts.size;
        for (number, piece) in buffer.chunks_mut(part).enumerate() {
            let from = offset.saturating_add((number * part) as u64);
            self.bucket.get(&self.blob, piece, from)?;
        }
        Ok(())
    }

    fn read_ranges(&self, ranges: &mut [Range<'_>]) -> Result<()> {
        // Sends as many requests concurrently as the options say, so that they arrive in no particular order.
        for group in ranges.chunks_mut(self.bucket.options.parts.concurrency) {
            std::thread::scope(|scope| {
                let read = |Range { offset, buffer }: &mut Range<'_>| self.read_exact_at(buffer, *offset);
                let threads: Vec<_> = group.iter_mut().map(|range| scope.spawn(move || read(range))).collect();
                threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
            })?;
        }
        Ok(())
    }

    fn parts(&self) -> Option<Parts> {
        Some(self.bucket.options.parts)
    }
}

impl BlobBackend for Objects {
    fn name(&self) -> &str {
        "objects"
    }

    fn capability(&self) -> BlobCapability {
        let BucketOptions { grace, longest_put, parts, .. } = self.bucket.options;
        let mut capability = BlobCapability::default();
        (capability.grace, capability.longest_put, capability.parts) = (grace, longest_put, Some(parts));
        capability
    }

    fn create(&self, hint: BlobHint<'_>) -> Result<Box<dyn BlobWriter>> {
        self.refuse_if_closed()?;
        let BlobHint { stem, extension, .. } = hint;
        let is_valid = is_part(stem) && stem.len() <= 128 && (extension.is_empty() || is_extension(extension));
        if !is_valid {
            let what = format!("a blob cannot be named after {stem:?} and {extension:?}");
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        // An odd factor, so that each number gives a different name, in no order.
        let name = self.bucket.names.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4b) & 0xffff_ffff_ffff;
        let dot = if extension.is_empty() { "" } else { "." };
        let locator = format!("blobs/{stem}-{name:012x}{dot}{extension}");
        let bucket = Arc::clone(&self.bucket);
        Ok(Box::new(ObjectWriter { bucket, locator, part: Vec::new(), is_multipart: false }))
    }

    fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>> {
        self.refuse_if_closed()?;
        check(&blob.locator)?;
        Ok(Box::new(ObjectReader { bucket: Arc::clone(&self.bucket), blob: blob.clone() }))
    }

    fn delete(&self, locators: &[&str]) -> Result<()> {
        let (good, bad): (Vec<&str>, Vec<&str>) = locators.iter().partition(|locator| check(locator).is_ok());
        for batch in good.chunks(BATCH) {
            let request = Request::Delete(batch.iter().map(|locator| (*locator).to_owned()).collect());
            self.bucket.request(&request, |state| {
                batch.iter().for_each(|locator| self.bucket.delete(state, locator));
            });
        }
        bad.first().map_or(Ok(()), |locator| check(locator))
    }

    fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>> {
        self.refuse_if_closed()?;
        let mut found: Vec<BlobInfo> = Vec::new();
        loop {
            let after = found.last().map(|last| last.locator.clone()).or_else(|| after.map(str::to_owned));
            let most = BATCH.min(limit - found.len());
            let page: Vec<BlobInfo> = self.bucket.request(&Request::List, |state| {
                let now = self.bucket.clock.now();
                let all =
                    state.listed.iter().filter(|(locator, _)| after.as_ref().is_none_or(|after| *locator > after));
                let shown = all.filter(|(_, listed)| listed.from <= now && now < listed.until);
                shown.take(most).map(|(_, listed)| listed.info.clone()).collect()
            });
            let is_last = page.len() < most;
            found.extend(page);
            if is_last || found.len() == limit {
                return Ok(found);
            }
        }
    }

    fn sweep(&self, age: Duration) -> Result<u64> {
        let now = self.bucket.clock.now();
        let old = |upload: &Upload| upload.active_at.saturating_add(age) < now;
        let left: Vec<String> = self.bucket.request(&Request::List, |state| {
            let left = state.uploads.iter().filter(|(_, upload)| old(upload));
            left.map(|(locator, _)| locator.clone()).collect()
        });
        for locator in &left {
            self.bucket.request(&Request::Abort(locator.clone()), |state| drop(state.uploads.remove(locator)));
        }
        Ok(left.len() as u64)
    }

    fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}
