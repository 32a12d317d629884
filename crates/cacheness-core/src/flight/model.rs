//! Callers that miss the same entries, in all orders. Loom reports a caller that never wakes up.

use std::sync::atomic::AtomicBool;

use loom::thread;

use super::*;
use crate::backend::Release;
use crate::error::Result;
use crate::sync::model::check;
use crate::sync::{Condvar, Mutex};

const LONG: Duration = Duration::from_secs(60);

/// A miniature cache: which keys have a value, and how often they were computed.
#[derive(Debug, Default)]
struct Cache {
    stored: Mutex<Vec<&'static str>>,
    computed: Mutex<Vec<&'static str>>,
}

impl Cache {
    fn has(&self, name: &str) -> bool {
        self.stored.lock().contains(&name)
    }
}

/// The result of a computation that others wait for.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Stored,
    Failed,
    Interrupted,
}

/// Like `get_or_compute`.
fn get(flights: &Arc<Flights>, cache: &Cache, names: &[&'static str], scope: Scope, end: End) {
    let Some((name, inner)) = names.split_first() else { return };
    if cache.has(name) {
        return;
    }
    let mut turn = Turn::new(flights, &EntryKey::from_name(*name).expect("a name"), scope);
    let flight = loop {
        match turn.step() {
            Step::Compute(flight) => break flight,
            Step::LookAgain if cache.has(name) => return,
            Step::LookAgain => {}
            Step::Wait => turn.pause(LONG),
        }
    };
    drop(turn);
    if cache.has(name) {
        return flight.stored();
    }
    get(flights, cache, inner, flight.scope(), End::Stored);
    cache.computed.lock().push(name);
    match end {
        End::Stored => {
            cache.stored.lock().push(name);
            flight.stored();
        }
        End::Failed => flight.failed(),
        End::Interrupted => drop(flight),
    }
}

/// The names that a caller gets, nested, and the result of its first computation.
type Caller = (&'static [&'static str], End);

const ONE: Caller = (&["a"], End::Stored);

/// Each caller gets its names. Returns the computations.
fn run(locks: Option<Arc<dyn Locks>>, callers: &[Caller]) -> Vec<&'static str> {
    run_in(&[Arc::new(Flights { store: 0, locks, patience: LONG })], callers)
}

/// The same with the callers spread over processes: callers of different ones meet at the locks only.
fn run_in(processes: &[Arc<Flights>], callers: &[Caller]) -> Vec<&'static str> {
    let cache = Arc::new(Cache::default());
    let call = |at: usize| {
        let (flights, cache) = (Arc::clone(&processes[at % processes.len()]), Arc::clone(&cache));
        let (names, end) = callers[at];
        move || get(&flights, &cache, names, Scope::outside(), end)
    };
    let others: Vec<_> = (1..callers.len()).map(|at| thread::spawn(call(at))).collect();
    call(0)();
    others.into_iter().for_each(|other| other.join().expect("joined"));
    assert!(table().is_empty(), "nothing is left in the table");
    let mut computed = std::mem::take(&mut *cache.computed.lock());
    computed.sort_unstable();
    computed
}

#[test]
fn one_of_three_computes() {
    check(3, || assert_eq!(run(None, &[ONE; 3]), ["a"]));
}

#[test]
fn after_an_interruption_one_takes_over() {
    check(3, || {
        let computed = run(None, &[(&["a"], End::Interrupted), (&["a"], End::Stored), (&["a"], End::Stored)]);
        // The interrupted caller computes unless it came last.
        assert!(matches!(computed.len(), 1 | 2), "{computed:?}");
    });
}

#[test]
fn after_a_failure_nobody_waits_again() {
    check(3, || {
        let computed = run(None, &[(&["a"], End::Failed), (&["a"], End::Stored), (&["a"], End::Stored)]);
        assert!((1..=3).contains(&computed.len()), "{computed:?}");
    });
}

