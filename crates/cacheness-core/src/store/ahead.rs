//! Payloads of a server that are loaded before they are decoded, many at the same time.

use super::{Retry, Store};
use crate::backend::{BlobReader, BlobRef};
use crate::entry::Location;
use crate::error::{Error, ErrorKind, Result};

/// The bytes that are in memory at the same time.
const WINDOW: u64 = 64 << 20;

/// A payload in memory.
pub(super) struct Loaded(Vec<u8>);

impl Loaded {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl BlobReader for Loaded {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = start.checked_add(buffer.len()).and_then(|end| self.0.get(start..end));
        let part = part.ok_or_else(|| Error::new(ErrorKind::Integrity, "a blob ends too early"))?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}

impl Store {
    /// Loads the payloads of the first of these entries, which [`Store::prefetch`] has read, and returns how many entries
    /// these are: one at least, and as many as need little memory. Does nothing for payloads on this machine, for those
    /// that have several parts, and for entries that have expired; one that cannot be loaded is requested again, and
    /// reports its error, when it is read.
    pub fn load_ahead(&self, retries: &mut [Retry]) -> usize {
        let Some(parts) = self.blob_capability.parts else { return retries.len() };
        let now = self.clock.now();
        let wanted = |retry: &Retry| -> Option<BlobRef> {
            let entry = retry.prefetched_entry()?;
            let lives = entry.expires_at.is_none_or(|expiry| expiry > now);
            entry.location.blob().filter(|blob| lives && blob.size <= parts.size as u64).cloned()
        };
        let mut bytes: u64 = 0;
        let (mut places, mut blobs) = (Vec::new(), Vec::new());
        let mut count = 0;
        for retry in retries.iter() {
            if let Some(blob) = wanted(retry) {
                bytes = bytes.saturating_add(blob.size);
                if bytes > WINDOW && count > 0 {
                    break;
                }
                places.push(count);
                blobs.push(blob);
            }
            count += 1;
        }
        if blobs.len() > 1 {
            let loaded = self.blobs.read_all(&blobs.iter().collect::<Vec<_>>());
            for ((place, blob), bytes) in places.into_iter().zip(blobs).zip(loaded) {
                if let Ok(bytes) = bytes {
                    retries[place].load(Location::Blob(blob), bytes);
                }
            }
        }
        count
    }
}
