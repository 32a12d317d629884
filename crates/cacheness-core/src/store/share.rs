//! Sharing one blob between equal payloads of a content-addressable store, as long as it is intact.

use super::Store;
use crate::backend::Share;
use crate::entry::{BlobRef, Entry, Location};
use crate::error::{ErrorKind, Result};
use crate::payload::{Check, Stored};

/// A blob of another entry that should equal the one just written.
pub(super) struct EqualBlob {
    pub(super) blob: BlobRef,
    is_whole: bool,
}

impl EqualBlob {
    /// How to share it. The new blob replaces a damaged one in all entries that name it: otherwise no put could heal
    /// them.
    pub(super) fn share(&self) -> Share<'_> {
        if self.is_whole { Share::With(&self.blob.locator) } else { Share::InPlaceOf(&self.blob.locator) }
    }
}

impl Store {
    /// The blob of another entry that `entry`, whose own blob has been written, can share. The blob is read and
    /// compared: what an entry records about it is no proof, since a power loss may have truncated or removed the file.
    pub(super) fn equal_blob(&self, entry: &Entry) -> Result<Option<EqualBlob>> {
        if !self.config.content_addressable || entry.location.locator().is_none() {
            return Ok(None);
        }
        let Some(blob) = self.metadata.equal_blob(entry)? else { return Ok(None) };
        let locator = &blob.locator;
        match self.compare(entry, &blob) {
            Ok(()) => Ok(Some(EqualBlob { blob, is_whole: true })),
            Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::NotFound) => {
                log::warn!("the blob {locator} is damaged, and replaced by an equal one: {}", error.with_causes());
                Ok(Some(EqualBlob { blob, is_whole: false }))
            }
            Err(error) => {
                log::warn!("the blob {locator} cannot be read, and is not shared: {}", error.with_causes());
                Ok(None)
            }
        }
    }

    /// Checks that `blob` has the payload of `entry`, and makes it survive a loss of power.
    fn compare(&self, entry: &Entry, blob: &BlobRef) -> Result<()> {
        let Some(digest) = entry.digest else { return Ok(()) };
        let reader = self.blobs.open(blob)?;
        let named = Entry { location: Location::Blob(blob.clone()), ..entry.clone() };
        let stored = Stored::new(named, Some(reader), Check::Blake3(digest), false)?;
        if stored.verified_file()?.is_none() {
            stored.into_bytes()?;
        }
        // The blob may have been written with a lower durability.
        self.blobs.sync(&blob.locator)
    }
}
