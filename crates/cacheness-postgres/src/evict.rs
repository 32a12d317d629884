//! Eviction: which rows to remove, without scanning all of them.

use std::collections::HashSet;

use cacheness_core::Result;
use cacheness_core::backend::{Evicted, Eviction, EvictionOrder};
use cacheness_core::entry::Totals;
use tokio_postgres::Row;

use crate::link::{Link, Param};
use crate::statements::Statements;

/// Up to this many entries the order is exact.
const EXACT: u64 = 4096;

/// The oldest rows that a sample has.
const OLDEST: i64 = 256;

/// The oldest rows that are looked at for the first ones.
const FIRST: i64 = 4096;

/// The places at which a sample looks.
const PLACES: usize = 8;

const LOOK: &str = "cannot look for entries to evict";

struct Candidate {
    id: i64,
    key: String,
    accessed_at: i64,
    access_count: i64,
    size: u64,
}

impl Candidate {
    fn from_row(row: &Row) -> Option<Self> {
        Some(Self {
            id: row.try_get(0).ok()?,
            key: row.try_get(1).ok()?,
            accessed_at: row.try_get(2).ok()?,
            access_count: row.try_get(3).ok()?,
            size: u64::try_from(row.try_get::<_, i64>(4).ok()?).unwrap_or(0),
        })
    }

    /// What is evicted first.
    fn rank(&self, order: EvictionOrder) -> (i64, i64, i64) {
        match order {
            EvictionOrder::LeastRecentlyRead => (self.accessed_at, 0, self.id),
            EvictionOrder::LeastOftenRead => (self.access_count, self.accessed_at, self.id),
            EvictionOrder::FirstIn => (0, 0, self.id),
        }
    }
}

fn find(link: &mut Link, sql: &str, params: &[Param<'_>]) -> Result<Vec<Candidate>> {
    Ok(link.query(LOOK, sql, params)?.iter().filter_map(Candidate::from_row).collect())
}

/// The totals.
pub(crate) fn totals(link: &mut Link, sql: &Statements) -> Result<Totals> {
    let rows = link.query("cannot read the totals", &sql.totals, &[])?;
    let row = rows.first();
    let entries: i64 = row.and_then(|row| row.try_get(0).ok()).unwrap_or(0);
    let bytes: Option<String> = row.and_then(|row| row.try_get(1).ok());
    let bytes = bytes.and_then(|bytes| bytes.parse::<i128>().ok()).unwrap_or(0);
    Ok(Totals { entries: u64::try_from(entries).unwrap_or(0), bytes: u64::try_from(bytes.max(0)).unwrap_or(u64::MAX) })
}

fn choose(
    link: &mut Link,
    sql: &Statements,
    eviction: &Eviction<'_>,
    entries: u64,
    count: usize,
) -> Result<Vec<Candidate>> {
    let keep = eviction.keep;
    let mut sample = if entries <= EXACT {
        find(link, &sql.all_for_eviction, &[&keep])?
    } else {
        let first = if eviction.order == EvictionOrder::FirstIn { FIRST } else { OLDEST };
        let mut sample = find(link, &sql.oldest_for_eviction, &[&keep, &first])?;
        if eviction.order != EvictionOrder::FirstIn || sample.len() < count {
            // Without random numbers the sample consists of the oldest rows.
            #[allow(clippy::cast_precision_loss)]
            let place = |random: u64| (random >> 11) as f64 / (1_u64 << 53) as f64;
            let places: Vec<f64> = (0..PLACES).filter_map(|_| getrandom::u64().ok()).map(place).collect();
            sample.extend(find(link, &sql.sample_for_eviction, &[&keep, &places])?);
        }
        sample
    };
    sample.sort_unstable_by_key(|candidate| candidate.rank(eviction.order));
    sample.dedup_by_key(|candidate| candidate.id);
    sample.truncate(count);
    Ok(sample)
}

/// Removes entries until the target or the number is reached.
///
/// What is chosen is removed in one statement. An entry that somebody has removed meanwhile is not counted, one that
/// somebody has replaced is removed with its new value: whoever evicts in the same moment could have done so as well.
pub(crate) fn evict(link: &mut Link, sql: &Statements, eviction: &Eviction<'_>) -> Result<Evicted> {
    let target = eviction.target;
    let within = |left: Totals| left.entries <= target.entries && left.bytes <= target.bytes;
    let mut evicted = Evicted { left: totals(link, sql)?, ..Evicted::default() };
    let limit = i64::try_from(eviction.count).unwrap_or(i64::MAX);
    for expired in [true, false] {
        let room = eviction.count - evicted.keys.len().min(eviction.count);
        if within(evicted.left) || room == 0 {
            break;
        }
        let candidates = if expired {
            find(link, &sql.expired_for_eviction, &[&eviction.keep, &eviction.expired_at.0, &limit])?
        } else {
            choose(link, sql, eviction, evicted.left.entries, room)?
        };
        let mut expected = evicted.left;
        let (mut keys, mut ids) = (Vec::new(), Vec::new());
        for candidate in &candidates {
            if within(expected) {
                break;
            }
            expected.entries = expected.entries.saturating_sub(1);
            expected.bytes = expected.bytes.saturating_sub(candidate.size);
            keys.push(candidate.key.as_str());
            ids.push(candidate.id);
        }
        if keys.is_empty() {
            continue;
        }
        let due = eviction.garbage_due.map(|due| due.0);
        let removed = link.query("cannot evict entries", &sql.evict, &[&keys, &ids, &due])?;
        let gone: HashSet<&str> = removed.iter().filter_map(|row| row.try_get(0).ok()).collect();
        evicted.keys.extend(keys.iter().filter(|key| gone.contains(**key)).map(|key| (*key).to_owned()));
        for row in &removed {
            let size: i64 = row.try_get(1).unwrap_or(0);
            if due.is_none() {
                evicted.orphaned.extend(row.try_get::<_, Option<String>>(2).ok().flatten());
            }
            evicted.left.entries = evicted.left.entries.saturating_sub(1);
            evicted.left.bytes = evicted.left.bytes.saturating_sub(u64::try_from(size).unwrap_or(0));
        }
    }
    if !evicted.orphaned.is_empty() {
        evicted.orphaned.sort_unstable();
        evicted.orphaned.dedup();
        let rows = link.query(LOOK, &sql.orphans, &[&evicted.orphaned])?;
        evicted.orphaned = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
    }
    Ok(evicted)
}
