//! Entries that have given values: found in one walk over all of them, and removed in the order of their keys, so that a
//! page of the index of keys is changed once for all its entries.

use super::{CacheEngine, Ttl};
use crate::backend::{Page, Position, Query};
use crate::entry::{EntrySummary, EntryVersion, Glimpse};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::plain::Value;
use crate::query::pattern::{self, Pattern, Verdict};

/// How many entries one step looks at, within one read of the backend.
const STEP: usize = 4096;

/// How many entries are removed in one step.
const AT_ONCE: usize = 1 << 16;

/// What became of entries that were to be removed.
#[derive(Debug)]
pub struct Removal {
    /// How many have been removed.
    pub count: u64,
    /// Those that are there in another version, as they are now: they have been touched or replaced.
    pub changed: Vec<EntrySummary>,
}

/// What a search has found. All of it is found before anything is changed, so that a search that fails changes nothing;
/// a million entries take some 100 MB.
#[derive(Debug, Default)]
pub struct Matches {
    /// The entries that match, as they were then.
    pub versions: Vec<EntryVersion>,
    /// Those of which it takes Python to say.
    pub undecided: Vec<Undecided>,
}

/// An entry of which a pattern could not say whether it matches.
#[derive(Debug)]
pub struct Undecided {
    /// The entry.
    pub version: EntryVersion,
    /// What it has under the names that decide.
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
    /// One step of a search for the entries that match `pattern`, expired ones too: adds what it finds to `found` and
    /// returns where to go on, `None` when all entries have been looked at. Entries that are put or removed between the
    /// steps may or may not be found.
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

    /// The same where whole entries are needed, which takes longer.
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

    /// All entries that match `pattern`. Nothing is changed meanwhile, so that a search that fails changes nothing.
    fn find_all(&self, pattern: &Pattern) -> Result<Vec<EntryVersion>> {
        let mut found = Matches::default();
        let mut next = Some(Position::Start);
        while let Some(from) = next {
            next = self.find(pattern, &from, &mut found, pattern::same)?;
        }
        Ok(found.versions)
    }

    /// Removes the entries that match `pattern`, expired ones too, and returns how many. Where it would take Python to
    /// compare two values they are equal if they are the same. Nothing is removed if the search fails.
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
                // Touched since, they are to go all the same; replaced, they may be others.
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

    /// Makes the entries that match `pattern` as fresh as if they had just been put, with this time to live; returns how
    /// many had not expired. Values are compared as [`CacheEngine::delete_matching`] compares them.
    ///
    /// # Errors
    /// Those of [`CacheEngine::find_matching`], after which nothing has been touched, and of [`CacheEngine::touch`].
    pub fn touch_matching(&self, pattern: &Pattern, ttl: Ttl) -> Result<u64> {
        let found = self.find_all(pattern)?;
        let keys: Vec<&str> = found.iter().map(|version| version.key.as_str()).collect();
        self.touch_batch(&keys, ttl)
    }
}
