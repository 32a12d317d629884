//! Eviction: keeping a cache within its limits.
//!
//! A put asks [`Evictor::make_room`] after it has been filed. It costs nothing while the limits are far: up to seven
//! eighths of them, the totals are read again when what this process has put since has used up an eighth of the room that
//! was left, and every [`UNSEEN`] puts, because other processes put too. Closer they are read when it has used up a
//! [`SHARE`] of the room, so that some dozen processes stay within the limit together. Over a limit, entries are evicted until 90 % of it are left, at most [`STEP`] with one put unless that put has to evict more
//! to get below the limit: the work of a put does not grow with the number of entries.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::backend::{Eviction, EvictionOrder};
use crate::clock::Timestamp;
use crate::config::{EvictionPolicy, Limits};
use crate::entry::{Entry, Totals};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Store;

/// How many entries are evicted with one put while it is only about getting down to 90 %.
const STEP: usize = 128;

/// Puts after which the totals are read again, however much room there was.
const UNSEEN: u64 = 64;

/// Which part of the room close to a limit a process takes before it looks again.
const SHARE: u64 = 32;

/// Puts and bytes that may pass before the totals are read again.
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
    /// The limit has been reached, and 90 % of it have not been reached again.
    shrinking: AtomicBool,
    warned: AtomicBool,
    /// It has been said that nothing can be evicted.
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
    /// `None` where there are no limits.
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

    /// How many entries this process has evicted.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Refuses a put into a full cache that evicts nothing. A key that is there already may be put again.
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
            format!("the cache is full: {} entries, {} bytes, and nothing is evicted", totals.entries, totals.bytes),
        )
        .with_hint("remove entries, raise max_cache_size_mb or max_entries, or choose an eviction_policy"))
    }

    /// Evicts what is too much after `entry` has been put; never `entry` itself. `before` is called before entries are
    /// chosen, so that reads which are not written down yet can be.
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
                    "the cache is over its limit, with {} entries of {} bytes, and all that could be evicted are pinned",
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
            // The put was larger than what was evicted for it.
            eviction.count = STEP * 4;
        }
    }

    /// Counts a put of `size` bytes; whether the totals have to be looked at.
    fn is_due(&self, size: u64) -> bool {
        // A forked child may find the lock held by a thread that it does not have: then every put looks.
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
