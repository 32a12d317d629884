//! Reading a payload, and its verification.

use std::fs::File;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use super::{Buffer, Check, LARGE, PayloadHash, PayloadHasher};
use crate::backend::{BlobReader, Parts, Range};
use crate::clock::Timestamp;
use crate::entry::{Entry, Format, Location};
use crate::error::{Error, ErrorKind, Result};
use crate::parallel;
use crate::tree;

/// The number of bytes that one thread reads at a time without hashing.
const PIECE: usize = 1 << 20;

/// The maximum number of pieces that one thread reads and hashes before it claims more.
const RUN: usize = 16;

/// Reads the bytes after `prefix` into `destination` and returns the BLAKE3 of both. Works on all cores and hashes each
/// piece while it is in the cache of the core that read it. There must be more than one piece, and `prefix` must be
/// shorter than one.
fn read_hashed(reader: &dyn BlobReader, prefix: &[u8], destination: &mut [u8]) -> Result<[u8; 32]> {
    let size = prefix.len() + destination.len();
    let count = tree::count(size);
    let run = (count / (4 * parallel::threads())).clamp(1, RUN);
    let mut pieces = vec![tree::Piece::default(); count];
    let mut rest = destination;
    let runs = pieces.chunks_mut(run).enumerate().map(|(number, pieces)| {
        let first = number * run;
        // Pieces count from the beginning of the payload, which is not in `destination`.
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

/// The source of the bytes.
enum Source {
    /// In the entry.
    Inline,
    Blob(Box<OpenBlob>),
}

struct OpenBlob {
    reader: Box<dyn BlobReader>,
    /// The first part, if the blob is read in parts and the part was read: a header is not requested twice.
    head: OnceLock<Vec<u8>>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Inline => "Inline",
            Self::Blob(_) => "Blob",
        })
    }
}

/// A stored payload that is not verified yet.
#[derive(Debug)]
pub struct Stored {
    /// Shared with the entries that the store keeps in memory.
    entry: Arc<Entry>,
    check: Check,
    signed: bool,
    source: Source,
}

impl Stored {
    /// The payload of `entry`; `reader` is its opened blob, if it has one. `signed` means that the entry's signature
    /// was checked and is valid.
    pub fn new(
        entry: impl Into<Arc<Entry>>,
        reader: Option<Box<dyn BlobReader>>,
        check: Check,
        signed: bool,
    ) -> Result<Self> {
        let entry = entry.into();
        let source = match (&entry.location, reader) {
            (Location::Inline(_), _) => Source::Inline,
            (Location::Blob(_), Some(reader)) => Source::Blob(Box::new(OpenBlob { reader, head: OnceLock::new() })),
            (Location::Blob(blob), None) => {
                let what = format!("entry {}: its blob {} is missing", entry.key, blob.locator);
                return Err(
                    Error::new(ErrorKind::Integrity, what).with_hint("delete the entry and put the value again")
                );
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
            computed: None,
            location: Location::Inline(bytes),
        };
        Self { entry: Arc::new(entry), check: Check::Skip, signed: true, source: Source::Inline }
    }

    /// The format of the payload.
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
            Source::Blob(blob) => blob.reader.size(),
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
        self.expect(&found)
    }

