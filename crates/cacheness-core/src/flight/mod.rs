//! Single flight: of all callers that miss the same entry, one computes it and the others wait.
//!
//! A caller that misses an entry takes a [`Turn`] and asks it for the next [`Step`] until it is told to compute:
//!
//! - [`Step::Compute`]: look once more, because another caller may have stored the value; then compute, put the value,
//!   and end the flight with [`Flight::stored`] or [`Flight::failed`]. A flight that is dropped without either was
//!   interrupted, and another caller takes over.
//! - [`Step::LookAgain`]: the entry may exist now; if not, ask for the next step.
//! - [`Step::Wait`]: another caller computes. Block in [`Turn::pause`], or wait for [`Turn::delay`] without blocking.
//!
//! # Waiting
//!
//! - In one process all caches share one table of flights. A caller waits for one computation of a key. If that leaves
//!   no entry (it failed, or its result is not stored), all callers that waited for it compute for themselves,
//!   concurrently.
//! - A flight knows the flight inside which it began ([`Scope`]), so the table knows which flights cannot end before
//!   which others. A caller does not wait for a flight that waits for the caller's own, but computes at once:
//!   recursion, mutual recursion and calls nested in different orders do not deadlock.
//! - Between processes the store's [`Locks`] exclude each other. Of the threads of a process that wait for another
//!   process, one blocks in [`Locks::acquire`], in slices: after every slice it looks for the entry, and once it has
//!   the lock it keeps it for its computation. A process that dies releases its locks: another takes over within 50 ms.
//!   Cycles between processes cannot be detected; a caller inside a flight of its own therefore waits for at most
//!   [`flight_patience_seconds`](crate::config::CacheConfig::flight_patience_seconds) and then computes as well.
//! - A forked child has neither the table nor the locks of its parent. What the forking thread was computing, the child
//!   computes without waiting.

mod scope;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::backend::{Acquired, LockGuard, Locks};
use crate::store::EntryKey;

pub use scope::Scope;
use table::{Entered, Landing, Outcome, Slot, table};

/// The shortest and the longest time between two steps of a caller that does not block.
const DELAYS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// The flights of one cache.
#[derive(Debug)]
pub struct Flights {
    store: u64,
    locks: Option<Arc<dyn Locks>>,
    patience: Duration,
}

impl Flights {
    /// Flights that are exclusive between processes with `locks`, and only between threads without.
    #[must_use]
    pub fn new(locks: Option<Arc<dyn Locks>>, patience: Duration) -> Self {
        static MEMORY: AtomicU64 = AtomicU64::new(0);
        let store = locks.as_ref().map_or_else(|| MEMORY.fetch_add(1, Ordering::Relaxed), |locks| locks.identity());
        Self { store, locks, patience }
    }

    fn slot(&self, key: &EntryKey) -> Slot {
        let number = match key {
            EntryKey::Params { fingerprint, .. } => u128::from_le_bytes(*fingerprint),
            EntryKey::Name(name) => twox_hash::XxHash3_128::oneshot(name.as_bytes()),
        };
        Slot { store: self.store, key: number }
    }

    fn enter(self: &Arc<Self>, slot: Slot, scope: &Scope) -> Place {
        if scope.is_inherited(slot) {
            return Place::Alone;
        }
        match table().enter(slot, scope.id()) {
            Entered::Begun(landing) => {
                let scope = scope.entered(landing.id, slot);
                Place::First(Flight { scope, held: Some(Held { slot, landing, lock: None }) })
            }
            Entered::Cycle => Place::Alone,
            Entered::Running(landing) => Place::Behind(WaitHere { landing, inside: scope.id() }),
        }
    }

    /// Acquires the lock for the first flight of a key in this process; `None` if another process held it until the
    /// timeout.
    ///
    /// Without locks, or if they fail, the flight excludes only threads of this process.
    fn acquire(&self, mut flight: Flight, timeout: Duration) -> Option<Flight> {
        let (Some(locks), Some(held)) = (&self.locks, &mut flight.held) else { return Some(flight) };
        held.landing.set_elsewhere(!timeout.is_zero());
        match locks.acquire(held.slot.number(), timeout) {
            Ok(Acquired::Held(guard)) => held.lock = Some(guard),
            Ok(Acquired::Unavailable) => {}
            Ok(Acquired::TimedOut) => return None,
            Err(error) => log::warn!(
                "a lock between processes cannot be acquired: {}; several may compute the same missing value at once",
                error.with_causes()
            ),
        }
        held.landing.set_elsewhere(false);
        Some(flight)
    }
}

/// The position of a caller among those of its process.
enum Place {
    /// The caller would wait for itself.
    Alone,
    /// No other caller of this process computes, or waits for the lock.
    First(Flight),
    Behind(WaitHere),
}

/// What a caller does next.
#[derive(Debug)]
pub enum Step {
    /// Compute, unless the entry exists by now.
    Compute(Flight),
    /// Look up the entry again, and ask for the next step if it is missing.
    LookAgain,
    /// Wait: another caller computes it.
    Wait,
}

/// One caller's request for a missing value.
#[derive(Debug)]
pub struct Turn {
    flights: Arc<Flights>,
    slot: Slot,
    scope: Scope,
    here: Option<WaitHere>,
    /// Acquired by [`Turn::pause`].
    ready: Option<Flight>,
    /// When the caller first noticed that another process computes.
    elsewhere_since: Option<Instant>,
    look: bool,
    /// The caller has waited for a computation, and computes for itself if that left no entry.
    waited: bool,
    delay: Duration,
}

