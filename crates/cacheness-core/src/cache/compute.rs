//! Computing what is not there, once; and what is there but should be computed anew.

use std::time::Duration;

use serde::Deserialize;

use super::{CacheEngine, Serving, before, is_expired};
use crate::clock::Timestamp;
use crate::entry::{Code, Entry};
use crate::error::{Error, ErrorKind, Result};
use crate::flight::{Scope, Turn};
use crate::payload::Stored;
use crate::store::{EntryKey, ReadOptions};

/// The name in an entry's metadata under which it is kept how many seconds its value took to compute. Needed by
/// [`Freshness::early_recompute`].
pub const COMPUTE_SECONDS: &str = "compute_seconds";

/// When an entry that is served should be computed anew.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Freshness {
    /// An entry that expired less than so long ago is served, and due.
    pub stale: Option<Duration>,
    /// An entry that has not expired may be due before: the nearer the end and the longer it took to compute, the more
    /// probably; 1 is a good choice, more is earlier.
    ///
    /// It is `XFetch` of A. Vattani, F. Chierichetti, K. Lowenstein, *Optimal Probabilistic Cache Stampede Prevention*,
    /// VLDB 2015: due when `-beta · compute_seconds · ln(random)` is at least the time that is left.
    pub early_recompute: Option<f64>,
    /// The code that computes the value now: an entry that other code has computed is missing. One of which that is not
    /// known is served.
    pub code: Option<Code>,
}

impl Freshness {
    /// Refuses values that make no sense.
    pub fn check(&self) -> Result<()> {
        match self.early_recompute {
            Some(beta) if !(beta.is_finite() && beta >= 0.0) => {
                Err(Error::new(ErrorKind::InvalidInput, format!("early_recompute is {beta}"))
                    .with_hint("give a number that is zero (never early) or more; 1 is a good choice"))
            }
            _ => Ok(()),
        }
    }
}

/// An entry that is served.
#[derive(Debug)]
pub struct Served {
    /// Its payload, ready to be read.
    pub stored: Box<Stored>,
    /// One of those that get it should compute it anew.
    pub due: bool,
}

impl CacheEngine {
    /// Like [`CacheEngine::get_in_memory`], unless other code has computed the value.
    pub fn get_in_memory_of(&self, key: &EntryKey, code: Option<Code>) -> Option<Stored> {
        self.serve_from_memory(key, None, code)
    }

    /// Like [`CacheEngine::get`], for entries that are computed anew before they are missing.
    ///
    /// # Errors
    /// Those of [`CacheEngine::get`].
    pub fn get_or_due(&self, key: &EntryKey, freshness: Freshness, options: ReadOptions) -> Result<Option<Served>> {
        let now = self.store.clock().now();
        // The entry is served as if it were so much earlier.
        let lenient = freshness.stale.map_or(now, |stale| before(now, stale));
        let serving = Serving { unexpired_at: lenient, code: freshness.code, ..self.serving(now, None)? };
        let found = self.read(key, serving, now, options)?;
        Ok(found.map(|stored| {
            let entry = stored.entry();
            let due = is_expired(entry, now) || freshness.early_recompute.is_some_and(|beta| early(entry, now, beta));
            Served { stored, due }
        }))
    }

    /// Whether an entry that was due when it was read has not been replaced since.
    pub fn is_still_due(&self, key: &EntryKey, created_at: Timestamp) -> Result<bool> {
        Ok(self.get_entry(key, true)?.is_none_or(|found| found.entry.created_at == created_at))
    }

    /// A turn to compute the value of `key`, for a caller that has found nothing and is part of `scope`. See
    /// [`flight`](crate::flight).
    pub fn turn(&self, key: &EntryKey, scope: Scope) -> Result<Turn> {
        self.refuse_if_closed()?;
        Ok(Turn::new(&self.flights, key, scope))
    }
}

fn early(entry: &Entry, now: Timestamp, beta: f64) -> bool {
    #[derive(Deserialize)]
    struct Spent {
        compute_seconds: Option<f64>,
    }
    let (Some(expires_at), Some(metadata)) = (entry.expires_at, &entry.metadata) else { return false };
    // What has another type there is the user's own, and no time.
    let Ok(Spent { compute_seconds: Some(spent) }) = serde_json::from_str(metadata) else { return false };
    // Without random numbers nothing is early, which is always right.
    let Ok(bits) = getrandom::u64() else { return false };
    #[allow(clippy::cast_precision_loss)]
    let (random, left) = ((bits >> 11) as f64 / (1_u64 << 53) as f64, expires_at.0.saturating_sub(now.0) as f64 / 1e6);
    -beta * spent * random.max(f64::MIN_POSITIVE).ln() >= left
}
