//! Single flight: of all callers that miss the same entry, one computes it and the others wait.
//!
//! A caller that has found nothing takes a [`Turn`] and asks it what to do, until it is told to compute:
//!
//! - [`Step::Compute`]: look once more, because somebody may have been faster; then compute, put the value, and say with
//!   [`Flight::stored`] or [`Flight::failed`] what came of it. A flight that is dropped without either was interrupted,
//!   and another caller takes over.
//! - [`Step::LookAgain`]: the entry may be there now; if it is not, go on asking.
//! - [`Step::Wait`]: somebody else computes. Wait with [`Turn::pause`], or for [`Turn::delay`] in a way of your own.
//!
//! # Who waits for whom
//!
//! - In one process all caches share one table of flights. A caller waits for one computation of a key; if that leaves
//!   nothing behind (it failed, or its result is not to be kept), all who waited for it compute for themselves, at the
//!   same time.
//! - A flight knows the flight inside which it was begun ([`Scope`]), so the table knows which flights cannot end before
//!   which others. A caller that would wait for a flight that waits for the caller's own computes without waiting:
//!   recursion, mutual recursion and calls that are nested in different orders do not block.
//! - Between processes the locks of [`KeyLocks`] exclude each other. They are polled, after 1 ms and then ever longer up
//!   to 50 ms, and vanish with the process that holds them: another takes over within those 50 ms. Who waits for whom is
//!   not known across processes; a caller inside a flight of its own therefore waits for
//!   [`flight_patience_seconds`](crate::config::CacheConfig::flight_patience_seconds) at the longest and then computes
//!   as well.
//! - A forked child has neither the table nor the locks of its parent. What the forking thread was computing, the child
//!   computes without waiting.

mod scope;
mod table;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::store::EntryKey;

pub use scope::Scope;
use table::{Entered, Landing, Outcome, Slot, table};

/// The shortest and the longest time between two looks at what another process does.
const DELAYS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Locks that exclude other processes, one per key.
pub trait KeyLocks: fmt::Debug + Send + Sync {
    /// The same for all handles of one store in a process.
    fn identity(&self) -> u64;

    /// Takes a lock if nobody has it.
    ///
    /// # Behavior
    /// - Never waits.
    /// - The lock is released when the process dies; a child of it does not hold it.
    /// - Taking a lock that this very handle has taken is allowed to succeed: the table of flights prevents it.
    fn try_lock(&self, number: u64) -> Lock;

    /// Releases a lock that this handle has taken.
    fn unlock(&self, number: u64);

    /// Releases all locks that this handle has taken, and what it holds to take them. Later locks are
    /// [`Lock::Unavailable`].
    fn close(&self) {}
}

/// What became of [`KeyLocks::try_lock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// It is the caller's.
    Taken,
    /// Somebody else has it.
    Held,
    /// There are no locks here: a file system without them, a directory that cannot be written.
    Unavailable,
}

/// The flights of one cache.
#[derive(Debug)]
pub struct Flights {
    store: u64,
    locks: Option<Arc<dyn KeyLocks>>,
    patience: Duration,
}

