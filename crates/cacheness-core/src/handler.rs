//! Handlers: which value is stored in which format.
//!
//! A [`Handler`] turns one kind of value into an [`Encoded`] payload and back, and knows one storage format. [`Storable`]
//! is a type's choice of a handler, so that `cache.put(&value, …)` and `cache.get::<T>(…)` need none.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::blob::BlobWriter;
use crate::entry::Format;
use crate::error::Result;

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
