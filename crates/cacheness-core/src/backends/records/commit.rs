//! Commits: the records that a commit needs are read, changed as [`Entries`] changes entries, and written back if none of
//! them has changed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::format::{
    self, BLOB, GARBAGE, Header, PARTS, RESERVED, SIGNING_KEY, State, key_of_blob, key_of_garbage, key_of_totals,
};
use super::walk::{Walk, states};
use super::{Change, Expected, RecordStore};
use crate::backend::{Commit, Committed, KeyId, Operation, Put, Query, Share};
use crate::backends::entries::{Entries, Kept};
use crate::clock::{Clock, Timestamp};
use crate::entry::{Location, Totals};
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt;

/// How long a commit is repeated that other writers make impossible.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn commit<S: RecordStore>(store: &S, commit: &Commit<'_>) -> Result<Committed> {
    refuse_reserved(commit)?;
    let started = Instant::now();
    for attempt in 0_u32.. {
        let mut read = Read::new(store, commit)?;
        let (committed, changed) = read.entries.commit(commit)?;
        if !changed {
            return Ok(committed);
        }
        let (records, expected) = read.changes()?;
        let changes: Vec<Change<'_>> =
            records.iter().map(|(key, record)| Change { key, record: record.as_deref() }).collect();
        let expected: Vec<Expected<'_>> =
            expected.iter().map(|(key, revision)| Expected { key, revision: revision.as_deref() }).collect();
        if store.commit(&changes, &expected)? {
            return Ok(committed);
        }
        if started.elapsed() >= PATIENCE {
            break;
        }
        pause(attempt)?;
    }
    let what =
        format!("other writers changed the same entries of the metadata backend {} for {PATIENCE:?}", store.name());
    Err(Error::new(ErrorKind::Conflict, what).with_hint("try again later; nothing has been changed"))
}

/// Waits up to 64 ms, longer after more attempts, and not as long as other writers.
fn pause(attempt: u32) -> Result<()> {
    let mut byte = [0; 1];
    let _ = getrandom::fill(&mut byte);
    let most = Duration::from_millis(1 << attempt.min(6));
    std::thread::sleep(most * u32::from(byte[0]) / 256);
    if interrupt::requested() { Err(interrupt::cancelled()) } else { Ok(()) }
}

fn refuse_reserved(commit: &Commit<'_>) -> Result<()> {
    let reserved = commit.operations.iter().find_map(|operation| match operation {
        Operation::Put(put) if put.entry.key.starts_with(RESERVED) => Some(&put.entry.key),
        _ => None,
    });
    let Some(key) = reserved else { return Ok(()) };
    Err(Error::new(ErrorKind::InvalidInput, format!("the key {key:?} begins with {RESERVED:?}, which is reserved"))
        .with_hint("choose another name: this metadata backend keeps records of its own under such keys"))
}

/// Records by key: what to write, or `None` to remove them; or their revisions.
type Records = BTreeMap<String, Option<String>>;

/// What a commit has read.
struct Read<'a, S> {
    store: &'a S,
    /// The entries that it needs, and the state besides them.
    entries: Entries,
    /// The revisions of all records read.
    revisions: Records,
    /// The entries before the commit, by key.
    before: BTreeMap<String, Option<Kept>>,
    /// How many entries name a blob, before the commit.
    named: BTreeMap<String, u64>,
    garbage: BTreeMap<String, Timestamp>,
    signing_key: Option<KeyId>,
    /// Before the commit: of the entries that were read, and the recorded parts.
    totals: Totals,
    parts: BTreeMap<String, (i64, i64)>,
    /// The part that this commit changes.
    part: String,
    clears: bool,
}

impl<'a, S: RecordStore> Read<'a, S> {
    fn new(store: &'a S, commit: &Commit<'_>) -> Result<Self> {
        let (places, part) = reserve_places(commit.operations.len() as u64);
        let mut read = Self {
            store,
            entries: Entries::default(),
            revisions: Records::new(),
            before: BTreeMap::new(),
            named: BTreeMap::new(),
            garbage: BTreeMap::new(),
            signing_key: None,
            totals: Totals::default(),
            parts: BTreeMap::new(),
            part: key_of_totals(part),
            clears: commit.operations.iter().any(|operation| matches!(operation, Operation::Clear)),
        };
        let Wanted { keys, shared } = Wanted::by(commit, &read.part);
        read.get(keys)?;
        if read.clears {
            read.all()?;
        }
        read.sharing(&shared)?;
        // The blobs of the entries that exist.
        let locators: BTreeSet<String> = read
            .before
            .values()
            .flatten()
            .filter_map(|kept| kept.entry.location.locator())
            .map(str::to_owned)
            .collect();
        read.get(locators.iter().flat_map(|locator| [key_of_blob(locator), key_of_garbage(locator)]).collect())?;
        for (locator, count) in &read.named {
            read.entries.set_named(locator, *count);
        }
        read.named = read.entries.all_named();
        read.entries.restore(read.garbage.clone(), read.signing_key);
        read.entries.place_from(places);
        read.totals = read.entries.totals();
        Ok(read)
    }

