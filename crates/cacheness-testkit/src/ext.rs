//! Convenience for tests of metadata backends: one method per operation.

use cacheness_core::Result;
use cacheness_core::backend::{
    AccessRecord, Commit, Committed, EntryUpdate, MetadataBackend, Operation, Outcome, Page, Part, Put, PutOutcome,
    Query,
};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Entry, EntrySummary, EntryVersion};

/// A deleted entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The locator that no entry names any more.
    pub orphaned: Option<String>,
}

/// Which entries to list: a [`Query`] and a [`Page`] in one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan<'a> {
    /// See [`Query::prefix`].
    pub prefix: &'a str,
    /// See [`Query::expired_at`].
    pub expired_at: Option<Timestamp>,
    /// See [`Query::pinned`].
    pub pinned: bool,
    /// See [`Page::after`].
    pub after: Option<&'a str>,
    /// See [`Page::limit`].
    pub limit: usize,
}

impl<'a> Scan<'a> {
    /// The query.
    #[must_use]
    pub fn query(&self) -> Query<'a> {
        Query { prefix: self.prefix, expired_at: self.expired_at, pinned: self.pinned, ..Query::default() }
    }

    /// The page.
    #[must_use]
    pub fn page(&self) -> Page<'a> {
        Page { after: self.after, limit: self.limit, offset: 0 }
    }
}

/// Convenience methods for callers of a [`MetadataBackend`], implemented for all backends.
///
/// # Panics
/// All methods, if the backend refuses a commit without a guard or returns outcomes of the wrong kind.
pub trait MetadataExt {
    /// The entry of `key`, with its payload.
    fn whole(&self, key: &str) -> Result<Option<Entry>>;

    /// The entry of `key`, without its payload.
    fn summary(&self, key: &str) -> Result<Option<EntrySummary>>;

    /// Commits `operations` without a guard.
    fn apply(&self, operations: &[Operation<'_>]) -> Result<Vec<Outcome>>;

    /// Commits one operation without a guard.
    fn apply_one(&self, operation: Operation<'_>) -> Result<Outcome> {
        let mut outcomes = self.apply(&[operation])?;
        Ok(outcomes.pop().expect("one outcome"))
    }

    /// Puts an entry.
    fn put(&self, entry: &Entry) -> Result<PutOutcome> {
        self.put_with(Put::of(entry))
    }

    /// Puts an entry, shared or pinned.
    fn put_with(&self, put: Put<'_>) -> Result<PutOutcome> {
        match self.apply_one(Operation::Put(put))? {
            Outcome::Put(outcome) => Ok(outcome),
            other => panic!("{other:?} of a put"),
        }
    }

    /// Updates `expected`; returns whether it still existed.
    fn update(&self, expected: &Entry, update: &EntryUpdate) -> Result<bool> {
        match self.apply_one(Operation::Update { expected, update })? {
            Outcome::Found(found) => Ok(found),
            other => panic!("{other:?} of an update"),
        }
    }

    /// Deletes the entry of `key`; `None` if there was none.
    fn delete(&self, key: &str) -> Result<Option<Deleted>> {
        self.apply_one(Operation::Delete(key)).map(deleted)
    }

    /// Deletes each entry that still has its version, in one commit.
    fn delete_batch(&self, versions: &[EntryVersion]) -> Result<Vec<Option<Deleted>>> {
        let operations: Vec<_> = versions.iter().map(Operation::DeleteVersion).collect();
        Ok(self.apply(&operations)?.into_iter().map(deleted).collect())
    }

    /// Deletes an entry if it still has this version.
    fn delete_version(&self, version: &EntryVersion) -> Result<Option<Deleted>> {
        self.apply_one(Operation::DeleteVersion(version)).map(deleted)
    }

    /// Deletes all entries; returns their number and locators.
    fn clear(&self) -> Result<(u64, Vec<String>)> {
        match self.apply_one(Operation::Clear)? {
            Outcome::Cleared { entries, orphaned } => Ok((entries, orphaned.collect::<Result<_>>()?)),
            other => panic!("{other:?} of a clear"),
        }
    }

    /// Returns whether the entry exists.
    fn set_pinned(&self, key: &str, pinned: bool) -> Result<bool> {
        match self.apply_one(Operation::Pin { key, pinned })? {
            Outcome::Found(found) => Ok(found),
            other => panic!("{other:?} of a pin"),
        }
    }

    /// The keys of all pinned entries.
    fn pinned(&self) -> Result<Vec<String>> {
        let found = self.scan(&Scan { pinned: true, ..Scan::default() })?;
        Ok(found.into_iter().map(|found| found.entry.key).collect())
    }

    /// Records that entries were read, in one commit.
    fn record_accesses(&self, accesses: &[AccessRecord]) -> Result<()> {
        self.apply(&accesses.iter().map(Operation::Access).collect::<Vec<_>>()).map(drop)
    }

    /// A page of a listing.
    fn scan(&self, scan: &Scan<'_>) -> Result<Vec<EntrySummary>>;
}

impl<M: MetadataBackend + ?Sized> MetadataExt for M {
    fn whole(&self, key: &str) -> Result<Option<Entry>> {
        self.get(key, Part::Whole)
    }

    fn summary(&self, key: &str) -> Result<Option<EntrySummary>> {
        Ok(self.get(key, Part::Summary)?.map(EntrySummary::from))
    }

    fn apply(&self, operations: &[Operation<'_>]) -> Result<Vec<Outcome>> {
        match self.commit(&Commit::of(operations))? {
            Committed::Done(outcomes) => {
                assert_eq!(outcomes.len(), operations.len(), "one outcome for each operation");
                Ok(outcomes)
            }
            Committed::Refused(key) => panic!("refused with {key:?}, without a guard"),
        }
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Vec<EntrySummary>> {
        self.select(&scan.query(), &scan.page())
    }
}

fn deleted(outcome: Outcome) -> Option<Deleted> {
    match outcome {
        Outcome::Deleted { found: true, orphaned } => Some(Deleted { orphaned }),
        Outcome::Deleted { found: false, orphaned: None } => None,
        other => panic!("{other:?} of a deletion"),
    }
}
