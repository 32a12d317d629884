//! Threads that request a value at the same time.

use std::sync::Arc;

use loom::alloc::Track;
use loom::cell::UnsafeCell;
use loom::thread;

use super::*;
use crate::sync::model::check;

/// Loom tracks its writer and readers, and whether it is dropped.
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
    let value = Arc::new(value);
    let ask = |by: u32| {
        let value = Arc::clone(&value);
        move || {
            let first = value.get_or_make(|| Made::new(by));
            // Before another request, which would hide an ordering that is too weak.
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
}

#[test]
fn all_threads_have_one_value_and_the_others_are_dropped() {
    check(4, || ask_at_the_same_time(PerProcess::new(), 3));
}

/// Calls `child` with a value of another process, which must survive.
fn inherit(child: impl FnOnce(PerProcess<Made>)) {
    // Accessed through a pointer only, like an inherited value.
    let inherited = Box::into_raw(Box::new(Slot { forks: forks() + 1, value: Made::new(99) }));
    child(PerProcess { slot: AtomicPtr::new(inherited), owns: std::marker::PhantomData });
    #[allow(unsafe_code)]
    // SAFETY: it comes from a box and was not freed, or this test crashes.
    let inherited = unsafe { Box::from_raw(inherited) };
    assert_eq!(inherited.value.by(), 99);
}

#[test]
fn threads_of_a_child_leave_what_it_inherited() {
    check(4, || {
        inherit(|value| ask_at_the_same_time(value, 2));
        inherit(drop);
    });
}
