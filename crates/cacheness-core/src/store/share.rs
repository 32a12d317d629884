//! Equal payloads in a content-addressable store: one blob for all of them, as long as it is whole.

use super::Store;
use crate::backend::Share;
use crate::entry::{Entry, Location};
use crate::error::{ErrorKind, Result};
use crate::payload::{Check, Stored};

/// A blob that should have the bytes that have just been written once more.
pub(super) struct EqualBlob {
    pub(super) locator: String,
    is_whole: bool,
}

impl EqualBlob {
    /// What to do with it. A damaged one gives way to the new one, for all who name it: otherwise no put could heal them.
    pub(super) fn share(&self) -> Share<'_> {
        if self.is_whole { Share::With(&self.locator) } else { Share::InPlaceOf(&self.locator) }
    }
}

impl Store {
    /// The blob of another entry to share with `entry`, whose own has been written; it has been read and compared. What an
    /// entry records of its blob is no proof: the file may have lost bytes with the power, or be gone.
    pub(super) fn equal_blob(&self, entry: &Entry) -> Result<Option<EqualBlob>> {
        if !self.config.content_addressable || entry.location.locator().is_none() {
            return Ok(None);
        }
        let Some(locator) = self.metadata.equal_blob(entry)? else { return Ok(None) };
        match self.compare(entry, &locator) {
            Ok(()) => Ok(Some(EqualBlob { locator, is_whole: true })),
            Err(error) if error.kind() == ErrorKind::Integrity => {
                log::warn!("the blob {locator} is damaged, and replaced by an equal one: {}", error.with_causes());
                Ok(Some(EqualBlob { locator, is_whole: false }))
            }
            Err(error) => {
                log::warn!("the blob {locator} cannot be read, and is not shared: {}", error.with_causes());
                Ok(None)
            }
        }
    }

    /// Whether the blob at `locator` has the payload of `entry`, and will have it after a loss of power as well.
    fn compare(&self, entry: &Entry, locator: &str) -> Result<()> {
        let Some(digest) = entry.digest else { return Ok(()) };
        let reader = self.blobs.open(locator)?;
        let named = Entry { location: Location::Blob(locator.to_owned()), ..entry.clone() };
        let stored = Stored::new(named, reader, Check::Blake3(digest), false)?;
        if stored.verified_file()?.is_none() {
            stored.into_bytes()?;
        }
        // Whoever wrote it may have had a lower durability.
        self.blobs.sync(locator)
    }
}
