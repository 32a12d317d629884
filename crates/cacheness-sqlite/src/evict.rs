//! Eviction: which rows to remove, without scanning all of them.

use cacheness_core::Result;
use cacheness_core::backend::{Evicted, Eviction, EvictionOrder};
use cacheness_core::entry::Totals;
use rusqlite::{Connection, Params, Row};

use crate::error::translate;
use crate::garbage::add_garbage;
use crate::statement::prepare;
use crate::totals::{self, Removed};
use crate::write::delete_row;

/// Up to this many entries the order is exact: all of them are examined, which takes a few milliseconds.
const EXACT: u64 = 4096;
/// The number of oldest rows that are searched for unpinned ones, before the rest is sampled too.
const FIRST: i64 = 4096;
/// The number of oldest rows in a sample: the ones to evict in a cache that is filled and never read.
const OLDEST: i64 = 256;
/// The places in insertion order from which the rest of a sample is taken, and the rows from each: neighbours share
/// pages.
const PLACES: u64 = 8;
const NEIGHBOURS: i64 = 64;

/// The properties of a row that may be evicted.
struct Candidate {
    id: i64,
    accessed_at: i64,
    access_count: i64,
}

impl Candidate {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, accessed_at: row.get(1)?, access_count: row.get(2)? })
    }

    /// Low ranks are evicted first.
    fn rank(&self, order: EvictionOrder) -> (i64, i64, i64) {
        match order {
            EvictionOrder::LeastRecentlyRead => (self.accessed_at, 0, self.id),
            EvictionOrder::LeastOftenRead => (self.access_count, self.accessed_at, self.id),
            EvictionOrder::FirstIn => (0, 0, self.id),
        }
    }
}

/// The columns of a [`Candidate`], for rows that may be evicted; `?1` is the key that stays.
macro_rules! candidates {
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT id, accessed_at, access_count FROM ",
            $from,
            " WHERE cache_key <> ?1 AND cache_key NOT IN (SELECT cache_key FROM cache_pins) ",
            $rest
        )
    };
}

/// Of the `?3` rows from `?2` on, at most `?4` that may be evicted. Examines no more rows, even if many are pinned.
const WINDOW: &str = candidates!(
    "(SELECT id, cache_key, accessed_at, access_count FROM cache_entries WHERE id >= ?2 ORDER BY id LIMIT ?3)",
    "LIMIT ?4"
);

fn find(connection: &Connection, sql: &str, values: impl Params) -> Result<Vec<Candidate>> {
    let failed = |e| translate("cannot look for entries to evict", e);
    let mut statement = prepare(connection, sql)?;
    let rows = statement.query_map(values, Candidate::from_row).map_err(failed)?;
    rows.collect::<rusqlite::Result<_>>().map_err(failed)
}

/// The rows to evict, in order.
fn choose(connection: &Connection, eviction: &Eviction<'_>, entries: u64, count: usize) -> Result<Vec<Candidate>> {
    let mut sample = if eviction.order == EvictionOrder::FirstIn {
        let wanted = i64::try_from(count).unwrap_or(i64::MAX);
        let found = find(connection, WINDOW, (eviction.keep, i64::MIN, FIRST, wanted))?;
        if found.len() == count || entries <= EXACT { found } else { take_sample(connection, eviction.keep)? }
    } else if entries <= EXACT {
        find(connection, candidates!("cache_entries", ""), [eviction.keep])?
    } else {
        take_sample(connection, eviction.keep)?
    };
    sample.sort_unstable_by_key(|candidate| candidate.rank(eviction.order));
    sample.dedup_by_key(|candidate| candidate.id);
    sample.truncate(count);
    Ok(sample)
}

fn take_sample(connection: &Connection, keep: &str) -> Result<Vec<Candidate>> {
    let window = |start: i64, rows: i64| find(connection, WINDOW, (keep, start, rows, rows));
    // Separate queries each read one end of the table; a combined one would scan every row.
    let bounds = "SELECT coalesce((SELECT min(id) FROM cache_entries), 0), \
                  coalesce((SELECT max(id) FROM cache_entries), 0)";
    let (first, last): (i64, i64) = prepare(connection, bounds)?
        .query_row((), |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(|e| translate("cannot look for entries to evict", e))?;
    let mut sample = window(first, OLDEST)?;
    let span = last.abs_diff(first).saturating_add(1);
    for _ in 0..PLACES {
        // Without random numbers the sample consists of the oldest rows.
        let Ok(random) = getrandom::u64() else { break };
        sample.extend(window(first.saturating_add_unsigned(random % span), NEIGHBOURS)?);
    }
    Ok(sample)
}

/// See [`MetadataBackend::evict`](cacheness_core::backend::MetadataBackend::evict).
pub(crate) fn evict(connection: &Connection, eviction: &Eviction<'_>) -> Result<Evicted> {
    let target = eviction.target;
    let within = |left: Totals| left.entries <= target.entries && left.bytes <= target.bytes;
    let mut evicted = Evicted { left: totals::get(connection)?, ..Evicted::default() };
    if within(evicted.left) {
        return Ok(evicted);
    }
    let expired = candidates!("cache_entries", "AND expires_at <= ?2 ORDER BY expires_at LIMIT ?3");
    let limit = i64::try_from(eviction.count).unwrap_or(i64::MAX);
    let mut batch = find(connection, expired, (eviction.keep, eviction.expired_at.0, limit))?;
    batch.reverse();
    let mut removed = Removed::begin(connection)?;
    let mut chosen = false;
    while !within(evicted.left) && evicted.keys.len() < eviction.count {
        let Some(candidate) = batch.pop() else {
            if chosen {
                break;
            }
            chosen = true;
            batch = choose(connection, eviction, evicted.left.entries, eviction.count - evicted.keys.len())?;
            batch.reverse();
            continue;
        };
        let Some((key, size, orphaned)) = delete_row(connection, candidate.id, &mut removed)? else { continue };
        evicted.keys.push(key);
        match (orphaned, eviction.garbage_due) {
            (Some(orphaned), Some(due)) => add_garbage(connection, &orphaned, due)?,
            (orphaned, _) => evicted.orphaned.extend(orphaned),
        }
        evicted.left.entries = evicted.left.entries.saturating_sub(1);
        evicted.left.bytes = evicted.left.bytes.saturating_sub(size);
    }
    removed.count(connection)?;
    Ok(evicted)
}
