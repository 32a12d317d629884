//! Detection of forks without a system call each time.
//!
//! A forked child has no other threads, and a lock that one of them held is never released there. Values with threads or
//! locks are therefore kept in a [`PerProcess`]; a child creates its own.

use std::sync::atomic::Ordering;

use crate::sync::AtomicPtr;

/// The number of forks between the first process that called this and the calling one.
#[must_use]
pub fn forks() -> u64 {
    use std::sync::Once;
    use std::sync::atomic::AtomicU64;

    static FORKS: AtomicU64 = AtomicU64::new(0);
    static REGISTERED: Once = Once::new();

    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }

    REGISTERED.call_once(|| {
        #[allow(unsafe_code)]
        // SAFETY: the handler only counts.
        unsafe {
            in_children(in_child);
        }
    });
    FORKS.load(Ordering::Relaxed)
}

/// Registers `handler` to run in every child forked from now on, before any other code.
///
/// # Safety
/// `handler` does only what is safe after a fork: atomics and system calls.
#[allow(unsafe_code)]
pub unsafe fn in_children(handler: extern "C" fn()) {
    // Miri supports neither forks nor this function.
    if cfg!(miri) {
        return;
    }
    // SAFETY: the caller guarantees the handler's safety, and no runtime unloads this library.
    let result = unsafe { libc::pthread_atfork(None, None, Some(handler)) };
    assert_eq!(result, 0, "pthread_atfork fails only without memory");
}

struct Slot<T> {
    forks: u64,
    value: T,
}

/// A value that each process creates at its first use.
///
/// A child neither uses nor drops the inherited value: a thread that no longer exists may have left it half changed.
pub struct PerProcess<T> {
    slot: AtomicPtr<Slot<T>>,
    /// Drops and shares a `T`, as far as the compiler can see.
    owns: std::marker::PhantomData<T>,
}

impl<T: Send + Sync> PerProcess<T> {
    /// Nothing yet.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { slot: AtomicPtr::new(std::ptr::null_mut()), owns: std::marker::PhantomData }
    }

    /// Nothing yet. Loom cannot create it at compile time.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self { slot: AtomicPtr::new(std::ptr::null_mut()), owns: std::marker::PhantomData }
    }

    /// This process's value, created by `make` at the first use.
    #[allow(unsafe_code)]
    pub fn get_or_make(&self, make: impl FnOnce() -> T) -> &T {
        let forks = forks();
        let current = self.slot.load(Ordering::Acquire);
        // SAFETY: the pointer is null or comes from `Box::into_raw` below, and is freed by `drop` at the earliest.
        if let Some(slot) = unsafe { current.as_ref() }
            && slot.forks == forks
        {
            return &slot.value;
        }
        let fresh = Box::into_raw(Box::new(Slot { forks, value: make() }));
        match self.slot.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: as above.
            Ok(_) => unsafe { &(*fresh).value },
            Err(other) => {
                // SAFETY: no other thread has seen `fresh`, and only a thread of this process can have been faster.
                unsafe {
                    drop(Box::from_raw(fresh));
                    &(*other).value
                }
            }
        }
    }
}

impl<T: Send + Sync> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for PerProcess<T> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // No other reference exists: equivalent to `get_mut`, which loom does not have.
        let slot = self.slot.load(Ordering::Relaxed);
        // SAFETY: the pointer is null or comes from `Box::into_raw`; no borrow of `self` can exist any more.
        unsafe {
            if slot.as_ref().is_some_and(|slot| slot.forks == forks()) {
                drop(Box::from_raw(slot));
            }
        }
    }
}

impl<T> std::fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PerProcess").finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod model;

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Counts the existing values, in memory of its own.
    struct Made<'a> {
        by: Box<usize>,
        there: &'a AtomicUsize,
    }

    impl<'a> Made<'a> {
        fn new(by: usize, there: &'a AtomicUsize) -> Self {
            there.fetch_add(1, Ordering::Relaxed);
            Self { by: Box::new(by), there }
        }
    }

    impl Drop for Made<'_> {
        fn drop(&mut self) {
            self.there.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_value_is_made_once() {
        let value = PerProcess::new();
        let first: *const Vec<u8> = value.get_or_make(|| vec![1]);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(value.get_or_make(|| vec![2]), &[1]));
            }
        });
        assert!(std::ptr::eq(first, value.get_or_make(|| vec![3])));
    }

    fn ask_at_the_same_time<'a>(value: &PerProcess<Made<'a>>, there: &'a AtomicUsize) {
        const THREADS: usize = 4;
        let (together, before) = (Barrier::new(THREADS / 2), there.load(Ordering::Relaxed));
        std::thread::scope(|scope| {
            let ask = |by| {
                let together = &together;
                move || {
                    // Half of them create it at once; the others come later and may find it.
                    if by % 2 == 0 {
                        together.wait();
                    }
                    // Read without any other synchronisation between the threads.
                    *value.get_or_make(|| Made::new(by, there)).by
                }
            };
            let others: Vec<_> = (0..THREADS).map(|by| scope.spawn(ask(by))).collect();
            let mut seen = others.into_iter().map(|other| other.join().expect("joined"));
            let first = seen.next().expect("some");
            assert!(seen.all(|by| by == first), "all have the same one");
        });
        assert_eq!(there.load(Ordering::Relaxed), before + 1, "those that lost are dropped");
    }

    #[test]
    fn all_threads_have_one_value_and_the_others_are_dropped() {
        let there = AtomicUsize::new(0);
        let value = PerProcess::new();
        ask_at_the_same_time(&value, &there);
        drop(value);
        assert_eq!(there.load(Ordering::Relaxed), 0);
        drop(PerProcess::<Made<'_>>::new());
    }

    /// Calls `child` with a value of another process, which must survive.
    fn inherit<'a>(there: &'a AtomicUsize, child: impl FnOnce(PerProcess<Made<'a>>)) {
        // Accessed through a pointer only, like an inherited value.
        let inherited = Box::into_raw(Box::new(Slot { forks: forks() + 1, value: Made::new(99, there) }));
        child(PerProcess { slot: AtomicPtr::new(inherited), owns: std::marker::PhantomData });
        #[allow(unsafe_code)]
        // SAFETY: it comes from a box, and was not freed, or this test crashes.
        let inherited = unsafe { Box::from_raw(inherited) };
        assert_eq!(*inherited.value.by, 99);
    }

    #[test]
    fn a_child_leaves_what_it_inherited() {
        let there = AtomicUsize::new(0);
        inherit(&there, |value| ask_at_the_same_time(&value, &there));
        inherit(&there, drop);
        assert_eq!(there.load(Ordering::Relaxed), 0);
    }
}
