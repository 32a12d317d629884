//! A blob on its way to the bucket: one request for a small one, parts for a large one.
//!
//! A writer holds one part that it fills, and at most as many as are sent at the same time. The parts are sent by the
//! runtime's thread while the caller encodes the next one.

use std::io;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use cacheness_core::backend::{BlobHint, BlobRef, BlobWriter};
use cacheness_core::backends::locator::{Locator, new_name, shard_of};
use cacheness_core::payload::PayloadHash;
use cacheness_core::{Error, ErrorKind, Result, failpoint, process};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::error;
use crate::runtime::{handle, wait};
use crate::{Bucket, path_of};

/// The maximum number of parts of an object.
const MAX_PARTS: u64 = 10_000;
/// After so many parts of an object of unknown size, parts become twice as large.
const PARTS_OF_A_SIZE: usize = 1500;

/// A part being sent: its number, and its result.
type Sending = JoinHandle<(usize, object_store::Result<PartId>)>;

/// An upload of several parts.
struct Upload {
    id: String,
    sending: FuturesUnordered<Sending>,
    /// The parts that have arrived, by their numbers.
    done: Vec<Option<PartId>>,
}

/// Writes one blob.
pub(crate) struct Writer {
    bucket: Arc<Bucket>,
    /// The process that began the writer: a forked child has its own memory, and not its connections.
    forks: u64,
    locator: String,
    path: Path,
    content_type: &'static str,
    hash: Option<PayloadHash>,
    part: Vec<u8>,
    part_size: usize,
    /// The maximum number of parts being sent.
    concurrency: usize,
    size: u64,
    upload: Option<Upload>,
    /// Committed or aborted.
    is_done: bool,
}

impl Writer {
    pub(crate) fn new(bucket: &Arc<Bucket>, hint: BlobHint<'_>) -> Result<Self> {
        let name = new_name(hint.stem, hint.extension)?;
        let locator = Locator { shard: shard_of(&name, bucket.shard_chars), name: &name }.text();
        let path = path_of(&bucket.options, &locator)?;
        let usual = bucket.options.part_size();
        let needed = hint.size.map_or(0, |size| size.div_ceil(MAX_PARTS));
        let part_size = usize::try_from(needed).unwrap_or(usize::MAX).next_multiple_of(1 << 20).max(usual);
        let mut writer = Self {
            bucket: Arc::clone(bucket),
            forks: process::forks(),
            locator,
            path,
            content_type: content_type(hint.extension),
            hash: None,
            part: Vec::new(),
            part_size,
            concurrency: 1,
            size: 0,
            upload: None,
            is_done: false,
        };
        writer.limit();
        let expected = hint.size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        writer.part.reserve_exact(expected.min(part_size));
        Ok(writer)
    }

    /// Larger parts are sent by fewer at a time, so that they take the same memory.
    fn limit(&mut self) {
        let options = &self.bucket.options;
        self.concurrency = (options.part_size() * options.max_concurrency / self.part_size).max(1);
    }

    fn action(&self) -> String {
        format!("cannot write the blob {}", self.locator)
    }

    fn refuse_in_child(&self) -> Result<()> {
        if self.forks == process::forks() {
            return Ok(());
        }
        let what = format!("{}: another process began it", self.action());
        Err(Error::new(ErrorKind::Storage, what).with_hint("put the value in the process that encodes it"))
    }

    /// What the object tells about itself.
    fn attributes(&self, sha256: Option<String>) -> Attributes {
        let options = &self.bucket.options;
        let mut attributes = Attributes::new();
        let content_type = options.content_type.clone().unwrap_or_else(|| self.content_type.to_owned());
        attributes.insert(Attribute::ContentType, content_type.into());
        if let Some(value) = &options.cache_control {
            attributes.insert(Attribute::CacheControl, value.clone().into());
        }
        if let Some(value) = &options.storage_class {
            attributes.insert(Attribute::StorageClass, value.clone().into());
        }
        let mut metadata = |name: String, value: String| {
            attributes.insert(Attribute::Metadata(name.into()), value.into());
        };
        for (name, value) in &options.object_metadata {
            metadata(name.clone(), value.clone());
        }
        if let Some(sha256) = sha256 {
            metadata("sha256".into(), sha256);
        }
        if let Some(hash) = &self.hash {
            if let Some(xxh3) = hash.file_hash {
                metadata("xxh3".into(), format!("{xxh3:016x}"));
            }
            if let Some(blake3) = &hash.digest {
                metadata("blake3".into(), hex(blake3));
            }
        }
        attributes
    }

    /// Begins to send the part in memory; waits first if as many as allowed are being sent.
    fn send(&mut self) -> Result<()> {
        self.refuse_in_child()?;
        let client = self.bucket.client()?;
        if self.upload.is_none() {
            let options = PutMultipartOptions { attributes: self.attributes(None), ..PutMultipartOptions::default() };
            let (path, action) = (&self.path, self.action());
            let begun = wait(async {
                client.s3.create_multipart_opts(path, options).await.map_err(|e| error::of_store(action, &e))
            })?;
            self.upload = Some(Upload { id: begun, sending: FuturesUnordered::new(), done: Vec::new() });
            failpoint::reached("blob/created");
        }
        self.arrive(self.concurrency - 1)?;
        let next = mem::take(&mut self.part);
        let Some(upload) = &mut self.upload else { return Ok(()) };
        let number = upload.done.len();
        upload.done.push(None);
        let (client, path, id) = (Arc::clone(&client), self.path.clone(), upload.id.clone());
        upload.sending.push(handle()?.spawn(async move {
            let payload = PutPayload::from(Bytes::from(next));
            (number, client.s3.put_part(&path, &id, number, payload).await)
        }));
        if upload.done.len() % PARTS_OF_A_SIZE == 0 {
            self.part_size *= 2;
            self.limit();
        }
        Ok(())
    }

