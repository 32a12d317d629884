//! Payloads on their way in ([`Encoded`]) and out ([`Stored`]).
//!
//! What comes out is verified before anything decodes it: bytes are read into memory of our own, hashed there, and only
//! then handed on, so that nobody can exchange them between the check and the use.

use std::borrow::Cow;
use std::fs::File;
use std::hash::Hasher;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use crate::blob::{BlobReader, BlobWriter};
use crate::clock::Timestamp;
use crate::entry::{Entry, Format, Location};
use crate::error::{Error, ErrorKind, Result};
use crate::parallel;
use crate::tree;

/// Writes a payload into a blob as it is made.
pub type StreamFn<'a> = Box<dyn FnOnce(&mut dyn BlobWriter) -> Result<()> + Send + 'a>;

/// The bytes of an encoded value.
pub enum Payload<'a> {
    /// In memory, in one piece.
    Bytes(Cow<'a, [u8]>),
    /// In memory, in pieces that follow each other: what is large is borrowed from the value and never copied.
    Segments(Vec<Cow<'a, [u8]>>),
    /// Written by the handler straight into a blob.
    Stream(StreamFn<'a>),
    /// A file that the handler has written in the store's temporary directory; the store takes it over.
    File(PathBuf),
}

impl Payload<'_> {
    /// Bytes of the payload, where they are known before it is written.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Segments(segments) => Some(segments.iter().map(|s| s.len() as u64).sum()),
            Self::Stream(_) | Self::File(_) => None,
        }
    }
}

/// A value made ready to be stored.
pub struct Encoded<'a> {
    /// How the payload is to be read.
    pub format: Format,
    /// The extension of a blob file, without the dot (`b2nd`, `msgpack.zst`).
    pub extension: Cow<'static, str>,
    /// The payload.
    pub payload: Payload<'a>,
}

/// From this size on, memory is asked for in huge pages and work is spread over the cores.
pub const LARGE: usize = 4 << 20;

/// How much of a large payload one thread reads or hashes at a time.
const PIECE: usize = 1 << 20;

/// Bytes in memory of our own; large ones in huge pages, whose first touch costs far less.
pub enum Buffer {
    /// Small.
    Heap(Vec<u8>),
    /// Large: anonymous memory.
    Huge(memmap2::MmapMut),
}

impl Buffer {
    /// `size` bytes, all zero.
    pub fn zeroed(size: usize) -> Result<Self> {
        if size < LARGE {
            return Ok(Self::Heap(vec![0; size]));
        }
        let map = memmap2::MmapMut::map_anon(size)
            .map_err(|e| Error::io(format_args!("cannot get {size} bytes of memory"), e))?;
        #[cfg(target_os = "linux")]
        if let Err(error) = map.advise(memmap2::Advice::HugePage) {
            log::debug!("no huge pages: {error}");
        }
        Ok(Self::Huge(map))
    }

    /// The bytes, writable.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Huge(map) => map,
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Huge(map) => map,
        }
    }
}

/// Hashes a payload as its pieces pass by.
pub struct PayloadHasher {
    xxh3: Option<Box<twox_hash::XxHash3_64>>,
    blake3: Option<Box<blake3::Hasher>>,
    size: u64,
}

/// What a payload hashes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadHash {
    /// Bytes.
    pub size: u64,
    /// XXH3-64, where it was asked for.
    pub file_hash: Option<u64>,
    /// BLAKE3, where it was asked for.
    pub digest: Option<[u8; 32]>,
}

impl PayloadHasher {
    /// A hasher that makes the hashes asked for.
    #[must_use]
    pub fn new(xxh3: bool, blake3: bool) -> Self {
        Self {
            xxh3: xxh3.then(|| Box::new(twox_hash::XxHash3_64::new())),
            blake3: blake3.then(|| Box::new(blake3::Hasher::new())),
            size: 0,
        }
    }

