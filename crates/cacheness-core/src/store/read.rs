//! Looking up an entry and opening its payload: in memory where it is there, else in the backends.

use std::sync::Arc;

use super::hot::{Hot, HotEntries, Ticket};
use super::{EntryKey, Fetched, ReadOptions, Store};
use crate::entry::{Entry, Location};
use crate::error::Result;
use crate::payload::{Check, Stored};

impl Store {
    /// How many gets found their entry in the memory of this process since the store was opened.
    #[must_use]
    pub fn memory_hits(&self) -> u64 {
        self.hot.as_ref().map_or(0, HotEntries::hits)
    }

    /// The entry of `key` and its payload, if both are in the memory of this process: touches no file, waits for nobody.
    #[must_use]
    pub fn peek(&self, key: &EntryKey) -> Option<Stored> {
        let Hot { entry, signed, .. } = self.find_hot(key, false).ok()?;
        let mine = key.fingerprint().is_none_or(|asked| entry.fingerprint.as_ref() == Some(asked));
        if !mine || entry.location.locator().is_some() || self.guard_code(&entry, signed).is_err() {
            return None;
        }
        Stored::new(entry, None, Check::Skip, signed).ok()
    }

    /// Looks up `key` and opens its payload, if `admit` wants the entry.
    ///
    /// # Errors
    /// - `Signature`: the signature is wrong, or missing where that is not allowed.
    /// - `Integrity`: the blob is missing although the entry is there.
    pub fn fetch(
        &self,
        key: &EntryKey,
        options: ReadOptions,
        mut admit: impl FnMut(&Entry) -> bool,
    ) -> Result<Fetched> {
        let mut missing: Option<Location> = None;
        loop {
            let (entry, signed, ticket) = match self.find_hot(key, missing.is_some()) {
                Ok(Hot { entry, signed, .. }) => (entry, Some(signed), None),
                Err(ticket) => match self.metadata.get(key.as_str())? {
                    Some(entry) => (Arc::new(entry), None, ticket),
                    None => return Ok(Fetched::Missing),
                },
            };
            if let Some(asked) = key.fingerprint()
                && entry.fingerprint.as_ref() != Some(asked)
            {
                return Ok(Fetched::Collision);
            }
            if !admit(&entry) {
                return Ok(Fetched::Declined);
            }
            let verify = options.verify || self.must_verify(&entry.format);
            let checked = signed.is_some();
            let signed = match signed {
                Some(signed) => signed,
                None => self.accept_signature(&entry, options)?,
            };
            self.guard_code(&entry, signed && verify)?;
            let check = match (verify, signed, entry.digest) {
                (false, ..) => Check::Skip,
                (true, true, Some(digest)) => Check::Blake3(digest),
                (true, ..) => Check::Xxh3(entry.file_hash),
            };
            let reader = match &entry.location {
                Location::Inline(_) => None,
                Location::Blob(locator) => match self.blobs.open(locator)? {
                    Some(reader) => Some(reader),
                    // A writer may have replaced the entry since it was read: then the new one has another blob.
                    None if missing.as_ref().is_none_or(|former| *former != entry.location) => {
                        missing = Some(entry.location.clone());
                        continue;
                    }
                    None => None,
                },
            };
            let mut stored = Stored::new(entry, reader, check, signed && verify)?;
            if checked {
                stored.skip_inline_check();
            } else if let (Some(hot), Some(ticket), true) =
                (&self.hot, ticket, verify && self.is_trusted(&stored, signed))
            {
                stored.verify_inline()?;
                hot.offer(ticket, stored.share(), signed, self.clock.now());
            }
            return Ok(Fetched::Found(Box::new(stored)));
        }
    }

    /// The entry of `key` if it is in memory, else the ticket for keeping it there where there is a memory.
    fn find_hot(&self, key: &EntryKey, again: bool) -> Result<Hot, Option<Ticket>> {
        let Some(hot) = &self.hot else { return Err(None) };
        let Some(outside) = self.metadata.outside_changes() else { return Err(None) };
        if again {
            return Err(Some(hot.ticket(key.as_str(), outside)));
        }
        hot.find(key.as_str(), outside, self.clock.now()).map_err(Some)
    }
}
