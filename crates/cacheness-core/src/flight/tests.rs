use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;
use std::thread;

use super::*;
use crate::backends::LockFile;
use crate::error::{Error, ErrorKind, Result};

const LONG: Duration = Duration::from_secs(60);

fn memory() -> Arc<Flights> {
    Arc::new(Flights::new(None, LONG))
}

fn key(name: &str) -> EntryKey {
    EntryKey::from_name(name).unwrap()
}

fn flight(flights: &Arc<Flights>, name: &str, scope: Scope) -> Flight {
    match Turn::new(flights, &key(name), scope).step() {
        Step::Compute(flight) => flight,
        other => panic!("{other:?}"),
    }
}

/// Waits until the next step is not to wait.
fn wait(turn: &mut Turn) -> Step {
    loop {
        match turn.step() {
            Step::Wait => turn.pause(LONG),
            other => return other,
        }
    }
}

#[test]
fn those_who_wait_look_again_once_it_is_stored() {
    let flights = memory();
    let first = flight(&flights, "a", Scope::outside());
    assert!(first.is_shared());
    let mut turn = Turn::new(&flights, &key("a"), Scope::outside());
    assert!(matches!(turn.step(), Step::Wait));
    assert!(flight(&flights, "b", Scope::outside()).is_shared(), "another key does not wait");
    let waiting = thread::spawn(move || {
        assert!(matches!(wait(&mut turn), Step::LookAgain));
        // The entry was removed again: no second wait.
        matches!(turn.step(), Step::Compute(flight) if !flight.is_shared())
    });
    first.stored();
    assert!(waiting.join().unwrap());
    assert!(table().is_empty_of(flights.store));
}

#[test]
fn after_a_failure_all_compute_and_after_an_interruption_one() {
    let flights = memory();
    for (fails, shared) in [(true, 0), (false, 1)] {
        let first = flight(&flights, "a", Scope::outside());
        let mut turns: Vec<Turn> = (0..4).map(|_| Turn::new(&flights, &key("a"), Scope::outside())).collect();
        assert!(turns.iter_mut().all(|turn| matches!(turn.step(), Step::Wait)));
        if fails {
            first.failed();
        } else {
            drop(first);
        }
        let steps: Vec<Step> = turns.iter_mut().map(Turn::step).collect();
        let computing = steps.iter().filter(|step| matches!(step, Step::Compute(_))).count();
        assert_eq!(computing, if fails { 4 } else { 1 });
        let sharing = steps.iter().filter(|step| matches!(step, Step::Compute(flight) if flight.is_shared())).count();
        assert_eq!(sharing, shared);
        drop((steps, turns));
    }
    assert!(table().is_empty_of(flights.store));
}

#[test]
fn recursion_and_cycles_compute_alone() {
    let flights = memory();
    let a = flight(&flights, "a", Scope::outside());
    assert!(!flight(&flights, "a", a.scope()).is_shared(), "recursion");
    let inner = flight(&flights, "inner", a.scope());
    assert!(inner.is_shared());
    assert!(!flight(&flights, "a", inner.scope()).is_shared(), "mutual recursion");
    // Another computation waits for this one, which would wait for it.
    let b = flight(&flights, "b", Scope::outside());
    let mut b_waits = Turn::new(&flights, &key("inner"), b.scope());
    assert!(matches!(b_waits.step(), Step::Wait));
    assert!(!flight(&flights, "b", inner.scope()).is_shared(), "a cycle of two");
    // Part of the same computation, and no cycle: it waits.
    let mut sibling = Turn::new(&flights, &key("inner"), a.scope());
    assert!(matches!(sibling.step(), Step::Wait));
    drop(b_waits);
    let mut a_waits = Turn::new(&flights, &key("b"), a.scope());
    assert!(matches!(a_waits.step(), Step::Wait), "the cycle is gone");
}

#[test]
fn threads_that_nest_in_opposite_orders_do_not_block_each_other() {
    let flights = memory();
    let names = ["a", "b", "c"];
    let barrier = Barrier::new(names.len());
    thread::scope(|scope| {
        for first in 0..names.len() {
            let (flights, barrier) = (&flights, &barrier);
            scope.spawn(move || {
                let outer = flight(flights, names[first], Scope::outside());
                barrier.wait();
                outer.run(|| {
                    let mut turn = Turn::new(flights, &key(names[(first + 1) % 3]), Scope::current());
                    if let Step::Compute(inner) = wait(&mut turn) {
                        inner.stored();
                    }
                });
                assert!(!Scope::current().is_inside());
                outer.stored();
            });
        }
    });
    assert!(table().is_empty_of(flights.store));
}

#[test]
fn one_of_many_threads_computes() {
    let flights = memory();
    let (computed, stored) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let barrier = Barrier::new(16);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                barrier.wait();
                let mut turn = Turn::new(&flights, &key("a"), Scope::current());
                loop {
                    let step = wait(&mut turn);
                    if stored.load(Ordering::SeqCst) == 1 {
                        return;
                    }
                    if let Step::Compute(flight) = step {
                        computed.fetch_add(1, Ordering::SeqCst);
                        stored.store(1, Ordering::SeqCst);
                        flight.stored();
                        return;
                    }
                }
            });
        }
    });
    assert_eq!(computed.into_inner(), 1);
}