    /// Adds bytes. Both hashes see a piece while it is in the cache of the core.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        for piece in bytes.chunks(256 << 10) {
            if let Some(xxh3) = &mut self.xxh3 {
                xxh3.write(piece);
            }
            if let Some(blake3) = &mut self.blake3 {
                blake3.update(piece);
            }
        }
    }

    /// Adds bytes, on all cores where there are many.
    pub fn update_parallel(&mut self, bytes: &[u8]) {
        if bytes.len() < LARGE {
            return self.update(bytes);
        }
        self.size += bytes.len() as u64;
        let Self { xxh3, blake3, .. } = self;
        let xxh3 = || {
            if let Some(xxh3) = xxh3 {
                xxh3.write(bytes);
            }
        };
        let blake3 = || {
            if let Some(blake3) = blake3 {
                blake3.update_rayon(bytes);
            }
        };
        parallel::run(|| rayon::join(xxh3, blake3));
    }

    /// The hashes of all bytes added.
    #[must_use]
    pub fn finish(&self) -> PayloadHash {
        PayloadHash {
            size: self.size,
            file_hash: self.xxh3.as_ref().map(|h| h.finish()),
            digest: self.blake3.as_ref().map(|h| *h.finalize().as_bytes()),
        }
    }

    /// The hashes of bytes that are all in memory.
    #[must_use]
    pub fn of(bytes: &[u8], xxh3: bool, blake3: bool) -> PayloadHash {
        if bytes.len() >= LARGE {
            let mut hasher = Self::new(xxh3, blake3);
            hasher.update_parallel(bytes);
            return hasher.finish();
        }
        PayloadHash {
            size: bytes.len() as u64,
            file_hash: xxh3.then(|| twox_hash::XxHash3_64::oneshot(bytes)),
            digest: blake3.then(|| *blake3::hash(bytes).as_bytes()),
        }
    }
}

/// Which hash a payload must have to be handed out.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// None: the caller asked for no verification.
    Skip,
    /// This XXH3-64.
    Xxh3(u64),
    /// This BLAKE3.
    Blake3([u8; 32]),
}

/// Pieces that one thread reads and hashes before it asks for more, at most.
const RUN: usize = 16;

/// Reads what follows `prefix` into `destination` and returns the BLAKE3 of both: on all cores, each piece hashed while
/// it is in the cache of the core that read it. There must be more than one piece, and `prefix` is shorter than one.
fn read_hashed(reader: &dyn BlobReader, prefix: &[u8], destination: &mut [u8]) -> Result<[u8; 32]> {
    let size = prefix.len() + destination.len();
    let count = tree::count(size);
    let run = (count / (4 * parallel::threads())).clamp(1, RUN);
    let mut pieces = vec![tree::Piece::default(); count];
    let mut rest = destination;
    let runs = pieces.chunks_mut(run).enumerate().map(|(number, pieces)| {
        let first = number * run;
        // Pieces are counted from the beginning of the payload, which is not in the destination.
        let (start, end) = (first * tree::PIECE, ((first + pieces.len()) * tree::PIECE).min(size));
        let prefix = if first == 0 { prefix } else { &[] };
        let bytes;
        (bytes, rest) = std::mem::take(&mut rest).split_at_mut(end - start - prefix.len());
        (first, pieces, prefix, bytes)
    });
    parallel::share(count / 2, runs, |(first, pieces, mut prefix, mut bytes)| -> Result<()> {
        for (number, hash) in (first..).zip(pieces) {
            let part;
            (part, bytes) = bytes.split_at_mut(bytes.len().min(tree::PIECE - prefix.len()));
            let offset = number * tree::PIECE + prefix.len();
            reader.read_exact_at(part, offset as u64)?;
            *hash = tree::piece(number, [std::mem::take(&mut prefix), part]);
        }
        Ok(())
    })?;
    Ok(tree::digest(&pieces))
}

/// Where the bytes are.
enum Source {
    /// In the entry.
    Inline,
    Blob(Box<dyn BlobReader>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Inline => "Inline",
            Self::Blob(_) => "Blob",
        })
    }
}

/// A payload as the store has it, not verified yet.
#[derive(Debug)]
pub struct Stored {
    /// Shared with what the store keeps in memory.
    entry: Arc<Entry>,
    check: Check,
    signed: bool,
    source: Source,
}

impl Stored {
    /// The payload of `entry`; `reader` is its opened blob where it has one. `signed` says that the entry's signature
    /// has been checked and is valid.
    pub fn new(
        entry: impl Into<Arc<Entry>>,
        reader: Option<Box<dyn BlobReader>>,
        check: Check,
        signed: bool,
    ) -> Result<Self> {
        let entry = entry.into();
        let source = match (&entry.location, reader) {
            (Location::Inline(_), _) => Source::Inline,
            (Location::Blob(_), Some(reader)) => Source::Blob(reader),
            (Location::Blob(locator), None) => {
                return Err(Error::new(
                    ErrorKind::Integrity,
                    format!("entry {}: its blob {locator} is missing", entry.key),
                )
                .with_hint("delete the entry and put the value again"));
            }
        };
        let stored = Self { entry, check, signed, source };
        let found = stored.size_found();
        if found != stored.size() {
            return Err(stored.damaged(format_args!("its payload has {found} bytes instead of {}", stored.size())));
        }
        Ok(stored)
    }

