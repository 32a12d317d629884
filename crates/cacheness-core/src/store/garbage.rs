//! Blobs that no entry names any more.
//!
//! If the backend keeps open blobs readable, an orphaned blob is deleted right after the commit that orphaned it.
//! Otherwise the commit records it as garbage, and it is deleted after the blob backend's grace: a reader that has just
//! looked up the entry still finds its blob. A crash leaves blobs that no entry ever named; listing finds them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::Store;
use crate::backend::{Commit, Committed, Operation, Orphans, Outcome};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;

/// The maximum number of blobs per delete request and per page of a listing.
const BATCH: usize = 1000;

/// When this process last looked for garbage that is due.
#[derive(Debug, Default)]
pub(super) struct Collector {
    looked_at: AtomicI64,
}

/// What [`Store::gc`] has deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs that no entry named any more and whose grace was over.
    pub garbage: u64,
    /// Blobs that no entry ever named: a writer died between writing the blob and committing the entry. A blob that a late
    /// listing still shows is counted once more.
    pub orphans: u64,
    /// Bytes of the orphans.
    pub orphan_bytes: u64,
    /// Uploads that were neither completed nor aborted.
    pub unfinished: u64,
}

impl Store {
    /// When to delete a blob that is orphaned now; `None` means at once.
    pub(super) fn garbage_due(&self) -> Option<Timestamp> {
        let grace = self.blob_capability.grace;
        (!grace.is_zero()).then(|| self.clock.now().saturating_add(grace))
    }

    /// Makes one change without a guard.
    pub(super) fn commit_one(&self, operation: Operation<'_>) -> Result<Outcome> {
        let mut outcomes = self.commit_all(&[operation])?;
        outcomes.pop().ok_or_else(|| super::put::unexpected(&Outcome::Done))
    }

    /// Makes changes without a guard.
    pub(super) fn commit_all(&self, operations: &[Operation<'_>]) -> Result<Vec<Outcome>> {
        let commit = Commit { operations, guard: None, garbage_due: self.garbage_due() };
        match self.metadata.commit(&commit)? {
            Committed::Done(outcomes) => Ok(outcomes),
            Committed::Refused(_) => {
                Err(Error::new(ErrorKind::Metadata, "the metadata backend refused a commit that has no guard"))
            }
        }
    }

    pub(super) fn delete_orphans(&self, orphaned: impl IntoIterator<Item = String>) {
        for locator in orphaned {
            self.delete_blobs(&[&locator]);
        }
        self.collect_if_due();
    }

    /// Deletes all blobs of a store that was cleared.
    pub(super) fn delete_all(&self, orphaned: Orphans) {
        for locator in orphaned {
            failpoint::reached("clear/committed");
            match locator {
                Ok(locator) => self.delete_blobs(&[&locator]),
                // The entries are already removed, so the call succeeds. `gc` finds the remaining blobs.
                Err(error) => {
                    log::warn!("not all blobs of a cleared store are deleted: {}", error.with_causes());
                    return;
                }
            }
        }
    }

    /// Deletes blobs that no entry names. A blob that cannot be deleted is left for [`Store::gc`]: no value is
    /// affected.
    pub(super) fn delete_blobs(&self, locators: &[&str]) {
        if let Err(error) = self.blobs.delete(locators) {
            let names = locators.join(", ");
            log::warn!("cannot delete the blob {names}: {}", error.with_causes());
        }
        failpoint::reached("blob/deleted");
    }

    /// Deletes garbage that is due, at most once per grace in this process.
    #[inline]
    pub(super) fn collect_if_due(&self) {
        if !self.blob_capability.grace.is_zero() {
            self.collect_sometimes();
        }
    }

    #[cold]
    fn collect_sometimes(&self) {
        let now = self.clock.now();
        let looked_at = self.collector.looked_at.load(Ordering::Relaxed);
        let grace = i64::try_from(self.blob_capability.grace.as_micros()).unwrap_or(i64::MAX);
        if (0..grace).contains(&now.0.saturating_sub(looked_at)) {
            return;
        }
        self.collector.looked_at.store(now.0, Ordering::Relaxed);
        // The first call only starts the clock: a program that puts one value does not pay for the query.
        if looked_at != 0
            && let Err(error) = self.collect_step(now)
        {
            log::warn!("cannot delete blobs that no entry names any more: {}", error.with_causes());
        }
    }

    /// Deletes garbage that is due; returns the number of blobs.
    pub fn collect_garbage(&self) -> Result<u64> {
        self.refuse_if_read_only()?;
        let now = self.clock.now();
        let mut collected = 0;
        loop {
            let step = self.collect_step(now)?;
            collected += step;
            if step < BATCH as u64 {
                return Ok(collected);
            }
        }
    }

    fn collect_step(&self, now: Timestamp) -> Result<u64> {
        let due = self.metadata.garbage(now, BATCH)?;
        if due.is_empty() {
            return Ok(0);
        }
        let locators: Vec<&str> = due.iter().map(String::as_str).collect();
        self.blobs.delete(&locators)?;
        failpoint::reached("garbage/deleted");
        // If this process is killed before this commit, another one deletes the blobs again, which is no error.
        self.commit_one(Operation::Collected(&due))?;
        Ok(due.len() as u64)
    }

    /// Deletes garbage that is due, blobs without an entry that are older than every running put, and the data of
    /// unfinished writers. Lists all blobs.
    ///
    /// `age` is the maximum duration of a put; `None` uses the blob backend's.
    pub fn gc(&self, age: Option<Duration>) -> Result<Collected> {
        let age = age.unwrap_or(self.blob_capability.longest_put);
        let mut collected = Collected { garbage: self.collect_garbage()?, ..Collected::default() };
        collected.unfinished = self.blobs.sweep(age)?;
        // The system's clock: the store's may stand still, and the system dates files.
        let micros = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        let oldest_put = Timestamp(Clock::system().now().0.saturating_sub(micros));
        let mut after: Option<String> = None;
        loop {
            // Lists blobs before it looks up entries: a blob that was put in between has its entry by then.
            let page = self.blobs.list(after.as_deref(), BATCH)?;
            after = page.last().map(|last| last.locator.clone());
            let old: Vec<_> = page.iter().filter(|blob| blob.modified < oldest_put).collect();
            let locators: Vec<&str> = old.iter().map(|blob| blob.locator.as_str()).collect();
            let known = self.metadata.knows_blobs(&locators)?;
            let orphans: Vec<_> = old.iter().zip(known).filter(|(_, known)| !known).map(|(blob, _)| *blob).collect();
            if !orphans.is_empty() {
                self.blobs.delete(&orphans.iter().map(|blob| blob.locator.as_str()).collect::<Vec<_>>())?;
                collected.orphans += orphans.len() as u64;
                collected.orphan_bytes += orphans.iter().map(|blob| blob.size).sum::<u64>();
            }
            if page.len() < BATCH {
                return Ok(collected);
            }
        }
    }
}
