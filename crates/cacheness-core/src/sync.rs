//! The locks and atomics of the engine's own synchronisation: those of `parking_lot` and the standard library, and under
//! `--cfg loom` those of loom, which tries the orders in which threads can run (`scripts/loom.sh`).
//!
//! Counters for unique numbers or for display are not included: each would double the orders to try.

#[cfg(not(loom))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU8};

    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
}

/// Loom's types with the methods of the real ones. No wait times out: a thread that waits in vain is a deadlock, which loom
/// reports.
#[cfg(loom)]
mod real {
    use std::ops::{Deref, DerefMut};
    use std::time::Duration;

    pub(crate) use loom::sync::atomic::{AtomicI64, AtomicPtr, AtomicU8};

    const POISONED: &str = "a thread of the model has panicked";

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    #[derive(Debug)]
    pub(crate) struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        #[track_caller]
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().expect(POISONED)))
        }

        #[track_caller]
        #[allow(clippy::unnecessary_wraps)] // as the real one
        pub(crate) fn try_lock_for(&self, _at_most: Duration) -> Option<MutexGuard<'_, T>> {
            Some(self.lock())
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().expect(POISONED)
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect(POISONED)
        }
    }

    #[derive(Debug)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        #[track_caller]
        pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _at_most: Duration) {
            let waiting = guard.0.take().expect(POISONED);
            guard.0 = Some(self.0.wait(waiting).expect(POISONED));
        }

        #[track_caller]
        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

pub(crate) use real::*;

/// A static `PerProcess`. Each order that loom tries has its own.
macro_rules! per_process {
    (static $name:ident: $of:ty) => {
        #[cfg(not(loom))]
        static $name: $crate::process::PerProcess<$of> = $crate::process::PerProcess::new();
        #[cfg(loom)]
        loom::lazy_static! {
            static ref $name: $crate::process::PerProcess<$of> = $crate::process::PerProcess::new();
        }
    };
}

pub(crate) use per_process;

#[cfg(all(test, loom))]
pub(crate) mod model {
    /// Tries the orders in which the threads of `model` can run, up to a number of preemptions: switches away from a thread
    /// that could continue. `LOOM_MAX_PREEMPTIONS` overrides the number.
    pub(crate) fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
        builder.max_branches = 10_000;
        let tried = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counted = std::sync::Arc::clone(&tried);
        builder.check(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            model();
        });
        println!("{} orders", tried.load(std::sync::atomic::Ordering::Relaxed));
    }
}