    /// A payload in memory that needs no check, for tests of codecs.
    #[must_use]
    pub fn from_bytes(format: Format, bytes: Vec<u8>) -> Self {
        let size = bytes.len() as u64;
        let entry = Entry {
            key: "test".into(),
            fingerprint: None,
            created_at: Timestamp(0),
            accessed_at: Timestamp(0),
            expires_at: None,
            access_count: 0,
            format,
            size,
            file_hash: 0,
            digest: None,
            signature: None,
            description: None,
            metadata: None,
            params: None,
            location: Location::Inline(bytes),
        };
        Self { entry: Arc::new(entry), check: Check::Skip, signed: true, source: Source::Inline }
    }

    /// How the payload is to be read.
    #[must_use]
    pub fn format(&self) -> &Format {
        &self.entry.format
    }

    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The key of the entry, for messages.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.entry.key
    }

    /// Bytes of the payload.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.entry.size
    }

    /// Whether the entry has a valid signature.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.signed
    }

    /// An error of kind `Serialization` about this entry.
    pub fn undecodable(&self, why: impl std::fmt::Display) -> Error {
        Error::new(
            ErrorKind::Serialization,
            format!("entry {}: cannot decode its {} payload: {why}", self.entry.key, self.entry.format.storage_format),
        )
    }

    fn damaged(&self, what: impl std::fmt::Display) -> Error {
        let place = self.entry.location.locator().map(|locator| format!(" ({locator})")).unwrap_or_default();
        Error::new(ErrorKind::Integrity, format!("entry {}{place}: {what}", self.entry.key))
            .with_hint("the stored bytes are damaged; delete the entry and put the value again")
    }

    /// The payload that travels inside the entry.
    fn inline(&self) -> &[u8] {
        match &self.entry.location {
            Location::Inline(bytes) => bytes,
            Location::Blob(_) => &[],
        }
    }

    fn wrong_hash(&self) -> Error {
        self.damaged("its payload does not have the hash that the entry records")
    }

    fn size_found(&self) -> u64 {
        match &self.source {
            Source::Inline => self.inline().len() as u64,
            Source::Blob(reader) => reader.size(),
        }
    }

    fn length(&self) -> Result<usize> {
        usize::try_from(self.size()).map_err(|_| self.undecodable("it is too large for this machine"))
    }

    fn check_parts(&self, parts: &[&[u8]]) -> Result<()> {
        let (xxh3, blake3) = match self.check {
            Check::Skip => return Ok(()),
            Check::Xxh3(_) => (true, false),
            Check::Blake3(_) => (false, true),
        };
        let found = match parts {
            [whole] => PayloadHasher::of(whole, xxh3, blake3),
            parts => {
                let mut hasher = PayloadHasher::new(xxh3, blake3);
                for part in parts {
                    hasher.update_parallel(part);
                }
                hasher.finish()
            }
        };
        let equal = match self.check {
            Check::Skip => true,
            Check::Xxh3(expected) => found.file_hash == Some(expected),
            Check::Blake3(expected) => found.digest == Some(expected),
        };
        if equal { Ok(()) } else { Err(self.wrong_hash()) }
    }

    /// Verifies the payload and returns it.
    pub fn into_bytes(self) -> Result<Buffer> {
        let bytes = match self.source {
            Source::Inline => {
                self.check_parts(&[self.inline()])?;
                let entry = Arc::try_unwrap(self.entry).map(|entry| entry.location);
                return Ok(Buffer::Heap(match entry {
                    Ok(Location::Inline(bytes)) => bytes,
                    Err(shared) => match &shared.location {
                        Location::Inline(bytes) => bytes.clone(),
                        Location::Blob(_) => Vec::new(),
                    },
                    Ok(Location::Blob(_)) => Vec::new(),
                }));
            }
            Source::Blob(_) => {
                let mut buffer = Buffer::zeroed(self.length()?)?;
                self.read_into(&[], buffer.as_mut_slice())?;
                buffer
            }
        };
        Ok(bytes)
    }

    /// Verifies an inline payload now, so that nobody verifies it again.
    pub(crate) fn verify_inline(&mut self) -> Result<()> {
        if matches!(self.source, Source::Inline) {
            self.check_parts(&[self.inline()])?;
            self.check = Check::Skip;
        }
        Ok(())
    }

    /// Believes an inline payload: it has been in this process's memory since it was verified.
    pub(crate) fn skip_inline_check(&mut self) {
        if matches!(self.source, Source::Inline) {
            self.check = Check::Skip;
        }
    }

    /// The entry, to be kept in memory.
    pub(crate) fn share(&self) -> Arc<Entry> {
        Arc::clone(&self.entry)
    }

    /// Verifies an inline payload in place and returns it; `None` where the payload is a blob.
    pub fn inline_bytes(&self) -> Result<Option<&[u8]>> {
        match &self.source {
            Source::Inline => {
                self.check_parts(&[self.inline()])?;
                Ok(Some(self.inline()))
            }
            Source::Blob(_) => Ok(None),
        }
    }

    /// The first `count` bytes, or all if there are fewer: **not verified**. Good for finding out how much memory to get
    /// before [`Stored::read_into`], which verifies them.
    pub fn peek(&self, count: usize) -> Result<Vec<u8>> {
        let count = count.min(self.length()?);
        match &self.source {
            Source::Inline => Ok(self.inline()[..count].to_vec()),
            Source::Blob(reader) => {
                let mut buffer = vec![0; count];
                reader.read_exact_at(&mut buffer, 0)?;
                Ok(buffer)
            }
        }
    }

    /// Reads what follows the `prefix` that [`Stored::peek`] returned into `destination`, which must take exactly the
    /// rest of the payload, and verifies the whole. After an error `destination` holds nothing to be trusted.
    pub fn read_into(&self, prefix: &[u8], destination: &mut [u8]) -> Result<()> {
        if (prefix.len() as u64).checked_add(destination.len() as u64) != Some(self.size()) {
            return Err(self.undecodable(format_args!(
                "its header promises {} bytes and it has {}",
                prefix.len() as u64 + destination.len() as u64,
                self.size()
            )));
        }
        if let (Source::Blob(reader), Check::Blake3(expected)) = (&self.source, self.check)
            && prefix.len() < tree::PIECE
            && prefix.len() + destination.len() > tree::PIECE
        {
            let found = read_hashed(&**reader, prefix, destination)?;
            return if found == expected { Ok(()) } else { Err(self.wrong_hash()) };
        }
        self.fill(destination, prefix.len() as u64)?;
        self.check_parts(&[prefix, destination])
    }

    /// Reads `buffer.len()` bytes from `offset` on without verifying them: for slices of formats that check themselves.
    pub fn read_unverified(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.fill(buffer, offset)
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        match &self.source {
            Source::Inline => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let from = self.inline().get(start..).and_then(|rest| rest.get(..buffer.len()));
                let from = from.ok_or_else(|| self.damaged("its payload ends too early"))?;
                buffer.copy_from_slice(from);
                Ok(())
            }
            Source::Blob(reader) if buffer.len() >= LARGE => parallel::run(|| {
                let pieces = buffer.par_chunks_mut(PIECE).enumerate();
                pieces.map(|(i, piece)| reader.read_exact_at(piece, offset + (i * PIECE) as u64)).collect()
            }),
            Source::Blob(reader) => reader.read_exact_at(buffer, offset),
        }
    }

    /// Verifies the payload unless the check is [`Check::Skip`], and returns its file for memory mapping; `None` where
    /// the payload is no local file.
    pub fn verified_file(&self) -> Result<Option<&File>> {
        let Source::Blob(reader) = &self.source else { return Ok(None) };
        let Some(file) = reader.file() else { return Ok(None) };
        if !matches!(self.check, Check::Skip) {
            let mut hasher =
                PayloadHasher::new(matches!(self.check, Check::Xxh3(_)), matches!(self.check, Check::Blake3(_)));
            let mut buffer = Buffer::zeroed(self.length()?.min(LARGE))?;
            let mut offset = 0;
            while offset < self.size() {
                let count = (self.size() - offset).min(buffer.len() as u64);
                #[allow(clippy::cast_possible_truncation)]
                let piece = &mut buffer.as_mut_slice()[..count as usize];
                reader.read_exact_at(piece, offset)?;
                hasher.update_parallel(piece);
                offset += count;
            }
            let found = hasher.finish();
            let equal = match self.check {
                Check::Skip => true,
                Check::Xxh3(expected) => found.file_hash == Some(expected),
                Check::Blake3(expected) => found.digest == Some(expected),
            };
            if !equal {
                return Err(self.wrong_hash());
            }
        }
        Ok(Some(file))
    }

    /// The path of the payload's local file, where there is one.
    #[must_use]
    pub fn local_path(&self) -> Option<&std::path::Path> {
        match &self.source {
            Source::Inline => None,
            Source::Blob(reader) => reader.local_path(),
        }
    }
}
