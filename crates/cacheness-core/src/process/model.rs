//! Threads that ask for a value at the same time.

use std::sync::Arc;

use loom::alloc::Track;
use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicUsize;
use loom::thread;

use super::*;
use crate::sync::model::check;

/// Loom knows who has written and who reads it, and whether it is dropped.
struct Made {
    by: UnsafeCell<u32>,
    _track: Track<()>,
}

#[allow(unsafe_code)]
// SAFETY: loom stops a model in which the cell is written and read at the same time.
unsafe impl Sync for Made {}

impl Made {
    fn new(by: u32) -> Self {
        let made = Self { by: UnsafeCell::new(0), _track: Track::new(()) };
        #[allow(unsafe_code)]
        // SAFETY: as above.
        made.by.with_mut(|place| unsafe { *place = by });
        made
    }

    fn by(&self) -> u32 {
        #[allow(unsafe_code)]
        // SAFETY: as above.
        self.by.with(|place| unsafe { *place })
    }
}

fn ask_at_the_same_time(value: PerProcess<Made>, threads: u32) {
    let (value, made) = (Arc::new(value), Arc::new(AtomicUsize::new(0)));
    let ask = |by: u32| {
        let (value, made) = (Arc::clone(&value), Arc::clone(&made));
        move || {
            let make = || {
                made.fetch_add(1, Ordering::Relaxed);
                Made::new(by)
            };
            let first = value.get_or_make(make);
            // Before anything is asked again, which would make up for an ordering that is too weak.
            let by = first.by();
            assert!(std::ptr::eq(first, value.get_or_make(|| unreachable!())));
            by
        }
    };
    let others: Vec<_> = (1..threads).map(|by| thread::spawn(ask(by))).collect();
    let seen = ask(0)();
    for other in others {
        assert_eq!(other.join().expect("joined"), seen, "all have the same one");
    }
    assert!(made.load(Ordering::Relaxed) >= 1);
}

#[test]
fn all_threads_have_one_value_and_the_others_are_dropped() {
    check(4, || ask_at_the_same_time(PerProcess::new(), 3));
}

#[test]
fn threads_of_a_child_leave_what_it_inherited() {
    check(4, || {
        // Reached through a pointer only, as what another process has made.
        let inherited = Box::into_raw(Box::new(Slot { forks: forks() + 1, value: Made::new(99) }));
        let value = PerProcess { slot: AtomicPtr::new(inherited), owns: std::marker::PhantomData };
        ask_at_the_same_time(value, 2);
        #[allow(unsafe_code)]
        // SAFETY: nobody has freed it, or loom says so: it is tracked.
        let inherited = unsafe { Box::from_raw(inherited) };
        assert_eq!(inherited.value.by(), 99);
    });
}