impl Flights {
    /// Flights that `locks` keeps apart between processes; without them, between threads only.
    #[must_use]
    pub fn new(locks: Option<Arc<dyn KeyLocks>>, patience: Duration) -> Self {
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

    fn try_begin(self: &Arc<Self>, slot: Slot, scope: &Scope) -> Attempt {
        if scope.is_inherited(slot) {
            return Attempt::Compute(Flight::alone(scope.clone()));
        }
        let landing = match table().enter(slot, scope.id()) {
            Entered::Begun(landing) => landing,
            Entered::Cycle => return Attempt::Compute(Flight::alone(scope.clone())),
            Entered::Running(landing) => return Attempt::Here(WaitHere { landing, inside: scope.id() }),
        };
        let lock = self.locks.as_ref().map_or(Lock::Unavailable, |locks| locks.try_lock(slot.number()));
        if lock == Lock::Held {
            table().end(slot, &landing, scope.id(), Outcome::Interrupted);
            return Attempt::Elsewhere;
        }
        let locks = self.locks.clone().filter(|_| lock == Lock::Taken);
        let scope = scope.entered(landing.id, slot);
        Attempt::Compute(Flight { scope, held: Some(Held { slot, landing, locks }) })
    }
}

/// What a caller is to do.
#[derive(Debug)]
pub enum Step {
    /// Compute, unless the entry is there by now.
    Compute(Flight),
    /// Look whether the entry is there now, and go on asking if not.
    LookAgain,
    /// Somebody else computes it.
    Wait,
}

enum Attempt {
    Compute(Flight),
    /// Another thread of this process computes.
    Here(WaitHere),
    /// Another process, or another handle, does.
    Elsewhere,
}

/// One caller's way to a value that is not there.
#[derive(Debug)]
pub struct Turn {
    flights: Arc<Flights>,
    slot: Slot,
    scope: Scope,
    here: Option<WaitHere>,
    elsewhere_since: Option<Instant>,
    look: bool,
    /// It has waited for a computation once, and computes for itself if that left nothing.
    waited: bool,
    delay: Duration,
}

impl Turn {
    /// A turn for `key`, of a caller that is part of what `scope` computes.
    #[must_use]
    pub fn new(flights: &Arc<Flights>, key: &EntryKey, scope: Scope) -> Self {
        Self {
            slot: flights.slot(key),
            flights: Arc::clone(flights),
            scope,
            here: None,
            elsewhere_since: None,
            look: false,
            waited: false,
            delay: DELAYS.0,
        }
    }

    /// What to do now. Never waits.
    pub fn step(&mut self) -> Step {
        if let Some(wait) = &self.here {
            match wait.outcome() {
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
            return Step::Compute(Flight::alone(self.scope.clone()));
        }
        match self.flights.try_begin(self.slot, &self.scope) {
            Attempt::Compute(flight) => Step::Compute(flight),
            Attempt::Here(wait) => {
                self.here = Some(wait);
                Step::Wait
            }
            Attempt::Elsewhere => {
                let since = *self.elsewhere_since.get_or_insert_with(Instant::now);
                if self.scope.is_inside() && since.elapsed() >= self.flights.patience {
                    log::info!("another process computes the same value for too long: computed here as well");
                    return Step::Compute(Flight::alone(self.scope.clone()));
                }
                self.look = true;
                Step::Wait
            }
        }
    }

    /// Blocks after [`Step::Wait`] until something may have changed, but not for longer than `at_most`.
    pub fn pause(&mut self, at_most: Duration) {
        match &self.here {
            Some(wait) => wait.block(at_most),
            None => std::thread::sleep(self.delay().min(at_most)),
        }
    }

    /// How long to wait after [`Step::Wait`] when nothing tells of a change. Grows with every call.
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
    /// Nobody waits for a flight without.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    slot: Slot,
    landing: Arc<Landing>,
    locks: Option<Arc<dyn KeyLocks>>,
}

impl Flight {
    fn alone(scope: Scope) -> Self {
        Self { scope, held: None }
    }

    /// Whether others wait for it. Those that would wait for themselves, or have waited in vain, compute alone.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.held.is_some()
    }

    /// What the computation is part of: for the turns of the calls that it makes.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope.clone()
    }

    /// The entry is there: those who wait look again.
    pub fn stored(mut self) {
        self.end(Outcome::Stored);
    }

    /// There is no entry and this caller will make none: those who wait compute for themselves.
    pub fn failed(mut self) {
        self.end(Outcome::Nothing);
    }

    fn end(&mut self, outcome: Outcome) {
        let Some(Held { slot, landing, locks }) = self.held.take() else { return };
        // A forked child holds nothing: neither the lock nor the place in the table are its own.
        if !landing.is_of_this_process() {
            return;
        }
        // First the lock, so that whoever is woken finds it free.
        if let Some(locks) = locks {
            locks.unlock(slot.number());
        }
        table().end(slot, &landing, self.scope.outer_id(), outcome);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.end(Outcome::Interrupted);
    }
}

/// Waits for another thread's flight. While it lives, the table knows that the caller's own flight cannot end before.
#[derive(Debug)]
struct WaitHere {
    landing: Arc<Landing>,
    inside: Option<u64>,
}

impl WaitHere {
    fn outcome(&self) -> Option<Outcome> {
        if self.landing.is_of_this_process() { self.landing.outcome() } else { Some(Outcome::Interrupted) }
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
