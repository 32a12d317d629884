//! Eviction: exact up to a few thousand entries, of a sample beyond.

use super::walk::Walk;
use super::{RecordStore, RecordsMetadata};
use crate::backend::{Commit, Committed, Evicted, Eviction, MetadataBackend as _, Operation, Outcome, Query};
use crate::backends::entries::{Kept, rank};
use crate::entry::Totals;
use crate::error::{Error, ErrorKind, Result};

/// Up to this many entries the order is exact.
const EXACT: u64 = 5000;

pub(super) fn evict<S: RecordStore>(
    backend: &RecordsMetadata<S>,
    store: &S,
    eviction: &Eviction<'_>,
) -> Result<Evicted> {
    let within = |totals: Totals| totals.entries <= eviction.target.entries && totals.bytes <= eviction.target.bytes;
    let mut evicted = Evicted { left: backend.totals()?, ..Evicted::default() };
    while !within(evicted.left) && evicted.keys.len() < eviction.count {
        let mut found = Vec::new();
        let all = usize::MAX;
        if evicted.left.entries <= EXACT {
            Walk::new(store, &Query::default(), None)?.sample(all, &mut found)?;
        } else {
            let wanted = eviction.count.saturating_mul(4).clamp(2048, 1 << 16);
            let start = random_key()?;
            Walk::new(store, &Query::default(), Some(&start))?.sample(wanted, &mut found)?;
            let rest = wanted.saturating_sub(found.len());
            Walk::new(store, &Query::default(), None)?.sample(rest, &mut found)?;
            found.sort_by(|a, b| a.entry.key.cmp(&b.entry.key));
            found.dedup_by(|a, b| a.entry.key == b.entry.key);
        }
        let may_go = |kept: &Kept| kept.entry.key != eviction.keep && !kept.pinned;
        found.retain(may_go);
        if found.is_empty() && evicted.left.entries > EXACT {
            // Nearly all entries are pinned: the others have to be looked for.
            let mut walk = Walk::new(store, &Query::default(), None)?;
            while let Some((kept, _)) = walk.next_with_revision()? {
                if may_go(&kept) {
                    found.push(kept);
                }
            }
        }
        found.sort_by_cached_key(|kept| rank(kept, eviction));
        let mut left = evicted.left;
        let mut versions = Vec::new();
        for kept in found {
            if within(left) || evicted.keys.len() + versions.len() >= eviction.count {
                break;
            }
            left.entries = left.entries.saturating_sub(1);
            left.bytes = left.bytes.saturating_sub(kept.entry.size);
            versions.push(kept.entry.version());
        }
        if versions.is_empty() {
            break;
        }
        let before = evicted.keys.len();
        for versions in versions.chunks(store.batch().max(1)) {
            let operations: Vec<_> = versions.iter().map(Operation::DeleteVersion).collect();
            let commit = Commit { garbage_due: eviction.garbage_due, ..Commit::of(&operations) };
            let Committed::Done(outcomes) = backend.commit(&commit)? else { continue };
            for (outcome, version) in outcomes.into_iter().zip(versions) {
                // An entry that was replaced meanwhile is left.
                if let Outcome::Deleted { found: true, orphaned } = outcome {
                    evicted.keys.push(version.key.clone());
                    evicted.orphaned.extend(orphaned);
                }
            }
        }
        evicted.left = backend.totals()?;
        if evicted.keys.len() == before {
            // Others replace the entries faster than they can be evicted here.
            break;
        }
    }
    Ok(evicted)
}

/// A key somewhere among those that are hashes.
fn random_key() -> Result<String> {
    let random = getrandom::u64()
        .map_err(|e| Error::new(ErrorKind::Metadata, format!("the system gives no random bytes: {e}")))?;
    Ok(format!("{random:016x}"))
}
