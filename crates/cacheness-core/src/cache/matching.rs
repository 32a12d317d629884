//! Entries that match a filter: found in one search, and removed in the order of their keys, so that each page of the key
//! index is changed once.

use super::{CacheEngine, Ttl};
use crate::backend::{Page, Position, Query};
use crate::entry::{EntrySummary, EntryVersion};
use crate::error::{Error, ErrorKind, Result};
use crate::query::{Evaluator, Filter, PINNED, Root, Subject};

/// The maximum number of entries that one step of a search finds.
const STEP: usize = 4096;

/// How many entries are removed in one step.
const AT_ONCE: usize = 1 << 16;

/// The result of a removal.
#[derive(Debug)]
pub struct Removal {
    /// The number of entries removed.
    pub count: u64,
    /// Entries that now have another version, in their current state: they were touched or replaced.
    pub changed: Vec<EntrySummary>,
}

impl CacheEngine {
    /// A page of the entries that match `query`, expired ones too; accesses are up to date.
    ///
    /// # Errors
    /// Those of [`Filter::check`]; [`ErrorKind::InvalidInput`] for a page after a key in another order than that of the keys;
    /// [`ErrorKind::Serialization`] for damaged metadata or parameters, if they are needed.
    pub fn select(&self, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>> {
        self.refuse_if_closed()?;
        if page.after.is_some() && !query.sort.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "a sorted listing cannot continue after a key")
                .with_hint("leave `sort` out, or use `offset`"));
        }
        if page.after.is_none() {
            self.flush_before_reading()?;
        }
        let mut found = self.store.metadata().select(query, page)?;
        found.iter_mut().for_each(|found| self.accesses.add_to(&mut found.entry));
        Ok(found)
    }

    /// The number of entries that match the filter, expired ones too.
    ///
    /// # Errors
    /// As [`CacheEngine::select`].
    pub fn count(&self, filter: &Filter) -> Result<u64> {
        self.refuse_if_closed()?;
        if filter.is_empty() {
            return Ok(self.totals()?.entries);
        }
        self.flush_if_named(filter)?;
        self.store.metadata().count(&Query { filter: Some(filter), ..Query::default() })
    }

    /// The entries that match a full-text query and the filter, expired ones too, at most `limit` (0 means no limit), the most
    /// relevant first; accesses are up to date.
    ///
    /// # Errors
    /// As [`CacheEngine::select`], and those of [`MetadataBackend::text_search`](crate::backend::MetadataBackend::text_search).
    pub fn text_search(&self, text: &str, filter: &Filter, limit: usize) -> Result<Vec<EntrySummary>> {
        self.refuse_if_closed()?;
        self.flush_if_named(filter)?;
        let query = Query { filter: Some(filter), ..Query::default() };
        let mut found = self.store.metadata().text_search(text, &query, limit)?;
        found.iter_mut().for_each(|found| self.accesses.add_to(&mut found.entry));
        Ok(found)
    }

    /// One step of a search for the entries that match the filter, expired ones too: adds its results to `found` and
    /// returns where to continue, `None` at the end. Entries put or removed between the steps may or may not be found.
    ///
    /// # Errors
    /// As [`CacheEngine::select`].
    pub fn find_matching(
        &self,
        filter: &Filter,
        from: &Position,
        found: &mut Vec<EntryVersion>,
    ) -> Result<Option<Position>> {
        self.refuse_if_closed()?;
        if *from == Position::Start {
            self.flush_if_named(filter)?;
        }
        let query = Query { filter: Some(filter), ..Query::default() };
        let step = self.store.metadata().search(&query, from, STEP)?;
        found.extend(step.versions);
        Ok(step.next)
    }

    /// Flushes accesses if the filter asks for fields that they change.
    fn flush_if_named(&self, filter: &Filter) -> Result<()> {
        if Evaluator::new(filter, &[])?.needs_entry() { self.flush_before_reading() } else { Ok(()) }
    }

    /// Refuses a filter that every entry matches, before entries are changed by it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], and those of [`Filter::check`].
    pub fn check_selective(filter: &Filter) -> Result<()> {
        filter.check()?;
        if filter.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "the filter has no condition: it matches every entry")
                .with_hint("clear() removes all entries"));
        }
        Ok(())
    }

    /// All entries that match the filter. Changes nothing.
    fn find_all(&self, filter: &Filter) -> Result<Vec<EntryVersion>> {
        Self::check_selective(filter)?;
        let mut found = Vec::new();
        let mut next = Some(Position::Start);
        while let Some(from) = next {
            next = self.find_matching(filter, &from, &mut found)?;
        }
        Ok(found)
    }

    /// The versions of those entries that match the filter in their current state.
    ///
    /// # Errors
    /// As [`CacheEngine::select`].
    pub fn still_matching(&self, filter: &Filter, entries: &[EntrySummary]) -> Result<Vec<EntryVersion>> {
        let evaluator = Evaluator::new(filter, &[])?;
        let mut names_pinned = false;
        filter.node().for_each_test(&mut |field, _| {
            names_pinned |= field.root() == Root::Entry && field.steps()[0] == PINNED;
        });
        let pinned = if names_pinned && !entries.is_empty() { self.store.pinned()? } else { Vec::new() };
        let mut matching = Vec::new();
        for found in entries {
            let pinned = pinned.binary_search(&found.entry.key).is_ok();
            if evaluator.matches(&Subject::of(found, pinned))? {
                matching.push(found.entry.version());
            }
        }
        Ok(matching)
    }

    /// Removes the entries that match the filter, expired ones too, and returns how many. The search is completed before
    /// any change, so that a failed search removes nothing; a million entries take about 100 MB.
    ///
    /// # Errors
    /// Those of [`CacheEngine::check_selective`] and [`CacheEngine::select`], and [`ErrorKind::ReadOnly`].
    pub fn delete_matching(&self, filter: &Filter) -> Result<u64> {
        let mut chosen = self.find_all(filter)?;
        self.store.refuse_if_read_only()?;
        let mut removed = 0;
        while !chosen.is_empty() {
            chosen.sort_unstable();
            let mut again = Vec::new();
            for part in chosen.chunks(AT_ONCE) {
                let removal = self.delete_batch(part)?;
                removed += removal.count;
                // Entries touched meanwhile are removed too; replaced ones may no longer match.
                again.extend(self.still_matching(filter, &removal.changed)?);
            }
            chosen = again;
        }
        Ok(removed)
    }

    /// Resets the age of the entries that match the filter, as if they had just been put, with this time to live; returns
    /// the number that had not expired.
    ///
    /// # Errors
    /// Those of [`CacheEngine::check_selective`] and [`CacheEngine::select`], after which no entry has been touched, and of
    /// [`CacheEngine::touch`].
    pub fn touch_matching(&self, filter: &Filter, ttl: Ttl) -> Result<u64> {
        let found = self.find_all(filter)?;
        let keys: Vec<&str> = found.iter().map(|version| version.key.as_str()).collect();
        self.touch_batch(&keys, ttl)
    }
}