    /// Reads the records of these keys that have not been read.
    fn get(&mut self, keys: BTreeSet<String>) -> Result<()> {
        let keys: Vec<&str> =
            keys.iter().map(String::as_str).filter(|key| !self.revisions.contains_key(*key)).collect();
        if keys.is_empty() {
            return Ok(());
        }
        for (text, key) in format::get(self.store, &keys)?.into_iter().zip(keys) {
            self.add(key, text.as_deref())?;
        }
        Ok(())
    }

    fn add(&mut self, key: &str, text: Option<&str>) -> Result<()> {
        let name = self.store.name();
        let revision =
            text.map(|text| Header::read(name, text)).transpose()?.map(|header| header.revision.into_owned());
        self.revisions.insert(key.to_owned(), revision);
        if !key.starts_with(RESERVED) {
            let kept = text.map(|text| format::entry(name, key, text)).transpose()?;
            return self.add_entry(key, kept);
        }
        let Some(text) = text else { return Ok(()) };
        let state = State::read(name, key, text)?;
        if key == SIGNING_KEY {
            self.signing_key = state.signing_key.map(|hex| hex.0);
        } else if let Some(locator) = key.strip_prefix(BLOB) {
            self.named.insert(locator.to_owned(), state.names.unwrap_or_default());
        } else if let Some(locator) = key.strip_prefix(GARBAGE) {
            let due = state.due.ok_or_else(|| format::damaged(name, key, "it has no time"))?;
            self.garbage.insert(locator.to_owned(), due.0);
        } else {
            self.parts.insert(key.to_owned(), (state.entries.unwrap_or_default(), state.bytes.unwrap_or_default()));
        }
        Ok(())
    }

    fn add_entry(&mut self, key: &str, kept: Option<Kept>) -> Result<()> {
        self.before.insert(key.to_owned(), kept.clone());
        if kept.is_none_or(|kept| self.entries.load(kept)) {
            return Ok(());
        }
        Err(format::damaged(self.store.name(), key, "the sizes of the entries are impossible"))
    }

    /// Reads everything.
    fn all(&mut self) -> Result<()> {
        self.walk(|_| true)?;
        let mut keys: BTreeSet<String> = (0..PARTS).map(key_of_totals).collect();
        states(self.store, BLOB, |locator, _| keys.insert(key_of_blob(locator)))?;
        self.get(keys)
    }

    /// Reads the entries that name one of these blobs.
    fn sharing(&mut self, locators: &BTreeSet<&str>) -> Result<()> {
        if locators.is_empty() {
            return Ok(());
        }
        self.walk(|kept| kept.entry.location.locator().is_some_and(|locator| locators.contains(locator)))
    }

    fn walk(&mut self, is_wanted: impl Fn(&Kept) -> bool) -> Result<()> {
        let store = self.store;
        let mut walk = Walk::new(store, &Query::default(), None)?;
        while let Some((kept, revision)) = walk.next_with_revision()? {
            let key = kept.entry.key.clone();
            if is_wanted(&kept) && !self.revisions.contains_key(&key) {
                self.revisions.insert(key.clone(), Some(revision));
                self.add_entry(&key, Some(kept))?;
            }
        }
        Ok(())
    }

