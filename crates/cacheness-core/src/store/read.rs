//! Looking up an entry and opening its payload: in memory where it is there, else in the backends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::hot::{Hot, HotEntries, Ticket};
use super::{EntryKey, Store};
use crate::backend::{BlobReader, Part, Parts, Range};
use crate::entry::{BlobRef, Entry, Location};
use crate::error::{Error, ErrorKind, Result};
use crate::payload::{Check, Stored};

/// How to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// Check the payload against its hash. Payloads whose decoding may run code are checked whatever this says.
    pub verify: bool,
    /// A wrong signature is an error; `false` returns the value with a warning in the log (never a pickle).
    pub strict: bool,
}

/// What became of a [`Store::fetch`].
#[derive(Debug)]
pub enum Fetched {
    /// There is no such entry.
    Missing,
    /// There is one, and the caller does not want it (it has expired).
    Declined,
    /// The entry of this key belongs to other parameters.
    Collision,
    /// The entry, its payload ready to be read.
    Found(Box<Stored>),
}

/// What [`Store::read`] found.
#[derive(Debug)]
pub enum Found<T> {
    /// There is no such entry.
    Missing,
    /// There is one, and the caller does not want it (it has expired).
    Declined,
    /// The entry of this key belongs to other parameters.
    Collision,
    /// The decoded value.
    Value(T),
}

/// What one reader of a key has learnt from an attempt that failed: see [`Store::fetch_again`].
#[derive(Debug, Default)]
pub struct Retry {
    /// Where the payload was not found: the entry is read anew, and the payload is lost if it is still the same one.
    missing: Option<Location>,
    /// Set when the blob that is being read vanishes, and where it was.
    watched: Option<(Arc<AtomicBool>, Location)>,
    /// What [`Store::prefetch`] has read.
    prefetched: Option<Box<Prefetched>>,
}

#[derive(Debug)]
struct Prefetched {
    entry: Option<Entry>,
    ticket: Option<Ticket>,
}

impl Retry {
    /// Whether the blob vanished while it was decoded: a writer has replaced or removed the entry, and
    /// [`Store::fetch_again`] finds out.
    pub fn is_due(&mut self) -> bool {
        match self.watched.take() {
            Some((vanished, location)) if vanished.load(Ordering::Acquire) => {
                self.missing = Some(location);
                true
            }
            _ => false,
        }
    }
}

impl Store {
    /// How many gets found their entry in the memory of this process since the store was opened.
    #[must_use]
    pub fn memory_hits(&self) -> u64 {
        self.hot.as_ref().map_or(0, HotEntries::hits)
    }

    /// The entry of `key` and its payload, if both are in the memory of this process. Touches no file and waits for nothing.
    #[must_use]
    pub fn peek(&self, key: &EntryKey) -> Option<Stored> {
        let Hot { entry, signed, .. } = self.find_hot(key, false).ok()?;
        let mine = key.fingerprint().is_none_or(|asked| entry.fingerprint.as_ref() == Some(asked));
        if !mine || entry.location.locator().is_some() || self.guard_code(&entry, signed).is_err() {
            return None;
        }
        Stored::new(entry, None, Check::Skip, signed).ok()
    }