fn lock_file(directory: &Path) -> Arc<Flights> {
    Arc::new(Flights::new(Some(Arc::new(LockFile::new(directory))), LONG))
}

#[test]
fn handles_of_one_directory_meet_in_the_table() {
    let directory = tempfile::tempdir().unwrap();
    // By any path of the directory.
    let (one, other) = (lock_file(directory.path()), lock_file(&directory.path().join(".")));
    let first = flight(&one, "a", Scope::outside());
    let mut turn = Turn::new(&other, &key("a"), Scope::outside());
    assert!(matches!(turn.step(), Step::Wait));
    first.stored();
    assert!(matches!(turn.step(), Step::LookAgain));
}

/// Holds it like another process: unknown to the table.
fn held_elsewhere(directory: &Path, name: &str) -> LockGuard {
    let number = Flights::new(None, LONG).slot(&key(name)).number();
    match LockFile::new(directory).acquire(number, Duration::ZERO).unwrap() {
        Acquired::Held(guard) => guard,
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_process_is_waited_for_and_taken_over_from() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = held_elsewhere(directory.path(), "a");
    let flights = Arc::new(Flights::new(Some(Arc::new(LockFile::new(directory.path()))), Duration::ZERO));
    let mut turn = Turn::new(&flights, &key("a"), Scope::outside());
    for _ in 0..3 {
        assert!(matches!(turn.step(), Step::Wait));
        turn.pause(Duration::ZERO);
        assert!(matches!(turn.step(), Step::LookAgain), "each time");
    }
    assert!(turn.delay() <= DELAYS.1);
    // Inside a computation the patience is limited: here it is zero.
    let outer = flight(&flights, "outer", Scope::outside());
    assert!(!flight(&flights, "a", outer.scope()).is_shared());
    drop(elsewhere);
    assert!(matches!(turn.step(), Step::Compute(flight) if flight.is_shared()));
    drop(turn);
    assert!(flight(&flights, "a", Scope::outside()).is_shared());
}

#[test]
fn a_thread_that_blocks_keeps_the_lock_that_it_acquires() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = held_elsewhere(directory.path(), "a");
    let flights = lock_file(directory.path());
    let mut turn = Turn::new(&flights, &key("a"), Scope::outside());
    assert!(matches!(turn.step(), Step::Wait));
    let (blocking, released) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            blocking.wait();
            turn.pause(LONG);
            released.wait();
            assert!(matches!(turn.step(), Step::Compute(flight) if flight.is_shared()), "at once");
        });
        blocking.wait();
        drop(elsewhere);
        released.wait();
    });
    assert!(table().is_empty_of(flights.store));
}

#[test]
fn a_caller_inside_a_flight_does_not_wait_behind_one_that_waits_for_another_process() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = held_elsewhere(directory.path(), "a");
    let patient = lock_file(directory.path());
    let impatient = Arc::new(Flights::new(Some(Arc::new(LockFile::new(directory.path()))), Duration::ZERO));
    let mut first = Turn::new(&patient, &key("a"), Scope::outside());
    assert!(matches!(first.step(), Step::Wait));
    thread::scope(|scope| {
        scope.spawn(|| first.pause(LONG));
        let outer = flight(&impatient, "outer", Scope::outside());
        for _ in 0..20 {
            let mut turn = Turn::new(&impatient, &key("a"), outer.scope());
            // Works whether or not the other thread already blocks.
            let alone = loop {
                match turn.step() {
                    Step::Compute(flight) => break !flight.is_shared(),
                    _ => turn.pause(DELAYS.0),
                }
            };
            assert!(alone);
        }
        drop(elsewhere);
    });
}

#[test]
fn without_locks_threads_still_exclude_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let flights = lock_file(&directory.path().join("not there"));
    let first = flight(&flights, "a", Scope::outside());
    assert!(first.is_shared());
    assert!(matches!(Turn::new(&flights, &key("a"), Scope::outside()).step(), Step::Wait));
    first.stored();
}

/// Locks whose connection is down.
#[derive(Debug)]
struct Unreachable;

impl Locks for Unreachable {
    fn name(&self) -> &'static str {
        "unreachable"
    }

    fn identity(&self) -> u64 {
        u64::MAX
    }

    fn acquire(&self, _number: u64, _timeout: Duration) -> Result<Acquired> {
        Err(Error::new(ErrorKind::Storage, "the server does not answer"))
    }

    fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn locks_that_fail_exclude_threads_only() {
    let flights = Arc::new(Flights::new(Some(Arc::new(Unreachable)), LONG));
    let first = flight(&flights, "a", Scope::outside());
    assert!(first.is_shared());
    assert!(matches!(Turn::new(&flights, &key("a"), Scope::outside()).step(), Step::Wait));
    first.stored();
}

#[test]
fn a_panic_lets_another_take_over() {
    let flights = memory();
    let shared = Arc::clone(&flights);
    let panicked = thread::spawn(move || flight(&shared, "a", Scope::outside()).run(|| panic!("on purpose")));
    assert!(panicked.join().is_err());
    assert!(flight(&flights, "a", Scope::outside()).is_shared());
}
