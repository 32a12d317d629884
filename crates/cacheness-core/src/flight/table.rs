//! The flights of this process, and their dependencies.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::process::forks;
use crate::sync::{AtomicU8, Condvar, Mutex, per_process};

per_process!(static TABLE: Table);
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The table of this process; a forked child starts with an empty one.
pub(super) fn table() -> &'static Table {
    TABLE.get_or_make(Table::default)
}

/// The subject of a flight: a key of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    pub(super) store: u64,
    pub(super) key: u128,
}

impl Slot {
    /// The number of the lock between processes. Two keys with one number exclude each other needlessly, which does no
    /// harm.
    #[allow(clippy::cast_possible_truncation)] // the low half is as random as the whole
    pub(super) fn number(self) -> u64 {
        self.key as u64
    }
}

/// How a flight ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The entry is there.
    Stored = 1,
    /// There is none.
    Nothing = 2,
    /// Unknown: another caller should try.
    Interrupted = 3,
}

/// The state of a flight on which callers wait.
#[derive(Debug)]
pub(super) struct Landing {
    pub(super) id: u64,
    forks: u64,
    /// 0 while it runs, else an [`Outcome`]; changes under the table's lock.
    outcome: AtomicU8,
    ended: Condvar,
    /// Its caller waits for another process.
    elsewhere: AtomicBool,
}

impl Landing {
    pub(super) fn is_of_this_process(&self) -> bool {
        self.forks == forks()
    }

    pub(super) fn is_elsewhere(&self) -> bool {
        self.elsewhere.load(Ordering::Relaxed)
    }

    pub(super) fn set_elsewhere(&self, elsewhere: bool) {
        self.elsewhere.store(elsewhere, Ordering::Relaxed);
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self.outcome.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Outcome::Stored),
            2 => Some(Outcome::Nothing),
            _ => Some(Outcome::Interrupted),
        }
    }
}

/// The result of [`Table::enter`].
pub(super) enum Entered {
    /// The caller owns the flight.
    Begun(Arc<Landing>),
    /// Another caller owns it. This one is recorded as waiting, until [`Table::leave`].
    Running(Arc<Landing>),
    /// Another caller owns it, which waits for this one.
    Cycle,
}

#[derive(Debug, Default)]
pub(super) struct Table(Mutex<Flying>);

#[derive(Debug, Default)]
struct Flying {
    running: HashMap<Slot, Arc<Landing>>,
    /// The flights that a flight cannot end before: those that its computation began and those it waits for.
    before: HashMap<u64, Vec<u64>>,
}

impl Flying {
    fn note(&mut self, flight: Option<u64>, first: u64) {
        if let Some(flight) = flight {
            self.before.entry(flight).or_default().push(first);
        }
    }

    fn forget(&mut self, flight: Option<u64>, first: u64) {
        let Some(flight) = flight else { return };
        if let Some(list) = self.before.get_mut(&flight) {
            if let Some(at) = list.iter().position(|id| *id == first) {
                list.swap_remove(at);
            }
            if list.is_empty() {
                self.before.remove(&flight);
            }
        }
    }

    /// Whether `flight` cannot end before `other`.
    fn needs(&self, flight: u64, other: u64) -> bool {
        let mut seen = HashSet::new();
        let mut open = vec![flight];
        while let Some(next) = open.pop() {
            if next == other {
                return true;
            }
            if seen.insert(next) {
                open.extend(self.before.get(&next).into_iter().flatten());
            }
        }
        false
    }
}

impl Table {
    /// Begins the flight of `slot` inside the flight `inside`, or finds the one that runs.
    pub(super) fn enter(&self, slot: Slot, inside: Option<u64>) -> Entered {
        let mut flying = self.0.lock();
        if let Some(landing) = flying.running.get(&slot) {
            let landing = Arc::clone(landing);
            if inside.is_some_and(|inside| flying.needs(landing.id, inside)) {
                return Entered::Cycle;
            }
            flying.note(inside, landing.id);
            return Entered::Running(landing);
        }
        let landing = Arc::new(Landing {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            forks: forks(),
            outcome: AtomicU8::new(0),
            ended: Condvar::new(),
            elsewhere: AtomicBool::new(false),
        });
        flying.running.insert(slot, Arc::clone(&landing));
        flying.note(inside, landing.id);
        Entered::Begun(landing)
    }

    /// Ends a flight that [`Table::enter`] has begun inside `inside`.
    pub(super) fn end(&self, slot: Slot, landing: &Landing, inside: Option<u64>, outcome: Outcome) {
        let mut flying = self.0.lock();
        flying.running.remove(&slot);
        flying.forget(inside, landing.id);
        landing.outcome.store(outcome as u8, Ordering::Release);
        landing.ended.notify_all();
    }

    /// Blocks until the flight has ended, but not for longer than `at_most`.
    pub(super) fn wait(&self, landing: &Landing, at_most: Duration) {
        let mut flying = self.0.lock();
        if landing.outcome().is_none() {
            landing.ended.wait_for(&mut flying, at_most);
        }
    }

    /// A caller inside `inside` no longer waits for the flight `id`.
    pub(super) fn leave(&self, id: u64, inside: Option<u64>) {
        if inside.is_some() {
            self.0.lock().forget(inside, id);
        }
    }

    /// No flight runs, and no caller waits.
    #[cfg(all(test, loom))]
    pub(super) fn is_empty(&self) -> bool {
        let flying = self.0.lock();
        flying.running.is_empty() && flying.before.is_empty()
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn is_empty_of(&self, store: u64) -> bool {
        !self.0.lock().running.keys().any(|slot| slot.store == store)
    }
}
