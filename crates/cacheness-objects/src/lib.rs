//! S3, and what speaks like it, as a blob backend of cacheness.
//!
//! ```no_run
//! use cacheness_core::backend::BlobBackend;
//! use cacheness_objects::{S3Blobs, S3Options};
//!
//! # fn main() -> cacheness_core::Result<()> {
//! let options = S3Options { bucket: "team-cache".into(), prefix: "fraud/".into(), ..S3Options::default() };
//! let blobs = S3Blobs::new(options, 2)?;
//! for blob in blobs.list(None, 100)? {
//!     println!("{} has {} bytes", blob.locator, blob.size);
//! }
//! # Ok(()) }
//! ```
//!
//! | module | is for |
//! |---|---|
//! | `config` | options, and URLs of buckets |
//! | `credentials` | the standard chain |
//! | `client` | the client crate, configured; requests that it lacks |
//! | `runtime` | the thread that drives the connections; waiting for a future |
//! | `write` | one request, or an upload of parts |
//! | `read` | ranges; what the server tells about an object |
//! | `list` | listing, deletion, the sweep of unfinished uploads |
//! | `claim` | whose objects these are |
//! | `error` | kinds of errors |
//!
//! The key of an object is the prefix and the locator without `blobs/`: `fraud/ab/ab…-0123456789ab.parquet`. An object is
//! never overwritten, so that nothing relies on conditional writes.

mod claim;
mod client;
mod config;
mod credentials;
mod error;
mod list;
mod read;
mod runtime;
mod write;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cacheness_core::backend::{
    BlobBackend, BlobCapability, BlobHint, BlobInfo, BlobProperties, BlobReader, BlobRef, BlobWriter, Parts,
};
use cacheness_core::backends::locator::{BLOBS, Locator, new_name, not_found, shard_of};
use cacheness_core::process::PerProcess;
use cacheness_core::{Error, ErrorKind, Result};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use object_store::signer::{Method, Signer};

use client::Client;
pub use config::{AddressingStyle, S3Options, SCHEME};

/// The longest time that S3 signs a URL for.
const LONGEST_URL: Duration = Duration::from_secs(7 * 24 * 3600);

/// What writers, readers and the backend share.
pub(crate) struct Bucket {
    pub(crate) options: S3Options,
    pub(crate) shard_chars: u8,
    /// A forked child connects anew.
    client: PerProcess<OnceLock<Arc<Client>>>,
}

impl Bucket {
    /// The client of this process. The first call reads credentials and certificates.
    pub(crate) fn client(&self) -> Result<Arc<Client>> {
        let slot = self.client.get_or_make(OnceLock::new);
        if let Some(client) = slot.get() {
            return Ok(Arc::clone(client));
        }
        let made = Arc::new(Client::new(&self.options)?);
        Ok(Arc::clone(slot.get_or_init(|| made)))
    }

    pub(crate) fn parts(&self) -> Parts {
        Parts { size: self.options.part_size(), concurrency: self.options.max_concurrency }
    }

    /// The fields of an entry that say where its blob is.
    pub(crate) fn place(&self, blob: &BlobRef) -> Vec<(&'static str, String)> {
        let key = key_of(&self.options, &blob.locator);
        let mut place = vec![("s3_bucket", self.options.bucket.clone()), ("s3_key", key)];
        place.extend(blob.etag.clone().map(|etag| ("s3_etag", etag)));
        place.extend(blob.version.clone().map(|version| ("s3_version_id", version)));
        place
    }
}

fn key_of(options: &S3Options, locator: &str) -> String {
    let name = locator.strip_prefix(BLOBS).and_then(|rest| rest.strip_prefix('/')).unwrap_or(locator);
    format!("{}{name}", options.prefix)
}

/// The key of a blob; an error of kind `Integrity` for a locator that no store has made.
pub(crate) fn path_of(options: &S3Options, locator: &str) -> Result<Path> {
    Locator::parse(locator)?;
    Path::parse(key_of(options, locator))
        .map_err(|e| Error::new(ErrorKind::Integrity, format!("{locator:?} is no key of S3")).with_source(e))
}

/// Blobs in a bucket of S3.
///
/// Nothing is requested before the first blob is written or read, so that a wrong bucket or wrong credentials are
/// reported then. Credentials are those of the options, or what the standard chain finds: the environment, a web
/// identity, the profile of the shared files, a container's, the machine's.
pub struct S3Blobs {
    bucket: Arc<Bucket>,
    /// The id of the store, if it claims its prefix.
    store_id: Option<String>,
    /// The prefix is known to be this store's.
    is_ours: AtomicBool,
    closed: AtomicBool,
}

impl fmt::Debug for S3Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Blobs").field("options", &self.bucket.options).finish_non_exhaustive()
    }
}

