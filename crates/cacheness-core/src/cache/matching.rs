//! Entries that have given values in their metadata: found in one walk over all of them, and removed in the order of their
//! keys, so that a page of the index of keys is changed once for all its entries.

use super::{CacheEngine, Ttl};
use crate::entry::{EntrySummary, EntryVersion, Glimpse};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::plain::Value;
use crate::metadata::Position;
use crate::pattern::Pattern;
use crate::store::EntryKey;

/// How many entries one step looks at, within one read of the backend.
const STEP: usize = 4096;

/// How many entries are found before they are removed: 8 MB of memory.
const AT_MOST: usize = 1 << 16;

/// What became of entries that were to be removed.
#[derive(Debug)]
pub struct Removal {
    /// How many have been removed.
    pub count: u64,
    /// Those that are there in another version, as they are now: they have been touched or replaced.
    pub changed: Vec<EntrySummary>,
}

/// What a search has found.
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
    /// Its metadata.
    pub metadata: Option<String>,
    /// The encoding of its parameters.
    pub params: Option<Vec<u8>>,
}

impl Matches {
    /// Whether what has been found should be removed before the search goes on, so that it needs no more memory.
    #[must_use]
    pub fn are_many(&self) -> bool {
        self.versions.len() >= AT_MOST
    }
}

impl CacheEngine {
    /// One step of a search for the entries that match `pattern`, expired ones too: adds what it finds to `found` and
    /// returns where to go on, `None` when all entries have been looked at. Entries that are put or removed between the
    /// steps may or may not be found.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a pattern that every entry matches.
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
        let mut visit = |entry: &Glimpse<'_>| {
            match pattern.judge(entry, &compare)? {
                Some(true) => found.versions.push(entry.version()),
                Some(false) => {}
                None => found.undecided.push(Undecided {
                    version: entry.version(),
                    metadata: entry.metadata.map(str::to_owned),
                    params: entry.params.map(<[u8]>::to_vec),
                }),
            }
            Ok(())
        };
        self.store.metadata().skim(from, STEP, &mut visit)
    }

    /// Removes the entries that match `pattern`, expired ones too, and returns how many. Where it would take Python to
    /// compare two values they are equal if they are the same. What was removed before an error stays removed.
    ///
    /// # Errors
    /// Those of [`CacheEngine::find_matching`], and [`ErrorKind::ReadOnly`].
    pub fn delete_matching(&self, pattern: &Pattern) -> Result<u64> {
        let mut removed = 0;
        let mut found = Matches::default();
        let mut next = Some(Position::Start);
        while let Some(from) = next {
            next = self.find(pattern, &from, &mut found, compare)?;
            while found.are_many() || next.is_none() {
                found.versions.sort_unstable();
                let removal = self.delete_batch(&std::mem::take(&mut found.versions))?;
                removed += removal.count;
                // Touched since, they are to go all the same; replaced, they may be others.
                for EntrySummary { entry, .. } in &removal.changed {
                    if pattern.judge(&Glimpse::from(entry), compare)? == Some(true) {
                        found.versions.push(entry.version());
                    }
                }
                if found.versions.is_empty() {
                    break;
                }
            }
        }
        Ok(removed)
    }
    /// Makes the entries that match `pattern` as fresh as if they had just been put, with this time to live; returns how
    /// many had not expired. Values are compared as [`CacheEngine::delete_matching`] compares them.
    ///
    /// # Errors
    /// Those of [`CacheEngine::find_matching`] and [`CacheEngine::touch`]. What was touched before stays so.
    pub fn touch_matching(&self, pattern: &Pattern, ttl: Ttl) -> Result<u64> {
        let mut touched = 0;
        let mut found = Matches::default();
        let mut next = Some(Position::Start);
        while let Some(from) = next {
            next = self.find(pattern, &from, &mut found, compare)?;
            if found.are_many() || next.is_none() {
                for version in found.versions.drain(..) {
                    touched += u64::from(self.touch(&EntryKey::from_name(version.key)?, ttl)?);
                }
            }
        }
        Ok(touched)
    }
}

/// Whether two values are equal; where it would take Python to say, they are if they are the same.
fn compare(found: &Value, wanted: &Value) -> Option<bool> {
    Some(found.equals(wanted).unwrap_or_else(|| found == wanted))
}
