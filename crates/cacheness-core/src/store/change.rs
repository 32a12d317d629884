//! Changes of entries that exist: updates, removals, pins, eviction.

use super::put::unexpected;
use super::room::{Doomed, Removal};
use super::{HotEntries, Store};
use crate::backend::{AccessRecord, EntryUpdate, Eviction, Operation, Outcome, Part};
use crate::entry::{Entry, EntrySummary, EntryVersion, Totals};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::sign::SignatureState;

/// What [`Store::evict`] did.
#[derive(Clone, Copy, Debug, Default)]
pub struct EvictionStep {
    /// The number of entries evicted.
    pub entries: u64,
    /// The totals after it.
    pub left: Totals,
}

/// An update of one entry.
struct Update {
    /// The entry as it was read,
    expected: Entry,
    /// and as it will be written.
    new: Entry,
    update: EntryUpdate,
    was_signed: bool,
}

impl Update {
    fn of(expected: Entry, update: EntryUpdate, was_signed: bool) -> Self {
        let mut new = expected.clone();
        update.apply(&mut new);
        Self { expected, new, update, was_signed }
    }

    fn operation(&self) -> Operation<'_> {
        Operation::Update { expected: &self.expected, update: &self.update }
    }
}

impl Store {
    /// The entry of `key` without its payload.
    pub fn get_entry(&self, key: &str) -> Result<Option<EntrySummary>> {
        Ok(self.metadata.get(key, Part::Summary)?.map(EntrySummary::from))
    }

