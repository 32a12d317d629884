//! A blob in the bucket: ranges, some at the same time, and what the server tells without them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cacheness_core::backend::{BlobProperties, BlobReader, BlobRef, Parts, Range};
use cacheness_core::backends::locator::not_found;
use cacheness_core::clock::Timestamp;
use cacheness_core::{Error, ErrorKind, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Attribute, GetOptions, GetRange, ObjectStore};

use crate::client::Client;
use crate::error;
use crate::runtime::wait;
use crate::{Bucket, path_of};

/// The names of the hashes in an object's metadata.
const HASHES: &[&str] = &["xxh3", "blake3", "sha256"];

/// The maximum number of small objects that are requested at the same time: they wait for the server, and take little
/// memory.
const AT_ONCE: usize = 64;

/// Reads one blob.
pub(crate) struct Reader {
    bucket: Arc<Bucket>,
    blob: BlobRef,
    path: Path,
}

impl Reader {
    pub(crate) fn new(bucket: &Arc<Bucket>, blob: &BlobRef) -> Result<Self> {
        let path = path_of(&bucket.options, &blob.locator)?;
        Ok(Self { bucket: Arc::clone(bucket), blob: blob.clone(), path })
    }

    fn check(&self, offset: u64, length: usize) -> Result<()> {
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.blob.size => Ok(()),
            _ => Err(ends_early(&self.blob.locator, offset, length)),
        }
    }

    /// Fills pieces of at most a part each.
    fn read(&self, pieces: Vec<Range<'_>>) -> Result<()> {
        let client = self.bucket.client()?;
        match pieces.len() {
            0 => Ok(()),
            _ => wait(
                stream::iter(pieces)
                    .map(|piece| fill(&client, &self.path, &self.blob, piece))
                    .buffer_unordered(self.bucket.options.max_concurrency)
                    .try_collect::<()>(),
            ),
        }
    }

    /// Cuts a range into pieces of a part each.
    fn cut<'a>(&self, offset: u64, buffer: &'a mut [u8], pieces: &mut Vec<Range<'a>>) {
        let size = self.bucket.options.part_size();
        for (number, buffer) in buffer.chunks_mut(size).enumerate() {
            pieces.push(Range { offset: offset + (number * size) as u64, buffer });
        }
    }
}

impl BlobReader for Reader {
    fn size(&self) -> u64 {
        self.blob.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.check(offset, buffer.len())?;
        let mut pieces = Vec::new();
        self.cut(offset, buffer, &mut pieces);
        self.read(pieces)
    }

    fn read_ranges(&self, ranges: &mut [Range<'_>]) -> Result<()> {
        let mut pieces = Vec::new();
        for Range { offset, buffer } in ranges {
            self.check(*offset, buffer.len())?;
            self.cut(*offset, buffer, &mut pieces);
        }
        self.read(pieces)
    }

    fn parts(&self) -> Option<Parts> {
        Some(self.bucket.parts())
    }
}

fn ends_early(locator: &str, offset: u64, length: usize) -> Error {
    let end = offset.saturating_add(length as u64);
    Error::new(ErrorKind::Integrity, format!("the blob {locator} ends before byte {end}"))
}

/// The error of a request for a blob.
fn failed(blob: &BlobRef, error: &object_store::Error) -> Error {
    let failed = error::of_store(format_args!("cannot read the blob {}", blob.locator), error);
    match failed.kind() {
        ErrorKind::NotFound => not_found(&blob.locator),
        _ => failed,
    }
}

/// Fills one piece with one request, which the client repeats from where the connection broke.
async fn fill(client: &Client, path: &Path, blob: &BlobRef, piece: Range<'_>) -> Result<()> {
    let Range { offset, buffer } = piece;
    let end = offset + buffer.len() as u64;
    let options = GetOptions { range: Some(GetRange::Bounded(offset..end)), ..GetOptions::default() };
    let found = client.s3.get_opts(path, options).await.map_err(|e| failed(blob, &e))?;
    if let (Some(known), Some(etag)) = (&blob.etag, &found.meta.e_tag)
        && !same_etag(known, etag)
    {
        let what = format!("the blob {} has been overwritten, at {}", blob.locator, found.meta.last_modified);
        return Err(Error::new(ErrorKind::Integrity, what)
            .with_hint("something else than a store has written to the bucket; put the value again"));
    }
    let length = buffer.len();
    let mut rest = buffer;
    let mut bytes = found.into_stream();
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk.map_err(|e| failed(blob, &e))?;
        if chunk.len() > rest.len() {
            let what = format!("the server sends more bytes of the blob {} than were requested", blob.locator);
            return Err(Error::new(ErrorKind::Integrity, what));
        }
        let (now, later) = rest.split_at_mut(chunk.len());
        now.copy_from_slice(&chunk);
        rest = later;
    }
    if rest.is_empty() { Ok(()) } else { Err(ends_early(&blob.locator, offset, length)) }
}

/// The bytes of small objects, of which many are requested at the same time.
pub(crate) fn read_all(bucket: &Bucket, blobs: &[&BlobRef]) -> Result<Vec<Result<Vec<u8>>>> {
    let client = bucket.client()?;
    let read = async |blob: &BlobRef| {
        let path = path_of(&bucket.options, &blob.locator)?;
        let mut bytes = vec![0; usize::try_from(blob.size).unwrap_or(usize::MAX)];
        if !bytes.is_empty() {
            fill(&client, &path, blob, Range { offset: 0, buffer: &mut bytes }).await?;
        }
        Ok(bytes)
    };
    wait(async { Ok(stream::iter(blobs).map(|blob| read(blob)).buffered(AT_ONCE).collect().await) })
}

/// Whether two entity tags are the same; some gateways mark them as weak, or drop the quotes.
pub(crate) fn same_etag(a: &str, b: &str) -> bool {
    let bare = |tag: &str| tag.trim_start_matches("W/").trim_matches('"').to_owned();
    bare(a) == bare(b)
}

/// What the server tells about a blob.
pub(crate) fn properties(bucket: &Bucket, blob: &BlobRef) -> Result<BlobProperties> {
    let path = path_of(&bucket.options, &blob.locator)?;
    let client = bucket.client()?;
    let options = GetOptions { head: true, ..GetOptions::default() };
    let found = wait(async { client.s3.get_opts(&path, options).await.map_err(|e| failed(blob, &e)) })?;
    let mut properties = BlobProperties::default();
    properties.size = found.meta.size;
    properties.modified = Some(Timestamp(found.meta.last_modified.timestamp_micros()));
    properties.etag = found.meta.e_tag.clone();
    properties.version = found.meta.version.clone();
    for (attribute, value) in &found.attributes {
        let value = value.as_ref().to_owned();
        match attribute {
            Attribute::ContentType => properties.content_type = Some(value),
            Attribute::CacheControl => properties.cache_control = Some(value),
            Attribute::Metadata(name) if HASHES.contains(&name.as_ref()) => {
                properties.hashes.insert(name.to_string(), value);
            }
            Attribute::Metadata(name) => {
                properties.metadata.insert(name.to_string(), value);
            }
            _ => {}
        }
    }
    properties.place =
        bucket.place(blob).into_iter().map(|(name, value)| (name.into(), value)).collect::<BTreeMap<_, _>>();
    Ok(properties)
}
