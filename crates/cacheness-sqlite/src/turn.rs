//! The turn to write: a lock shared by all threads of a process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// Writers of one process queue here instead of finding the database busy. Clones share the lock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn(Arc<Mutex<()>>);

impl Turn {
    /// Waits until no other thread of this process writes.
    pub(crate) fn take(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn, if no other thread of this process has it.
    pub(crate) fn try_take(&self) -> Option<MutexGuard<'_, ()>> {
        match self.0.try_lock() {
            Ok(turn) => Some(turn),
            Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
