//! Looking up an entry and opening its payload: from memory if it is there, else from the backends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ahead::Loaded;
use super::hot::{Hot, HotEntries, Ticket};
use super::{EntryKey, Store};
use crate::backend::{BlobReader, Part, Parts, Range};
use crate::entry::{BlobRef, Entry, Location};
use crate::error::{Error, ErrorKind, Result};
use crate::payload::{Check, Stored};

/// How to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// Check the payload against its hash. Payloads whose decoding may run code are always checked.
    pub verify: bool,
    /// A wrong signature is an error; `false` returns the value with a warning in the log (never a pickle).
    pub strict: bool,
}

/// The result of [`Store::fetch`].
#[derive(Debug)]
pub enum Fetched {
    /// The entry does not exist.
    Missing,
    /// The entry exists, but the caller does not want it (it has expired).
    Declined,
    /// The entry of this key belongs to other parameters (a hash collision).
    Collision,
    /// The entry with its opened payload.
    Found(Box<Stored>),
}

/// The result of [`Store::read`].
#[derive(Debug)]
pub enum Found<T> {
    /// The entry does not exist.
    Missing,
    /// The entry exists, but the caller does not want it (it has expired).
    Declined,
    /// The entry of this key belongs to other parameters (a hash collision).
    Collision,
    /// The decoded value.
    Value(T),
}

/// What a reader of a key remembers between attempts: see [`Store::fetch_again`].
#[derive(Debug, Default)]
pub struct Retry(Option<Box<Attempts>>);

/// Most reads succeed at once and have none.
#[derive(Debug, Default)]
struct Attempts {
    /// Where the payload was missing. The entry is read again; if it still names this location, the payload is lost.
    missing: Option<Location>,
    /// Set when the blob being read vanishes; holds its location.
    watched: Option<(Arc<AtomicBool>, Location)>,
    /// The entry that [`Store::prefetch`] has read.
    prefetched: Option<Prefetched>,
    /// The payload that [`Store::load_ahead`] has loaded, and its location.
    loaded: Option<(Location, Vec<u8>)>,
}

#[derive(Debug)]
struct Prefetched {
    entry: Option<Entry>,
    ticket: Option<Ticket>,
}

impl Retry {
    /// Whether the blob vanished while it was decoded: a writer may have replaced or removed the entry, which
    /// [`Store::fetch_again`] finds out.
    pub fn is_due(&mut self) -> bool {
        let Some(attempts) = &mut self.0 else { return false };
        match attempts.watched.take() {
            Some((vanished, location)) if vanished.load(Ordering::Acquire) => {
                attempts.missing = Some(location);
                true
            }
            _ => false,
        }
    }

    fn missing(&self) -> Option<&Location> {
        self.0.as_ref().and_then(|attempts| attempts.missing.as_ref())
    }

    fn attempts(&mut self) -> &mut Attempts {
        self.0.get_or_insert_default()
    }

    /// The entry that was prefetched and not read since.
    pub(super) fn prefetched_entry(&self) -> Option<&Entry> {
        self.0.as_ref()?.prefetched.as_ref()?.entry.as_ref()
    }

    /// Keeps the payload of the prefetched entry.
    pub(super) fn load(&mut self, location: Location, bytes: Vec<u8>) {
        self.attempts().loaded = Some((location, bytes));
    }

    /// The payload at this location, if it was loaded.
    fn take_loaded(&mut self, location: &Location) -> Option<Vec<u8>> {
        let (from, bytes) = self.0.as_mut()?.loaded.take()?;
        (from == *location).then_some(bytes)
    }

    fn take_prefetched(&mut self) -> Option<Prefetched> {
        self.0.as_mut().and_then(|attempts| attempts.prefetched.take())
    }
}

impl Store {
    /// The number of gets served from the memory of this process since the store was opened.
    #[must_use]
    pub fn memory_hits(&self) -> u64 {
        self.hot.as_ref().map_or(0, HotEntries::hits)
    }

    /// The entry of `key` and its payload, if both are in the memory of this process. Accesses no file and never
    /// blocks.
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
    /// A writer may replace the entry at any time and delete its old blob. If the blob vanishes, even during decoding,
    /// the entry is looked up again and the new payload is decoded: `decode` may be called more than once.
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
    /// - `Signature`: the signature is wrong, or is missing although the store requires one.
    /// - `Integrity`: the blob is missing although the entry exists.
    pub fn fetch(&self, key: &EntryKey, options: ReadOptions, admit: impl FnMut(&Entry) -> bool) -> Result<Fetched> {
        self.fetch_again(key, options, admit, &mut Retry::default())
    }

    /// [`Store::fetch`] for a caller that decodes the payload itself. If decoding fails and [`Retry::is_due`] returns
    /// true, the caller fetches again with the same `retry`.
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
            let (entry, signed, ticket) = match self.find_hot(key, retry.missing().is_some()) {
                Ok(Hot { entry, signed, .. }) => (entry, Some(signed), None),
                Err(ticket) => {
                    let (found, ticket) = match retry.take_prefetched() {
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
                    // The entry still names the missing blob: no writer has replaced it.
                    if retry.missing() == Some(location) {
                        return Err(missing(&entry, blob));
                    }
                    let opened = match retry.take_loaded(location) {
                        Some(bytes) => Ok(Box::new(Loaded::new(bytes)) as Box<dyn BlobReader>),
                        None => self.blobs.open(blob),
                    };
                    match opened {
                        Ok(reader) => Some(self.watched(reader, location, retry)),
                        Err(error) if error.kind() == ErrorKind::NotFound => {
                            retry.attempts().missing = Some(location.clone());
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

    /// Looks up the entries of these keys in one round trip for each
    /// [`Capability::batch`](crate::backend::Capability::batch) of them. [`Store::fetch_again`] takes the results, one
    /// per key.
    ///
    /// # Errors
    /// Those of the metadata backend.
    pub fn prefetch(&self, keys: &[&EntryKey]) -> Result<Vec<Retry>> {
        let mut retries: Vec<Retry> = Vec::with_capacity(keys.len());
        for keys in keys.chunks(self.capability.batch.max(1)) {
            let tickets: Vec<_> = keys.iter().map(|key| self.find_hot(key, false).err()).collect();
            let wanted = || keys.iter().zip(&tickets).filter(|(_, ticket)| ticket.is_some());
            let names: Vec<&str> = wanted().map(|(key, _)| key.as_str()).collect();
            let found = if names.is_empty() { Vec::new() } else { self.metadata.get_batch(&names, Part::Whole)? };
            let mut found = found.into_iter();
            retries.extend(tickets.iter().map(|ticket| {
                let prefetched = ticket.map(|ticket| Prefetched { entry: found.next().flatten(), ticket });
                Retry(prefetched.map(|found| Box::new(Attempts { prefetched: Some(found), ..Attempts::default() })))
            }));
        }
        Ok(retries)
    }

    /// Wraps the reader to record in `retry` if the blob vanishes, on backends where an open blob can vanish.
    fn watched(&self, reader: Box<dyn BlobReader>, location: &Location, retry: &mut Retry) -> Box<dyn BlobReader> {
        if self.blob_capability.grace.is_zero() {
            return reader;
        }
        let vanished = Arc::new(AtomicBool::new(false));
        retry.attempts().watched = Some((Arc::clone(&vanished), location.clone()));
        Box::new(Watched { reader, vanished })
    }

    /// The entry of `key` if it is in memory, else a ticket for keeping it there if memory is enabled.
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

/// A reader that records when its blob has vanished.
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