    /// Looks up `key`, opens its payload if `admit` wants the entry, and decodes it.
    ///
    /// A writer may replace the entry at any time, and its former blob is deleted then. If the blob vanishes, also while it
    /// is decoded, the entry is looked up again and the new one is decoded. `decode` may therefore be called again.
    ///
    /// # Errors
    /// Those of `decode`, and of [`Store::fetch`].
    pub fn read<T, E: From<Error>>(
        &self,
        key: &EntryKey,
        options: ReadOptions,
        mut admit: impl FnMut(&Entry) -> bool,
        mut decode: impl FnMut(Stored) -> Result<T, E>,
    ) -> Result<Found<T>, E> {
        let mut retry = Retry::default();
        loop {
            let stored = match self.fetch_again(key, options, &mut admit, &mut retry)? {
                Fetched::Found(stored) => stored,
                Fetched::Missing => return Ok(Found::Missing),
                Fetched::Declined => return Ok(Found::Declined),
                Fetched::Collision => return Ok(Found::Collision),
            };
            match decode(*stored) {
                Ok(value) => return Ok(Found::Value(value)),
                Err(_) if retry.is_due() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks up `key` and opens its payload, if `admit` wants the entry. Where blobs can vanish while they are read, use
    /// [`Store::read`].
    ///
    /// # Errors
    /// - `Signature`: the signature is wrong, or missing where that is not allowed.
    /// - `Integrity`: the blob is missing although the entry exists.
    pub fn fetch(&self, key: &EntryKey, options: ReadOptions, admit: impl FnMut(&Entry) -> bool) -> Result<Fetched> {
        self.fetch_again(key, options, admit, &mut Retry::default())
    }

    /// [`Store::fetch`] of a caller that decodes the payload itself. If decoding fails and [`Retry::is_due`], the caller
    /// fetches again, with the same `retry`.
    ///
    /// # Errors
    /// Those of [`Store::fetch`].
    pub fn fetch_again(
        &self,
        key: &EntryKey,
        options: ReadOptions,
        mut admit: impl FnMut(&Entry) -> bool,
        retry: &mut Retry,
    ) -> Result<Fetched> {
        loop {
            let (entry, signed, ticket) = match self.find_hot(key, retry.missing.is_some()) {
                Ok(Hot { entry, signed, .. }) => (entry, Some(signed), None),
                Err(ticket) => {
                    let (found, ticket) = match retry.prefetched.take() {
                        Some(prefetched) => (prefetched.entry, prefetched.ticket),
                        None => (self.metadata.get(key.as_str(), Part::Whole)?, ticket),
                    };
                    let Some(entry) = found else { return Ok(Fetched::Missing) };
                    (Arc::new(entry), None, ticket)
                }
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
                None => match self.accept_signature(&entry, options)? {
                    Some(signed) => signed,
                    None => continue,
                },
            };
            self.guard_code(&entry, signed && verify)?;
            let check = match (verify, signed, entry.digest) {
                (false, ..) => Check::Skip,
                (true, true, Some(digest)) => Check::Blake3(digest),
                (true, ..) => Check::Xxh3(entry.file_hash),
            };
            let reader = match &entry.location {
                Location::Inline(_) => None,
                location @ Location::Blob(blob) => {
                    // The blob that vanished is the one that the entry still names: no writer has replaced it.
                    if retry.missing.as_ref() == Some(location) {
                        return Err(missing(&entry, blob));
                    }
                    match self.blobs.open(blob) {
                        Ok(reader) => Some(self.watched(reader, location, retry)),
                        Err(error) if error.kind() == ErrorKind::NotFound => {
                            retry.missing = Some(location.clone());
                            continue;
                        }
                        Err(error) => return Err(error),
                    }
                }
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

    /// Looks the entries of these keys up in one round trip for each [`Capability::batch`](crate::backend::Capability::batch)
    /// of them. [`Store::fetch_again`] takes the results, one for each key.
    ///
    /// # Errors
    /// Those of the metadata backend.
    pub fn prefetch(&self, keys: &[&EntryKey]) -> Result<Vec<Retry>> {
        let mut retries: Vec<Retry> = Vec::with_capacity(keys.len());
        for keys in keys.chunks(self.capability.batch.max(1)) {
            let tickets: Vec<_> = keys.iter().map(|key| self.find_hot(key, false).err()).collect();
            let wanted = || keys.iter().zip(&tickets).filter(|(_, ticket)| ticket.is_some());
            let names: Vec<&str> = wanted().map(|(key, _)| key.as_str()).collect();
            let mut found =
                if names.is_empty() { Vec::new() } else { self.metadata.get_batch(&names, Part::Whole)? }.into_iter();
            retries.extend(tickets.iter().map(|ticket| {
                let prefetched = ticket.map(|ticket| Box::new(Prefetched { entry: found.next().flatten(), ticket }));
                Retry { prefetched, ..Retry::default() }
            }));
        }
        Ok(retries)
    }

    /// Notes in `retry` when the blob vanishes, where it can while it is open.
    fn watched(&self, reader: Box<dyn BlobReader>, location: &Location, retry: &mut Retry) -> Box<dyn BlobReader> {
        if self.blob_capability.grace.is_zero() {
            return reader;
        }
        let vanished = Arc::new(AtomicBool::new(false));
        retry.watched = Some((Arc::clone(&vanished), location.clone()));
        Box::new(Watched { reader, vanished })
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

fn missing(entry: &Entry, blob: &BlobRef) -> Error {
    Error::new(ErrorKind::Integrity, format!("entry {}: its blob {} is missing", entry.key, blob.locator))
        .with_hint("delete the entry and put the value again")
}

/// A reader that notes when its blob has vanished.
struct Watched {
    reader: Box<dyn BlobReader>,
    vanished: Arc<AtomicBool>,
}

impl Watched {
    fn note<T>(&self, result: Result<T>) -> Result<T> {
        result.inspect_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                self.vanished.store(true, Ordering::Release);
            }
        })
    }
}

impl BlobReader for Watched {
    fn size(&self) -> u64 {
        self.reader.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.note(self.reader.read_exact_at(buffer, offset))
    }

    fn read_ranges(&self, ranges: &mut [Range<'_>]) -> Result<()> {
        self.note(self.reader.read_ranges(ranges))
    }

    fn parts(&self) -> Option<Parts> {
        self.reader.parts()
    }

    fn file(&self) -> Option<&std::fs::File> {
        self.reader.file()
    }

    fn local_path(&self) -> Option<&std::path::Path> {
        self.reader.local_path()
    }
}
