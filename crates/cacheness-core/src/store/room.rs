//! Removing entries where the file system is full. Whatever changes the metadata takes some room; what removes gets it
//! from these, one after the other:
//!
//! 1. the [`Reserve`] that was set aside before;
//! 2. the log of changes, as far as it has been applied;
//! 3. in a cache, the payloads that are to go: their blobs are deleted before their entries. An entry that then cannot be
//!    removed all the same is a miss, as it is where it has been. What is pinned is an artifact, and what another entry
//!    shares is not to go: their blobs stay until no entry names them.

use super::{PAGE, Store};
use crate::backend::{Page, Part, Query};
use crate::backends::Reserve;
use crate::entry::{Entry, EntryVersion};
use crate::error::{Error, Result};

/// What is to be removed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Doomed<'a> {
    One(&'a str),
    Versions(&'a [EntryVersion]),
    All,
    /// Whatever is chosen in the same transaction.
    Chosen,
}

/// A removal, for which room is made where there is none. When it is dropped, blobs and all, the room is set aside again.
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

    /// Calls `remove`, and again whenever there may be room for it.
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
    /// Calls `visit` with the entries that are to go, some at a time, as long as it wants more.
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
                    let page = Page { after: after.as_deref(), limit: PAGE };
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

    /// Deletes the blobs of entries that are to go, as far as nobody else needs them; whether there were any.
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

    /// What to do where nothing can be removed.
    fn by_hand(&self) -> String {
        let whose = if self.forgets { "which is a miss from then on" } else { "which is lost" };
        format!(
            "nothing is removed, because the disk is full and removing takes a little room, too: free some elsewhere on \
             this file system; or delete files below tmp in the store's directory, or below blobs, each of them the \
             payload of one entry, {whose}; or the whole directory, with all entries"
        )
    }
}
