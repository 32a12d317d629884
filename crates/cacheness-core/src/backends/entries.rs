//! Entries in memory, with what the questions of a metadata backend need: which blobs are named, what they add up to.
//!
//! The state of the backends that keep all entries in memory. It takes no lock and writes no file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use crate::backend::{
    AccessRecord, EntryUpdate, Evicted, Eviction, EvictionOrder, PutOptions, PutOutcome, Scan, Share,
};
use crate::clock::Timestamp;
use crate::entry::{Entry, EntrySummary, EntryVersion, Location, Totals};

/// The entries of a store. What each operation does is said by [`MetadataBackend`](crate::backend::MetadataBackend).
#[derive(Default)]
pub(super) struct Entries {
    entries: BTreeMap<String, Kept>,
    /// How many entries name a blob.
    named: HashMap<String, u64>,
    /// Keys of the entries with a blob of this digest and size.
    shared: HashMap<([u8; 32], u64), BTreeSet<String>>,
    /// The place of the key that comes next.
    next_place: u64,
    totals: Totals,
}

/// An entry, and what is kept when another takes its key over.
pub(super) struct Kept {
    pub(super) entry: Entry,
    /// When its key came, as a number that grows.
    pub(super) place: u64,
    /// Whether it is never evicted.
    pub(super) pinned: bool,
}