    fn expect(&self, found: &PayloadHash) -> Result<()> {
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

    /// Verifies an inline payload now, so that it is not verified again.
    pub(crate) fn verify_inline(&mut self) -> Result<()> {
        if matches!(self.source, Source::Inline) {
            self.check_parts(&[self.inline()])?;
            self.check = Check::Skip;
        }
        Ok(())
    }

    /// Marks an inline payload as verified: it has been in this process's memory since its verification.
    pub(crate) fn skip_inline_check(&mut self) {
        if matches!(self.source, Source::Inline) {
            self.check = Check::Skip;
        }
    }

    /// The entry, shared for keeping it in memory.
    pub(crate) fn share(&self) -> Arc<Entry> {
        Arc::clone(&self.entry)
    }

    /// Verifies an inline payload in place and returns it; `None` if the payload is a blob.
    pub fn inline_bytes(&self) -> Result<Option<&[u8]>> {
        match &self.source {
            Source::Inline => {
                self.check_parts(&[self.inline()])?;
                Ok(Some(self.inline()))
            }
            Source::Blob(_) => Ok(None),
        }
    }

    /// The first `count` bytes, or all if there are fewer: **not verified**. Use them to find out how much memory to
    /// allocate before [`Stored::read_into`], which verifies them.
    pub fn peek(&self, count: usize) -> Result<Vec<u8>> {
        let count = count.min(self.length()?);
        match &self.source {
            Source::Inline => Ok(self.inline()[..count].to_vec()),
            Source::Blob(blob) => {
                let OpenBlob { reader, head } = &**blob;
                if let Some(parts) = reader.parts().filter(|parts| parts.size >= count) {
                    return Ok(self.head(&**reader, head, parts)?[..count].to_vec());
                }
                let mut buffer = vec![0; count];
                reader.read_exact_at(&mut buffer, 0)?;
                Ok(buffer)
            }
        }
    }

    /// Reads the bytes after the `prefix` that [`Stored::peek`] returned into `destination`, which must hold exactly
    /// the rest of the payload, and verifies the whole. After an error the content of `destination` must not be
    /// trusted.
    pub fn read_into(&self, prefix: &[u8], destination: &mut [u8]) -> Result<()> {
        if (prefix.len() as u64).checked_add(destination.len() as u64) != Some(self.size()) {
            return Err(self.undecodable(format_args!(
                "its header promises {} bytes and it has {}",
                prefix.len() as u64 + destination.len() as u64,
                self.size()
            )));
        }
        if let (Source::Blob(blob), Check::Blake3(expected)) = (&self.source, self.check)
            && blob.reader.parts().is_none()
            && prefix.len() < tree::PIECE
            && prefix.len() + destination.len() > tree::PIECE
        {
            let found = read_hashed(&*blob.reader, prefix, destination)?;
            return if found == expected { Ok(()) } else { Err(self.wrong_hash()) };
        }
        self.fill(destination, prefix.len() as u64)?;
        self.check_parts(&[prefix, destination])
    }

    /// Reads `buffer.len()` bytes from `offset` on without verifying them: for slices of formats with checksums of
    /// their own.
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
            Source::Blob(blob) => {
                let OpenBlob { reader, head } = &**blob;
                match reader.parts() {
                    Some(parts) => self.fill_in_parts(&**reader, head, parts, buffer, offset),
                    None if buffer.len() >= LARGE => parallel::run(|| {
                        let pieces = buffer.par_chunks_mut(PIECE).enumerate();
                        pieces.map(|(i, piece)| reader.read_exact_at(piece, offset + (i * PIECE) as u64)).collect()
                    }),
                    None => reader.read_exact_at(buffer, offset),
                }
            }
        }
    }

    /// The first part of the blob.
    fn head<'a>(&self, reader: &dyn BlobReader, head: &'a OnceLock<Vec<u8>>, parts: Parts) -> Result<&'a [u8]> {
        if let Some(head) = head.get() {
            return Ok(head);
        }
        let mut bytes = vec![0; parts.size.min(self.length()?)];
        reader.read_exact_at(&mut bytes, 0)?;
        Ok(head.get_or_init(|| bytes))
    }

    /// Fills `buffer` with as few requests as the parts allow. Does not request again what [`Stored::peek`] has read.
    fn fill_in_parts(
        &self,
        reader: &dyn BlobReader,
        head: &OnceLock<Vec<u8>>,
        parts: Parts,
        mut buffer: &mut [u8],
        mut offset: u64,
    ) -> Result<()> {
        let known = head.get().map_or(&[][..], Vec::as_slice);
        let known = usize::try_from(offset).ok().and_then(|start| known.get(start..)).unwrap_or_default();
        let known = &known[..known.len().min(buffer.len())];
        buffer[..known.len()].copy_from_slice(known);
        buffer = &mut buffer[known.len()..];
        offset += known.len() as u64;
        if buffer.is_empty() {
            return Ok(());
        }
        let mut ranges: Vec<Range<'_>> = Vec::new();
        for buffer in buffer.chunks_mut(parts.size.max(1)) {
            let length = buffer.len() as u64;
            ranges.push(Range { offset, buffer });
            offset += length;
        }
        reader.read_ranges(&mut ranges)
    }

    /// Verifies the payload unless the check is [`Check::Skip`], and returns its file for memory mapping; `None` if the
    /// payload is not a local file.
    pub fn verified_file(&self) -> Result<Option<&File>> {
        let Source::Blob(blob) = &self.source else { return Ok(None) };
        let reader = &blob.reader;
        let Some(file) = reader.file() else { return Ok(None) };
        self.verify()?;
        Ok(Some(file))
    }

    /// Verifies the payload unless the check is [`Check::Skip`], and discards it.
    pub fn verify(&self) -> Result<()> {
        let Source::Blob(blob) = &self.source else { return self.check_parts(&[self.inline()]) };
        let reader = &blob.reader;
        let (xxh3, blake3) = match self.check {
            Check::Skip => return Ok(()),
            Check::Xxh3(_) => (true, false),
            Check::Blake3(_) => (false, true),
        };
        let mut hasher = PayloadHasher::new(xxh3, blake3);
        // Reads as much at a time as the backend requests concurrently.
        let step = reader.parts().map_or(LARGE, |parts| parts.size.saturating_mul(parts.concurrency).max(1));
        let mut buffer = Buffer::zeroed(self.length()?.min(step))?;
        let mut offset = 0;
        while offset < self.size() {
            let count = (self.size() - offset).min(buffer.len() as u64);
            #[allow(clippy::cast_possible_truncation)]
            let piece = &mut buffer.as_mut_slice()[..count as usize];
            match reader.parts() {
                Some(_) => self.fill(piece, offset)?,
                None => reader.read_exact_at(piece, offset)?,
            }
            hasher.update_parallel(piece);
            offset += count;
        }
        self.expect(&hasher.finish())
    }

    /// The error to report for a payload whose unverified beginning gave `error`: the damage if its hash is wrong, else
    /// `error`.
    #[must_use]
    pub fn damage_or(&self, error: Error) -> Error {
        self.verify().err().unwrap_or(error)
    }

    /// The path of the payload's local file, if there is one.
    #[must_use]
    pub fn local_path(&self) -> Option<&std::path::Path> {
        match &self.source {
            Source::Inline => None,
            Source::Blob(blob) => blob.reader.local_path(),
        }
    }
}
