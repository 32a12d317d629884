//! Entries in memory, with the indexes that a metadata backend needs: named blobs and totals.
//!
//! The state of the backends that keep all entries in memory. It acquires no lock and writes no file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use crate::backend::{
    AccessRecord, Commit, Committed, EntryUpdate, Evicted, Eviction, EvictionOrder, KeyId, Operation, Orphans, Outcome,
    Page, Part, Position, Put, PutOutcome, Query, Share, Versions,
};
use crate::clock::Timestamp;
use crate::entry::{BlobRef, Entry, EntrySummary, EntryVersion, Glimpse, Location, Totals};
use crate::error::{Error, ErrorKind, Result};
use crate::query::{Evaluator, Filter, Sorter, Subject};

/// The entries of a store. Each operation is specified by [`MetadataBackend`](crate::backend::MetadataBackend).
#[derive(Default)]
pub(super) struct Entries {
    entries: BTreeMap<String, Kept>,
    /// How many entries name a blob.
    named: HashMap<String, u64>,
    /// Keys of the entries with a blob of this digest and size.
    shared: HashMap<([u8; 32], u64), BTreeSet<String>>,
    /// The place of the next new key.
    next_place: u64,
    totals: Totals,
    /// Blobs that no entry names any more, and when they are due to be deleted.
    garbage: BTreeMap<String, Timestamp>,
    /// The key that signs the entries.
    signing_key: Option<KeyId>,
}

/// An entry, with the properties that survive a replacement of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) entry: Entry,
    /// The insertion order of its key, an increasing number.
    pub(super) place: u64,
    /// Whether the entry is pinned.
    pub(super) pinned: bool,
}

