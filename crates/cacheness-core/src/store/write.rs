//! From an encoded value to bytes in an entry or a blob, hashed on the way.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::path::Path;

use super::hashes::Hashes;
use crate::backend::{BlobBackend, BlobHint, BlobWriter};
use crate::entry::{BlobRef, Location};
use crate::error::{Error, ErrorKind, Result};
use crate::parallel;
use crate::payload::{Payload, PayloadHash, PayloadHasher};

/// Larger payloads are hashed by other threads while this one writes.
const BESIDE: u64 = 512 << 10;

/// Bytes per write; at most twice as many are written at once. On a disk that had fallen behind, one write of 100 MB
/// took seconds; a hundred smaller ones mostly took a fifth of a second in all.
const AT_A_TIME: usize = 1 << 20;

/// The maximum number of segments per write: systems accept about a thousand.
const MAX_PARTS: usize = 256;

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

/// Commits the blob if it was written, and aborts it if that failed.
fn finish(mut writer: Box<dyn BlobWriter>, hash: Result<PayloadHash>) -> Result<Written> {
    if let Ok(hash) = &hash {
        writer.note_hash(hash);
    }
    commit(writer, hash)
}

/// [`finish`] for a writer that knows the hash.
fn commit(writer: Box<dyn BlobWriter>, hash: Result<PayloadHash>) -> Result<Written> {
    match hash {
        Ok(hash) => Ok(Written { location: Location::Blob(writer.commit()?), hash }),
        Err(error) => {
            if let Err(left) = writer.abort() {
                log::warn!("a blob that could not be written is left unfinished: {}", left.with_causes());
            }
            Err(error)
        }
    }
}