impl S3Blobs {
    /// The blobs of a bucket. `shard_chars` characters of the key, 0 to 4, come before a `/` of their own.
    ///
    /// # Errors
    /// `InvalidInput`: an option is invalid.
    pub fn new(options: S3Options, shard_chars: u8) -> Result<Self> {
        options.check()?;
        let bucket = Bucket { options, shard_chars: shard_chars.min(4), client: PerProcess::new() };
        let (is_ours, closed) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { bucket: Arc::new(bucket), store_id: None, is_ours, closed })
    }

    /// Names the store that the prefix belongs to. It is compared before anything is listed to be deleted.
    #[must_use]
    pub fn of_store(mut self, id: impl Into<String>) -> Self {
        self.store_id = Some(id.into());
        self
    }

    /// Records in the bucket that the prefix belongs to the store of [`S3Blobs::of_store`].
    ///
    /// # Errors
    /// `NotAStore`: it belongs to another one.
    pub fn claim(&self) -> Result<()> {
        match &self.store_id {
            None => Ok(()),
            Some(id) => {
                claim::claim(&self.bucket, id)?;
                self.is_ours.store(true, Ordering::Release);
                Ok(())
            }
        }
    }

    /// The options.
    #[must_use]
    pub fn options(&self) -> &S3Options {
        &self.bucket.options
    }

    fn refuse_if_closed(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store has been closed"));
        }
        Ok(())
    }

    fn refuse_foreign(&self) -> Result<()> {
        match &self.store_id {
            Some(id) if !self.is_ours.load(Ordering::Acquire) => {
                claim::check(&self.bucket, id)?;
                self.is_ours.store(true, Ordering::Release);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl BlobBackend for S3Blobs {
    fn name(&self) -> &str {
        SCHEME
    }

    fn capability(&self) -> BlobCapability {
        let mut capability = BlobCapability::default();
        capability.parts = Some(self.bucket.parts());
        capability
    }

    fn create(&self, hint: BlobHint<'_>) -> Result<Box<dyn BlobWriter>> {
        self.refuse_if_closed()?;
        Ok(Box::new(write::Writer::new(&self.bucket, hint)?))
    }

    fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>> {
        self.refuse_if_closed()?;
        Ok(Box::new(read::Reader::new(&self.bucket, blob)?))
    }

    fn read_all(&self, blobs: &[&BlobRef]) -> Vec<Result<Vec<u8>>> {
        let read = self.refuse_if_closed().and_then(|()| read::read_all(&self.bucket, blobs));
        // Each blob is requested again by itself, and tells what is wrong.
        read.unwrap_or_else(|error| {
            let text = error.with_causes().to_string();
            blobs.iter().map(|_| Err(Error::new(error.kind(), text.clone()))).collect()
        })
    }

    fn delete(&self, locators: &[&str]) -> Result<()> {
        list::delete(&self.bucket, locators)
    }

    fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>> {
        self.refuse_if_closed()?;
        self.refuse_foreign()?;
        list::list(&self.bucket, after, limit)
    }

    fn properties(&self, blob: &BlobRef) -> Result<BlobProperties> {
        self.refuse_if_closed()?;
        read::properties(&self.bucket, blob)
    }

    fn place(&self, blob: &BlobRef) -> Vec<(&'static str, String)> {
        self.bucket.place(blob)
    }

    fn presign(&self, blob: &BlobRef, expires: Duration) -> Result<String> {
        self.refuse_if_closed()?;
        if expires < Duration::from_secs(1) || expires > LONGEST_URL {
            let what = format!("expires is {} seconds", expires.as_secs_f64());
            return Err(Error::new(ErrorKind::InvalidInput, what).with_hint("give one second to seven days"));
        }
        let (client, path) = (self.bucket.client()?, path_of(&self.bucket.options, &blob.locator)?);
        runtime::wait(async {
            let url = client.s3.signed_url(Method::GET, &path, expires).await;
            url.map(String::from).map_err(|e| error::of_store("cannot sign a URL", &e))
        })
    }

    fn copy(&self, blob: &BlobRef, hint: BlobHint<'_>) -> Result<BlobRef> {
        self.refuse_if_closed()?;
        let name = new_name(hint.stem, hint.extension)?;
        let locator = Locator { shard: shard_of(&name, self.bucket.shard_chars), name: &name }.text();
        let (client, options) = (self.bucket.client()?, &self.bucket.options);
        let (from, to) = (path_of(options, &blob.locator)?, path_of(options, &locator)?);
        let found = runtime::wait(async {
            let failed = |e| error::of_store(format_args!("cannot copy the blob {}", blob.locator), &e);
            client.s3.copy(&from, &to).await.map_err(failed)?;
            client.s3.head(&to).await.map_err(failed)
        });
        let found = found.map_err(|error| match error.kind() {
            ErrorKind::NotFound => not_found(&blob.locator),
            _ => error,
        })?;
        Ok(BlobRef { locator, size: found.size, etag: found.e_tag, version: found.version })
    }

    fn sweep(&self, age: Duration) -> Result<u64> {
        self.refuse_foreign()?;
        list::sweep(&self.bucket, age)
    }

    fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}