#[test]
fn two_that_nest_in_opposite_orders_both_end() {
    check(3, || {
        let computed = run(None, &[(&["a", "b"], End::Stored), (&["b", "a"], End::Stored)]);
        // If each would wait for the other, one of them computes the same as the other.
        assert!((2..=4).contains(&computed.len()), "{computed:?}");
    });
}

#[test]
fn a_circle_is_found_through_what_a_flight_has_begun() {
    check(3, || {
        let computed = run(None, &[(&["a", "between", "b"], End::Stored), (&["b", "a"], End::Stored)]);
        // No other computation is involved if `a` is first computed inside `b`.
        assert!((2..=5).contains(&computed.len()), "{computed:?}");
    });
}

#[test]
fn three_that_nest_in_a_circle_all_end() {
    check(2, || {
        let circle: &[Caller] = &[(&["a", "b"], End::Stored), (&["b", "c"], End::Stored), (&["c", "a"], End::Stored)];
        let computed = run(None, circle);
        assert!((3..=6).contains(&computed.len()), "{computed:?}");
    });
}

/// One lock for all numbers.
#[derive(Debug)]
struct OneLock(Arc<State>);

#[derive(Debug)]
struct State {
    held: Mutex<bool>,
    released: Condvar,
    /// A caller found it held.
    contended: AtomicBool,
}

impl OneLock {
    fn new() -> Self {
        let (held, released) = (Mutex::new(false), Condvar::new());
        Self(Arc::new(State { held, released, contended: AtomicBool::new(false) }))
    }
}

impl Locks for OneLock {
    fn name(&self) -> &'static str {
        "one"
    }

    fn identity(&self) -> u64 {
        0
    }

    fn acquire(&self, _number: u64, timeout: Duration) -> Result<Acquired> {
        let mut held = self.0.held.lock();
        while *held {
            self.0.contended.store(true, Ordering::Relaxed);
            if timeout.is_zero() {
                return Ok(Acquired::TimedOut);
            }
            self.0.released.wait_for(&mut held, timeout);
        }
        *held = true;
        Ok(Acquired::Held(LockGuard::new(HeldLock(Arc::clone(&self.0)))))
    }

    fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct HeldLock(Arc<State>);

impl Release for HeldLock {
    fn release(&mut self) -> Result<()> {
        assert!(std::mem::take(&mut *self.0.held.lock()), "only the owner unlocks");
        self.0.released.notify_all();
        Ok(())
    }
}

#[test]
fn who_is_woken_finds_the_lock_free() {
    check(3, || {
        let locks = Arc::new(OneLock::new());
        let computed = run(Some(locks.clone()), &[(&["a"], End::Interrupted), (&["a"], End::Stored)]);
        assert!(matches!(computed.len(), 1 | 2), "{computed:?}");
        assert!(!locks.0.contended.load(Ordering::Relaxed), "one process never finds the lock taken");
        assert!(!*locks.0.held.lock(), "it is free in the end");
    });
}

fn run_in_two_processes(callers: &[Caller]) -> Vec<&'static str> {
    let locks = Arc::new(OneLock::new());
    let process = |store| Arc::new(Flights { store, locks: Some(locks.clone()), patience: LONG });
    let computed = run_in(&[process(0), process(1)], callers);
    assert!(!*locks.0.held.lock(), "it is free in the end");
    computed
}

#[test]
fn one_of_two_processes_computes() {
    check(3, || assert_eq!(run_in_two_processes(&[ONE; 2]), ["a"]));
}

#[test]
fn one_of_two_processes_computes_where_one_has_two_threads() {
    check(2, || assert_eq!(run_in_two_processes(&[ONE; 3]), ["a"]));
}

#[test]
fn another_process_takes_over() {
    check(3, || {
        let computed = run_in_two_processes(&[(&["a"], End::Interrupted), ONE]);
        assert!(matches!(computed.len(), 1 | 2), "{computed:?}");
    });
}
