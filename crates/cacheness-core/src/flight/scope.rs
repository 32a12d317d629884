//! The scope of a caller: the flights inside which it was called.

use std::cell::RefCell;
use std::sync::Arc;

use super::Flight;
use super::table::Slot;
use crate::process::forks;

thread_local! {
    static CURRENT: RefCell<Scope> = const { RefCell::new(Scope(None)) };
}

/// The flights around a call, innermost first.
///
/// A Rust thread has a current scope ([`Scope::current`], [`Flight::run`]); code that runs computations in other ways,
/// such as tasks, passes the scope along.
#[derive(Clone, Debug, Default)]
pub struct Scope(Option<Arc<Link>>);

#[derive(Debug)]
struct Link {
    id: u64,
    slot: Slot,
    forks: u64,
    outer: Scope,
}

impl Scope {
    /// Outside of all flights.
    #[must_use]
    pub const fn outside() -> Self {
        Self(None)
    }

    /// The scope of the [`Flight::run`] on this thread.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Calls `function` with this scope as the thread's current one.
    pub fn run<R>(&self, function: impl FnOnce() -> R) -> R {
        struct Restore(Scope);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(std::mem::take(&mut self.0));
            }
        }
        let _restore = Restore(CURRENT.replace(self.clone()));
        function()
    }

    /// Whether it is inside any flight.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.0.is_some()
    }

    /// The innermost flight.
    pub(super) fn id(&self) -> Option<u64> {
        self.0.as_ref().map(|link| link.id)
    }

    /// The flight around the innermost one.
    pub(super) fn outer_id(&self) -> Option<u64> {
        self.0.as_ref().and_then(|link| link.outer.id())
    }

    /// This scope inside one more flight.
    pub(super) fn entered(&self, id: u64, slot: Slot) -> Self {
        Self(Some(Arc::new(Link { id, slot, forks: forks(), outer: self.clone() })))
    }

    /// Whether an enclosing flight that began before this process was forked computes `slot`.
    pub(super) fn is_inherited(&self, slot: Slot) -> bool {
        let mut scope = self;
        while let Some(link) = &scope.0 {
            if link.slot == slot && link.forks != forks() {
                return true;
            }
            scope = &link.outer;
        }
        false
    }
}

impl Flight {
    /// Calls `compute` as part of this flight: its turns on this thread know that they are inside the flight.
    pub fn run<R>(&self, compute: impl FnOnce() -> R) -> R {
        self.scope().run(compute)
    }
}