    /// After the commit: the records to write and to remove, and the revisions that they depend on.
    fn changes(&mut self) -> Result<(Records, Records)> {
        let mut records = Records::new();
        for (key, before) in &self.before {
            let after = self.entries.kept(key);
            if after != before.as_ref() {
                records.insert(key.clone(), after.map(format::record).transpose()?);
            }
        }
        let mut put = |key: String, state: Option<State<'_>>| {
            let record = state.map(|state| state.write(&key)).transpose()?;
            records.insert(key, record);
            Ok::<_, Error>(())
        };
        let after = self.entries.all_named();
        for locator in self.named.keys().chain(after.keys().filter(|locator| !self.named.contains_key(*locator))) {
            let (former, count) = (self.named.get(locator), after.get(locator));
            if former != count {
                put(key_of_blob(locator), count.map(|count| State::names(*count)))?;
            }
        }
        let after = self.entries.garbage();
        for locator in self.garbage.keys().chain(after.keys().filter(|locator| !self.garbage.contains_key(*locator))) {
            let (former, due) = (self.garbage.get(locator), after.get(locator));
            if former != due {
                put(key_of_garbage(locator), due.map(|due| State::due(*due)))?;
            }
        }
        if let Some(key) = self.entries.signing_key().filter(|key| self.signing_key != Some(*key)) {
            put(SIGNING_KEY.to_owned(), Some(State::signing_key(key)))?;
        }
        let (before, after) = (self.totals, self.entries.totals());
        if self.clears {
            for key in self.parts.keys().filter(|key| **key != self.part) {
                put(key.clone(), None)?;
            }
            put(self.part.clone(), Some(State::totals(signed(after.entries), signed(after.bytes))))?;
        } else if before != after {
            let (entries, bytes) = self.parts.get(&self.part).copied().unwrap_or_default();
            let entries = entries.saturating_add(signed(after.entries) - signed(before.entries));
            let bytes = bytes.saturating_add(signed(after.bytes) - signed(before.bytes));
            put(self.part.clone(), Some(State::totals(entries, bytes)))?;
        }
        let mut expected = std::mem::take(&mut self.revisions);
        if !records.contains_key(&self.part) {
            expected.remove(&self.part);
        }
        Ok((records, expected))
    }
}

/// The largest total has 63 bits.
fn signed(total: u64) -> i64 {
    i64::try_from(total).unwrap_or(i64::MAX)
}

/// What a commit reads first.
#[derive(Default)]
struct Wanted<'a> {
    keys: BTreeSet<String>,
    /// Blobs that entries of unknown keys name.
    shared: BTreeSet<&'a str>,
}

impl<'a> Wanted<'a> {
    fn by(commit: &Commit<'a>, part: &str) -> Self {
        let mut wanted = Self::default();
        if commit.guard.is_some() {
            wanted.keys.insert(SIGNING_KEY.to_owned());
        }
        for operation in commit.operations {
            wanted.add(operation, part);
        }
        wanted
    }

    fn add(&mut self, operation: &Operation<'a>, part: &str) {
        let counts = match *operation {
            Operation::Put(Put { entry, share, .. }) => {
                self.keys.insert(entry.key.clone());
                if let Location::Blob(blob) = &entry.location {
                    self.blob(&blob.locator);
                }
                if let Share::With(locator) | Share::InPlaceOf(locator) = share {
                    self.blob(locator);
                    self.shared.insert(locator);
                }
                true
            }
            Operation::Update { expected, .. } => {
                self.keys.insert(expected.key.clone());
                false
            }
            Operation::Pin { key, .. } => {
                self.keys.insert(key.to_owned());
                false
            }
            Operation::Access(access) => {
                self.keys.insert(access.key.clone());
                false
            }
            Operation::Delete(key) => {
                self.keys.insert(key.to_owned());
                true
            }
            Operation::DeleteVersion(version) => {
                self.keys.insert(version.key.clone());
                true
            }
            Operation::Clear => true,
            Operation::SignWith(_) => {
                self.keys.insert(SIGNING_KEY.to_owned());
                false
            }
            Operation::Collected(locators) => {
                self.keys.extend(locators.iter().map(|locator| key_of_garbage(locator)));
                false
            }
        };
        if counts {
            self.keys.insert(part.to_owned());
        }
    }

    fn blob(&mut self, locator: &str) {
        self.keys.extend([key_of_blob(locator), key_of_garbage(locator)]);
    }
}

/// The first of `count` places in the order of insertion, and a part of the totals.
///
/// A place is a time in microseconds. Those of one process are never the same.
fn reserve_places(count: u64) -> (u64, u8) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = u64::try_from(Clock::system().now().0).unwrap_or_default();
    let next = |last: u64| now.max(last).saturating_add(count.max(1));
    let last = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
    let (Ok(last) | Err(last)) = last;
    let first = now.max(last);
    let part = (first ^ first >> 4 ^ first >> 8) % u64::from(PARTS);
    (first, u8::try_from(part).expect("there are few parts"))
}
