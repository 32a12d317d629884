//! Eviction: keeping a cache within its limits.
//!
//! A put calls [`Evictor::make_room`] after its commit. This costs nothing while the limits are far. Up to seven
//! eighths of a limit, the totals are read again when this process has used an eighth of the space that was left, and
//! every [`UNSEEN`] puts, because other processes put too. Closer to it they are read when this process has used a
//! [`SHARE`]th of the space, so that some dozen processes together stay within the limit. Over a limit, entries are
//! evicted down to 90 % of it: at most [`STEP`] per put, unless the put must evict more to get below the limit. The
//! work of a put therefore does not grow with the number of entries.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::backend::{Eviction, EvictionOrder};
use crate::clock::Timestamp;
use crate::config::{EvictionPolicy, Limits};
use crate::entry::{Entry, Totals};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Store;

/// The maximum number of entries that one put evicts between the limit and 90 % of it.
const STEP: usize = 128;

/// The number of puts after which the totals are read again in any case.
const UNSEEN: u64 = 64;

/// The fraction of the remaining space, 1 / `SHARE`, that a process uses close to a limit before it reads the totals
/// again.
const SHARE: u64 = 32;

/// Puts and bytes that are allowed before the totals are read again.
#[derive(Debug, Default)]
struct Allowance {
    puts: u64,
    bytes: u64,
}

/// Keeps one cache within its limits.
#[derive(Debug)]
pub(super) struct Evictor {
    max: Totals,
    order: Option<EvictionOrder>,
    allowance: Mutex<Allowance>,
    /// The limit was reached, and the totals are not yet back at 90 % of it.
    shrinking: AtomicBool,
    warned: AtomicBool,
    /// A warning that nothing can be evicted has been logged.
    stuck: AtomicBool,
    evicted: AtomicU64,
}

fn nine_tenths(limit: u64) -> u64 {
    limit - limit / 10
}

fn is_within(totals: Totals, limit: Totals) -> bool {
    totals.entries <= limit.entries && totals.bytes <= limit.bytes
}

impl Evictor {
    /// `None` if there are no limits.
    pub(super) fn new(limits: &Limits) -> Option<Self> {
        let max = Totals { entries: limits.max_entries(), bytes: limits.max_bytes() };
        if max == (Totals { entries: u64::MAX, bytes: u64::MAX }) {
            return None;
        }
        let order = match limits.eviction_policy {
            EvictionPolicy::Lru => Some(EvictionOrder::LeastRecentlyRead),
            EvictionPolicy::Lfu => Some(EvictionOrder::LeastOftenRead),
            EvictionPolicy::Fifo => Some(EvictionOrder::FirstIn),
            EvictionPolicy::None => None,
        };
        Some(Self {
            max,
            order,
            allowance: Mutex::default(),
            shrinking: AtomicBool::new(false),
            warned: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            evicted: AtomicU64::new(0),
        })
    }

    /// The size of the largest payload that fits.
    pub(super) fn max_bytes(&self) -> u64 {
        self.max.bytes
    }

    /// The number of entries that this process has evicted.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Refuses a put into a full cache without eviction. A key that exists may be put again.
    pub(super) fn admit(&self, store: &Store, key: Option<&str>, size: Option<u64>) -> Result<()> {
        if self.order.is_some() {
            return Ok(());
        }
        let totals = store.totals()?;
        let size = size.unwrap_or(0);
        let full = totals.entries >= self.max.entries || totals.bytes.saturating_add(size) > self.max.bytes;
        if !full {
            return Ok(());
        }
        let former = key.map(|key| store.get_entry(key)).transpose()?.flatten().map(|found| found.entry.size);
        if former.is_some_and(|former| totals.bytes.saturating_sub(former).saturating_add(size) <= self.max.bytes) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Full,
            format!(
                "the cache is full: {} entries, {} bytes, and its eviction policy evicts nothing",
                totals.entries, totals.bytes
            ),
        )
        .with_hint("remove entries, raise max_cache_size_mb or max_entries, or choose an eviction_policy"))
    }

    /// Evicts the excess after `entry` was put; never `entry` itself. Calls `before` before it chooses entries, so that
    /// accesses can be flushed.
    pub(super) fn make_room(
        &self,
        store: &Store,
        entry: &Entry,
        now: Timestamp,
        before: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let Some(order) = self.order else { return Ok(()) };
        if !self.shrinking.load(Ordering::Relaxed) && !self.is_due(entry.size) {
            return Ok(());
        }
        let totals = store.totals()?;
        if !self.shrinking.load(Ordering::Relaxed) {
            if is_within(totals, self.max) {
                self.renew(totals);
                return Ok(());
            }
            self.shrinking.store(true, Ordering::Relaxed);
        }
        before()?;
        let target = Totals { entries: nine_tenths(self.max.entries), bytes: nine_tenths(self.max.bytes) };
        self.warn_once();
        let mut eviction =
            Eviction { order, expired_at: now, keep: &entry.key, target, count: STEP, garbage_due: None };
        loop {
            let step = store.evict(&eviction)?;
            self.evicted.fetch_add(step.entries, Ordering::Relaxed);
            if step.entries == 0 && !is_within(step.left, self.max) && !self.stuck.swap(true, Ordering::Relaxed) {
                log::warn!(
                    "the cache is over its limit, with {} entries of {} bytes, and all candidates for eviction are pinned",
                    step.left.entries,
                    step.left.bytes
                );
            }
            if is_within(step.left, target) || step.entries == 0 {
                self.shrinking.store(false, Ordering::Relaxed);
                self.renew(step.left);
                return Ok(());
            }
            if is_within(step.left, self.max) {
                return Ok(());
            }
            // The put was larger than the entries evicted for it.
            eviction.count = STEP * 4;
        }
    }

    /// Counts a put of `size` bytes; returns whether the totals must be read.
    fn is_due(&self, size: u64) -> bool {
        // In a forked child a thread that does not exist there may hold the lock: then every put reads the totals.
        let Some(mut allowance) = self.allowance.try_lock() else { return true };
        match (allowance.puts.checked_sub(1), allowance.bytes.checked_sub(size)) {
            (Some(puts), Some(bytes)) => {
                *allowance = Allowance { puts, bytes };
                false
            }
            _ => true,
        }
    }

    fn renew(&self, totals: Totals) {
        let Some(mut allowance) = self.allowance.try_lock() else { return };
        let room = |limit: u64, used: u64| {
            let far = (limit - limit / 8).saturating_sub(used) / 8;
            far.max(limit.saturating_sub(used) / SHARE)
        };
        allowance.puts = room(self.max.entries, totals.entries).min(UNSEEN);
        allowance.bytes = room(self.max.bytes, totals.bytes);
    }

    fn warn_once(&self) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            let limits = [(self.max.entries, "entries"), (self.max.bytes, "bytes")];
            let limits = limits.iter().filter(|(limit, _)| *limit < u64::MAX);
            let limits: Vec<_> = limits.map(|(limit, unit)| format!("{limit} {unit}")).collect();
            log::warn!("the cache has reached a limit ({}): entries are evicted from now on", limits.join(", "));
        }
    }
}