impl Entries {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key).map(|kept| &kept.entry)
    }

    pub(super) fn get_summary(&self, key: &str) -> Option<EntrySummary> {
        self.get(key).map(summary)
    }

    /// All entries, in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.entries.values()
    }

    /// Every blob that is named, once.
    pub(super) fn locators(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn created_range(&self) -> Option<(Timestamp, Timestamp)> {
        let times = || self.iter().map(|kept| kept.entry.created_at);
        times().min().zip(times().max())
    }

    /// Removes the entry of `key` and returns it with the locator that nobody names any more.
    fn remove(&mut self, key: &str) -> Option<(Kept, Option<String>)> {
        let kept = self.entries.remove(key)?;
        let entry = &kept.entry;
        self.totals.entries -= 1;
        self.totals.bytes -= entry.size;
        let Location::Blob(locator) = &entry.location else { return Some((kept, None)) };
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
        if let Location::Blob(locator) = &entry.location {
            *self.named.entry(locator.clone()).or_default() += 1;
            if let Some(digest) = entry.digest {
                self.shared.entry((digest, entry.size)).or_default().insert(entry.key.clone());
            }
        }
        self.next_place = self.next_place.max(kept.place.saturating_add(1));
        self.entries.insert(entry.key.clone(), kept);
    }

    /// Adds an entry that comes from outside; `false`, and nothing is added, if its key is there already or the sum of
    /// the sizes is beyond 63 bits. What is put afterwards is really there, so that no sum ever overflows.
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
        keys.into_iter().flatten().filter(|key| **key != entry.key).filter_map(|key| self.get(key))
    }

    pub(super) fn equal_blob(&self, entry: &Entry) -> Option<String> {
        self.equal(entry).find_map(|other| other.location.locator()).map(str::to_owned)
    }

    /// Makes the entries of the digest and size of `entry` that name the blob `damaged` name that of `entry`; whether
    /// nobody else names it.
    fn displace(&mut self, entry: &Entry, damaged: &str) -> bool {
        let Location::Blob(own) = &entry.location else { return false };
        let names = |other: &&Entry| other.location.locator() == Some(damaged);
        let keys: Vec<String> = self.equal(entry).filter(names).map(|other| other.key.clone()).collect();
        if keys.is_empty() || own == damaged {
            return false;
        }
        for key in &keys {
            let kept = self.entries.get_mut(key).expect("it has been found");
            kept.entry.location = Location::Blob(own.clone());
        }
        *self.named.entry(own.clone()).or_default() += keys.len() as u64;
        let count = self.named.get_mut(damaged).expect("every locator of an entry is counted");
        *count -= keys.len() as u64;
        let gone = *count == 0;
        if gone {
            self.named.remove(damaged);
        }
        gone
    }

    pub(super) fn put(&mut self, mut entry: Entry, options: PutOptions<'_>) -> PutOutcome {
        let mut outcome = PutOutcome::default();
        // An own blob that is named already must not be deleted, so it is not exchanged for another one.
        let may_share = entry.location.locator().is_some_and(|own| !self.named.contains_key(own));
        let former = self.remove(&entry.key);
        match options.share {
            Share::With(locator) if may_share => {
                outcome.shared = self.equal(&entry).any(|other| other.location.locator() == Some(locator));
                if outcome.shared {
                    entry.location = Location::Blob(locator.to_owned());
                }
            }
            Share::InPlaceOf(damaged) => outcome.displaced = self.displace(&entry, damaged),
            _ => {}
        }
        let (mut place, mut pinned) = (self.next_place, options.pin);
        if let Some((former, orphan)) = former {
            outcome.replaced = true;
            outcome.orphaned = orphan.filter(|orphan| entry.location.locator() != Some(orphan));
            entry.access_count = former.entry.access_count;
            (place, pinned) = (former.place, former.pinned || options.pin);
        }
        self.insert(Kept { entry, place, pinned });
        outcome
    }

    pub(super) fn update(&mut self, key: &str, expected: &Entry, update: &EntryUpdate) -> bool {
        let Some(Kept { entry, .. }) = self.entries.get_mut(key) else { return false };
        let state = |entry: &Entry| (entry.created_at, entry.file_hash, entry.expires_at, entry.signature);
        let texts = entry.metadata == expected.metadata && entry.description == expected.description;
        if state(entry) != state(expected) || !texts {
            return false;
        }
        update.apply(entry);
        true
    }

    pub(super) fn delete(&mut self, key: &str) -> Option<PutOutcome> {
        let (_, orphaned) = self.remove(key)?;
        Some(PutOutcome { orphaned, replaced: true, ..PutOutcome::default() })
    }

    pub(super) fn delete_if(&mut self, expected: &EntryVersion) -> Option<PutOutcome> {
        self.get(&expected.key).filter(|entry| entry.version() == *expected)?;
        self.delete(&expected.key)
    }

    pub(super) fn scan(&self, scan: &Scan<'_>) -> Vec<EntrySummary> {
        let start = match scan.after {
            Some(after) if after >= scan.prefix => Bound::Excluded(after),
            _ => Bound::Included(scan.prefix),
        };
        let limit = if scan.limit == 0 { usize::MAX } else { scan.limit };
        self.entries
            .range::<str, _>((start, Bound::Unbounded))
            .map(|(_, kept)| &kept.entry)
            .take_while(|entry| entry.key.starts_with(scan.prefix))
            .filter(|entry| scan.expired_at.is_none_or(|time| entry.expires_at.is_some_and(|expiry| expiry <= time)))
            .take(limit)
            .map(summary)
            .collect()
    }

    /// The keys of the entries that may go, the first to go first.
    fn candidates(&self, eviction: &Eviction<'_>) -> Vec<String> {
        let rank = |Kept { entry, place, .. }: &Kept| {
            let accessed = entry.accessed_at.0;
            let expired = entry.expires_at.is_some_and(|time| time <= eviction.expired_at);
            let (first, second) = match eviction.order {
                EvictionOrder::LeastRecentlyRead => (accessed, 0),
                EvictionOrder::LeastOftenRead => (i64::try_from(entry.access_count).unwrap_or(i64::MAX), accessed),
                EvictionOrder::FirstIn => (0, 0),
            };
            (!expired, first, second, *place)
        };
        let may_go = |kept: &&Kept| kept.entry.key != eviction.keep && !kept.pinned;
        let mut ranked: Vec<_> =
            self.entries.values().filter(may_go).map(|kept| (rank(kept), &kept.entry.key)).collect();
        ranked.sort_unstable();
        ranked.into_iter().take(eviction.count).map(|(_, key)| key.clone()).collect()
    }

    pub(super) fn evict(&mut self, eviction: &Eviction<'_>) -> Evicted {
        let within =
            |totals: Totals| totals.entries <= eviction.target.entries && totals.bytes <= eviction.target.bytes;
        let mut evicted = Evicted::default();
        if !within(self.totals) {
            for key in self.candidates(eviction) {
                evicted.orphaned.extend(self.remove(&key).and_then(|(_, orphaned)| orphaned));
                evicted.keys.push(key);
                if within(self.totals) {
                    break;
                }
            }
        }
        evicted.left = self.totals;
        evicted
    }

    /// Whether there is such an entry, and whether that changes it.
    pub(super) fn set_pinned(&mut self, key: &str, pinned: bool) -> (bool, bool) {
        match self.entries.get_mut(key) {
            Some(kept) => (true, std::mem::replace(&mut kept.pinned, pinned) != pinned),
            None => (false, false),
        }
    }

    pub(super) fn pinned(&self) -> Vec<String> {
        self.entries.values().filter(|kept| kept.pinned).map(|kept| kept.entry.key.clone()).collect()
    }

    /// Adds to the counts of the entries that are there; `false` if none was.
    pub(super) fn record_accesses(&mut self, accesses: &[AccessRecord]) -> bool {
        let mut changed = false;
        for access in accesses {
            if let Some(Kept { entry, .. }) = self.entries.get_mut(&access.key) {
                entry.accessed_at = entry.accessed_at.max(access.at);
                entry.access_count = entry.access_count.saturating_add(access.count);
                changed = true;
            }
        }
        changed
    }
}

fn summary(entry: &Entry) -> EntrySummary {
    let inline = matches!(entry.location, Location::Inline(_));
    let location = match &entry.location {
        Location::Inline(_) => Location::Inline(Vec::new()),
        Location::Blob(locator) => Location::Blob(locator.clone()),
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