    /// The entries of these keys without their payloads, in the order of the keys.
    pub fn get_entries(&self, keys: &[&str]) -> Result<Vec<Option<EntrySummary>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.metadata.get_batch(keys, Part::Summary)?;
        Ok(found.into_iter().map(|entry| entry.map(EntrySummary::from)).collect())
    }

    /// Changes the description, metadata or times of an entry; `false` if there is none. An entry with a valid
    /// signature is signed again. An unsigned one stays unsigned: a signature would vouch for a payload of unknown
    /// origin.
    ///
    /// `change` receives the current entry and returns the update. It is called again if another writer changed the
    /// entry meanwhile.
    ///
    /// # Errors
    /// `Signature` if the current signature is wrong: an entry that was tampered with is not signed again.
    pub fn update_entry(&self, key: &str, mut change: impl FnMut(&Entry) -> Result<EntryUpdate>) -> Result<bool> {
        Ok(self.update_entries(&[key], |entry| change(entry).map(Some))? > 0)
    }

    /// [`Store::update_entry`] for many entries; returns the number updated. An entry for which `change` returns `None`
    /// stays as it is and is not counted. If the call fails, some entries may have been updated.
    pub fn update_entries(
        &self,
        keys: &[&str],
        mut change: impl FnMut(&Entry) -> Result<Option<EntryUpdate>>,
    ) -> Result<u64> {
        self.refuse_if_read_only()?;
        let mut updated = 0;
        for (i, batch) in keys.chunks(self.capability.batch.max(1)).enumerate() {
            if i > 0 {
                std::thread::sleep(self.capability.pause);
            }
            let mut open = batch.to_vec();
            while !open.is_empty() {
                let mut updates = Vec::new();
                // A rotation has signed these again since they were read.
                let mut stale: Vec<String> = Vec::new();
                for EntrySummary { entry, .. } in self.get_entries(&open)?.into_iter().flatten() {
                    let Some(update) = change(&entry)? else { continue };
                    let state = self.check_signature(&entry)?;
                    if state == SignatureState::Invalid {
                        if self.has_changed(&entry)? {
                            stale.push(entry.key);
                            continue;
                        }
                        let what = format!("entry {}: its signature is wrong", entry.key);
                        return Err(Error::new(ErrorKind::Signature, what).with_hint("put the value again"));
                    }
                    updates.push(Update::of(entry, update, state == SignatureState::Valid));
                }
                let is_stale = |key: &&str| stale.iter().any(|stale| stale == key);
                if updates.is_empty() {
                    open.retain(is_stale);
                    continue;
                }
                let writing: Vec<_> = open.iter().map(|key| self.writing(key)).collect();
                let outcomes = self.commit_updates(&mut updates);
                drop(writing);
                failpoint::reached("update/committed");
                let mut changed = Vec::new();
                for (update, outcome) in updates.iter().zip(outcomes?) {
                    match outcome {
                        Outcome::Found(true) => updated += 1,
                        // Another writer changed the entry first.
                        Outcome::Found(false) => changed.push(update.expected.key.as_str()),
                        other => return Err(unexpected(&other)),
                    }
                }
                open.retain(|key| changed.contains(key) || is_stale(key));
            }
        }
        Ok(updated)
    }

    fn commit_updates(&self, updates: &mut [Update]) -> Result<Vec<Outcome>> {
        let mut seal = self.seal();
        loop {
            let mut signed: Vec<_> = updates.iter_mut().filter(|one| one.was_signed).map(|one| &mut one.new).collect();
            seal.sign_all(&mut signed)?;
            for one in updates.iter_mut() {
                one.update.signature = match (one.was_signed, one.expected.signature) {
                    (true, _) => Some(one.new.signature),
                    // This store does not sign: the old signature would be wrong.
                    (false, signature) => signature.map(|_| None),
                };
            }
            let operations: Vec<_> = updates.iter().map(Update::operation).collect();
            if let Some(outcomes) = self.commit_all_sealed(&mut seal, &operations)? {
                return Ok(outcomes);
            }
        }
    }

    /// Removes the entry of `key` and its payload; `false` if there was none.
    pub fn delete(&self, key: &str) -> Result<bool> {
        self.refuse_if_read_only()?;
        let mut removal = Removal::of(self);
        let writing = self.writing(key);
        let outcome = removal.run(Doomed::One(key), || self.commit_one(Operation::Delete(key)));
        drop(writing);
        let outcome = outcome?;
        failpoint::reached("delete/committed");
        self.finish_deletion(outcome)
    }

    /// Deletes the blob of a removed entry; returns whether the entry existed.
    fn finish_deletion(&self, outcome: Outcome) -> Result<bool> {
        let Outcome::Deleted { found, orphaned } = outcome else { return Err(unexpected(&outcome)) };
        if found {
            self.delete_orphans(orphaned);
        }
        Ok(found)
    }

    /// Removes `entry` if its key still has this version.
    pub fn delete_entry(&self, entry: &Entry) -> Result<bool> {
        Ok(self.delete_batch(&[entry.version()])?.is_empty())
    }

    /// Removes the entries that still have these versions, and returns the others: they are gone or have another
    /// version. If the call fails, some entries may have been removed. Many removals are fastest in the order of the
    /// keys.
    pub fn delete_batch<'a>(&self, versions: &'a [EntryVersion]) -> Result<Vec<&'a EntryVersion>> {
        self.refuse_if_read_only()?;
        let mut others = Vec::new();
        for (i, batch) in versions.chunks(self.capability.batch.max(1)).enumerate() {
            if i > 0 {
                std::thread::sleep(self.capability.pause);
            }
            let operations: Vec<_> = batch.iter().map(Operation::DeleteVersion).collect();
            let mut removal = Removal::of(self);
            let writing: Vec<_> = batch.iter().map(|version| self.writing(&version.key)).collect();
            let outcomes = removal.run(Doomed::Versions(batch), || self.commit_all(&operations));
            drop(writing);
            failpoint::reached("delete/committed");
            for (version, outcome) in batch.iter().zip(outcomes?) {
                if !self.finish_deletion(outcome)? {
                    others.push(version);
                }
            }
        }
        Ok(others)
    }

    /// Records that entries were read.
    pub(crate) fn record_accesses(&self, accesses: &[AccessRecord]) -> Result<()> {
        self.commit_all(&accesses.iter().map(Operation::Access).collect::<Vec<_>>()).map(drop)
    }

    /// Pins the entry of `key` against eviction, or unpins it; `false` if there is none.
    pub fn set_pinned(&self, key: &str, pinned: bool) -> Result<bool> {
        self.refuse_if_read_only()?;
        match self.commit_one(Operation::Pin { key, pinned })? {
            Outcome::Found(found) => Ok(found),
            other => Err(unexpected(&other)),
        }
    }

    /// Evicts entries.
    pub fn evict(&self, eviction: &Eviction<'_>) -> Result<EvictionStep> {
        self.refuse_if_read_only()?;
        let mut removal = Removal::of(self);
        let eviction = Eviction { garbage_due: self.garbage_due(), ..eviction.clone() };
        let evicted = removal.run(Doomed::Chosen, || self.metadata.evict(&eviction));
        if evicted.is_err()
            && let Some(hot) = &self.hot
        {
            hot.all_gone();
        }
        let evicted = evicted?;
        failpoint::reached("evict/committed");
        if let Some(hot) = &self.hot {
            evicted.keys.iter().for_each(|key| hot.gone(key));
        }
        self.delete_orphans(evicted.orphaned);
        Ok(EvictionStep { entries: evicted.keys.len() as u64, left: evicted.left })
    }

    /// Removes all entries and returns their number.
    pub fn clear(&self) -> Result<u64> {
        self.refuse_if_read_only()?;
        let mut removal = Removal::of(self);
        let writing = self.hot.as_ref().map(HotEntries::write_all);
        let cleared = removal.run(Doomed::All, || self.commit_one(Operation::Clear));
        drop(writing);
        match cleared? {
            Outcome::Cleared { entries, orphaned } => {
                self.delete_all(orphaned);
                Ok(entries)
            }
            other => Err(unexpected(&other)),
        }
    }
}