    /// Waits until at most `most` parts are being sent.
    fn arrive(&mut self, most: usize) -> Result<()> {
        let action = self.action();
        let Some(upload) = &mut self.upload else { return Ok(()) };
        wait(async {
            while upload.sending.len() > most {
                match upload.sending.next().await {
                    None => break,
                    Some(Err(_)) => {
                        return Err(Error::new(ErrorKind::Storage, format!("{action}: the upload was stopped")));
                    }
                    Some(Ok((_, Err(error)))) => return Err(error::of_store(&action, &error)),
                    Some(Ok((number, Ok(part)))) => {
                        upload.done[number] = Some(part);
                        failpoint::reached("blob/half");
                    }
                }
            }
            Ok(())
        })
    }

    /// Writes the object in one request.
    fn put(&mut self) -> Result<PutResult> {
        let client = self.bucket.client()?;
        let part = mem::take(&mut self.part);
        let attributes = self.attributes(Some(hex(&Sha256::digest(&part))));
        let options = PutOptions { attributes, ..PutOptions::default() };
        let action = self.action();
        let payload = PutPayload::from(Bytes::from(part));
        wait(async { client.s3.put_opts(&self.path, payload, options).await.map_err(|e| error::of_store(action, &e)) })
    }

    /// Makes an object of the parts.
    fn complete(&mut self) -> Result<PutResult> {
        let client = self.bucket.client()?;
        let action = self.action();
        let Some(upload) = &mut self.upload else {
            return Err(Error::new(ErrorKind::Storage, format!("{action}: there is no upload")));
        };
        let parts: Vec<PartId> = mem::take(&mut upload.done).into_iter().flatten().collect();
        let (path, id, size) = (&self.path, &upload.id, self.size);
        wait(async {
            match client.s3.complete_multipart(path, id, parts).await {
                Ok(done) => Ok(done),
                Err(error) => {
                    // The answer to an earlier attempt may have been lost. The name is new, so the object is this one.
                    if let Ok(found) = client.s3.head(path).await
                        && found.size == size
                    {
                        let extensions = object_store::Extensions::default();
                        return Ok(PutResult { e_tag: found.e_tag, version: found.version, extensions });
                    }
                    Err(error::of_store(&action, &error))
                }
            }
        })
    }

    fn try_commit(&mut self) -> Result<BlobRef> {
        self.refuse_in_child()?;
        let written = if self.upload.is_none() {
            self.put()?
        } else {
            if !self.part.is_empty() {
                self.send()?;
            }
            self.arrive(0)?;
            failpoint::reached("blob/written");
            self.complete()?
        };
        failpoint::reached("blob/placed");
        let locator = mem::take(&mut self.locator);
        Ok(BlobRef { locator, size: self.size, etag: written.e_tag, version: written.version })
    }

    /// Stops the parts being sent, and takes the upload to abort, if there is one.
    fn give_up(&mut self) -> Option<(Arc<Client>, Path, String, FuturesUnordered<Sending>)> {
        self.is_done = true;
        let upload = self.upload.take()?;
        // The parent of a forked child may still be writing.
        if self.forks != process::forks() {
            mem::forget(upload.sending);
            return None;
        }
        upload.sending.iter().for_each(JoinHandle::abort);
        let client = self.bucket.client().ok()?;
        Some((client, self.path.clone(), upload.id, upload.sending))
    }

    /// Aborts the upload without waiting for it.
    fn abort_later(&mut self) {
        let (Some((client, path, id, sending)), Ok(handle)) = (self.give_up(), handle()) else { return };
        handle.spawn(async move {
            if let Err(error) = abort(&client, &path, &id, sending).await {
                log::warn!("an unfinished upload is left for a sweep: {}", error.with_causes());
            }
        });
    }
}

/// A part that was on its way may arrive after the abort: it is waited for, or known to be stopped.
async fn abort(client: &Client, path: &Path, id: &str, mut sending: FuturesUnordered<Sending>) -> Result<()> {
    while sending.next().await.is_some() {}
    match client.s3.abort_multipart(path, &id.to_owned()).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(e) => Err(error::of_store(format_args!("cannot abort the upload of {path}"), &e)),
    }
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.len() == self.part_size && !bytes.is_empty() {
            // A full part is sent when another byte follows: an object of one part is written as a whole.
            self.send().map_err(io::Error::other)?;
        }
        let count = bytes.len().min(self.part_size - self.part.len());
        if self.part.is_empty() && self.upload.is_some() {
            self.part.reserve_exact(self.part_size);
        }
        self.part.extend_from_slice(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for Writer {
    fn note_hash(&mut self, hash: &PayloadHash) {
        self.hash = Some(*hash);
    }

    fn commit(mut self: Box<Self>) -> Result<BlobRef> {
        let written = self.try_commit();
        match &written {
            Ok(_) => self.is_done = true,
            Err(_) => self.abort_later(),
        }
        written
    }

    fn abort(mut self: Box<Self>) -> Result<()> {
        match self.give_up() {
            None => Ok(()),
            Some((client, path, id, sending)) => wait(async { abort(&client, &path, &id, sending).await }),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_done {
            self.abort_later();
        }
    }
}

/// The media type of a payload, by its extension.
fn content_type(extension: &str) -> &'static str {
    match extension {
        "parquet" => "application/vnd.apache.parquet",
        "arrow" => "application/vnd.apache.arrow.file",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        "msgpack" => "application/vnd.msgpack",
        _ if extension.ends_with(".zst") => "application/zstd",
        _ if extension.ends_with(".gz") => "application/gzip",
        _ => "application/octet-stream",
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
