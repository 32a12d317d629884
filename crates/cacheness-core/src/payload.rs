//! Payloads to write ([`Encoded`]) and to read ([`Stored`]).
//!
//! A payload is verified before it is decoded: its bytes are read into private memory, hashed there and only then
//! handed on, so that they cannot change between the check and the use.

mod hash;
mod stored;

use std::borrow::Cow;
use std::io;
use std::ops::Deref;
use std::path::PathBuf;

pub use hash::{Check, PayloadHash, PayloadHasher};
pub use stored::Stored;

use crate::backend::BlobWriter;
use crate::entry::{BlobRef, Format};
use crate::error::{Error, ErrorKind, Result};

/// Writes a payload into a blob while encoding it.
pub type StreamFn<'a> = Box<dyn FnOnce(&mut dyn BlobWriter) -> Result<()> + Send + 'a>;

/// The bytes of an encoded value.
pub enum Payload<'a> {
    /// In memory, in one piece.
    Bytes(Cow<'a, [u8]>),
    /// In memory, in consecutive pieces: large ones are borrowed from the value and never copied.
    Segments(Vec<Cow<'a, [u8]>>),
    /// Written by the handler straight into a blob.
    Stream(StreamFn<'a>),
    /// A file that the handler has written in the store's temporary directory; the store takes ownership.
    File(PathBuf),
}

impl Payload<'_> {
    /// The size of the payload, if it is known before writing.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Segments(segments) => Some(segments.iter().map(|s| s.len() as u64).sum()),
            Self::Stream(_) | Self::File(_) => None,
        }
    }

    /// The whole payload in memory: for tests of handlers, together with [`Stored::from_bytes`]. A file is read and
    /// kept.
    pub fn into_bytes(self) -> Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.into_owned()),
            Self::Segments(segments) => Ok(segments.concat()),
            Self::Stream(stream) => {
                let mut collected = Collected(Vec::new());
                stream(&mut collected)?;
                Ok(collected.0)
            }
            Self::File(path) => {
                std::fs::read(&path).map_err(|e| Error::io(format_args!("cannot read {}", path.display()), e))
            }
        }
    }
}

/// Collects the bytes written to it.
struct Collected(Vec<u8>);

impl io::Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for Collected {
    fn commit(self: Box<Self>) -> Result<BlobRef> {
        Err(Error::new(ErrorKind::Storage, "an encoder must not commit the blob it writes to"))
    }

    fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// An encoded value, ready to be stored.
pub struct Encoded<'a> {
    /// The format of the payload.
    pub format: Format,
    /// The extension of a blob file, without the dot (`b2nd`, `msgpack.zst`).
    pub extension: Cow<'static, str>,
    /// The payload.
    pub payload: Payload<'a>,
}

/// From this size on, memory is allocated in huge pages and work is spread over the cores.
pub const LARGE: usize = 4 << 20;

/// Bytes in private memory; large ones in huge pages, whose first access costs far less.
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
