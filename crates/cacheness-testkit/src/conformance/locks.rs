//! The behaviour of every backend of locks.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cacheness_core::backend::{Acquired, LockGuard, Locks};

use super::{Check, LocksFixture};
use crate::child::Child;

/// The checks of a backend of locks.
pub const CHECKS: &[Check<LocksFixture>] = &[
    ("all handles of a store have one identity", identity),
    ("a lock is exclusive between handles", exclusive),
    ("a wait ends at its timeout, not before", times_out),
    ("a lock is released on drop and on request", released),
    ("a waiting caller acquires a released lock", waits),
    ("of many threads with their own handles only one holds the lock", many),
    ("a lock is released when the process that holds it dies", process_dies),
    ("a forked child keeps no lock alive", not_inherited),
    ("a forked child does not release its parent's lock", not_released_by_children),
    ("a forked child acquires its own locks", acquired_by_children),
    ("closing releases locks, ends waits and may be repeated", closed),
    ("the guard of a closed handle does not release another's lock", guard_outlives_close),
];

/// Numbers like those of keys: any bit may be set.
const NUMBERS: [u64; 5] = [0, 0x10, 0x7fff_ffff_ffff_fff0, 0x8000_0000_0000_0000, u64::MAX];
const ONE: u64 = 0x0123_4567_89ab_cdef;

const NOW: Duration = Duration::ZERO;
/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

fn held(locks: &dyn Locks, number: u64, timeout: Duration) -> LockGuard {
    match locks.acquire(number, timeout).expect("locks that answer") {
        Acquired::Held(guard) => guard,
        other => panic!("{number:#x}: {other:?}"),
    }
}

fn is_busy(locks: &dyn Locks, number: u64) -> bool {
    matches!(locks.acquire(number, NOW).expect("locks that answer"), Acquired::TimedOut)
}

fn identity(fixture: &LocksFixture) {
    let (one, other) = ((fixture.open)(), (fixture.open)());
    assert_eq!(one.identity(), other.identity());
    assert_eq!(one.name(), other.name());
    assert!(!one.name().is_empty());
}

fn exclusive(fixture: &LocksFixture) {
    let (one, other) = ((fixture.open)(), (fixture.open)());
    for number in NUMBERS {
        let guard = held(&*one, number, NOW);
        for any in NUMBERS {
            assert_eq!(is_busy(&*other, any), any == number, "{any:#x} while {number:#x} is held");
        }
        drop(guard);
    }
    let all: Vec<_> = NUMBERS.iter().map(|number| held(&*one, *number, NOW)).collect();
    assert!(NUMBERS.iter().all(|number| is_busy(&*other, *number)));
    drop(all);
    assert!(!NUMBERS.iter().any(|number| is_busy(&*other, *number)));
}

fn times_out(fixture: &LocksFixture) {
    let (one, other) = ((fixture.open)(), (fixture.open)());
    let _guard = held(&*one, ONE, NOW);
    for millis in [0, 1, 20] {
        let (begun, timeout) = (Instant::now(), Duration::from_millis(millis));
        assert!(matches!(other.acquire(ONE, timeout).expect("locks that answer"), Acquired::TimedOut));
        assert!(begun.elapsed() >= timeout);
    }
}

fn released(fixture: &LocksFixture) {
    let (one, other) = ((fixture.open)(), (fixture.open)());
    for _ in 0..3 {
        drop(held(&*one, ONE, NOW));
        let guard = held(&*other, ONE, NOW);
        assert!(is_busy(&*one, ONE));
        guard.release().expect("released");
    }
    // A guard may outlive its handle, with or without the lock; the lock is never left behind.
    let guard = held(&*one, ONE, NOW);
    drop((one, guard));
    drop(held(&*other, ONE, LONG));
}

fn waits(fixture: &LocksFixture) {
    let (one, other) = ((fixture.open)(), (fixture.open)());
    let guard = held(&*one, ONE, NOW);
    let waiting = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            waiting.wait();
            drop(held(&*other, ONE, LONG));
        });
        waiting.wait();
        assert!(is_busy(&*(fixture.open)(), ONE));
        guard.release().expect("released");
    });
}