impl Turn {
    /// A turn for `key`, of a caller inside the computation of `scope`.
    #[must_use]
    pub fn new(flights: &Arc<Flights>, key: &EntryKey, scope: Scope) -> Self {
        Self {
            slot: flights.slot(key),
            flights: Arc::clone(flights),
            scope,
            here: None,
            ready: None,
            elsewhere_since: None,
            look: false,
            waited: false,
            delay: DELAYS.0,
        }
    }

    /// The next step. Never blocks.
    pub fn step(&mut self) -> Step {
        if let Some(flight) = self.ready.take().filter(Flight::is_of_this_process) {
            return Step::Compute(flight);
        }
        if let Some(wait) = &self.here {
            match wait.outcome() {
                None if wait.is_elsewhere() && self.is_out_of_patience() => return self.alone(),
                None => return Step::Wait,
                Some(Outcome::Interrupted) => self.here = None,
                Some(outcome) => {
                    self.here = None;
                    self.waited = true;
                    if outcome == Outcome::Stored {
                        return Step::LookAgain;
                    }
                }
            }
        }
        if std::mem::take(&mut self.look) {
            return Step::LookAgain;
        }
        if self.waited {
            return self.alone();
        }
        match self.flights.enter(self.slot, &self.scope) {
            Place::Alone => self.alone(),
            Place::Behind(wait) if wait.is_elsewhere() && self.is_out_of_patience() => self.alone(),
            Place::Behind(wait) => {
                self.here = Some(wait);
                Step::Wait
            }
            Place::First(flight) => match self.flights.acquire(flight, Duration::ZERO) {
                Some(flight) => Step::Compute(flight),
                None if self.is_out_of_patience() => self.alone(),
                None => {
                    self.look = true;
                    Step::Wait
                }
            },
        }
    }

    fn alone(&mut self) -> Step {
        self.here = None;
        Step::Compute(Flight { scope: self.scope.clone(), held: None })
    }

    /// Whether another process has computed for longer than a caller inside a flight waits.
    fn is_out_of_patience(&mut self) -> bool {
        let since = *self.elsewhere_since.get_or_insert_with(Instant::now);
        let is_out = self.scope.is_inside() && since.elapsed() >= self.flights.patience;
        if is_out {
            log::info!("another process computes the same value for too long: computed here as well");
        }
        is_out
    }

    /// Blocks after [`Step::Wait`] until something may have changed, but not for longer than `at_most`.
    pub fn pause(&mut self, at_most: Duration) {
        let at_most = match self.elsewhere_since {
            Some(since) if self.scope.is_inside() => at_most.min(self.flights.patience.saturating_sub(since.elapsed())),
            _ => at_most,
        };
        if let Some(wait) = &self.here {
            return wait.block(at_most);
        }
        match self.flights.enter(self.slot, &self.scope) {
            Place::First(flight) => {
                self.ready = self.flights.acquire(flight, at_most);
                // The caller of a flight looks up the entry again in any case.
                self.look &= self.ready.is_none();
            }
            Place::Behind(wait) => self.here = Some(wait),
            // The next step reports it.
            Place::Alone => {}
        }
    }

    /// How long to wait after [`Step::Wait`] without blocking. Grows with every call.
    pub fn delay(&mut self) -> Duration {
        let delay = self.delay;
        self.delay = (delay * 2).min(DELAYS.1);
        delay
    }
}

/// The right to compute a value while others wait for it.
#[derive(Debug)]
#[must_use = "others wait until it is dropped"]
pub struct Flight {
    scope: Scope,
    /// `None` if no caller waits for this flight.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    slot: Slot,
    landing: Arc<Landing>,
    lock: Option<LockGuard>,
}

impl Flight {
    /// Whether others can wait for it. A caller that would wait for itself, or has waited in vain, computes alone.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.held.is_some()
    }

    /// The scope of the computation: for the turns of the calls that it makes.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope.clone()
    }

    fn is_of_this_process(&self) -> bool {
        self.held.as_ref().is_none_or(|held| held.landing.is_of_this_process())
    }

    /// The entry exists: waiting callers look it up again.
    pub fn stored(mut self) {
        self.end(Outcome::Stored);
    }

    /// There is no entry and this caller will not store one: waiting callers compute for themselves.
    pub fn failed(mut self) {
        self.end(Outcome::Nothing);
    }

    fn end(&mut self, outcome: Outcome) {
        let Some(Held { slot, landing, lock }) = self.held.take() else { return };
        // Releases the lock first, so that the woken callers find it free.
        drop(lock);
        // A forked child holds neither the lock nor the place in the table.
        if !landing.is_of_this_process() {
            return;
        }
        table().end(slot, &landing, self.scope.outer_id(), outcome);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.end(Outcome::Interrupted);
    }
}

/// Waits for another thread's flight. While it exists, the table knows that the caller's own flight cannot end earlier.
#[derive(Debug)]
struct WaitHere {
    landing: Arc<Landing>,
    inside: Option<u64>,
}

impl WaitHere {
    fn outcome(&self) -> Option<Outcome> {
        if self.landing.is_of_this_process() { self.landing.outcome() } else { Some(Outcome::Interrupted) }
    }

    /// Whether the other thread waits for another process.
    fn is_elsewhere(&self) -> bool {
        self.landing.is_elsewhere()
    }

    fn block(&self, at_most: Duration) {
        if self.landing.is_of_this_process() {
            table().wait(&self.landing, at_most);
        }
    }
}

impl Drop for WaitHere {
    fn drop(&mut self) {
        if self.landing.is_of_this_process() {
            table().leave(self.landing.id, self.inside);
        }
    }
}

#[cfg(all(test, loom))]
mod model;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