/// Hashes first, on all cores, and writes then: a storage that records the hash beside a blob wants to know it when the
/// upload begins. Hashing takes a fraction of the time of sending the bytes.
fn send_segments(
    blobs: &dyn BlobBackend,
    hint: BlobHint<'_>,
    segments: &[Cow<'_, [u8]>],
    digest: bool,
) -> Result<Written> {
    let mut hasher = PayloadHasher::new(true, digest);
    segments.iter().for_each(|segment| hasher.update_parallel(segment));
    let hash = hasher.finish();
    let mut writer = blobs.create(BlobHint { size: Some(total(segments)), ..hint })?;
    writer.note_hash(&hash);
    let written = write_all(&mut *writer, segments).map_err(write_failed);
    commit(writer, written.map(|()| hash))
}

/// Writes and hashes concurrently, on all cores if the payload is large. The other threads are woken first, so that
/// they start while the file is being created.
fn write_segments(
    blobs: &dyn BlobBackend,
    hint: BlobHint<'_>,
    segments: &[Cow<'_, [u8]>],
    digest: bool,
) -> Result<Written> {
    if blobs.capability().parts.is_some() {
        return send_segments(blobs, hint, segments, digest);
    }
    let size = total(segments);
    let create = || blobs.create(BlobHint { size: Some(size), ..hint });
    let write = |writer: &mut dyn BlobWriter| write_all(writer, segments).map_err(write_failed);
    if size < BESIDE {
        let mut writer = create()?;
        let hash = write(&mut *writer).map(|()| {
            let mut hasher = PayloadHasher::new(true, digest);
            segments.iter().for_each(|segment| hasher.update(segment));
            hasher.finish()
        });
        return finish(writer, hash);
    }
    let hashes = Hashes::new(segments, digest);
    let helpers = usize::try_from(size / BESIDE).unwrap_or(usize::MAX);
    let (writer, written) = parallel::beside(
        helpers,
        || {
            let mut writer = create().inspect_err(|_| hashes.stop())?;
            let written = write(&mut *writer).inspect_err(|_| hashes.stop());
            if written.is_ok() {
                hashes.help();
            }
            Ok::<_, Error>((writer, written))
        },
        || hashes.help(),
    )?;
    finish(writer, written.map(|()| hashes.finish()))
}

/// Writes all segments, combining small ones: a separate write of a header costs as much as a tenth of the megabyte
/// that follows it.
fn write_all(writer: &mut dyn BlobWriter, segments: &[Cow<'_, [u8]>]) -> io::Result<()> {
    let mut parts = Vec::new();
    let mut size = 0;
    for part in segments.iter().flat_map(|segment| segment.chunks(AT_A_TIME)) {
        parts.push(IoSlice::new(part));
        size += part.len();
        if size >= AT_A_TIME || parts.len() == MAX_PARTS {
            write_parts(writer, &mut parts)?;
            parts.clear();
            size = 0;
        }
    }
    write_parts(writer, &mut parts)
}

fn write_parts(writer: &mut dyn BlobWriter, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !parts.is_empty() {
        match writer.write_vectored(parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut parts, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Passes writes on and hashes them; records whether the encoder bypassed it through the file's path.
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

    fn commit(self: Box<Self>) -> Result<BlobRef> {
        Err(Error::new(ErrorKind::Storage, "an encoder must not commit the blob it writes to"))
    }

    fn abort(self: Box<Self>) -> Result<()> {
        Err(Error::new(ErrorKind::Storage, "an encoder must not abort the blob it writes to"))
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
    let hash = stream(&mut hashing).and_then(|()| {
        let by_path = hashing.path_taken.get() && hashing.hasher.finish().size == 0;
        let hash = hashing.hasher.finish();
        let Some(path) = by_path.then(|| hashing.inner.local_path()).flatten() else { return Ok(hash) };
        let mut hasher = PayloadHasher::new(true, digest);
        read_through(path, |bytes| {
            hasher.update_parallel(bytes);
            Ok(())
        })?;
        Ok(hasher.finish())
    });
    finish(writer, hash)
}

/// Stores a file that a handler has written: always as a blob, because the handler needs a file to read. The file is
/// removed even on failure.
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
    let mut hasher = PayloadHasher::new(true, digest);
    if blobs.capability().parts.is_some() {
        // As in `send_segments`.
        read_through(path, |bytes| {
            hasher.update_parallel(bytes);
            Ok(())
        })?;
        let hash = hasher.finish();
        let mut writer = blobs.create(BlobHint { size: Some(size), ..hint })?;
        writer.note_hash(&hash);
        let written = read_through(path, |bytes| writer.write_all(bytes).map_err(write_failed));
        return commit(writer, written.map(|()| hash));
    }
    let mut writer = blobs.create(BlobHint { size: Some(size), ..hint })?;
    let written = read_through(path, |bytes| {
        hasher.update(bytes);
        writer.write_all(bytes).map_err(write_failed)
    });
    finish(writer, written.map(|()| hasher.finish()))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepts a few bytes per write and is sometimes interrupted.
    #[derive(Default)]
    struct Slow {
        taken: Vec<u8>,
        calls: usize,
        vectored: bool,
        full_at: Option<usize>,
    }

    impl Slow {
        fn room(&mut self) -> io::Result<usize> {
            self.calls += 1;
            if self.calls.is_multiple_of(3) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            Ok(self.full_at.map_or(11, |end| 11.min(end - self.taken.len())))
        }
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.room()?.min(bytes.len());
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
            if !self.vectored {
                return self.write(parts.iter().find(|part| !part.is_empty()).map_or(&[], |part| part));
            }
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            self.write(&bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl BlobWriter for Slow {
        fn commit(self: Box<Self>) -> Result<BlobRef> {
            Ok(BlobRef::new("", 0))
        }

        fn abort(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    fn segments(bytes: &[u8]) -> Vec<Cow<'_, [u8]>> {
        // More segments than one write takes, some of them empty.
        let mut segments: Vec<Cow<'_, [u8]>> = vec![Cow::Borrowed(&[])];
        for part in bytes.chunks(5) {
            segments.push(Cow::Borrowed(part));
            segments.push(Cow::Borrowed(&[]));
        }
        segments
    }

    #[test]
    fn everything_is_written_however_little_is_taken() {
        let bytes: Vec<u8> = (0..4000u32).map(|i| u8::try_from(i % 251).expect("below 251")).collect();
        for vectored in [true, false] {
            let mut writer = Slow { vectored, ..Slow::default() };
            assert!(write_all(&mut writer, &segments(&bytes)).is_ok());
            assert!(writer.taken == bytes);
        }
    }

    #[test]
    fn nothing_and_empty_segments() {
        let mut writer = Slow::default();
        assert!(write_all(&mut writer, &[]).is_ok());
        assert!(write_all(&mut writer, &segments(&[])).is_ok());
        assert_eq!(writer.calls, 0);
    }

    #[test]
    fn a_writer_that_takes_nothing_is_an_error() {
        let mut writer = Slow { vectored: true, full_at: Some(100), ..Slow::default() };
        let error = write_all(&mut writer, &segments(&[7; 300])).expect_err("there is room for 100 bytes");
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        assert_eq!(writer.taken, [7; 100]);
    }
}
