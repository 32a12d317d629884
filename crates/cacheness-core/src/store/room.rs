//! Removing entries on a full file system. Every change of the metadata needs some space; a removal gets it from these
//! sources, in order:
//!
//! 1. the [`Reserve`], allocated beforehand;
//! 2. the write-ahead log, as far as it has been applied;
//! 3. in a cache, the payloads of the doomed entries: their blobs are deleted before the entries. If an entry cannot be
//!    removed even then, it is a miss. Blobs of pinned entries, which are artifacts, and blobs shared with entries that
//!    stay are kept until no entry names them.

use super::{PAGE, Store};
use crate::backend::{Page, Part, Query};
use crate::backends::Reserve;
use crate::entry::{Entry, EntryVersion};
use crate::error::{Error, Result};

/// The entries to remove.
#[derive(Clone, Copy, Debug)]
pub(super) enum Doomed<'a> {
    One(&'a str),
    Versions(&'a [EntryVersion]),
    All,
    /// Entries chosen in the same transaction.
    Chosen,
}

/// A removal that makes space if the disk is full. Dropping it, after blobs are deleted, refills the reserve.
pub(super) struct Removal<'a> {
    store: &'a Store,
    was_full: bool,
}

fn is_refused<T>(result: &Result<T>) -> bool {
    result.as_ref().is_err_and(Error::is_no_space)
}

impl<'a> Removal<'a> {
    pub(super) fn of(store: &'a Store) -> Self {
        Self { store, was_full: false }
    }

    /// Calls `remove`, and retries it each time that space may have become free.
    pub(super) fn run<T>(&mut self, doomed: Doomed<'_>, mut remove: impl FnMut() -> Result<T>) -> Result<T> {
        let result = remove();
        if is_refused(&result) { self.run_in_want(doomed, result, remove) } else { result }
    }

    #[cold]
    fn run_in_want<T>(
        &mut self,
        doomed: Doomed<'_>,
        mut result: Result<T>,
        mut remove: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let store = self.store;
        self.was_full = true;
        if store.reserve.as_ref().is_some_and(Reserve::give_up) {
            result = remove();
        }
        if is_refused(&result) && store.metadata.shrink().is_ok() {
            result = remove();
        }
        if is_refused(&result) && store.forgets {
            store.each_page(doomed, |page| {
                if store.forget_payloads(page)? {
                    result = remove();
                }
                Ok(is_refused(&result))
            })?;
        }
        result.map_err(|error| if error.is_no_space() { error.with_hint(store.by_hand()) } else { error })
    }
}

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        if self.was_full {
            if let Err(error) = self.store.metadata.shrink() {
                log::debug!("{}", error.with_causes());
            }
            if let Some(reserve) = &self.store.reserve {
                reserve.fill();
            }
        }
    }
}

impl Store {
    /// Calls `visit` with pages of the doomed entries until it asks to stop.
    fn each_page(&self, doomed: Doomed<'_>, mut visit: impl FnMut(&[Entry]) -> Result<bool>) -> Result<()> {
        let find = |key: &str| self.metadata.get(key, Part::Summary);
        match doomed {
            Doomed::One(key) => visit(find(key)?.as_slice()).map(drop),
            Doomed::Versions(versions) => {
                let mut page = Vec::with_capacity(versions.len());
                for version in versions {
                    page.extend(find(&version.key)?.filter(|entry| entry.version() == *version));
                }
                visit(&page).map(drop)
            }
            Doomed::All => {
                let mut after: Option<String> = None;
                loop {
                    let page = Page { after: after.as_deref(), limit: PAGE, offset: 0 };
                    let found = self.metadata.select(&Query::default(), &page)?;
                    let page: Vec<_> = found.into_iter().map(|found| found.entry).collect();
                    after = page.last().map(|last| last.key.clone());
                    if !visit(&page)? || page.len() < PAGE {
                        return Ok(());
                    }
                }
            }
            Doomed::Chosen => Ok(()),
        }
    }

    /// Deletes the blobs of doomed entries that no other entry needs; returns whether there were any.
    fn forget_payloads(&self, entries: &[Entry]) -> Result<bool> {
        let pinned = self.pinned()?;
        let mut any = false;
        for entry in entries {
            let Some(locator) = entry.location.locator() else { continue };
            if pinned.binary_search(&entry.key).is_ok() || self.metadata.equal_blob(entry)?.is_some() {
                continue;
            }
            self.blobs.delete(&[locator])?;
            any = true;
        }
        Ok(any)
    }

    /// The hint for when nothing can be removed.
    fn by_hand(&self) -> String {
        let whose = if self.forgets { "which is a miss from then on" } else { "which is lost" };
        format!(
            "nothing is removed, because the disk is full and removing needs a little space too: free some elsewhere on \
             this file system; or delete files below tmp in the store's directory, or below blobs, each of them the \
             payload of one entry, {whose}; or the whole directory, with all entries"
        )
    }
}
