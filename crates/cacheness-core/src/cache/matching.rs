//! Entries with given values: found in one walk over all entries, and removed in the order of their keys, so that each
//! page of the key index is changed once.

use super::{CacheEngine, Ttl};
use crate::backend::{Page, Position, Query};
use crate::entry::{EntrySummary, EntryVersion, Glimpse};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::plain::Value;
use crate::query::pattern::{self, Pattern, Verdict};

/// The number of entries per step, each one read of the backend.
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

/// The result of a search. A search is completed before any change, so that a failed search changes nothing; a million
/// entries take about 100 MB.
#[derive(Debug, Default)]
pub struct Matches {
    /// The matching entries, in their state at the search.
    pub versions: Vec<EntryVersion>,
    /// The entries that only Python can decide.
    pub undecided: Vec<Undecided>,
}

/// An entry that a pattern cannot decide.
#[derive(Debug)]
pub struct Undecided {
    /// The entry.
    pub version: EntryVersion,
    /// The entry's values under the names that decide.
    pub found: Vec<(String, Value)>,
}

impl Matches {
    fn add(&mut self, verdict: Verdict, version: impl FnOnce() -> EntryVersion) {
        match verdict {
            Verdict::Matches => self.versions.push(version()),
            Verdict::Differs => {}
            Verdict::Undecided(found) => self.undecided.push(Undecided { version: version(), found }),
        }
    }
}

impl CacheEngine {
    /// One step of a search for the entries that match `pattern`, expired ones too: adds its results to `found` and
    /// returns where to continue, `None` at the end. Entries put or removed between the steps may or may not be found.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a pattern that every entry matches, and those of [`Pattern::check`] and
    /// [`Pattern::judge`].
    pub fn find_matching(&self, pattern: &Pattern, from: &Position, found: &mut Matches) -> Result<Option<Position>> {
        self.find(pattern, from, found, Value::equals)
    }

    fn find(
        &self,
        pattern: &Pattern,
        from: &Position,
        found: &mut Matches,
        compare: impl Fn(&Value, &Value) -> Option<bool>,
    ) -> Result<Option<Position>> {
        self.refuse_if_closed()?;
        if pattern.is_empty() {
            return Err(
                Error::new(ErrorKind::InvalidInput, "no values to match").with_hint("clear() removes all entries")
            );
        }
        pattern.check()?;
        if pattern.names_fields() {
            return self.find_by_fields(pattern, from, found, compare);
        }
        let step = self.store.metadata().skim(from, STEP)?;
        for entry in step.iter() {
            found.add(pattern.judge(&entry, None, &compare)?, || entry.version());
        }
        Ok(step.next)
    }

    /// The same for patterns that need whole entries, which takes longer.
    fn find_by_fields(
        &self,
        pattern: &Pattern,
        from: &Position,
        found: &mut Matches,
        compare: impl Fn(&Value, &Value) -> Option<bool>,
    ) -> Result<Option<Position>> {
        let after = match from {
            Position::Key(key) => Some(key.as_str()),
            _ => None,
        };
        if after.is_none() {
            self.flush_accesses()?;
        }
        let page = self.store.metadata().select(&Query::default(), &Page { after, limit: STEP })?;
        for summary in &page {
            let verdict = pattern.judge(&Glimpse::from(&summary.entry), Some(summary), &compare)?;
            found.add(verdict, || summary.entry.version());
        }
        let more = page.len() == STEP;
        Ok(page.into_iter().next_back().filter(|_| more).map(|last| Position::Key(last.entry.key)))
    }

    /// All entries that match `pattern`. Changes nothing.
    fn find_all(&self, pattern: &Pattern) -> Result<Vec<EntryVersion>> {
        let mut found = Matches::default();
        let mut next = Some(Position::Start);
        while let Some(from) = next {
            next = self.find(pattern, &from, &mut found, pattern::same)?;
        }
        Ok(found.versions)
    }

    /// Removes the entries that match `pattern`, expired ones too, and returns how many. Values that only Python can
    /// compare are equal if they are identical. Removes nothing if the search fails.
    ///
    /// # Errors
    /// Those of [`CacheEngine::find_matching`], and [`ErrorKind::ReadOnly`].
    pub fn delete_matching(&self, pattern: &Pattern) -> Result<u64> {
        let mut chosen = self.find_all(pattern)?;
        self.store.refuse_if_read_only()?;
        let mut removed = 0;
        while !chosen.is_empty() {
            chosen.sort_unstable();
            let mut again = Vec::new();
            for part in chosen.chunks(AT_ONCE) {
                let removal = self.delete_batch(part)?;
                removed += removal.count;
                // Entries touched meanwhile are removed too; replaced ones may no longer match.
                for summary in &removal.changed {
                    if pattern.matches(summary)? {
                        again.push(summary.entry.version());
                    }
                }
            }
            chosen = again;
        }
        Ok(removed)
    }

    /// Resets the age of the entries that match `pattern`, as if they had just been put, with this time to live;
    /// returns the number that had not expired. Values are compared as [`CacheEngine::delete_matching`] compares them.
    ///
    /// # Errors
    /// Those of [`CacheEngine::find_matching`], after which no entry has been touched, and of [`CacheEngine::touch`].
    pub fn touch_matching(&self, pattern: &Pattern, ttl: Ttl) -> Result<u64> {
        let found = self.find_all(pattern)?;
        let keys: Vec<&str> = found.iter().map(|version| version.key.as_str()).collect();
        self.touch_batch(&keys, ttl)
    }
}
