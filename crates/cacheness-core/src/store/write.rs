//! From an encoded value to bytes in an entry or a blob, hashed on the way.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::hashes::Hashes;
use crate::blob::{BlobBackend, BlobHint, BlobWriter};
use crate::entry::Location;
use crate::error::{Error, ErrorKind, Result};
use crate::parallel;
use crate::payload::{Payload, PayloadHash, PayloadHasher};

/// Payloads of more bytes than this are hashed by other threads while this one writes.
const BESIDE: u64 = 512 << 10;

/// A payload that has been written.
pub(super) struct Written {
    pub(super) location: Location,
    pub(super) hash: PayloadHash,
}

/// Puts `payload` into the entry if it has at most `threshold` bytes, else into a new blob.
pub(super) fn write_payload(
    blobs: &dyn BlobBackend,
    hint: BlobHint<'_>,
    payload: Payload<'_>,
    threshold: u64,
    digest: bool,
) -> Result<Written> {
    match payload {
        Payload::Bytes(bytes) if bytes.len() as u64 <= threshold => {
            let bytes = bytes.into_owned();
            let hash = PayloadHasher::of(&bytes, true, digest);
            Ok(Written { location: Location::Inline(bytes), hash })
        }
        Payload::Segments(segments) if total(&segments) <= threshold => {
            let bytes = segments.concat();
            let hash = PayloadHasher::of(&bytes, true, digest);
            Ok(Written { location: Location::Inline(bytes), hash })
        }
        Payload::Bytes(bytes) => write_segments(blobs, hint, &[bytes], digest),
        Payload::Segments(segments) => write_segments(blobs, hint, &segments, digest),
        Payload::Stream(stream) => write_stream(blobs, hint, stream, digest),
        Payload::File(path) => write_file(blobs, hint, &path, digest),
    }
}

fn total(segments: &[Cow<'_, [u8]>]) -> u64 {
    segments.iter().map(|segment| segment.len() as u64).sum()
}

fn write_failed(error: io::Error) -> Error {
    Error::io("cannot write the payload", error)
}

/// Writes and hashes at the same time, on all cores where there is much.
fn write_segments(
    blobs: &dyn BlobBackend,
    hint: BlobHint<'_>,
    segments: &[Cow<'_, [u8]>],
    digest: bool,
) -> Result<Written> {
    let size = total(segments);
    let mut writer = blobs.create(BlobHint { size: Some(size), ..hint })?;
    let mut write = || segments.iter().try_for_each(|segment| writer.write_all(segment)).map_err(write_failed);
    let hash = if size >= BESIDE {
        let hashes = Hashes::new(segments, digest);
        let helpers = usize::try_from(size / BESIDE).unwrap_or(usize::MAX);
        parallel::beside(
            helpers,
            || {
                write().inspect_err(|_| hashes.stop())?;
                hashes.help();
                Ok::<_, Error>(())
            },
            || hashes.help(),
        )?;
        hashes.finish()
    } else {
        write()?;
        let mut hasher = PayloadHasher::new(true, digest);
        segments.iter().for_each(|segment| hasher.update(segment));
        hasher.finish()
    };
    Ok(Written { location: Location::Blob(writer.commit()?), hash })
}

/// Passes writes on and hashes them; remembers whether the encoder went round it through the file's path.
struct Hashing<'a> {
    inner: &'a mut dyn BlobWriter,
    hasher: PayloadHasher,
    path_taken: std::cell::Cell<bool>,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl BlobWriter for Hashing<'_> {
    fn local_path(&self) -> Option<&Path> {
        self.path_taken.set(true);
        self.inner.local_path()
    }

    fn commit(self: Box<Self>) -> Result<String> {
        Err(Error::new(ErrorKind::Storage, "an encoder must not commit the blob it writes to"))
    }
}

fn write_stream(
    blobs: &dyn BlobBackend,
    hint: BlobHint<'_>,
    stream: crate::payload::StreamFn<'_>,
    digest: bool,
) -> Result<Written> {
    let mut writer = blobs.create(hint)?;
    let mut hashing = Hashing {
        inner: &mut *writer,
        hasher: PayloadHasher::new(true, digest),
        path_taken: std::cell::Cell::new(false),
    };
    stream(&mut hashing)?;
    let by_path = hashing.path_taken.get() && hashing.hasher.finish().size == 0;
    let mut hash = hashing.hasher.finish();
    if by_path && let Some(path) = writer.local_path() {
        let mut hasher = PayloadHasher::new(true, digest);
        read_through(path, |bytes| {
            hasher.update_parallel(bytes);
            Ok(())
        })?;
        hash = hasher.finish();
    }
    Ok(Written { location: Location::Blob(writer.commit()?), hash })
}

/// Takes over a file that a handler has written: always as a blob, because the handler will want a file again. The file
/// is removed also where this fails.
fn write_file(blobs: &dyn BlobBackend, hint: BlobHint<'_>, path: &Path, digest: bool) -> Result<Written> {
    let taken = take_file(blobs, hint, path, digest);
    if let Err(error) = std::fs::remove_file(path) {
        log::warn!("cannot remove the temporary file {}: {error}", path.display());
    }
    taken
}

fn take_file(blobs: &dyn BlobBackend, hint: BlobHint<'_>, path: &Path, digest: bool) -> Result<Written> {
    let size = std::fs::metadata(path)
        .map_err(|e| Error::io(format_args!("the handler's file {} is not there", path.display()), e))?
        .len();
    let mut writer = blobs.create(BlobHint { size: Some(size), ..hint })?;
    let mut hasher = PayloadHasher::new(true, digest);
    read_through(path, |bytes| {
        hasher.update(bytes);
        writer.write_all(bytes).map_err(write_failed)
    })?;
    Ok(Written { location: Location::Blob(writer.commit()?), hash: hasher.finish() })
}

fn read_through(path: &Path, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let failed = |e| Error::io(format_args!("cannot read {}", path.display()), e);
    let mut file = File::open(path).map_err(failed)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => each(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}