impl Entries {
    fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key).map(|kept| &kept.entry)
    }

    pub(super) fn get(&self, key: &str, part: Part) -> Option<Entry> {
        self.find(key).map(|entry| match part {
            Part::Whole => entry.clone(),
            Part::Summary => summary(entry).entry,
        })
    }

    pub(super) fn garbage(&self) -> &BTreeMap<String, Timestamp> {
        &self.garbage
    }

    pub(super) fn signing_key(&self) -> Option<KeyId> {
        self.signing_key
    }

    /// Restores the state besides the entries.
    pub(super) fn restore(&mut self, garbage: BTreeMap<String, Timestamp>, signing_key: Option<KeyId>) {
        (self.garbage, self.signing_key) = (garbage, signing_key);
    }

    /// The entry of `key`.
    pub(super) fn kept(&self, key: &str) -> Option<&Kept> {
        self.entries.get(key)
    }

    /// Tells how many entries name a blob, if only some of them were loaded.
    pub(super) fn set_named(&mut self, locator: &str, count: u64) {
        let known = self.named.entry(locator.to_owned()).or_default();
        *known = count.max(*known);
        if *known == 0 {
            self.named.remove(locator);
        }
    }

    /// How many entries name each blob.
    pub(super) fn all_named(&self) -> BTreeMap<String, u64> {
        self.named.iter().map(|(locator, count)| (locator.clone(), *count)).collect()
    }

    /// Gives new keys this place and those after it.
    pub(super) fn place_from(&mut self, place: u64) {
        self.next_place = self.next_place.max(place);
    }

    /// Of each blob, whether an entry names it or it is garbage.
    pub(super) fn knows_blobs(&self, locators: &[&str]) -> Vec<bool> {
        let knows = |locator: &&str| self.named.contains_key(*locator) || self.garbage.contains_key(*locator);
        locators.iter().map(knows).collect()
    }

    /// Blobs that are due to be deleted.
    pub(super) fn due(&self, due: Timestamp, limit: usize) -> Vec<String> {
        let due = self.garbage.iter().filter(|(_, time)| **time <= due);
        due.take(limit).map(|(locator, _)| locator.clone()).collect()
    }

    /// Makes all changes of `commit`, or none; also returns whether anything changed.
    pub(super) fn commit(&mut self, commit: &Commit<'_>) -> Result<(Committed, bool)> {
        if commit.guard.is_some_and(|guard| guard.signing_key != self.signing_key) {
            return Ok((Committed::Refused(self.signing_key), false));
        }
        if let Some(row) = commit.first_row() {
            let what = format!("this metadata backend keeps no custom metadata, so no table {}", row.table);
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        let mut changed = false;
        let mut outcomes = Vec::with_capacity(commit.operations.len());
        for operation in commit.operations {
            let mut outcome = self.change(operation, &mut changed);
            if let Some(due) = commit.garbage_due {
                self.discard(&mut outcome, due);
            }
            outcomes.push(outcome);
        }
        commit.settle(&mut outcomes);
        Ok((Committed::Done(outcomes), changed))
    }

    fn change(&mut self, operation: &Operation<'_>, changed: &mut bool) -> Outcome {
        match *operation {
            Operation::Put(put) => {
                *changed = true;
                Outcome::Put(self.put(put))
            }
            Operation::Update { expected, update } => {
                let updated = self.update(expected, update);
                *changed |= updated;
                Outcome::Found(updated)
            }
            Operation::Delete(key) => {
                let removed = self.remove(key);
                *changed |= removed.is_some();
                Outcome::Deleted { found: removed.is_some(), orphaned: removed.and_then(|(_, orphaned)| orphaned) }
            }
            Operation::DeleteVersion(version) => {
                let removed = self.remove_version(version);
                *changed |= removed.is_some();
                Outcome::Deleted { found: removed.is_some(), orphaned: removed.flatten() }
            }
            Operation::Clear => {
                let former = self.clear();
                *changed |= former.totals.entries > 0;
                let orphaned = Orphans::new(former.named.into_keys().map(Ok));
                Outcome::Cleared { entries: former.totals.entries, orphaned }
            }
            Operation::Pin { key, pinned } => {
                let kept = self.entries.get_mut(key);
                Outcome::Found(kept.is_some_and(|kept| {
                    *changed |= std::mem::replace(&mut kept.pinned, pinned) != pinned;
                    true
                }))
            }
            Operation::Access(access) => {
                *changed |= self.record_access(access);
                Outcome::Done
            }
            Operation::SignWith(key) => {
                *changed |= self.signing_key.replace(key) != Some(key);
                Outcome::Done
            }
            Operation::Collected(locators) => {
                for locator in locators {
                    *changed |= self.garbage.remove(locator).is_some();
                }
                Outcome::Done
            }
        }
    }

    /// Moves orphaned locators into the garbage.
    fn discard(&mut self, outcome: &mut Outcome, due: Timestamp) {
        let orphaned: Vec<String> = match outcome {
            Outcome::Put(outcome) => std::mem::take(&mut outcome.orphaned),
            Outcome::Deleted { orphaned, .. } => orphaned.take().into_iter().collect(),
            Outcome::Cleared { orphaned, .. } => std::mem::replace(orphaned, Orphans::none()).flatten().collect(),
            _ => return,
        };
        self.garbage.extend(orphaned.into_iter().map(|locator| (locator, due)));
    }

    /// Removes all entries and returns them.
    fn clear(&mut self) -> Self {
        let garbage = std::mem::take(&mut self.garbage);
        let emptied = Self { garbage, signing_key: self.signing_key, ..Self::default() };
        std::mem::replace(self, emptied)
    }

    /// All entries, in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.entries.values()
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn created_range(&self) -> Option<(Timestamp, Timestamp)> {
        let times = || self.iter().map(|kept| kept.entry.created_at);
        times().min().zip(times().max())
    }

    /// Removes the entry of `key` and returns it, with its locator if no other entry names it.
    fn remove(&mut self, key: &str) -> Option<(Kept, Option<String>)> {
        let kept = self.entries.remove(key)?;
        let entry = &kept.entry;
        self.totals.entries -= 1;
        self.totals.bytes -= entry.size;
        let Location::Blob(BlobRef { locator, .. }) = &entry.location else { return Some((kept, None)) };
        if let Some(digest) = entry.digest {
            let same = (digest, entry.size);
            if let Some(keys) = self.shared.get_mut(&same) {
                keys.remove(key);
                if keys.is_empty() {
                    self.shared.remove(&same);
                }
            }
        }
        let count = self.named.get_mut(locator).expect("every locator of an entry is counted");
        *count -= 1;
        if *count > 0 {
            return Some((kept, None));
        }
        let orphan = self.named.remove_entry(locator).map(|(locator, _)| locator);
        Some((kept, orphan))
    }

    /// Adds an entry whose key is new.
    fn insert(&mut self, kept: Kept) {
        let entry = &kept.entry;
        self.totals.entries += 1;
        self.totals.bytes += entry.size;
        if let Location::Blob(BlobRef { locator, .. }) = &entry.location {
            self.garbage.remove(locator);
            *self.named.entry(locator.clone()).or_default() += 1;
            if let Some(digest) = entry.digest {
                self.shared.entry((digest, entry.size)).or_default().insert(entry.key.clone());
            }
        }
        self.next_place = self.next_place.max(kept.place.saturating_add(1));
        self.entries.insert(entry.key.clone(), kept);
    }

    /// Adds an entry that was read from outside. Returns `false` and adds nothing if its key exists or the sum of the
    /// sizes exceeds 63 bits. Later puts have real payloads, so that no sum ever overflows.
    pub(super) fn load(&mut self, kept: Kept) -> bool {
        let Entry { key, size, .. } = &kept.entry;
        let sum = self.totals.bytes.checked_add(*size);
        let fits = sum.is_some_and(|sum| i64::try_from(sum).is_ok()) && !self.entries.contains_key(key);
        if fits {
            self.insert(kept);
        }
        fits
    }

    /// The entries of other keys that have a blob of the digest and size of `entry`, in the order of their keys.
    fn equal<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a Entry> {
        let keys = entry.digest.and_then(|digest| self.shared.get(&(digest, entry.size)));
        keys.into_iter().flatten().filter(|key| **key != entry.key).filter_map(|key| self.find(key))
    }

    pub(super) fn equal_blob(&self, entry: &Entry) -> Option<BlobRef> {
        self.equal(entry).find_map(|other| other.location.blob()).cloned()
    }

    /// Makes the entries with the digest and size of `entry` that name the blob `damaged` name the blob of `entry`;
    /// returns whether no entry names `damaged` any more.
    fn displace(&mut self, entry: &Entry, damaged: &str) -> bool {
        let Location::Blob(own) = &entry.location else { return false };
        let names = |other: &&Entry| other.location.locator() == Some(damaged);
        let keys: Vec<String> = self.equal(entry).filter(names).map(|other| other.key.clone()).collect();
        if keys.is_empty() || own.locator == damaged {
            return false;
        }
        for key in &keys {
            let kept = self.entries.get_mut(key).expect("it has been found");
            kept.entry.location = Location::Blob(own.clone());
        }
        *self.named.entry(own.locator.clone()).or_default() += keys.len() as u64;
        let count = self.named.get_mut(damaged).expect("every locator of an entry is counted");
        *count -= keys.len() as u64;
        let gone = *count == 0;
        if gone {
            self.named.remove(damaged);
        }
        gone
    }

    fn put(&mut self, Put { entry, share, pin, rows: _ }: Put<'_>) -> PutOutcome {
        let mut outcome = PutOutcome::default();
        let mut entry = entry.clone();
        // If another entry already names the new blob, the blob must not be deleted, so it is not exchanged.
        let may_share = entry.location.locator().is_some_and(|own| !self.named.contains_key(own));
        let former = self.remove(&entry.key);
        match share {
            Share::With(locator) if may_share => {
                let names = |other: &&Entry| other.location.locator() == Some(locator);
                let other = self.equal(&entry).find(names).map(|other| other.location.clone());
                if let Some(other) = other {
                    outcome.shared = true;
                    entry.location = other;
                }
            }
            Share::InPlaceOf(damaged) if self.displace(&entry, damaged) => outcome.orphaned.push(damaged.to_owned()),
            _ => {}
        }
        let (mut place, mut pinned) = (self.next_place, pin);
        if let Some((former, orphan)) = former {
            outcome.replaced = true;
            outcome.orphaned.extend(orphan.filter(|orphan| entry.location.locator() != Some(orphan)));
            entry.access_count = former.entry.access_count;
            (place, pinned) = (former.place, former.pinned || pin);
        }
        self.insert(Kept { entry, place, pinned });
        outcome
    }

    fn update(&mut self, expected: &Entry, update: &EntryUpdate) -> bool {
        let Some(Kept { entry, .. }) = self.entries.get_mut(&expected.key) else { return false };
        let state = |entry: &Entry| (entry.created_at, entry.file_hash, entry.expires_at, entry.signature);
        let texts = entry.metadata == expected.metadata && entry.description == expected.description;
        if state(entry) != state(expected) || !texts {
            return false;
        }
        update.apply(entry);
        true
    }

    /// Removes an entry if it has this version; returns the locator that no entry names any more.
    fn remove_version(&mut self, expected: &EntryVersion) -> Option<Option<String>> {
        self.find(&expected.key).filter(|entry| entry.version() == *expected)?;
        self.remove(&expected.key).map(|(_, orphaned)| orphaned)
    }

    /// The entries that match all of `query` but its filter, in the order of the keys.
    fn within<'a>(&'a self, query: &Query<'a>, after: Option<&'a str>) -> impl Iterator<Item = &'a Kept> {
        let Query { prefix, expired_at, pinned, .. } = *query;
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.entries
            .range::<str, _>((start, Bound::Unbounded))
            .map(|(_, kept)| kept)
            .take_while(move |kept| kept.entry.key.starts_with(prefix))
            .filter(move |kept| kept.pinned || !pinned)
            .filter(move |kept| {
                expired_at.is_none_or(|time| kept.entry.expires_at.is_some_and(|expiry| expiry <= time))
            })
    }

    /// The entries that match `query`, in the order of the keys.
    fn matching<'a>(
        &'a self,
        query: &Query<'a>,
        after: Option<&'a str>,
    ) -> Result<impl Iterator<Item = Result<&'a Entry>>> {
        let evaluator = query.filter.map(|filter| Evaluator::new(filter, &[])).transpose()?;
        Ok(self.within(query, after).filter_map(move |kept| {
            let Some(evaluator) = &evaluator else { return Some(Ok(&kept.entry)) };
            let matches = with_subject(evaluator, kept, |subject| evaluator.matches(subject));
            matches.map(|matches| matches.then_some(&kept.entry)).transpose()
        }))
    }

    /// A page of the entries that match `query`, as `make` makes them.
    fn page<T>(&self, query: &Query<'_>, page: &Page<'_>, make: impl Fn(&Entry) -> T) -> Result<Vec<T>> {
        if query.sort.is_empty() {
            let matching = self.matching(query, page.after)?.skip(page.offset).take(page.most());
            return matching.map(|entry| entry.map(&make)).collect();
        }
        let all = Filter::all();
        let evaluator = Evaluator::new(query.filter.unwrap_or(&all), query.sort)?;
        let mut sorter = Sorter::new(query.sort, page.offset, page.most());
        for kept in self.within(query, page.after) {
            let values = with_subject(&evaluator, kept, |subject| evaluator.ranked(subject, query.sort))?;
            if let Some(values) = values {
                sorter.push(values, &kept.entry.key, || Ok(make(&kept.entry)))?;
            }
        }
        Ok(sorter.finish())
    }

    pub(super) fn select(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>> {
        self.page(query, page, summary)
    }

    pub(super) fn keys(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<String>> {
        self.page(query, page, |entry| entry.key.clone())
    }

    pub(super) fn count(&self, query: &Query<'_>) -> Result<u64> {
        self.matching(query, None)?.try_fold(0, |count, entry| entry.map(|_| count + 1))
    }

    pub(super) fn search(&self, query: &Query<'_>, from: &Position, limit: usize) -> Result<Versions> {
        let after = match from {
            Position::Key(key) => Some(key.as_str()),
            _ => None,
        };
        let limit = if limit == 0 { usize::MAX } else { limit };
        let versions = self.matching(query, after)?.take(limit).map(|entry| entry.map(Entry::version));
        let versions = versions.collect::<Result<Vec<_>>>()?;
        let next = versions.last().filter(|_| versions.len() == limit).map(|last| Position::Key(last.key.clone()));
        Ok(Versions { versions, next })
    }

    /// The keys of the entries that may be evicted, in the order of eviction.
    fn candidates(&self, eviction: &Eviction<'_>) -> Vec<String> {
        let may_go = |kept: &&Kept| kept.entry.key != eviction.keep && !kept.pinned;
        let mut ranked: Vec<_> =
            self.entries.values().filter(may_go).map(|kept| (rank(kept, eviction), &kept.entry.key)).collect();
        ranked.sort_unstable();
        ranked.into_iter().take(eviction.count).map(|(_, key)| key.clone()).collect()
    }

    pub(super) fn evict(&mut self, eviction: &Eviction<'_>) -> Evicted {
        let within =
            |totals: Totals| totals.entries <= eviction.target.entries && totals.bytes <= eviction.target.bytes;
        let mut evicted = Evicted::default();
        if !within(self.totals) {
            for key in self.candidates(eviction) {
                let orphaned = self.remove(&key).and_then(|(_, orphaned)| orphaned);
                match (orphaned, eviction.garbage_due) {
                    (Some(orphaned), Some(due)) => {
                        self.garbage.insert(orphaned, due);
                    }
                    (orphaned, _) => evicted.orphaned.extend(orphaned),
                }
                evicted.keys.push(key);
                if within(self.totals) {
                    break;
                }
            }
        }
        evicted.left = self.totals;
        evicted
    }

    /// Adds to the access count of an entry; `false` if there is none.
    fn record_access(&mut self, access: &AccessRecord) -> bool {
        let Some(Kept { entry, .. }) = self.entries.get_mut(&access.key) else { return false };
        entry.accessed_at = entry.accessed_at.max(access.at);
        entry.access_count = entry.access_count.saturating_add(access.count);
        true
    }
}

/// The place of an entry in the order of eviction.
pub(super) fn rank(Kept { entry, place, .. }: &Kept, eviction: &Eviction<'_>) -> (bool, i64, i64, u64) {
    let accessed = entry.accessed_at.0;
    let expired = entry.expires_at.is_some_and(|time| time <= eviction.expired_at);
    let (first, second) = match eviction.order {
        EvictionOrder::LeastRecentlyRead => (accessed, 0),
        EvictionOrder::LeastOftenRead => (i64::try_from(entry.access_count).unwrap_or(i64::MAX), accessed),
        EvictionOrder::FirstIn => (0, 0),
    };
    (!expired, first, second, *place)
}

/// Calls `decide` with as much of an entry as is needed.
pub(super) fn with_subject<T>(evaluator: &Evaluator<'_>, kept: &Kept, decide: impl FnOnce(&Subject<'_>) -> T) -> T {
    let whole = evaluator.needs_entry().then(|| summary(&kept.entry));
    decide(&Subject { glimpse: Glimpse::from(&kept.entry), entry: whole.as_ref(), pinned: kept.pinned })
}

fn summary(entry: &Entry) -> EntrySummary {
    let inline = matches!(entry.location, Location::Inline(_));
    let location = match &entry.location {
        Location::Inline(_) => Location::Inline(Vec::new()),
        Location::Blob(blob) => Location::Blob(blob.clone()),
    };
    let entry = Entry {
        key: entry.key.clone(),
        format: entry.format.clone(),
        description: entry.description.clone(),
        metadata: entry.metadata.clone(),
        params: entry.params.clone(),
        location,
        ..*entry
    };
    EntrySummary { entry, inline }
}