fn many(fixture: &LocksFixture) {
    let busy = AtomicBool::new(false);
    let handles: Vec<_> = (0..4).map(|_| (fixture.open)()).collect();
    std::thread::scope(|scope| {
        for locks in &handles {
            scope.spawn(|| {
                for _ in 0..20 {
                    let guard = held(&**locks, ONE, LONG);
                    assert!(!busy.swap(true, Ordering::SeqCst), "two threads hold one lock");
                    std::thread::yield_now();
                    busy.store(false, Ordering::SeqCst);
                    drop(guard);
                }
            });
        }
    });
}

fn process_dies(fixture: &LocksFixture) {
    let locks = (fixture.open)();
    let (child, mut line) = Child::with_line(|line| {
        let _guard = held(&*(fixture.open)(), ONE, NOW);
        line.send();
        line.wait();
    });
    line.wait();
    assert!(is_busy(&*locks, ONE));
    child.kill();
    drop(held(&*locks, ONE, LONG));
}

fn not_inherited(fixture: &LocksFixture) {
    let (one, other) = ((fixture.open)(), (fixture.open)());
    let guard = held(&*one, ONE, NOW);
    let (child, mut line) = Child::with_line(|line| {
        line.send();
        line.wait();
    });
    line.wait();
    guard.release().expect("released");
    drop(held(&*other, ONE, NOW));
    line.send();
    child.join();
}

fn not_released_by_children(fixture: &LocksFixture) {
    let (one, other) = ((fixture.open)(), (fixture.open)());
    let mut guard = Some(held(&*one, ONE, NOW));
    for how in 0..3 {
        let (child, mut line) = Child::with_line(|line| {
            match how {
                0 => drop(guard.take()),
                1 => guard.take().expect("there").release().expect("nothing to release"),
                _ => one.close().expect("closed"),
            }
            line.send();
            line.wait();
        });
        line.wait();
        assert!(is_busy(&*other, ONE), "while the child lives");
        line.send();
        child.join();
        assert!(is_busy(&*other, ONE), "after its exit");
    }
    drop(guard);
    drop(held(&*other, ONE, NOW));
}

fn acquired_by_children(fixture: &LocksFixture) {
    let (one, other) = ((fixture.open)(), (fixture.open)());
    let mut inherited = Some(held(&*one, ONE, NOW));
    let (child, mut line) = Child::with_line(|line| {
        // Through the handle of the parent, which holds another lock.
        assert!(is_busy(&*one, ONE), "the parent holds it");
        line.send();
        line.wait();
        let own = held(&*one, ONE, NOW);
        drop(inherited.take());
        assert!(is_busy(&*(fixture.open)(), ONE), "the child holds its own lock, whatever happens to inherited ones");
        line.send();
        line.wait();
        drop(own);
    });
    line.wait();
    drop(inherited);
    line.send();
    line.wait();
    assert!(is_busy(&*one, ONE) && is_busy(&*other, ONE));
    line.send();
    child.join();
    drop(held(&*other, ONE, NOW));
}

fn closed(fixture: &LocksFixture) {
    let (one, other, third) = ((fixture.open)(), (fixture.open)(), (fixture.open)());
    let _guard = held(&*one, ONE, NOW);
    let waiting = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            waiting.wait();
            let ended = other.acquire(ONE, LONG).expect("locks that answer");
            assert!(matches!(ended, Acquired::Unavailable), "{ended:?}");
        });
        waiting.wait();
        for _ in 0..2 {
            other.close().expect("closed");
        }
    });
    one.close().expect("closed");
    assert!(matches!(one.acquire(NUMBERS[1], NOW).expect("locks that answer"), Acquired::Unavailable));
    drop(held(&*third, ONE, NOW));
}

fn guard_outlives_close(fixture: &LocksFixture) {
    let (one, other, third) = ((fixture.open)(), (fixture.open)(), (fixture.open)());
    let guard = held(&*one, ONE, NOW);
    one.close().expect("closed");
    let _of_another = held(&*other, ONE, NOW);
    guard.release().expect("nothing to release");
    assert!(is_busy(&*third, ONE));
}
